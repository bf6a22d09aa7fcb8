//! The lists that clients fetch: everything, what changed lately, one application, who answers to an address. The
//! first two are what all clients ask for all the time: made once for each state of the registry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use portreeve_config::wire::Revision;

use super::Eureka;
use super::answer::{Fault, Form, Writing};
use super::path::Target;
use super::view::View;
use super::writing::{Applications, Extent, Format};
use crate::registry::{Action, EurekaStatus, Registered, Registry, service_of};
use crate::state::State;

/// How long a document is shown for an unchanged registry: its times of renewal grow old.
const SHOWN_FOR: Duration = Duration::from_secs(10);
/// What clients are told to reconcile with while changes may be missing: none of them computes it, so each fetches
/// everything.
const FETCH_ALL: &str = "RESYNC_1_";

type Instances = Vec<Arc<Registered>>;

/// Documents that were made already.
#[derive(Debug, Default)]
pub(super) struct Documents(Mutex<HashMap<(bool, Form), Arc<tokio::sync::Mutex<Option<Made>>>>>);

#[derive(Debug)]
struct Made {
    revision: Revision,
    at: Instant,
    body: Bytes,
}

impl Eureka {
    pub(super) async fn read(&self, target: Target<'_>, headers: &HeaderMap) -> Result<Response, Fault> {
        let form = Form::of(headers);
        match target {
            Target::Applications => Ok(form.answer(self.shared(false, form).await)),
            Target::Delta => Ok(form.answer(self.shared(true, form).await)),
            Target::Application(name) => self.application(&name, form),
            Target::Instance(application, id) => self.instance(&application, &id, form),
            Target::Anywhere(id) => self.anywhere(&id, form),
            Target::Vip(vip) => Ok(self.vip(&vip, false, form)),
            Target::SecureVip(vip) => Ok(self.vip(&vip, true, form)),
            Target::Server => Ok(self.server_status(form)),
            other => Err(Fault::Method(other.methods())),
        }
    }

    /// All applications, or what changed lately of them.
    async fn shared(&self, delta: bool, form: Form) -> Bytes {
        let place = {
            let mut made = self.documents.0.lock().unwrap_or_else(PoisonError::into_inner);
            made.entry((delta, form)).or_default().clone()
        };
        // Whoever comes while it is being made waits for it instead of making it too.
        let mut made = place.lock_owned().await;
        let revision = self.state.read(|model| model.registry.revision());
        if let Some(made) = &*made
            && made.revision == revision
            && made.at.elapsed() < SHOWN_FOR
        {
            return made.body.clone();
        }
        let state = self.state.clone();
        let making = move || {
            let (revision, body) = if delta { changes(&state, form) } else { everything(&state, form) };
            *made = Some(Made { revision, at: Instant::now(), body: body.clone() });
            body
        };
        // Only a panic would make it fail, and its answer is an empty one.
        tokio::task::spawn_blocking(making).await.unwrap_or_default()
    }

    fn application(&self, name: &str, form: Form) -> Result<Response, Fault> {
        let instances = self.instances_of(name);
        if instances.is_empty() {
            return Err(Fault::Unknown);
        }
        let now = milliseconds();
        let views = instances.iter().map(|instance| View::of(instance, &self.state, now)).collect();
        Ok(form.answer(form.body(One { name, views })))
    }

    fn instances_of(&self, application: &str) -> Instances {
        let Some(service) = service_of(application) else { return Vec::new() };
        self.state.read(|model| {
            let all = model.registry.of_service(&service);
            all.filter(|instance| instance.is_of_application(application)).cloned().collect()
        })
    }

    fn instance(&self, application: &str, id: &str, form: Form) -> Result<Response, Fault> {
        let found = self.find(application, id).ok_or(Fault::Unknown)?;
        Ok(self.shown(&found, form))
    }

    fn anywhere(&self, id: &str, form: Form) -> Result<Response, Fault> {
        let found = self.state.read(|model| model.registry.anywhere(id).cloned());
        let found = found.ok_or(Fault::Unknown)?;
        Ok(self.shown(&found, form))
    }

    /// One instance, never compressed: it is small.
    pub(super) fn shown(&self, instance: &Registered, form: Form) -> Response {
        let form = Form { gzip: false, ..form };
        form.answer(form.body(View::of(instance, &self.state, milliseconds())))
    }

    fn vip(&self, vip: &str, secure: bool, form: Form) -> Response {
        let instances: Instances = self.state.read(|model| {
            model.registry.all().filter(|instance| instance.answers_to(vip, secure)).cloned().collect()
        });
        let hash = hash(instances.iter());
        let views = views(&instances, &self.state);
        form.answer(form.body(Applications { version: "-1".to_owned(), hash, applications: views }))
    }
}

fn everything(state: &State, form: Form) -> (Revision, Bytes) {
    let (revision, instances) =
        state.read(|model| (model.registry.revision(), model.registry.all().cloned().collect::<Instances>()));
    let hash = hash(instances.iter());
    let applications = views(&instances, state);
    (revision, form.body(Applications { version: "1".to_owned(), hash, applications }))
}

/// What changed in the last minutes, the newest state of each instance only.
fn changes(state: &State, form: Form) -> (Revision, Bytes) {
    let now = milliseconds();
    let (revision, hash, changed) = state.read(|model| {
        let registry = &model.registry;
        let hash =
            if registry.recent().is_complete(now) { hash(registry.all()) } else { FETCH_ALL.to_owned() };
        (registry.revision(), hash, newest_changes(registry, now))
    });
    let mut applications = BTreeMap::<String, Vec<View<'_>>>::new();
    for (instance, gone) in &changed {
        let view = if *gone { View::gone(instance) } else { View::of(instance, state, now) };
        applications.entry(instance.application()).or_default().push(view);
    }
    // A client that has seen this version skips it, and 1 is that of the whole.
    let version = (revision + 1).to_string();
    (revision, form.body(Applications { version, hash, applications: applications.into_iter().collect() }))
}

fn newest_changes(registry: &Registry, now: u64) -> Vec<(Arc<Registered>, bool)> {
    let mut seen = HashSet::new();
    let mut changed = Vec::new();
    for change in registry.recent().changes(now) {
        if seen.insert((&change.instance.service, &change.instance.id)) {
            changed.push((change.instance.clone(), change.action == Action::Deleted));
        }
    }
    changed
}

fn views<'a>(instances: &'a Instances, state: &State) -> Vec<(String, Vec<View<'a>>)> {
    let now = milliseconds();
    let mut applications = BTreeMap::<String, Vec<View<'a>>>::new();
    for instance in instances {
        applications.entry(instance.application()).or_default().push(View::of(instance, state, now));
    }
    applications.into_iter().collect()
}

/// What a client compares its own view with: how many instances have each status.
fn hash<'a>(instances: impl Iterator<Item = &'a Arc<Registered>>) -> String {
    let mut counts = [0_u64; EurekaStatus::ALL.len()];
    for instance in instances {
        counts[instance.eureka_status() as usize] += 1;
    }
    let counted = EurekaStatus::ALL.iter().zip(counts).filter(|(_, count)| *count > 0);
    counted.map(|(status, count)| format!("{}_{count}_", status.as_str())).collect()
}

/// Since 1970.
pub(super) fn milliseconds() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

struct One<'a> {
    name: &'a str,
    views: Vec<View<'a>>,
}

impl Writing for One<'_> {
    fn write(&self, format: &mut impl Format, extent: Extent) {
        format.application(self.name, &self.views, extent);
    }
}

impl Writing for View<'_> {
    fn write(&self, format: &mut impl Format, extent: Extent) {
        format.instance(self, extent);
    }
}

impl Writing for Applications<'_> {
    fn write(&self, format: &mut impl Format, extent: Extent) {
        format.applications(self, extent);
    }
}
