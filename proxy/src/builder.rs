//! A gateway inside another program, from a few calls.

use portreeve_config::{AccessLog, Checked, Faults, GatewayConfig, RouteConfig, ServiceConfig};

use crate::gateway::{Gateway, StartError};
use crate::handover::Takeover;

/// What a gateway will be. Begins with any free port on loopback, no access log, no services and no routes.
#[derive(Debug)]
#[must_use = "nothing runs before `serve`"]
pub struct GatewayBuilder {
    config: Draft,
    takeover: Option<Takeover>,
}

/// A configuration as far as it is known.
#[derive(Debug)]
enum Draft {
    Written(GatewayConfig),
    Checked(Checked<GatewayConfig>),
}

impl Draft {
    /// What has changed is no longer known to be in order.
    fn changed(self, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut config = match self {
            Self::Written(config) => config,
            Self::Checked(config) => config.into_inner(),
        };
        change(&mut config);
        Self::Written(config)
    }

    fn checked(self) -> Result<Checked<GatewayConfig>, Faults> {
        match self {
            Self::Written(config) => config.try_into(),
            Self::Checked(config) => Ok(config),
        }
    }
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
        Self { config: Draft::Written(config), takeover: None }
    }
}

impl GatewayBuilder {
    /// Takes a whole configuration in place of what was said so far.
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = Draft::Written(config);
        self
    }

    /// As [`GatewayBuilder::config`] for one that was loaded from a file. It is not checked a second time, which takes
    /// a while where there are very many routes, unless something is changed in it here.
    pub fn checked(mut self, config: Checked<GatewayConfig>) -> Self {
        self.config = Draft::Checked(config);
        self
    }

    /// Where clients connect.
    pub fn listen(self, address: impl ToString) -> Self {
        self.changed(|config| config.listen = address.to_string())
    }

    /// Where `/metrics`, `/livez` and `/readyz` are.
    pub fn admin(self, address: impl ToString) -> Self {
        self.changed(|config| config.admin = address.to_string())
    }

    /// A service with fixed endpoints, such as `127.0.0.1:8080`.
    pub fn service(
        self,
        name: impl Into<String>,
        endpoints: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| endpoint.to_string()).collect();
        let service = ServiceConfig { endpoints, ..ServiceConfig::default() };
        self.changed(|config| _ = config.services.insert(name.into(), service))
    }

    /// One more route.
    pub fn route(self, route: RouteConfig) -> Self {
        self.changed(|config| config.routes.push(route))
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
        Gateway::start(self.config.checked()?, self.takeover).await
    }

    fn changed(self, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self { config: self.config.changed(change), ..self }
    }
}
