//! The header fields of a message on its way through: what ends here, what is added, what a route changes.

mod chain;
mod origin;
mod stamp;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use portreeve_config::{Fault, Faults, HeaderOps};

pub use origin::{ClientCertificate, Forwarding, Peer, Scheme, is_about_origin, is_believable};
pub use stamp::{REQUEST_ID, Via, add_date, sound_request_id};

/// Whether a field is there. A look at the names: most messages have few, and a search computes a hash first.
pub fn holds(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|known| known == name)
}

/// Takes away what ends at this hop: fields of one connection, those that `Connection` names, and what `also` names.
/// What every request needs, and what says where it came from, cannot be named away.
pub fn remove_hop_by_hop(headers: &mut HeaderMap, also: impl Fn(&HeaderName) -> bool) {
    if holds(headers, &header::CONNECTION) {
        let named: Vec<HeaderName> = members(headers, &header::CONNECTION)
            // The usual ones name no field, or one that goes anyway: nearly always there is nothing to collect.
            .filter(|name| !name.eq_ignore_ascii_case(b"close") && !name.eq_ignore_ascii_case(b"keep-alive"))
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .filter(|name| !stays(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_where(headers, |name| is_of_one_connection(name) || also(name));
}

fn stays(name: &HeaderName) -> bool {
    matches!(*name, header::HOST | header::AUTHORIZATION | header::CONTENT_LENGTH | header::VIA)
        || is_about_origin(name)
}

/// The members of a list field (RFC 9110, 5.6.1).
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// Fields that belong to one connection and are never passed on (RFC 9110, 7.6.1). `Trailer` is none of them: trailers
/// are passed on, and some recipients want to know of them before (RFC 9110, 6.6.2).
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
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a request says that trailers are welcome (RFC 9110, 10.1.4), which gRPC needs to get through. In HTTP/1 the
/// word counts only where `Connection` names it; HTTP/2 has no such field.
pub fn wants_trailers(headers: &HeaderMap, received: Version) -> bool {
    holds(headers, &header::TE)
        && members(headers, &header::TE).any(|member| member.eq_ignore_ascii_case(b"trailers"))
        && (received >= Version::HTTP_2
            || members(headers, &header::CONNECTION).any(|member| member.eq_ignore_ascii_case(b"te")))
}

/// Whether a message's end has one reading: no transfer coding, or plain chunks and no length beside them. Another
/// coding would reach the other side as something it was not told of, for the field that names it ends here
/// (RFC 9112, 6.1 and 6.3).
pub fn is_framed_once(headers: &HeaderMap) -> bool {
    if !holds(headers, &header::TRANSFER_ENCODING) {
        return true;
    }
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

/// Whether a field may come after the body: not one that frames or routes a message, says who sends it, or changes how
/// it is read (RFC 9110, 6.5.1).
pub fn may_trail(name: &HeaderName) -> bool {
    let text = name.as_str();
    !matches!(
        *name,
        header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONNECTION
            | header::CONTENT_ENCODING
            | header::CONTENT_LENGTH
            | header::CONTENT_RANGE
            | header::CONTENT_TYPE
            | header::COOKIE
            | header::EXPECT
            | header::HOST
            | header::MAX_FORWARDS
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
            | header::RANGE
            | header::SET_COOKIE
            | header::TE
            | header::TRAILER
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::VIA
            | header::WWW_AUTHENTICATE
    ) && !text.starts_with("if-")
        && !text.starts_with("proxy-")
        && !text.starts_with("x-b3-")
        && !matches!(text, "keep-alive" | "traceparent" | "tracestate" | "b3" | "x-request-id")
        && !is_about_origin(name)
}

/// Takes away every field whose name is one of those.
pub fn remove_where(headers: &mut HeaderMap, mut goes: impl FnMut(&HeaderName) -> bool) {
    // One by one, for there are few: a list of them would cost more than to look again.
    while let Some(name) = headers.keys().find(|name| goes(name)).cloned() {
        headers.remove(name);
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
mod tests;
