//! Who may do what on a control plane: tokens that can be told apart, and limits within which they do their work.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::limits::within;
use super::process::{self, longer_than_nothing};
use super::{eureka, names};
use crate::{AuditConfig, ControlPlaneLimits, Fault, Faults, TokenConfig, TokenRole};

const DAY: Duration = Duration::from_secs(86_400);
/// The digits of a SHA-256 hash.
const HASH_DIGITS: usize = 64;
/// Names that one token may speak for.
const MAX_SERVICES: usize = 1_024;

pub(super) fn tokens(tokens: &[TokenConfig]) -> Faults {
    let mut faults = Faults::default();
    let (mut names, mut files, mut hashes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, token) in tokens.iter().enumerate() {
        let place = format!("[{index}]");
        faults.add(&place, token_faults(token));
        if !names.insert(&token.name) {
            faults.add(&place, [Fault::new("name", "another token has this name already")]);
        }
        let same_file = token.token_file.as_deref().is_some_and(|file: &Path| !files.insert(file));
        let hash = token.sha256.as_ref().map(|hash| hash.reveal().to_ascii_lowercase());
        if same_file || hash.is_some_and(|hash| !hashes.insert(hash)) {
            let fault = Fault::new("", "another token has this secret already");
            faults.add(&place, [fault.hint("make one for each: `openssl rand -hex 32`")]);
        }
    }
    faults
}

fn token_faults(token: &TokenConfig) -> Faults {
    let mut faults = Faults::default();
    if !eureka::is_user_name(&token.name) {
        let fault = Fault::new("name", "this is not a name for a token");
        faults.push(fault.hint("1 to 128 printable characters without `:`"));
    }
    match (&token.token_file, &token.sha256) {
        (Some(file), None) => faults.add("token_file", process::folder(file)),
        // Not at the field: what stands there may be the token, and its line would be shown.
        (None, Some(hash)) if !is_hash(hash.reveal()) => {
            let fault = Fault::new("name", "the `sha256` of this token is not a hash");
            faults.push(fault.hint("64 hexadecimal digits: `printf %s TOKEN | sha256sum`"));
        }
        (None, Some(_)) => {}
        _ => {
            let fault = Fault::new("name", "a token has `token_file` or `sha256`, and not both");
            faults.push(fault.hint("put the token into a file and name it here"));
        }
    }
    faults.0.extend(services(token));
    faults
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn services(token: &TokenConfig) -> Faults {
    let mut faults = Faults::default();
    match (&token.services, token.role) {
        (None, TokenRole::Node) => {
            let fault = Fault::new("role", "a token of the role `node` needs `services`");
            faults.push(fault.hint("the services it speaks for; `[]` for a gateway"));
        }
        (Some(_), role) if role != TokenRole::Node => {
            let problem = format!("`services` says nothing about the role `{}`", role.as_str());
            faults.push(Fault::new("services", problem).hint("take it out, or make the role `node`"));
        }
        (services, _) => {
            faults.add("services", service_list(services.as_deref().unwrap_or_default()));
        }
    }
    faults
}

/// A list of services that somebody is limited to.
pub(super) fn service_list(services: &[String]) -> Faults {
    let mut faults = Faults::default();
    if services.len() > MAX_SERVICES {
        let fault = Fault::new("", format!("{} services: at most {MAX_SERVICES}", services.len()));
        return fault.hint("the role `operate` may speak for all of them").into();
    }
    let mut known = BTreeSet::new();
    for (index, service) in services.iter().enumerate() {
        let place = format!("[{index}]");
        faults.add(&place, names::service_name(service));
        if !known.insert(service) {
            faults.push(Fault::new(place, format!("`{service}` is there twice")));
        }
    }
    faults
}

pub(super) fn audit(audit: &AuditConfig) -> Option<Fault> {
    audit.file.as_deref().and_then(process::folder).map(|fault| fault.under("file"))
}

pub(super) fn limits(limits: &ControlPlaneLimits) -> Faults {
    let mut faults = Faults::default();
    let rate = u64::from(limits.request_rate);
    for (field, number, range) in [
        ("connections", limits.connections as u64, 1..=10_000_000),
        ("connections_per_client", limits.connections_per_client as u64, 1..=10_000_000),
        ("requests", limits.requests as u64, 1..=1_000_000),
        ("request_rate", rate, 0..=10_000_000),
        ("request_burst", limits.request_burst.into(), 1..=100_000_000),
    ] {
        faults.add(field, within(number, range, |number| number));
    }
    for (field, period) in [("header_timeout", limits.header_timeout), ("idle_timeout", limits.idle_timeout)]
    {
        faults.add(field, longer_than_nothing(period, DAY));
    }
    faults
}
