//! The header fields of a message on its way through: what ends here, what is added, what a route changes.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use portreeve_config::{Fault, Faults, HeaderOps};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is said to the next hop about where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// The peer is a client: its own word is dropped and replaced by what the socket says.
    Replace,
    /// The peer is a gateway or the service itself (a sidecar's case): the fields pass unchanged.
    Keep,
}

/// Takes away what ends at this hop, fields named by `Connection` included. Those that every request needs
/// (`Host`, `Authorization`, lengths) cannot be named away.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| !matches!(*name, header::HOST | header::AUTHORIZATION | header::CONTENT_LENGTH))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_where(headers, is_of_one_connection);
}

/// Fields that belong to one connection and are never passed on (RFC 9110, 7.6.1).
fn is_of_one_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a message's end has one reading: no transfer coding, or plain chunks and no length beside them. Another
/// coding would reach the other side as something it was not told of, for the field that names it ends here
/// (RFC 9112, 6.1 and 6.3).
pub fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(header::CONTENT_LENGTH)
        }
        _ => false,
    }
}

/// Takes away every field whose name is one of those.
pub fn remove_where(headers: &mut HeaderMap, mut goes: impl FnMut(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether a field speaks of where a request came from, also in the spelling that a service behind CGI or WSGI
/// could not tell from it (`X_Forwarded_For`).
pub fn is_about_origin(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    let begins_with = |prefix: &[u8]| {
        text.len() >= prefix.len()
            && text
                .iter()
                .zip(prefix)
                .all(|(given, wanted)| given == wanted || (*given, *wanted) == (b'_', b'-'))
    };
    begins_with(b"x-forwarded-") || text == b"forwarded" || (text.len() == 9 && begins_with(b"x-real-ip"))
}

/// A client's address, and the same as a header field's value: made once for all requests of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address; an IPv4 one is never wrapped in IPv6.
    pub address: IpAddr,
    text: HeaderValue,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        // The text of an address is plain ASCII.
        let text = HeaderValue::try_from(address.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, text }
    }
}

/// Says where the request came from: the client's address, and what it called this gateway.
pub fn set_forwarded(headers: &mut HeaderMap, peer: &Peer, host: Option<&HeaderValue>) {
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_FOR, peer.text.clone());
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
}

/// A route's changes, compiled: `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default)]
pub struct HeaderChanges {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    /// Compiles written changes; fault paths start at the section.
    pub fn compile(ops: &HeaderOps) -> Result<Self, Faults> {
        let mut changes = Self::default();
        let mut faults = Faults::default();
        for (index, text) in ops.remove.iter().enumerate() {
            match HeaderName::from_bytes(text.as_bytes()) {
                Ok(name) => changes.remove.push(name),
                Err(_) => faults.push(bad_name(&format!("remove[{index}]"), text)),
            }
        }
        for (section, fields, list) in
            [("set", &ops.set, &mut changes.set), ("add", &ops.add, &mut changes.add)]
        {
            for (text, value) in fields {
                let place = format!("{section}.{text}");
                match (HeaderName::from_bytes(text.as_bytes()), HeaderValue::from_str(value)) {
                    (Ok(name), Ok(value)) => list.push((name, value)),
                    (Err(_), _) => faults.push(bad_name(&place, text)),
                    (_, Err(_)) => {
                        faults.push(Fault::new(place, "the value holds characters no header field can hold"))
                    }
                }
            }
        }
        faults.into_result(changes)
    }

    /// Makes the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

fn bad_name(place: &str, text: &str) -> Fault {
    Fault::new(place, format!("`{text}` is not a header field's name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_connection_end_here() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static("close, X-Secret , authorization, bad name"));
        for name in ["x-secret", "te", "upgrade", "http2-settings", "keep-alive", "authorization", "x-kept"] {
            headers.insert(name, HeaderValue::from_static("value"));
        }
        remove_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "x-kept"]);
    }

    #[test]
    fn every_spelling_of_a_claimed_origin_is_known() {
        for (name, expected) in [
            ("forwarded", true),
            ("x-forwarded-for", true),
            ("x-forwarded-anything", true),
            ("x_forwarded_for", true),
            ("x-real-ip", true),
            ("x_real-ip", true),
            ("x-real-ips", false),
            ("x-forwarded", false),
            ("forwarded-for", false),
            ("xxforwarded-for", false),
        ] {
            assert_eq!(is_about_origin(&HeaderName::from_static(name)), expected, "{name}");
        }
    }
}
