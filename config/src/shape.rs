//! A tree to a typed value, through serde. It stops at the first thing that does not fit, and says exactly
//! which value that was and in which way; `mend` then repairs the tree and asks again.

mod access;
mod refusal;
mod scalar;

use serde::de::{Deserializer, Visitor};

pub(crate) use refusal::{Refusal, Why, listed};

use crate::tree::{Node, State, Style, Value};
use access::{Choice, Fields, Items, live};
use scalar::{Number, Scalar};

/// Reads one node as whatever type asks for it.
pub(crate) struct Reader<'a>(pub(crate) &'a Node);

impl Reader<'_> {
    fn is_hole(&self) -> bool {
        self.0.state == State::Hole
    }

    fn expected(&self, what: &str) -> Refusal {
        let found = match &self.0.value {
            _ if self.is_hole() => return Refusal::new(Why::Hole),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping of fields".to_owned(),
            Value::Scalar { text, style } => Scalar::of(text, *style).to_string(),
        };
        Refusal::other(format!("expected {what}, found {found}"))
    }

    fn scalar(&self) -> Option<Scalar<'_>> {
        match &self.0.value {
            Value::Scalar { text, style } => Some(Scalar::of(text, *style)),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self.scalar(), Some(Scalar::Null))
    }

    /// The text of a scalar that may be read as text. Without quotes that is whatever was written: a version
    /// `1.10` stays `1.10`.
    fn text(&self) -> Option<&str> {
        match &self.0.value {
            Value::Scalar { text, style: Style::Quoted } => Some(text),
            Value::Scalar { text, style: Style::Plain } if !self.is_null() => Some(text),
            _ => None,
        }
    }

    fn number<'de, V: Visitor<'de>>(self, what: &str, visitor: V) -> Result<V::Value, Refusal> {
        match self.scalar() {
            _ if self.is_hole() => visitor.visit_u64(0),
            Some(Scalar::Number(number)) => number.visit(visitor),
            _ => Err(self.expected(what)),
        }
    }
}

/// The methods of a deserialiser that all read a whole number.
macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match self.scalar() {
                Some(Scalar::Number(Number::Fraction(_))) if !self.is_hole() => {
                    Err(self.expected("a whole number"))
                }
                _ => self.number("a whole number", visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Refusal;

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.is_hole() {
            return Err(Refusal::new(Why::Hole));
        }
        match &self.0.value {
            Value::List(items) => visitor.visit_seq(Items::of(items)),
            Value::Map(entries) => visitor.visit_map(Fields::of(entries)),
            Value::Scalar { text, style } => match Scalar::of(text, *style) {
                Scalar::Null => visitor.visit_unit(),
                Scalar::Bool(value) => visitor.visit_bool(value),
                Scalar::Number(number) => number.visit(visitor),
                Scalar::Text(text) => visitor.visit_str(text),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.scalar() {
            _ if self.is_hole() => visitor.visit_bool(false),
            Some(Scalar::Bool(value)) => visitor.visit_bool(value),
            _ => Err(self.expected("`true` or `false`")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.number("a number", visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.text() {
            _ if self.is_hole() => visitor.visit_str(""),
            Some(text) => visitor.visit_str(text),
            None => Err(self.expected("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.is_hole() || self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.is_hole() || self.is_null() { visitor.visit_unit() } else { Err(self.expected("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.0.value {
            _ if self.is_hole() => visitor.visit_seq(Items::of(&[])),
            Value::List(items) => visitor.visit_seq(Items::of(items)),
            _ => Err(self.expected("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match &self.0.value {
            _ if self.is_hole() => visitor.visit_map(Fields::of(&[])),
            Value::Map(entries) => visitor.visit_map(Fields::of(entries)),
            _ => Err(self.expected("a mapping of names to values")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match &self.0.value {
            Value::Map(entries) if !self.is_hole() => visitor.visit_map(Fields::of(entries)),
            _ => Err(self.expected(&format!("a mapping with the fields {}", listed(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let choice = match (&self.0.value, self.text()) {
            _ if self.is_hole() => None,
            (_, Some(name)) => Some(Choice::of_name(name)),
            (Value::Map(entries), None) => {
                let mut live = live(entries);
                let first = live.next();
                if first.is_none() && !entries.is_empty() {
                    // What was chosen has been reported and dropped.
                    return Err(Refusal::new(Why::Hole));
                }
                first.filter(|_| live.next().is_none()).map(Choice::of_entry)
            }
            _ => None,
        };
        match choice {
            Some(choice) => visitor.visit_enum(choice),
            None => Err(self.expected(&format!("exactly one of {}", listed(variants)))),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }
}
