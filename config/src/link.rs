//! How a node reaches the control plane: where it is, whom it trusts there, who it is itself, and the token it shows.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a node reaches the control plane. The files are read again as connections are begun, so that they can be replaced
/// while the node runs; while one of `ca`, `certificate` and `key` has faults, what it held before stays in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlPlaneLink {
    /// Its address, such as `http://127.0.0.1:7070` or `https://control-plane.internal:7070`.
    pub url: String,
    /// Further control planes that share its store; the next one is gone to when one is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<String>,
    /// This node's name there; `gateway-<host name>` or `<service>-<host name>-<process>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// With `https://`: the authorities that may have signed its certificate, PEM; the public ones (webpki-roots) when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// With `https://`: this node's own certificate chain, PEM, where the control plane asks for one. Needs `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The private key of `certificate`, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The file that holds the token this node shows; white space around it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Whether the token may go over `http://` to other machines, where whoever is on the way can read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_text: bool,
}

impl ControlPlaneLink {
    /// All addresses, as they were written; at least one.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.replicas).map(String::as_str)
    }
}
