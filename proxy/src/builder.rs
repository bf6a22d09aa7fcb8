//! A gateway inside another program, from a few calls.

use portreeve_config::{AccessLog, GatewayConfig, RouteConfig, ServiceConfig};

use crate::gateway::{Gateway, StartError};
use crate::handover::Takeover;

/// What a gateway will be. Begins with any free port on loopback, no access log, no services and no routes.
#[derive(Debug)]
#[must_use = "nothing runs before `serve`"]
pub struct GatewayBuilder {
    config: GatewayConfig,
    takeover: Option<Takeover>,
}

impl Default for GatewayBuilder {
    fn default() -> Self {
        let any_port = || "127.0.0.1:0".to_owned();
        let config = GatewayConfig {
            listen: any_port(),
            admin: any_port(),
            access_log: AccessLog::Off,
            ..Default::default()
        };
        Self { config, takeover: None }
    }
}

impl GatewayBuilder {
    /// Takes a whole configuration in place of what was said so far.
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = config;
        self
    }

    /// Where clients connect.
    pub fn listen(mut self, address: impl ToString) -> Self {
        self.config.listen = address.to_string();
        self
    }

    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub fn admin(mut self, address: impl ToString) -> Self {
        self.config.admin = address.to_string();
        self
    }

    /// A service with fixed endpoints, such as `127.0.0.1:8080`.
    pub fn service(
        mut self,
        name: impl Into<String>,
        endpoints: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint.to_string()).collect();
        self.config.services.insert(name.into(), ServiceConfig { endpoints, ..ServiceConfig::default() });
        self
    }

    /// One more route.
    pub fn route(mut self, route: RouteConfig) -> Self {
        self.config.routes.push(route);
        self
    }

    /// Takes the place of a running gateway: its listening sockets are used where the configuration has the same
    /// addresses. That one goes on until [`Gateway::open_handover`].
    pub fn takeover(mut self, takeover: Option<Takeover>) -> Self {
        self.takeover = takeover;
        self
    }

    /// Starts the gateway on the caller's tokio runtime, which carries its errands; traffic has threads of its own.
    /// Serving begins before a control plane is reached, with what the last run kept.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn serve(self) -> Result<Gateway, StartError> {
        Gateway::start(self.config, self.takeover).await
    }
}
