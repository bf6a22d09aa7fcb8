//! Predicates as conditions of a route. One that cannot be said exactly costs the route: without it, the route would take
//! requests that are not its own.

use std::time::SystemTime;

use super::definition::{Args, Factory};
use super::expression::{Texts, texts};
use super::pattern::Pattern;
use crate::import::{Choices, Effect};

/// What one route asks of a request, each part with the choices it leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    /// None where any host will do.
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<Pattern>,
    pub(super) methods: Vec<String>,
    /// Name, and the values of which one is wanted; `None` where it only has to be there.
    pub(super) headers: Vec<(String, Option<Vec<String>>)>,
    pub(super) query: Vec<(String, Option<Vec<String>>)>,
    /// What is not quite the same: what, and what to do.
    pub(super) notes: Vec<(Effect, String, String)>,
}

/// Why a route cannot be carried over, and what to do instead.
pub(super) type Refused = (String, String);

/// What predicates are read with.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) choices: Choices,
    /// `/a` takes `/a/` too, as in versions before 5.
    pub(super) takes_slash: bool,
}

impl Conditions {
    /// Adds what a predicate asks.
    ///
    /// # Errors
    /// Why it cannot be said here.
    pub(super) fn add(&mut self, predicate: &Factory, reading: Reading) -> Result<(), Refused> {
        if let Args::Unset(name) = &predicate.args {
            return Err((format!("`${{{name}}}` is set nowhere in the file"), "write its value".to_owned()));
        }
        match predicate.name.as_str() {
            "Path" => self.path(predicate, reading),
            "Host" => self.host(predicate),
            "Method" => self.method(predicate),
            "Header" => self.field(predicate, "header"),
            "Query" => self.field(predicate, "param"),
            "After" | "Before" | "Between" => self.time(predicate, reading.choices.now),
            other => Err(unknown(other)),
        }
    }

    fn path(&mut self, predicate: &Factory, reading: Reading) -> Result<(), Refused> {
        let mut written = predicate.list();
        let mut takes_slash = reading.takes_slash;
        let flag = match &predicate.args {
            Args::Long(named) => named.iter().find(|(name, _)| name == "matchtrailingslash"),
            _ => None,
        };
        match (flag, written.last()) {
            (Some((_, value)), _) => {
                takes_slash &= value != "false";
                written.retain(|text| text != value);
            }
            (None, Some(&last)) if matches!(last, "true" | "false") => {
                takes_slash &= last == "true";
                written.pop();
            }
            _ => {}
        }
        if !self.paths.is_empty() {
            return Err(twice("Path"));
        }
        for text in written {
            let pattern = Pattern::parse(text)?;
            if takes_slash && let Some(slashed) = pattern.with_slash() {
                self.paths.push(slashed);
            }
            self.paths.push(pattern);
        }
        match self.paths.is_empty() {
            true => Err(("`Path` names no path".to_owned(), "write one".to_owned())),
            false => Ok(()),
        }
    }

    fn host(&mut self, predicate: &Factory) -> Result<(), Refused> {
        if !self.hosts.is_empty() {
            return Err(twice("Host"));
        }
        for pattern in predicate.list() {
            self.hosts.extend(hosts(pattern)?);
        }
        self.notes.push((
            Effect::Differs,
            "`Host` compares names without their port and without regard to case".to_owned(),
            String::new(),
        ));
        Ok(())
    }

    fn method(&mut self, predicate: &Factory) -> Result<(), Refused> {
        let methods: Vec<String> =
            predicate.list().iter().map(|method| method.to_ascii_uppercase()).collect();
        if !self.methods.is_empty() {
            return Err(twice("Method"));
        }
        if methods.iter().any(|method| method == "GET") && !methods.iter().any(|method| method == "HEAD") {
            let note = "GET takes HEAD too (RFC 9110, 9.3.2)".to_owned();
            self.notes.push((Effect::Differs, note, String::new()));
        }
        self.methods = methods;
        self.methods.dedup();
        Ok(())
    }

    /// `Header` and `Query`: a name, and perhaps an expression.
    fn field(&mut self, predicate: &Factory, name_of: &str) -> Result<(), Refused> {
        let others = predicate.others(&[name_of, "regexp"]);
        if !others.is_empty() {
            let what = format!("`{}` with `{}` has no equivalent", predicate.name, others.join("`, `"));
            return Err((what, "match a header field or query parameter by its value".to_owned()));
        }
        let Some(name) = predicate.arg(0, name_of) else {
            return Err((format!("`{}` names nothing", predicate.written), "write a name".to_owned()));
        };
        let list = if name_of == "header" { &mut self.headers } else { &mut self.query };
        let is_there = |known: &str| match name_of {
            "header" => known.eq_ignore_ascii_case(name),
            _ => known == name,
        };
        if list.iter().any(|(known, _)| is_there(known)) {
            return Err(twice(&format!("{}={name}", predicate.name)));
        }
        let wanted = match predicate.arg(1, "regexp").map(texts) {
            None | Some(Some(Texts::Anything)) => None,
            Some(Some(Texts::OneOf(values))) => Some(values),
            Some(None) => {
                let what = format!("`{}`: there are no regular expressions in conditions", predicate.written);
                let instead = "write a route for each value that is wanted, or let the service look at it";
                return Err((what, instead.to_owned()));
            }
        };
        list.push((name.to_owned(), wanted));
        Ok(())
    }

    /// A date that has passed, or has not come, decides for good; any other would have to be looked at later.
    fn time(&mut self, predicate: &Factory, now: SystemTime) -> Result<(), Refused> {
        let date = |position: usize, name: &str| {
            let text = predicate.arg(position, name).unwrap_or_default();
            instant(text).ok_or_else(|| (format!("`{text}` is no date"), "write one".to_owned()))
        };
        let (after, before) = match predicate.name.as_str() {
            "After" => (Some(date(0, "datetime")?), None),
            "Before" => (None, Some(date(0, "datetime")?)),
            _ => (Some(date(0, "datetime1")?), Some(date(1, "datetime2")?)),
        };
        let is_over = before.is_some_and(|before| now >= before);
        let has_begun = after.is_none_or(|after| now > after);
        let written = &predicate.written;
        match (has_begun, before) {
            _ if is_over => Err((
                format!("`{written}` has passed: it takes no request any more"),
                "leave it out".to_owned(),
            )),
            (true, None) => {
                let note = format!("`{written}` has passed: the route is there from now on");
                self.notes.push((Effect::Differs, note, String::new()));
                Ok(())
            }
            _ => Err((
                format!("`{written}`: routes have no dates"),
                "put the route in force when its time has come: `portreeve config apply`, or a changed file"
                    .to_owned(),
            )),
        }
    }
}

fn twice(what: &str) -> Refused {
    let instead = "join the two into one that says what both say".to_owned();
    (format!("a second `{what}` in one route has no equivalent"), instead)
}

/// An Ant pattern on labels.
pub(super) fn hosts(pattern: &str) -> Result<Vec<String>, Refused> {
    let lower = pattern.to_ascii_lowercase();
    let refused = |what: &str, instead: &str| Err((format!("`Host={pattern}`: {what}"), instead.to_owned()));
    if lower.contains(':') {
        return refused(
            "the port of a host is not compared",
            "give that port a listener and a gateway of its own",
        );
    }
    if lower == "**" {
        return refused("it takes everything", "leave the predicate out");
    }
    if lower.starts_with("**.") {
        let instead = "write a route for each depth: `shop.example`, `*.shop.example`";
        return refused("a wildcard here is one label", instead);
    }
    let (first, rest) = lower.split_once('.').unwrap_or((&lower, ""));
    let is_capture = first.starts_with('{') && first.ends_with('}');
    let first = if is_capture { "*" } else { first };
    if rest.contains(['*', '{', '?'])
        || (first != "*" && first.contains(['*', '{', '?']))
        || (first == "*" && rest.is_empty())
    {
        return refused("only the first label can be a wildcard, as a whole", "write the names out");
    }
    Ok(vec![if rest.is_empty() { first.to_owned() } else { format!("{first}.{rest}") }])
}

/// A zoned date of ISO 8601, its zone's name left out, or milliseconds since 1970.
pub(super) fn instant(text: &str) -> Option<SystemTime> {
    if let Ok(millis) = text.parse::<u64>() {
        return SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(millis));
    }
    let text = text.split_once('[').map_or(text, |(date, _)| date);
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

fn unknown(name: &str) -> Refused {
    let instead = match name {
        "Cookie" => {
            "match a header field that the client sends instead, or let the service look at the cookie"
        }
        "Weight" => {
            "give the instances of both to one service, which takes them in turn; shares cannot be given"
        }
        "RemoteAddr" | "XForwardedRemoteAddr" => {
            "give these clients a listener of their own, or let the network keep others out"
        }
        "Version" => "match the header field or path that carries the version",
        "ReadBody" | "CloudFoundryRouteService" => "let the service look at it",
        _ => "it may be code of your own: say what it asks for with `match`",
    };
    (format!("the predicate `{name}` has no equivalent"), instead.to_owned())
}
