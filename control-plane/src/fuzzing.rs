//! What a fuzzer feeds with bytes of strangers: each function panics when something does not hold that must hold for
//! any bytes. No part of the product; `fuzz/` and the tests call it.

pub use crate::api::fuzzing::{config_path, eureka_json, eureka_xml};
pub use crate::configuration::fuzzing::{config_properties, config_yaml};
pub use crate::store::fuzzing::etcd;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;

#[test]
fn every_seed_passes() {
    seeds::feed(&[
        ("eureka_json", eureka_json),
        ("eureka_xml", eureka_xml),
        ("config_path", config_path),
        ("config_properties", config_properties),
        ("config_yaml", config_yaml),
        ("etcd", etcd),
    ]);
}
