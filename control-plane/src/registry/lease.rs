//! Until when each instance is believed. A renewal only writes a later deadline; the queue of deadlines is
//! corrected when its head comes due, so that a heartbeat never costs more than one look-up.

mod holder;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashTable;

use super::InstanceKey;
use super::evidence::{Evidence, KEPT_FOR};

use holder::Holders;

pub(crate) use holder::Holder;

/// How long an ended lease waits for its removal to be stored before it is reported again, and how often one
/// that is kept is looked at again.
const AGAIN: Duration = Duration::from_secs(1);
const MILLISECOND: u64 = 1_000_000;
/// Leases that are looked at while nobody else can.
const AT_ONCE: usize = 10_000;

/// How old a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    /// How long it still runs; nothing when it is over.
    pub(crate) left: Duration,
    /// Since the last sign of life.
    pub(crate) silent: Duration,
}

/// What [`Leases::due`] found.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Instances to take out.
    pub(crate) over: Vec<InstanceKey>,
    /// Services whose instances are kept from now on although their leases are over: how many are silent, of how
    /// many.
    pub(crate) kept: Vec<(Arc<str>, Evidence)>,
}

/// Times are nanoseconds since the leases' beginning.
#[derive(Debug)]
struct Lease {
    key: InstanceKey,
    renewed: u64,
    /// Where this lease stands in the queue; never later than its deadline, unless its end was reported already.
    queued: u64,
    milliseconds: u32,
    /// After the last sign of life, in milliseconds. Less than its length once the stream it hung on has ended: then
    /// its node is gone, and not only silent.
    ends_after: u32,
    holder: Option<Arc<Holder>>,
}

/// The leases of one service: where they are.
#[derive(Debug, Default)]
struct Service {
    slots: HashTable<u32>,
    /// What was found last, and when.
    evidence: Option<(u64, Evidence)>,
    keeps: bool,
}

/// The leases of all instances.
#[derive(Debug)]
pub(crate) struct Leases {
    began: Instant,
    leases: Vec<Option<Lease>>,
    free: Vec<u32>,
    services: HashMap<Arc<str>, Service>,
    hasher: RandomState,
    queue: BTreeSet<(u64, u32)>,
    holders: Holders,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            leases: Vec::new(),
            free: Vec::new(),
            services: HashMap::new(),
            hasher: RandomState::new(),
            queue: BTreeSet::new(),
            holders: Holders::default(),
        }
    }
}

impl Leases {
    /// Gives `key` a new lease, in place of any it had. Without a holder it stays with the one it has: a plain
    /// registration does not take an instance from the stream it hangs on.
    pub(crate) fn grant(
        &mut self,
        mut key: InstanceKey,
        length: Duration,
        holder: Option<Holder>,
        now: Instant,
    ) {
        let former = self.forget(&key);
        if let Some((service, _)) = self.services.get_key_value(&key.service) {
            // One name for all leases of a service, whoever spelled it.
            key.service = service.clone();
        }
        let now = self.since(now);
        let milliseconds = u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        let deadline = now + u64::from(milliseconds) * MILLISECOND;
        let lease = Lease {
            key: key.clone(),
            renewed: now,
            queued: deadline,
            milliseconds,
            ends_after: milliseconds,
            holder: holder.map(|holder| self.holders.share(holder)).or(former),
        };
        let slot = self.place(lease);
        self.queue.insert((deadline, slot));
        let (leases, hasher) = (&self.leases, &self.hasher);
        let hash = hasher.hash_one(&*key.id);
        let rehash = |slot: &u32| leases[*slot as usize].as_ref().map_or(0, |l| hasher.hash_one(&*l.key.id));
        let service = self.services.entry(key.service).or_default();
        service.slots.insert_unique(hash, slot, rehash);
    }

    /// A sign of life. `stream` is the stream it came by: only the holder's counts, so that a connection that
    /// was taken over cannot keep an instance alive. False when there is no such lease (any more).
    pub(crate) fn renew(&mut self, service: &str, id: &str, stream: Option<u64>, now: Instant) -> bool {
        let now = self.since(now);
        match self.find(service, id).and_then(|slot| self.leases[slot as usize].as_mut()) {
            Some(lease) if stream.is_none() || lease.stream() == stream => {
                lease.renewed = lease.renewed.max(now);
                lease.ends_after = lease.milliseconds;
                true
            }
            _ => false,
        }
    }

    /// The stream broke: what still hangs on it ends after `grace`, or at its own deadline if that is sooner. A node
    /// that had been silent before was not heard to die: its connection timed out, which is silence like any other.
    pub(crate) fn release(&mut self, key: &InstanceKey, stream: u64, grace: Duration, now: Instant) {
        let now = self.since(now);
        let Some(slot) = self.find(&key.service, &key.id) else { return };
        let Some(lease) = self.leases[slot as usize].as_mut() else { return };
        if lease.stream() != Some(stream) {
            return;
        }
        lease.holder = None;
        if lease.is_silent(now) {
            return;
        }
        let left = (now + nanoseconds(grace)).saturating_sub(lease.renewed).div_ceil(MILLISECOND);
        let shorter = lease.ends_after.min(lease.milliseconds.saturating_sub(1));
        lease.ends_after = u32::try_from(left).map_or(shorter, |left| left.min(shorter));
        let place = (lease.queued, slot);
        lease.queued = lease.queued.min(lease.deadline());
        let queued = lease.queued;
        self.queue.remove(&place);
        self.queue.insert((queued, slot));
    }

    /// Who holds the lease of `key` over a live stream.
    pub(crate) fn holder(&self, key: &InstanceKey) -> Option<&Holder> {
        self.lease(key)?.holder.as_deref()
    }

    /// Whether the lease of `key` has ended. False where there is none.
    pub(crate) fn is_over(&self, key: &InstanceKey, now: Instant) -> bool {
        self.lease(key).is_some_and(|lease| lease.deadline() <= self.since(now))
    }

    /// How old the lease of `key` is.
    pub(crate) fn age(&self, key: &InstanceKey, now: Instant) -> Option<Age> {
        let (lease, now) = (self.lease(key)?, self.since(now));
        Some(Age {
            left: Duration::from_nanos(lease.deadline().saturating_sub(now)),
            silent: Duration::from_nanos(now.saturating_sub(lease.renewed)),
        })
    }

    /// Drops the lease of an instance that is gone; gives who held it.
    pub(crate) fn forget(&mut self, key: &InstanceKey) -> Option<Arc<Holder>> {
        let slot = self.find(&key.service, &key.id)?;
        let lease = self.leases[slot as usize].take()?;
        self.free.push(slot);
        self.queue.remove(&(lease.queued, slot));
        let service = self.services.get_mut(&key.service)?;
        if let Ok(entry) = service.slots.find_entry(self.hasher.hash_one(&*key.id), |other| *other == slot) {
            entry.remove();
        }
        if service.slots.is_empty() {
            self.services.remove(&key.service);
        }
        lease.holder
    }

    /// The instances whose leases have ended and who are not kept. One that is not removed, and one that is kept, is
    /// looked at again after a second (after more where there are very many). Ask again while more is due.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        let (mut due, now) = (Due::default(), self.since(now));
        for _ in 0..AT_ONCE {
            let Some((queued, slot)) = self.queue.first().copied().filter(|(queued, _)| *queued <= now)
            else {
                break;
            };
            self.queue.remove(&(queued, slot));
            let queued = self.look_at(slot, now, &mut due);
            if let Some(lease) = self.leases[slot as usize].as_mut() {
                lease.queued = queued;
                self.queue.insert((queued, slot));
            }
        }
        due
    }

    /// Whether one lease is over; gives when it is to be looked at next.
    fn look_at(&mut self, slot: u32, now: u64, due: &mut Due) -> u64 {
        let Some(lease) = &self.leases[slot as usize] else { return now };
        if lease.deadline() > now {
            return lease.deadline();
        }
        let dead = lease.is_cut() || lease.deadline() + nanoseconds(KEPT_FOR) <= now;
        let key = lease.key.clone();
        let again = now + nanoseconds(AGAIN);
        if dead || !self.is_kept(&key.service, now, due) {
            due.over.push(key);
            return again;
        }
        // 10 s more for each million, so that keeping many costs little.
        again + self.queue.len() as u64 / 1_000 * 10 * MILLISECOND
    }

    /// When [`Leases::due`] should be asked next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(queued, _)| self.began + Duration::from_nanos(*queued))
    }

    /// Makes every lease longer by `pause`: for a time in which this process stood still and could not have
    /// heard anyone.
    pub(crate) fn forgive(&mut self, pause: Duration) {
        self.queue.clear();
        for (slot, lease) in self.leases.iter_mut().enumerate() {
            let Some(lease) = lease else { continue };
            lease.renewed += nanoseconds(pause);
            lease.queued = lease.deadline();
            self.queue.insert((lease.queued, slot as u32));
        }
    }

    /// Whether the silent ones of `service` are kept; what was found counts for a moment, since an end seldom comes
    /// alone.
    fn is_kept(&mut self, name: &Arc<str>, now: u64, due: &mut Due) -> bool {
        const COUNTS_FOR: u64 = 50_000_000;
        let Some(service) = self.services.get_mut(name) else { return false };
        let evidence = match service.evidence {
            Some((at, evidence)) if now - at < COUNTS_FOR => evidence,
            _ => {
                let leases = service.slots.iter().filter_map(|slot| self.leases[*slot as usize].as_ref());
                Evidence::of(leases.map(|lease| lease.is_silent(now)))
            }
        };
        service.evidence = Some((now, evidence));
        let keeps = evidence.speaks_of_a_partition();
        if keeps && !service.keeps {
            due.kept.push((name.clone(), evidence));
        }
        service.keeps = keeps;
        keeps
    }

    fn place(&mut self, lease: Lease) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.leases[slot as usize] = Some(lease);
                slot
            }
            None => {
                self.leases.push(Some(lease));
                (self.leases.len() - 1) as u32
            }
        }
    }

    fn find(&self, service: &str, id: &str) -> Option<u32> {
        let is_it = |slot: &u32| self.leases[*slot as usize].as_ref().is_some_and(|l| &*l.key.id == id);
        self.services.get(service)?.slots.find(self.hasher.hash_one(id), is_it).copied()
    }

    fn lease(&self, key: &InstanceKey) -> Option<&Lease> {
        self.leases[self.find(&key.service, &key.id)? as usize].as_ref()
    }

    fn since(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.began))
    }
}

impl Lease {
    fn stream(&self) -> Option<u64> {
        self.holder.as_ref().map(|holder| holder.stream)
    }

    fn length(&self) -> u64 {
        u64::from(self.milliseconds) * MILLISECOND
    }

    fn deadline(&self) -> u64 {
        self.renewed + u64::from(self.ends_after) * MILLISECOND
    }

    fn is_cut(&self) -> bool {
        self.ends_after < self.milliseconds
    }

    /// Whether it has been silent for longer than anybody is who lives: signs of life come three times a lease.
    fn is_silent(&self, now: u64) -> bool {
        now.saturating_sub(self.renewed) > self.length() / 2
    }
}

/// Enough for 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
