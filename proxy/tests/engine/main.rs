//! The data plane under attack: a whole gateway in this process, origins and clients made by hand, and real sockets
//! between them. What is proved here is what a client and an origin can see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod balance;
mod bodies;
mod cache;
mod claims;
mod client;
mod client_certificates;
mod control;
mod dns;
mod endings;
mod ends;
mod explained;
mod failures;
mod false_answers;
mod flow;
mod followed;
mod foreign;
mod forwarded;
mod http2;
mod lies;
mod limits;
mod listeners;
mod live;
mod lookups;
mod loris;
mod messages;
mod names;
mod observed;
mod origin;
mod outages;
mod pairings;
mod refusals;
mod reload;
mod seeds;
mod smuggling;
mod stage;
mod stopping;
mod streams;
mod tunnels;
