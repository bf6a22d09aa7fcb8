//! A URL in which host and port are left open, so that all instances of an application can share it.

use serde::{Deserialize, Serialize};

/// Stand for the host and for the two ports; no URL holds these characters.
const HOST: char = '\u{1}';
const PORT: char = '\u{2}';
const SECURE_PORT: char = '\u{3}';

/// A URL without its host and port, where they are the instance's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pattern(Box<str>);

impl Pattern {
    /// `None` where the text holds control characters.
    pub(crate) fn of(url: &str, host: &str, port: u16, secure_port: u16) -> Option<Self> {
        if url.chars().any(char::is_control) {
            return None;
        }
        let Some((scheme, rest)) = url.split_once("://") else { return Some(Self(url.into())) };
        let Some(rest) = rest.strip_prefix(host) else { return Some(Self(url.into())) };
        let (number, path) = match rest.strip_prefix(':') {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None if rest.is_empty() || rest.starts_with('/') => {
                return Some(Self(format!("{scheme}://{HOST}{rest}").into()));
            }
            None => return Some(Self(url.into())),
        };
        let mark = match number {
            number if number == port.to_string() => PORT,
            number if number == secure_port.to_string() => SECURE_PORT,
            _ => return Some(Self(url.into())),
        };
        Some(Self(format!("{scheme}://{HOST}:{mark}{path}").into()))
    }

    /// The whole URL again.
    pub(crate) fn fill(&self, host: &str, port: u16, secure_port: u16) -> String {
        let mut url = String::with_capacity(self.0.len() + host.len() + 8);
        for character in self.0.chars() {
            match character {
                HOST => url.push_str(host),
                PORT => url.push_str(&port.to_string()),
                SECURE_PORT => url.push_str(&secure_port.to_string()),
                other => url.push(other),
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn every_url_comes_out_as_it_went_in() {
        for (url, shared) in [
            ("http://n1:8080/actuator/health", true),
            ("https://n1:8443/actuator/health", true),
            ("http://n1/", true),
            ("http://n1", true),
            ("http://n1:8080", true),
            ("http://n10:8080/", false),
            ("http://n1:9999/", false),
            ("http://elsewhere:8080/", false),
            ("/relative", false),
            ("", false),
        ] {
            let pattern = Pattern::of(url, "n1", 8080, 8443).unwrap();
            assert_eq!(pattern.fill("n1", 8080, 8443), url);
            assert_eq!(pattern.0.contains(HOST), shared, "{url}");
        }
        let one = Pattern::of("http://n1:8080/x", "n1", 8080, 0).unwrap();
        assert_eq!(Some(one), Pattern::of("http://n2:8081/x", "n2", 8081, 0));
        assert_eq!(Pattern::of("http://n1/\u{1}", "n1", 80, 0), None);
    }
}
