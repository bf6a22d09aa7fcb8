//! Text with `{name}` in it that is filled from the segments a route's path captured: cache tags and rewrites.

use crate::policy::routing::Captures;

/// A compiled text. Placeholders are positions into the captures of the route it was compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Captured(usize),
    Rest,
}

impl Template {
    /// Compiles `text`; `names` are the placeholders of the route's path, in order. `{*}` is what a prefix
    /// route's `*` took. `Err` holds the name of a placeholder that the path does not have.
    pub fn compile(text: &str, names: &[Box<str>]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| after.to_owned())?;
            if !before.is_empty() {
                parts.push(Part::Literal(before.into()));
            }
            parts.push(match names.iter().position(|known| **known == *name) {
                Some(position) => Part::Captured(position),
                None if name == "*" => Part::Rest,
                None => return Err(name.to_owned()),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.into()));
        }
        Ok(Self { parts })
    }

    /// The text with every placeholder filled.
    pub fn fill(&self, path: &str, captures: &Captures) -> String {
        let mut out = String::new();
        for part in &self.parts {
            out.push_str(match part {
                Part::Literal(text) => text,
                Part::Captured(position) => captures.segment(path, *position).unwrap_or_default(),
                Part::Rest => captures.rest(path),
            });
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn placeholders_are_filled_from_the_path() {
        let names = ["id".into(), "item".into()];
        let mut captures = Captures::default();
        captures.push_segment(8..9);
        captures.push_segment(16..18);
        let template = Template::compile("order:{id}/{item}!", &names).unwrap();
        assert_eq!(template.fill("/orders/7/items/42", &captures), "order:7/42!");
        assert_eq!(Template::compile("order:{nope}", &names), Err("nope".to_owned()));
        assert_eq!(Template::compile("order:{id", &names), Err("id".to_owned()));
    }
}
