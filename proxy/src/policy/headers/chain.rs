//! What proxies in front say of a request's way: `X-Forwarded-For`, and `Forwarded` (RFC 7239) where it agrees. A proxy
//! that writes the one often passes on the other as its client sent it, so the two must name the same last hop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName};
use portreeve_config::Networks;

/// A request's way up to the peer, in both forms. A hop without an address is `None`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    hops: Vec<Option<IpAddr>>,
    /// The value of `X-Forwarded-For`; empty when nothing was said.
    pub(super) list: String,
    /// The value of `Forwarded`; empty when nothing was said.
    pub(super) elements: String,
}

impl Chain {
    /// Reads both fields. Where only one is there, or the two disagree, `X-Forwarded-For` counts and the other form is
    /// made from it.
    pub(super) fn read(headers: &HeaderMap, list: &HeaderName) -> Self {
        let list = joined(headers, list).filter(|list| !list.trim().is_empty());
        let elements = joined(headers, &header::FORWARDED);
        let by_elements = elements.as_deref().and_then(hops_of_elements).filter(|hops| !hops.is_empty());
        let by_list = list.as_deref().map(|list| list.split(',').map(|hop| address(hop.trim())).collect());
        match (by_list, by_elements) {
            (None, None) => Self { hops: Vec::new(), list: String::new(), elements: String::new() },
            (None, Some(hops)) => {
                let list: Vec<String> = hops.iter().map(|hop| text(*hop)).collect();
                Self { hops, list: list.join(", "), elements: elements.unwrap_or_default() }
            }
            (Some(hops), by_elements) => {
                let hops: Vec<Option<IpAddr>> = hops;
                let agrees = by_elements.is_some_and(|other| other.last() == hops.last());
                let made = || hops.iter().map(|hop| element_for(*hop)).collect::<Vec<_>>().join(", ");
                let elements = elements.filter(|_| agrees).unwrap_or_else(made);
                Self { hops, list: list.unwrap_or_default(), elements }
            }
        }
    }

    /// The last address that is not a trusted proxy's. What stands before a hop without an address is hearsay, so that
    /// the hop after it counts.
    pub(super) fn client(&self, peer: Option<IpAddr>, proxies: &Networks) -> Option<IpAddr> {
        let mut client = peer;
        for hop in self.hops.iter().rev() {
            let Some(address) = hop else { break };
            client = Some(*address);
            if !proxies.contains(*address) {
                break;
            }
        }
        client
    }
}

/// All lines of a field as one value (RFC 9110, 5.3); `None` when it is not there, or is not plain ASCII.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Result<Vec<&str>, _> = headers.get_all(name).iter().map(|line| line.to_str()).collect();
    lines.ok().filter(|lines| !lines.is_empty()).map(|lines| lines.join(", "))
}

fn text(hop: Option<IpAddr>) -> String {
    hop.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

/// The `for` of an element of `Forwarded` (RFC 7239, 6): an IPv6 address in brackets and quotes.
pub(super) fn element_for(hop: Option<IpAddr>) -> String {
    match hop {
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        hop => ["for=", &text(hop)].concat(),
    }
}

/// An address, also with a port behind it as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    bare().or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

/// The `for` of each element (RFC 7239, 4); `None` when the value is none.
fn hops_of_elements(value: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    for element in split(value, ',')? {
        let mut hop = None;
        for pair in split(element, ';')? {
            let (name, node) = pair.split_once('=')?;
            if name.eq_ignore_ascii_case("for") {
                hop = node_address(node.trim_matches('"'));
            }
        }
        hops.push(hop);
    }
    Some(hops)
}

/// A node (RFC 7239, 6): an address, with a port or without, in which an obfuscated port (`_x`) says nothing.
fn node_address(node: &str) -> Option<IpAddr> {
    let obfuscated = || {
        let (host, _) = node.rsplit_once(":_")?;
        host.parse::<Ipv4Addr>().map(IpAddr::V4).ok().or_else(|| address(host))
    };
    address(node).or_else(obfuscated)
}

/// The parts between separators that no quotes enclose; `None` when quotes do not end. Empty parts are left out.
fn split(value: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut begin, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, letter) in value.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            letter if letter == separator && !is_quoted => {
                parts.push(value[begin..at].trim());
                begin = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(value[begin..].trim());
    parts.retain(|part| !part.is_empty());
    (!is_quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::HeaderValue;

    use super::*;

    fn chain(list: &[&str], elements: &[&str]) -> Chain {
        let name = HeaderName::from_static("x-forwarded-for");
        let mut headers = HeaderMap::new();
        for (name, lines) in [(&name, list), (&header::FORWARDED, elements)] {
            for line in lines {
                headers.append(name, HeaderValue::from_str(line).unwrap());
            }
        }
        Chain::read(&headers, &name)
    }

    fn client(list: &[&str], elements: &[&str]) -> String {
        let proxies = Networks::parse(&["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()]).unwrap();
        let peer = "10.0.0.1".parse().unwrap();
        chain(list, elements).client(Some(peer), &proxies).unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_last_one_that_is_no_proxy() {
        for (list, elements, expected) in [
            (&[][..], &[][..], "10.0.0.1"),
            (&["192.0.2.1"], &[], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], &[], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1", "10.2.2.2,fd00::1"], &[], "192.0.2.1"),
            (&["10.9.9.9, 10.2.2.2"], &[], "10.9.9.9"),
            (&["192.0.2.1:443"], &[], "192.0.2.1"),
            (&["[2001:db8::1]:443"], &[], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], &[], "192.0.2.1"),
            (&["192.0.2.1, unknown, 10.2.2.2"], &[], "10.2.2.2"),
            (&["192.0.2.1, "], &[], "10.0.0.1"),
            (&[], &["for=192.0.2.1;proto=https, for=10.2.2.2"], "192.0.2.1"),
            (&[], &["For=\"[2001:db8::1]:_x\""], "2001:db8::1"),
            (&[], &["for=\"192.0.2.1:_x\";host=\"a,for=6.6.6.6\""], "192.0.2.1"),
            (&[], &["for=_hidden"], "10.0.0.1"),
            (&[], &["for=\"192.0.2.1"], "10.0.0.1"),
            (&["192.0.2.1"], &["for=6.6.6.6"], "192.0.2.1"),
        ] {
            assert_eq!(client(list, elements), expected, "{list:?} {elements:?}");
        }
    }

    #[test]
    fn a_form_that_is_missing_or_disagrees_is_made_from_the_other() {
        for (list, elements, expected) in [
            (&["192.0.2.1, ::1"][..], &[][..], ("192.0.2.1, ::1", "for=192.0.2.1, for=\"[::1]\"")),
            (&[], &["for=192.0.2.1", "for=_x"], ("192.0.2.1, unknown", "for=192.0.2.1, for=_x")),
            (&["192.0.2.1"], &["for=192.0.2.1;by=a"], ("192.0.2.1", "for=192.0.2.1;by=a")),
            (&["192.0.2.1"], &["for=6.6.6.6"], ("192.0.2.1", "for=192.0.2.1")),
            (&["192.0.2.1"], &["for=\"192.0.2.1"], ("192.0.2.1", "for=192.0.2.1")),
            (&[], &["nonsense"], ("", "")),
            (&[" "], &[","], ("", "")),
        ] {
            let chain = chain(list, elements);
            assert_eq!((&*chain.list, &*chain.elements), expected, "{list:?} {elements:?}");
        }
    }
}
