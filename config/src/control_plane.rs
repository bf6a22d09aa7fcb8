//! The control plane's file: where it listens, where it keeps its data, and what it starts with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AuditConfig, ConfigServerConfig, ControlPlaneLimits, EurekaConfig, RouteConfig, StoreConfig, TlsVersion,
    TokenConfig,
};

/// `kind: control-plane`: a control plane process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlPlaneConfig {
    /// The address of everything it serves.
    #[serde(default = "default_listen")]
    pub listen: String,
    /// TLS for all of its listeners; `eureka` and `config_server` may have their own. Beyond loopback it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ControlPlaneTls>,
    /// Whether plain text may be spoken beyond loopback, for a network that is private, or behind a proxy that speaks
    /// TLS. It holds for all listeners that do not have their own word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_text: bool,
    /// The folder of its database.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Where its data is kept: `embedded`, in `data_dir`, or `etcd`, for several control planes together.
    #[serde(default, skip_serializing_if = "StoreConfig::is_default")]
    pub store: StoreConfig,
    /// What an empty database is filled with on the first start; ignored afterwards.
    #[serde(default)]
    pub seed: SeedConfig,
    /// Spans the embedded trace store keeps in memory; the oldest traces go first.
    #[serde(default = "default_trace_spans")]
    pub trace_spans: usize,
    /// The endpoint for clients of Spring Cloud Config; absent, none is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_server: Option<ConfigServerConfig>,
    /// A Eureka server over the same registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eureka: Option<EurekaConfig>,
    /// Who may do what on `listen`. Whoever reaches the address may do everything, when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenConfig>,
    /// Whether spans are taken without a token, for reporters that cannot send one.
    #[serde(default)]
    pub anonymous_spans: bool,
    /// Where attempts to write are noted.
    #[serde(default)]
    pub audit: AuditConfig,
    /// How much clients may ask for, on each listener.
    #[serde(default)]
    pub limits: ControlPlaneLimits,
}

/// TLS towards clients of a control plane. Files are watched: changed ones take effect at once; while they have faults,
/// what was in force stays and the fault is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlPlaneTls {
    /// The chain, PEM, the control plane's own certificate first.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// The authorities that must have signed every client's certificate, PEM. Clients need none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// The lowest version that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// What an empty database is filled with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeedConfig {
    /// Names of services routes may point to before any instance has registered.
    pub services: Vec<String>,
    /// Routes.
    pub routes: Vec<RouteConfig>,
    /// Configuration: application → profile → key → value. The application `application` is everyone's;
    /// the profile `default` always applies.
    pub config: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
}

impl ControlPlaneConfig {
    /// The TLS of the Eureka server; `None` for plain text.
    pub fn eureka_tls(&self) -> Option<&ControlPlaneTls> {
        let own = self.eureka.as_ref()?;
        own.tls.as_ref().or(self.tls.as_ref().filter(|_| !own.plain_text))
    }

    /// The TLS of the config server; `None` for plain text.
    pub fn config_server_tls(&self) -> Option<&ControlPlaneTls> {
        let own = self.config_server.as_ref()?;
        own.tls.as_ref().or(self.tls.as_ref().filter(|_| !own.plain_text))
    }
}

fn default_listen() -> String {
    "127.0.0.1:7070".to_owned()
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("portreeve-data")
}

fn default_trace_spans() -> usize {
    50_000
}
