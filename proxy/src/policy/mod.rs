//! What Portreeve decides about a request, one folder or file a subject. Policies are peers: they never import
//! each other, know nothing of sockets, and answer with values; `pipeline` asks them in order.

pub mod auth;
pub mod balance;
pub mod cache;
pub mod grpc;
pub mod headers;
pub mod path;
pub mod retry;
pub mod rewrite;
pub mod routing;
pub mod template;
pub mod trace;
