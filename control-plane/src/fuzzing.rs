//! What a fuzzer feeds with bytes of strangers: each function panics when something does not hold that must hold for
//! any bytes. No part of the product; `fuzz/` and the tests call it.

pub use crate::api::fuzzing::{config_path, eureka_json, eureka_xml};
pub use crate::configuration::fuzzing::{config_properties, config_yaml};
pub use crate::store::fuzzing::etcd;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    type Case = (&'static str, fn(&[u8]));

    #[test]
    fn every_seed_passes() {
        let cases: [Case; 6] = [
            ("eureka_json", eureka_json),
            ("eureka_xml", eureka_xml),
            ("config_path", config_path),
            ("config_properties", config_properties),
            ("config_yaml", config_yaml),
            ("etcd", etcd),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        for (name, case) in cases {
            let mut count = 0;
            for seed in std::fs::read_dir(folder.join(name)).unwrap() {
                let path = seed.unwrap().path();
                // Shown only when the case panics.
                println!("{}", path.display());
                case(&std::fs::read(&path).unwrap());
                count += 1;
            }
            assert!(count > 9, "{name} has only {count} seeds");
        }
    }
}
