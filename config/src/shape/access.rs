//! What is inside a list, a mapping or a variant, one part at a time. Each refusal gets the index of the part
//! it comes from, which is how it finds its way back to a line.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Reader, Refusal};
use crate::tree::{Entry, Node, State};

/// The fields that still count, each with its index.
pub(super) fn live(entries: &[Entry]) -> impl Iterator<Item = (usize, &Entry)> {
    entries.iter().enumerate().filter(|(_, entry)| entry.node.state != State::Dropped)
}

pub(super) struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'a> Items<'a> {
    pub(super) fn of(items: &'a [Node]) -> Self {
        Self { items, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        while let Some(item) = self.items.get(self.next) {
            self.next += 1;
            if item.state != State::Dropped {
                let index = self.next - 1;
                return seed.deserialize(Reader(item)).map(Some).map_err(|why| why.inside(index));
            }
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

pub(super) struct Fields<'a> {
    entries: &'a [Entry],
    next: usize,
    value: Option<(usize, &'a Node)>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(entries: &'a [Entry]) -> Self {
        Self { entries, next: 0, value: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        while let Some(entry) = self.entries.get(self.next) {
            self.next += 1;
            if entry.node.state != State::Dropped {
                let index = self.next - 1;
                self.value = Some((index, &entry.node));
                let name: StrDeserializer<'_, Refusal> = entry.key.as_str().into_deserializer();
                return seed.deserialize(name).map(Some).map_err(|why| why.inside(index));
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        match self.value.take() {
            Some((index, node)) => seed.deserialize(Reader(node)).map_err(|why| why.inside(index)),
            None => Err(Refusal::other("a value without a name".to_owned())),
        }
    }
}

/// One of an enum's variants: a name alone, or the one field of a mapping.
pub(super) struct Choice<'a> {
    name: &'a str,
    entry: Option<(usize, &'a Node)>,
}

impl<'a> Choice<'a> {
    pub(super) fn of_name(name: &'a str) -> Self {
        Self { name, entry: None }
    }

    pub(super) fn of_entry((index, entry): (usize, &'a Entry)) -> Self {
        Self { name: &entry.key, entry: Some((index, &entry.node)) }
    }

    fn inside<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        match self.entry {
            Some((index, _)) => result.map_err(|why| why.inside(index)),
            None => result,
        }
    }

    /// Reads what the variant holds; a name alone holds nothing.
    fn content<T>(self, read: impl FnOnce(Reader<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        match self.entry {
            Some((_, node)) => self.inside(read(Reader(node))),
            None => Err(Refusal::other(format!("`{0}` needs a value: write `{{{0}: …}}`", self.name))),
        }
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refusal> {
        let name: StrDeserializer<'_, Refusal> = self.name.into_deserializer();
        let value = self.inside(seed.deserialize(name))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        match self.entry {
            Some((_, node)) if !Reader(node).is_null() => {
                self.inside(Err(Refusal::other(format!("`{}` takes no value", self.name))))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        self.content(|reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.content(|reader| reader.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.content(|reader| reader.deserialize_struct("", fields, visitor))
    }
}
