//! How many connections are open, in all and by client, and who is turned away because of it. Touched once a
//! connection, never by a request.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use portreeve_config::Limits;

use super::entrance::Entrance;
use crate::metrics::Refusal;

/// Clients are spread over so many maps, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// The connections of one server, over all its listeners and workers.
#[derive(Default)]
pub(super) struct Census {
    open: AtomicUsize,
    clients: Clients,
}

#[derive(Default)]
struct Clients {
    hasher: RandomState,
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

impl Census {
    /// A place for one more connection at this listener.
    pub(super) fn enter(self: &Arc<Self>, at: &Arc<Entrance>, limits: &Limits) -> Result<Place, Refusal> {
        if !take(&self.open, limits.connections) {
            return Err(Refusal::Connections);
        }
        if !take(&at.open, at.max_open.unwrap_or(usize::MAX)) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Listener);
        }
        Ok(Place { census: Arc::clone(self), listener: Arc::clone(&at.open), client: None })
    }
}

/// One more, unless that is too many.
fn take(count: &AtomicUsize, most: usize) -> bool {
    let is_taken = count.fetch_add(1, Ordering::Relaxed) < most;
    if !is_taken {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    is_taken
}

/// The place of an open connection; free again when it is dropped.
pub(super) struct Place {
    census: Arc<Census>,
    listener: Arc<AtomicUsize>,
    client: Option<IpAddr>,
}

impl Place {
    /// Says whose it is, once that is known.
    pub(super) fn belongs_to(&mut self, client: IpAddr, limits: &Limits) -> Result<(), Refusal> {
        let client = whole_client(client);
        let mut clients = self.census.clients.of(client);
        let open = clients.entry(client).or_default();
        if *open >= limits.connections_per_client {
            if *open == 0 {
                clients.remove(&client);
            }
            return Err(Refusal::Client);
        }
        *open += 1;
        drop(clients);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.census.open.fetch_sub(1, Ordering::Relaxed);
        self.listener.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.census.clients.of(client);
        if let Some(open) = clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&client);
            }
        }
    }
}

impl Clients {
    fn of(&self, client: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        let shard = usize::try_from(self.hasher.hash_one(client) % SHARDS as u64).unwrap_or(0);
        // Nothing that holds the lock can panic half-way.
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has one address of an IPv6 network has all of its /64.
fn whole_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::SocketAddr;

    use super::*;

    fn entrance(connections: Option<usize>) -> Arc<Entrance> {
        let settings = serde_json::json!({"address": "127.0.0.1:80", "connections": connections});
        let address = SocketAddr::from(([127, 0, 0, 1], 80)).into();
        let settings = serde_json::from_value(settings).unwrap();
        Arc::new(Entrance::compile(&settings, address, None, &crate::tls::Tickets::new()).unwrap())
    }

    fn limits(connections: usize, connections_per_client: usize) -> Limits {
        Limits { connections, connections_per_client, ..Limits::default() }
    }

    #[test]
    fn the_limits_of_all_and_of_a_listener_are_kept_and_places_come_free() {
        let (census, limits) = (Arc::new(Census::default()), limits(3, 9));
        let (narrow, wide) = (entrance(Some(1)), entrance(None));
        let first = census.enter(&narrow, &limits).unwrap();
        assert_eq!(census.enter(&narrow, &limits).err(), Some(Refusal::Listener));
        let _second = census.enter(&wide, &limits).unwrap();
        let _third = census.enter(&wide, &limits).unwrap();
        assert_eq!(census.enter(&wide, &limits).err(), Some(Refusal::Connections));
        drop(first);
        assert!(census.enter(&narrow, &limits).is_ok());
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let (census, limits, at) = (Arc::new(Census::default()), limits(99, 2), entrance(None));
        let come = |client: &str| {
            let mut place = census.enter(&at, &limits)?;
            place.belongs_to(client.parse().unwrap(), &limits).map(|()| place)
        };
        let held =
            [come("10.0.0.1"), come("::ffff:10.0.0.1"), come("2001:db8::1"), come("2001:db8::2:0:0:9")];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(come("10.0.0.1").err(), Some(Refusal::Client));
        assert_eq!(come("2001:db8::3").err(), Some(Refusal::Client));
        let _others = [come("10.0.0.2").unwrap(), come("2001:db8:0:1::1").unwrap()];
        drop(held);
        assert!(come("10.0.0.1").is_ok() && come("2001:db8::3").is_ok());
        let remembered: usize = census.clients.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(remembered, 2, "only clients with open connections are remembered");
    }
}
