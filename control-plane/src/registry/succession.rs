//! What becomes of an instance when a Eureka client registers it again, or changes it: the rules by which a
//! client's word, an operator's and what was there before are weighed.

use super::{EurekaStatus, Pairs, Registered};

/// A change to an instance that is there.
#[derive(Clone, Debug)]
pub(crate) enum Amendment {
    /// An operator's word on its status, which outlives what the client says.
    Override(EurekaStatus, Option<u64>),
    /// Takes an operator's word back; until the client registers again the status is this.
    ClearOverride(EurekaStatus, Option<u64>),
    /// Adds metadata, or replaces it.
    Metadata(Vec<(String, String)>),
}

impl Registered {
    /// What it is to be when it registers in the place of `current`, as of `now` (milliseconds since 1970).
    /// `replicated`: another Eureka server says so, which has weighed it already.
    pub(crate) fn succeed(mut self, current: Option<&Self>, replicated: bool, now: u64) -> Self {
        self.updated_at = now;
        self.registered_at = now;
        let Some(current) = current else {
            self.begin(now);
            return self;
        };
        if self.is_older_than(current) {
            return current.clone();
        }
        if self.eureka.is_none() {
            self.registered_at = current.registered_at;
            return self;
        }
        let status = self.weigh(current, replicated);
        if let (Some(details), Some(former)) = (&mut self.eureka, &current.eureka) {
            details.up_since = former.up_since;
            if former.overridden != EurekaStatus::Unknown {
                details.overridden = former.overridden;
            }
        }
        self.set_eureka_status(status, now);
        self
    }

    fn begin(&mut self, now: u64) {
        let (status, overridden) = (self.eureka_status(), self.overridden());
        let is_word_of_client = !matches!(status, EurekaStatus::Up | EurekaStatus::OutOfService);
        let taken =
            if is_word_of_client || overridden == EurekaStatus::Unknown { status } else { overridden };
        self.set_eureka_status(taken, now);
    }

    /// The first that applies: a client that is not ready, an operator's word, what was so before, the client's word.
    fn weigh(&self, current: &Self, replicated: bool) -> EurekaStatus {
        let (said, was) = (self.eureka_status(), current.eureka_status());
        let is_serving = |status| matches!(status, EurekaStatus::Up | EurekaStatus::OutOfService);
        let overridden = match current.overridden() {
            EurekaStatus::Unknown => self.overridden(),
            overridden => overridden,
        };
        if !is_serving(said) {
            said
        } else if overridden != EurekaStatus::Unknown {
            overridden
        } else if !replicated && is_serving(was) {
            was
        } else {
            said
        }
    }

    /// An operator's word on its status; unknown when there is none.
    pub(crate) fn overridden(&self) -> EurekaStatus {
        self.eureka.as_ref().map_or(EurekaStatus::Unknown, |details| details.overridden)
    }

    /// The instance after `amendment`; `None` where it changes nothing.
    pub(crate) fn amend(&self, amendment: Amendment, now: u64) -> Option<Self> {
        let mut amended = Self { amended: true, updated_at: now, ..self.clone() };
        match amendment {
            Amendment::Override(status, dirty) => {
                if status == self.eureka_status() {
                    return None;
                }
                amended.set_override(status, dirty);
                amended.set_eureka_status(status, now);
            }
            Amendment::ClearOverride(status, dirty) => {
                if self.overridden() == EurekaStatus::Unknown {
                    return None;
                }
                amended.set_override(EurekaStatus::Unknown, dirty);
                amended.set_eureka_status(status, now);
            }
            Amendment::Metadata(pairs) => {
                let mut metadata = self.metadata.to_map();
                metadata.extend(pairs);
                amended.metadata = Pairs::from(metadata);
                amended.amended = false;
            }
        }
        Some(amended)
    }

    fn set_override(&mut self, status: EurekaStatus, dirty: Option<u64>) {
        if let Some(details) = &mut self.eureka {
            details.overridden = status;
            details.dirty_at = details.dirty_at.max(dirty.unwrap_or_default());
        }
    }

    fn is_older_than(&self, current: &Self) -> bool {
        match (&self.eureka, &current.eureka) {
            (Some(mine), Some(theirs)) => mine.dirty_at < theirs.dirty_at,
            _ => false,
        }
    }
}
