//! The stories of the README, end to end: the real binary, real processes, real sockets.
//!
//! Each test has a demo of its own, with every port free and every file in a folder that goes with it. One runs at a
//! time: sixteen processes are enough for a small machine, and times measured beside another demo say nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod demo;
mod load;

mod bad_days;
mod cache;
mod configuration;
mod control_plane_away;
mod guide;
mod instances;
mod keys_away;
mod killed;
mod orders;
mod products;
mod readme;
mod routes;
mod sign_in;
mod signals;
mod systemd;
mod takeover;
mod tokens;
mod traces;
