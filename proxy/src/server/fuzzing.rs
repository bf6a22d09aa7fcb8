//! What a fuzzer feeds with bytes of strangers: each function panics when something does not hold that must hold for
//! any bytes. No part of the product; `fuzz/` and the tests call it.

pub use super::h1::fuzzing::{answer_head, chunked, request_head};
pub use super::passthrough::fuzzing::greeting;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[test]
fn every_seed_passes() {
    seeds::feed(&[
        ("request_head", request_head),
        ("answer_head", answer_head),
        ("chunked", chunked),
        ("greeting", greeting),
    ]);
}
