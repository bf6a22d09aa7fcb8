//! HTTP Basic (RFC 7617) for listeners that stand in for servers which have it. A password is kept as a keyed hash
//! only; comparing takes the same time whatever was sent.

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use portreeve_config::BasicUser;
use tokio::sync::Semaphore;

use crate::StartError;

/// Argon2 is slow on purpose: so many at one time, and whoever was right once is not hashed again.
const HASHING: usize = 2;
const REMEMBERED: usize = 1_024;

/// Who may use a listener.
#[derive(Debug)]
pub(crate) struct Users {
    realm: &'static str,
    key: hmac::Key,
    users: Vec<User>,
    right: Mutex<HashSet<[u8; 32]>>,
    hashing: Arc<Semaphore>,
}

#[derive(Debug)]
struct User {
    name: String,
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
    busy: bool,
}

impl Users {
    /// Reads every password; nothing is let in where one cannot be read.
    pub(crate) fn read(users: &[BasicUser], realm: &'static str) -> Result<Self, StartError> {
        let fault = |user: &str, problem: String| StartError::Password { user: user.to_owned(), problem };
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| fault("*", "no random numbers can be had".to_owned()))?;
        let read = |user: &BasicUser| {
            let name = user.name.clone();
            let secret = match (&user.password_hash, &user.password_file) {
                (Some(hash), _) => {
                    PasswordHash::new(hash).map_err(|problem| fault(&name, problem.to_string()))?;
                    Secret::Argon2(hash.clone())
                }
                (None, Some(file)) => {
                    let text = fs::read_to_string(file)
                        .map_err(|problem| fault(&name, format!("{}: {problem}", file.display())))?;
                    match text.lines().next().filter(|password| !password.is_empty()) {
                        Some(password) => Secret::Keyed(keyed(&key, &name, password)),
                        None => return Err(fault(&name, format!("{} is empty", file.display()))),
                    }
                }
                (None, None) => return Err(fault(&name, "none is configured".to_owned())),
            };
            Ok(User { name, secret })
        };
        let users = users.iter().map(read).collect::<Result<_, _>>()?;
        let hashing = Arc::new(Semaphore::new(HASHING));
        Ok(Self { realm, key, users, right: Mutex::default(), hashing })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether a request is one of a user's.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), Stranger> {
        let stranger = Stranger { realm: self.realm, busy: false };
        let Some((name, password)) = credentials(headers) else { return Err(stranger) };
        let sent = keyed(&self.key, &name, &password);
        let known = |user: &User| match &user.secret {
            Secret::Keyed(secret) => verify_slices_are_equal(secret, &sent).is_ok(),
            Secret::Argon2(_) => false,
        };
        // All of them, so that the time says nothing of who there is.
        if self.users.iter().filter(|user| known(user)).count() > 0 || self.remembers(&sent) {
            return Ok(());
        }
        let hash = self.users.iter().find_map(|user| match &user.secret {
            Secret::Argon2(hash) if user.name == name => Some(hash.clone()),
            _ => None,
        });
        let Some(hash) = hash else { return Err(stranger) };
        let Ok(turn) = self.hashing.clone().try_acquire_owned() else {
            return Err(Stranger { busy: true, ..stranger });
        };
        let verifying = move || {
            let right = PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            drop(turn);
            right
        };
        if !tokio::task::spawn_blocking(verifying).await.unwrap_or(false) {
            return Err(stranger);
        }
        self.remember(sent);
        Ok(())
    }

    fn remembers(&self, sent: &[u8; 32]) -> bool {
        self.right.lock().unwrap_or_else(PoisonError::into_inner).contains(sent)
    }

    fn remember(&self, sent: [u8; 32]) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(sent);
    }
}

impl IntoResponse for Stranger {
    fn into_response(self) -> Response {
        if self.busy {
            return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
        }
        tracing::warn!("a request without the right user and password was refused");
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm);
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
    }
}

/// A name holds no `:`, so that no two pairs are one text.
fn keyed(key: &hmac::Key, name: &str, password: &str) -> [u8; 32] {
    let tag = hmac::sign(key, format!("{name}:{password}").as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(tag.as_ref());
    digest
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next()?.to_str().ok()?;
    if fields.next().is_some() {
        return None;
    }
    let (scheme, encoded) = field.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
