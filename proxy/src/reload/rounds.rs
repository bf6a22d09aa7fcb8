//! Which of several replicas is gone to next, and after which pause; and which of the reasons for having none is news.

use std::collections::BTreeSet;
use std::time::Duration;

/// Pauses between attempts: short, so that a control plane that is back is found within a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), LONGEST_PAUSE);
/// A stream that lasts longer has held.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause before the next of several replicas: its nodes do not all come to it in the same moment when one
/// is gone.
const HOP: Duration = Duration::from_millis(100);
/// Reasons that are told in one outage; with more of them somebody else's texts are repeated.
const MOST_REASONS: usize = 8;

/// Whose turn it is among the replicas, and how long the pause before it is.
#[derive(Debug)]
pub(super) struct Rounds {
    replicas: usize,
    pub(super) turn: usize,
    /// Attempts that failed since a stream was held for a while.
    failed: usize,
    pause: Duration,
}

impl Rounds {
    /// Begins anywhere, so that nodes spread over the replicas.
    pub(super) fn over(replicas: usize) -> Self {
        let replicas = replicas.max(1);
        Self { replicas, turn: rand::random_range(0..replicas), failed: 0, pause: PAUSE.0 }
    }

    /// The stream held for a while: what failed before is forgotten.
    pub(super) fn held(&mut self) {
        (self.failed, self.pause) = (0, PAUSE.0);
    }

    /// The pause before the next replica is tried: next to none while there is one that was not tried, then longer
    /// from round to round.
    pub(super) fn failed(&mut self) -> Duration {
        self.turn = (self.turn + 1) % self.replicas;
        self.failed += 1;
        if !self.failed.is_multiple_of(self.replicas) {
            return HOP.mul_f64(rand::random_range(0.0..=1.0));
        }
        let pause = jittered(self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
        pause
    }
}

/// A time without a stream. It is tried again twice a second: each reason is told once.
#[derive(Debug, Default)]
pub struct Outage {
    told: BTreeSet<String>,
}

impl Outage {
    /// Whether this reason was not told yet.
    pub fn is_news(&mut self, why: &str) -> bool {
        self.told.len() < MOST_REASONS && self.told.insert(why.to_owned())
    }

    /// There is a stream again.
    pub fn end(&mut self) {
        self.told.clear();
    }
}

/// Somewhere between half of the pause and all of it, so that nodes do not all come back in the same moment.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replica_is_tried_before_a_pause() {
        let mut rounds = Rounds::over(3);
        for round in 0..4 {
            let mut tried = std::collections::BTreeSet::new();
            for attempt in 0..3 {
                tried.insert(rounds.turn);
                let pause = rounds.failed();
                let longest = if attempt < 2 { HOP } else { (PAUSE.0 * 2u32.pow(round)).min(PAUSE.1) };
                assert!(pause <= longest, "{round} {attempt} {pause:?}");
            }
            assert_eq!(tried.len(), 3);
        }
        rounds.held();
        assert!(rounds.failed() <= HOP);
    }

    #[test]
    fn a_reason_is_told_once_an_outage() {
        let mut outage = Outage::default();
        assert_eq!(["refused", "token", "refused"].map(|why| outage.is_news(why)), [true, true, false]);
        outage.end();
        assert!(outage.is_news("refused"));
        assert_eq!((0..50).filter(|why| outage.is_news(&why.to_string())).count(), MOST_REASONS - 1);
    }

    #[test]
    fn a_single_control_plane_is_given_time() {
        let mut rounds = Rounds::over(1);
        assert!(rounds.failed() >= PAUSE.0 / 2);
        assert!(rounds.failed() >= PAUSE.0);
    }
}
