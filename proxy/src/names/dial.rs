//! How the instances of a fixed service are spoken to: its settings made ready once, whichever addresses it has.

use std::net::SocketAddr;
use std::sync::Arc;

use portreeve_config::{Fault, Faults, ServiceConfig, UpstreamProtocol, UpstreamTls};

use crate::address::Dial;
use crate::tls::Connector;

/// What all instances of a service have in common.
#[derive(Clone, Debug)]
pub(super) struct ServiceDial {
    common: Dial,
}

impl ServiceDial {
    /// Makes the settings ready.
    ///
    /// # Errors
    /// Faults of the `tls` section, with paths that start at the service.
    pub(super) fn compile(config: &ServiceConfig) -> Result<Self, Faults> {
        let tls = config.tls.as_ref().map(|tls| connector(tls, config.protocol)).transpose()?;
        let ServiceConfig { protocol, proxy_protocol, .. } = *config;
        Ok(Self { common: Dial { protocol, tls, proxy_protocol, ..Dial::default() } })
    }

    /// How an instance is spoken to that `host` led to.
    pub(super) fn to(&self, host: Option<Arc<str>>, alternative: Option<SocketAddr>) -> Dial {
        Dial { host, alternative, ..self.common.clone() }
    }
}

/// The one place where TLS towards instances is made. Until it can be, a service that wants it is refused: plain text
/// in its stead would be worse.
fn connector(_tls: &UpstreamTls, _protocol: UpstreamProtocol) -> Result<Arc<Connector>, Faults> {
    Err(Fault::new("tls", "TLS towards instances is not there yet").into())
}
