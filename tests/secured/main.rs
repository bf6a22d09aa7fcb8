//! A control plane over TLS, and those who go to it: what works, what is refused and in which words, and the page that
//! tells how it is done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod listeners;
mod nodes;
mod page;
mod stage;
