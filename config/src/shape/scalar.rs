//! What a scalar is when nobody asks for a certain type: the core schema of YAML 1.2 (section 10.3.2).

use std::fmt;

use serde::de::{Error, Visitor};

use crate::tree::Style;

pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Natural(u64),
    Negative(i64),
    Fraction(f64),
}

impl<'a> Scalar<'a> {
    pub(super) fn of(text: &'a str, style: Style) -> Self {
        if style == Style::Quoted {
            return Self::Text(text);
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            _ => Number::of(text).map_or(Self::Text(text), Self::Number),
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Null => "nothing",
            Self::Bool(true) => "`true`",
            Self::Bool(false) => "`false`",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
        })
    }
}

impl Number {
    fn of(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix("0x") {
            return whole(digits, 16);
        }
        if let Some(digits) = text.strip_prefix("0o") {
            return whole(digits, 8);
        }
        match text {
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
                return Some(Self::Fraction(f64::INFINITY));
            }
            "-.inf" | "-.Inf" | "-.INF" => return Some(Self::Fraction(f64::NEG_INFINITY)),
            ".nan" | ".NaN" | ".NAN" => return Some(Self::Fraction(f64::NAN)),
            _ => {}
        }
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            return None;
        }
        if let Ok(number) = text.parse() {
            return Some(Self::Natural(number));
        }
        if let Ok(number) = text.parse() {
            return Some(Self::Negative(number));
        }
        text.parse().ok().map(Self::Fraction)
    }

    pub(super) fn visit<'de, V: Visitor<'de>, E: Error>(self, visitor: V) -> Result<V::Value, E> {
        match self {
            Self::Natural(number) => visitor.visit_u64(number),
            Self::Negative(number) => visitor.visit_i64(number),
            Self::Fraction(number) => visitor.visit_f64(number),
        }
    }
}

fn whole(digits: &str, radix: u32) -> Option<Number> {
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok().map(Number::Natural)
}
