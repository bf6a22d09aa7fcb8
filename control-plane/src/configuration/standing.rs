//! Every source as of one moment, and what they say together: pure, so that streams can be told under the model's
//! lock and any order of sources can be tested.

use std::collections::BTreeMap;
use std::sync::Arc;

use portreeve_config::check;
use portreeve_config::wire::ConfigScope;
use serde_json::Value;

use super::cipher::{Cipher, without_hints};
use super::property::{Property, PropertySource, text};
use super::search::{DEFAULT, FileFault, Manner, Shelf};
use super::{Query, merged, resolved};
use crate::store::{LayerKey, Values, Versioned};

/// Marks a value that is encrypted.
const SEALED: &str = "{cipher}";
/// What stands in front of a layer's name.
const BUILT_IN: &str = "portreeve:";

/// The layers of the built-in store.
pub(crate) type Layers = BTreeMap<LayerKey, Versioned<Arc<Values>>>;

/// What holds for every answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) overrides: BTreeMap<String, String>,
    /// Opens values; with none they are passed on as they are.
    pub(crate) cipher: Option<Cipher>,
}

/// One source as it stands.
#[derive(Clone, Debug)]
pub(crate) enum Stand {
    BuiltIn,
    Shelf(Shelf),
}

/// All sources as they stand for requests without a label, the strongest first.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) sources: Vec<Stand>,
    pub(crate) rules: Arc<Rules>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { sources: vec![Stand::BuiltIn], rules: Arc::default() }
    }
}

impl Stand {
    /// This source's part of an answer, the strongest first, values still sealed.
    pub(crate) fn sources(
        &self,
        query: &Query,
        label: Option<&str>,
        manner: Manner,
        layers: &Layers,
    ) -> Result<Vec<PropertySource>, FileFault> {
        match self {
            Self::BuiltIn => Ok(layered(query, layers)),
            Self::Shelf(shelf) => shelf.sources(query, label, manner),
        }
    }
}

impl Rules {
    /// Puts the overrides on top and opens what is sealed.
    pub(crate) fn applied(&self, mut sources: Vec<PropertySource>) -> Vec<PropertySource> {
        if let Some(cipher) = &self.cipher {
            sources.iter_mut().for_each(|source| open(cipher, &mut source.properties));
        }
        if !self.overrides.is_empty() {
            let unescaped = |value: &String| value.replace("\\${", "${").replace("\\{", "{");
            let overrides = self.overrides.iter().map(|(key, value)| property(key, &unescaped(value)));
            let name = "overrides".to_owned();
            sources.insert(
                0,
                PropertySource { name: name.clone(), location: name, properties: overrides.collect() },
            );
        }
        sources
    }
}

impl Standing {
    /// What a sidecar of `scope` gets. Keys and values that no environment can carry are left out.
    pub(crate) fn merged(&self, scope: &ConfigScope, layers: &Layers) -> Values {
        self.values(scope, layers, &self.rules)
    }

    /// The same with sealed values as they are: for people, who may see less than a service.
    pub(crate) fn sealed(&self, scope: &ConfigScope, layers: &Layers) -> Values {
        self.values(scope, layers, &Rules { cipher: None, ..Rules::clone(&self.rules) })
    }

    fn values(&self, scope: &ConfigScope, layers: &Layers, rules: &Rules) -> Values {
        if let [Stand::BuiltIn] = self.sources[..]
            && rules.overrides.is_empty()
            && rules.cipher.is_none()
        {
            return stored(scope, layers);
        }
        let query = Query::of(&scope.application, &scope.profile);
        // With `LastGood` no file is ever a fault.
        let part =
            |source: &Stand| source.sources(&query, None, Manner::LastGood, layers).unwrap_or_default();
        let sources = rules.applied(self.sources.iter().flat_map(part).collect());
        let values = resolved(&merged(&sources)).into_iter().map(|(key, value)| (key, text(&value)));
        let sound = |(key, value): &(String, String)| {
            check::config_key(key).is_none() && check::config_value(value).is_none()
        };
        values.filter(sound).collect()
    }
}

/// The values of the built-in store alone, as they were written.
fn stored(scope: &ConfigScope, layers: &Layers) -> Values {
    let query = Query::of(&scope.application, &scope.profile);
    let mut values = Values::new();
    for (_, layer) in found(&query, layers).into_iter().rev() {
        values.extend(layer.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    values
}

/// The layers of a query as sources, the strongest first.
fn layered(query: &Query, layers: &Layers) -> Vec<PropertySource> {
    let source = |(name, values): (String, Arc<Values>)| PropertySource {
        name: format!("{BUILT_IN}{name}"),
        location: format!("{BUILT_IN}{name}"),
        properties: values.iter().map(|(key, value)| property(key, value)).collect(),
    };
    found(query, layers).into_iter().map(source).collect()
}

/// The layers of a query, the strongest first: those of the last profile, the application's before everyone's;
/// then those that always apply.
fn found(query: &Query, layers: &Layers) -> Vec<(String, Arc<Values>)> {
    let names = query.names_with_everyone();
    let profiles = query.profiles.iter().map(String::as_str).filter(|profile| *profile != DEFAULT);
    let mut found = Vec::new();
    for profile in profiles.rev().chain([DEFAULT]) {
        for name in names.iter().rev() {
            let key = LayerKey { application: name.clone(), profile: profile.to_owned() };
            let Some(layer) = layers.get(&key) else { continue };
            let shown = if profile == DEFAULT { name.clone() } else { format!("{name}-{profile}") };
            found.push((shown, layer.value.clone()));
        }
    }
    found
}

fn property(key: &str, value: &str) -> Property {
    Property { key: key.to_owned(), value: Value::String(value.to_owned()), place: (0, 0) }
}

/// Opens sealed values; one that stays closed gives way to `invalid.<key>`, so that no client takes it for clear.
fn open(cipher: &Cipher, properties: &mut [Property]) {
    for property in properties {
        let Value::String(text) = &property.value else { continue };
        let Some(sealed) = text.strip_prefix(SEALED) else { continue };
        match cipher.decrypt(without_hints(sealed).1) {
            Ok(clear) => property.value = Value::String(clear),
            Err(fault) => {
                tracing::warn!(key = property.key, %fault, "a value could not be decrypted");
                property.key = format!("invalid.{}", property.key);
                property.value = Value::String("<n/a>".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn layers(entries: &[(&str, &str, &str, &str)]) -> Layers {
        let mut layers = Layers::new();
        for (application, profile, name, value) in entries {
            let key = LayerKey { application: (*application).to_owned(), profile: (*profile).to_owned() };
            let values = Values::from([((*name).to_owned(), (*value).to_owned())]);
            layers.insert(key, Versioned { revision: 1, value: Arc::new(values) });
        }
        layers
    }

    fn scope(application: &str, profile: &str) -> ConfigScope {
        ConfigScope { application: application.to_owned(), profile: profile.to_owned() }
    }

    #[test]
    fn a_stronger_layer_lies_over_a_weaker_one() {
        let all = [
            ("orders", "prod", "who", "application and profile"),
            ("application", "prod", "who", "profile"),
            ("orders", "default", "who", "application"),
            ("application", "default", "who", "everyone"),
        ];
        for standing in [Standing::default(), with_overrides()] {
            let who = |count: usize, application: &str, profile: &str| {
                standing.merged(&scope(application, profile), &layers(&all[count..])).remove("who")
            };
            for (index, (_, _, _, expected)) in all.iter().enumerate() {
                assert_eq!(who(index, "orders", "prod").as_deref(), Some(*expected));
            }
            assert_eq!(who(0, "orders", "default").as_deref(), Some("application"));
            assert_eq!(who(0, "users", "default").as_deref(), Some("everyone"));
            assert_eq!(who(0, "users", "prod").as_deref(), Some("profile"));
        }
    }

    fn with_overrides() -> Standing {
        let overrides = BTreeMap::from([("always".to_owned(), "\\${here}".to_owned())]);
        let cipher = Some(Cipher::of_text("key", "00").unwrap());
        Standing { sources: vec![Stand::BuiltIn], rules: Arc::new(Rules { overrides, cipher }) }
    }

    #[test]
    fn overrides_come_first_and_sealed_values_are_opened() {
        let standing = with_overrides();
        let sealed = standing.rules.cipher.as_ref().unwrap().encrypt("clear").unwrap();
        let layers = layers(&[
            ("pay", "default", "one", &format!("{{cipher}}{{key:x}}{sealed}")),
            ("pay", "dev", "two", "{cipher}nonsense"),
            ("application", "default", "always", "never"),
            ("application", "dev", "a b", "no environment can carry this"),
        ]);
        let query = Query::of("pay", "dev");
        let sources = Stand::BuiltIn.sources(&query, None, Manner::Strict, &layers).unwrap();
        let sources = standing.rules.applied(sources);
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let expected = ["overrides", "portreeve:pay-dev", "portreeve:application-dev"];
        assert_eq!(names[..3], expected);
        let values = standing.merged(&scope("pay", "dev"), &layers);
        let expected = [("always", "${here}"), ("invalid.two", "<n/a>"), ("one", "clear")];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
