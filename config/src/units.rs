//! Durations and sizes as people write them: always with a unit, so that no number can be misread.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written with a unit: `250ms`, `60s`, `1m 30s`, `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

impl Period {
    /// A period of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A period of whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// The period as the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text != "0" {
            return Err(format!("`{text}` has no unit: write `{text}ms` or `{text}s`"));
        }
        humantime::parse_duration(text).map(Self).map_err(|fault| {
            format!("`{text}` is not a duration such as `250ms`, `60s` or `1m 30s`: {fault}")
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(out)
    }
}

/// A number of bytes, written with a unit: `512B`, `16KiB`, `1MiB`, `5MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// A size of whole kibibytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// A size of whole mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The size in bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text != "0" {
            return Err(format!("`{text}` has no unit: write `{text}B` or `{text}KiB`"));
        }
        let size = text
            .parse::<bytesize::ByteSize>()
            .map_err(|_| format!("`{text}` is not a size such as `512B`, `16KiB` or `1MiB`"))?;
        // What does not fit is read as the largest number that does.
        match size.as_u64() {
            u64::MAX => Err(format!("`{text}` is more than any size can be")),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (factor, unit) in UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(out, "{}{unit}", self.0 / factor);
            }
        }
        write!(out, "{}B", self.0)
    }
}

/// Serde and JSON Schema for a type that is written as one string.
macro_rules! written_as_string {
    ($type:ident, $pattern:literal, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Written(PhantomData))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "description": $about})
            }
        }
    };
}

written_as_string!(Period, r"^\s*\d+\s*[a-zA-Z]+", "A duration with a unit: `250ms`, `60s`, `1m 30s`.");
written_as_string!(ByteSize, r"^\s*\d+(\.\d+)?\s*[kKmMgGtT]?i?[bB]$", "A size with a unit: `16KiB`, `1MiB`.");

/// Reads the text of a scalar, also where YAML read a number: so that `timeout: 60` is told about its missing unit
/// and not about types.
struct Written<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value with a unit")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
