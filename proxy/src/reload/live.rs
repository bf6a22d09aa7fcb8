//! The one place where the configuration in force is held.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::client::Resolve;
use crate::snapshot::Snapshot;

/// The configuration in force. One writer swaps it; any number of readers take it without waiting.
pub struct Live {
    current: ArcSwap<Snapshot>,
}

impl Live {
    /// Begins with `snapshot`.
    pub fn new(snapshot: Snapshot) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(snapshot) })
    }

    /// The configuration in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Whether `snapshot` is the one in force.
    pub fn is_current(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.current.load(), snapshot)
    }

    /// Puts `snapshot` in force. Requests under way finish with what they began with.
    pub fn swap(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }
}

/// `lb://` addresses of the gateway's own errands lead to the same instances as its routes.
impl Resolve for Live {
    fn endpoints(&self, service: &str) -> Vec<SocketAddr> {
        let snapshot = self.current.load();
        let Some(service) = snapshot.service(service) else { return Vec::new() };
        let mut endpoints: Vec<_> = service.endpoints.iter().collect();
        endpoints.sort_by_key(|endpoint| endpoint.is_aside());
        let both = endpoints.into_iter().flat_map(|one| [one.address.socket(), one.dial.alternative]);
        both.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::address::Dial;
    use crate::policy::balance::EndpointSpec;

    use super::*;

    #[test]
    fn errands_know_every_address_of_an_instance() {
        let alternative = SocketAddr::from(([10, 0, 0, 1], 80));
        let named = EndpointSpec {
            address: SocketAddr::from(([0; 16], 80)).into(),
            id: "shop/[::]:80".into(),
            dial: Arc::new(Dial { alternative: Some(alternative), ..Dial::default() }),
            weight: 1,
        };
        let alone = SocketAddr::from(([10, 0, 0, 2], 80));
        let specs = vec![named.clone(), EndpointSpec::plain(alone, "alone")];
        let live = Live::new(Snapshot::empty(1).with_endpoints([("shop".to_owned(), specs)]));
        let known = live.endpoints("shop");
        assert_eq!(known.len(), 3);
        assert!(
            known.windows(2).any(|two| two == [SocketAddr::from(([0; 16], 80)), alternative]),
            "{known:?}"
        );
        assert!(known.contains(&alone) && live.endpoints("other").is_empty());
    }
}
