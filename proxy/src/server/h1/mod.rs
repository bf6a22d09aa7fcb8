//! HTTP/1 on the wire, as server and as client. Own code on httparse instead of hyper's: what has two readings is
//! refused before anything of it is believed, interim answers and trailers pass through, idle connections hold no
//! buffers, and an upstream call is a part of the client's task.

mod answer;
mod chunks;
mod client;
mod connection;
mod encode;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod head;
mod instance;
mod names;
mod rehearsal;
mod scan;
mod telling;

pub(super) use client::{Client, Upload};
pub(super) use connection::serve;
pub(super) use encode::{Call, write_switch};
pub(super) use head::{empty_answer, empty_request};
pub(super) use instance::{CallFault, Instance};
pub(crate) use rehearsal::Heard;
