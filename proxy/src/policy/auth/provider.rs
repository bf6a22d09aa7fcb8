//! One issuer as the gateway uses it: its configuration checked and made ready, and its live keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Uri;
use http::header::HeaderName;
use jsonwebtoken::Algorithm;

use portreeve_config::check::{KEY_REFRESH, LONGEST_LEEWAY, NO_CLAIMS};
use portreeve_config::{AuthProvider, Fault, Faults};

use super::keys::LiveKeys;
use super::source::KeySource;
use super::token::algorithm_named;
use super::{KeySources, canonical};

/// One issuer. Never changed: another configuration makes another provider.
pub(super) struct Provider {
    /// Differs from that of every other provider of this process.
    pub(super) id: u64,
    pub(super) config: AuthProvider,
    pub(super) issuer: Arc<str>,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    /// In seconds.
    pub(super) leeway: u64,
    /// Claim names and the fields they go to.
    pub(super) claims_to_headers: Vec<(String, HeaderName)>,
    pub(super) keys: Arc<LiveKeys>,
}

impl Provider {
    /// Checks `config`; the places in the faults start at the provider.
    pub(super) fn compile(config: &AuthProvider, sources: &KeySources) -> Result<Self, Faults> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut faults = check_values(config);
        let algorithms = algorithms(&config.algorithms, &mut faults);
        let claims_to_headers = claims_to_headers(config, &mut faults);
        let source = source(config, &mut faults);
        faults.into_result(())?;
        let refresh = config.refresh.get();
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            issuer: config.issuer.as_str().into(),
            audiences: config.audiences.clone(),
            algorithms,
            leeway: config.leeway.get().as_secs(),
            claims_to_headers,
            keys: LiveKeys::new(source, refresh, sources.fetch.clone(), sources.runtime.clone()),
            config: config.clone(),
        })
    }
}

fn check_values(config: &AuthProvider) -> Faults {
    let mut faults = Faults::default();
    if config.issuer.is_empty() {
        faults.push(Fault::new("issuer", "the issuer is empty").hint("write the exact `iss` of its tokens"));
    }
    if config.audiences.is_empty() || config.audiences.iter().any(String::is_empty) {
        faults.push(Fault::new("audiences", "at least one audience is needed, and none may be empty"));
    }
    if config.leeway.get() > LONGEST_LEEWAY {
        faults.push(Fault::new("leeway", format!("{} is too much; 5m at most", config.leeway)));
    }
    if !KEY_REFRESH.contains(&config.refresh.get()) {
        faults.push(Fault::new("refresh", format!("{} is not between 1s and 30d", config.refresh)));
    }
    faults
}

fn algorithms(names: &[String], faults: &mut Faults) -> Vec<Algorithm> {
    const KNOWN: &str = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA can be used";
    if names.is_empty() {
        faults.push(Fault::new("algorithms", "no algorithm is accepted").hint(KNOWN));
    }
    let mut algorithms = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        match algorithm_named(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let problem = format!("`{name}` is not an asymmetric signature algorithm known here");
                faults.push(Fault::new(format!("algorithms[{index}]"), problem).hint(KNOWN));
            }
        }
    }
    algorithms
}

fn claims_to_headers(config: &AuthProvider, faults: &mut Faults) -> Vec<(String, HeaderName)> {
    let mut fields: Vec<(String, HeaderName)> = Vec::with_capacity(config.claims_to_headers.len());
    for (claim, field) in &config.claims_to_headers {
        let problem = match HeaderName::from_bytes(field.as_bytes()) {
            Err(_) => format!("`{field}` is not the name of a header field"),
            Ok(name) if NO_CLAIMS.contains(&name.as_str()) => format!("`{field}` cannot hold a claim"),
            Ok(name) if fields.iter().any(|(_, other)| canonical(other).eq(canonical(&name))) => {
                format!("`{field}` already holds another claim")
            }
            Ok(name) => {
                fields.push((claim.clone(), name));
                continue;
            }
        };
        faults.push(Fault::new(format!("claims_to_headers.{claim}"), problem));
    }
    fields
}

fn source(config: &AuthProvider, faults: &mut Faults) -> KeySource {
    let issuer = config.issuer.clone();
    let (field, source) = match (&config.jwks_url, &config.discovery_url) {
        (Some(url), _) => ("jwks_url", KeySource::Jwks(url.clone())),
        (None, Some(url)) => ("discovery_url", KeySource::Discovery { url: url.clone(), issuer }),
        (None, None) => {
            let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            ("issuer", KeySource::Discovery { url, issuer })
        }
    };
    let usable = source.url().parse::<Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https" | "lb"))
            && url.host().is_some_and(|host| !host.is_empty())
    });
    if !usable {
        let fault = Fault::new(field, "the issuer's keys cannot be found: this is no http, https or lb URL");
        faults.push(fault.hint("set `jwks_url` or `discovery_url`"));
    }
    source
}
