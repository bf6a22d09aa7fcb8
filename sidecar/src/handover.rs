//! What the service is given: its configuration as environment and as a file that is kept up to date, and where
//! its sidecar is.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};
use tokio::time::{Instant, sleep_until};

/// How soon a file that could not be written is tried again: a disk has room again without a word to anybody.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Configuration as it was merged for one service: flat keys and their values. Values may be secrets.
pub(crate) type Configuration = BTreeMap<String, String>;

/// The file the service reads its configuration from: one JSON object, replaced as a whole, for its owner alone.
pub(crate) struct ConfigurationFile {
    folder: PathBuf,
    path: PathBuf,
    written: Option<Configuration>,
    /// When to try once more what could not be written.
    again_at: Option<Instant>,
    /// Where the user named no folder: removed at the end.
    _temporary: Option<TempDir>,
}

impl ConfigurationFile {
    /// `<folder>/<instance>.config.json`, in a temporary folder when none is named.
    pub(crate) fn new(folder: Option<&Path>, instance: &str) -> io::Result<Self> {
        let temporary = match folder {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("portreeve-").tempdir()?),
        };
        let folder = temporary.as_ref().map_or(folder, |made| Some(made.path())).unwrap_or(Path::new("."));
        // The service may change its working directory before it reads the file.
        let folder = std::path::absolute(folder)?;
        let path = folder.join(format!("{instance}.config.json"));
        Ok(Self { folder, path, written: None, again_at: None, _temporary: temporary })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the file up to date; a reader sees the old one or the new one, whole. Gives the keys that changed,
    /// `None` when nothing had to be written.
    pub(crate) fn put(&mut self, configuration: &Configuration) -> io::Result<Option<Vec<String>>> {
        self.again_at = None;
        if self.written.as_ref() == Some(configuration) {
            return Ok(None);
        }
        if let Err(error) = self.write(configuration) {
            self.again_at = Some(Instant::now() + AGAIN_AFTER);
            return Err(error);
        }
        let before = self.written.replace(configuration.clone()).unwrap_or_default();
        Ok(Some(changed_keys(&before, configuration)))
    }

    /// Waits until it is time to put once more what could not be written; for ever while all was. Can be dropped
    /// at any time.
    pub(crate) async fn is_due_again(&self) {
        match self.again_at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn write(&self, configuration: &Configuration) -> io::Result<()> {
        // Made readable for its owner alone, and in the same folder, so that the last step is one rename.
        let mut fresh = NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer_pretty(&mut fresh, configuration)?;
        fresh.write_all(b"\n")?;
        fresh.persist(&self.path).map_err(|fault| fault.error)?;
        Ok(())
    }
}

fn changed_keys(before: &Configuration, after: &Configuration) -> Vec<String> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let new = after.iter().filter(|(key, value)| before.get(*key) != Some(value)).map(|(key, _)| key);
    gone.chain(new).cloned().collect()
}

/// The configuration as environment, without what `is_set` has a value for already: who starts a sidecar has the
/// last word about its environment. Of two keys that make one name the first in order counts.
pub(crate) fn environment(
    configuration: &Configuration,
    is_set: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (key, value) in configuration {
        match variable(key) {
            Some(name) if variables.contains_key(&name) => {
                tracing::warn!(
                    key,
                    name,
                    "another key makes the same environment variable and stands before"
                );
            }
            Some(name) if !is_set(&name) => {
                variables.insert(name, value.clone());
            }
            _ => {}
        }
    }
    variables
}

/// The variable of a key, in the form Spring reads: upper case, `.` as `_`, without `-`. `None` for a key that
/// makes no name (`[A-Z_][A-Z0-9_]*`), or one that decides which programs and libraries run.
fn variable(key: &str) -> Option<String> {
    let name: String = key
        .chars()
        .filter(|character| *character != '-')
        .map(|character| if character == '.' { '_' } else { character.to_ascii_uppercase() })
        .collect();
    let is_name = name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    let is_kept = name == "PATH" || name.starts_with("LD_") || name.starts_with("PORTREEVE_");
    (is_name && !is_kept).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn configuration(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keys_become_variables_as_spring_reads_them() {
        for (key, name) in [
            ("low-stock", Some("LOWSTOCK")),
            ("spring.main.log-startup-info", Some("SPRING_MAIN_LOGSTARTUPINFO")),
            ("currency", Some("CURRENCY")),
            ("_under", Some("_UNDER")),
            ("limits2", Some("LIMITS2")),
            ("2fast", None),
            ("list[0]", None),
            ("-", None),
            ("grüße", None),
            ("path", None),
            ("ld.preload", None),
            ("portreeve.outbound", None),
            ("portreeve_service", None),
        ] {
            assert_eq!(variable(key).as_deref(), name, "{key}");
        }
    }

    #[test]
    fn a_variable_that_is_set_stays() {
        let given = configuration(&[("currency", "EUR"), ("low-stock", "5"), ("lowstock", "6")]);
        let made = environment(&given, |name| name == "CURRENCY");
        assert_eq!(made, configuration(&[("LOWSTOCK", "5")]));
    }

    #[test]
    fn the_file_is_replaced_whole_and_only_when_something_changed() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ConfigurationFile::new(Some(folder.path()), "orders-1").unwrap();
        assert_eq!(file.put(&Configuration::new()).unwrap(), Some(vec![]));
        let first = configuration(&[("a", "1"), ("b", "2")]);
        assert_eq!(file.put(&first).unwrap(), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(file.put(&first).unwrap(), None);
        let second = configuration(&[("b", "3"), ("c", "4")]);
        assert_eq!(file.put(&second).unwrap(), Some(["a", "b", "c"].map(str::to_owned).to_vec()));

        let text = std::fs::read(file.path()).unwrap();
        assert_eq!(serde_json::from_slice::<Configuration>(&text).unwrap(), second);
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_due_again_until_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state");
        let mut file = ConfigurationFile::new(Some(&place), "orders-1").unwrap();
        let given = configuration(&[("a", "1")]);
        assert!(file.put(&given).is_err(), "there is no such folder");
        file.is_due_again().await;
        std::fs::create_dir(&place).unwrap();
        assert_eq!(file.put(&given).unwrap(), Some(vec!["a".to_owned()]));
        assert!(tokio::time::timeout(AGAIN_AFTER * 10, file.is_due_again()).await.is_err());
    }

    #[test]
    fn without_a_folder_the_file_goes_with_the_sidecar() {
        let mut file = ConfigurationFile::new(None, "orders-1").unwrap();
        file.put(&Configuration::new()).unwrap();
        let path = file.path().to_owned();
        assert!(path.is_file());
        drop(file);
        assert!(!path.exists());
    }
}
