//! TLS in both directions: the one door to rustls.

mod connector;

pub use connector::Connector;
