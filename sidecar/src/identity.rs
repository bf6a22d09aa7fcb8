//! Who a sidecar is: the names it registers and calls under, and the address others reach it at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Uri;
use portreeve_config::SidecarConfig;
use portreeve_proxy::host_name;
use tokio::net::UdpSocket;

/// An address for documentation (RFC 5737): the way to it is the way to anywhere.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The names of one sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) node: String,
    pub(crate) profile: String,
}

impl Identity {
    /// Names what the configuration leaves out. The instance's name is the same after a restart, so that it finds
    /// its state; the node's is not, so that two processes are never taken for one.
    pub(crate) fn of(config: &SidecarConfig, app: SocketAddr) -> Self {
        let (service, host) = (config.service.clone(), host_name());
        let node = config.control_plane.as_ref().and_then(|link| link.node.clone());
        Self {
            instance: config.instance.clone().unwrap_or_else(|| format!("{service}-{host}-{}", app.port())),
            node: node.unwrap_or_else(|| format!("{service}-{host}-{}", std::process::id())),
            profile: config.profile.clone().unwrap_or_else(|| "default".to_owned()),
            service,
        }
    }
}

/// Where others reach `listening`. A sidecar that listens on all addresses is reached at the one from which it
/// reaches the control plane, or at that of its default route.
pub(crate) async fn reached_at(listening: SocketAddr, control_plane: &str) -> SocketAddr {
    if !listening.ip().is_unspecified() {
        return listening;
    }
    let mut ip = towards_control_plane(control_plane).await;
    if ip.is_none() {
        ip = towards(ANYWHERE).await;
    }
    SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), listening.port())
}

async fn towards_control_plane(url: &str) -> Option<IpAddr> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let mut addresses = tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80))).await.ok()?;
    towards(addresses.next()?).await
}

/// The own address on the way to `there`. Connecting a UDP socket sends nothing; it only asks the routing table.
async fn towards(there: SocketAddr) -> Option<IpAddr> {
    let any = match there {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await.ok()?;
    socket.connect(there).await.ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn config(more: serde_json::Value) -> SidecarConfig {
        let mut config = serde_json::json!({"service": "orders", "app": "127.0.0.1:8080"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn names_are_made_where_none_are_given() {
        let app = "127.0.0.1:8080".parse().unwrap();
        let made = Identity::of(&config(serde_json::json!({})), app);
        assert_eq!(made.instance, format!("orders-{}-8080", host_name()));
        assert_eq!(made.node, format!("orders-{}-{}", host_name(), std::process::id()));
        assert_eq!(made.profile, "default");
        let link = serde_json::json!({"url": "http://127.0.0.1:1", "node": "n"});
        let given = serde_json::json!({"instance": "i", "profile": "p", "control_plane": link});
        let given = Identity::of(&config(given), app);
        assert_eq!([given.instance, given.node, given.profile], ["i", "n", "p"]);
    }

    #[tokio::test]
    async fn a_sidecar_on_all_addresses_is_reached_at_one_of_them() {
        for (listening, control_plane, reached) in [
            ("127.0.0.2:80", "http://127.0.0.1:7070", "127.0.0.2:80"),
            ("0.0.0.0:80", "http://127.0.0.1:7070", "127.0.0.1:80"),
            ("0.0.0.0:80", "http://localhost", "127.0.0.1:80"),
            ("[::]:80", "http://[::1]:7070/", "[::1]:80"),
        ] {
            let reached: SocketAddr = reached.parse().unwrap();
            let found = reached_at(listening.parse().unwrap(), control_plane).await;
            // A host without IPv6, or whose `localhost` is `::1`, gives another loopback address.
            assert!(found == reached || found.ip().is_loopback(), "{listening}: {found}");
            assert_eq!(found.port(), reached.port());
        }
        let found = reached_at("0.0.0.0:80".parse().unwrap(), "http://no-such-host.invalid").await;
        assert!(!found.ip().is_unspecified());
    }
}
