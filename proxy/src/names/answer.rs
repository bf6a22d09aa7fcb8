//! What a name leads to: addresses, in pairs where both families lead to one instance. Pairs that are still there
//! stay as they were, so that connections of instances that did not change live on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The most instances of one name. A name of more is a mistake or an attack, and every one of them costs memory in
/// each worker.
const MOST_INSTANCES: usize = 256;

/// What a name leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    targets: Vec<Target>,
}

/// An instance's address, and an alternative to it.
pub type Ends = (SocketAddr, Option<SocketAddr>);

/// A host among them: the name itself, or the target of an SRV record, which brings a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: Arc<str>,
    port: Option<u16>,
    weight: u16,
    pairs: Vec<Pair>,
}

/// One instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Its address.
    pub address: IpAddr,
    /// With an IPv6 address: an IPv4 one of the same name, tried when the first does not answer at once (RFC 8305).
    pub alternative: Option<Ipv4Addr>,
}

/// The addresses of one host as one lookup found them. `None` is a family of which nothing could be learnt, other than
/// one that has no addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    pub(super) v6: Option<Vec<Ipv6Addr>>,
    pub(super) v4: Option<Vec<Ipv4Addr>>,
}

/// What one lookup found for one host.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) host: Arc<str>,
    pub(super) port: Option<u16>,
    /// Its SRV record's; 1 without one.
    pub(super) weight: u16,
    pub(super) addresses: Addresses,
}

impl Answer {
    /// The answer that follows this one. Of what nothing could be learnt this time it keeps what this one knows.
    pub(super) fn next(&self, found: Vec<Found>) -> Self {
        let mut room = MOST_INSTANCES;
        let mut targets: Vec<Target> = found.into_iter().map(|found| self.target(found)).collect();
        targets.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        for target in &mut targets {
            target.pairs.truncate(room);
            room -= target.pairs.len();
        }
        targets.retain(|target| !target.pairs.is_empty());
        Self { targets }
    }

    fn target(&self, found: Found) -> Target {
        let Found { host, port, weight, addresses } = found;
        let known = self.targets.iter().find(|target| target.host == host && target.port == port);
        let known = known.map_or(&[][..], |target| &target.pairs);
        let v6 = addresses.v6.unwrap_or_else(|| known.iter().filter_map(Pair::v6).collect());
        let v4 = addresses.v4.unwrap_or_else(|| known.iter().filter_map(Pair::v4).collect());
        Target { host, port, weight, pairs: paired(v6, v4, known) }
    }

    /// Whether it leads nowhere.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Every instance with its weight, at `port` where its record brings none.
    pub fn instances(&self, port: u16) -> impl Iterator<Item = (Ends, u16)> {
        self.targets.iter().flat_map(move |target| {
            let port = target.port.unwrap_or(port);
            target.pairs.iter().map(move |pair| {
                let alternative = pair.alternative.map(|ip| SocketAddr::new(ip.into(), port));
                ((SocketAddr::new(pair.address, port), alternative), target.weight)
            })
        })
    }
}

impl Pair {
    fn v6(&self) -> Option<Ipv6Addr> {
        match self.address {
            IpAddr::V6(ip) => Some(ip),
            IpAddr::V4(_) => None,
        }
    }

    fn v4(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V6(_) => self.alternative,
            IpAddr::V4(ip) => Some(ip),
        }
    }
}

/// Pairs both families by their order; the rest of the longer list stands alone.
fn paired(v6: Vec<Ipv6Addr>, v4: Vec<Ipv4Addr>, known: &[Pair]) -> Vec<Pair> {
    // An IPv4 address in the form of IPv6 (RFC 4291, 2.5.5.2) is the same host.
    let mapped: Vec<Ipv4Addr> = v6.iter().filter_map(Ipv6Addr::to_ipv4_mapped).collect();
    let mut v6: Vec<Ipv6Addr> = v6.into_iter().filter(|ip| ip.to_ipv4_mapped().is_none()).collect();
    let mut v4: Vec<Ipv4Addr> = v4.into_iter().chain(mapped).collect();
    // Servers give records in another order each time.
    v6.sort_unstable();
    v6.dedup();
    v4.sort_unstable();
    v4.dedup();
    let stays = |pair: &&Pair| {
        let both = pair.v6().zip(pair.alternative);
        both.is_some_and(|(six, four)| v6.contains(&six) && v4.contains(&four))
    };
    let mut pairs: Vec<Pair> = known.iter().filter(stays).copied().collect();
    v6.retain(|ip| !pairs.iter().any(|pair| pair.address == *ip));
    v4.retain(|ip| !pairs.iter().any(|pair| pair.alternative == Some(*ip)));
    for at in 0..v6.len().max(v4.len()) {
        let four = v4.get(at).copied();
        pairs.extend(match v6.get(at) {
            Some(six) => Some(Pair { address: (*six).into(), alternative: four }),
            None => four.map(|four| Pair { address: four.into(), alternative: None }),
        });
    }
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(v6: Option<&[&str]>, v4: Option<&[&str]>) -> Vec<Found> {
        let v6 = v6.map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        let v4 = v4.map(|list| list.iter().map(|text| text.parse().unwrap()).collect());
        vec![Found { host: "shop".into(), port: None, weight: 1, addresses: Addresses { v6, v4 } }]
    }

    fn shown(answer: &Answer) -> Vec<String> {
        let text = |(address, alternative): (SocketAddr, Option<SocketAddr>)| match alternative {
            Some(other) => format!("{address} or {other}"),
            None => address.to_string(),
        };
        answer.instances(80).map(|(ends, _)| ends).map(text).collect()
    }

    #[test]
    fn both_families_are_paired_and_the_rest_stands_alone() {
        let none = Answer::default();
        let answer = none.next(found(Some(&["::2", "::1", "::1"]), Some(&["10.0.0.1"])));
        assert_eq!(shown(&answer), ["[::1]:80 or 10.0.0.1:80", "[::2]:80"]);
        let answer = none.next(found(Some(&["::1"]), Some(&["10.0.0.2", "10.0.0.1"])));
        assert_eq!(shown(&answer), ["10.0.0.2:80", "[::1]:80 or 10.0.0.1:80"]);
        let answer = none.next(found(Some(&["::ffff:10.0.0.1"]), Some(&["10.0.0.1"])));
        assert_eq!(shown(&answer), ["10.0.0.1:80"]);
        assert_eq!(none.next(found(Some(&["::1"]), None)), none.next(found(Some(&["::1"]), Some(&[]))));
    }

    #[test]
    fn pairs_stay_together_while_others_come_and_go() {
        let first =
            Answer::default().next(found(Some(&["::2", "::3"]), Some(&["10.0.0.2", "10.0.0.3", "10.0.0.4"])));
        assert_eq!(shown(&first), ["10.0.0.4:80", "[::2]:80 or 10.0.0.2:80", "[::3]:80 or 10.0.0.3:80"]);
        let more =
            first.next(found(Some(&["::1", "::3", "::2"]), Some(&["10.0.0.1", "10.0.0.3", "10.0.0.2"])));
        let pairs = ["[::1]:80 or 10.0.0.1:80", "[::2]:80 or 10.0.0.2:80", "[::3]:80 or 10.0.0.3:80"];
        assert_eq!(shown(&more), pairs);
        let fewer = more.next(found(Some(&["::3", "::2"]), Some(&["10.0.0.3"])));
        assert_eq!(shown(&fewer), ["[::2]:80", "[::3]:80 or 10.0.0.3:80"]);
    }

    #[test]
    fn a_family_that_is_not_answered_keeps_its_addresses() {
        let first = Answer::default().next(found(Some(&["::1"]), Some(&["10.0.0.1", "10.0.0.2"])));
        let next = first.next(found(None, Some(&["10.0.0.1", "10.0.0.3"])));
        assert_eq!(shown(&next), ["10.0.0.3:80", "[::1]:80 or 10.0.0.1:80"]);
        assert_eq!(shown(&first.next(found(Some(&["::1"]), None))), shown(&first));
        assert!(first.next(found(Some(&[]), Some(&[]))).is_empty());
    }

    #[test]
    fn a_name_has_no_more_instances_than_there_is_room_for() {
        let many: Vec<String> = (0..1000).map(|at| format!("10.0.{}.{}", at / 250, at % 250 + 1)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(Answer::default().next(found(None, Some(&many))).instances(1).count(), MOST_INSTANCES);
    }
}
