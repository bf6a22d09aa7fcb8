//! Who may do what on a control plane, where it is noted, and how much one client may ask for.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Period, Secret};

/// A token: whoever shows it may do what its role says. The token itself never stands in this document: give
/// `token_file` or `sha256`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// Who shows it, for the history and the audit log: 1 to 128 printable characters without `:`.
    pub name: String,
    /// What it may do.
    pub role: TokenRole,
    /// A file whose first line is the token, of 24 characters at least; followed while the control plane runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The SHA-256 hash of the token, as 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Secret>,
    /// For the role `node`, which needs it: the services whose instances it may register and change, and whose
    /// configuration it is sent. An empty list for a gateway, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
}

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenRole {
    /// Look at everything but secrets.
    Read,
    /// What `read` may, and change routes, services, configuration and instances.
    Operate,
    /// Everything, backups and secrets included.
    Admin,
    /// What a gateway or sidecar does: open a stream, and speak for the instances of `services`.
    Node,
}

impl TokenRole {
    /// The word for it in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
            Self::Node => "node",
        }
    }
}

/// Where attempts to write are noted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// A file that gets one line of JSON an attempt, and is opened anew when it was moved away. Without one they go to
    /// the process's own log, at level `info` with the target `audit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// How much the clients of a control plane may ask for, on each of its listeners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ControlPlaneLimits {
    /// Connections at one time; further ones wait to be accepted.
    pub connections: usize,
    /// Connections at one time from one client address (an IPv6 /64 counts as one); further ones are closed at once.
    pub connections_per_client: usize,
    /// Requests at one time, streams not counted; 503 with `Retry-After` beyond it.
    pub requests: usize,
    /// Requests a second from one client address, in the long run; 429 with `Retry-After` beyond it. 0 asks for
    /// nothing.
    pub request_rate: u32,
    /// Requests that one client address may have at once beyond `request_rate`.
    pub request_burst: u32,
    /// How long a client may take to send a request's head, from its first byte.
    pub header_timeout: Period,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Period,
}

impl Default for ControlPlaneLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            connections_per_client: 12_288,
            requests: 1_024,
            request_rate: 20_000,
            request_burst: 40_000,
            header_timeout: Period::from_secs(10),
            idle_timeout: Period::from_secs(60),
        }
    }
}
