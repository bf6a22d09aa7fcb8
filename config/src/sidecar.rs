//! The sidecar's file: which service it stands beside, and how. Most fields have a command-line flag too.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::route::default_timeout;
use crate::{AccessLog, ControlPlaneLink, Limits, Period, TracingConfig, UpstreamProtocol};

/// `kind: sidecar`: a sidecar process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SidecarConfig {
    /// The service's name, as routes and other services call it.
    pub service: String,
    /// The address the service itself listens on.
    pub app: String,
    /// What the service speaks: HTTP/1.1, or with `http2` HTTP/2 by prior knowledge, as servers of gRPC do.
    #[serde(default, skip_serializing_if = "UpstreamProtocol::is_default")]
    pub protocol: UpstreamProtocol,
    /// The name of this instance; made from service, host name and app port when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The configuration profile (`default` layers always apply).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The control plane. Without one the sidecar serves from its last snapshot, or only inbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ControlPlaneLink>,
    /// The address others reach the service through, and which is registered. Port 0 takes any free port.
    #[serde(default = "any_port")]
    pub inbound: String,
    /// The address the service reaches others through, by their name. Port 0 takes any free port.
    #[serde(default = "any_port")]
    pub outbound: String,
    /// The address of `/metrics`, `/livez` and `/readyz`. Port 0 takes any free port.
    #[serde(default = "any_port")]
    pub admin: String,
    /// The services that this one calls; only they can be reached through it then, and only of their instances it is told.
    /// All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<String>>,
    /// How long another service may take until its answer's head is there, all attempts together.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Threads that carry traffic.
    #[serde(default = "one")]
    pub workers: usize,
    /// The folder for what must survive a restart, and for the service's configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// How the service shows that it is ready.
    #[serde(default)]
    pub ready: ReadyCheck,
    /// How long the lease lasts without a sign of life.
    #[serde(default = "default_lease")]
    pub lease: Period,
    /// Traces.
    #[serde(default)]
    pub tracing: TracingConfig,
    /// The access log.
    #[serde(default = "off")]
    pub access_log: AccessLog,
    /// Limits on what a client may send or hold.
    #[serde(default)]
    pub limits: Limits,
}

/// How a service shows that it is ready to take requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReadyCheck {
    /// A path that must answer 2xx; when absent, a connection that is accepted is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long the service may take; after that the sidecar gives up and stops it.
    pub timeout: Period,
}

impl Default for ReadyCheck {
    fn default() -> Self {
        Self { path: None, timeout: Period::from_secs(60) }
    }
}

fn any_port() -> String {
    "127.0.0.1:0".to_owned()
}

fn one() -> usize {
    1
}

fn default_lease() -> Period {
    Period::from_secs(3)
}

fn off() -> AccessLog {
    AccessLog::Off
}
