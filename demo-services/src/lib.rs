//! The shop: six small services that show Portreeve at work and serve its tests as upstreams.
//!
//! Each service is an HTTP server of its own with a database of its own (`<data dir>/<service>.sqlite`), speaks
//! JSON, answers errors as `application/problem+json` (RFC 9457) and names its port in `Server-Port`. They call
//! each other by name, through whatever stands at `PORTREEVE_OUTBOUND`, and know nothing else of the proxy.
//!
//! A sidecar tells a service about its surroundings by environment, all of it optional:
//!
//! | Variable | Meaning |
//! |---|---|
//! | `PORTREEVE_SERVICE` | the name in traces; the service's own name when absent |
//! | `PORTREEVE_OUTBOUND` | `http://127.0.0.1:PORT`: where requests to other services go, with `Host: <service>` |
//! | `PORTREEVE_CONFIG_FILE` | a JSON object of configuration, rewritten whole; a change is seen within 300 ms |
//! | `PORTREEVE_ZIPKIN` | where spans are posted, such as `http://127.0.0.1:7070/api/v2/spans` |
//!
//! [`run`] is a service as a process; [`start`] is a service inside a test.

mod auth;
mod body;
mod caller;
mod clock;
mod configuration;
mod database;
mod frame;
mod money;
mod notifications;
mod orders;
mod outbound;
mod payments;
mod problem;
mod products;
mod running;
mod settings;
mod trace;
mod users;

pub use database::StorageError;
pub use running::{RunningService, StartError, run, start};
pub use settings::{Settings, SettingsError, ShopService, UnknownService};
