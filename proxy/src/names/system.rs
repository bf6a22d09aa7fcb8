//! Whom to ask, and what is known without asking: `/etc/resolv.conf` and `/etc/hosts`, read again when they have
//! changed. The one door to the resolver's settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use super::answer::Addresses;

/// How long a configured name server has for one try.
const ONE_TRY: Duration = Duration::from_secs(2);

/// The files as they were when they were read: times of change and lengths.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The settings as of one reading.
pub(super) struct System {
    pub(super) resolver: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
    /// A name with fewer dots is searched for in other domains first (resolv.conf(5)).
    dots: usize,
    stamp: Stamp,
}

impl System {
    /// Reads both files, unless they are still as `known` has them. Blocks on the disk.
    pub(super) fn read(known: Option<Arc<Self>>, servers: &[SocketAddr]) -> Result<Arc<Self>, NetError> {
        let stamp = ["/etc/resolv.conf", "/etc/hosts"].map(stamp);
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(known);
        }
        let (config, mut options) = settings(servers);
        // Who follows a name asks when its records have expired; a second store would only make them older.
        options.cache_size = 0;
        // They are looked at here, because DNS must not be asked about a host that stands in the file.
        options.use_hosts_file = ResolveHosts::Never;
        let (_, search, servers) = config.into_parts();
        let (config, dots) = (ResolverConfig::from_parts(None, Vec::new(), servers), options.ndots);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build()?;
        let hosts = Hosts::from_system().unwrap_or_default();
        Ok(Arc::new(Self { resolver, hosts, search, dots, stamp }))
    }

    /// The addresses that `/etc/hosts` has for a host, when it has any.
    pub(super) fn in_hosts_file(&self, host: &Name) -> Option<Addresses> {
        let find = |kind| {
            let lookup = self.hosts.lookup_static_host(&Query::query(host.clone(), kind));
            lookup
                .iter()
                .flat_map(|found| found.answers())
                .map(|record| record.data.clone())
                .collect::<Vec<_>>()
        };
        let v6: Vec<_> = find(RecordType::AAAA).iter().filter_map(ipv6).collect();
        let v4: Vec<_> = find(RecordType::A).iter().filter_map(ipv4).collect();
        let is_there = !v6.is_empty() || !v4.is_empty();
        is_there.then_some(Addresses { v6: Some(v6), v4: Some(v4) })
    }

    /// The absolute names that a name can stand for, in the order in which they are tried.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut absolute = name.clone();
        absolute.set_fqdn(true);
        if name.is_fqdn() {
            return vec![absolute];
        }
        // What becomes too long (RFC 1035, 2.3.4) cannot exist.
        let below = |domain: &Name| name.clone().append_domain(domain).ok();
        let mut candidates: Vec<Name> = self.search.iter().filter_map(below).collect();
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let at = if dots >= self.dots { 0 } else { candidates.len() };
        candidates.insert(at, absolute);
        candidates
    }
}

fn settings(servers: &[SocketAddr]) -> (ResolverConfig, ResolverOpts) {
    if servers.is_empty() {
        return read_system_conf().unwrap_or_else(|fault| {
            tracing::warn!(%fault, "/etc/resolv.conf names no server; the one of this machine is asked");
            // As resolv.conf(5) has it.
            let here = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
            (ResolverConfig::from_name_servers(vec![here]), ResolverOpts::default())
        });
    }
    let server = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        server.connections.iter_mut().for_each(|connection| connection.port = address.port());
        server
    };
    let mut options = ResolverOpts::default();
    options.timeout = ONE_TRY;
    (ResolverConfig::from_name_servers(servers.iter().map(server).collect()), options)
}

/// The address of an AAAA record.
pub(super) fn ipv6(data: &RData) -> Option<Ipv6Addr> {
    match data {
        RData::AAAA(ip) => Some(ip.0),
        _ => None,
    }
}

/// The address of an A record.
pub(super) fn ipv4(data: &RData) -> Option<Ipv4Addr> {
    match data {
        RData::A(ip) => Some(ip.0),
        _ => None,
    }
}

fn stamp(path: impl AsRef<Path>) -> Option<(SystemTime, u64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn system(search: &[&str], dots: usize) -> System {
        let config = ResolverConfig::from_name_servers(Vec::new());
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build();
        let mut hosts = Hosts::default();
        hosts
            .read_hosts_conf("10.0.0.1 Shop shop.internal\n::1 shop\n10.0.0.2 shop # twice".as_bytes())
            .unwrap();
        let search = search.iter().map(|text| Name::from_ascii(text).unwrap()).collect();
        System { resolver: resolver.unwrap(), hosts, search, dots, stamp: [None; 2] }
    }

    fn candidates(system: &System, name: &str) -> Vec<String> {
        system.candidates(&Name::from_ascii(name).unwrap()).iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn names_are_searched_for_as_the_system_says() {
        let system = system(&["shop.svc.", &["a".repeat(62).as_str(); 4].join(".")], 2);
        assert_eq!(candidates(&system, "a.b.c"), ["a.b.c.", "a.b.c.shop.svc."], "the long one cannot be");
        assert_eq!(candidates(&system, "a.b"), ["a.b.shop.svc.", "a.b."]);
        assert_eq!(candidates(&system, "a.b."), ["a.b."]);
    }

    #[test]
    fn the_hosts_file_is_looked_at_first() {
        let system = system(&[], 1);
        let find = |name: &str| system.in_hosts_file(&Name::from_ascii(name).unwrap());
        let found = find("shop").unwrap();
        assert_eq!(found.v6.unwrap(), ["::1".parse::<std::net::Ipv6Addr>().unwrap()]);
        assert_eq!(found.v4.unwrap().len(), 2);
        assert_eq!(find("shop.internal.").unwrap().v6.unwrap().len(), 0);
        assert!(find("other").is_none());
    }
}
