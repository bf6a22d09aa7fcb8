//! A token taken apart (RFC 7515 and 7519), before anything in it is believed. What is unusual is refused here:
//! doubled members, extensions nobody asked for, encryption, kinds of tokens that are not for access.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::AuthFault;

/// A token's parts. None of it is verified.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    /// The key it names, if it names one.
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What the signature covers.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// [`AuthFault::Malformed`], or [`AuthFault::AlgorithmRefused`] for `none`, for symmetric algorithms and for
    /// unknown ones.
    pub(super) fn parse(text: &'a str) -> Result<Self, AuthFault> {
        const THREE: AuthFault = AuthFault::Malformed("the token does not have three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or(THREE)?;
        let (header, payload) = signed.split_once('.').ok_or(THREE)?;
        if payload.contains('.') {
            return Err(THREE);
        }
        let header = object(header, "the token's header is not a JSON object in base64url")?;
        let algorithm = algorithm(&header)?;
        let key_id = check_header(&header)?;
        Ok(Self {
            algorithm,
            key_id,
            claims: object(payload, "the token's claims are not a JSON object in base64url")?,
            signed,
            signature: decode(signature, "the token's signature is not base64url")?,
        })
    }
}

/// The algorithm by its name. Symmetric ones are unknown here, so that a public key is never used as a secret.
pub(super) fn algorithm_named(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "RS384" => Some(Algorithm::RS384),
        "RS512" => Some(Algorithm::RS512),
        "PS256" => Some(Algorithm::PS256),
        "PS384" => Some(Algorithm::PS384),
        "PS512" => Some(Algorithm::PS512),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, AuthFault> {
    match header.get("alg") {
        Some(Value::String(name)) => algorithm_named(name).ok_or(AuthFault::AlgorithmRefused),
        _ => Err(AuthFault::Malformed("the token names no algorithm")),
    }
}

/// `jku`, `jwk`, `x5u` and `x5c` are not read: keys come from the configured place only.
fn check_header(header: &Map<String, Value>) -> Result<Option<String>, AuthFault> {
    if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
        return Err(AuthFault::Malformed("the token uses an extension that is not supported"));
    }
    // A token made for something else, such as a logout, must not pass for an access token (RFC 8725, 3.11).
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if is_access_token(kind) => {}
        Some(_) => return Err(AuthFault::Malformed("the token is not of a kind that grants access")),
    }
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(key_id)) => Ok(Some(key_id.clone())),
        Some(_) => Err(AuthFault::Malformed("the token's key id is not text")),
    }
}

fn is_access_token(kind: &str) -> bool {
    const PREFIX: &str = "application/";
    let prefixed = kind.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    let kind = if prefixed { &kind[PREFIX.len()..] } else { kind };
    kind.eq_ignore_ascii_case("jwt") || kind.eq_ignore_ascii_case("at+jwt")
}

fn object(part: &str, fault: &'static str) -> Result<Map<String, Value>, AuthFault> {
    let Members(members) =
        serde_json::from_slice(&decode(part, fault)?).map_err(|_| AuthFault::Malformed(fault))?;
    Ok(members)
}

fn decode(part: &str, fault: &'static str) -> Result<Vec<u8>, AuthFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthFault::Malformed(fault))
}

/// A JSON object whose members all have different names: of two readers of a doubled one, each may believe
/// another (RFC 8725, 2.4).
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;
        impl<'de> Visitor<'de> for Unique {
            type Value = Members;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is there twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Unique)
    }
}
