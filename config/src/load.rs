//! From a file's text to a checked document.

use std::path::Path;

use crate::{ControlPlaneConfig, GatewayConfig, SidecarConfig};

/// A checked document; its `kind:` says which.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// `kind: gateway`
    Gateway(Box<GatewayConfig>),
    /// `kind: sidecar`
    Sidecar(Box<SidecarConfig>),
    /// `kind: control-plane`
    ControlPlane(Box<ControlPlaneConfig>),
}

/// Why a file could not be used. `Display` gives the whole message for a terminal, each fault with its file,
/// line and caret.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads and checks a file.
pub fn load_file(path: &Path) -> Result<Document, LoadError> {
    let _ = path;
    load_document("", "")
}

/// Checks a text. `name` stands for the file in messages.
pub fn load_document(name: &str, text: &str) -> Result<Document, LoadError> {
    let _ = (name, text);
    Err(LoadError::Read { path: String::new(), source: std::io::Error::other("") })
}

/// Deserialises any type from YAML text with every fault found, for documents that have no `kind:`.
pub fn parse_document<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, LoadError> {
    let _ = (name, text);
    Err(LoadError::Read { path: String::new(), source: std::io::Error::other("") })
}
