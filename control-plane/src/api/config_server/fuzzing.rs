//! What must hold for any path of the config server: what it asks for leads out of nowhere.

use super::asked::{Asked, asked};
use crate::configuration::is_profile;

/// A path as it came.
pub fn config_path(bytes: &[u8]) {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    for (is_write, default_label) in [(false, false), (false, true), (true, false)] {
        let words = match asked(path, is_write, default_label) {
            Ok(Asked::Environment { name, profiles, label } | Asked::File { name, profiles, label, .. }) => {
                assert!(profiles.split(',').all(is_profile), "{profiles:?}");
                vec![name, label.unwrap_or_default()]
            }
            Ok(Asked::Text { name, profiles, label, path }) => {
                assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path:?}");
                assert!(profiles.split(',').all(is_profile), "{profiles:?}");
                vec![name, label.unwrap_or_default(), path]
            }
            _ => continue,
        };
        for word in words {
            let tricks = ["..", "\\", "#", ";"].iter().any(|trick| word.contains(trick));
            assert!(!tricks && !word.starts_with('/') && !word.chars().any(char::is_control), "{word:?}");
        }
    }
}
