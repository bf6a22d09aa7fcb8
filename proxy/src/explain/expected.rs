//! The tests that stand in a file: each request is rehearsed, and what became of it compared with what was expected.

use portreeve_config::{Fault, Faults, GatewayConfig, HeaderMatch, RouteTest};

use super::course::Course;
use super::{Stage, secrets};

/// Every expectation of a file's `tests` that is not met, by its place in the document. The document has passed its
/// checks. Compiles the whole file when there are tests, and takes no time when there are none.
pub fn failing_tests(config: &GatewayConfig) -> Faults {
    if config.tests.is_empty() {
        return Faults::default();
    }
    let stage = match Stage::of_file(config) {
        Ok(stage) => stage,
        Err(faults) => return faults,
    };
    let mut faults = Faults::default();
    for (index, test) in config.tests.iter().enumerate() {
        let found = Found { course: Course::run(&stage, &test.request), stage: &stage };
        faults.add(&format!("tests[{index}].expect"), found.unmet(test));
    }
    faults
}

/// What became of a test's request.
struct Found<'a> {
    course: Course,
    stage: &'a Stage,
}

impl Found<'_> {
    fn unmet(&self, test: &RouteTest) -> Faults {
        let mut faults = Faults::default();
        let expect = &test.expect;
        let route = self.course.route(self.stage);
        let outcome = self.outcome();
        let mut compare = |field: &str, wanted: Option<&String>, found: Option<&str>| {
            if let Some(wanted) = wanted.filter(|wanted| found != Some(wanted.as_str())) {
                let found = found.map_or_else(|| outcome.clone(), |found| format!("found `{found}`"));
                faults.push(Fault::new(field, format!("expected the {field} `{wanted}`; {found}")));
            }
        };
        compare("route", expect.route.as_ref(), route.map(|route| &*route.name));
        compare("service", expect.service.as_ref(), route.map(|route| &*route.service));
        let target = self.course.onward.as_ref().map(|onward| onward.target.as_str());
        compare("target", expect.target.as_ref(), target);
        if let Some(wanted) = expect.route.as_ref()
            && let Some(fault) = faults.0.iter_mut().find(|fault| fault.path == "route")
        {
            fault.hint = self.course.why_not(self.stage, wanted);
        }
        faults.add("status", expect.status.and_then(|wanted| self.status(wanted)));
        for (name, wanted) in &expect.headers {
            faults.add(&format!("headers.{name}"), self.field(name, wanted, &outcome));
        }
        faults
    }

    /// What became of the request, for those who expected something else.
    fn outcome(&self) -> String {
        match (&self.course.refusal, self.course.route(self.stage)) {
            (Some(refusal), _) => {
                format!("the request is refused: {}, {}", refusal.status().as_u16(), refusal.detail())
            }
            (None, Some(route)) => format!("the route `{}` takes the request", route.name),
            (None, None) => "no route takes the request".to_owned(),
        }
        .trim_end_matches('.')
        .to_owned()
    }

    fn status(&self, wanted: u16) -> Option<Fault> {
        let found = self.course.refusal.as_ref().map(|refusal| refusal.status().as_u16());
        (found != Some(wanted))
            .then(|| Fault::new("", format!("expected a refusal with {wanted}; {}", self.outcome())))
    }

    fn field(&self, name: &str, wanted: &HeaderMatch, outcome: &str) -> Option<Fault> {
        let fields = self.course.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let values: Vec<&str> = fields.map(|(_, value)| value.as_str()).collect();
        let is_met = match wanted {
            HeaderMatch::Exact(value) => values.contains(&value.as_str()),
            HeaderMatch::Present(rule) => rule.present != values.is_empty(),
        };
        if is_met && (self.course.onward.is_some() || *wanted == absent()) {
            return None;
        }
        let wanted = match wanted {
            HeaderMatch::Exact(value) => format!("the value `{}`", secrets::shown(name, value)),
            HeaderMatch::Present(rule) if rule.present => "the field to be there".to_owned(),
            HeaderMatch::Present(_) => "no such field".to_owned(),
        };
        let found = match (self.course.onward.is_some(), values.as_slice()) {
            (false, _) => outcome.to_owned(),
            (true, []) => "there is none".to_owned(),
            (true, values) => {
                let shown = values.iter().map(|value| format!("`{}`", secrets::shown(name, value)));
                format!("found {}", shown.collect::<Vec<_>>().join(", "))
            }
        };
        Some(Fault::new("", format!("expected {wanted}; {found}")))
    }
}

fn absent() -> HeaderMatch {
    HeaderMatch::Present(portreeve_config::Presence { present: false })
}
