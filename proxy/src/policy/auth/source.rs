//! Where an issuer's keys are found: a JWKS at a fixed place, or the one that OpenID discovery names.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use serde::Deserialize;

use super::jwks::{self, Key};
use crate::client::{Client, FetchError, Limit, shown};

/// What one document of an issuer may cost.
const LIMIT: Limit = Limit { bytes: 256 * 1024, timeout: Duration::from_secs(5) };

/// Fetches the documents of an issuer. [`Client`] does it over HTTP; tests need no network.
pub trait KeyFetch: Send + Sync {
    /// The body found at `url`. It must come to an end by itself, with or without success.
    fn fetch(&self, url: String) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send>>;
}

impl KeyFetch for Client {
    fn fetch(&self, url: String) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send>> {
        let client = self.clone();
        Box::pin(async move { client.get(&url, LIMIT).await })
    }
}

/// Where an issuer's keys are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// A JWKS.
    Jwks(String),
    /// An OpenID discovery document (OpenID Connect Discovery 1.0, 4), whose `jwks_uri` is then followed.
    Discovery { url: String, issuer: String },
}

/// Why an issuer's keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceFault {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{url} is no OpenID discovery document: it must be JSON with `issuer` and `jwks_uri`")]
    NotDiscovery { url: String },
    #[error(
        "{url} speaks for the issuer {found:?} and not for {expected:?}: set `issuer` or `discovery_url` right"
    )]
    OtherIssuer { url: String, found: String, expected: String },
    #[error(
        "{url} names a jwks_uri that cannot be followed: it must be http or https, and https if it is itself"
    )]
    Elsewhere { url: String },
    #[error("{url} is no JWKS: it must be JSON with a list of `keys`")]
    NotJwks { url: String },
}

impl KeySource {
    pub(super) fn url(&self) -> &str {
        match self {
            Self::Jwks(url) | Self::Discovery { url, .. } => url,
        }
    }

    /// The place as logs name it.
    pub(super) fn shown(&self) -> String {
        shown(self.url())
    }

    /// Fetches the usable keys, and says how many were passed over.
    pub(super) async fn load(&self, fetch: &dyn KeyFetch) -> Result<(Vec<Key>, usize), SourceFault> {
        let url = match self {
            Self::Jwks(url) => url.clone(),
            Self::Discovery { url, issuer } => discover(fetch, url, issuer).await?,
        };
        let document = fetch.fetch(url.clone()).await?;
        jwks::parse(&document).ok_or_else(|| SourceFault::NotJwks { url: shown(&url) })
    }
}

async fn discover(fetch: &dyn KeyFetch, url: &str, issuer: &str) -> Result<String, SourceFault> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
        jwks_uri: String,
    }
    let body = fetch.fetch(url.to_owned()).await?;
    let document: Discovery =
        serde_json::from_slice(&body).map_err(|_| SourceFault::NotDiscovery { url: shown(url) })?;
    if document.issuer != issuer {
        return Err(SourceFault::OtherIssuer {
            url: shown(url),
            found: document.issuer.chars().take(200).collect(),
            expected: issuer.to_owned(),
        });
    }
    follow(url, &document.jwks_uri).ok_or_else(|| SourceFault::Elsewhere { url: shown(url) })
}

/// The URL the keys are fetched from. A service that was found by its name (`lb://`) publishes the address that
/// its own users see; its keys are fetched from the same service, at that address's path.
fn follow(discovery: &str, jwks_uri: &str) -> Option<String> {
    let target: Uri = jwks_uri.parse().ok()?;
    let scheme = target.scheme_str()?;
    if scheme != "http" && scheme != "https" {
        return None;
    }
    if let Some(rest) = discovery.strip_prefix("lb://") {
        let service = rest.split('/').next()?;
        return Some(format!("lb://{service}{}", target.path_and_query()?));
    }
    let downgraded = discovery.starts_with("https://") && scheme == "http";
    (!downgraded).then(|| jwks_uri.to_owned())
}
