//! New ids, and the decision whether a new trace is recorded.

use std::cell::RefCell;

use rand::Rng;
use rand::rngs::SmallRng;

use super::Decision;

thread_local! {
    // Ids must differ, not be secret: a small generator per thread is enough, and costs about a nanosecond.
    static RANDOM: RefCell<SmallRng> = RefCell::new(rand::make_rng());
}

/// Records a fixed share of traces. The trace id alone decides, so every proxy with the same share agrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// A trace is recorded when the low half of its id is below this; 2^64 records all.
    below: u128,
}

impl Sampler {
    /// Records `share` of all traces: 0.0 none, 1.0 all. What lies outside is brought to the nearer end.
    pub fn new(share: f64) -> Self {
        const ALL: f64 = 18_446_744_073_709_551_616.0;
        // A float becomes an integer by saturation, and NaN becomes zero.
        Self { below: (share.clamp(0.0, 1.0) * ALL) as u128 }
    }

    pub(super) fn decide(&self, trace_id: u128) -> Decision {
        let low = trace_id & u128::from(u64::MAX);
        if low < self.below { Decision::Record } else { Decision::Drop }
    }
}

pub(super) fn trace_id() -> u128 {
    // The low half is never zero, so the id isn't either, and its 64-bit form stays valid.
    u128::from(span_id()) | (u128::from(next()) << 64)
}

pub(super) fn span_id() -> u64 {
    loop {
        match next() {
            0 => {}
            id => return id,
        }
    }
}

fn next() -> u64 {
    RANDOM.with_borrow_mut(SmallRng::next_u64)
}
