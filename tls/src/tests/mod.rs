//! What a handshake shows and refuses, with certificates made for each test.
#![allow(clippy::unwrap_used)]

mod accepting;
mod connecting;
mod identities;
mod material;
mod names;
mod openssl;
mod replacement;
mod resumption;
mod settings;
