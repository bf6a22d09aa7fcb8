//! What systemd is told of this process (`sd_notify(3)`). Without it nobody is told, and nothing is different.

use std::time::Duration;

use sd_notify::NotifyState;

/// Says how this process is.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how this process is");
    }
}

/// Says again and again that this process is alive, where its unit has `WatchdogSec`. Runs on the event loop that does
/// the process's errands: when that hangs, nobody says so any more.
pub(crate) async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
