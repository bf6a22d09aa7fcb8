//! The Eureka server that a control plane can be beside its own API: where it listens, and who may use it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ControlPlaneTls;

/// A Eureka server (v2 of its REST protocol) over the control plane's one registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EurekaConfig {
    /// The address Eureka clients connect to.
    pub listen: String,
    /// TLS, where it is to be another than the control plane's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ControlPlaneTls>,
    /// Plain text on this listener, also where the control plane has `tls`, and also beyond loopback.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plain_text: bool,
    /// Who may use it, by HTTP Basic. Anybody who reaches the address, when empty; beyond loopback that must be said
    /// (`anyone`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<BasicUser>,
    /// Whether anybody who reaches it may use it beyond loopback, without a name and a password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anyone: bool,
}

impl Default for EurekaConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8761".to_owned(),
            tls: None,
            plain_text: false,
            users: Vec::new(),
            anyone: false,
        }
    }
}

/// A user of HTTP Basic (RFC 7617). The password itself never stands in this document: give one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicUser {
    /// The name: 1 to 128 printable characters without `:`.
    pub name: String,
    /// An Argon2 hash of the password (`$argon2id$…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// A file whose first line is the password; read at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The services it is limited to: whose instances it may write, or whose configuration it may read. Not limited
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
}
