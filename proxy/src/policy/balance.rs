//! Which instance of a service takes the next attempt: strict round robin over those in order, by weight where they have
//! weights, or the one a key belongs to; instances that just failed are set aside for a while.

mod turns;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pingora_ketama::{Bucket, Continuum};

use crate::address::{Address, Dial};

/// The shortest and the longest time an instance is set aside after connections to it failed.
const ASIDE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The bits of an endpoint's blame below its failures: until when it is set aside.
const UNTIL: u32 = 56;

/// How many points of the ring are looked at for each instance; each stands there at 160 of them.
const WALK: usize = 32;

/// A service and the instances that take its requests.
pub struct Service {
    /// The service's name.
    pub name: Arc<str>,
    /// The instances, in order of their address.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// One counter for all workers: what people expect of round robin is that calls alternate, whichever
    /// thread carries them.
    rotation: Arc<AtomicUsize>,
    /// Whose turns those are, where instances do not count alike.
    turns: Option<Box<[usize]>>,
    /// Where keys belong; made when a route first asks.
    ring: OnceLock<Ring>,
}

/// The ring, and which instance each of its addresses is.
struct Ring {
    points: Continuum,
    owners: HashMap<SocketAddr, usize>,
}

/// One instance as the balancer sees it. Lives on across reloads for as long as its address is listed.
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Its name in the registry; the address for those of a file.
    pub id: Arc<str>,
    /// How it is spoken to.
    pub dial: Arc<Dial>,
    /// No other endpoint of the process has it or ever had it: what connections are kept under.
    pub number: u64,
    /// In the highest byte how many outages it had since it last answered, below that the milliseconds of [`clock`]
    /// until which it is set aside; 0 when it is in order. One word, so that of failures at one moment one counts.
    blame: AtomicU64,
}

/// An instance as sources name it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// Where it is.
    pub address: Address,
    /// Its name.
    pub id: Arc<str>,
    /// How it is spoken to.
    pub dial: Arc<Dial>,
    /// How many turns it has beside the others.
    pub weight: u16,
}

impl EndpointSpec {
    /// An instance at an IP address and port that speaks plain HTTP/1.1.
    pub fn plain(address: std::net::SocketAddr, id: impl Into<Arc<str>>) -> Self {
        Self { address: address.into(), id: id.into(), dial: Arc::default(), weight: 1 }
    }
}

/// Milliseconds since the process first asked: small enough for one atomic, monotonic.
fn clock() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    // One is added so that 0 can mean "never".
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

impl Service {
    /// A service with these instances. What `previous` knew of the turn and of instances that stay is kept.
    pub fn new(name: &str, mut specs: Vec<EndpointSpec>, previous: Option<&Service>) -> Self {
        specs.sort_by(|a, b| (&a.address, &a.id).cmp(&(&b.address, &b.id)));
        specs.dedup_by(|a, b| a.address == b.address);
        let weights: Vec<u16> = specs.iter().map(|spec| spec.weight).collect();
        let known: BTreeMap<&Address, &Arc<Endpoint>> =
            previous.iter().flat_map(|service| &service.endpoints).map(|e| (&e.address, e)).collect();
        let endpoints = specs.into_iter().map(|spec| match known.get(&spec.address) {
            Some(endpoint) if endpoint.id == spec.id && endpoint.dial == spec.dial => Arc::clone(endpoint),
            _ => Arc::new(Endpoint::new(spec)),
        });
        Self {
            name: name.into(),
            endpoints: endpoints.collect(),
            rotation: previous.map(|service| Arc::clone(&service.rotation)).unwrap_or_default(),
            turns: turns::turns(&weights),
            ring: OnceLock::new(),
        }
    }

    /// The turn of the instance that `key` belongs to, by consistent hashing (ketama): of those that are neither
    /// set aside nor `tried` the first one on the ring, so that the keys of an instance that fails spread over
    /// all others. The instance the key really belongs to when there is no other.
    pub fn turn_of(&self, key: &[u8], tried: &[u64]) -> usize {
        if self.endpoints.is_empty() {
            return 0;
        }
        let ring = self.ring.get_or_init(|| {
            let buckets: Vec<Bucket> =
                self.endpoints.iter().map(|one| Bucket::new(one.address.on_ring(), 1)).collect();
            Ring {
                points: Continuum::new(&buckets),
                owners: self.endpoints.iter().map(|one| one.address.on_ring()).zip(0..).collect(),
            }
        });
        let number = |address: &SocketAddr| ring.owners.get(address).copied();
        let in_order = |number: &usize| {
            let endpoint = &self.endpoints[*number];
            !endpoint.is_aside() && !tried.contains(&endpoint.number)
        };
        let mut owners = ring.points.node_iter(key).filter_map(number);
        let owner = owners.next().unwrap_or(0);
        match in_order(&owner) {
            true => owner,
            // The ring has no end: it is walked far enough to have met every instance.
            false => owners.take(WALK * self.endpoints.len()).find(in_order).unwrap_or(owner),
        }
    }

    /// Takes this request's turn.
    pub fn turn(&self) -> usize {
        let turn = self.rotation.fetch_add(1, Ordering::Relaxed);
        self.turns.as_ref().map_or(turn, |turns| turns[turn % turns.len()])
    }

    /// The instance for a turn that is in order and not among `tried`; failing that one that is not among
    /// `tried`; failing that any. `None` when there is no instance at all.
    pub fn pick(&self, turn: usize, tried: &[u64]) -> Option<&Arc<Endpoint>> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let first = &self.endpoints[turn % count];
        if tried.is_empty() && !first.is_aside() {
            return Some(first);
        }
        let in_turn = || (0..count).map(|step| &self.endpoints[(turn + step) % count]);
        let untried = || in_turn().filter(|endpoint| !tried.contains(&endpoint.number));
        untried().find(|endpoint| !endpoint.is_aside()).or_else(|| untried().next()).or(Some(first))
    }
}

impl Endpoint {
    fn new(spec: EndpointSpec) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            address: spec.address,
            id: spec.id,
            dial: spec.dial,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            blame: AtomicU64::new(0),
        }
    }

    /// It answered; whatever it was blamed for is forgotten.
    pub fn succeeded(&self) {
        if self.blame.load(Ordering::Relaxed) != 0 {
            self.blame.store(0, Ordering::Relaxed);
        }
    }

    /// A connection to it failed: it is set aside, each time twice as long. As long as it is aside, what fails belongs
    /// to the same outage, which all requests in flight meet at once.
    pub fn failed(&self) {
        self.failed_at(clock());
    }

    fn failed_at(&self, now: u64) {
        let blame = self.blame.load(Ordering::Relaxed);
        if now < until(blame) {
            return;
        }
        let outages = (blame >> UNTIL).min(8);
        let aside = ASIDE.0.saturating_mul(1_u32 << outages).min(ASIDE.1);
        let back = until(now.saturating_add(u64::try_from(aside.as_millis()).unwrap_or(0)));
        let new = ((outages + 1) << UNTIL) | back;
        // Whoever was quicker has spoken of the same outage.
        let _ = self.blame.compare_exchange(blame, new, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether it is set aside just now.
    pub fn is_aside(&self) -> bool {
        let until = until(self.blame.load(Ordering::Relaxed));
        until != 0 && clock() < until
    }
}

fn until(blame: u64) -> u64 {
    blame & ((1_u64 << UNTIL) - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn specs(ports: &[u16]) -> Vec<EndpointSpec> {
        let spec = |port: &u16| EndpointSpec::plain(([127, 0, 0, 1], *port).into(), port.to_string());
        ports.iter().map(spec).collect()
    }

    fn ports(service: &Service, count: usize) -> Vec<u16> {
        (0..count)
            .map(|_| service.pick(service.turn(), &[]).unwrap().address.socket().unwrap().port())
            .collect()
    }

    #[test]
    fn turns_alternate_and_survive_a_reload() {
        let service = Service::new("products", specs(&[2, 1]), None);
        assert_eq!(ports(&service, 5), [1, 2, 1, 2, 1]);
        let again = Service::new("products", specs(&[1, 2]), Some(&service));
        assert_eq!(ports(&again, 2), [2, 1], "the turn goes on where it was");
        assert!(Arc::ptr_eq(&again.endpoints[0], &service.endpoints[0]));
    }

    #[test]
    fn weights_decide_whose_turn_it_is() {
        let mut specs = specs(&[1, 2]);
        specs[1].weight = 2;
        let service = Service::new("products", specs, None);
        assert_eq!(ports(&service, 6), [2, 1, 2, 2, 1, 2]);
        service.endpoints[1].failed();
        assert_eq!(ports(&service, 3), [1, 1, 1]);
    }

    #[test]
    fn a_failed_instance_is_passed_over_until_it_answers() {
        let service = Service::new("products", specs(&[1, 2, 3]), None);
        service.endpoints[1].failed();
        assert!(!ports(&service, 6).contains(&2));
        service.endpoints[1].succeeded();
        assert!(ports(&service, 6).contains(&2));
    }

    #[test]
    fn an_outage_counts_once_however_many_requests_meet_it() {
        let service = Service::new("products", specs(&[1]), None);
        let endpoint = &service.endpoints[0];
        let back = || until(endpoint.blame.load(Ordering::Relaxed));
        let mut now = 1;
        for seconds in [1, 2, 4, 8, 16, 30, 30, 30, 30, 30] {
            let expected = now + seconds * 1000;
            for later in [0, 0, 0, 0, 0, 1, seconds * 1000 - 1] {
                endpoint.failed_at(now + later);
                assert_eq!(back(), expected, "set aside for {seconds} s, failed again after {later} ms");
            }
            now = expected;
        }
        endpoint.succeeded();
        assert_eq!(back(), 0);
        endpoint.failed_at(now);
        assert_eq!(back(), now + 1000, "what it was blamed for is forgotten");
    }

    #[test]
    fn of_failures_at_one_moment_one_counts() {
        for _ in 0..100 {
            let service = Service::new("products", specs(&[1]), None);
            let (endpoint, together) = (&service.endpoints[0], std::sync::Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        together.wait();
                        endpoint.failed_at(1);
                    });
                }
            });
            let blame = endpoint.blame.load(Ordering::Relaxed);
            assert_eq!((blame >> UNTIL, until(blame)), (1, 1001));
        }
    }

    #[test]
    fn a_key_stays_where_it_belongs_and_few_move() {
        let service = Service::new("products", specs(&[1, 2, 3, 4]), None);
        let keys: Vec<String> = (0..1000).map(|number| format!("user-{number}")).collect();
        let owner = |service: &Service, key: &str, tried: &[u64]| {
            service
                .pick(service.turn_of(key.as_bytes(), tried), tried)
                .unwrap()
                .address
                .socket()
                .unwrap()
                .port()
        };
        let before: Vec<u16> = keys.iter().map(|key| owner(&service, key, &[])).collect();
        for port in 1..=4 {
            let share = before.iter().filter(|owner| **owner == port).count();
            assert!((150..350).contains(&share), "{share} of 1000 keys belong to {port}");
        }
        let fewer = Service::new("products", specs(&[1, 2, 4]), Some(&service));
        let mut heirs = std::collections::BTreeSet::new();
        for (key, before) in keys.iter().zip(&before) {
            let after = owner(&fewer, key, &[]);
            match before {
                3 => _ = heirs.insert(after),
                stays => assert_eq!(after, *stays, "{key} has moved"),
            }
            // A retry goes where the key would belong without the instance that was tried.
            let tried = [service.endpoints[2].number];
            assert_eq!(owner(&service, key, &tried), after, "{key}");
        }
        assert_eq!(heirs.len(), 3, "the keys of an instance that is gone spread over all others");
        assert_eq!(Service::new("none", Vec::new(), None).turn_of(b"key", &[]), 0);
    }

    #[test]
    fn when_all_have_failed_all_are_tried() {
        let service = Service::new("products", specs(&[1, 2]), None);
        service.endpoints.iter().for_each(|endpoint| endpoint.failed());
        assert_eq!(ports(&service, 4), [1, 2, 1, 2]);
        let tried = [service.endpoints[0].number];
        assert_eq!(service.pick(0, &tried).unwrap().address.socket().unwrap().port(), 2);
        let all = [service.endpoints[0].number, service.endpoints[1].number];
        assert_eq!(
            service.pick(0, &all).unwrap().address.socket().unwrap().port(),
            1,
            "the last resort is its turn"
        );
        assert!(Service::new("none", Vec::new(), None).pick(0, &[]).is_none());
    }
}
