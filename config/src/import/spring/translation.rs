//! One route after the other: where it leads, what it asks, what its filters make of it.

use serde_json::{Map, Value, json};

use super::definition::{Definition, Factory};
use super::filters::{Changes, period};
use super::order::Place;
use super::outcome::{Outcome, Said};
use super::pattern::Pattern;
use super::predicates::{Conditions, Reading, Refused};
use super::reach::reach;
use super::rewriting::Rewriting;
use super::services::Services;
use crate::import::Effect;

/// Routes that one route may become: hosts, paths and values multiply.
const MOST: usize = 64;

/// What every route is translated with.
pub(super) struct Translation<'a> {
    pub(super) reading: Reading,
    pub(super) defaults: &'a [Factory],
    pub(super) timeout: Option<&'a str>,
}

impl Translation<'_> {
    /// Translates a route as far as that is possible.
    pub(super) fn of(&self, definition: &Definition, number: usize, services: &mut Services) -> Outcome {
        let id = definition
            .id
            .clone()
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| format!("route-{}", number + 1));
        let reach = reach(definition, number, self.reading.choices.now);
        let mut outcome = Outcome { id, span: definition.span.clone(), reach, ..Outcome::default() };
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
    let mut matches = place.written();
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
