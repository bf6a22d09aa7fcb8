//! Configuration of applications from every source: the built-in store, folders and git repositories. What is
//! here is read, put in order, opened and merged; how it is asked for (HTTP, streams) is decided elsewhere.

mod activation;
mod cipher;
mod credentials;
mod flatten;
mod folder;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod git;
mod live;
mod merged;
mod nested;
mod placeholder;
mod properties;
mod property;
mod refresh;
mod remote;
mod renewal;
mod scalar;
mod search;
mod standing;
mod tree;
mod watch;
mod yaml;

pub(crate) use cipher::{Cipher, from_hex, without_hints};
pub use live::ConfigurationError;
pub(crate) use live::{Configuration, ConfigurationFault, Environment};
pub(crate) use merged::{merged, resolved};
pub(crate) use nested::{KeyFault, tree as nested};
pub(crate) use placeholder::resolve;
pub(crate) use property::{PropertySource, text};
pub(crate) use refresh::targets_of;
pub(crate) use standing::Standing;
pub(crate) use tree::File;

use search::{DEFAULT, EVERYONE};

/// Whose configuration is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// Applications; a later one lies over an earlier one.
    pub(crate) names: Vec<String>,
    /// Profiles, never none; a later one lies over an earlier one.
    pub(crate) profiles: Vec<String>,
}

impl Query {
    /// Reads two lists with commas.
    pub(crate) fn of(names: &str, profiles: &str) -> Self {
        let list = |text: &str| text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let (names, mut profiles): (Vec<String>, Vec<String>) = (list(names), list(profiles));
        if profiles.is_empty() {
            profiles.push(DEFAULT.to_owned());
        }
        Self { names, profiles }
    }

    /// The applications with everyone's first, unless it was asked for itself.
    fn names_with_everyone(&self) -> Vec<String> {
        let everyone = (!self.names.iter().any(|name| name == EVERYONE)).then(|| EVERYONE.to_owned());
        everyone.into_iter().chain(self.names.iter().cloned()).collect()
    }
}

/// Whether a text can be a profile: begins and ends with a letter or digit, and holds those and `- _ . + @`.
pub(crate) fn is_profile(text: &str) -> bool {
    let sound = |letter: char| letter.is_alphanumeric() || "-_.+@".contains(letter);
    text.starts_with(char::is_alphanumeric)
        && text.ends_with(char::is_alphanumeric)
        && text.chars().all(sound)
}
