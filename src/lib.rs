//! Portreeve as a library: the data plane, the sidecar and the control plane, each to be started inside another
//! program on its own tokio runtime. Nothing is decided here; this file only names what an embedder needs.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use portreeve::{Document, Gateway, load_document};
//!
//! let text = r#"
//! kind: gateway
//! listen: 127.0.0.1:8080
//! services: {hello: {endpoints: ["127.0.0.1:9000"]}}
//! routes: [{name: hello, match: {path: /*}, service: hello}]
//! "#;
//! let Document::Gateway(config) = load_document("inline", text)? else { unreachable!() };
//! let gateway = Gateway::start(*config).await?;
//! println!("listening on {}", gateway.address());
//! # gateway.shutdown().await;
//! # Ok(()) }
//! ```

pub use portreeve_config as config;
pub use portreeve_config::{
    ControlPlaneConfig, Document, Fault, Faults, GatewayConfig, LoadError, RouteConfig, SidecarConfig,
    load_document, load_file,
};
pub use portreeve_control_plane::{ControlPlane, RunningControlPlane};
pub use portreeve_proxy as proxy;
pub use portreeve_proxy::Gateway;
pub use portreeve_sidecar::Sidecar;
