//! The shop's six services over real sockets: what each answers, and what they keep when things go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod client;
mod money_and_mail;
mod orders;
mod outbound;
mod products;
mod recovery;
mod surroundings;
mod tracing;
mod users;
