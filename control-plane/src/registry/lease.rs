//! Until when each instance is believed. A renewal only writes a later deadline; the queue of deadlines is
//! corrected when its head comes due, so that a heartbeat never costs more than one look-up.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::InstanceKey;

/// How long an ended lease waits for its removal to be stored before it is reported again.
const AGAIN: Duration = Duration::from_secs(1);

/// The stream a lease hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The stream's number; a reconnected node has a new one.
    pub(crate) stream: u64,
    /// The node at its other end.
    pub(crate) node: Arc<str>,
}

#[derive(Debug)]
struct Lease {
    length: Duration,
    deadline: Instant,
    /// Where this lease stands in the queue; never later than `deadline`, unless its end was reported already.
    queued: Instant,
    holder: Option<Holder>,
}

/// The leases of all instances.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    leases: HashMap<InstanceKey, Lease>,
    queue: BTreeSet<(Instant, InstanceKey)>,
}

impl Leases {
    /// Gives `key` a new lease, in place of any it had. Without a holder it stays with the one it has: a plain
    /// registration does not take an instance from the stream it hangs on.
    pub(crate) fn grant(&mut self, key: InstanceKey, length: Duration, holder: Option<Holder>, now: Instant) {
        let former = self.forget(&key);
        let holder = holder.or(former);
        let deadline = now + length;
        self.queue.insert((deadline, key.clone()));
        self.leases.insert(key, Lease { length, deadline, queued: deadline, holder });
    }

    /// A sign of life. `stream` is the stream it came by: only the holder's counts, so that a connection that
    /// was taken over cannot keep an instance alive. False when there is no such lease (any more).
    pub(crate) fn renew(&mut self, key: &InstanceKey, stream: Option<u64>, now: Instant) -> bool {
        match self.leases.get_mut(key) {
            Some(lease) if stream.is_none() || lease.stream() == stream => {
                lease.deadline = lease.deadline.max(now + lease.length);
                true
            }
            _ => false,
        }
    }

    /// The stream broke: what still hangs on it ends after `grace`, or at its own deadline if that is sooner.
    pub(crate) fn release(&mut self, key: &InstanceKey, stream: u64, grace: Duration, now: Instant) {
        let Some(lease) = self.leases.get_mut(key) else { return };
        if lease.stream() != Some(stream) {
            return;
        }
        lease.holder = None;
        lease.deadline = lease.deadline.min(now + grace);
        let place = (lease.queued, key.clone());
        lease.queued = lease.queued.min(lease.deadline);
        let queued = lease.queued;
        self.queue.remove(&place);
        self.queue.insert((queued, place.1));
    }

    /// Who holds the lease of `key` over a live stream.
    pub(crate) fn holder(&self, key: &InstanceKey) -> Option<&Holder> {
        self.leases.get(key)?.holder.as_ref()
    }

    /// Whether the lease of `key` has ended. False where there is none.
    pub(crate) fn is_over(&self, key: &InstanceKey, now: Instant) -> bool {
        self.leases.get(key).is_some_and(|lease| lease.deadline <= now)
    }

    /// How long the lease of `key` still runs.
    pub(crate) fn left(&self, key: &InstanceKey, now: Instant) -> Option<Duration> {
        self.leases.get(key).map(|lease| lease.deadline.saturating_duration_since(now))
    }

    /// Drops the lease of an instance that is gone; gives who held it.
    pub(crate) fn forget(&mut self, key: &InstanceKey) -> Option<Holder> {
        let lease = self.leases.remove(key)?;
        self.queue.remove(&(lease.queued, key.clone()));
        lease.holder
    }

    /// The instances whose leases have ended. One that is not removed is reported again after a second.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<InstanceKey> {
        let mut due = Vec::new();
        while let Some((queued, _)) = self.queue.first() {
            if *queued > now {
                break;
            }
            let Some((_, key)) = self.queue.pop_first() else { break };
            let Some(lease) = self.leases.get_mut(&key) else { continue };
            lease.queued = if lease.deadline <= now { now + AGAIN } else { lease.deadline };
            if lease.deadline <= now {
                due.push(key.clone());
            }
            self.queue.insert((lease.queued, key));
        }
        due
    }

    /// When [`Leases::due`] should be asked next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(queued, _)| *queued)
    }

    /// Makes every lease longer by `pause`: for a time in which this process stood still and could not have
    /// heard anyone.
    pub(crate) fn forgive(&mut self, pause: Duration) {
        self.queue.clear();
        for (key, lease) in &mut self.leases {
            lease.deadline += pause;
            lease.queued = lease.deadline;
            self.queue.insert((lease.queued, key.clone()));
        }
    }
}

impl Lease {
    fn stream(&self) -> Option<u64> {
        self.holder.as_ref().map(|holder| holder.stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(id: &str) -> InstanceKey {
        InstanceKey::new("orders", id)
    }

    fn held_by(stream: u64) -> Option<Holder> {
        Some(Holder { stream, node: "node".into() })
    }

    #[test]
    fn a_lease_ends_at_its_deadline_and_not_before() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), 3 * SECOND, None, start);
        leases.grant(key("b"), 2 * SECOND, None, start);
        assert_eq!(leases.next_due(), Some(start + 2 * SECOND));
        assert!(leases.due(start + SECOND).is_empty());
        assert_eq!(leases.due(start + 2 * SECOND), [key("b")]);
        leases.forget(&key("b"));
        assert_eq!(leases.due(start + 3 * SECOND), [key("a")]);
    }

    #[test]
    fn a_renewal_moves_the_deadline() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), 2 * SECOND, None, start);
        assert!(leases.renew(&key("a"), None, start + SECOND));
        assert!(leases.due(start + 2 * SECOND).is_empty());
        assert_eq!(leases.next_due(), Some(start + 3 * SECOND));
        assert_eq!(leases.due(start + 3 * SECOND), [key("a")]);
        assert!(!leases.renew(&key("unknown"), None, start));
    }

    #[test]
    fn an_ended_lease_is_reported_until_it_is_forgotten_or_renewed() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), SECOND, None, start);
        assert_eq!(leases.due(start + SECOND), [key("a")]);
        assert!(leases.due(start + SECOND).is_empty());
        assert_eq!(leases.due(start + 2 * SECOND), [key("a")]);
        assert!(leases.renew(&key("a"), None, start + 2 * SECOND));
        assert!(!leases.is_over(&key("a"), start + 2 * SECOND));
        leases.forget(&key("a"));
        assert_eq!(leases.next_due(), None);
    }

    #[test]
    fn a_broken_stream_cuts_its_leases_and_no_others() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        let grace = Duration::from_millis(700);
        leases.grant(key("mine"), 10 * SECOND, held_by(1), start);
        leases.grant(key("moved"), 10 * SECOND, held_by(1), start);
        leases.grant(key("moved"), 10 * SECOND, held_by(2), start);
        leases.release(&key("mine"), 1, grace, start);
        leases.release(&key("moved"), 1, grace, start);
        assert_eq!(leases.due(start + grace), [key("mine")]);
        assert_eq!(leases.holder(&key("mine")), None);
        assert_eq!(leases.holder(&key("moved")).map(|holder| holder.stream), Some(2));
    }

    #[test]
    fn a_plain_registration_leaves_the_lease_with_its_stream() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), SECOND, held_by(1), start);
        leases.grant(key("a"), 2 * SECOND, None, start);
        assert!(leases.renew(&key("a"), Some(1), start));
    }

    #[test]
    fn a_grace_never_makes_a_lease_longer() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), SECOND, held_by(1), start);
        leases.release(&key("a"), 1, 5 * SECOND, start);
        assert_eq!(leases.left(&key("a"), start), Some(SECOND));
    }

    #[test]
    fn only_the_holders_stream_renews() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), SECOND, held_by(2), start);
        assert!(!leases.renew(&key("a"), Some(1), start));
        assert!(leases.renew(&key("a"), Some(2), start));
        assert!(leases.renew(&key("a"), None, start));
    }

    #[test]
    fn a_pause_of_the_process_is_forgiven() {
        let (mut leases, start) = (Leases::default(), Instant::now());
        leases.grant(key("a"), SECOND, None, start);
        leases.forgive(5 * SECOND);
        assert!(leases.due(start + 5 * SECOND).is_empty());
        assert_eq!(leases.due(start + 6 * SECOND), [key("a")]);
    }
}
