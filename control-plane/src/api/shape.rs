//! From JSON to a type, with every fault found and not only the first: what cannot be read is noted, taken
//! out, and the rest is read again.

use portreeve_config::{Fault, Faults};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::state::excerpt;

/// Faults after which a document is given up.
const ENOUGH: usize = 50;

/// Reads `value` as a `T`, or says everything that is wrong with its shape. Paths start at `value`.
pub(super) fn parse<T: DeserializeOwned>(mut value: Value) -> Result<T, Faults> {
    let mut faults = Faults::default();
    let mut removed: Vec<String> = Vec::new();
    loop {
        let fault = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(parsed) => return faults.into_result(parsed),
            Err(fault) => fault,
        };
        let path: Vec<Segment> = fault.path().iter().cloned().collect();
        let problem = fault.inner().to_string();
        let absent = problem.starts_with("missing field");
        if !(absent && removed.iter().any(|name| problem.contains(&format!("`{name}`")))) {
            faults.push(describe(&path, &problem));
        }
        match take_out(&mut value, &path) {
            Some(name) if faults.0.len() < ENOUGH => removed.push(name),
            _ => return Err(faults),
        }
    }
}

/// Takes the innermost field around the place of a fault out of the document, and gives its name; nothing
/// where there is none.
fn take_out(value: &mut Value, path: &[Segment]) -> Option<String> {
    (0..path.len()).rev().find_map(|at| {
        let Segment::Map { key } = &path[at] else { return None };
        let parent = path[..at].iter().try_fold(&mut *value, |parent, segment| match segment {
            Segment::Map { key } => parent.get_mut(key),
            Segment::Seq { index } => parent.get_mut(index),
            Segment::Enum { .. } | Segment::Unknown => Some(parent),
        });
        parent?.as_object_mut()?.shift_remove(key).map(|_| key.clone())
    })
}

fn describe(path: &[Segment], problem: &str) -> Fault {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => place.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(&excerpt(key));
            }
            Segment::Unknown => {}
        }
    }
    if let Some((field, known)) = unknown_name(problem) {
        let fault = Fault::new(place, format!("`{}` is not known here", excerpt(field)));
        let closest = known
            .iter()
            .map(|name| (strsim::damerau_levenshtein(field, name), *name))
            .min()
            .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
        return match closest {
            Some((_, name)) => fault.hint(format!("did you mean `{name}`?")),
            None if known.is_empty() => fault,
            None => fault.hint(format!("known are {}", known.join(", "))),
        };
    }
    Fault::new(place, without_place(problem))
}

/// The name in serde's "unknown field `x`, expected one of `a`, `b`", and the names it expected.
fn unknown_name(problem: &str) -> Option<(&str, Vec<&str>)> {
    let rest =
        problem.strip_prefix("unknown field `").or_else(|| problem.strip_prefix("unknown variant `"))?;
    let (name, expected) = rest.rsplit_once("`, ")?;
    let (name, expected) = match name.split_once("`, expected") {
        Some((name, _)) => (name, rest.split_once("`, expected").map_or(expected, |(_, known)| known)),
        None => (name, expected),
    };
    Some((name, expected.split('`').skip(1).step_by(2).collect()))
}

fn without_place(problem: &str) -> String {
    let problem = problem.split(" at line ").next().unwrap_or(problem);
    problem.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use portreeve_config::RouteConfig;
    use serde_json::json;

    use super::*;

    fn faults(value: Value) -> Vec<(String, String, String)> {
        let faults = parse::<RouteConfig>(value).unwrap_err();
        faults.0.into_iter().map(|f| (f.path, f.problem, f.hint.unwrap_or_default())).collect()
    }

    #[test]
    fn a_sound_document_is_read() {
        let route = json!({"name": "a", "match": {"path": "/a"}, "service": "a"});
        assert_eq!(parse::<RouteConfig>(route).unwrap().name, "a");
    }

    #[test]
    fn every_fault_is_found_with_its_place_and_a_hint() {
        let found = faults(json!({
            "name": "a", "service": "a", "timeout": 60, "servce": "b",
            "match": {"path": "/a", "pth": "/b", "methods": "GET"},
            "retry": {"attempts": 300, "on": ["connect_failur"]},
        }));
        let places: Vec<_> = found.iter().map(|(path, _, _)| path.as_str()).collect();
        for place in ["timeout", "servce", "match.pth", "match.methods", "retry.attempts", "retry.on[0]"] {
            assert!(places.contains(&place), "{place} is not in {found:#?}");
        }
        assert_eq!(found.len(), 6, "{found:#?}");
        let hint = |place: &str| found.iter().find(|(path, _, _)| path == place).unwrap().2.clone();
        assert_eq!(hint("servce"), "did you mean `service`?");
        assert_eq!(hint("match.pth"), "did you mean `path`?");
        assert_eq!(hint("retry.on[0]"), "did you mean `connect_failure`?");
    }

    #[test]
    fn what_was_taken_out_is_not_called_missing() {
        let found = faults(json!({"name": 5, "match": {"path": "/a"}, "service": "a"}));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].0, "name");
        let found = faults(json!({"name": "a"}));
        assert!(found[0].1.contains("missing field"), "{found:#?}");
    }

    #[test]
    fn a_hostile_document_ends_too() {
        let fields: serde_json::Map<_, _> = (0..500).map(|n| (format!("x{n}"), Value::Null)).collect();
        assert_eq!(faults(Value::Object(fields)).len(), ENOUGH);
        assert_eq!(faults(json!([])).len(), 1);
        assert_eq!(faults(json!("x".repeat(65_536))).len(), 1);
    }
}
