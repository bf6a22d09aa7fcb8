//! The authenticator as the pipeline uses it: an issuer whose keys and tokens are made here, and a network that
//! answers what each test says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod configuration;
mod hostile;
mod identity;
mod network;
mod rotation;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use portreeve_config::{AuthConfig, AuthProvider, Period};

use super::*;
use crate::client::FetchError;

pub(super) const ISSUER: &str = "http://issuer.example";
pub(super) const NOW: u64 = 1_800_000_000;

/// A key pair of the issuer, or of someone who would like to be it.
pub(super) enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(super) static RSA: LazyLock<Signer> = LazyLock::new(rsa);
pub(super) static OTHER_RSA: LazyLock<Signer> = LazyLock::new(rsa);
pub(super) static EC: LazyLock<Signer> =
    LazyLock::new(|| Signer::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));
pub(super) static ED: LazyLock<Signer> = LazyLock::new(|| Signer::Ed(Ed25519KeyPair::generate().unwrap()));

fn rsa() -> Signer {
    Signer::Rsa(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap())
}

impl Signer {
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    pub(super) fn jwk(&self, key_id: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let modulus = base64(public.modulus().big_endian_without_leading_zero());
                let exponent = base64(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": key_id, "use": "sig", "alg": "RS256", "n": modulus, "e": exponent})
            }
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "kid": key_id, "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
            Self::Ed(pair) => {
                let x = base64(pair.public_key().as_ref());
                json!({"kty": "OKP", "kid": key_id, "crv": "Ed25519", "alg": "EdDSA", "x": x})
            }
        }
    }
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of exactly this header and these claims, well-formed JSON or not.
pub(super) fn token(header: &str, claims: &str, signer: &Signer) -> String {
    let signed = format!("{}.{}", base64(header), base64(claims));
    let signature = base64(signer.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The claims of a good token, with some replaced; `null` takes one away.
pub(super) fn claims(changes: Value) -> String {
    let mut claims = json!({"iss": ISSUER, "aud": "shop", "sub": "alice", "iat": NOW - 10, "exp": NOW + 300});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims.to_string()
}

pub(super) fn good_token(key_id: &str) -> String {
    token(&format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{key_id}"}}"#), &claims(json!({})), &RSA)
}

pub(super) fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

pub(super) fn jwks(keys: &[Value]) -> Answer {
    Answer::Body(json!({"keys": keys}).to_string())
}

pub(super) fn provider() -> AuthProvider {
    AuthProvider {
        issuer: ISSUER.to_owned(),
        audiences: vec!["shop".to_owned(), "backoffice".to_owned()],
        jwks_url: Some("http://issuer.example/jwks".to_owned()),
        discovery_url: None,
        algorithms: vec!["RS256".to_owned(), "ES256".to_owned(), "EdDSA".to_owned()],
        leeway: Period::from_secs(5),
        refresh: Period::from_secs(600),
        claims_to_headers: BTreeMap::from([("sub".to_owned(), "X-User-Id".to_owned())]),
    }
}

pub(super) fn config(providers: Vec<AuthProvider>) -> AuthConfig {
    AuthConfig { providers, realm: "portreeve".to_owned() }
}

/// What the network gives for one fetch.
#[derive(Clone)]
pub(super) enum Answer {
    Body(String),
    After(Duration, String),
    Failure(u16),
}

/// The network: gives its answers in turn, the last one for ever, and notes what was asked for.
pub(super) struct Network {
    answers: Mutex<VecDeque<Answer>>,
    pub(super) asked: Mutex<Vec<String>>,
    pub(super) fetches: AtomicUsize,
}

impl Network {
    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: Mutex::default(), fetches: AtomicUsize::new(0) })
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// From now on only this.
    pub(super) fn becomes(&self, answer: Answer) {
        *self.answers.lock().unwrap() = VecDeque::from([answer]);
    }
}

impl KeyFetch for Network {
    fn fetch(&self, url: String) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().unwrap().push(url.clone());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move {
            match answer.unwrap() {
                Answer::Body(body) => Ok(body.into()),
                Answer::After(pause, body) => {
                    tokio::time::sleep(pause).await;
                    Ok(body.into())
                }
                Answer::Failure(status) => {
                    Err(FetchError::Status { url, status: http::StatusCode::from_u16(status).unwrap() })
                }
            }
        })
    }
}

/// An authenticator over `network`, and the clock it goes by.
pub(super) struct Bench {
    pub(super) sources: Arc<KeySources>,
    pub(super) authenticator: Authenticator,
    pub(super) clock: Arc<AtomicU64>,
}

pub(super) fn bench(network: &Arc<Network>, provider: AuthProvider) -> Bench {
    let clock = Arc::new(AtomicU64::new(NOW));
    let hands = clock.clone();
    let time: Clock = Box::new(move || hands.load(Ordering::SeqCst));
    let sources = KeySources::with_clock(network.clone(), Handle::current(), time);
    let authenticator = Authenticator::compile(&config(vec![provider]), sources.clone()).unwrap();
    Bench { sources, authenticator, clock }
}

impl Bench {
    pub(super) async fn ask(&self, token: &str) -> Result<Arc<Identity>, AuthFault> {
        self.authenticator.authenticate(&bearer(token)).await
    }
}
