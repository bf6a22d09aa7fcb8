//! One rehearsal: read, begun, rehearsed, written; and what it makes as an explanation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portreeve_config::{CacheShare, SampleRequest};

use super::answer::{
    Asked, Condition, Explanation, Field, InstanceState, KeptAnswers, Policies, Refused, Sent, Taken, Tried,
};
use super::{Stage, near, secrets};
use crate::pipeline::{Exchange, Onward};
use crate::policy::headers::{Peer, Scheme};
use crate::policy::routing::{Check, Conditions, Part, PathPattern, RequestView, Trial, Witness};
use crate::rejection::Rejection;
use crate::server::Heard;
use crate::snapshot::Route;

/// Routes that are told of one by one; nobody reads more, and a request need not make them.
const MOST_TRIED: usize = 1_000;

/// What became of one request.
pub(super) struct Course {
    pub(super) refusal: Option<Rejection>,
    pub(super) onward: Option<Onward>,
    /// What an instance would get, line by line.
    pub(super) fields: Vec<(String, String)>,
    pub(super) upgrade: Option<String>,
    /// Each route that was tried, with its conditions.
    trials: Vec<Trying>,
    untried: (usize, Vec<super::Untried>),
}

struct Trying {
    route: usize,
    host: Option<Box<str>>,
    path: PathPattern,
    takes: bool,
    checks: Vec<Check>,
}

/// Notes down what is tried.
struct Notes<'a> {
    request: RequestView<'a>,
    trials: Vec<Trying>,
}

impl Witness<usize> for Notes<'_> {
    fn tried(&mut self, conditions: &Conditions, route: &usize, trial: Trial) {
        if self.trials.len() < MOST_TRIED {
            self.trials.push(Trying {
                route: *route,
                host: conditions.host.clone(),
                path: conditions.path.clone(),
                takes: trial == Trial::Taken,
                checks: conditions.checks(&self.request),
            });
        }
    }
}

impl Course {
    /// Rehearses a checked request.
    pub(super) fn run(stage: &Stage, sample: &SampleRequest) -> Self {
        let pinned = &stage.pinned;
        let mut heard = match Heard::read(sample, &pinned.snapshot.limits) {
            Ok(heard) => heard,
            Err(refusal) => return Self::refused(refusal, pinned.snapshot.routes.len()),
        };
        let scheme = if sample.url.starts_with("https:") { Scheme::Https } else { Scheme::Http };
        let peer = Peer::new(Some(sample.client), scheme);
        let mut exchange = Exchange::begin(Arc::clone(pinned), &mut heard.parts, &peer);
        let target = exchange.target().clone();
        // A copy, for the head goes on being changed while the notes are taken.
        let (method, headers) = (heard.parts.method.clone(), heard.parts.headers.clone());
        let request = RequestView {
            host: target.host(),
            path: target.path(),
            query: target.query(),
            method: &method,
            headers: &headers,
        };
        let mut notes = Notes { request, trials: Vec::new() };
        let rehearsed = exchange.rehearse(&mut heard.parts, heard.body_length, &mut notes);
        let upgrade = heard.upgrade.take().filter(|protocol| exchange.may_switch_to(protocol));
        let fields = rehearsed
            .onward
            .as_ref()
            .map(|onward| fields_of(&heard.written(onward.target.as_str(), upgrade.as_ref())));
        let tried: BTreeSet<usize> = notes.trials.iter().map(|trying| trying.route).collect();
        Self {
            untried: near::untried(&pinned.snapshot, &tried, &notes.request),
            refusal: rehearsed.refusal,
            onward: rehearsed.onward,
            fields: fields.unwrap_or_default(),
            upgrade: upgrade.and_then(|protocol| protocol.to_str().map(str::to_owned).ok()),
            trials: notes.trials,
        }
    }

    fn refused(refusal: Rejection, routes: usize) -> Self {
        Self {
            refusal: Some(refusal),
            onward: None,
            fields: Vec::new(),
            upgrade: None,
            trials: Vec::new(),
            untried: (routes, Vec::new()),
        }
    }

    /// The route that takes the request.
    pub(super) fn route<'s>(&self, stage: &'s Stage) -> Option<&'s Arc<Route>> {
        self.onward.as_ref().and_then(|onward| stage.pinned.snapshot.routes.get(onward.route))
    }

    /// What is shown of it.
    pub(super) fn explanation(self, stage: &Stage, sample: &SampleRequest) -> Explanation {
        let taken = self.taken(stage, sample);
        let snapshot = &stage.pinned.snapshot;
        let tried = self.trials.into_iter().map(|trying| Tried {
            route: snapshot.routes[trying.route].name.to_string(),
            host: trying.host.map(String::from),
            path: trying.path.to_string(),
            takes: trying.takes,
            conditions: trying.checks.into_iter().map(condition).collect(),
        });
        Explanation {
            revision: snapshot.revision,
            request: Asked {
                method: sample.method.clone(),
                url: secrets::target(&sample.url),
                client: sample.client.to_string(),
            },
            refused: self.refusal.as_ref().map(|refusal| Refused {
                status: refusal.status().as_u16(),
                reason: refusal.reason().to_owned(),
                detail: refusal.detail().into_owned(),
            }),
            tried: tried.collect(),
            untried: self.untried.0,
            closest: self.untried.1,
            taken,
        }
    }

    /// Why a route did not take the request, where that is known.
    pub(super) fn why_not(&self, stage: &Stage, name: &str) -> Option<String> {
        let is_it = |trying: &&Trying| *stage.pinned.snapshot.routes[trying.route].name == *name;
        if let Some(trying) = self.trials.iter().find(is_it) {
            let failed = trying.checks.iter().filter(|check| !check.holds).cloned().map(condition);
            let failed: Vec<String> = failed.map(|condition| condition.to_string()).collect();
            return Some(format!("`{name}` was tried: {}", failed.join("; "))).filter(|_| !failed.is_empty());
        }
        let other = self.untried.1.iter().find(|other| other.route == name)?;
        Some(format!("`{name}` was not tried: {}", other.because))
    }

    /// What the path captured, by the names of the route's path.
    fn captures(&self, onward: &Onward) -> BTreeMap<String, String> {
        let mut named = BTreeMap::new();
        let Some(taking) = self.trials.iter().find(|trying| trying.takes) else { return named };
        for (position, name) in taking.path.names.iter().enumerate() {
            let text = onward.captures.segment(&onward.path, position).unwrap_or_default();
            named.insert(name.to_string(), text.to_owned());
        }
        if taking.path.is_prefix {
            named.insert("*".to_owned(), onward.captures.rest(&onward.path).to_owned());
        }
        named
    }

    fn taken(&self, stage: &Stage, sample: &SampleRequest) -> Option<Taken> {
        let (onward, route) = (self.onward.as_ref()?, self.route(stage)?);
        let shown = |(name, value): &(String, String)| Field {
            name: name.clone(),
            value: secrets::shown(name, value),
        };
        let service = stage.pinned.snapshot.service_of(route);
        let owner =
            onward.key.as_ref().and_then(|key| service.pick(service.turn_of(key.as_bytes(), &[]), &[]));
        Some(Taken {
            route: route.name.to_string(),
            service: route.service.to_string(),
            captures: self.captures(onward),
            policies: policies(stage, route, onward, self.upgrade.clone()),
            instances: instances(stage, route),
            may_have_more: stage.may_have_more,
            belongs_to: owner.map(|owner| owner.id.to_string()),
            sent: Sent {
                method: sample.method.clone(),
                target: secrets::target(onward.target.as_str()),
                fields: self.fields.iter().map(shown).collect(),
            },
        })
    }
}

/// The lines of a head after its first. A value that is not text is read as well as it can be.
fn fields_of(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    let lines = text.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn condition(check: Check) -> Condition {
    let (of, is_secret) = match check.part {
        Part::Header => (format!("header {}", check.name), secrets::is_secret(&check.name)),
        Part::Query => (format!("query {}", check.name), secrets::is_secret_parameter(&check.name)),
        Part::Method => ("method".to_owned(), false),
    };
    let shown = |text: String| if is_secret { secrets::HIDDEN.to_owned() } else { text };
    let wanted = match check.wanted {
        Some(text) => shown(text),
        None if check.holds != check.found.is_empty() => "to be there".to_owned(),
        None => "not to be there".to_owned(),
    };
    let found = check.found.into_iter().map(shown).collect();
    Condition { of, wanted, found, holds: check.holds }
}

fn policies(stage: &Stage, route: &Route, onward: &Onward, upgrade: Option<String>) -> Policies {
    let connect = stage.pinned.snapshot.limits.connect_timeout;
    Policies {
        needs_token: route.needs_token,
        cache: route.cache.as_ref().map(|rule| KeptAnswers {
            ttl: humantime::format_duration(rule.ttl()).to_string(),
            share: match rule.share() {
                Some(CacheShare::Everyone) => "everyone",
                Some(CacheShare::PerSubject) => "per_subject",
                None => "without_credentials",
            }
            .to_owned(),
            is_asked: onward.asks_cache,
        }),
        timeout: humantime::format_duration(route.timeout).to_string(),
        attempts: route.retry.attempts(),
        repeats: route.retry.repeats().into_iter().map(str::to_owned).collect(),
        balance: route.balance_by.as_ref().map_or("round_robin".to_owned(), ToString::to_string),
        max_body: route.max_body,
        connect_timeout: humantime::format_duration(connect.get()).to_string(),
        upgrade,
        grpc_web: route.grpc_web,
    }
}

fn instances(stage: &Stage, route: &Route) -> Vec<InstanceState> {
    let known = stage.pinned.snapshot.service_of(route).endpoints.iter().map(|endpoint| InstanceState {
        id: endpoint.id.to_string(),
        address: endpoint.address.to_string(),
        state: if endpoint.is_aside() { "set aside for a while: it failed" } else { "takes requests" }
            .to_owned(),
    });
    let names = stage.elsewhere.get(&*route.service).into_iter().flatten().map(|name| InstanceState {
        id: name.clone(),
        address: name.clone(),
        state: "a name, which a running gateway looks up".to_owned(),
    });
    known.chain(names).collect()
}
