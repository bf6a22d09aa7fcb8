//! HTTP Basic (RFC 7617) for listeners that stand in for servers which have it. A password is kept as a keyed hash
//! only; comparing takes the same time whatever was sent.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use portreeve_config::BasicUser;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::strangers::{self, Shown};
use crate::StartError;
use crate::access::{Caller, User, Visit};

/// Argon2 is slow on purpose: so many at one time, one for each client address, and whoever was right once is not
/// hashed again.
const HASHING: usize = 2;
const REMEMBERED: usize = 1_024;
/// How long a hash may wait for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// Requests of one address in line for a hash: each takes up a place among all requests while it waits.
const IN_LINE: usize = 16;

/// Who may use a listener.
#[derive(Debug)]
pub(crate) struct Users {
    realm: &'static str,
    key: hmac::Key,
    users: Vec<Known>,
    right: Mutex<HashMap<[u8; 32], Arc<User>>>,
    hashing: Arc<Semaphore>,
    /// Of each client address, for as long as anybody is in it.
    lines: Mutex<HashMap<Option<IpAddr>, Weak<Semaphore>>>,
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
        Ok(Self { realm, key, users, right: Mutex::default(), hashing, lines: Mutex::default() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Whose request it is. `client` is what counts as one client address.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        client: Option<IpAddr>,
    ) -> Result<Caller, Stranger> {
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
        // In a box, for whoever is known already needs none of what this holds while it waits.
        let user = Box::pin(self.verify(sent, (user, hash), password, client)).await.map_err(stranger)?;
        Ok(Caller::User(user))
    }

    async fn verify(
        &self,
        sent: [u8; 32],
        (user, hash): (Arc<User>, String),
        password: String,
        client: Option<IpAddr>,
    ) -> Result<Arc<User>, Why> {
        let turn = self.turn(client).await.ok_or(Why::Busy)?;
        // Whoever was before it in line may have shown the same.
        if let Some(user) = self.remembered(&sent) {
            return Ok(user);
        }
        // The turn stays with the hash, which goes on when the client has left.
        let verifying = move || {
            let right = PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            (right, turn)
        };
        // It ends once the next in line can know who was right.
        let Ok((true, _turn)) = tokio::task::spawn_blocking(verifying).await else { return Err(Why::Wrong) };
        self.remember(sent, user.clone());
        Ok(user)
    }

    /// Waits for a turn to hash: first for that of the address, so that no address waits twice for one of all.
    async fn turn(&self, client: Option<IpAddr>) -> Option<[OwnedSemaphorePermit; 2]> {
        let line = self.line(client)?;
        let both = async {
            let own = line.acquire_owned().await.ok()?;
            let one_of_all = self.hashing.clone().acquire_owned().await.ok()?;
            Some([own, one_of_all])
        };
        tokio::time::timeout(TURN_WITHIN, both).await.ok().flatten()
    }

    /// The line of an address; nothing where too many are in it. Whoever has it is in it.
    fn line(&self, client: Option<IpAddr>) -> Option<Arc<Semaphore>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&client).and_then(Weak::upgrade) {
            return (Arc::strong_count(&line) <= IN_LINE).then_some(line);
        }
        lines.retain(|_, line| line.strong_count() > 0);
        let line = Arc::new(Semaphore::new(1));
        lines.insert(client, Arc::downgrade(&line));
        Some(line)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::time::Instant;

    use argon2::PasswordHasher;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn users() -> Users {
        let parameters = argon2::Params::new(64, 1, 1, None).unwrap();
        let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters);
        let hash = argon.hash_password("s3cret".as_bytes()).unwrap().to_string();
        let (name, password_hash) = ("hashed".to_owned(), Some(hash));
        let user = BasicUser { name, password_hash, password_file: None, services: None };
        Users::read(&[user], "Portreeve").unwrap()
    }

    fn shows(password: &str) -> HeaderMap {
        let field = format!("Basic {}", STANDARD.encode(format!("hashed:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, field.parse().unwrap())])
    }

    fn client(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    async fn waits(users: &Users, client: Option<IpAddr>) -> bool {
        tokio::time::timeout(Duration::from_millis(50), users.turn(client)).await.is_err()
    }

    #[tokio::test]
    async fn an_address_has_one_turn_and_leaves_the_others_theirs() {
        let users = users();
        let guess = users.turn(client(1)).await.unwrap();
        assert!(waits(&users, client(1)).await);
        assert!(users.check(&shows("s3cret"), client(2)).await.is_ok());
        let _other = users.turn(client(2)).await.unwrap();
        assert!(waits(&users, client(3)).await, "there are two turns in all");
        drop(guess);
        assert!(!waits(&users, client(3)).await);
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_told_to_come_later() {
        let users = users();
        let _guess = users.turn(client(1)).await.unwrap();
        let began = Instant::now();
        let stranger = users.check(&shows("s3cret"), client(1)).await.unwrap_err();
        assert!(began.elapsed() >= TURN_WITHIN);
        assert_eq!(stranger.why, Why::Busy);
        let response = stranger.answer(None);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn who_shows_what_was_right_meanwhile_is_not_hashed() {
        let users = users();
        let guess = users.turn(client(1)).await.unwrap();
        let headers = shows("wrong");
        let (behind, ()) = tokio::join!(users.check(&headers, client(1)), async {
            // As if it had been right: a hash would say otherwise.
            users.remember(keyed(&users.key, "hashed", "wrong"), users.users[0].user.clone());
            drop(guess);
        });
        assert!(behind.is_ok());
    }

    #[test]
    fn so_many_are_in_line_and_lines_that_nobody_is_in_are_forgotten() {
        let users = users();
        let line: Vec<_> = (0..IN_LINE).map(|_| users.line(client(1)).unwrap()).collect();
        assert!(users.line(client(1)).is_none());
        assert!(users.line(client(2)).is_some());
        drop(line);
        let _line = users.line(client(1)).unwrap();
        assert_eq!(users.lines.lock().unwrap().len(), 1);
    }
}
