//! Portreeve as a library: the data plane, the sidecar and the control plane, each to be started inside another
//! program on its own tokio runtime. Nothing is decided here; this file names what an embedder needs, and joins what the
//! parts know of a file.
//!
//! Errors are values, nothing ends the process, and no signal or log is touched. One thing is set for the whole
//! process, where nothing was set before: the crypto provider of jsonwebtoken, which panics without one.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use portreeve::{Gateway, RouteConfig};
//!
//! let gateway = Gateway::builder()
//!     .service("hello", ["127.0.0.1:9000", "127.0.0.1:9001"])
//!     .route(RouteConfig::new("hello", "/hello/*", "hello"))
//!     .serve()
//!     .await?;
//! println!("listening on {}", gateway.local_addrs().listen);
//! # gateway.shutdown().await;
//! # Ok(()) }
//! ```

use std::path::Path;

pub use portreeve_config as config;
pub use portreeve_config::{
    Checked, ControlPlaneConfig, Document, Fault, Faults, GatewayConfig, LoadError, RouteConfig,
    SidecarConfig, load_document, load_file,
};
pub use portreeve_control_plane::{ControlPlane, RunningControlPlane};
pub use portreeve_proxy as proxy;
pub use portreeve_proxy::{Gateway, GatewayBuilder, LocalAddrs};
pub use portreeve_sidecar::Sidecar;

/// Reads and checks a file as [`load_file`] does, and tries its `tests`. What fails is a fault like any other, with its
/// line.
///
/// # Errors
/// See [`LoadError`].
pub fn check_file(path: &Path) -> Result<Document, LoadError> {
    config::load_file_with(path, &failing_tests)
}

/// The same for a text; `name` stands for the file in messages.
///
/// # Errors
/// See [`LoadError`].
pub fn check_document(name: &str, text: &str) -> Result<Document, LoadError> {
    config::load_document_with(name, text, &failing_tests)
}

fn failing_tests(document: &Document) -> Faults {
    match document {
        Document::Gateway(config) => proxy::explain::failing_tests(config),
        Document::Sidecar(_) | Document::ControlPlane(_) | Document::DesiredState(_) => Faults::default(),
    }
}
