//! Which instance of a service takes the next attempt: strict round robin over those in order, with instances
//! that just failed set aside for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The shortest and the longest time an instance is set aside after connections to it failed.
const ASIDE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A service and the instances that take its requests.
pub struct Service {
    /// The service's name.
    pub name: Arc<str>,
    /// The instances, in order of their address.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// One counter for all workers: what people expect of round robin is that calls alternate, whichever
    /// thread carries them.
    rotation: Arc<AtomicUsize>,
}

/// One instance as the balancer sees it. Lives on across reloads for as long as its address is listed.
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    /// Its name in the registry; the address for those of a file.
    pub id: Arc<str>,
    failures: AtomicU32,
    /// Milliseconds since `Clock` began until which it is set aside; 0 when it is in order.
    aside_until: AtomicU64,
}

/// An instance as sources name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointSpec {
    /// Where it is.
    pub address: SocketAddr,
    /// Its name.
    pub id: Arc<str>,
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
        specs.sort();
        specs.dedup_by(|a, b| a.address == b.address);
        let known: BTreeMap<SocketAddr, &Arc<Endpoint>> =
            previous.iter().flat_map(|service| &service.endpoints).map(|e| (e.address, e)).collect();
        let endpoints = specs.into_iter().map(|spec| match known.get(&spec.address) {
            Some(endpoint) if endpoint.id == spec.id => Arc::clone(endpoint),
            _ => Arc::new(Endpoint::new(spec)),
        });
        Self {
            name: name.into(),
            endpoints: endpoints.collect(),
            rotation: previous.map(|service| Arc::clone(&service.rotation)).unwrap_or_default(),
        }
    }

    /// Takes this request's turn.
    pub fn turn(&self) -> usize {
        self.rotation.fetch_add(1, Ordering::Relaxed)
    }

    /// The instance for a turn that is in order and not among `tried`; failing that one that is not among
    /// `tried`; failing that any. `None` when there is no instance at all.
    pub fn pick(&self, turn: usize, tried: &[SocketAddr]) -> Option<&Arc<Endpoint>> {
        let count = self.endpoints.len();
        if count == 0 {
            return None;
        }
        let first = &self.endpoints[turn % count];
        if tried.is_empty() && !first.is_aside() {
            return Some(first);
        }
        let in_turn = || (0..count).map(|step| &self.endpoints[(turn + step) % count]);
        let untried = || in_turn().filter(|endpoint| !tried.contains(&endpoint.address));
        untried().find(|endpoint| !endpoint.is_aside()).or_else(|| untried().next()).or(Some(first))
    }
}

impl Endpoint {
    fn new(spec: EndpointSpec) -> Self {
        Self {
            address: spec.address,
            id: spec.id,
            failures: AtomicU32::new(0),
            aside_until: AtomicU64::new(0),
        }
    }

    /// It answered; whatever it was blamed for is forgotten.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.aside_until.store(0, Ordering::Relaxed);
        }
    }

    /// A connection to it failed: it is set aside, each time twice as long.
    pub fn failed(&self) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(8);
        let aside = ASIDE.0.saturating_mul(1 << failures).min(ASIDE.1);
        let until = clock().saturating_add(u64::try_from(aside.as_millis()).unwrap_or(u64::MAX));
        self.aside_until.store(until, Ordering::Relaxed);
    }

    /// Whether it is set aside just now.
    pub fn is_aside(&self) -> bool {
        let until = self.aside_until.load(Ordering::Relaxed);
        until != 0 && clock() < until
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn specs(ports: &[u16]) -> Vec<EndpointSpec> {
        let spec = |port: &u16| EndpointSpec {
            address: ([127, 0, 0, 1], *port).into(),
            id: port.to_string().into(),
        };
        ports.iter().map(spec).collect()
    }

    fn ports(service: &Service, count: usize) -> Vec<u16> {
        (0..count).map(|_| service.pick(service.turn(), &[]).unwrap().address.port()).collect()
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
    fn a_failed_instance_is_passed_over_until_it_answers() {
        let service = Service::new("products", specs(&[1, 2, 3]), None);
        service.endpoints[1].failed();
        assert!(!ports(&service, 6).contains(&2));
        service.endpoints[1].succeeded();
        assert!(ports(&service, 6).contains(&2));
    }

    #[test]
    fn when_all_have_failed_all_are_tried() {
        let service = Service::new("products", specs(&[1, 2]), None);
        service.endpoints.iter().for_each(|endpoint| endpoint.failed());
        assert_eq!(ports(&service, 4), [1, 2, 1, 2]);
        let tried = [service.endpoints[0].address];
        assert_eq!(service.pick(0, &tried).unwrap().address.port(), 2);
        let all = [service.endpoints[0].address, service.endpoints[1].address];
        assert_eq!(service.pick(0, &all).unwrap().address.port(), 1, "the last resort is its turn");
        assert!(Service::new("none", Vec::new(), None).pick(0, &[]).is_none());
    }
}
