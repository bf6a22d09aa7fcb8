//! Whose tokens are accepted: a provider that could never be asked for its keys, or that would accept a token
//! anyone can sign, is refused here and not at the first request.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{address, headers, process, route};
use crate::{AuthConfig, AuthProvider, Fault, Faults, Period, suggest};

/// A greater difference between two clocks is a fault to be mended, not to be allowed for.
pub const LONGEST_LEEWAY: Duration = Duration::from_secs(300);
/// How often an issuer's keys are fetched: between hammering it and never hearing of a revoked key.
pub const KEY_REFRESH: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
/// Fields that make the message what it is, or the token itself: a claim can't stand there.
pub const NO_CLAIMS: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Signature algorithms whose keys can be published (RFC 7518, 3.1; RFC 8037, 3.1).
const ASYMMETRIC: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

pub(super) fn faults(config: &AuthConfig, services: Option<&BTreeSet<String>>) -> Faults {
    let mut faults = Faults::default();
    if config.providers.is_empty() {
        let fault = Fault::new("providers", "without a provider no token is ever accepted");
        faults.push(fault.hint("list one, or take `auth` away"));
    }
    let mut issuers = BTreeSet::new();
    for (index, one) in config.providers.iter().enumerate() {
        let place = format!("providers[{index}]");
        faults.add(&place, provider(one, services));
        if !issuers.insert(&one.issuer) {
            faults.push(Fault::new(format!("{place}.issuer"), "another provider has this issuer already"));
        }
    }
    let sound = |byte: u8| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte);
    if !config.realm.bytes().all(sound) {
        let fault = Fault::new("realm", "the realm holds a character that a header field cannot carry");
        faults.push(fault.hint("letters, digits and spaces"));
    }
    faults
}

fn provider(provider: &AuthProvider, services: Option<&BTreeSet<String>>) -> Faults {
    let mut faults = Faults::default();
    if provider.issuer.is_empty() {
        faults.push(Fault::new("issuer", "the issuer is empty").hint("the exact `iss` of the tokens"));
    }
    if provider.audiences.is_empty() {
        let fault = Fault::new("audiences", "at least one audience is needed");
        faults.push(fault.hint("the `aud` of tokens that are meant for this gateway"));
    }
    for (index, _) in provider.audiences.iter().enumerate().filter(|(_, audience)| audience.is_empty()) {
        faults.push(Fault::new(format!("audiences[{index}]"), "this audience is empty"));
    }
    faults.add("", key_source(provider, services));
    faults.add("algorithms", algorithms(&provider.algorithms));
    faults.add("leeway", process::at_most(provider.leeway, LONGEST_LEEWAY));
    faults.add("refresh", refresh(provider.refresh));
    faults.add("claims_to_headers", claims(provider));
    faults
}

fn refresh(every: Period) -> Option<Fault> {
    let (least, most) = (KEY_REFRESH.start(), KEY_REFRESH.end());
    if every.get() < *least {
        let fault = Fault::new("", format!("{every} is too short: at least {}", Period(*least)));
        return Some(fault.hint("an issuer is not to be asked more often"));
    }
    process::at_most(every, *most)
}

fn key_source(provider: &AuthProvider, services: Option<&BTreeSet<String>>) -> Faults {
    const SCHEMES: [&str; 3] = ["http", "https", "lb"];
    let mut faults = Faults::default();
    for (field, text) in [("jwks_url", &provider.jwks_url), ("discovery_url", &provider.discovery_url)] {
        match text.as_deref().map(|text| address::url(text, &SCHEMES)) {
            Some(Err(fault)) => faults.add(field, [fault]),
            Some(Ok(url)) if url.scheme == "lb" => faults.add(field, route::service(url.host, services)),
            _ => {}
        }
    }
    let silent = provider.jwks_url.is_none() && provider.discovery_url.is_none();
    if silent && !provider.issuer.is_empty() && address::url(&provider.issuer, &SCHEMES[..2]).is_err() {
        let fault = Fault::new("issuer", "the issuer is not a URL, so its keys cannot be discovered");
        faults.push(fault.hint("give `jwks_url` or `discovery_url`"));
    }
    faults
}

fn algorithms(algorithms: &[String]) -> Faults {
    let mut faults = Faults::default();
    if algorithms.is_empty() {
        faults
            .push(Fault::new("", "without an algorithm no token is ever accepted").hint("such as `[RS256]`"));
    }
    for (index, name) in algorithms.iter().enumerate() {
        if ASYMMETRIC.contains(&name.as_str()) {
            continue;
        }
        let fault = match name.as_str() {
            "HS256" | "HS384" | "HS512" => {
                Fault::new("", format!("`{name}` is symmetric: whoever can check a token could sign one"))
                    .hint("use RS256, ES256 or EdDSA")
            }
            _ if name.eq_ignore_ascii_case("none") => {
                Fault::new("", "`none` would accept tokens nobody signed").hint("use RS256, ES256 or EdDSA")
            }
            _ => match suggest::closest(name, ASYMMETRIC) {
                Some(close) => Fault::new("", format!("there is no algorithm `{name}`"))
                    .hint(suggest::did_you_mean(close)),
                None => Fault::new("", format!("there is no algorithm `{name}`"))
                    .hint(format!("one of {}", ASYMMETRIC.join(", "))),
            },
        };
        faults.add(&format!("[{index}]"), [fault]);
    }
    faults
}

fn claims(provider: &AuthProvider) -> Faults {
    let mut faults = Faults::default();
    let mut seen = BTreeSet::new();
    for (claim, field) in &provider.claims_to_headers {
        faults.add(claim, headers::changeable(field));
        if claim.is_empty() {
            faults.push(Fault::new("", "a claim has a name"));
        }
        let field_in_small = field.to_ascii_lowercase();
        if NO_CLAIMS.contains(&field_in_small.as_str()) && headers::changeable(field).is_none() {
            let fault = Fault::new(claim.clone(), format!("`{field}` cannot hold a claim"));
            faults.push(fault.hint("take a name of your own, such as `X-User-Id`"));
        }
        // Some servers take `_` and `-` for the same.
        if !seen.insert(field_in_small.replace('_', "-")) {
            faults.push(Fault::new(claim.clone(), format!("another claim goes to `{field}` already")));
        }
    }
    faults
}
