//! What differs in a layer of configuration, key by key: a layer may hold half a megabyte of which one value changes.

use serde::Serialize;

use crate::store::Values;

/// The keys that differ, as they were and as they became. `None` where there was, or is, no such layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LayerDifference {
    pub(crate) before: Option<Values>,
    pub(crate) after: Option<Values>,
}

impl LayerDifference {
    pub(super) fn of(before: Option<&Values>, after: Option<&Values>) -> Self {
        Self { before: beyond(before, after), after: beyond(after, before) }
    }

    /// The layer as it was before this, `now` being what it is after.
    pub(super) fn undone(&self, now: Option<&Values>) -> Option<Values> {
        let before = self.before.as_ref()?;
        Some(replaced(now, self.after.as_ref(), before))
    }

    /// Takes the outcome of a later change of the same layer.
    pub(super) fn continue_with(&mut self, later: &Self) {
        // What the later change found and the earlier one did not touch was there before both.
        let before = self.before.as_ref().map(|first| {
            let mut before = first.clone();
            for (key, value) in later.before.iter().flatten() {
                let touched = self.after.as_ref().is_some_and(|after| after.contains_key(key));
                if !touched {
                    before.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            before
        });
        let after =
            later.after.as_ref().map(|last| replaced(self.after.as_ref(), later.before.as_ref(), last));
        *self = Self::of(before.as_ref(), after.as_ref());
    }

    pub(super) fn reversed(self) -> Self {
        Self { before: self.after, after: self.before }
    }
}

/// `values` without `gone` and with `new`.
fn replaced(values: Option<&Values>, gone: Option<&Values>, new: &Values) -> Values {
    let mut values = values.cloned().unwrap_or_default();
    gone.into_iter().flatten().for_each(|(key, _)| drop(values.remove(key)));
    values.extend(new.clone());
    values
}

/// What `one` has and `other` has not.
fn beyond(one: Option<&Values>, other: Option<&Values>) -> Option<Values> {
    let is_new = |(key, value): &(&String, &String)| other.and_then(|other| other.get(*key)) != Some(*value);
    let differing = one?.iter().filter(is_new);
    Some(differing.map(|(key, value)| (key.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// Every layer with two keys of two values, and none.
    fn layers() -> Vec<Option<Values>> {
        let mut layers = vec![None];
        for a in ["", "1", "2"] {
            for b in ["", "1", "2"] {
                let pairs = [("a", a), ("b", b)].into_iter().filter(|(_, value)| !value.is_empty());
                layers.push(Some(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()));
            }
        }
        layers
    }

    #[test]
    fn every_change_can_be_undone_and_put_together() {
        for first in layers() {
            for second in layers() {
                let one = LayerDifference::of(first.as_ref(), second.as_ref());
                assert_eq!(one.undone(second.as_ref()), first, "{first:?} {second:?}");
                assert_eq!(one.before != one.after, first != second);
                for third in layers() {
                    let mut both = one.clone();
                    both.continue_with(&LayerDifference::of(second.as_ref(), third.as_ref()));
                    let expected = LayerDifference::of(first.as_ref(), third.as_ref());
                    assert_eq!(both, expected, "{first:?} {second:?} {third:?}");
                }
            }
        }
    }
}
