//! HTTP Basic (RFC 7617) for listeners that stand in for servers which have it. A password is kept as a keyed hash
//! only; comparing takes the same time whatever was sent.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use portreeve_config::BasicUser;
use tokio::sync::Semaphore;

use super::strangers::{self, Shown};
use crate::StartError;
use crate::access::{Caller, User, Visit};

/// Argon2 is slow on purpose: so many at one time, and whoever was right once is not hashed again.
const HASHING: usize = 2;
const REMEMBERED: usize = 1_024;

/// Who may use a listener.
#[derive(Debug)]
pub(crate) struct Users {
    realm: &'static str,
    key: hmac::Key,
    users: Vec<Known>,
    right: Mutex<HashMap<[u8; 32], Arc<User>>>,
    hashing: Arc<Semaphore>,
}

#[derive(Debug)]
struct Known {
    user: Arc<User>,
    secret: Secret,
}

#[derive(Debug)]
enum Secret {
    /// Of name and password.
    Keyed([u8; 32]),
    /// As written in the configuration.
    Argon2(String),
}

/// Who is not let in, and what they are told.
#[derive(Debug)]
pub(super) struct Stranger {
    realm: &'static str,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// They said nothing of themselves.
    Nothing,
    Wrong,
    /// Whether it was right could not be looked at.
    Busy,
}

impl Users {
    /// Reads every password; nothing is let in where one cannot be read.
    pub(crate) fn read(users: &[BasicUser], realm: &'static str) -> Result<Self, StartError> {
        let fault = |user: &str, problem: String| StartError::Password { user: user.to_owned(), problem };
        // Not by `Key::generate`: aws-lc gathers entropy of its own for a tenth of a second first.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let read = |configured: &BasicUser| {
            let name = configured.name.as_str();
            let secret = match (&configured.password_hash, &configured.password_file) {
                (Some(hash), _) => {
                    PasswordHash::new(hash).map_err(|problem| fault(name, problem.to_string()))?;
                    Secret::Argon2(hash.clone())
                }
                (None, Some(file)) => {
                    let text = fs::read_to_string(file)
                        .map_err(|problem| fault(name, format!("{}: {problem}", file.display())))?;
                    match text.lines().next().filter(|password| !password.is_empty()) {
                        Some(password) => Secret::Keyed(keyed(&key, name, password)),
                        None => return Err(fault(name, format!("{} is empty", file.display()))),
                    }
                }
                (None, None) => return Err(fault(name, "none is configured".to_owned())),
            };
            let services = configured.services.as_ref().map(|services| services.iter().cloned().collect());
            Ok(Known { user: Arc::new(User { name: name.into(), services }), secret })
        };
        let users = users.iter().map(read).collect::<Result<_, _>>()?;
        let hashing = Arc::new(Semaphore::new(HASHING));
        Ok(Self { realm, key, users, right: Mutex::default(), hashing })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whose request it is.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<Caller, Stranger> {
        if self.is_empty() {
            return Ok(Caller::Anybody);
        }
        let stranger = |why| Stranger { realm: self.realm, why };
        let (name, password) = match strangers::shown(headers) {
            Shown::Secret { user: Some(name), secret } => (name, secret),
            Shown::Nothing => return Err(stranger(Why::Nothing)),
            _ => return Err(stranger(Why::Wrong)),
        };
        let sent = keyed(&self.key, &name, &password);
        // All of them, so that the time says nothing of who there is.
        let known =
            self.users.iter().fold(None, |found, known| if known.is(&sent) { Some(known) } else { found });
        if let Some(user) = known.map(|known| known.user.clone()).or_else(|| self.remembered(&sent)) {
            return Ok(Caller::User(user));
        }
        let hashed = self.users.iter().find_map(|known| match &known.secret {
            Secret::Argon2(hash) if *known.user.name == *name => Some((known.user.clone(), hash.clone())),
            _ => None,
        });
        let Some((user, hash)) = hashed else { return Err(stranger(Why::Wrong)) };
        let Ok(turn) = self.hashing.clone().try_acquire_owned() else { return Err(stranger(Why::Busy)) };
        let verifying = move || {
            let right = PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            drop(turn);
            right
        };
        if !tokio::task::spawn_blocking(verifying).await.unwrap_or(false) {
            return Err(stranger(Why::Wrong));
        }
        self.remember(sent, user.clone());
        Ok(Caller::User(user))
    }

    fn remembered(&self, sent: &[u8; 32]) -> Option<Arc<User>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).get(sent).cloned()
    }

    fn remember(&self, sent: [u8; 32], user: Arc<User>) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(sent, user);
    }
}

impl Known {
    fn is(&self, sent: &[u8; 32]) -> bool {
        match &self.secret {
            Secret::Keyed(secret) => verify_slices_are_equal(secret, sent).is_ok(),
            Secret::Argon2(_) => false,
        }
    }
}

impl Stranger {
    /// What they are told, and when.
    pub(super) fn answer(&self, visit: Option<&Arc<Visit>>) -> Response {
        if self.why == Why::Busy {
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
        }
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm);
        let response = (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
        match self.why {
            Why::Nothing => strangers::ask(response, visit),
            _ => strangers::refuse(response, visit),
        }
    }
}

/// A name holds no `:`, so that no two pairs are one text.
fn keyed(key: &hmac::Key, name: &str, password: &str) -> [u8; 32] {
    let tag = hmac::sign(key, format!("{name}:{password}").as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(tag.as_ref());
    digest
}
