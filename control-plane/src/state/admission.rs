//! What may enter the state: names, instances and configuration layers within their bounds. Routes are
//! checked by the shared checks of the config crate.

use portreeve_config::wire::Instance;
use portreeve_config::{Fault, Faults};

use crate::store::{LayerKey, Values};

const NAME_LENGTH: usize = 128;
const ID_LENGTH: usize = 253;
const LEASE_MS: std::ops::RangeInclusive<u64> = 1_000..=600_000;
const METADATA_ENTRIES: usize = 64;
const METADATA_BYTES: usize = 16 * 1024;
const LAYER_KEYS: usize = 4_096;
const LAYER_KEY_LENGTH: usize = 253;
const LAYER_VALUE_BYTES: usize = 32 * 1024;
const LAYER_BYTES: usize = 512 * 1024;

/// The faults of a service's name.
pub(crate) fn service_name(name: &str) -> Faults {
    let mut faults = Faults::default();
    check_name(&mut faults, "service", name);
    faults
}

/// The faults of an instance that wants to be registered.
pub(crate) fn instance(instance: &Instance) -> Faults {
    let mut faults = service_name(&instance.service);
    let id = &instance.id;
    if id.is_empty()
        || id.len() > ID_LENGTH
        || id.contains('/')
        || id.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        faults.push(
            Fault::new("id", "an instance's id is 1 to 253 printable characters without space or `/`")
                .hint("`<service>-<host>-<port>` is a good id"),
        );
    }
    if instance.address.port() == 0 {
        faults.push(Fault::new("address", "port 0 is no port to connect to"));
    }
    if instance.address.ip().is_unspecified() || instance.address.ip().is_multicast() {
        faults.push(
            Fault::new("address", format!("{} is no address to connect to", instance.address.ip()))
                .hint("register the address others reach it by"),
        );
    }
    if !LEASE_MS.contains(&instance.lease_ms) {
        faults.push(Fault::new("lease_ms", "a lease is 1,000 to 600,000 milliseconds"));
    }
    let bytes: usize = instance.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if instance.metadata.len() > METADATA_ENTRIES || bytes > METADATA_BYTES {
        faults.push(Fault::new("metadata", "metadata is at most 64 entries and 16 KiB"));
    }
    faults
}

/// The faults of a configuration layer. Its keys become environment variables and lines of a file.
pub(crate) fn layer(key: &LayerKey, values: &Values) -> Faults {
    let mut faults = Faults::default();
    check_name(&mut faults, "application", &key.application);
    check_name(&mut faults, "profile", &key.profile);
    if values.len() > LAYER_KEYS {
        faults.push(Fault::new("", format!("a layer has at most {LAYER_KEYS} keys")));
    }
    if values.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > LAYER_BYTES {
        faults.push(Fault::new("", format!("a layer is at most {} KiB", LAYER_BYTES / 1024)));
    }
    for (name, value) in values {
        if name.is_empty()
            || name.len() > LAYER_KEY_LENGTH
            || name.chars().any(|c| c.is_control() || c.is_whitespace() || c == '=')
        {
            let problem = "a key is 1 to 253 characters without space, `=` or control characters";
            faults.push(Fault::new(excerpt(name), problem));
        }
        if value.len() > LAYER_VALUE_BYTES {
            faults.push(Fault::new(excerpt(name), "a value is at most 32 KiB"));
        }
        if value.contains('\0') {
            faults.push(Fault::new(excerpt(name), "a value cannot hold the character NUL"));
        }
    }
    faults
}

/// Whether a text can be the name of a service, an application or a profile.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LENGTH
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn check_name(faults: &mut Faults, path: &str, name: &str) {
    if !is_name(name) {
        let problem = format!("a name is 1 to {NAME_LENGTH} characters of `a-z A-Z 0-9 - _ .`");
        faults.push(Fault::new(path, problem));
    }
}

/// As much of a hostile text as fits a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 64;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeMap;

    use portreeve_config::wire::InstanceStatus;

    use super::*;

    fn sound() -> Instance {
        Instance {
            service: "orders".to_owned(),
            id: "orders-1".to_owned(),
            address: "127.0.0.1:4000".parse().unwrap(),
            status: InstanceStatus::Up,
            lease_ms: 3_000,
            metadata: BTreeMap::new(),
        }
    }

    #[test]
    fn a_sound_instance_may_enter() {
        assert_eq!(instance(&sound()), Faults::default());
    }

    #[test]
    fn every_bound_of_an_instance_is_kept() {
        let big = BTreeMap::from([("key".to_owned(), "x".repeat(METADATA_BYTES))]);
        let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
        let cases: [(&str, Instance); 12] = [
            ("service", Instance { service: String::new(), ..sound() }),
            ("service", Instance { service: "a/b".to_owned(), ..sound() }),
            ("service", Instance { service: "x".repeat(65_536), ..sound() }),
            ("id", Instance { id: String::new(), ..sound() }),
            ("id", Instance { id: "a\u{7}".to_owned(), ..sound() }),
            ("id", Instance { id: "a/b".to_owned(), ..sound() }),
            ("address", Instance { address: "127.0.0.1:0".parse().unwrap(), ..sound() }),
            ("address", Instance { address: "0.0.0.0:80".parse().unwrap(), ..sound() }),
            ("lease_ms", Instance { lease_ms: 999, ..sound() }),
            ("lease_ms", Instance { lease_ms: 600_001, ..sound() }),
            ("metadata", Instance { metadata: big, ..sound() }),
            ("metadata", Instance { metadata: many, ..sound() }),
        ];
        for (path, case) in cases {
            let faults = instance(&case);
            assert_eq!(faults.0.len(), 1, "{case:?}");
            assert_eq!(faults.0[0].path, path);
        }
    }

    #[test]
    fn a_layer_keeps_to_its_bounds() {
        let key = LayerKey { application: "orders".to_owned(), profile: "default".to_owned() };
        let layer_of = |name: &str, value: String| layer(&key, &Values::from([(name.to_owned(), value)]));
        assert_eq!(layer_of("server.port", "8080".to_owned()), Faults::default());
        for name in ["", "with space", "a=b", "new\nline"] {
            assert_eq!(layer_of(name, String::new()).0.len(), 1, "{name:?}");
        }
        assert_eq!(layer_of("key", "x".repeat(LAYER_VALUE_BYTES + 1)).0.len(), 1);
        assert_eq!(layer_of("key", "\0".to_owned()).0.len(), 1);
        let hostile = LayerKey { application: "..\u{0}".to_owned(), profile: "x".repeat(200) };
        assert_eq!(layer(&hostile, &Values::new()).0.len(), 2);
    }
}
