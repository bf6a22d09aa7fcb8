//! Tokens that were found good, so that a signature is checked once and not once per request.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use moka::Equivalent;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::Identity;

/// Tokens of up to a kibibyte; longer ones count more than once, so memory stays below about 10 MiB.
const CAPACITY: u64 = 10_000;

/// How much of a token is hashed. The end of a signature is as good as random, and the hash is keyed; the rest
/// of the token is compared in full.
const HASHED: usize = 64;

pub(super) struct VerifiedTokens(Cache<Text, Arc<Verified>>);

/// What was found out about a token, and what must still hold for it to count.
pub(super) struct Verified {
    /// The provider that answers for it.
    pub(super) provider: u64,
    /// The key set it was verified with.
    pub(super) generation: u64,
    /// When it stops being accepted, leeway included, in seconds since 1970.
    pub(super) deadline: u64,
    pub(super) identity: Arc<Identity>,
}

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        let weight =
            |token: &Text, _: &Arc<Verified>| u32::try_from(token.0.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let policy = EvictionPolicy::lru();
        Self(Cache::builder().max_capacity(CAPACITY).weigher(weight).eviction_policy(policy).build())
    }

    pub(super) fn get(&self, token: &str) -> Option<Arc<Verified>> {
        self.0.get(&Probe(token))
    }

    pub(super) fn insert(&self, token: &str, verified: Verified) {
        self.0.insert(Text(token.into()), Arc::new(verified));
    }

    pub(super) fn remove(&self, token: &str) {
        self.0.invalidate(&Probe(token));
    }
}

#[derive(PartialEq, Eq)]
struct Text(Box<str>);

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_end(&self.0, state);
    }
}

/// A token that is looked up, without a copy of it.
struct Probe<'a>(&'a str);

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_end(self.0, state);
    }
}

impl Equivalent<Text> for Probe<'_> {
    fn equivalent(&self, key: &Text) -> bool {
        *self.0 == *key.0
    }
}

fn hash_end<H: Hasher>(token: &str, state: &mut H) {
    let bytes = token.as_bytes();
    state.write(&bytes[bytes.len().saturating_sub(HASHED)..]);
}
