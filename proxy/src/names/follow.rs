//! One name for as long as it is followed: asks, tells what has changed, waits, asks again.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::lookup::{LookupFault, Lookups, Outcome};
use super::pace::Pace;
use super::{Answer, Name};

/// What a follower has to tell.
#[derive(Debug)]
pub(super) struct News {
    pub(super) name: Name,
    /// `None` when the very first lookup brought nothing new.
    pub(super) answer: Option<Answer>,
}

/// Follows one name.
pub(super) struct Follower {
    pub(super) name: Name,
    pub(super) lookups: Arc<Lookups>,
    /// The last good answer; an empty one at first.
    pub(super) answer: Answer,
    pub(super) teller: mpsc::Sender<News>,
}

impl Follower {
    /// Runs until nobody wants to know.
    pub(super) async fn run(mut self) {
        let (mut pace, mut is_first, mut is_failing) = (Pace::default(), true, false);
        loop {
            let outcome = self.lookups.ask(&self.name).await;
            let (pause, was_failing) = match &outcome {
                Ok(Outcome { missing: None, ttl, .. }) => (pace.answered(*ttl), is_failing),
                Ok(Outcome { missing: Some(fault), ttl, .. }) => {
                    tracing::debug!(name = %self.name, %fault, "a part of the records was not answered");
                    (pace.half_answered(*ttl), is_failing)
                }
                Err(_) => (pace.failed(), is_failing),
            };
            is_failing = outcome.is_err();
            self.say(was_failing, outcome.as_ref().err());
            let news = outcome.ok().and_then(|outcome| self.take(outcome));
            if news.is_some() || std::mem::take(&mut is_first) {
                let news = News { name: self.name.clone(), answer: news };
                if self.teller.send(news).await.is_err() {
                    return;
                }
            }
            sleep(pause).await;
        }
    }

    /// What is new of an answer.
    fn take(&mut self, outcome: Outcome) -> Option<Answer> {
        let next = self.answer.next(outcome.found);
        // Nothing but what cannot be reached (0.0.0.0) or what could not be learnt: the last good answer stays.
        if next.is_empty() || next == self.answer {
            return None;
        }
        tracing::info!(name = %self.name, instances = next.instances(0).count(), "a name leads to other addresses");
        self.answer = next.clone();
        Some(next)
    }

    /// That lookups fail is news once, and that they work again.
    fn say(&self, was_failing: bool, fault: Option<&LookupFault>) {
        match fault {
            Some(fault) if !was_failing && self.answer.is_empty() => {
                tracing::warn!(name = %self.name, %fault, "a name leads nowhere; it is looked up again and again");
            }
            Some(fault) if !was_failing => {
                tracing::warn!(name = %self.name, %fault, "a name is no longer answered; its last addresses stay in force");
            }
            None if was_failing => tracing::info!(name = %self.name, "a name is answered again"),
            _ => {}
        }
    }
}
