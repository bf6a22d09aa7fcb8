//! Asks DNS: the one door to the resolver. Both families of a host are asked at one time (RFC 8305, 3), targets of SRV
//! records together, and nothing takes longer than a limit.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name as DnsName, RData, RecordType};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Name;
use super::answer::{Addresses, Found};
use super::system::{System, ipv4, ipv6};

/// How long all tries of one lookup may take: a server that never answers shows after this.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the slower family has when the other is there: some servers never answer about IPv6. RFC 8305 takes 50 ms
/// where a client waits; here nobody does.
const GRACE: Duration = Duration::from_millis(500);
/// Hosts that are looked up at one time. The resolver refuses more than 32 open questions.
const AT_ONCE: usize = 12;
/// The most targets of SRV records that are looked up.
const MOST_TARGETS: usize = 64;
/// How long what stands in a file is believed before the file is looked at again.
const FILE_TTL: Duration = Duration::from_secs(5);

/// Why a lookup brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LookupFault {
    /// The name has no records, or none that lead anywhere.
    #[error("it has no addresses")]
    NoRecords,
    /// No server answered in time.
    #[error("no answer within {LIMIT:?}")]
    Unanswered,
    /// What a server said, or what kept it from saying anything.
    #[error("{0}")]
    Refused(Box<NetError>),
    /// The gateway is stopping.
    #[error("lookups have ended")]
    Ended,
}

/// What a lookup brought.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) found: Vec<Found>,
    /// How long its records live.
    pub(super) ttl: Duration,
    /// Why something is missing, if it is.
    pub(super) missing: Option<LookupFault>,
}

/// Records of one type.
struct Records<T> {
    values: Vec<T>,
    ttl: Duration,
}

/// Makes lookups, a bounded number at one time.
pub(super) struct Lookups {
    servers: Vec<SocketAddr>,
    system: Mutex<Option<Arc<System>>>,
    permits: Semaphore,
}

impl Lookups {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Arc<Self> {
        Arc::new(Self { servers, system: Mutex::new(None), permits: Semaphore::new(AT_ONCE) })
    }

    pub(super) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Looks a name up.
    pub(super) async fn ask(self: &Arc<Self>, name: &Name) -> Result<Outcome, LookupFault> {
        let parsed = parse(name.text())?;
        match name {
            Name::Host(host) => self.host(Arc::clone(host), (None, 1), &parsed).await,
            Name::Srv(_) => self.targets(&parsed).await,
        }
    }

    async fn system(&self) -> Result<Arc<System>, LookupFault> {
        let mut current = self.system.lock().await;
        let (known, servers) = (current.clone(), self.servers.clone());
        let read = tokio::task::spawn_blocking(move || System::read(known, &servers));
        let system = read.await.map_err(|_| LookupFault::Ended)?.map_err(LookupFault::from)?;
        *current = Some(Arc::clone(&system));
        Ok(system)
    }

    /// The addresses of a host; port and weight are those of the record that leads there.
    async fn host(
        &self,
        host: Arc<str>,
        (port, weight): (Option<u16>, u16),
        name: &DnsName,
    ) -> Result<Outcome, LookupFault> {
        let found = |addresses| vec![Found { host, port, weight, addresses }];
        let _permit = self.permits.acquire().await.map_err(|_| LookupFault::Ended)?;
        let system = self.system().await?;
        if let Some(addresses) = system.in_hosts_file(name) {
            return Ok(Outcome { found: found(addresses), ttl: FILE_TTL, missing: None });
        }
        for candidate in system.candidates(name) {
            match addresses(&system, &candidate).await {
                Err(LookupFault::NoRecords) => {}
                Err(fault) => return Err(fault),
                Ok((addresses, ttl, missing)) => {
                    return Ok(Outcome { found: found(addresses), ttl, missing });
                }
            }
        }
        Err(LookupFault::NoRecords)
    }

    /// The targets of the lowest priority and their addresses.
    async fn targets(self: &Arc<Self>, name: &DnsName) -> Result<Outcome, LookupFault> {
        let Records { values: targets, mut ttl } = self.srv(name).await?;
        let mut lookups = JoinSet::new();
        for SrvTarget { target, port, weight } in targets {
            let this = Arc::clone(self);
            lookups.spawn(async move {
                let host: Arc<str> = target.to_ascii().to_ascii_lowercase().into();
                let at = (Some(port), weight);
                let outcome = this.host(Arc::clone(&host), at, &target).await;
                (host, at, outcome)
            });
        }
        let (mut found, mut missing) = (Vec::new(), None);
        while let Some(done) = lookups.join_next().await {
            let (host, (port, weight), outcome) = done.map_err(|_| LookupFault::Ended)?;
            match outcome {
                Ok(outcome) => {
                    ttl = ttl.min(outcome.ttl);
                    missing = missing.or(outcome.missing);
                    found.extend(outcome.found);
                }
                Err(LookupFault::NoRecords) => {}
                // It counts as a target of which nothing could be learnt.
                Err(fault) => {
                    missing = Some(fault);
                    found.push(Found { host, port, weight, addresses: Addresses::default() });
                }
            }
        }
        let is_learnt = |one: &Found| one.addresses.v6.is_some() || one.addresses.v4.is_some();
        if !found.iter().any(is_learnt) {
            return Err(missing.unwrap_or(LookupFault::NoRecords));
        }
        Ok(Outcome { found, ttl, missing })
    }

    async fn srv(&self, name: &DnsName) -> Result<Records<SrvTarget>, LookupFault> {
        let _permit = self.permits.acquire().await.map_err(|_| LookupFault::Ended)?;
        let system = self.system().await?;
        for candidate in system.candidates(name) {
            // A port of 0 and the root as target ("decidedly not available", RFC 2782) lead nowhere.
            let is_of_use = |data: &RData| match data {
                RData::SRV(srv) if srv.port != 0 && !srv.target.is_root() => Some(srv.clone()),
                _ => None,
            };
            let records = match records(&system, &candidate, RecordType::SRV, is_of_use).await {
                Err(LookupFault::NoRecords) => continue,
                other => other?,
            };
            let lowest = records.values.iter().map(|srv| srv.priority).min();
            let group = records.values.into_iter().filter(|srv| Some(srv.priority) == lowest);
            // Of two records for one place the last counts.
            let targets: BTreeMap<_, _> = group.map(|srv| ((srv.target, srv.port), srv.weight)).collect();
            let target = |((target, port), weight)| SrvTarget { target, port, weight };
            return Ok(Records {
                values: targets.into_iter().map(target).take(MOST_TARGETS).collect(),
                ttl: records.ttl,
            });
        }
        Err(LookupFault::NoRecords)
    }
}

/// Where an SRV record leads.
struct SrvTarget {
    target: DnsName,
    port: u16,
    weight: u16,
}

fn parse(text: &str) -> Result<DnsName, LookupFault> {
    DnsName::from_ascii(text).map_err(|fault| NetError::from(fault).into())
}

/// Both families of one absolute name, how long that holds, and why one of them is missing.
async fn addresses(
    system: &System,
    name: &DnsName,
) -> Result<(Addresses, Duration, Option<LookupFault>), LookupFault> {
    let six = |data: &RData| ipv6(data).filter(|ip| leads((*ip).into()));
    let four = |data: &RData| ipv4(data).filter(|ip| leads((*ip).into()));
    let v6 = records(system, name, RecordType::AAAA, six);
    let v4 = records(system, name, RecordType::A, four);
    let (v6, v4) = together(v6, v4).await;
    let (v6, six_ttl, six_fault) = family(v6)?;
    let (v4, four_ttl, four_fault) = family(v4)?;
    let missing = six_fault.or(four_fault);
    let is_empty = v6.as_ref().is_none_or(Vec::is_empty) && v4.as_ref().is_none_or(Vec::is_empty);
    match missing {
        Some(fault) if is_empty => Err(fault),
        None if is_empty => Err(LookupFault::NoRecords),
        missing => Ok((Addresses { v6, v4 }, six_ttl.min(four_ttl), missing)),
    }
}

/// Addresses, for how long, and why there are none.
type Family<T> = (Option<Vec<T>>, Duration, Option<LookupFault>);

fn family<T>(outcome: Result<Records<T>, LookupFault>) -> Result<Family<T>, LookupFault> {
    match outcome {
        Ok(records) => Ok((Some(records.values), records.ttl, None)),
        Err(LookupFault::NoRecords) => Ok((Some(Vec::new()), Duration::MAX, None)),
        Err(LookupFault::Ended) => Err(LookupFault::Ended),
        Err(fault) => Ok((None, Duration::MAX, Some(fault))),
    }
}

/// Waits for both, but not for long when one of them has brought something.
async fn together<T, U>(
    one: impl Future<Output = Result<Records<T>, LookupFault>>,
    other: impl Future<Output = Result<Records<U>, LookupFault>>,
) -> (Result<Records<T>, LookupFault>, Result<Records<U>, LookupFault>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let patience = |has_come: bool| if has_come { GRACE } else { LIMIT };
    tokio::select! {
        first = &mut one => {
            let second = timeout(patience(first.is_ok()), other).await;
            (first, second.unwrap_or(Err(LookupFault::Unanswered)))
        }
        first = &mut other => {
            let second = timeout(patience(first.is_ok()), one).await;
            (second.unwrap_or(Err(LookupFault::Unanswered)), first)
        }
    }
}

/// The records of one type that are of use. None at all is a fault.
async fn records<T>(
    system: &System,
    name: &DnsName,
    kind: RecordType,
    read: impl Fn(&RData) -> Option<T>,
) -> Result<Records<T>, LookupFault> {
    let asked = timeout(LIMIT, system.resolver.lookup(name.clone(), kind)).await;
    let lookup = asked.map_err(|_| LookupFault::Unanswered)??;
    // Aliases on the way to the records expire too.
    let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    let values: Vec<T> = lookup.answers().iter().filter_map(|record| read(&record.data)).collect();
    match values.is_empty() {
        true => Err(LookupFault::NoRecords),
        false => Ok(Records { values, ttl: Duration::from_secs(ttl.into()) }),
    }
}

/// Whether something can be sent to an address. What filters names away answers with such that cannot (`0.0.0.0`).
fn leads(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip.to_canonical(), IpAddr::V4(ip) if ip.is_broadcast());
    !ip.to_canonical().is_unspecified() && !ip.is_multicast() && !is_broadcast
}

impl From<NetError> for LookupFault {
    fn from(fault: NetError) -> Self {
        match fault {
            NetError::Dns(DnsError::NoRecordsFound(_)) => Self::NoRecords,
            NetError::Timeout => Self::Unanswered,
            other => Self::Refused(Box::new(other)),
        }
    }
}
