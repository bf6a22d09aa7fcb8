//! `${VAR}` and `${VAR:-default}` in values, so that one file serves every place it is started in. `$$` is a
//! plain `$`. Only files an operator owns are treated so: text from the network never sees the environment.

use crate::Fault;
use crate::tree::{Node, Position, Spotted, State, Value};

/// How a variable is looked up: `Ok(None)` when it is not set.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Result<Option<String>, NotText>;

/// The variable's value is not UTF-8.
pub(crate) struct NotText;

/// The environment of this process.
pub(crate) fn process(name: &str) -> Result<Option<String>, NotText> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(NotText),
    }
}

/// Replaces the variables in every value; the names of fields stay as they are. A value with a variable that
/// cannot be replaced is reported and dropped. `text` is what the tree was read from.
pub(crate) fn substitute(tree: &mut Node, text: &str, environment: Environment<'_>) -> Vec<Spotted> {
    // An escape can make a dollar that the text does not show: `"\x24"`.
    if !text.contains(['$', '\\']) {
        return Vec::new();
    }
    let mut places = Vec::new();
    with_dollar(tree, &mut Position::new(), &mut places);
    places.iter().filter_map(|position| replace_at(tree, position, environment)).collect()
}

fn with_dollar(node: &Node, position: &mut Position, places: &mut Vec<Position>) {
    let mut into = |(index, child): (usize, &Node)| {
        position.push(index);
        with_dollar(child, position, places);
        position.pop();
    };
    match &node.value {
        Value::Scalar { text, .. } if text.contains('$') => places.push(position.clone()),
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().enumerate().for_each(into),
        Value::Map(entries) => entries.iter().map(|entry| &entry.node).enumerate().for_each(&mut into),
    }
}

fn replace_at(tree: &mut Node, position: &[usize], environment: Environment<'_>) -> Option<Spotted> {
    let node = tree.at_mut(position)?;
    let Value::Scalar { text, .. } = &mut node.value else { return None };
    match replaced(text, environment) {
        Ok(new) => {
            *text = new;
            None
        }
        Err(fault) => {
            node.state = State::Dropped;
            let spotted = tree.spot(position, fault.problem);
            Some(match fault.hint {
                Some(hint) => spotted.hint(hint),
                None => spotted,
            })
        }
    }
}

/// One value with its variables replaced. The fault has no path.
fn replaced(text: &str, environment: Environment<'_>) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((variable, after)) = after.split_once('}') else {
                return Err(
                    Fault::new("", "`${` is never closed").hint("close it with `}`, or write `$$` for `$`")
                );
            };
            out.push_str(&value_of(variable, environment)?);
            after
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands for `VAR` or `VAR:-default`. As in a shell, the default also replaces a value that is empty.
fn value_of(variable: &str, environment: Environment<'_>) -> Result<String, Fault> {
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !starts || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(Fault::new("", format!("`${{{variable}}}` is not a variable"))
            .hint("write `${NAME}` or `${NAME:-default}`, and `$$` for `$`"));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(Fault::new("", format!("the default of `{name}` holds another variable")));
    }
    match (environment(name), default) {
        (Err(NotText), _) => Err(Fault::new("", format!("the environment variable `{name}` is not UTF-8"))),
        (Ok(Some(value)), None) => Ok(value),
        (Ok(Some(value)), Some(_)) if !value.is_empty() => Ok(value),
        (Ok(_), Some(default)) => Ok(default.to_owned()),
        (Ok(None), None) => Err(Fault::new("", format!("the environment variable `{name}` is not set"))
            .hint(format!("set it, or give a default: `${{{name}:-default}}`"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn environment(name: &str) -> Result<Option<String>, NotText> {
        match name {
            "PORT" => Ok(Some("8080".to_owned())),
            "EMPTY" => Ok(Some(String::new())),
            "BROKEN" => Err(NotText),
            _ => Ok(None),
        }
    }

    #[test]
    fn variables_defaults_and_dollars_are_replaced() {
        for (text, expected) in [
            ("a ${PORT} b ${PORT}", "a 8080 b 8080"),
            ("${PORT:-1}", "8080"),
            ("${EMPTY}", ""),
            ("${EMPTY:-1}", "1"),
            ("${UNSET:-}", ""),
            ("${UNSET:-http://x:1/-:-}", "http://x:1/-:-"),
            ("$${PORT} $$ $x 5$", "${PORT} $ $x 5$"),
            ("é${PORT}é", "é8080é"),
        ] {
            assert_eq!(replaced(text, &environment).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_said() {
        for (text, expected) in [
            ("${UNSET}", "the environment variable `UNSET` is not set"),
            ("${BROKEN:-1}", "the environment variable `BROKEN` is not UTF-8"),
            ("${PORT", "`${` is never closed"),
            ("${}", "`${}` is not a variable"),
            ("${1A}", "`${1A}` is not a variable"),
            ("${A-b}", "`${A-b}` is not a variable"),
            ("${A:-${B}}", "the default of `A` holds another variable"),
        ] {
            assert_eq!(replaced(text, &environment).unwrap_err().problem, expected, "{text}");
        }
    }
}
