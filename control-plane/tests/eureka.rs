//! Every endpoint of Eureka's protocol, in both formats, as its clients use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "eureka/client.rs"]
mod client;
#[path = "eureka/endpoints.rs"]
mod endpoints;
#[path = "eureka/formats.rs"]
mod formats;
#[path = "eureka/hostile.rs"]
mod hostile;
#[path = "eureka/one_registry.rs"]
mod one_registry;
#[path = "eureka/overrides.rs"]
mod overrides;
mod support;
#[path = "eureka/users.rs"]
mod users;
