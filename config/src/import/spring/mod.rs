//! Spring Cloud Gateway's routes as a gateway's file: read, translated one by one, compared with each other, written.

mod definition;
mod expression;
mod filters;
mod order;
mod outcome;
mod pattern;
mod predicates;
mod reach;
mod rewriting;
mod services;
mod settings;
mod source;
mod together;
mod translation;

use serde_json::{Value, json};

use super::report::{Effect, Entry, Report};
use super::{Choices, Imported, write};
use crate::tree::Spotted;
use crate::{Fault, yaml};
use definition::{Definition, Factory, factories};
use outcome::Outcome;
use predicates::Reading;
use services::Services;
use source::{Source, items, text_of};
use translation::Translation;

/// Where routes stand: the newer names first.
const PREFIXES: [&str; 4] = [
    "spring.cloud.gateway.server.webflux",
    "spring.cloud.gateway.server.webmvc",
    "spring.cloud.gateway.mvc",
    "spring.cloud.gateway",
];

pub(super) fn import(name: &str, text: &str, choices: Choices) -> Result<Imported, Spotted> {
    let documents = yaml::parse_all(text)?;
    let (documents, profiles) = settings::without_profiles(documents);
    let source = Source::new(documents, text);
    let mut report = Report { file: name.to_owned(), ..Report::default() };
    for node in &profiles {
        let profile = text_of(node).unwrap_or("?");
        let what = format!("the document for the profile `{profile}` is not read");
        report.note(
            source.line(&node.span),
            "profile",
            Effect::Missing,
            &what,
            "import it as a file of its own",
        );
    }
    let prefix = PREFIXES.into_iter().find(|prefix| !source.find(&format!("{prefix}.routes")).is_empty());
    let Some(prefix) = prefix else {
        let fault = Fault::new("", "there are no routes of Spring Cloud Gateway in this file").hint(
            "they stand under `spring.cloud.gateway.routes`, or `spring.cloud.gateway.server.webflux.routes`",
        );
        let span = source.documents.first().map_or(0..0, |node| node.span.start..node.span.start);
        return Err(Spotted { fault, position: Vec::new(), span });
    };
    let reading = Reading { choices, takes_slash: prefix == "spring.cloud.gateway" };
    let mut services = Services::default();
    let outcomes = translated(&source, prefix, reading, &mut services);
    settings::report(&source, prefix, &mut report);
    let yaml = written(&source, &outcomes, &services, &mut report);
    report.entries.sort_by_key(|entry| entry.line);
    report.entries.dedup();
    Ok(Imported { yaml, report })
}

impl Report {
    fn note(&mut self, line: usize, of: &str, effect: Effect, what: &str, instead: &str) {
        let (of, what, instead) = (of.to_owned(), what.to_owned(), instead.to_owned());
        self.entries.push(Entry { line, of, effect, what, instead });
    }
}

/// Every route, in the order in which they are tried there.
fn translated(source: &Source<'_>, prefix: &str, reading: Reading, services: &mut Services) -> Vec<Outcome> {
    let lists = source.find(&format!("{prefix}.routes"));
    let nodes = lists.first().copied().map(items).unwrap_or_default();
    let mut definitions: Vec<Definition> = nodes.iter().map(|node| Definition::read(node, source)).collect();
    definitions.sort_by_key(|definition| definition.order);
    let defaults: Vec<Factory> = source
        .find(&format!("{prefix}.default-filters"))
        .first()
        .map(|node| factories(node, source))
        .unwrap_or_default();
    let timeout = source.text(&format!("{prefix}.httpclient.response-timeout"));
    let translation = Translation { reading, defaults: &defaults, timeout: timeout.as_deref() };
    let mut outcomes = Vec::new();
    for (number, definition) in definitions.iter().enumerate() {
        let mut outcome = translation.of(definition, number, services);
        outcome.line = source.line(&definition.span);
        outcomes.push(outcome);
    }
    // The check wants a name; guards come later, and then all are named apart.
    together::name_apart(&mut outcomes);
    together::leave_faulty_out(&mut outcomes);
    together::keep_order(&mut outcomes, translation.reading.choices.with_gaps);
    together::name_apart(&mut outcomes);
    outcomes
}

/// The file, and the report's entries on its routes.
fn written(source: &Source<'_>, outcomes: &[Outcome], services: &Services, report: &mut Report) -> String {
    let mut out = format!("# Made from {} by `portreeve import spring`.\nkind: gateway\n", report.file);
    let mut head = json!({});
    if let Some(port) = source.text("server.port").filter(|port| port.parse::<u16>().is_ok()) {
        head["listen"] = json!(format!("0.0.0.0:{port}"));
    }
    let live = || outcomes.iter().filter(|outcome| !outcome.is_left_out());
    if live().any(|outcome| outcome.is_balanced) {
        head["control_plane"] = json!({"url": "http://127.0.0.1:7070"});
    }
    let mut used: Value = services.written(live().map(|outcome| outcome.service.as_str()));
    if outcomes.iter().any(|outcome| !outcome.guards.is_empty()) {
        let (name, address) = together::NOWHERE;
        used[name] = json!({"endpoints": [address]});
    }
    if used.as_object().is_some_and(|used| !used.is_empty()) {
        head["services"] = used;
    }
    write::fields(&head, 0, &mut out);
    let is_empty = outcomes.iter().all(|outcome| outcome.standing().is_empty());
    let mut routes = String::new();
    for outcome in outcomes {
        outcome.write(&mut routes);
        outcome.tell(source, report);
    }
    out.push_str(if is_empty { "routes: []\n" } else { "routes:\n" });
    out + &routes
}
