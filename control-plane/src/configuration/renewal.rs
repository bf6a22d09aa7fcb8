//! When sources are read and who is told: at the start, when something changed, and when a webhook says so. A git host
//! that hangs holds up neither the start, nor other sources, nor the end.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use super::live::Configuration;
use super::watch::{self, Followed};

/// How long a start waits for what sources say.
const FIRST_READING: Duration = Duration::from_secs(5);
/// How long applications that a webhook named wait for the sources to be read.
const NEWS: Duration = Duration::from_secs(10);

/// Readings that are under way end with what follows the sources: a process waits for its threads.
struct StopsAtTheEnd(Vec<Arc<dyn Followed>>);

impl Drop for StopsAtTheEnd {
    fn drop(&mut self) {
        self.0.iter().for_each(|source| source.stop());
    }
}

impl Configuration {
    /// The first reading of all sources at one time. A git host that is slow is not waited for.
    pub(super) async fn begin(self: &Arc<Self>) {
        let mut readings = JoinSet::new();
        for source in self.followed() {
            let begin = tokio::task::spawn_blocking(move || source.begin());
            let configuration = self.clone();
            readings.spawn(async move {
                // Nobody is told to refresh: what is read first is no change.
                if !begin.await.unwrap_or_default().is_empty() {
                    configuration.stand();
                }
            });
        }
        let all = async { while readings.join_next().await.is_some() {} };
        if tokio::time::timeout(FIRST_READING, all).await.is_err() {
            tracing::warn!("a source of configuration takes long; what it says counts once it is read");
            readings.detach_all();
        }
    }

    /// Follows every source until the future is dropped.
    pub(crate) async fn follow(self: Arc<Self>) {
        let _stops = StopsAtTheEnd(self.followed());
        let mut tasks = JoinSet::new();
        for source in self.followed() {
            tasks.spawn(watch::follow(self.clone(), source));
        }
        tasks.spawn(self.clone().renew_all());
        tasks.spawn(self.refresher.clone().run());
        while tasks.join_next().await.is_some() {}
    }

    /// Reads a source again; where it says something new, sidecars and Spring applications are told.
    pub(crate) async fn renew(self: &Arc<Self>, source: Arc<dyn Followed>) {
        let reader = source.clone();
        let changed = tokio::task::spawn_blocking(move || reader.read()).await.unwrap_or_default();
        self.took(&*source, changed);
    }

    /// Tells everyone whom the changed files of a source concern.
    fn took(&self, source: &dyn Followed, changed: Vec<String>) {
        if !changed.is_empty() {
            tracing::info!(source = source.name(), files = changed.len(), "configuration changed");
            self.stand();
            self.refresher.files_changed(&changed);
        }
    }

    /// Every source is asked for news soon, and then these applications are told: a webhook said that there are
    /// some.
    pub(crate) fn expect_news(&self, targets: BTreeSet<String>) {
        self.expecting.lock().unwrap_or_else(PoisonError::into_inner).extend(targets);
        self.news.notify_one();
    }

    async fn renew_all(self: Arc<Self>) {
        loop {
            self.news.notified().await;
            let targets = std::mem::take(&mut *self.expecting.lock().unwrap_or_else(PoisonError::into_inner));
            let mut renewals = JoinSet::new();
            for source in self.followed() {
                let configuration = self.clone();
                renewals.spawn(async move { configuration.renew(source).await });
            }
            // Whoever refreshes before its source was read gets what is old; one that hangs holds up nobody.
            let all = async { while renewals.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(NEWS, all).await;
            renewals.detach_all();
            self.refresher.targets(targets);
        }
    }
}
