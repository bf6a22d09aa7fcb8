//! Why a gateway could not start.

use std::path::PathBuf;

use portreeve_config::Faults;

use crate::client::FetchError;
use crate::handover::HandoverFault;
use crate::reload::SaveFault;
use crate::server::ListenError;
use crate::telemetry::TelemetryFault;

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be put in force.
    #[error("the configuration has faults: {0}")]
    Config(#[from] Faults),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(ListenError),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] SaveFault),
    /// The access log cannot be opened.
    #[error("the access log {path} cannot be opened: {source}; check that its folder exists and is writable")]
    AccessLog {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Spans cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryFault),
    /// The client for keys, spans and the control plane cannot be made.
    #[error(transparent)]
    Client(#[from] FetchError),
    /// The place of a running gateway cannot be taken, or offered to a successor.
    #[error(transparent)]
    Handover(#[from] HandoverFault),
    /// The file cannot be watched.
    #[error("{path} cannot be watched for changes: {source}")]
    Watch {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: notify::Error,
    },
}

impl From<ListenError> for StartError {
    fn from(fault: ListenError) -> Self {
        match fault {
            ListenError::Settings(faults) => Self::Config(faults),
            other => Self::Listen(other),
        }
    }
}
