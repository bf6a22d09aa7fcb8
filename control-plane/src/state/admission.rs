//! What may enter the state beyond what the shared checks say: the size of configuration layers as a whole.

use std::collections::BTreeSet;

use portreeve_config::{DesiredState, Fault, Faults, check};

use crate::store::{LayerKey, Values};

const LAYER_KEYS: usize = 4_096;
/// Keys and values together. A sidecar gets four layers merged, so this bounds what a stream carries at once.
const LAYER_BYTES: usize = 512 * 1024;

/// The faults of a configuration layer. Its keys become environment variables and lines of a file.
pub(super) fn layer(key: &LayerKey, values: &Values) -> Faults {
    let mut faults = Faults::default();
    faults.add("application", check::service_name(&key.application));
    faults.add("profile", check::profile_name(&key.profile));
    faults.add("", size(values));
    for (key, value) in values {
        let place = excerpt(key);
        faults.add(&place, check::config_key(key));
        faults.add(&place, check::config_value(value));
    }
    faults
}

/// The faults of a whole desired state; `known` are the services that there are where it names none.
pub(crate) fn desired_state(state: &DesiredState, known: &BTreeSet<String>) -> Faults {
    let mut faults = check::desired_state(state, Some(known));
    for (application, profiles) in state.config.iter().flatten() {
        for (profile, values) in profiles {
            faults.add(&format!("config.{}.{}", excerpt(application), excerpt(profile)), size(values));
        }
    }
    faults
}

fn size(values: &Values) -> Faults {
    let mut faults = Faults::default();
    if values.len() > LAYER_KEYS {
        faults.push(Fault::new("", format!("{} keys: a layer has at most {LAYER_KEYS}", values.len())));
    }
    let bytes: usize = values.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > LAYER_BYTES {
        faults.push(Fault::new("", format!("{bytes} bytes: a layer has at most {LAYER_BYTES}")));
    }
    faults
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

    use super::*;

    #[test]
    fn a_layer_keeps_to_its_bounds() {
        let key = LayerKey { application: "orders".to_owned(), profile: "default".to_owned() };
        let layer_of =
            |name: &str, value: String| layer(&key, &Values::from([(name.to_owned(), value)])).0.len();
        assert_eq!(layer_of("server.port", "8080".to_owned()), 0);
        for name in ["", "with space", "a=b", "new\nline"] {
            assert_eq!(layer_of(name, String::new()), 1, "{name:?}");
        }
        assert_eq!(layer_of("key", "\0".to_owned()), 1);
        let many = (0..=LAYER_KEYS).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(layer(&key, &many).0.len(), 1);
        let large = (0..20).map(|n| (format!("k{n}"), "x".repeat(30_000))).collect();
        assert_eq!(layer(&key, &large).0.len(), 1);
        let hostile = LayerKey { application: "..\u{0}".to_owned(), profile: "x".repeat(200) };
        assert_eq!(layer(&hostile, &Values::new()).0.len(), 2);
    }
}
