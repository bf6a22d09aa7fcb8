//! A key set as published (RFC 7517), and which of its keys a token may be verified with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::token::algorithm_named;

/// The most keys that are taken from one set.
const MOST_KEYS: usize = 64;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The usable keys of one issuer, as of one fetch.
pub(super) struct KeySet {
    /// Differs whenever the keys differ.
    pub(super) generation: u64,
    pub(super) keys: Vec<Key>,
}

/// One public key.
pub(super) struct Key {
    published: Jwk,
    algorithms: Vec<Algorithm>,
    material: DecodingKey,
}

/// Why a set has no key for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// It does not hold the key the token names; a newer set may.
    Unknown,
    /// It holds that key, and it is for another algorithm.
    Unfit,
}

impl KeySet {
    /// The keys a token may have been signed with: those of its `kid` that fit its algorithm, or without a `kid`
    /// the one key that fits. More than one is returned only where the set has doubled a `kid`.
    pub(super) fn select(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&Key>, Miss> {
        let named: Vec<&Key> = match key_id {
            Some(_) => self.keys.iter().filter(|key| key.published.kid.as_deref() == key_id).collect(),
            None => self.keys.iter().collect(),
        };
        let known = !named.is_empty();
        let fit: Vec<&Key> = named.into_iter().filter(|key| key.algorithms.contains(&algorithm)).collect();
        match (fit.len(), key_id) {
            (0, Some(_)) if known => Err(Miss::Unfit),
            (0, _) => Err(Miss::Unknown),
            (2.., None) => Err(Miss::Unknown),
            _ => Ok(fit),
        }
    }

    /// Whether both hold the same keys.
    pub(super) fn is_same(&self, keys: &[Key]) -> bool {
        self.keys.iter().map(|key| &key.published).eq(keys.iter().map(|key| &key.published))
    }
}

impl Key {
    /// Whether `signature` over `signed` was made with this key.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &Vec<u8>) -> bool {
        // The back end is named here: the crate's process-wide default panics when features leave it open.
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.material)
            .is_ok_and(|verifier| verifier.verify(signed.as_bytes(), signature).is_ok())
    }
}

/// The usable keys of a JWKS document, and how many were passed over. `None` when it is no such document.
pub(super) fn parse(document: &[u8]) -> Option<(Vec<Key>, usize)> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let Document { keys: published } = serde_json::from_slice(document).ok()?;
    let total = published.len();
    let keys: Vec<Key> = published.into_iter().take(MOST_KEYS).filter_map(usable).collect();
    let passed_over = total - keys.len();
    Some((keys, passed_over))
}

/// The members of a JWK that are read (RFC 7517, 4 and RFC 7518, 6). Private parts are not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Makes a key of a JWK that is meant for verifying and of a kind that is supported.
fn usable(value: Value) -> Option<Key> {
    let published: Jwk = serde_json::from_value(value).ok()?;
    let for_signatures = published.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
    let for_verifying = published.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
    if !for_signatures || !for_verifying {
        return None;
    }
    let (material, kinds) = material(&published)?;
    let algorithms = match published.alg.as_deref() {
        None => kinds.to_vec(),
        Some(name) => vec![algorithm_named(name).filter(|algorithm| kinds.contains(algorithm))?],
    };
    Some(Key { published, algorithms, material })
}

/// The sizes are checked here because the back end only fails when the key is used, with every token.
fn material(jwk: &Jwk) -> Option<(DecodingKey, &'static [Algorithm])> {
    let (x, y) = (jwk.x.as_deref(), jwk.y.as_deref());
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let (modulus, exponent) = (number(jwk.n.as_deref()?)?, number(jwk.e.as_deref()?)?);
            let usable = (2048..=8192).contains(&(modulus.len() * 8));
            usable.then(|| (DecodingKey::from_rsa_raw_components(&modulus, &exponent), RSA))
        }
        ("EC", Some("P-256")) => Some((curve_point(x?, y?, 32)?, &[Algorithm::ES256])),
        ("EC", Some("P-384")) => Some((curve_point(x?, y?, 48)?, &[Algorithm::ES384])),
        ("OKP", Some("Ed25519")) => {
            let x = x.filter(|x| has_length(x, 32))?;
            Some((DecodingKey::from_ed_components(x).ok()?, &[Algorithm::EdDSA]))
        }
        _ => None,
    }
}

fn curve_point(x: &str, y: &str, length: usize) -> Option<DecodingKey> {
    if !has_length(x, length) || !has_length(y, length) {
        return None;
    }
    DecodingKey::from_ec_components(x, y).ok()
}

fn has_length(text: &str, length: usize) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == length)
}

/// A number's bytes. Leading zeros, which some publish against RFC 7518, 6.3.1.1, are taken away.
fn number(text: &str) -> Option<Vec<u8>> {
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Some(bytes)
}
