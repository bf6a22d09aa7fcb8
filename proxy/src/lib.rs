//! The data plane of Portreeve as a library: a reverse proxy with routes, round robin, token checks, a response
//! cache, retries and traces, whose configuration changes while it runs.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let portreeve_config::Document::Gateway(config) = portreeve_config::load_file("gateway.yaml".as_ref())? else {
//!     return Err("not a gateway's file".into());
//! };
//! let gateway = portreeve_proxy::Gateway::builder().checked(*config).serve().await?;
//! println!("listening on {}", gateway.local_addrs().listen);
//! tokio::signal::ctrl_c().await?;
//! gateway.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! The rooms: [`server`] does the socket I/O, [`pipeline`] is the life of a request, [`policy`] decides,
//! [`snapshot`] is a configuration made ready, [`reload`] puts a new one in force, [`rejection`] says no.

pub mod access_log;
pub mod address;
mod builder;
pub mod client;
pub mod explain;
mod gateway;
pub mod handover;
pub mod metrics;
pub mod names;
pub mod pipeline;
pub mod plane;
pub mod policy;
pub mod rejection;
pub mod reload;
pub mod server;
pub mod snapshot;
pub mod target;
pub mod telemetry;

pub use builder::GatewayBuilder;
pub use gateway::{Gateway, LocalAddrs, StartError, exposition, host_name, linked, span_endpoint, span_sink};
pub use portreeve_tls as tls;
