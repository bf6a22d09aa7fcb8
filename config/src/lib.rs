//! What a user can write, and what nodes say to the control plane: the leaf every other crate stands on.
//!
//! Two kinds of types live here. The *written* types mirror a YAML or JSON document field by field; they
//! deserialise with unknown fields refused and carry units. The checks in [`check`] say what is wrong with a
//! document as a whole, as a list of [`Fault`]s, each with its place. What a crate makes of a checked document
//! (compiled routes, listeners) is that crate's own business.

mod access;
pub mod check;
mod checked;
mod config_server;
mod control_plane;
mod desired_state;
mod dns;
mod eureka;
mod fault;
mod gateway;
pub mod import;
mod json;
mod limits;
mod link;
mod list;
mod listener;
mod load;
mod mend;
mod networks;
mod place;
mod render;
mod route;
mod route_test;
mod schema;
mod secret;
mod shape;
mod sidecar;
mod store;
mod substitute;
mod suggest;
mod tree;
mod units;
mod upstream;
pub mod wire;
mod yaml;

pub use access::{AuditConfig, ControlPlaneLimits, TokenConfig, TokenRole};
pub use checked::Checked;
pub use config_server::{
    BasicCredentials, ConfigServerConfig, ConfigSource, EncryptionConfig, FolderSource, GitSource,
    RefreshConfig, SshConfig,
};
pub use control_plane::{ControlPlaneConfig, ControlPlaneTls, SeedConfig};
pub use desired_state::{DesiredState, Layers};
pub use dns::DnsConfig;
pub use eureka::{BasicUser, EurekaConfig};
pub use fault::{Fault, Faults};
pub use gateway::{
    AccessLog, AuthConfig, AuthProvider, CacheConfig, DuplicateSlashes, GatewayConfig, PathParameters,
    Propagation, TracingConfig, ZipkinConfig,
};
pub use limits::{Http2Limits, Limits};
pub use link::ControlPlaneLink;
pub use listener::{
    Alpn, CertificateConfig, ClientAuth, ClientAuthMode, ListenerConfig, Protocol, ProxyProtocolIn,
    TcpForward, TlsConfig, TlsVersion,
};
pub use load::{
    Document, Kind, LoadError, check_json, load_document, load_document_with, load_file, load_file_with,
    parse_document, parse_json,
};
pub use networks::Networks;
pub use place::{EndpointAddress, ListenAddress};
pub use render::{Content, PlacedFault};
pub use route::{
    AuthRule, Balance, CacheShare, HeaderMatch, HeaderOps, MethodName, Presence, RetryConfig, RetryOn,
    Rewrite, RouteCache, RouteConfig, RouteMatch,
};
pub use route_test::{Expectation, FieldValues, RouteTest, SampleRequest};
pub use schema::schema;
pub use secret::Secret;
pub use sidecar::{ReadyCheck, SidecarConfig};
pub use store::{EtcdConfig, EtcdTls, EtcdUser, StoreConfig};
pub use units::{ByteSize, Period};
pub use upstream::{ProxyVersion, ServiceConfig, UpstreamProtocol, UpstreamTls};
