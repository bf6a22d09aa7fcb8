//! What a plain scalar of YAML means, by the rules of YAML 1.1 as Spring's parser applies them: `on` is true,
//! `0o17` is text, `017` is fifteen, `12:30` is 750. Dates stay text.

use serde_json::{Number, Value};

/// The typed value of a scalar without quotes; `None` is null.
pub(super) fn plain(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Some(Value::Bool(true));
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Some(Value::Bool(false));
        }
        _ => {}
    }
    let typed = integer(text).or_else(|| float(text)).map(Value::Number);
    Some(typed.unwrap_or_else(|| Value::String(text.to_owned())))
}

fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = sign(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let clean: String = digits.chars().filter(|digit| *digit != '_').collect();
    let magnitude = if let Some(binary) = clean.strip_prefix("0b") {
        u64::from_str_radix(plain_digits(binary)?, 2).ok()?
    } else if let Some(hexadecimal) = clean.strip_prefix("0x") {
        u64::from_str_radix(plain_digits(hexadecimal)?, 16).ok()?
    } else if clean.contains(':') {
        sexagesimal(&clean)?
    } else if clean.len() > 1 && clean.starts_with('0') {
        u64::from_str_radix(plain_digits(&clean)?, 8).ok()?
    } else {
        plain_digits(&clean)?.parse().ok()?
    };
    if !negative {
        return Some(magnitude.into());
    }
    i64::try_from(magnitude).ok().map(|magnitude| (-magnitude).into())
}

/// A number to the base of sixty, as times are written.
fn sexagesimal(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let first = parts.next()?;
    if first.starts_with('0') {
        return None;
    }
    let mut total: u64 = plain_digits(first)?.parse().ok()?;
    for part in parts {
        let digit: u64 = plain_digits(part)?.parse().ok().filter(|digit| *digit < 60 && part.len() <= 2)?;
        total = total.checked_mul(60)?.checked_add(digit)?;
    }
    Some(total)
}

fn float(text: &str) -> Option<Number> {
    let (_, digits) = sign(text);
    let mantissa = digits.split(['e', 'E']).next()?;
    let has_digit = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    let has_mark = digits.contains(['.', 'e', 'E']);
    let sound = |byte: u8| byte.is_ascii_digit() || b"._eE+-".contains(&byte);
    if !has_digit || !has_mark || !digits.bytes().all(sound) || digits.starts_with('_') {
        return None;
    }
    let clean: String = text.chars().filter(|digit| *digit != '_').collect();
    Number::from_f64(clean.parse().ok()?)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Rust's own parsers take a sign of their own.
fn plain_digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_to_spring() {
        for (text, expected) in [
            ("40", json!(40)),
            ("-7", json!(-7)),
            ("+7", json!(7)),
            ("1_000", json!(1000)),
            ("017", json!(15)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("12:30", json!(750)),
            ("2222:22", json!(133342)),
            ("0.5", json!(0.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("on", json!(true)),
            ("No", json!(false)),
            ("08", json!("08")),
            ("0o17", json!("0o17")),
            ("12:99", json!("12:99")),
            ("1.2.3", json!("1.2.3")),
            ("2026-11-21", json!("2026-11-21")),
            ("127.0.0.1:80", json!("127.0.0.1:80")),
            ("99999999999999999999", json!("99999999999999999999")),
            (".inf", json!(".inf")),
            ("-", json!("-")),
            ("e5", json!("e5")),
            ("0x-1", json!("0x-1")),
        ] {
            assert_eq!(plain(text), Some(expected), "{text}");
        }
        for nothing in ["", "~", "null"] {
            assert_eq!(plain(nothing), None, "{nothing}");
        }
    }
}
