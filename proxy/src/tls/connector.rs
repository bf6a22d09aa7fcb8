//! TLS towards instances.

use portreeve_config::UpstreamTls;

/// Makes TLS connections to the instances of a service.
#[derive(Debug)]
pub struct Connector {
    settings: UpstreamTls,
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}
