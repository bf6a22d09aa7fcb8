//! Long lists, read into memory of the right size at once: one of 100,000 routes that grows step by step is copied as many
//! times over, and touches twice the memory.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// Items that room is made for before they are seen.
const MOST_EXPECTED: usize = 128 * 1024;

/// Reads a list as [`Vec`] does.
pub(crate) fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(source: D) -> Result<Vec<T>, D::Error> {
    source.deserialize_seq(List(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::with_capacity(items.size_hint().unwrap_or_default().min(MOST_EXPECTED));
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(list)
    }
}
