//! The own instance's place in the registry: what was said of it, what came back, and what is said next.

use std::time::Duration;

use portreeve_config::wire::{Instance, NodeMessage, Revision};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// How soon a refused registration is said again: a dead namesake's lease may be what stands in the way.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The registration of one instance.
#[derive(Default)]
pub(crate) struct Registration {
    said: Option<Instance>,
    again_at: Option<Instant>,
    leaving: Option<Leaving>,
}

/// What is being taken out of the registry, and who waits for it.
struct Leaving {
    service: String,
    id: String,
    told: oneshot::Sender<Option<Revision>>,
}

impl Registration {
    /// The instance is registered, or said to have changed.
    pub(crate) fn register(&mut self, instance: &Instance) {
        self.said = Some(instance.clone());
        self.again_at = None;
    }

    /// Takes it back. `told` hears the revision that says so; it is dropped when there is nothing to wait for.
    pub(crate) fn leave(
        &mut self,
        told: oneshot::Sender<Option<Revision>>,
        in_touch: bool,
    ) -> Option<NodeMessage> {
        self.again_at = None;
        let Instance { service, id, .. } = self.said.take()?;
        self.leaving = in_touch.then(|| Leaving { service: service.clone(), id: id.clone(), told });
        Some(NodeMessage::Deregister { service, id })
    }

    /// Takes the control plane's word that something was stored. True when that was the registration.
    pub(crate) fn confirmed(&mut self, revision: Revision, instances: &[Instance]) -> bool {
        let is_there = |own: &Leaving| instances.iter().any(|i| i.service == own.service && i.id == own.id);
        // A change comes before the answer to it: while the instance is still there, the answer is to an earlier
        // registration.
        if let Some(own) = self.leaving.take_if(|own| !is_there(own)) {
            // Whoever asked may have stopped waiting.
            let _ = own.told.send(Some(revision));
        }
        self.said.is_some()
    }

    /// Takes the control plane's no.
    pub(crate) fn refused(&mut self) {
        self.leaving = None;
        // Also where it is registered: what was refused may be that it is up again, or what was said after a break.
        if self.said.is_some() {
            self.again_at = Some(Instant::now() + AGAIN_AFTER);
        }
    }

    /// The stream broke: what was said last on it may never be answered.
    pub(crate) fn lost(&mut self) {
        self.leaving = None;
    }

    /// Waits until a refused registration is to be said again; for ever while none was. Can be dropped at any time.
    pub(crate) async fn is_due_again(&self) {
        match self.again_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// What is to be said again.
    pub(crate) fn say_again(&mut self) -> Option<Instance> {
        self.again_at = None;
        self.said.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use portreeve_config::wire::InstanceStatus;

    use super::*;

    fn instance() -> Instance {
        Instance {
            service: "orders".to_owned(),
            id: "orders-1".to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
            status: InstanceStatus::Up,
            lease_ms: 3000,
            metadata: [].into(),
        }
    }

    #[test]
    fn the_end_is_heard_when_the_instance_is_gone() {
        let mut registration = Registration::default();
        registration.register(&instance());
        let (told, mut gone) = oneshot::channel();
        let farewell = registration.leave(told, true);
        assert!(matches!(farewell, Some(NodeMessage::Deregister { id, .. }) if id == "orders-1"));
        assert!(!registration.confirmed(4, &[instance()]), "the answer to the registration came late");
        assert!(gone.try_recv().is_err());
        registration.confirmed(5, &[]);
        assert_eq!(gone.try_recv().unwrap(), Some(5));
    }

    #[test]
    fn nobody_waits_for_what_cannot_come() {
        let (told, gone) = oneshot::channel();
        assert!(Registration::default().leave(told, true).is_none());
        assert!(gone.blocking_recv().is_err(), "it was never registered");

        for end in [Registration::lost, Registration::refused] {
            let mut registration = Registration::default();
            registration.register(&instance());
            let (told, gone) = oneshot::channel();
            registration.leave(told, true);
            end(&mut registration);
            drop(registration);
            assert!(gone.blocking_recv().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_registration_is_said_again() {
        let mut registration = Registration::default();
        registration.register(&instance());
        registration.refused();
        registration.is_due_again().await;
        assert_eq!(registration.say_again(), Some(instance()));
        registration.confirmed(1, &[instance()]);
        let down = Instance { status: InstanceStatus::Down, ..instance() };
        registration.register(&down);
        registration.refused();
        registration.is_due_again().await;
        assert_eq!(registration.say_again(), Some(down), "what was said last, registered or not");
        registration.leave(oneshot::channel().0, true);
        registration.refused();
        let waited = tokio::time::timeout(AGAIN_AFTER * 10, registration.is_due_again()).await;
        assert!(waited.is_err(), "there is nothing to say");
    }
}
