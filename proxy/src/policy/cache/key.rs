//! What an answer is kept under: all that the service is told of the way a request came, but where it came from. A
//! service may write any of it into a link, so that an answer made for one host, port or scheme is none for another.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};

/// Who and what is asking; every part is in the key.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Names the route and its exact configuration, so that a changed route never gives old answers.
    pub route: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The query.
    pub query: Option<&'a str>,
    /// Issuer and subject of a verified token.
    pub identity: Option<(&'a str, &'a str)>,
    /// The request's fields as the service gets them.
    pub fields: &'a HeaderMap,
}

/// Room for the key of most requests.
const USUAL: usize = 256;

pub(super) fn key(asked: Asked<'_>, identity: Option<(&str, &str)>) -> Arc<[u8]> {
    let mut key = Key(Vec::with_capacity(USUAL));
    let (issuer, subject) = identity.unwrap_or_default();
    for part in [asked.route, issuer, subject, asked.path] {
        key.add(part.as_bytes());
    }
    match asked.query {
        Some(query) => key.add(query.as_bytes()),
        None => key.0.push(b'-'),
    }
    key.add_way(asked.fields);
    key.0.into()
}

/// Each part with its length in front, so that no choice of parts can look like another. What is no part is no digit.
struct Key(Vec<u8>);

impl Key {
    fn add(&mut self, part: &[u8]) {
        self.0.extend_from_slice(itoa::Buffer::new().format(part.len()).as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(part);
    }

    /// The same for what means the same in capitals.
    fn add_lowered(&mut self, part: &[u8]) {
        self.add(part);
        let begin = self.0.len() - part.len();
        self.0[begin..].make_ascii_lowercase();
    }

    fn add_way(&mut self, fields: &HeaderMap) {
        let mut names: Vec<&str> =
            fields.keys().map(HeaderName::as_str).filter(|name| is_told(name)).collect();
        // Fields have no order of their own.
        names.sort_unstable();
        for name in names {
            for value in fields.get_all(name) {
                self.add(name.as_bytes());
                match name {
                    "host" | "x-forwarded-host" => self.add_lowered(value.as_bytes()),
                    "forwarded" => self.add_elements(value.as_bytes()),
                    _ => self.add(value.as_bytes()),
                }
            }
        }
    }

    /// `Forwarded` (RFC 7239) without the addresses. Taken apart more bluntly than by its grammar, for some services find
    /// a `host` that quotes enclose: whatever is no plain address stays.
    fn add_elements(&mut self, list: &[u8]) {
        for element in list.split(|byte| *byte == b',') {
            let pairs = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            for pair in pairs.filter(|pair| !names_only_a_node(pair)) {
                match pair.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host=")) {
                    true => self.add_lowered(pair),
                    false => self.add(pair),
                }
            }
            self.0.push(b',');
        }
        self.0.push(b'.');
    }
}

/// Any of the kind: a proxy may say more than the usual ones, such as who its user is.
fn is_told(name: &str) -> bool {
    matches!(name, "host" | "forwarded") || (name.starts_with("x-forwarded-") && name != "x-forwarded-for")
}

/// Whether a pair of `Forwarded` says who a hop is, and cannot be read as anything beside that.
fn names_only_a_node(pair: &[u8]) -> bool {
    let Some(at) = pair.iter().position(|byte| *byte == b'=') else { return false };
    let (name, node) = (&pair[..at], &pair[at + 1..]);
    let is_quoted = node.len() > 1 && node.starts_with(b"\"") && node.ends_with(b"\"");
    let node = if is_quoted { &node[1..node.len() - 1] } else { node };
    (name.eq_ignore_ascii_case(b"for") || name.eq_ignore_ascii_case(b"by"))
        && node.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-:[]".contains(byte))
}
