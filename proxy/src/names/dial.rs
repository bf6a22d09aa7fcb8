//! How the instances of a fixed service are spoken to: its settings made ready once, whichever addresses it has.

use std::net::SocketAddr;
use std::sync::Arc;

use portreeve_config::{Faults, ServiceConfig, UpstreamProtocol, UpstreamTls};

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

/// The one place where TLS towards instances is made.
fn connector(tls: &UpstreamTls, protocol: UpstreamProtocol) -> Result<Arc<Connector>, Faults> {
    Connector::new(tls, protocol).map(Arc::new).map_err(|found| {
        let mut faults = Faults::default();
        faults.add("tls", found);
        faults
    })
}
