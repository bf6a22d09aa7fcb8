//! Whether silence means death. One instance that falls silent is dead; most of a service that fall silent
//! together are more likely out of reach than dead, and taking them all out would make it certain.

use std::time::Duration;

/// How long an instance is kept at most after its lease is over.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(300);

/// Who of a service is silent. An instance alone is no evidence: it may as well be dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) silent: usize,
    pub(crate) instances: usize,
}

impl Evidence {
    /// Counts who `is_silent`.
    pub(super) fn of(instances: impl Iterator<Item = bool>) -> Self {
        instances.fold(Self::default(), |evidence, is_silent| Self {
            silent: evidence.silent + usize::from(is_silent),
            instances: evidence.instances + 1,
        })
    }

    /// More than half are silent, and more than one.
    pub(super) fn speaks_of_a_partition(self) -> bool {
        self.silent > 1 && self.silent * 2 > self.instances
    }
}
