//! A write whose outcome is waited for later: whoever asks for several need not wait for one before the next. Those of one
//! asker are carried out in the order they were submitted.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use portreeve_config::wire::Revision;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::command::{Command, Refusal};
use super::{State, writer};
use crate::history::Author;

/// The outcome of a write that is under way.
pub(crate) struct Submitted(Stage);

enum Stage {
    /// The writer has it.
    Taken(oneshot::Receiver<writer::Outcome>),
    /// The writer has too much to do; it is handed over when this is polled.
    Waits(Pin<Box<dyn Future<Output = writer::Outcome> + Send>>),
}

impl State {
    /// Asks for a write that nobody in particular asked for. Where it still has to [wait](Submitted::waits), another
    /// one that is to come after it must not be submitted before its outcome is there.
    pub(crate) fn submit(&self, command: Command) -> Submitted {
        let (work, answered) = writer::Work::write(Author::new("control-plane", ""), command, false);
        match self.writer.try_send(work) {
            // Where nobody takes writes any more, the answer's sender is gone, and that is the outcome.
            Ok(()) | Err(TrySendError::Closed(_)) => Submitted(Stage::Taken(answered)),
            Err(TrySendError::Full(work)) => {
                let writer = self.writer.clone();
                Submitted(Stage::Waits(Box::pin(async move {
                    writer.send(work).await.map_err(|_| Refusal::Stopping)?;
                    answered.await.unwrap_or(Err(Refusal::Stopping))
                })))
            }
        }
    }
}

impl Submitted {
    /// Whether the writer has not got it yet.
    pub(crate) fn waits(&self) -> bool {
        matches!(self.0, Stage::Waits(_))
    }

    #[cfg(test)]
    pub(crate) fn by_hand() -> (oneshot::Sender<writer::Outcome>, Self) {
        let (answer, answered) = oneshot::channel();
        (answer, Self(Stage::Taken(answered)))
    }
}

impl Future for Submitted {
    type Output = Result<Revision, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.0 {
            Stage::Taken(answered) => {
                Pin::new(answered).poll(context).map(|outcome| outcome.unwrap_or(Err(Refusal::Stopping)))
            }
            Stage::Waits(outcome) => outcome.as_mut().poll(context),
        };
        outcome.map(|outcome| outcome.map(|written| written.revision))
    }
}

impl fmt::Debug for Submitted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Submitted")
    }
}
