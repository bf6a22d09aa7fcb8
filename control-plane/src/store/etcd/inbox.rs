//! What the follower has heard and the writer has not taken yet, and whether the two are in touch with etcd at all.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::database::Step;
use crate::store::{ClaimNews, StoreError};

/// Between the follower's thread and the writer's.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Debug)]
struct Heard {
    steps: VecDeque<Step>,
    claims: Vec<ClaimNews>,
    /// Steps are missing: everything has to be loaded anew.
    is_lost: bool,
    /// Why nothing is heard, and since when; `None` while the watch is complete.
    silence: Option<(String, Instant)>,
}

impl Default for Heard {
    fn default() -> Self {
        let silence = Some(("it has not been heard from yet".to_owned(), Instant::now()));
        Self { steps: VecDeque::new(), claims: Vec::new(), is_lost: false, silence }
    }
}

impl Inbox {
    /// Begins anew, after everything was loaded.
    pub(super) fn begin(&self, claims: Vec<ClaimNews>) {
        let mut heard = self.lock();
        heard.steps.clear();
        heard.is_lost = false;
        heard.claims = claims;
        if let Some((_, since)) = &mut heard.silence {
            *since = Instant::now();
        }
    }

    /// Adds what the watch gave.
    pub(super) fn add(&self, steps: Vec<Step>, claims: Vec<ClaimNews>) {
        let mut heard = self.lock();
        heard.steps.extend(steps);
        heard.claims.extend(claims);
        drop(heard);
        self.changed.notify_all();
    }

    /// Steps are missing from now on.
    pub(super) fn lose(&self) {
        self.lock().is_lost = true;
        self.changed.notify_all();
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lock().is_lost
    }

    /// The watch is complete.
    pub(super) fn in_sync(&self) {
        self.lock().silence = None;
        self.changed.notify_all();
    }

    /// It is not. True when it was until now.
    pub(super) fn out_of_sync(&self, why: &str) -> bool {
        let mut heard = self.lock();
        match &mut heard.silence {
            Some((known, _)) => {
                why.clone_into(known);
                false
            }
            silence => {
                *silence = Some((why.to_owned(), Instant::now()));
                true
            }
        }
    }

    /// Waits until the watch is complete, but not when it has been incomplete for longer than `patience`.
    pub(super) fn wait_in_sync(&self, patience: Duration) -> Result<(), StoreError> {
        let mut heard = self.lock();
        while let Some((why, since)) = &heard.silence {
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(StoreError::Away(why.clone()));
            }
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Whether there is anything beyond etcd's revision `at`.
    pub(super) fn has_news(&self, at: i64) -> bool {
        let heard = self.lock();
        heard.is_lost || heard.steps.back().is_some_and(|step| step.at > at)
    }

    /// Waits for the first step beyond `at`, which stays where it is. `None` where none comes within `limit`.
    pub(super) fn next_after(&self, at: i64, limit: Duration) -> Option<Step> {
        let deadline = Instant::now() + limit;
        let mut heard = self.lock();
        loop {
            if let Some(step) = heard.steps.iter().find(|step| step.at > at) {
                return Some(step.bare());
            }
            if heard.is_lost {
                return Some(Step::default());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            heard = self.changed.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the steps.
    pub(super) fn steps(&self) -> VecDeque<Step> {
        std::mem::take(&mut self.lock().steps)
    }

    /// Takes what other replicas said.
    pub(super) fn claims(&self) -> Vec<ClaimNews> {
        std::mem::take(&mut self.lock().claims)
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
