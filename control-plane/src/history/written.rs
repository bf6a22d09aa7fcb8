//! How a difference is read. By hand, for serde reads everything twice where a tag says which form it has, and an entry may
//! hold 100,000 routes.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Difference, LayerDifference};
use crate::store::LayerKey;

/// What differs, as far as the tag need not be known.
#[derive(Deserialize)]
struct Written<'t> {
    kind: Kind,
    name: Option<String>,
    key: Option<LayerKey>,
    #[serde(borrow)]
    before: Option<&'t RawValue>,
    #[serde(borrow)]
    after: Option<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Route,
    Service,
    Layer,
}

/// From the text of JSON only.
impl<'de> Deserialize<'de> for Difference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { kind, name, key, before, after } = Written::deserialize(deserializer)?;
        let name = || name.ok_or_else(|| D::Error::missing_field("name"));
        Ok(match kind {
            Kind::Route => Self::Route { name: name()?, before: side(before)?, after: side(after)? },
            Kind::Service => Self::Service { name: name()?, before: side(before)?, after: side(after)? },
            Kind::Layer => Self::Layer {
                key: key.ok_or_else(|| D::Error::missing_field("key"))?,
                values: LayerDifference { before: side(before)?, after: side(after)? },
            },
        })
    }
}

fn side<T: DeserializeOwned, E: Error>(text: Option<&RawValue>) -> Result<T, E> {
    serde_json::from_str(text.map_or("null", RawValue::get)).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// Tools that handle backups may put the fields in another order.
    #[test]
    fn fields_are_read_in_any_order() {
        let route = r#"{"name": "a", "match": {"path": "/"}, "service": "s"}"#;
        for (written, other) in [
            (
                format!(r#"{{"kind": "route", "name": "a", "before": null, "after": {route}}}"#),
                format!(r#"{{"after": {route}, "name": "a", "kind": "route"}}"#),
            ),
            (
                r#"{"kind": "service", "name": "s", "before": false, "after": true}"#.to_owned(),
                r#"{"name": "s", "after": true, "before": false, "kind": "service"}"#.to_owned(),
            ),
            (
                r#"{"kind": "layer", "key": {"application": "a", "profile": "p"}, "before": {"k": "1"}, "after": {}}"#
                    .to_owned(),
                r#"{"after": {}, "before": {"k": "1"}, "key": {"profile": "p", "application": "a"}, "kind": "layer"}"#
                    .to_owned(),
            ),
        ] {
            let read: Difference = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::from_str::<Difference>(&other).unwrap(), read);
            let again = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<Difference>(&again).unwrap(), read);
        }
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_refused() {
        for written in [
            "{}",
            r#"{"kind": "route", "before": null, "after": null}"#,
            r#"{"kind": "route", "name": "a", "after": true}"#,
            r#"{"kind": "service", "name": "s", "after": true}"#,
            r#"{"kind": "layer", "before": {}, "after": {}}"#,
            r#"{"kind": "other", "name": "s", "before": false, "after": true}"#,
        ] {
            assert!(serde_json::from_str::<Difference>(written).is_err(), "{written}");
        }
    }
}
