//! What routes, services, instances and the rest may be called. Names travel through URLs, metrics, log lines,
//! header fields and environment variables; these rules are the narrowest of all of those.

use crate::Fault;

/// A service's name: 1 to 63 of `a-z 0-9 -`, beginning with a letter (a label of RFC 1035, 2.3.1).
pub fn service_name(name: &str) -> Option<Fault> {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(sound)
    {
        return None;
    }
    let fault = Fault::new("", format!("`{name}` is not a service name"));
    Some(fault.hint("1 to 63 characters of `a-z 0-9 -`, beginning with a letter"))
}

/// A route's name: 1 to 128 of `a-z A-Z 0-9 - _ .`, and neither `.` nor `..`, which no URL can carry.
pub fn route_name(name: &str) -> Option<Fault> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=128).contains(&name.len()) && name.bytes().all(sound) && !is_dots(name) {
        return None;
    }
    let fault = Fault::new("", format!("`{name}` is not a route name"));
    Some(fault.hint("1 to 128 characters of `a-z A-Z 0-9 - _ .`"))
}

/// An instance's name: 1 to 253 printable ASCII characters without space and `/`.
pub fn instance_id(id: &str) -> Option<Fault> {
    visible("an instance", id)
}

/// A node's name: as an instance's.
pub fn node_name(name: &str) -> Option<Fault> {
    visible("a node", name)
}

/// A configuration profile: 1 to 63 of `a-z A-Z 0-9 - _`.
pub fn profile_name(name: &str) -> Option<Fault> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=63).contains(&name.len()) && name.bytes().all(sound) {
        return None;
    }
    let fault = Fault::new("", format!("`{name}` is not a profile name"));
    Some(fault.hint("1 to 63 characters of `a-z A-Z 0-9 - _`"))
}

/// The key of a configuration value: 1 to 256 printable ASCII characters without space and `=`.
pub fn config_key(key: &str) -> Option<Fault> {
    if (1..=256).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=') {
        return None;
    }
    let fault = Fault::new("", format!("`{key}` is not a configuration key"));
    Some(fault.hint("1 to 256 printable characters without space and `=`, such as `low-stock`"))
}

/// A configuration value: at most 64 KiB, and no NUL, since services get it as environment. It may be a secret
/// and is not repeated in the fault.
pub fn config_value(value: &str) -> Option<Fault> {
    if value.len() > 64 * 1024 {
        return Some(Fault::new("", "this value is longer than 64 KiB"));
    }
    value.contains('\0').then(|| Fault::new("", "a configuration value cannot hold the character NUL"))
}

fn visible(what: &str, name: &str) -> Option<Fault> {
    let sound = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if (1..=253).contains(&name.len()) && name.bytes().all(sound) && !is_dots(name) {
        return None;
    }
    let fault = Fault::new("", format!("`{name}` is not a name for {what}"));
    Some(fault.hint("1 to 253 printable characters without space and `/`"))
}

fn is_dots(name: &str) -> bool {
    matches!(name, "." | "..")
}
