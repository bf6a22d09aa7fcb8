//! Where routes lead: services of a registry (`lb://`), and services with fixed addresses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::predicates::Refused;
use crate::{EndpointAddress, check};

/// The services with fixed addresses, by name.
#[derive(Debug, Default)]
pub(super) struct Services(BTreeMap<String, Fixed>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fixed {
    endpoint: String,
    is_tls: bool,
}

/// Where one route leads.
pub(super) struct Destination {
    pub(super) service: String,
    /// The registry knows its instances.
    pub(super) is_balanced: bool,
    /// The address names WebSocket.
    pub(super) is_socket: bool,
    /// What of the address is not used.
    pub(super) note: Option<String>,
}

impl Services {
    /// Reads a route's `uri`.
    ///
    /// # Errors
    /// Why it leads nowhere here.
    pub(super) fn destination(&mut self, uri: &str) -> Result<Destination, Refused> {
        // What stands before `@` may be a password, and is used neither there nor here.
        let uri = &match (uri.find("//"), uri.rfind('@')) {
            (Some(start), Some(end)) if start < end => format!("{}//{}", &uri[..start], &uri[end + 1..]),
            _ => uri.to_owned(),
        };
        let refused = |what: &str, instead: &str| Err((format!("`uri: {uri}`: {what}"), instead.to_owned()));
        let Some((scheme, rest)) = uri.split_once(':') else {
            return refused("it has no scheme", "write `http://host:port` or `lb://service`");
        };
        let (scheme, rest, is_balanced) = match scheme.to_ascii_lowercase().as_str() {
            "lb" => match rest.split_once("://") {
                Some((inner, rest)) => (inner.to_ascii_lowercase(), rest, true),
                None => ("http".to_owned(), rest, true),
            },
            other => (other.to_owned(), rest, false),
        };
        let authority = rest.trim_start_matches('/');
        let (authority, path) =
            authority.split_at(authority.find(['/', '?', '#']).unwrap_or(authority.len()));
        let note = (!matches!(path, "" | "/"))
            .then(|| format!("`uri: {uri}`: what follows the host is not used, here as there"));
        let is_socket = matches!(scheme.as_str(), "ws" | "wss");
        let service = match (is_balanced, scheme.as_str()) {
            (true, "http" | "https" | "ws" | "wss") => registered(authority)?,
            (false, "http" | "ws") => self.fixed(authority, 80, false)?,
            (false, "https" | "wss") => self.fixed(authority, 443, true)?,
            _ => {
                let instead = "every route leads to a service by HTTP: `http://`, `https://`, `ws://`, `wss://`, `lb://`";
                return refused("there is nothing like this scheme", instead);
            }
        };
        Ok(Destination { service, is_balanced, is_socket, note })
    }

    fn fixed(&mut self, authority: &str, port: u16, is_tls: bool) -> Result<String, Refused> {
        let host = authority;
        let has_port =
            host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let endpoint = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        if let Err(fault) = endpoint.parse::<EndpointAddress>() {
            return Err((fault.problem, "write a host name or an IP address, and a port".to_owned()));
        }
        let wanted = Fixed { endpoint, is_tls };
        let name = name_of(&wanted.endpoint);
        let mut candidates =
            std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
        let free = |candidate: &String| self.0.get(candidate).is_none_or(|known| *known == wanted);
        let name = candidates.find(free).unwrap_or(name);
        self.0.insert(name.clone(), wanted);
        Ok(name)
    }

    /// The section of those that are used.
    pub(super) fn written<'u>(&self, used: impl Iterator<Item = &'u str>) -> Value {
        let used: BTreeSet<&str> = used.collect();
        let shown = self.0.iter().filter(|(name, _)| used.contains(name.as_str())).map(|(name, fixed)| {
            let mut service = json!({"endpoints": [fixed.endpoint]});
            if fixed.is_tls {
                service["tls"] = json!({});
            }
            (name.clone(), service)
        });
        Value::Object(shown.collect::<Map<_, _>>())
    }
}

/// The name of a service in the registry, where case means nothing.
fn registered(authority: &str) -> Result<String, Refused> {
    let name = authority.to_ascii_lowercase();
    match check::service_name(&name) {
        None => Ok(name),
        Some(fault) => Err((
            format!("`lb://{authority}`: {}", fault.problem),
            "register the service under a name of `a-z 0-9 -`".to_owned(),
        )),
    }
}

/// A name made from an address.
fn name_of(endpoint: &str) -> String {
    let letter =
        |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = endpoint.chars().map(letter).collect();
    let name = name.trim_matches('-');
    let name = if name.starts_with(|first: char| first.is_ascii_lowercase()) {
        name.to_owned()
    } else {
        format!("at-{name}")
    };
    name.chars().take(60).collect::<String>().trim_end_matches('-').to_owned()
}
