//! A git repository as a source of configuration: which ways to one there are, and which settings belong to which.

use std::time::Duration;

use super::config_server::{credentials, search_paths};
use super::{address, process};
use crate::{Fault, Faults, GitSource, SshConfig};

/// How a repository can be named.
const FORMS: &str =
    "a path of this machine, `file:///…`, `https://…`, `http://…`, `ssh://git@host/path` or `git@host:path`";

/// The way to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Disk,
    Http,
    Https,
    Ssh,
}

pub(super) fn faults(git: &GitSource) -> Faults {
    let mut faults = Faults::default();
    match way(&git.uri) {
        Ok(way) => faults.0.extend(misplaced(git, way).0),
        Err(fault) => faults.push(fault.under("uri")),
    }
    if git.default_label.is_empty() {
        faults.push(Fault::new("default_label", "the label is empty").hint("such as `main`"));
    }
    for (index, pattern) in git.patterns.iter().enumerate() {
        let is_sound = pattern.split('/').all(|part| !part.is_empty()) && pattern.split('/').count() <= 2;
        if !is_sound || pattern.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
            let fault =
                Fault::new(format!("patterns[{index}]"), "this is no application, nor one with a profile");
            faults.push(fault.hint("such as `pay*`, `*/prod` or `pay/dev`"));
        }
    }
    faults.add("search_paths", search_paths(&git.search_paths));
    faults.add("credentials", credentials(git.credentials.as_ref()));
    faults.add("ca_file", git.ca_file.as_deref().and_then(process::folder));
    faults.add("ssh", git.ssh.as_ref().map(ssh).unwrap_or_default());
    if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&git.fetch_every.get()) {
        faults.push(Fault::new("fetch_every", "it is 1s to 24h"));
    }
    faults
}

/// Settings that say nothing for this way: whoever wrote them believes in something that is not so.
fn misplaced(git: &GitSource, way: Way) -> Faults {
    let mut faults = Faults::default();
    if git.credentials.is_some() && !matches!(way, Way::Http | Way::Https) {
        let fault = Fault::new("credentials", "only `https://` and `http://` take a name and a password");
        faults.push(fault.hint("take them away; `ssh` has `ssh.key_file`"));
    }
    if git.ca_file.is_some() && way != Way::Https {
        faults.push(Fault::new("ca_file", "only `https://` shows a certificate").hint("take it away"));
    }
    if git.ssh.is_some() && way != Way::Ssh {
        let fault = Fault::new("ssh", "the repository is not reached by `ssh`");
        faults.push(fault.hint("take it away, or name the repository as `ssh://git@host/path`"));
    }
    faults
}

fn ssh(config: &SshConfig) -> Faults {
    let mut faults = Faults::default();
    faults.add("program", process::folder(&config.program));
    faults.add("key_file", config.key_file.as_deref().and_then(process::folder));
    faults.add("known_hosts_file", config.known_hosts_file.as_deref().and_then(process::folder));
    faults
}

/// Paths and URLs that a repository can be read from. Others exist (git), and are refused by name.
fn way(uri: &str) -> Result<Way, Fault> {
    if uri.is_empty() || uri.chars().any(char::is_control) {
        return Err(Fault::new("", "this names no repository").hint(FORMS));
    }
    if uri.contains(['{', '}']) {
        let fault = Fault::new("", "there are no placeholders in the place of a repository");
        return Err(fault.hint("write a source for each repository, with `patterns`, or use `search_paths`"));
    }
    if let Some(path) = uri.strip_prefix("file://") {
        let fault = || Fault::new("", "a file URL has an absolute path").hint("such as `file:///srv/config`");
        return path.starts_with('/').then_some(Way::Disk).ok_or_else(fault);
    }
    if uri.starts_with("https://") || uri.starts_with("http://") {
        return match address::url(uri, &["https", "http"]) {
            Ok(url) if url.scheme == "https" => Ok(Way::Https),
            Ok(_) => Ok(Way::Http),
            Err(fault) if uri.contains('@') => Err(fault.hint("give them as `credentials`")),
            Err(fault) => Err(fault),
        };
    }
    if let Some(rest) = uri.strip_prefix("ssh://") {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        return destination(authority, path, true);
    }
    match uri.split_once(':') {
        Some((_, rest)) if rest.starts_with("//") => {
            Err(Fault::new("", "a repository cannot be reached in this way").hint(FORMS))
        }
        Some((host, path)) if !host.contains('/') => destination(host, path, false),
        _ => Ok(Way::Disk),
    }
}

/// What `ssh` is given stands on its command line: nothing in it may be an option.
fn destination(authority: &str, path: &str, has_port: bool) -> Result<Way, Fault> {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("git", authority));
    if user.contains(':') {
        let fault = Fault::new("", "a password cannot be given to `ssh`");
        return Err(fault.hint("take it out and name `ssh.key_file`"));
    }
    let (host, port) = match host.split_once(':') {
        Some((host, port)) if has_port => (host, port),
        _ => (host, "22"),
    };
    let is_word =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_user = !user.is_empty() && !user.starts_with('-') && is_word(user);
    let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
    if !is_user || !is_port || host.starts_with('-') || !address::is_host(host) {
        return Err(Fault::new("", "this URL names no sound user, host and port").hint(FORMS));
    }
    if path.is_empty() || path.starts_with('-') {
        return Err(Fault::new("", "the URL has no path").hint("such as `ssh://git@host/shop/config.git`"));
    }
    Ok(Way::Ssh)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::BasicCredentials;

    #[test]
    fn repositories_are_named_in_ways_that_can_be_read() {
        for (sound, expected) in [
            ("/srv/config", Way::Disk),
            ("config", Way::Disk),
            ("./a:b", Way::Disk),
            ("file:///srv/config", Way::Disk),
            ("http://git.local/cfg.git", Way::Http),
            ("https://git.local:8443/cfg.git", Way::Https),
            ("ssh://git@host/x", Way::Ssh),
            ("ssh://host:2222/~ada/x", Way::Ssh),
            ("git@host:x.git", Way::Ssh),
            ("host:x/y", Way::Ssh),
        ] {
            assert_eq!(way(sound), Ok(expected), "{sound}");
        }
        for refused in [
            "",
            "git://host/x",
            "file://x",
            "https://u:p@host/x",
            "ssh://git:p@host/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://git@-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "-l@host:y",
            "ssh://git@host",
            "ssh://git@host:0/x",
            "git@host:",
            "git@host:-x",
            "git@ho st:x",
            "a\nb",
            "https://host/{application}",
        ] {
            let fault = way(refused).expect_err(refused);
            assert!(fault.hint.is_some(), "{refused}");
            assert!(!fault.to_string().contains("u:p"), "a password is repeated");
        }
    }

    #[test]
    fn patterns_name_applications_and_profiles() {
        let mut git: GitSource =
            serde_json::from_str(r#"{"uri": "x", "patterns": ["pay*", "*/prod", "a/b"]}"#).unwrap();
        assert!(faults(&git).0.is_empty());
        git.patterns = ["", "/", "a/", "/b", "a/b/c", "a b"].map(str::to_owned).to_vec();
        assert_eq!(faults(&git).0.len(), 6);
    }

    #[test]
    fn settings_of_another_way_are_refused() {
        let mut git: GitSource = serde_json::from_str(r#"{"uri": "git@host:x"}"#).unwrap();
        git.ssh = Some(SshConfig::default());
        assert!(faults(&git).0.is_empty());
        git.ca_file = Some("ca.pem".into());
        git.credentials =
            Some(BasicCredentials { username: "a".to_owned(), password: None, password_file: None });
        assert_eq!(faults(&git).0.len(), 3, "{}", faults(&git));
        git.uri = "https://host/x".to_owned();
        git.credentials.as_mut().unwrap().password_file = Some("p".into());
        assert_eq!(faults(&git).0.len(), 1, "{}", faults(&git));
        git.ssh = None;
        assert!(faults(&git).0.is_empty());
    }
}
