//! One route after the other, and then all of them together: names, order, and whether each passes the checks.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::definition::{Definition, Factory};
use super::filters::{Changes, period};
use super::order::Place;
use super::pattern::Pattern;
use super::predicates::{Conditions, Reading, Refused};
use super::rewriting::Rewriting;
use super::services::Services;
use super::source::Source;
use crate::import::{Effect, Report, write};
use crate::{RouteConfig, check};

/// Routes that one route may become: hosts, paths and values multiply.
const MOST: usize = 64;

/// What every route is translated with.
pub(super) struct Translation<'a> {
    pub(super) reading: Reading,
    pub(super) defaults: &'a [Factory],
    pub(super) timeout: Option<&'a str>,
}

/// What became of a route.
#[derive(Default)]
pub(super) struct Outcome {
    id: String,
    pub(super) line: usize,
    pub(super) service: String,
    pub(super) is_balanced: bool,
    /// As they are written, and where each stands among the others.
    pub(super) routes: Vec<(Value, Place)>,
    /// Why it is left out; empty for one that is not.
    pub(super) refusals: Vec<Said>,
    notes: Vec<Said>,
    span: Range<usize>,
}

/// Something about a route, and where in the file it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    effect: Effect,
    what: String,
    instead: String,
    span: Range<usize>,
}

impl Said {
    fn refusal((what, instead): Refused, span: &Range<usize>) -> Self {
        Self { effect: Effect::LeftOut, what, instead, span: span.clone() }
    }

    fn note((effect, what, instead): (Effect, String, String), span: &Range<usize>) -> Self {
        Self { effect, what, instead, span: span.clone() }
    }
}

impl Translation<'_> {
    /// Translates a route as far as that is possible.
    pub(super) fn of(&self, definition: &Definition, number: usize, services: &mut Services) -> Outcome {
        let id = definition
            .id
            .clone()
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| format!("route-{}", number + 1));
        let mut outcome = Outcome { id, span: definition.span.clone(), ..Outcome::default() };
        let refuse = |outcome: &mut Outcome, refused: Refused| {
            outcome.refusals.push(Said::refusal(refused, &definition.span));
        };
        if !definition.enabled {
            refuse(&mut outcome, ("it is switched off".to_owned(), String::new()));
        }
        if definition.predicates.is_empty() {
            refuse(
                &mut outcome,
                ("it has no predicates".to_owned(), "say which requests it takes".to_owned()),
            );
        }
        for unknown in &definition.unknown {
            refuse(
                &mut outcome,
                (format!("`{unknown}` is not known in a route"), "see what it does".to_owned()),
            );
        }
        match definition.uri.as_ref().map(|uri| services.destination(uri)) {
            Ok(Ok(there)) => {
                (outcome.service, outcome.is_balanced) = (there.service, there.is_balanced);
                let note = there.note.map(|note| (Effect::Differs, note, String::new()));
                outcome.notes.extend(note.map(|note| Said::note(note, &definition.span)));
                self.conditions(definition, number, there.is_socket, &mut outcome);
            }
            Ok(Err(refused)) => refuse(&mut outcome, refused),
            Err(name) => {
                refuse(
                    &mut outcome,
                    (format!("`${{{name}}}` is set nowhere in the file"), "write its value".to_owned()),
                );
            }
        }
        outcome
    }

    fn conditions(&self, definition: &Definition, number: usize, is_socket: bool, outcome: &mut Outcome) {
        let mut conditions = Conditions::default();
        for predicate in &definition.predicates {
            if let Err(refused) = conditions.add(predicate, self.reading) {
                outcome.refusals.push(Said::refusal(refused, &predicate.span));
            }
            outcome.notes.extend(conditions.notes.drain(..).map(|note| Said::note(note, &predicate.span)));
        }
        if conditions.paths.is_empty() {
            conditions.paths.push(Pattern::everything());
        }
        let hosts: Vec<Option<String>> = match conditions.hosts.is_empty() {
            true => vec![None],
            false => conditions.hosts.iter().cloned().map(Some).collect(),
        };
        let fields = choices(&conditions.headers);
        let query = choices(&conditions.query);
        if hosts.len() * conditions.paths.len() * fields.len() * query.len() > MOST {
            let what = format!("it would become more than {MOST} routes");
            let refused = (what, "write fewer hosts, paths or values".to_owned());
            outcome.refusals.push(Said::refusal(refused, &definition.span));
            return;
        }
        for host in &hosts {
            for pattern in &conditions.paths {
                let place = Place {
                    route: number,
                    host: host.clone(),
                    pattern: pattern.clone(),
                    conditions: conditions.clone(),
                };
                let body = self.body(definition, pattern, is_socket, outcome);
                for headers in &fields {
                    for query in &query {
                        let route = assembled(&place, headers, query, &outcome.service, &body);
                        outcome.routes.push((route, place.clone()));
                    }
                }
            }
        }
    }

    /// Everything of a route but its name, conditions and service.
    fn body(
        &self,
        definition: &Definition,
        pattern: &Pattern,
        is_socket: bool,
        outcome: &mut Outcome,
    ) -> Map<String, Value> {
        let (mut changes, mut rewriting) = (Changes::default(), Rewriting::of(pattern));
        for filter in interleaved(self.defaults, &definition.filters) {
            let refusal = changes.add(filter, &mut rewriting).err();
            outcome.refuse(refusal.map(|refused| Said::refusal(refused, &filter.span)));
            outcome.note(changes.notes.drain(..), &filter.span);
        }
        let mut body = Map::new();
        let fields = [("request_headers", &changes.request), ("response_headers", &changes.response)];
        body.extend(rewriting.written().map(|rewrite| ("rewrite".to_owned(), rewrite)));
        for (name, fields) in fields {
            body.extend(fields.written().map(|fields| (name.to_owned(), fields)));
        }
        self.metadata(definition, &mut changes);
        body.append(&mut changes.settings);
        if is_socket {
            body.insert("upgrade".to_owned(), json!(["websocket"]));
        }
        outcome.note(changes.notes.drain(..), &definition.span);
        body
    }

    fn metadata(&self, definition: &Definition, changes: &mut Changes) {
        let mut timeout = self.timeout.map(str::to_owned);
        for (name, value) in &definition.metadata {
            match name.as_str() {
                "responsetimeout" => timeout = Some(value.clone()),
                "connecttimeout" => changes.notes.push((
                    Effect::Missing,
                    "`connect-timeout` of a route has no equivalent".to_owned(),
                    "write it for all routes: `limits.connect_timeout`".to_owned(),
                )),
                name if name.starts_with("cors") => changes.notes.push((
                    Effect::Missing,
                    "`cors` of a route has no equivalent".to_owned(),
                    "let the service answer preflights".to_owned(),
                )),
                other => changes.notes.push((
                    Effect::Missing,
                    format!("the metadata `{other}` is not kept"),
                    "a comment in the file keeps what people should know".to_owned(),
                )),
            }
        }
        match timeout.as_deref() {
            None => {}
            // There that means that nothing bounds it.
            Some(text) if text.starts_with('-') => {
                _ = changes.settings.insert("timeout".to_owned(), json!("1d"))
            }
            Some(text) => match period(text) {
                Some(period) => _ = changes.settings.insert("timeout".to_owned(), json!(period)),
                None => changes.notes.push((
                    Effect::Missing,
                    format!("`response-timeout: {text}` is no duration"),
                    "write `timeout`, such as `3s`".to_owned(),
                )),
            },
        }
    }
}

/// Default filters and a route's own, one of each in turn.
fn interleaved<'f>(defaults: &'f [Factory], own: &'f [Factory]) -> impl Iterator<Item = &'f Factory> {
    (0..defaults.len().max(own.len())).flat_map(|at| defaults.get(at).into_iter().chain(own.get(at)))
}

type Wanted<'w> = Vec<(&'w str, Option<&'w str>)>;

/// Every way in which fields or parameters can meet their conditions.
fn choices(wanted: &[(String, Option<Vec<String>>)]) -> Vec<Wanted<'_>> {
    let mut all: Vec<Wanted<'_>> = vec![Vec::new()];
    for (name, values) in wanted {
        let values: Vec<Option<&str>> = values
            .as_ref()
            .map_or_else(|| vec![None], |values| values.iter().map(|value| Some(value.as_str())).collect());
        all = all
            .iter()
            .take(MOST + 1)
            .flat_map(|before| {
                values
                    .iter()
                    .map(|value| [&before[..], &[(name.as_str(), *value)]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    all
}

fn assembled(
    place: &Place,
    headers: &Wanted<'_>,
    query: &Wanted<'_>,
    service: &str,
    body: &Map<String, Value>,
) -> Value {
    let mut matches = Map::new();
    if let Some(host) = &place.host {
        matches.insert("host".to_owned(), json!(host));
    }
    matches.insert("path".to_owned(), json!(place.pattern.written()));
    if !place.conditions.methods.is_empty() {
        matches.insert("methods".to_owned(), json!(place.conditions.methods));
    }
    for (section, wanted) in [("headers", headers), ("query", query)] {
        let one = |(name, value): &(&str, Option<&str>)| {
            let value = value.map_or_else(|| json!({"present": true}), |value| json!(value));
            ((*name).to_owned(), value)
        };
        if !wanted.is_empty() {
            matches.insert(section.to_owned(), Value::Object(wanted.iter().map(one).collect()));
        }
    }
    let mut route = json!({"name": "", "match": matches, "service": service});
    if let Some(fields) = route.as_object_mut() {
        fields.extend(body.clone());
    }
    route
}

/// Gives every route a name of its own, made from its id.
pub(super) fn name_apart(outcomes: &mut [Outcome]) {
    let mut taken = BTreeSet::new();
    for outcome in outcomes {
        let letter = |letter: char| {
            if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' }
        };
        let base: String = outcome.id.chars().map(letter).take(100).collect();
        for (route, _) in &mut outcome.routes {
            let mut names =
                std::iter::once(base.clone()).chain((2..).map(|number| format!("{base}-{number}")));
            let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
            route["name"] = json!(name);
        }
    }
}

/// Leaves out what would take requests of a route that comes first there: of one that is here, because it is more
/// specific, and of one that is left out, because that one is gone (unless gaps are wanted). Where `priority` can keep the order it does.
pub(super) fn keep_order(outcomes: &mut [Outcome], with_gaps: bool) {
    for later in 0..outcomes.len() {
        let (before, rest) = outcomes.split_at_mut(later);
        let Some(own) = rest.first_mut() else { return };
        if own.is_left_out() {
            continue;
        }
        let (gone, there): (Vec<_>, Vec<_>) = before.iter().partition(|other| other.is_left_out());
        let taken = there.into_iter().find_map(|other| own.takes_from(other));
        let gap = gone.into_iter().find_map(|other| own.takes_from(other));
        own.refusals.extend(taken.map(|refused| Said::refusal(refused, &own.span)));
        match gap {
            Some((what, instead)) if with_gaps => {
                own.notes.push(Said::note((Effect::Differs, what, instead), &own.span));
            }
            gap => own.refusals.extend(gap.map(|refused| Said::refusal(refused, &own.span))),
        }
    }
    let live: Vec<(usize, usize)> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| !outcome.is_left_out())
        .flat_map(|(at, outcome)| (0..outcome.routes.len()).map(move |number| (at, number)))
        .collect();
    for (position, (at, number)) in live.iter().enumerate() {
        let place = outcomes[*at].routes[*number].1.clone();
        let behind = live[position + 1..].iter().filter(|(other, route)| {
            let other = &outcomes[*other].routes[*route].1;
            other.route != place.route && other.is_beside(&place)
        });
        let priority = behind.count();
        if priority > 0 {
            outcomes[*at].routes[*number].0["priority"] = json!(priority);
        }
    }
}

/// The last word has the check that every file meets: what it would refuse is left out, in its words.
pub(super) fn leave_faulty_out(outcomes: &mut [Outcome]) {
    for outcome in outcomes.iter_mut().filter(|outcome| !outcome.is_left_out()) {
        let refused = outcome.routes.iter().find_map(|(route, _)| {
            let fault = match RouteConfig::deserialize(route) {
                // Without `auth`, which nothing here imports, every route is open.
                Ok(config) => {
                    let open = RouteConfig { auth: Some(crate::AuthRule::None), ..config };
                    check::route(&open, None).into_iter().next()?.to_string()
                }
                Err(error) => error.to_string(),
            };
            Some((fault, "change it there, or write the route by hand".to_owned()))
        });
        outcome.refusals.extend(refused.map(|refused| Said::refusal(refused, &outcome.span)));
    }
}

impl Outcome {
    /// Whether it is left out.
    pub(super) fn is_left_out(&self) -> bool {
        !self.refusals.is_empty()
    }

    fn refuse(&mut self, refusal: Option<Said>) {
        let new = refusal.filter(|refusal| !self.refusals.contains(refusal));
        self.refusals.extend(new);
    }

    /// One route may become several, each with the same to say.
    fn note(&mut self, notes: impl Iterator<Item = (Effect, String, String)>, span: &Range<usize>) {
        for note in notes.map(|note| Said::note(note, span)) {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Why this route would take requests of one that comes before it there.
    fn takes_from(&self, other: &Outcome) -> Option<Refused> {
        let is_gone = other.is_left_out();
        let takes = |own: &Place, others: &Place| own.meets(others) && (is_gone || own.comes_before(others));
        let mut pairs =
            self.routes.iter().flat_map(|own| other.routes.iter().map(move |others| (own, others)));
        let same = |own: &Value, others: &Value| {
            let without = |route: &Value| {
                let mut route = route.clone();
                let _ = route.as_object_mut().map(|fields| (fields.remove("name"), fields.remove("match")));
                route
            };
            !is_gone && without(own) == without(others)
        };
        pairs.find(|(own, others)| takes(&own.1, &others.1) && !same(&own.0, &others.0))?;
        let id = &other.id;
        Some(match is_gone {
            true => (
                format!("it would take requests of `{id}`, which comes first there and is left out"),
                format!("write `{id}` first, or see that nothing of it may come here"),
            ),
            false => (
                format!("its path is more specific than that of `{id}`, which comes first there and takes its requests"),
                "here the most specific route wins: take the narrower one out there, or put it first, and import again".to_owned(),
            ),
        })
    }

    /// Writes the route, commented out where it is left out.
    pub(super) fn write(&self, out: &mut String) {
        let mut text = String::new();
        for (route, _) in &self.routes {
            write::item(route, 2, &mut text);
        }
        if !self.is_left_out() {
            out.push_str(&text);
            return;
        }
        let plain = |text: &str| text.replace(char::is_control, " ");
        out.push_str(&format!("  # LEFT OUT: {} (line {})\n", plain(&self.id), self.line));
        for Said { what, instead, .. } in &self.refusals {
            let stop = if instead.is_empty() { "" } else { ": " };
            out.push_str(&format!("  #   {}{stop}{}\n", plain(what), plain(instead)));
        }
        text.lines()
            .for_each(|line| out.push_str(&format!("  # {}\n", line.strip_prefix("  ").unwrap_or(line))));
    }

    /// Tells the report of it.
    pub(super) fn tell(&self, source: &Source<'_>, report: &mut Report) {
        let of = format!("route `{}`", self.id.replace(char::is_control, " "));
        let said = if self.is_left_out() { &self.refusals } else { &self.notes };
        match self.is_left_out() {
            true => report.left_out += 1,
            false => report.imported += 1,
        }
        for Said { effect, what, instead, span } in said {
            report.note(source.line(span), &of, *effect, what, instead);
        }
    }
}
