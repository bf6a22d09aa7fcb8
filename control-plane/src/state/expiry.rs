//! Takes out whose lease is over, at its deadline and not at the next tick of a clock.

use std::time::{Duration, Instant};

use super::{Command, State};
use crate::registry::InstanceKey;

/// Sleeping longer than planned by this much means that the process stood still (stopped, or its machine
/// paused): signs of life that wait in its sockets have not been read, so nobody is taken out for it.
const STOOD_STILL: Duration = Duration::from_millis(500);
/// Without a closer deadline the clock is looked at this often, so that standing still is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(250);

/// Instances that are taken out in one revision at most; bounds the line that tells nodes of it.
const TOGETHER: usize = 256;

/// Runs until the state ends.
pub(crate) async fn expire_leases(state: State) {
    loop {
        let now = Instant::now();
        let due = state.shared.leases().due(now);
        for (service, evidence) in due.kept {
            tracing::warn!(
                service = &*service,
                silent = evidence.silent,
                instances = evidence.instances,
                "most of this service fell silent together, as when a network is cut; they are kept for 5 min"
            );
        }
        for keys in due.over.chunks(TOGETHER) {
            tokio::spawn(expire(state.clone(), keys.to_vec()));
        }
        let planned =
            state.shared.leases().next_due().map_or(now + LONGEST_SLEEP, |due| due.min(now + LONGEST_SLEEP));
        tokio::select! {
            () = tokio::time::sleep_until(planned.into()) => {}
            () = state.shared.deadline_moved.notified() => {}
        }
        forgive_a_pause(&state, planned);
    }
}

fn forgive_a_pause(state: &State, planned: Instant) {
    let late = planned.elapsed();
    if late > STOOD_STILL {
        tracing::warn!(
            milliseconds = late.as_millis() as u64,
            "the control plane stood still; every lease is made longer by that time"
        );
        state.shared.leases().forgive(late);
    }
}

async fn expire(state: State, keys: Vec<InstanceKey>) {
    let count = keys.len();
    // A renewal that arrived meanwhile saves its instance; a store that fails leaves all for the next round.
    if let Err(refusal) = state.write(Command::Expire(keys)).await {
        tracing::error!(count, %refusal, "instances whose lease is over could not be removed");
    }
}
