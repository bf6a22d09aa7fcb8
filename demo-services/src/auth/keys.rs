//! The signing keys: the newest signs, older ones stay published until the last token they signed has expired.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::database::{StorageError, Stored};
use crate::running::StartError;

/// The `iss` of every token.
pub(super) const ISSUER: &str = "http://auth.shop";
/// The `aud` of every token.
pub(super) const AUDIENCE: &str = "shop";
/// How long a token is good for.
pub(super) const LIFETIME: Duration = Duration::from_secs(3600);

/// How long a replaced key stays published: its last token's life, and a minute for clocks that differ.
const GRACE: Duration = Duration::from_secs(3600 + 60);
/// Keys published at one time. Rotating costs CPU and anyone inside may ask for it, hence a limit.
const MAX_KEYS: usize = 16;

/// A key pair as it is kept.
#[derive(Clone, Debug)]
pub(super) struct StoredKey {
    /// Its RFC 7638 thumbprint.
    pub(super) kid: String,
    /// PKCS #8 in PEM.
    pub(super) pem: String,
}

/// Where keys are kept. Times are seconds since 1970.
pub(super) trait KeyStore: Send + Sync {
    /// All keys that were not replaced before `replaced_after`, the signing one first.
    fn live(&self, replaced_after: i64) -> Stored<'_, Vec<StoredKey>>;
    /// Makes `key` the signing one and marks the others as replaced `now`, when fewer than `limit` are live.
    fn rotate(&self, key: StoredKey, now: i64, limit: Live) -> Stored<'_, bool>;
}

/// A bound on the number of keys that were replaced after a point in time.
#[derive(Clone, Copy)]
pub(super) struct Live {
    pub(super) replaced_after: i64,
    pub(super) fewer_than: usize,
}

/// Why no token could be signed or key be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyFault {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("too many keys are published")]
    TooMany,
    #[error("{0}")]
    Unusable(String),
}

/// The keys, read from the store each time: another instance may have rotated them, and reading takes a
/// twentieth of the time that signing does.
pub(super) struct KeyRing {
    store: Box<dyn KeyStore>,
}

impl KeyRing {
    /// The ring over `store`, with a first key made when it has none.
    pub(super) async fn open(store: Box<dyn KeyStore>) -> Result<Self, StartError> {
        // Refused when this process has installed one already, which is then the same.
        _ = aws_lc::DEFAULT_PROVIDER.install_default();
        let ring = Self { store };
        if ring.store.live(i64::MAX).await?.is_empty() {
            ring.add(1).await.map_err(|fault| match fault {
                KeyFault::Storage(error) => StartError::Storage(error),
                other => StartError::SigningKey { detail: other.to_string() },
            })?;
        }
        Ok(ring)
    }

    /// A token for `user`, good for [`LIFETIME`].
    pub(super) async fn sign(&self, user: &str) -> Result<String, KeyFault> {
        // The signing key has never been replaced, so it is the only one after the end of time.
        let keys = self.store.live(i64::MAX).await?;
        let key = keys.first().ok_or_else(|| KeyFault::Unusable("there is no key".to_owned()))?;
        let now = clock::seconds();
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: user,
            iat: now,
            nbf: now,
            exp: now + LIFETIME.as_secs() as i64,
            jti: format!("{:032x}", rand::random::<u128>()),
        };
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, &claims, &encoding_key(&key.pem)?).map_err(unusable)
    }

    /// The public halves of all keys whose tokens may still be in use, the signing one first.
    pub(super) async fn published(&self) -> Result<Vec<Jwk>, KeyFault> {
        let keys = self.store.live(oldest_live()).await?;
        keys.iter().map(|key| Ok(public_half(&key.pem)?.0)).collect()
    }

    /// Makes a new key, which signs from now on, and says its `kid`.
    pub(super) async fn rotate(&self) -> Result<String, KeyFault> {
        self.add(MAX_KEYS).await
    }

    async fn add(&self, limit: usize) -> Result<String, KeyFault> {
        let live = Live { replaced_after: oldest_live(), fewer_than: limit };
        // Making an RSA key takes a tenth of a second and more: not on a thread that serves, and not in vain.
        if self.store.live(live.replaced_after).await?.len() >= limit {
            return Err(KeyFault::TooMany);
        }
        let key = spawn_blocking(make_key).await.map_err(|error| KeyFault::Unusable(error.to_string()))??;
        let kid = key.kid.clone();
        match self.store.rotate(key, clock::seconds(), live).await? {
            true => Ok(kid),
            // Two instances that start at once on an empty store both make a key; the first one's stands.
            false if limit == 1 => Ok(kid),
            false => Err(KeyFault::TooMany),
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

fn make_key() -> Result<StoredKey, KeyFault> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(unusable)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(unusable)?;
    let pem = pem(der.as_ref());
    let kid = public_half(&pem)?.1;
    Ok(StoredKey { kid, pem })
}

/// RFC 7468, section 10: `PRIVATE KEY`, in lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    pem
}

/// The key as a JWKS shows it (RFC 7517), and its thumbprint.
fn public_half(pem: &str) -> Result<(Jwk, String), KeyFault> {
    let mut jwk = Jwk::from_encoding_key(&encoding_key(pem)?, Algorithm::RS256).map_err(unusable)?;
    let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?;
    jwk.common.key_id = Some(kid.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    jwk.common.key_operations = Some(vec![KeyOperations::Verify]);
    Ok((jwk, kid))
}

fn encoding_key(pem: &str) -> Result<EncodingKey, KeyFault> {
    EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(unusable)
}

fn unusable(error: impl std::error::Error) -> KeyFault {
    KeyFault::Unusable(error.to_string())
}

fn oldest_live() -> i64 {
    clock::seconds() - GRACE.as_secs() as i64
}
