//! The one canonical reading of a request's target: host, path and query as routing, cache, log and the upstream
//! all see them.

use std::borrow::Cow;

use http::header;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Version};

use crate::policy::path;
use crate::rejection::Rejection;

/// Host, path and query of a request. Cheap to make: what arrived in canonical form is not copied.
#[derive(Clone, Debug)]
pub struct Target {
    host: Host,
    written: PathAndQuery,
    /// The canonical path where the written one was not.
    path: Option<Box<str>>,
}

#[derive(Clone, Debug)]
enum Host {
    /// The `Host` field as it came, in lower case already; the host is its first bytes.
    Field(HeaderValue, usize),
    /// Any other case.
    Text(Box<str>),
}

impl Target {
    /// Reads the target of a request (RFC 9112, 3.2 and 3.3: the authority of an absolute form stands above
    /// `Host`).
    ///
    /// # Errors
    /// [`Rejection::Host`] and [`Rejection::Path`].
    pub fn read(head: &Parts) -> Result<Self, Rejection> {
        let host = match head.uri.authority() {
            Some(authority) => {
                host_field(head)?;
                Host::Text(authority.host().to_ascii_lowercase().into())
            }
            None => host_field(head)?,
        };
        let written = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("*"));
        let path = match path::canonical(written.path()).map_err(Rejection::Path)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.into()),
        };
        Ok(Self { host, written, path })
    }

    /// A stand-in for a request whose target could not be read, so that it can be logged.
    pub fn unreadable() -> Self {
        Self { host: Host::Text("".into()), written: PathAndQuery::from_static("/"), path: None }
    }

    /// The host without port, in lower case; empty when an HTTP/1.0 request named none.
    pub fn host(&self) -> &str {
        match &self.host {
            Host::Field(value, length) => {
                value.to_str().ok().and_then(|text| text.get(..*length)).unwrap_or("")
            }
            Host::Text(text) => text,
        }
    }

    /// The canonical path.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.written.path())
    }

    /// The query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.written.query()
    }

    /// Path and query for the upstream, with `path` in place of the canonical path where a route rewrote it.
    pub fn with_path(&self, path: Option<&str>) -> Option<PathAndQuery> {
        match (path, &self.path) {
            (None, None) => Some(self.written.clone()),
            (path, _) => {
                let path = path.unwrap_or(self.path());
                let text = match self.query() {
                    Some(query) => format!("{path}?{query}"),
                    None => path.to_owned(),
                };
                PathAndQuery::try_from(text).ok()
            }
        }
    }
}

fn host_field(head: &Parts) -> Result<Host, Rejection> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => parse_host(field),
        (None, _) if head.version < Version::HTTP_11 => Ok(Host::Text("".into())),
        _ => Err(Rejection::Host),
    }
}

fn parse_host(field: &HeaderValue) -> Result<Host, Rejection> {
    let text = field.to_str().map_err(|_| Rejection::Host)?;
    let length = match text.strip_prefix('[') {
        Some(rest) => rest.find(']').map(|at| at + 2).ok_or(Rejection::Host)?,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(length);
    let port_is_valid =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    if host.is_empty() || !port_is_valid || !host.bytes().all(plain) {
        return Err(Rejection::Host);
    }
    Ok(match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Host::Text(host.to_ascii_lowercase().into()),
        false => Host::Field(field.clone(), length),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::Request;

    use super::*;

    fn read(target: &str, hosts: &[&str]) -> Result<(String, String), Rejection> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        let target = Target::read(&request.body(()).unwrap().into_parts().0)?;
        Ok((target.host().to_owned(), target.path().to_owned()))
    }

    #[test]
    fn hosts_have_one_reading() {
        for (target, hosts, expected) in [
            ("/p", vec!["Shop.Example:8080"], Some("shop.example")),
            ("/p", vec!["shop.example"], Some("shop.example")),
            ("/p", vec!["[::1]:80"], Some("[::1]")),
            ("http://Products/p", vec!["other"], Some("products")),
            ("/p", vec![], None),
            ("/p", vec!["a", "a"], None),
            ("http://products/p", vec!["a", "b"], None),
            ("/p", vec![""], None),
            ("/p", vec!["a:b"], None),
            ("/p", vec!["a:99999"], None),
            ("/p", vec!["user@a"], None),
            ("/p", vec!["a,b"], None),
            ("/p", vec!["a b"], None),
            ("/p", vec!["[::1"], None),
        ] {
            let read = read(target, &hosts);
            assert_eq!(read.as_ref().ok().map(|(host, _)| host.as_str()), expected, "{target} {hosts:?}");
        }
    }

    #[test]
    fn the_canonical_path_is_what_is_forwarded() {
        let request = Request::builder().uri("/%70roducts?a=%2f").header("host", "a").body(()).unwrap();
        let target = Target::read(&request.into_parts().0).unwrap();
        assert_eq!(target.path(), "/products");
        assert_eq!(target.with_path(None).unwrap(), "/products?a=%2f");
        assert_eq!(target.with_path(Some("/x")).unwrap(), "/x?a=%2f");
    }
}
