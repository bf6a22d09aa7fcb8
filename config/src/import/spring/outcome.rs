//! What became of one route: what it is here, or why it is left out, and how that is told.

use std::ops::Range;

use serde_json::Value;

use super::order::Place;
use super::predicates::Refused;
use super::source::Source;
use crate::import::{Effect, Report, write};

/// What became of a route.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) id: String,
    pub(super) line: usize,
    pub(super) service: String,
    pub(super) is_balanced: bool,
    /// As they are written, and where each stands among the others.
    pub(super) routes: Vec<(Value, Place)>,
    /// What it takes there at most.
    pub(super) reach: Vec<Place>,
    /// What stands in its place while it is left out, so that later routes can stay: its requests end there.
    pub(super) guards: Vec<(Value, Place)>,
    /// Why it is left out; empty for one that is not.
    pub(super) refusals: Vec<Said>,
    pub(super) notes: Vec<Said>,
    /// Nothing but a gap before it keeps it out.
    pub(super) is_behind_a_gap: bool,
    pub(super) span: Range<usize>,
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
    pub(super) fn refusal((what, instead): Refused, span: &Range<usize>) -> Self {
        Self { effect: Effect::LeftOut, what, instead, span: span.clone() }
    }

    pub(super) fn note((effect, what, instead): (Effect, String, String), span: &Range<usize>) -> Self {
        Self { effect, what, instead, span: span.clone() }
    }
}

impl Outcome {
    /// Whether it is left out.
    pub(super) fn is_left_out(&self) -> bool {
        !self.refusals.is_empty()
    }

    pub(super) fn refuse(&mut self, refusal: Option<Said>) {
        let new = refusal.filter(|refusal| !self.refusals.contains(refusal));
        self.refusals.extend(new);
    }

    /// One route may become several, each with the same to say.
    pub(super) fn note(
        &mut self,
        notes: impl Iterator<Item = (Effect, String, String)>,
        span: &Range<usize>,
    ) {
        for note in notes.map(|note| Said::note(note, span)) {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Whether some request fits this route and the gap that another leaves.
    pub(super) fn meets_gap(&self, other: &Outcome) -> bool {
        self.routes.iter().any(|own| other.reach.iter().any(|gap| own.1.meets(gap)))
    }

    /// The routes that stand for it in the file.
    pub(super) fn standing(&self) -> &[(Value, Place)] {
        if self.is_left_out() { &self.guards } else { &self.routes }
    }

    /// As [`Outcome::standing`], to be changed.
    pub(super) fn standing_mut(&mut self) -> &mut [(Value, Place)] {
        if self.is_left_out() { &mut self.guards } else { &mut self.routes }
    }

    /// Why this route would take requests of one that comes before it there.
    pub(super) fn takes_from(&self, other: &Outcome) -> Option<Refused> {
        let is_gone = other.is_left_out();
        if is_gone {
            let is_guarded = !other.guards.is_empty();
            let takes = |own: &Place, gap: &Place| {
                own.meets(gap) && (!is_guarded || own.comes_before(gap) || own.is_beside(gap))
            };
            self.routes.iter().find(|own| other.reach.iter().any(|gap| takes(&own.1, gap)))?;
        } else {
            let mut pairs =
                self.routes.iter().flat_map(|own| other.routes.iter().map(move |others| (own, others)));
            let takes = |own: &Place, others: &Place| own.meets(others) && own.comes_before(others);
            pairs.find(|(own, others)| {
                takes(&own.1, &others.1) && !is_same_but_for_its_match(&own.0, &others.0)
            })?;
        }
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
        if !self.guards.is_empty() {
            out.push_str(
                "  # Until it is written: its requests end here, so that no later route gets them.\n",
            );
        }
        for (guard, _) in &self.guards {
            write::item(guard, 2, out);
        }
    }

    /// Tells the report of it.
    pub(super) fn tell(&self, source: &Source<'_>, report: &mut Report) {
        let of = format!("route `{}`", self.id.replace(char::is_control, " "));
        let said = if self.is_left_out() { &self.refusals } else { &self.notes };
        match self.is_left_out() {
            true => {
                report.left_out += 1;
                report.behind_gaps += usize::from(self.is_behind_a_gap);
                report.guarded += usize::from(!self.guards.is_empty());
            }
            false => report.imported += 1,
        }
        for Said { effect, what, instead, span } in said {
            report.note(source.line(span), &of, *effect, what, instead);
        }
    }
}

fn is_same_but_for_its_match(one: &Value, other: &Value) -> bool {
    let without = |route: &Value| {
        let mut route = route.clone();
        let _ = route.as_object_mut().map(|fields| (fields.remove("name"), fields.remove("match")));
        route
    };
    without(one) == without(other)
}
