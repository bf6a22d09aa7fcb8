//! The gateway's single writer: takes a changed file and the control plane's word, in the order they come, and
//! puts in force what they make together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portreeve_config::wire::{Change, NodeMessage, Revision, Snapshot as State};
use portreeve_config::{Faults, GatewayConfig, RouteConfig};
use tokio::sync::{mpsc, oneshot};

use super::{Keeper, Live, Outage, SavedState, Session, SessionEvent, merge};
use crate::metrics::PlaneStats;
use crate::names::{FixedService, Name, Names};
use crate::plane::Settings;
use crate::policy::auth::{Authenticator, KeySources};
use crate::snapshot::{Snapshot, taken};

/// A changed file.
pub(crate) struct FileUpdate {
    pub(crate) file: Arc<GatewayConfig>,
    /// What it says of the gateway as a whole, made ready.
    pub(crate) settings: Arc<Settings>,
    /// Threads that carry traffic with it.
    pub(crate) workers: usize,
    /// Where to say what became of it.
    pub(crate) told: oneshot::Sender<Result<(), Faults>>,
}

/// Owns what a gateway's configuration is made of.
pub struct Reloader {
    live: Arc<Live>,
    keys: Arc<KeySources>,
    stats: Arc<PlaneStats>,
    file: Arc<GatewayConfig>,
    control: State,
    /// The control plane's routes that are in force: the last ones that compiled.
    good_routes: Vec<RouteConfig>,
    /// Whether newer ones were refused. Until others come, or a file with which they do, no revision is acknowledged:
    /// whoever waits for one would take it for what is in force.
    is_refusing: bool,
    keeper: Keeper,
    /// The services of the file.
    fixed: BTreeMap<String, FixedService>,
    /// The names their instances are found by.
    names: Names,
    /// The control plane is away; what has been said of it.
    outage: Outage,
}

impl Reloader {
    /// Puts the file in force with the settings and workers that `live` has, together with the state kept from the last run. Names of instances are followed on the
    /// runtime this runs on; it waits for their first answers, but not for more than a second.
    ///
    /// # Errors
    /// The file's faults. A kept state that does not fit the file is only logged: the control plane will say
    /// better.
    pub async fn start(
        file: Arc<GatewayConfig>,
        live: Arc<Live>,
        keys: Arc<KeySources>,
        stats: Arc<PlaneStats>,
        saved: Option<SavedState>,
    ) -> Result<Self, Faults> {
        let (start, good_routes) = (Arc::default(), Vec::new());
        let (control, keeper) = (State::default(), Keeper::new(saved));
        let (fixed, names) = (BTreeMap::new(), Names::default());
        let mut reloader = Self {
            live,
            keys,
            stats,
            file: start,
            control,
            good_routes,
            is_refusing: false,
            keeper,
            fixed,
            names,
            outage: Outage::default(),
        };
        let start = reloader.live.load();
        reloader.put_file(file, (Arc::clone(&start.settings), start.workers)).await?;
        if let Some(state) = reloader.keeper.kept()
            && let Err(faults) = reloader.take_snapshot(state)
        {
            tracing::warn!(%faults, "routes of the last run do not fit the gateway's file; they wait for the control plane");
        }
        Ok(reloader)
    }

    /// The revision of the kept state.
    pub fn revision(&self) -> Revision {
        self.control.revision
    }

    /// Whose revision that is.
    pub fn epoch(&self) -> &str {
        &self.control.epoch
    }

    /// Serves updates until nobody can send a file any more, and keeps the state then.
    pub(crate) async fn run(
        mut self,
        session: Option<Session>,
        mut events: mpsc::Receiver<SessionEvent>,
        mut files: mpsc::Receiver<FileUpdate>,
    ) {
        loop {
            tokio::select! {
                Some(event) = events.recv() => self.hear(event, session.as_ref()),
                name = self.names.changed() => self.take_addresses(&name),
                update = files.recv() => {
                    let Some(FileUpdate { file, settings, workers, told }) = update else { break };
                    let outcome = self.put_file(file, (settings, workers)).await;
                    if outcome.is_ok() && self.is_refusing && self.put_in_force(true, []).is_ok() {
                        say(NodeMessage::Ack { revision: self.control.revision }, session.as_ref());
                    }
                    // Whoever asked may have stopped waiting.
                    let _ = told.send(self.count(outcome));
                }
                () = self.keeper.due() => self.keeper.save(&self.control),
            }
        }
        self.keeper.finish(&self.control).await;
    }

    fn hear(&mut self, event: SessionEvent, session: Option<&Session>) {
        let (revision, outcome) = match event {
            SessionEvent::Snapshot(state) => {
                tracing::info!(revision = state.revision, "the control plane sent its whole state");
                let (revision, outcome) = (state.revision, self.take_snapshot(state));
                (revision, self.count(outcome))
            }
            SessionEvent::Resumed(revision, _) => {
                tracing::info!(revision, "the control plane goes on from what is held");
                // What was refused before is refused again, or is in force now.
                let outcome = self.take_snapshot(self.control.clone());
                (revision, self.count(outcome))
            }
            SessionEvent::Change(change) => {
                let (revision, outcome) = (change.revision, self.take_change(change));
                (revision, self.count(outcome))
            }
            SessionEvent::Refused(faults) => {
                return tracing::error!(%faults, "the control plane refused a message");
            }
            SessionEvent::Registered(_) => return,
            SessionEvent::Lost(why) => {
                if self.outage.is_news(&why) {
                    tracing::warn!(why, "no control plane; serving goes on with what is known");
                }
                return;
            }
        };
        self.outage.end();
        self.keeper.touch();
        match outcome {
            // What was refused was said when it was.
            Ok(()) if self.is_refusing => {}
            Ok(()) => say(NodeMessage::Ack { revision }, session),
            Err(Faults(faults)) => say(NodeMessage::Nack { revision, faults }, session),
        }
    }

    fn count(&self, outcome: Result<(), Faults>) -> Result<(), Faults> {
        match &outcome {
            Ok(()) => PlaneStats::count(&self.stats.reloads),
            Err(faults) => {
                PlaneStats::count(&self.stats.reloads_refused);
                tracing::error!(%faults, "a configuration was refused; the last good one stays in force");
            }
        }
        outcome
    }

    /// A new file: its routes, fixed services, limits, `dns` and `auth`. Everything is compiled before anything changes, and
    /// new names are looked up before anybody is sent where they lead.
    async fn put_file(
        &mut self,
        file: Arc<GatewayConfig>,
        (settings, workers): (Arc<Settings>, usize),
    ) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let fixed = taken(merge::fixed_services(&file), "", &mut faults);
        let servers = taken(file.dns.addresses(), "dns", &mut faults);
        let compiled = taken(self.compile_file(&file), "", &mut faults);
        let (Some(fixed), Some(servers), Some(next)) = (fixed, servers, compiled) else {
            return Err(faults);
        };
        let names: BTreeSet<Name> = fixed.values().flat_map(FixedService::names).cloned().collect();
        self.names.follow(&servers, names).await;
        let freed = self.fixed.keys().filter(|name| !fixed.contains_key(*name)).cloned();
        let freed = merge::endpoints_of(freed, &self.control.instances);
        let endpoints = merge::fixed_endpoints(&fixed, &self.names);
        let next = next.with_limits(&file.limits).with_settings(settings).with_workers(workers);
        self.live.swap(next.with_endpoints(freed).with_endpoints(endpoints));
        (self.file, self.fixed) = (file, fixed);
        Ok(())
    }

    /// What a file's routes make together with those of the control plane.
    fn compile_file(&self, file: &GatewayConfig) -> Result<Snapshot, Faults> {
        let routes = merge::routes(file, &self.good_routes)?;
        let auth =
            file.auth.as_ref().map(|auth| Authenticator::compile(auth, Arc::clone(&self.keys))).transpose();
        let auth =
            auth.map_err(|faults| Faults(faults.0.into_iter().map(|fault| fault.under("auth")).collect()))?;
        let next = self.live.load().with_routes(routes, auth.map(Arc::new));
        next.map_err(|faults| Faults(faults.0.into_iter().map(|f| f.under("routes")).collect()))
    }

    /// A name leads elsewhere: the services that depend on it have other instances.
    fn take_addresses(&self, name: &Name) {
        let depend = self.fixed.iter().filter(|(_, service)| service.names().any(|one| one == name));
        let endpoints = merge::fixed_endpoints(depend, &self.names);
        self.live.swap(self.live.load().with_endpoints(endpoints));
    }

    fn take_snapshot(&mut self, state: State) -> Result<(), Faults> {
        let mut services = state.services.clone();
        services.extend(self.live.load().service_names().map(|name| name.to_string()));
        self.control = state;
        self.put_in_force(true, services)
    }

    fn take_change(&mut self, change: Change) -> Result<(), Faults> {
        let touched = merge::touched(&change.events);
        self.control.apply(change);
        self.put_in_force(touched.routes, touched.services)
    }

    /// Instances always come into force; routes only when all of them compile.
    fn put_in_force(
        &mut self,
        routes_changed: bool,
        services: impl IntoIterator<Item = String>,
    ) -> Result<(), Faults> {
        let fixed = &self.fixed;
        let found = services.into_iter().filter(|service| !fixed.contains_key(service));
        let endpoints: BTreeMap<_, _> = merge::endpoints_of(found, &self.control.instances);
        let mut next = self.live.load().with_endpoints(endpoints);
        let outcome = if routes_changed { self.compile_routes(&next).map(Some) } else { Ok(None) };
        if routes_changed {
            self.is_refusing = outcome.is_err();
        }
        let outcome = outcome.map(|compiled| {
            if let Some(snapshot) = compiled {
                next = snapshot;
                self.good_routes.clone_from(&self.control.routes);
            }
        });
        next.revision = self.control.revision;
        self.live.swap(next);
        outcome
    }

    fn compile_routes(&self, with: &Snapshot) -> Result<Snapshot, Faults> {
        let routes = merge::routes(&self.file, &self.control.routes)?;
        with.with_routes(routes, with.auth.clone())
    }
}

fn say(message: NodeMessage, session: Option<&Session>) {
    if let Some(session) = session {
        session.say(message);
    }
}
