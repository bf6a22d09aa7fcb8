//! What the outside asks of a running sidecar, and how the operating system's signals say it.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What is asked of a running sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop in good order; asked again, at once.
    Stop,
    /// Tell the command something.
    Pass(Passed),
}

/// The signals that are passed on to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl Passed {
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Hangup => Signal::HUP,
            Self::User1 => Signal::USR1,
            Self::User2 => Signal::USR2,
        }
    }
}

/// Turns the process's signals into orders from now on.
pub(crate) fn orders() -> io::Result<mpsc::Receiver<Order>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut user2 = signal(SignalKind::user_defined2())?;
    let (give, orders) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                Some(()) = terminate.recv() => Order::Stop,
                Some(()) = interrupt.recv() => Order::Stop,
                Some(()) = hangup.recv() => Order::Pass(Passed::Hangup),
                Some(()) = user1.recv() => Order::Pass(Passed::User1),
                Some(()) = user2.recv() => Order::Pass(Passed::User2),
                else => return,
            };
            if give.send(order).await.is_err() {
                return;
            }
        }
    });
    Ok(orders)
}
