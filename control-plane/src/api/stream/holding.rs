//! The instances that hang on one stream, and what is under way for them: each step is asked of the writer in the order it
//! was said, and told of in that order, however many are under way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use portreeve_config::wire::{ControlMessage, Revision};

use crate::registry::InstanceKey;
use crate::state::{Refusal, Submitted};

/// Steps that may be under way; with more, nothing further is read from the stream.
pub(super) const MOST: usize = 64;

/// What a node may ask for its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Register,
    Deregister,
}

/// What is to be told next.
#[derive(Debug)]
pub(super) enum Told {
    Outcome(Step, InstanceKey, Result<Revision, Refusal>),
    /// Something that was waiting for what is before it only.
    Said(ControlMessage),
}

#[derive(Debug)]
enum Waiting {
    Step(Step, InstanceKey, Submitted),
    Said(ControlMessage),
}

/// What one stream holds.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// By the outcomes that were told; in order, for there may be a thousand.
    keys: Vec<InstanceKey>,
    waiting: VecDeque<Waiting>,
    /// How many of those are deregistrations.
    leaving: usize,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Deregister => "deregister",
        }
    }
}

impl Holding {
    /// Whether another line may be read.
    pub(super) fn has_room(&self) -> bool {
        let is_held_up =
            matches!(self.waiting.back(), Some(Waiting::Step(.., submitted)) if submitted.waits());
        self.waiting.len() < MOST && !is_held_up
    }

    /// Whether nothing is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether there would be more than `most` instances with `key`, if all goes well.
    pub(super) fn is_full_for(&self, key: &InstanceKey, most: usize) -> bool {
        if self.keys.len() + self.waiting.len() < most || self.place(key).is_ok() {
            return false;
        }
        let mut coming: Vec<_> =
            self.steps(Step::Register).filter(|key| self.place(key).is_err()).chain([key]).collect();
        coming.sort_unstable_by_key(|key| (&key.service, &key.id));
        coming.dedup();
        self.keys.len() + coming.len() > most
    }

    /// A step that was submitted.
    pub(super) fn begin(&mut self, step: Step, key: InstanceKey, submitted: Submitted) {
        self.leaving += usize::from(step == Step::Deregister);
        self.waiting.push_back(Waiting::Step(step, key, submitted));
    }

    /// Keeps `message` for its turn; gives it back where that is now.
    pub(super) fn say(&mut self, message: ControlMessage) -> Option<ControlMessage> {
        if self.waiting.is_empty() {
            return Some(message);
        }
        self.waiting.push_back(Waiting::Said(message));
        None
    }

    /// What is to be told next; pending also while nothing is under way.
    pub(super) fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<Told> {
        if let Some(Waiting::Step(.., submitted)) = self.waiting.front_mut() {
            let Poll::Ready(outcome) = Pin::new(submitted).poll(context) else { return Poll::Pending };
            let Some(Waiting::Step(step, key, _)) = self.waiting.pop_front() else { return Poll::Pending };
            self.settle(step, &key, outcome.is_ok());
            return Poll::Ready(Told::Outcome(step, key, outcome));
        }
        match self.waiting.pop_front() {
            Some(Waiting::Said(message)) => Poll::Ready(Told::Said(message)),
            _ => Poll::Pending,
        }
    }

    fn settle(&mut self, step: Step, key: &InstanceKey, is_done: bool) {
        self.leaving -= usize::from(step == Step::Deregister);
        match (step, self.place(key)) {
            (Step::Register, Err(at)) if is_done => self.keys.insert(at, key.clone()),
            (Step::Deregister, Ok(at)) if is_done => drop(self.keys.remove(at)),
            _ => {}
        }
    }

    /// Where `key` is held, or would be.
    fn place(&self, key: &InstanceKey) -> Result<usize, usize> {
        self.keys.binary_search_by(|held| (&held.id, &held.service).cmp(&(&key.id, &key.service)))
    }

    /// Whether `renew` finds a lease for everything that is held and not about to be given up: the writer may be done
    /// with that already.
    pub(super) fn renew(&self, renew: impl FnOnce(&mut dyn Iterator<Item = &InstanceKey>) -> bool) -> bool {
        if self.leaving == 0 {
            return self.keys.is_empty() || renew(&mut self.keys.iter());
        }
        let leaving: Vec<_> = self.steps(Step::Deregister).collect();
        renew(&mut self.keys.iter().filter(|key| !leaving.contains(key)))
    }

    /// Everything that hangs on the stream or may do so yet: a lease may be granted after the stream has ended.
    pub(super) fn all(&self) -> Vec<InstanceKey> {
        self.keys.iter().chain(self.steps(Step::Register)).cloned().collect()
    }

    fn steps(&self, which: Step) -> impl Iterator<Item = &InstanceKey> {
        self.waiting.iter().filter_map(move |waiting| match waiting {
            Waiting::Step(step, key, _) if *step == which => Some(key),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;
    use crate::state::Written;

    type Answer = oneshot::Sender<Result<Written, Refusal>>;

    fn key(id: &str) -> InstanceKey {
        InstanceKey::new("orders".to_owned(), id.to_owned())
    }

    fn begin(holding: &mut Holding, step: Step, id: &str) -> Answer {
        let (answer, submitted) = Submitted::by_hand();
        holding.begin(step, key(id), submitted);
        answer
    }

    fn next(holding: &mut Holding) -> Option<(Step, String, bool)> {
        match holding.poll_told(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Told::Outcome(step, key, outcome)) => {
                Some((step, key.id.to_string(), outcome.is_ok()))
            }
            Poll::Ready(Told::Said(_)) => Some((Step::Register, "said".to_owned(), true)),
            Poll::Pending => None,
        }
    }

    fn renewed(holding: &Holding) -> Vec<String> {
        let mut ids = Vec::new();
        holding.renew(|keys| {
            ids.extend(keys.map(|key| key.id.to_string()));
            true
        });
        ids
    }

    fn done(answer: Answer) {
        answer.send(Ok(Written { revision: 1, entry: None })).unwrap();
    }

    #[test]
    fn outcomes_are_told_in_order_and_a_word_waits_for_its_turn() {
        let mut holding = Holding::default();
        let said = ControlMessage::Ping { revision: 1 };
        assert_eq!(holding.say(said.clone()), Some(said.clone()));
        let first = begin(&mut holding, Step::Register, "a");
        assert_eq!(holding.say(said), None);
        let second = begin(&mut holding, Step::Register, "b");
        done(second);
        assert_eq!(next(&mut holding), None, "the first is not done");
        assert_eq!(holding.all().len(), 2, "both may be granted a lease yet");
        assert!(renewed(&holding).is_empty(), "and neither has one for certain");
        first.send(Err(Refusal::Storage)).unwrap();
        let told: Vec<_> = std::iter::from_fn(|| next(&mut holding)).map(|(_, id, ok)| (id, ok)).collect();
        assert_eq!(told, [("a".to_owned(), false), ("said".to_owned(), true), ("b".to_owned(), true)]);
        assert_eq!(renewed(&holding), ["b"]);
        assert!(holding.is_settled());
    }

    #[test]
    fn what_is_about_to_be_given_up_is_not_renewed() {
        let mut holding = Holding::default();
        for id in ["a", "b"] {
            done(begin(&mut holding, Step::Register, id));
            next(&mut holding).unwrap();
        }
        let (gone, back) =
            (begin(&mut holding, Step::Deregister, "a"), begin(&mut holding, Step::Register, "a"));
        assert_eq!(renewed(&holding), ["b"]);
        done(gone);
        assert_eq!(next(&mut holding), Some((Step::Deregister, "a".to_owned(), true)));
        assert_eq!((renewed(&holding), holding.all().len()), (vec!["b".to_owned()], 2));
        done(back);
        next(&mut holding).unwrap();
        assert_eq!(renewed(&holding), ["a", "b"]);
        // What is refused stays as it was.
        let kept = begin(&mut holding, Step::Deregister, "b");
        assert_eq!(renewed(&holding), ["a"]);
        drop(kept);
        assert_eq!(next(&mut holding), Some((Step::Deregister, "b".to_owned(), false)));
        assert_eq!(renewed(&holding), ["a", "b"]);
    }

    #[test]
    fn those_on_their_way_count_once_each() {
        let mut holding = Holding::default();
        done(begin(&mut holding, Step::Register, "a"));
        next(&mut holding).unwrap();
        let _under_way = ["b", "b", "c", "a"].map(|id| begin(&mut holding, Step::Register, id));
        for (id, count) in [("b", 3), ("c", 3), ("d", 4)] {
            assert!(
                !holding.is_full_for(&key(id), count) && holding.is_full_for(&key(id), count - 1),
                "{id}"
            );
        }
        assert!(!holding.is_full_for(&key("a"), 1), "it is held already");
        let _more: Vec<_> = (0..MOST - 5).map(|_| begin(&mut holding, Step::Register, "a")).collect();
        assert!(holding.has_room());
        let _last = begin(&mut holding, Step::Register, "a");
        assert!(!holding.has_room());
    }
}
