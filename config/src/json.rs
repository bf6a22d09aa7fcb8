//! JSON from the network to the same tree as a file, so that an API answers with every fault at once, in the
//! words of the file loader. No variables are replaced here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::tree::{Entry, Node, Style, Value};

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

fn bare(text: impl fmt::Display) -> Node {
    Node::new(Value::Scalar { text: text.to_string(), style: Style::Json }, 0..0)
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(bare("null"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(bare(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(bare(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(bare(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        // `Debug` keeps the point of `1.0`, so that a fraction is not read as a whole number.
        Ok(bare(format_args!("{number:?}")))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::new(Value::Scalar { text: text.to_owned(), style: Style::Quoted }, 0..0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::new(Value::List(list), 0..0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = fields.next_entry()? {
            entries.push(Entry { key, key_span: 0..0, node });
        }
        Ok(Node::new(Value::Map(entries), 0..0))
    }
}
