//! The tokens that are known: read at the start, and followed as their files change, so that a rotation needs no
//! restart. Only a keyed hash of each is kept; it is looked up by that, so that time says nothing of what was near.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fs, io};

use aws_lc_rs::{digest, hmac};
use portreeve_config::{Fault, Faults, TokenConfig};

use super::Token;

/// The shortest token, in characters.
const SHORTEST: usize = 24;
/// The longest; it has to fit into a header field.
const LONGEST: usize = 4_096;
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Digest = [u8; 32];

/// All tokens, by keyed hashes of their secrets.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: hmac::Key,
    known: RwLock<HashMap<Digest, Arc<Token>>>,
    sources: Vec<Source>,
}

/// A token and where its secret comes from.
#[derive(Debug)]
struct Source {
    token: Arc<Token>,
    /// `None` where the hash stands in the configuration.
    file: Option<PathBuf>,
    /// What it was at the start.
    first: Digest,
}

/// What tells one content of a file from another without reading it.
type Stamp = Option<(u64, u64, i64, i64)>;

/// What the files held last.
struct Followed {
    digests: Vec<Digest>,
    /// `None` before the first look.
    stamps: Vec<Option<Stamp>>,
}

impl Tokens {
    /// Reads every token, or says what is wrong with each. What it says never holds a secret.
    pub(crate) fn read(configured: &[TokenConfig]) -> Result<Self, Faults> {
        // Not by `Key::generate`: aws-lc gathers entropy of its own for a tenth of a second first.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<Digest>());
        let mut faults = Faults::default();
        let mut sources: Vec<_> = configured.iter().map(Source::of).collect();
        let mut known = HashMap::new();
        for (index, source) in sources.iter_mut().enumerate() {
            let place = format!("tokens[{index}]");
            match source.secret() {
                Err(problem) => faults.push(Fault::new(format!("{place}.token_file"), problem)),
                Ok(secret) => {
                    source.first = secret;
                    if known.insert(keyed(&key, &secret), source.token.clone()).is_some() {
                        let fault = Fault::new(place, "another token has this secret already");
                        faults.push(fault.hint("make one for each: `openssl rand -hex 32`"));
                    }
                }
            }
        }
        faults.into_result(Self { key, known: RwLock::new(known), sources })
    }

    /// Whether nobody has to show any.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Whose secret it is.
    pub(crate) fn find(&self, secret: &str) -> Option<Arc<Token>> {
        let shown = keyed(&self.key, &sha256(secret));
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&shown).cloned()
    }

    /// Takes up tokens as their files change; never ends. A file with a fault changes nothing.
    pub(crate) async fn follow(self: Arc<Self>) {
        if self.sources.iter().all(|source| source.file.is_none()) {
            return std::future::pending().await;
        }
        let digests = self.sources.iter().map(|source| source.first).collect();
        let mut followed = Followed { digests, stamps: vec![None; self.sources.len()] };
        loop {
            let tokens = self.clone();
            let looked = tokio::task::spawn_blocking(move || {
                tokens.look(&mut followed);
                followed
            });
            let Ok(looked) = looked.await else { return };
            followed = looked;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn look(&self, followed: &mut Followed) {
        let mut changed = false;
        for (index, source) in self.sources.iter().enumerate() {
            let Some(file) = &source.file else { continue };
            let stamp = Some(stamp(file));
            if std::mem::replace(&mut followed.stamps[index], stamp) != stamp {
                changed |= followed.take_up(index, source);
            }
        }
        if changed {
            let pairs = followed.digests.iter().zip(&self.sources);
            let known = pairs.map(|(secret, source)| (keyed(&self.key, secret), source.token.clone()));
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
        }
    }
}

impl Followed {
    /// Reads a token anew; whether it is another one.
    fn take_up(&mut self, index: usize, source: &Source) -> bool {
        let token = &*source.token.name;
        let secret = match source.secret() {
            Ok(secret) if secret == self.digests[index] => return false,
            Ok(secret) => secret,
            Err(problem) => {
                tracing::warn!(token, problem, "the last good token stays");
                return false;
            }
        };
        if self.digests.contains(&secret) {
            tracing::warn!(token, "the new token is another's already; the old one stays");
            return false;
        }
        tracing::info!(token, "a new token was read");
        self.digests[index] = secret;
        true
    }
}

impl Source {
    fn of(config: &TokenConfig) -> Self {
        let token = Token {
            name: config.name.as_str().into(),
            role: config.role,
            services: config.services.iter().flatten().cloned().collect(),
        };
        let digits = config.sha256.as_ref().map(|hash| hash.reveal()).unwrap_or_default();
        let bytes = crate::configuration::from_hex(digits).unwrap_or_default();
        let first = bytes.try_into().unwrap_or_default();
        Self { token: Arc::new(token), file: config.token_file.clone(), first }
    }

    /// The hash of its secret as it stands now.
    fn secret(&self) -> Result<Digest, String> {
        match &self.file {
            Some(file) => first_line(file).map(|token| sha256(&token)),
            None => Ok(self.first),
        }
    }
}

fn first_line(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|problem| match problem.kind() {
        io::ErrorKind::InvalidData => format!("{shown} is not text"),
        _ => format!("{shown} cannot be read: {problem}"),
    })?;
    let token = text.lines().next().unwrap_or_default().trim();
    if !(SHORTEST..=LONGEST).contains(&token.len()) {
        return Err(format!(
            "the first line of {shown} is no token: it has {SHORTEST} to {LONGEST} characters; make one with `openssl rand -hex 32`"
        ));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "the token in {shown} has characters other than letters, digits and signs of ASCII"
        ));
    }
    Ok(token.to_owned())
}

fn stamp(file: &Path) -> Stamp {
    let found = fs::metadata(file).ok()?;
    Some((found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

fn sha256(text: &str) -> Digest {
    let mut hash = Digest::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

fn keyed(key: &hmac::Key, hash: &Digest) -> Digest {
    let mut tag = Digest::default();
    tag.copy_from_slice(hmac::sign(key, hash).as_ref());
    tag
}
