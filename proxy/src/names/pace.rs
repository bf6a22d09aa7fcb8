//! When a name is looked up again: as its records say, within bounds, and step by step later while that fails.

use std::time::Duration;

/// A TTL of 0 says "do not keep"; more than once a second would be an attack on the name server.
const SOONEST: Duration = Duration::from_secs(1);
/// A TTL of a day is common where nobody thought of it, and nobody wants to wait a day for a move.
const LATEST: Duration = Duration::from_secs(300);
/// The longest pause between two tries while lookups fail: what a name server's restart may take.
const LATEST_RETRY: Duration = Duration::from_secs(30);

/// The course of one name's lookups.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
}

impl Pace {
    /// The pause after an answer whose records live for `ttl`.
    pub(super) fn answered(&mut self, ttl: Duration) -> Duration {
        self.failures = 0;
        ttl.clamp(SOONEST, LATEST)
    }

    /// The pause after an answer in which something was missing.
    pub(super) fn half_answered(&mut self, ttl: Duration) -> Duration {
        self.failed().min(ttl.clamp(SOONEST, LATEST))
    }

    /// The pause after a failure: 1 s at first, then twice as long each time.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = SOONEST.saturating_mul(1 << self.failures).min(LATEST_RETRY);
        self.failures = (self.failures + 1).min(5);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_believed_within_bounds() {
        let mut pace = Pace::default();
        for (ttl, pause) in [(0, 1), (1, 1), (60, 60), (300, 300), (86_400, 300), (u64::MAX, 300)] {
            assert_eq!(pace.answered(Duration::from_secs(ttl)), Duration::from_secs(pause));
        }
    }

    #[test]
    fn failures_are_tried_again_later_each_time_and_an_answer_ends_that() {
        let mut pace = Pace::default();
        let pauses: Vec<u64> = (0..8).map(|_| pace.failed().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pace.half_answered(Duration::from_secs(20)), Duration::from_secs(20));
        pace.answered(Duration::from_secs(5));
        assert_eq!(pace.failed(), Duration::from_secs(1));
        assert_eq!(pace.half_answered(Duration::from_secs(20)), Duration::from_secs(2));
    }
}
