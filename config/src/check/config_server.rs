//! The config server's part of a control plane's document: what could never be served is refused before a file is
//! opened.

use std::time::Duration;

use super::{address, eureka, process, repository};
use crate::{
    BasicCredentials, ConfigServerConfig, ConfigSource, EncryptionConfig, Fault, Faults, RefreshConfig,
};

pub(super) fn faults(config: &ConfigServerConfig) -> Faults {
    let mut faults = Faults::default();
    faults.add("listen", address::listener(&config.listen).err());
    faults.add("path_prefix", prefix(&config.path_prefix));
    faults.add("users", eureka::users(&config.users));
    if config.sources.is_empty() {
        faults.push(Fault::new("sources", "no source is listed").hint("such as `[built_in]`"));
    }
    let built_in = |source: &&ConfigSource| matches!(source, ConfigSource::BuiltIn);
    if config.sources.iter().filter(built_in).count() > 1 {
        faults.push(Fault::new("sources", "`built_in` is there twice").hint("keep one of them"));
    }
    for (index, one) in config.sources.iter().enumerate() {
        faults.add(&format!("sources[{index}]"), source(one));
    }
    faults.add("encryption", encryption(&config.encryption));
    faults.add("refresh", refresh(&config.refresh));
    if config.monitor_secret.as_ref().is_some_and(|secret| secret.reveal().is_empty()) {
        let fault = Fault::new("monitor_secret", "anybody can sign with an empty secret");
        faults.push(fault.hint("take `monitor_secret` away, or set the variable"));
    }
    faults
}

fn prefix(prefix: &str) -> Option<Fault> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let whole = prefix.starts_with('/') && !prefix.ends_with('/') && prefix.bytes().all(sound);
    if prefix.is_empty() || whole && !prefix.contains("//") && !prefix.contains("..") {
        return None;
    }
    Some(Fault::new("", "this is not a prefix for paths").hint("such as `/config`, without a final `/`"))
}

/// What is said to others.
pub(super) fn credentials(credentials: Option<&BasicCredentials>) -> Option<Fault> {
    let credentials = credentials?;
    let sound = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    if !sound(&credentials.username) || credentials.username.contains(':') {
        let fault = Fault::new("username", "this cannot be a user name");
        return Some(fault.hint("one or more characters, without `:`"));
    }
    match (&credentials.password, &credentials.password_file) {
        (Some(password), None) => (!sound(password.reveal()))
            .then(|| Fault::new("password", "the password is empty or holds control characters")),
        (None, Some(file)) => process::folder(file).map(|fault| fault.under("password_file")),
        _ => Some(Fault::new("password", "there is one of `password` and `password_file`, and not both")),
    }
}

fn source(source: &ConfigSource) -> Faults {
    let mut faults = Faults::default();
    match source {
        ConfigSource::BuiltIn => {}
        ConfigSource::Folder(folder) => {
            faults.add("folder.path", process::folder(&folder.path));
            faults.add("folder.search_paths", search_paths(&folder.search_paths));
        }
        ConfigSource::Git(git) => faults.add("git", repository::faults(git)),
    }
    faults
}

/// Folders inside a source.
pub(super) fn search_paths(paths: &[String]) -> Faults {
    let mut faults = Faults::default();
    for (index, path) in paths.iter().enumerate() {
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        if path.is_empty() || path.starts_with('/') || hidden || path.contains('\\') {
            let fault = Fault::new(format!("[{index}]"), "this is not a folder inside the source");
            faults.push(fault.hint("such as `services/{application}`, without `..`"));
        }
    }
    faults
}

fn encryption(config: &EncryptionConfig) -> Faults {
    let mut faults = Faults::default();
    if config.key.is_some() && config.key_file.is_some() {
        faults.push(Fault::new("key_file", "`key` gives the key already").hint("keep one of them"));
    }
    if config.key.as_ref().is_some_and(|key| key.reveal().is_empty()) {
        faults.push(Fault::new("key", "the key is empty").hint("take `key` away, or set the variable"));
    }
    let salt = &config.salt;
    let sound =
        !salt.is_empty() && salt.len().is_multiple_of(2) && salt.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !sound {
        faults.push(Fault::new("salt", "the salt is not hexadecimal").hint("such as `deadbeef`"));
    }
    faults
}

fn refresh(config: &RefreshConfig) -> Faults {
    let mut faults = Faults::default();
    faults.add("credentials", credentials(config.credentials.as_ref()));
    faults.add("timeout", process::longer_than_nothing(config.timeout, Duration::from_secs(300)));
    if !(1..=1024).contains(&config.concurrency) {
        faults
            .push(Fault::new("concurrency", format!("{} at one time: it is 1 to 1024", config.concurrency)));
    }
    faults
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::Secret;

    #[test]
    fn search_paths_stay_inside() {
        assert!(search_paths(&["a/{application}".to_owned(), "*".to_owned()]).0.is_empty());
        for refused in ["", "/etc", "..", "a/../..", ".git", "a\\b"] {
            assert_eq!(search_paths(&[refused.to_owned()]).0.len(), 1, "{refused}");
        }
    }

    #[test]
    fn all_faults_come_at_once() {
        let mut config = ConfigServerConfig {
            listen: "nowhere".to_owned(),
            path_prefix: "config/".to_owned(),
            sources: Vec::new(),
            ..ConfigServerConfig::default()
        };
        config.encryption.salt = "xyz".to_owned();
        config.encryption.key = Some(Secret::default());
        config.refresh.concurrency = 0;
        config.monitor_secret = Some(Secret::default());
        assert_eq!(faults(&config).0.len(), 7);
        assert!(faults(&ConfigServerConfig::default()).0.is_empty());
    }
}
