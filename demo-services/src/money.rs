//! Amounts of money: whole cents inside, a JSON number with at most two decimals outside.

use std::ops::Add;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in cents, 0 to [`Cents::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cents(pub(crate) i64);

impl Cents {
    /// The largest amount that is taken from outside. Far below 2^53, so every cent has an `f64` of its own.
    pub(crate) const MAX: Self = Self(100_000_000_000);

    /// The amount a JSON number stands for, or `None` when it is negative, too large or finer than a cent.
    pub(crate) fn from_number(number: f64) -> Option<Self> {
        let scaled = number * 100.0;
        let whole = scaled.round();
        // 12.34 * 100 is not exactly 1234: what is left over must be rounding noise, not a third decimal.
        let in_bounds = (0.0..=Self::MAX.0 as f64).contains(&whole) && number >= 0.0;
        (in_bounds && (scaled - whole).abs() < 1e-4).then_some(Self(whole as i64))
    }
}

impl Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 100 == 0 {
            serializer.serialize_i64(self.0 / 100)
        } else {
            serializer.serialize_f64(self.0 as f64 / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Cents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        Self::from_number(number).ok_or_else(|| D::Error::custom("not an amount with at most two decimals"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_cent_survives_the_way_out_and_back() {
        for cents in (0..100_000).chain([99_999_999, 99_999_999_999, 100_000_000_000]) {
            let text = serde_json::to_string(&Cents(cents)).unwrap();
            assert_eq!(serde_json::from_str::<Cents>(&text).unwrap(), Cents(cents), "{text}");
        }
    }

    #[test]
    fn amounts_are_written_as_short_as_they_are() {
        let written = |cents| serde_json::to_string(&Cents(cents)).unwrap();
        assert_eq!(
            [written(1250), written(1200), written(5), written(1999)],
            ["12.5", "12", "0.05", "19.99"]
        );
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for number in [-0.01, -0.001, 12.345, 0.001, 1e12, f64::NAN, f64::INFINITY] {
            assert_eq!(Cents::from_number(number), None, "{number}");
        }
    }
}
