//! Who sends a request: bearer tokens (RFC 6750) that are signed JWTs (RFC 7519) of configured issuers.
//!
//! The `iss` inside a token picks the provider and nothing else; everything is then verified, in the order
//! algorithm, key, signature, claims. A token that was found good is remembered until it expires or its issuer's
//! keys change, so that most requests cost one look-up and no signature.

mod bearer;
mod cache;
mod claims;
mod fault;
mod jwks;
mod keys;
mod provider;
mod source;
mod token;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use tokio::runtime::Handle;

use portreeve_config::{AuthConfig, AuthProvider, Fault, Faults};

pub use fault::AuthFault;
pub use source::KeyFetch;

use cache::{Verified, VerifiedTokens};
use keys::Wanted;
use provider::Provider;
use token::Token;

/// What outlives a configuration: how keys are fetched, the live keys of each provider, the verified tokens.
/// One per data plane, given to every [`Authenticator::compile`].
pub struct KeySources {
    fetch: Arc<dyn KeyFetch>,
    runtime: Handle,
    clock: Clock,
    providers: Mutex<Vec<Weak<Provider>>>,
    verified: VerifiedTokens,
}

/// Gives the time in seconds since 1970.
pub type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

impl KeySources {
    /// Keys are fetched with `fetch`, by tasks on `runtime`, whichever runtime a request is served on.
    pub fn new(fetch: Arc<dyn KeyFetch>, runtime: Handle) -> Arc<Self> {
        // A clock before 1970 makes every token one that is not valid yet.
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self::with_clock(fetch, runtime, Box::new(clock))
    }

    /// The same with another source of time.
    pub fn with_clock(fetch: Arc<dyn KeyFetch>, runtime: Handle, clock: Clock) -> Arc<Self> {
        Arc::new(Self { fetch, runtime, clock, providers: Mutex::default(), verified: VerifiedTokens::new() })
    }

    /// The live provider of an equal configuration, or a new one.
    fn provider(&self, config: &AuthProvider) -> Result<Arc<Provider>, Faults> {
        let mut known = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|provider| provider.strong_count() > 0);
        if let Some(same) = known.iter().filter_map(Weak::upgrade).find(|one| one.config == *config) {
            return Ok(same);
        }
        let provider = Arc::new(Provider::compile(config, self)?);
        known.push(Arc::downgrade(&provider));
        Ok(provider)
    }
}

/// Tells who sends a request, by one configuration.
pub struct Authenticator {
    providers: Vec<Arc<Provider>>,
    /// The fields claims go to; no client may send them.
    owned: Vec<HeaderName>,
    sources: Arc<KeySources>,
}

/// Who sent a request, as its token says.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's issuer.
    pub issuer: Arc<str>,
    /// The token's subject, unique within its issuer. Never empty.
    pub subject: String,
    /// The fields the service gets (`claims_to_headers`).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The token's `exp`, in seconds since 1970.
    pub expires: u64,
}

impl Authenticator {
    /// Makes `config` ready. A provider whose configuration is the same as in an `Authenticator` that is still
    /// in use keeps its keys and its verified tokens. Nothing is fetched before a token needs it.
    ///
    /// # Errors
    /// Every fault of the section; places start at it (`providers[0].issuer`).
    pub fn compile(config: &AuthConfig, sources: Arc<KeySources>) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut providers: Vec<Arc<Provider>> = Vec::with_capacity(config.providers.len());
        for (index, written) in config.providers.iter().enumerate() {
            let place = format!("providers[{index}]");
            if config.providers[..index].iter().any(|other| other.issuer == written.issuer) {
                let fault = Fault::new("issuer", format!("the issuer `{}` is there twice", written.issuer));
                faults.push(fault.under(&place));
            }
            match sources.provider(written) {
                Ok(provider) => providers.push(provider),
                Err(found) => found.0.into_iter().for_each(|fault| faults.push(fault.under(&place))),
            }
        }
        if config.providers.is_empty() {
            faults.push(Fault::new("providers", "at least one provider is needed"));
        }
        let fields = providers.iter().flat_map(|provider| &provider.claims_to_headers);
        let owned = fields.map(|(_, field)| field.clone()).collect();
        faults.into_result(Self { providers, owned, sources })
    }

    /// Whether a client may not send this field, because claims of tokens go there; also in the spellings that a
    /// service behind CGI or WSGI could not tell from it (`X_User_Id`, `X.User.Id`): to them every character but
    /// letters and digits is the same.
    pub fn strips(&self, name: &HeaderName) -> bool {
        let name = name.as_str().as_bytes();
        let same = |(own, given): (&u8, &u8)| {
            own == given || !(own.is_ascii_alphanumeric() || given.is_ascii_alphanumeric())
        };
        self.owned.iter().map(|owned| owned.as_str().as_bytes()).any(|owned| {
            // Field names are in lower case already.
            owned.len() == name.len() && owned.iter().zip(name).all(same)
        })
    }

    /// Tells who sent a request with these header fields. A token seen before is answered without waiting;
    /// a new one may wait up to two seconds for its issuer's keys.
    ///
    /// # Errors
    /// See [`AuthFault`].
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Identity>, AuthFault> {
        let token = bearer::token(headers)?;
        let now = (self.sources.clock)();
        match self.remembered(token, now) {
            Some(identity) => Ok(identity),
            // Boxed, so that the common case does not carry the rare one's state.
            None => Box::pin(self.verify(token)).await,
        }
    }

    /// Whether a request brings a token at all, good or not.
    ///
    /// # Errors
    /// [`AuthFault::Missing`], [`AuthFault::Request`] and [`AuthFault::TooLarge`].
    pub fn shows_token(&self, headers: &HeaderMap) -> Result<(), AuthFault> {
        bearer::token(headers).map(drop)
    }

    /// Somebody whose claims are only named: who a request is from, as long as no token was verified.
    pub fn stand_in(&self) -> Identity {
        let claims = self.providers.iter().flat_map(|provider| &provider.claims_to_headers);
        let shown = |(claim, field): &(String, HeaderName)| {
            let value = HeaderValue::try_from(format!("(claim {claim})"));
            (field.clone(), value.unwrap_or(HeaderValue::from_static("(a claim)")))
        };
        Identity {
            issuer: "".into(),
            subject: "(the subject)".to_owned(),
            headers: claims.map(shown).collect(),
            expires: 0,
        }
    }

    fn remembered(&self, token: &str, now: u64) -> Option<Arc<Identity>> {
        let verified = self.sources.verified.get(token)?;
        let provider = self.providers.iter().find(|provider| provider.id == verified.provider);
        let counts = now < verified.deadline
            && provider.is_some_and(|provider| provider.keys.generation() == verified.generation);
        if counts {
            return Some(verified.identity.clone());
        }
        self.sources.verified.remove(token);
        None
    }

    async fn verify(&self, text: &str) -> Result<Arc<Identity>, AuthFault> {
        let token = Token::parse(text)?;
        let provider = self.provider_of(&token)?;
        if !provider.algorithms.contains(&token.algorithm) {
            return Err(AuthFault::AlgorithmRefused);
        }
        let wanted = Wanted { key_id: token.key_id.as_deref(), algorithm: token.algorithm };
        let set = provider.keys.holding(wanted).await?;
        let keys = set.select(wanted.key_id, wanted.algorithm).map_err(|_| AuthFault::UnknownKey)?;
        if !keys.iter().any(|key| key.verifies(token.algorithm, token.signed, &token.signature)) {
            return Err(AuthFault::BadSignature);
        }
        // The keys may have taken their time, so the clock is read again.
        let identity = Arc::new(claims::judge(&token.claims, provider, (self.sources.clock)())?);
        let verified = Verified {
            provider: provider.id,
            generation: set.generation,
            deadline: identity.expires.saturating_add(provider.leeway),
            identity: identity.clone(),
        };
        self.sources.verified.insert(text, verified);
        Ok(identity)
    }

    fn provider_of(&self, token: &Token<'_>) -> Result<&Arc<Provider>, AuthFault> {
        let issuer = match token.claims.get("iss") {
            Some(serde_json::Value::String(issuer)) => issuer.as_str(),
            _ => return Err(AuthFault::Malformed("the token names no issuer")),
        };
        self.providers.iter().find(|one| *one.issuer == *issuer).ok_or(AuthFault::UnknownIssuer)
    }
}

/// A field name's bytes with `_` and `-` made one. Field names are in lower case already.
fn canonical(name: &HeaderName) -> impl Iterator<Item = u8> + '_ {
    name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte })
}

#[cfg(test)]
mod tests;
