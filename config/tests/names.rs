//! What may be registered, and what things may be called, up to the last character.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use portreeve_config::wire::{Instance, InstanceStatus};
use portreeve_config::{Faults, check};

#[test]
fn instances() {
    let sound = Instance {
        service: "orders".to_owned(),
        id: "host:orders:8080".to_owned(),
        address: "10.0.0.1:8080".parse().unwrap(),
        status: InstanceStatus::Up,
        lease_ms: 3_000,
        metadata: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
    };
    assert_eq!(check::instance(&sound), Faults::default());
    let many = (0..65).map(|n| (n.to_string(), String::new())).collect();
    let large = BTreeMap::from([("k".to_owned(), "v".repeat(16 * 1024))]);
    for (instance, path, words) in [
        (Instance { service: "Orders".to_owned(), ..sound.clone() }, "service", "not a service name"),
        (Instance { id: String::new(), ..sound.clone() }, "id", "not a name for an instance"),
        (Instance { id: "a/b".to_owned(), ..sound.clone() }, "id", "not a name for an instance"),
        (Instance { id: "..".to_owned(), ..sound.clone() }, "id", "not a name for an instance"),
        (Instance { id: "a b".to_owned(), ..sound.clone() }, "id", "not a name for an instance"),
        (Instance { id: "x".repeat(254), ..sound.clone() }, "id", "1 to 253"),
        (Instance { address: "10.0.0.1:0".parse().unwrap(), ..sound.clone() }, "address", "port 0"),
        (Instance { address: "0.0.0.0:1".parse().unwrap(), ..sound.clone() }, "address", "one host"),
        (Instance { address: "[::]:1".parse().unwrap(), ..sound.clone() }, "address", "one host"),
        (Instance { lease_ms: 999, ..sound.clone() }, "lease_ms", "1 s to 10 min"),
        (Instance { lease_ms: 600_001, ..sound.clone() }, "lease_ms", "1 s to 10 min"),
        (Instance { lease_ms: u64::MAX, ..sound.clone() }, "lease_ms", "1 s to 10 min"),
        (Instance { metadata: many, ..sound.clone() }, "metadata", "at most 64"),
        (Instance { metadata: large, ..sound.clone() }, "metadata", "at most 16 KiB"),
    ] {
        let faults = check::instance(&instance);
        assert_eq!(faults.0.len(), 1, "{faults}");
        assert!(faults.0[0].path == path && faults.to_string().contains(words), "{faults}");
    }
}

#[test]
fn names_end_where_they_should() {
    for (name, sound) in
        [("a", true), ("a-1", true), ("1a", false), ("-a", false), ("a_b", false), ("", false)]
    {
        assert_eq!(check::service_name(name).is_none(), sound, "{name}");
    }
    assert!(check::service_name(&"a".repeat(63)).is_none());
    assert!(check::service_name(&"a".repeat(64)).is_some());
    assert!(check::route_name(&"a".repeat(128)).is_none());
    assert!(check::route_name(&"a".repeat(129)).is_some());
    assert!(check::config_value(&"x".repeat(64 * 1024)).is_none());
    assert!(check::config_value(&"x".repeat(64 * 1024 + 1)).is_some());
    assert!(check::config_key("spring.datasource[0].url").is_none());
}
