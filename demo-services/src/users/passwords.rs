//! Passwords: argon2id with the parameters OWASP recommends (19 MiB, two passes), on threads that may block,
//! and never so many at once that sign-ins take the machine's memory.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Hashes made at one time, 19 MiB each.
const AT_ONCE: usize = 2;
/// How long one may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(3);

/// A hash no password is known for: what unknown users are checked against.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LWhhcy10aGlzLXNhbHQ\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and checks passwords.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
}

/// Why a password could not be hashed or checked. Holds no part of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordFault {
    #[error("too many passwords at once")]
    Busy,
    #[error("{0}")]
    Hashing(String),
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// A salted hash of the password, as a PHC string.
    pub(super) async fn hash(&self, password: String) -> Result<String, PasswordFault> {
        let turn = self.turn().await?;
        let work = move || {
            let hash = Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash: PasswordHash| hash.to_string());
            drop(turn);
            hash.map_err(|error| PasswordFault::Hashing(error.to_string()))
        };
        spawn_blocking(work).await.map_err(|error| PasswordFault::Hashing(error.to_string()))?
    }

    /// Whether the password belongs to `hash`; `None` takes as long and is never right.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordFault> {
        let turn = self.turn().await?;
        let work = move || {
            let known = hash.is_some();
            let hash = PasswordHash::new(hash.as_deref().unwrap_or(NOBODY))
                .map_err(|error| PasswordFault::Hashing(error.to_string()))?;
            let right = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
            drop(turn);
            Ok(right && known)
        };
        spawn_blocking(work).await.map_err(|error| PasswordFault::Hashing(error.to_string()))?
    }

    /// Held by the thread that hashes, not by the request: a client that goes away does not free it early.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, PasswordFault> {
        match timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(PasswordFault::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct house".to_owned(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn an_unknown_user_takes_the_same_way_and_is_refused() {
        assert!(PasswordHash::new(NOBODY).is_ok());
        assert!(!Passwords::new().verify("correct horse".to_owned(), None).await.unwrap());
    }
}
