//! Where a request came from, as the next hop is told: by `Forwarded` (RFC 7239), `X-Forwarded-*` and
//! `X-Client-Cert-*`. A client's own word on it never gets through, in whatever spelling.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::chain::{self, Chain};
use crate::plane::TrustedProxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CERTIFICATE_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const CERTIFICATE_NAMES: HeaderName = HeaderName::from_static("x-client-cert-san");
const CERTIFICATE_FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");
const UNKNOWN: HeaderValue = HeaderValue::from_static("unknown");

/// What is said to the next hop about where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// The peer is a client: its own word is dropped and replaced by what the socket says, unless it is a trusted proxy.
    Replace,
    /// The peer is a gateway or the service itself (a sidecar's case): the fields pass unchanged.
    Keep,
}

/// Whether a field speaks of where a request came from, also in a spelling that a service behind CGI or WSGI could not
/// tell from it (`X_Forwarded_For`): to them every character but letters and digits is the same.
pub fn is_about_origin(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    match name.first() {
        Some(b'x') => {
            begins_with(name, b"x-forwarded-")
                || begins_with(name, b"x-client-cert")
                || (name.len() == 9 && begins_with(name, b"x-real-ip"))
                || (name.len() == 12 && begins_with(name, b"x-request-id"))
        }
        Some(b'f') => name == b"forwarded",
        _ => false,
    }
}

/// Whether a trusted proxy's word is taken for this field: by its own spelling only, for proxies pass on others as
/// their client sent them.
pub fn is_believable(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.strip_prefix("x-forwarded-") {
        Some(rest) => rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
        None => matches!(name, "forwarded" | "x-request-id"),
    }
}

/// `prefix` in lower case, with `-` for any character that is neither letter nor digit.
fn begins_with(name: &[u8], prefix: &[u8]) -> bool {
    let same =
        |(given, wanted): (&u8, &u8)| given == wanted || (*wanted == b'-' && !given.is_ascii_alphanumeric());
    name.len() >= prefix.len() && name.iter().zip(prefix).all(same)
}

/// How a client's connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// The name in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }
}

/// The verified certificate of a client, as field values.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    subject: HeaderValue,
    names: Option<HeaderValue>,
    fingerprint: HeaderValue,
}

impl ClientCertificate {
    /// `subject` as RFC 4514 writes it, the alternative names, and the SHA-256 of the DER form in hexadecimal. What is
    /// not visible ASCII or a space is percent-encoded, and so are a name's own commas: they stand between names.
    pub fn new<N: Display>(subject: &str, names: impl IntoIterator<Item = N>, fingerprint: &str) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| encoded(&name.to_string(), b',')).collect();
        Self {
            subject: value(encoded(subject, b'%')),
            names: (!names.is_empty()).then(|| value(names.join(","))),
            fingerprint: value(encoded(fingerprint, b'%')),
        }
    }
}

fn encoded(text: &str, but: u8) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' && byte != but => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A value of visible ASCII and spaces, which cannot fail.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(UNKNOWN)
}

/// The other end of a client's connection, with all that is the same for every request of it as field values: made once
/// for all of them.
#[derive(Debug)]
pub struct Peer {
    /// The address, of the client itself where a PROXY header named it. An IPv4 one is never wrapped in IPv6. `None`
    /// for a Unix socket.
    pub address: Option<IpAddr>,
    scheme: Scheme,
    text: HeaderValue,
    certificate: Option<ClientCertificate>,
    /// What the last list of proxies said of it: twice the number of that list, and one more when it is on it.
    verdict: AtomicU64,
    /// The first host that was asked for, and the element of `Forwarded` with it: nearly always the only one.
    element: OnceLock<(Option<HeaderValue>, HeaderValue)>,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::new(Some(address), Scheme::Http)
    }
}

impl Peer {
    /// A peer by its address, `None` for a Unix socket, and how its connection is protected.
    pub fn new(address: Option<IpAddr>, scheme: Scheme) -> Self {
        let address = address.map(|address| address.to_canonical());
        Self {
            address,
            scheme,
            text: address.map_or(UNKNOWN, |address| value(address.to_string())),
            certificate: None,
            verdict: AtomicU64::new(0),
            element: OnceLock::new(),
        }
    }

    /// The same peer with the certificate that it showed and that was verified.
    #[must_use]
    pub fn with_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Whether it is a proxy whose word is taken. A list is asked once a connection.
    pub fn is_trusted(&self, proxies: &TrustedProxies) -> bool {
        let networks = proxies.networks();
        if networks.is_empty() {
            return false;
        }
        let known = self.verdict.load(Ordering::Relaxed);
        if known >> 1 == proxies.number() {
            return known & 1 == 1;
        }
        let is_trusted = self.address.is_some_and(|address| networks.contains(address));
        self.verdict.store(proxies.number() << 1 | u64::from(is_trusted), Ordering::Relaxed);
        is_trusted
    }

    /// Says where the request came from, when the peer is the client: `headers` hold no word of its own any more.
    pub fn name_origin(&self, headers: &mut HeaderMap, host: Option<&HeaderValue>) {
        headers.insert(FORWARDED_PROTO, self.scheme.value());
        headers.insert(FORWARDED_FOR, self.text.clone());
        if let Some(host) = host {
            headers.insert(FORWARDED_HOST, host.clone());
        }
        headers.insert(header::FORWARDED, self.element(host));
        self.name_certificate(headers);
    }

    /// Adds this hop to what a trusted proxy says. Returns the client: the last address that is not a trusted
    /// proxy's own.
    pub fn extend_origin(
        &self,
        headers: &mut HeaderMap,
        host: Option<&HeaderValue>,
        proxies: &TrustedProxies,
    ) -> Option<IpAddr> {
        let chain = Chain::read(headers, &FORWARDED_FOR);
        headers.insert(FORWARDED_FOR, behind(&chain.list, &self.text));
        headers.insert(header::FORWARDED, behind(&chain.elements, &self.element(host)));
        if !is_one_of(headers, &FORWARDED_PROTO, |proto| matches!(proto, b"http" | b"https")) {
            headers.insert(FORWARDED_PROTO, self.scheme.value());
        }
        if !is_one_of(headers, &FORWARDED_HOST, |host| !host.is_empty()) {
            match host {
                Some(host) => headers.insert(FORWARDED_HOST, host.clone()),
                None => headers.remove(FORWARDED_HOST),
            };
        }
        self.name_certificate(headers);
        chain.client(self.address, proxies.networks())
    }

    fn name_certificate(&self, headers: &mut HeaderMap) {
        let Some(certificate) = &self.certificate else { return };
        headers.insert(CERTIFICATE_SUBJECT, certificate.subject.clone());
        headers.insert(CERTIFICATE_FINGERPRINT, certificate.fingerprint.clone());
        if let Some(names) = &certificate.names {
            headers.insert(CERTIFICATE_NAMES, names.clone());
        }
    }

    /// This hop as an element of `Forwarded` (RFC 7239, 4).
    fn element(&self, host: Option<&HeaderValue>) -> HeaderValue {
        // A copy: the request's own host holds on to all that was read with it, for as long as the connection lives.
        let copied = || host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        let (known, element) = self.element.get_or_init(|| (copied(), self.new_element(host)));
        if known.as_ref() == host { element.clone() } else { self.new_element(host) }
    }

    fn new_element(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let mut text = chain::element_for(self.address);
        // A host was found to hold neither quotes nor backslashes before it came here.
        let host = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\']));
        if let Some(host) = host {
            let is_token = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            let quote = if is_token { "" } else { "\"" };
            text.extend([";host=", quote, host, quote]);
        }
        text.extend([";proto=", self.scheme.as_str()]);
        value(text)
    }
}

/// A list with one more member.
fn behind(list: &str, own: &HeaderValue) -> HeaderValue {
    if list.is_empty() {
        return own.clone();
    }
    let bytes = [list.as_bytes(), b", ", own.as_bytes()].concat();
    // Both parts were field values before.
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| own.clone())
}

/// Whether a field is there once, and sound.
fn is_one_of(headers: &HeaderMap, name: &HeaderName, is_sound: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(|value| is_sound(value.as_bytes())) && values.next().is_none()
}
