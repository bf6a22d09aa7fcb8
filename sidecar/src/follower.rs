//! Keeps in touch with the control plane: what it says comes into force here (instances, routes, configuration),
//! what is to be known there is said (the own instance), and what is known survives a restart.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::wire::{Change, Instance, NodeMessage, Revision, Snapshot as State};
use portreeve_config::{Fault, Faults, Period};
use portreeve_proxy::metrics::PlaneStats;
use portreeve_proxy::reload::{Keeper, Outage, Session, SessionEvent, endpoints_of, touched};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::handover::{Configuration, ConfigurationFile};
use crate::planes::{Direction, outbound_routes};
use crate::registration::Registration;

/// How long the control plane gets to confirm that the instance is gone.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How things stand with the control plane.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// It has sent its state, or there is no control plane to wait for.
    pub(crate) heard: bool,
    /// It has confirmed the registration.
    pub(crate) registered: bool,
    /// The configuration in force.
    pub(crate) configuration: Arc<Configuration>,
}

/// What the following is made of.
pub(crate) struct Setting {
    pub(crate) outbound: Direction,
    /// How long another service may take.
    pub(crate) timeout: Period,
    pub(crate) file: ConfigurationFile,
    pub(crate) keeper: Keeper,
}

/// The connection to the task that follows; it ends when this is dropped.
pub(crate) struct Follower {
    words: mpsc::Sender<Word>,
    standing: watch::Receiver<Standing>,
    task: JoinHandle<()>,
}

enum Word {
    Register(Instance),
    Leave(oneshot::Sender<Option<Revision>>),
    End,
}

impl Follower {
    /// Says that the instance is there, or how it is now; said again by itself after every break.
    pub(crate) async fn register(&self, instance: Instance) {
        // The task ends only with the follower.
        let _ = self.words.send(Word::Register(instance)).await;
    }

    /// Takes the instance out of the registry and gives the revision that says so; `None` when it was not there,
    /// or the control plane does not answer.
    pub(crate) async fn leave(&self) -> Option<Revision> {
        let (told, gone) = oneshot::channel();
        let _ = self.words.send(Word::Leave(told)).await;
        timeout(LEAVE_WITHIN, gone).await.ok()?.ok()?
    }

    /// Waits until the control plane has sent its state. False when it has not within `limit`.
    pub(crate) async fn hears_within(&mut self, limit: Duration) -> bool {
        matches!(timeout(limit, self.standing.wait_for(|standing| standing.heard)).await, Ok(Ok(_)))
    }

    /// The configuration in force.
    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(&self.standing.borrow().configuration)
    }

    /// Ends, after what is not on disk yet was written.
    pub(crate) async fn end(&mut self) {
        if self.words.send(Word::End).await.is_ok() {
            // It has nothing to give; a panic in it was told by itself.
            let _ = (&mut self.task).await;
        }
    }
}

/// The state and who may change it.
pub(crate) struct Following {
    outbound: Direction,
    timeout: Period,
    file: ConfigurationFile,
    keeper: Keeper,
    state: State,
    /// The services that have a route now.
    routed: BTreeSet<String>,
    standing: watch::Sender<Standing>,
    in_touch: bool,
    outage: Outage,
    registration: Registration,
}

impl Following {
    /// Puts the state of the last run in force.
    ///
    /// # Errors
    /// What the operating system says when the configuration file cannot be written.
    pub(crate) fn begin(setting: Setting) -> std::io::Result<Self> {
        let Setting { outbound, timeout, file, keeper } = setting;
        let state = keeper.kept().unwrap_or_default();
        let mut following = Self {
            outbound,
            timeout,
            file,
            keeper,
            state: State::default(),
            routed: BTreeSet::new(),
            standing: watch::Sender::default(),
            in_touch: true,
            outage: Outage::default(),
            registration: Registration::default(),
        };
        if let Err(faults) = following.take_state(state) {
            tracing::warn!(%faults, "services of the last run are not all in force; they wait for the control plane");
        }
        following.file.put(&following.state.config)?;
        following.publish_configuration();
        Ok(following)
    }

    /// The revision that is in force.
    pub(crate) fn revision(&self) -> Revision {
        self.state.revision
    }

    /// Whose revision that is.
    pub(crate) fn epoch(&self) -> &str {
        &self.state.epoch
    }

    /// How things stand, from now on.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Goes on as a task. Without a session there is nothing to wait for.
    pub(crate) fn follow(self, session: Option<Session>, events: mpsc::Receiver<SessionEvent>) -> Follower {
        let (words, heard) = mpsc::channel(8);
        let standing = self.standing();
        if session.is_none() {
            self.standing.send_modify(|standing| standing.heard = true);
        }
        Follower { words, standing, task: tokio::spawn(self.run(session, events, heard)) }
    }

    async fn run(
        mut self,
        session: Option<Session>,
        mut events: mpsc::Receiver<SessionEvent>,
        mut words: mpsc::Receiver<Word>,
    ) {
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.hear(event, session.as_ref()),
                word = words.recv() => match word {
                    Some(Word::Register(instance)) => {
                        self.registration.register(&instance);
                        say(Some(NodeMessage::Register(instance)), session.as_ref());
                    }
                    Some(Word::Leave(told)) => {
                        self.set_registered(false);
                        let farewell = self.registration.leave(told, self.in_touch);
                        say(farewell, session.as_ref());
                    }
                    Some(Word::End) | None => break,
                },
                () = self.keeper.due() => self.keeper.save(&self.state),
                () = self.file.is_due_again() => if let Err(faults) = self.hand_over() {
                    tracing::error!(%faults, "the service's configuration file is still the old one");
                },
                () = self.registration.is_due_again() => {
                    let instance = self.registration.say_again();
                    say(instance.map(NodeMessage::Register), session.as_ref());
                }
            }
        }
        self.keeper.finish(&self.state).await;
        // It may remove a folder, which a busy disk takes its time for.
        let _ = tokio::task::spawn_blocking(move || drop(self.file)).await;
    }

    fn hear(&mut self, event: SessionEvent, session: Option<&Session>) {
        let (revision, outcome) = match event {
            SessionEvent::Snapshot(state) => {
                tracing::info!(revision = state.revision, "the control plane sent its whole state");
                self.in_touch = true;
                (state.revision, self.take_state(state))
            }
            SessionEvent::Resumed(revision, config) => {
                tracing::info!(revision, "the control plane goes on from what is held");
                self.in_touch = true;
                let mut state = self.state.clone();
                state.config = config.unwrap_or(state.config);
                (revision, self.take_state(state))
            }
            SessionEvent::Change(change) => (change.revision, self.take_change(change)),
            SessionEvent::Registered(revision) => return self.confirmed(revision),
            SessionEvent::Refused(faults) => return self.refused(&faults),
            SessionEvent::Lost(why) => return self.lost(&why),
        };
        self.outage.end();
        self.keeper.touch();
        // Also when services were refused: the one has nothing to do with the other.
        let handed_over = self.hand_over();
        let outcome = outcome.and(handed_over);
        self.standing.send_if_modified(|standing| !std::mem::replace(&mut standing.heard, true));
        let stats = &self.outbound.plane.stats;
        let message = match outcome {
            Ok(()) => {
                PlaneStats::count(&stats.reloads);
                NodeMessage::Ack { revision }
            }
            Err(faults) => {
                PlaneStats::count(&stats.reloads_refused);
                tracing::error!(%faults, revision, "a change was refused; the last good state stays in force");
                NodeMessage::Nack { revision, faults: faults.0 }
            }
        };
        say(Some(message), session);
    }

    fn take_state(&mut self, state: State) -> Result<(), Faults> {
        let mut services: BTreeSet<String> = self.routed.clone();
        services.extend(known_services(&state).map(str::to_owned));
        self.state = state;
        self.put_in_force(services)
    }

    fn take_change(&mut self, change: Change) -> Result<(), Faults> {
        let touched = touched(&change.events);
        self.state.apply(change);
        self.put_in_force(touched.services)
    }

    /// Instances always come into force; routes only where the set of services has changed.
    fn put_in_force(&mut self, services: BTreeSet<String>) -> Result<(), Faults> {
        let live = &self.outbound.live;
        let mut next = live.load().with_endpoints(endpoints_of(services, &self.state.instances));
        next.revision = self.state.revision;
        let known: BTreeSet<String> = known_services(&self.state).map(str::to_owned).collect();
        let mut outcome = Ok(());
        if known != self.routed {
            let routes = outbound_routes(known.iter().map(String::as_str), self.timeout);
            match next.with_routes(&routes, None) {
                Ok(routed) => {
                    next = routed;
                    self.routed = known;
                }
                Err(faults) => outcome = Err(faults),
            }
        }
        live.swap(next);
        outcome
    }

    /// Brings the service's configuration file up to date.
    fn hand_over(&mut self) -> Result<(), Faults> {
        match self.file.put(&self.state.config) {
            Ok(None) => Ok(()),
            Ok(Some(keys)) => {
                // Keys only: a value may be a secret.
                tracing::info!(?keys, "the service's configuration changed");
                self.publish_configuration();
                Ok(())
            }
            Err(error) => {
                let path = self.file.path().display();
                let fault = Fault::new("config", format!("{path} cannot be written: {error}"));
                Err(fault.hint("check that its folder is writable and has room").into())
            }
        }
    }

    fn publish_configuration(&self) {
        let configuration = Arc::new(self.state.config.clone());
        self.standing.send_modify(|standing| standing.configuration = configuration);
    }

    fn confirmed(&mut self, revision: Revision) {
        if self.registration.confirmed(revision, &self.state.instances) {
            self.set_registered(true);
        }
    }

    fn refused(&mut self, faults: &Faults) {
        tracing::error!(%faults, "the control plane refused a message");
        self.registration.refused();
    }

    fn lost(&mut self, why: &str) {
        self.registration.lost();
        self.in_touch = false;
        if self.outage.is_news(why) {
            tracing::warn!(why, "no control plane; serving goes on with what is known");
        }
    }

    fn set_registered(&self, registered: bool) {
        self.standing.send_if_modified(|standing| {
            std::mem::replace(&mut standing.registered, registered) != registered
        });
    }
}

fn say(message: Option<NodeMessage>, session: Option<&Session>) {
    if let (Some(message), Some(session)) = (message, session) {
        session.say(message);
    }
}

/// The services that can be called: also those that nobody declared but somebody is.
fn known_services(state: &State) -> impl Iterator<Item = &str> {
    let declared = state.services.iter().map(String::as_str);
    declared.chain(state.instances.iter().map(|instance| instance.service.as_str()))
}
