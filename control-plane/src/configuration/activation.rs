//! Whether a document of a file applies: `spring.config.activate.on-profile`, an expression over profiles with
//! `!`, `&`, `|` and parentheses.

use super::property::Document;

/// Parentheses and negations inside each other.
const DEPTH: usize = 32;

/// Whether `document` applies to these profiles. An expression that cannot be read applies to none.
pub(super) fn applies(document: &Document, profiles: &[String]) -> bool {
    if document.get("spring.config.activate.on-cloud-platform").is_some() {
        return false;
    }
    ["spring.config.activate.on-profile", "spring.profiles"].into_iter().all(|key| {
        let expressions = document.words(key);
        expressions.is_empty() || expressions.iter().any(|expression| holds(expression, profiles))
    })
}

fn holds(expression: &str, profiles: &[String]) -> bool {
    let mut reader = Reader { rest: expression, profiles };
    reader.any(0).filter(|_| reader.rest.trim().is_empty()).unwrap_or(false)
}

struct Reader<'a> {
    rest: &'a str,
    profiles: &'a [String],
}

impl Reader<'_> {
    /// Terms joined by one operator; `&` and `|` beside each other need parentheses, as with Spring.
    fn any(&mut self, depth: usize) -> Option<bool> {
        let mut value = self.term(depth)?;
        let mut operator = None;
        while let Some(next) = self.rest.trim_start().chars().next().filter(|next| "&|".contains(*next)) {
            if operator.is_some_and(|operator| operator != next) {
                return None;
            }
            operator = Some(next);
            self.rest = &self.rest.trim_start()[1..];
            let term = self.term(depth)?;
            value = if next == '&' { value && term } else { value || term };
        }
        Some(value)
    }

    fn term(&mut self, depth: usize) -> Option<bool> {
        if depth > DEPTH {
            return None;
        }
        self.rest = self.rest.trim_start();
        if let Some(rest) = self.rest.strip_prefix('!') {
            self.rest = rest;
            return self.term(depth + 1).map(|value| !value);
        }
        if let Some(rest) = self.rest.strip_prefix('(') {
            self.rest = rest;
            let value = self.any(depth + 1)?;
            self.rest = self.rest.trim_start().strip_prefix(')')?;
            return Some(value);
        }
        let end = self.rest.find(['!', '&', '|', '(', ')']).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        let name = name.trim();
        (!name.is_empty()).then(|| self.profiles.iter().any(|profile| profile == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_hold_or_not() {
        let profiles = ["dev".to_owned(), "eu".to_owned()];
        for (expression, expected) in [
            ("dev", true),
            ("prod", false),
            ("!prod", true),
            ("dev & eu", true),
            ("dev & !eu", false),
            ("prod | eu", true),
            ("(prod & eu) | dev", true),
            ("!(dev | prod)", false),
            ("dev & eu | prod", false),
            ("dev &", false),
            ("(dev", false),
            ("", false),
            (&"!".repeat(1000), false),
        ] {
            assert_eq!(holds(expression, &profiles), expected, "{expression}");
        }
    }
}
