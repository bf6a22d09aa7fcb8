//! Regular expressions that say no more than a list of texts does: the only ones that have an equivalent here.

/// What an expression takes, as far as it can be said without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// Anything, if only it is there.
    Anything,
    /// One of these.
    OneOf(Vec<String>),
}

/// Reads an expression that has to fit a whole value. `None` when no list of texts says the same.
pub(super) fn texts(expression: &str) -> Option<Texts> {
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').filter(|rest| !rest.ends_with('\\')).unwrap_or(inner);
    if inner == ".*" {
        return Some(Texts::Anything);
    }
    let group = inner.strip_prefix("(?:").or(inner.strip_prefix('(')).and_then(|rest| rest.strip_suffix(')'));
    let inner = group.filter(|group| !group.contains(['(', ')'])).unwrap_or(inner);
    inner.split('|').map(literal).collect::<Option<Vec<_>>>().map(Texts::OneOf)
}

/// The text that an expression without any choice stands for.
pub(super) fn literal(expression: &str) -> Option<String> {
    let mut out = String::new();
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next()? {
                escaped if escaped.is_ascii_punctuation() => out.push(escaped),
                _ => return None,
            },
            '.' | '[' | ']' | '{' | '}' | '(' | ')' | '*' | '+' | '?' | '^' | '$' | '|' => return None,
            plain => out.push(plain),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_list_of_texts_is_read() {
        let one = |texts: &[&str]| Some(Texts::OneOf(texts.iter().map(ToString::to_string).collect()));
        for (expression, expected) in [
            ("green", one(&["green"])),
            ("^a\\.b$", one(&["a.b"])),
            ("(a|b)", one(&["a", "b"])),
            ("(?:a|b)", one(&["a", "b"])),
            ("a|b c", one(&["a", "b c"])),
            (".*", Some(Texts::Anything)),
            (".+", None),
            ("\\d+", None),
            ("a.c", None),
            ("(a)(b)", None),
            ("(?i)a", None),
            ("a\\", None),
            ("[a-z]{1,8}", None),
        ] {
            assert_eq!(texts(expression), expected, "{expression}");
        }
    }
}
