//! Who a certificate says its owner is, as text that is safe to hand on. Names of different kinds stay apart, and a
//! certificate whose names two readers could read differently is refused.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::der::asn1::Ia5String;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::files;

/// A client whose certificate was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject as RFC 4514 writes it, most specific part first (`CN=orders,O=Shop`); empty when it has none.
    /// Without control characters; not necessarily ASCII.
    pub subject: String,
    /// The alternative names (RFC 5280, 4.2.1.6) in the order of the certificate, but for kinds not named here.
    pub alternative_names: Vec<AlternativeName>,
    /// SHA-256 of the whole certificate in DER, as 64 lower-case hexadecimal digits.
    pub fingerprint: String,
}

/// A name from a certificate. As text `DNS:…`, `URI:…`, `email:…` or `IP:…`: the kinds are never mixed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host name, as written in the certificate.
    Dns(String),
    /// A URI, such as a SPIFFE ID.
    Uri(String),
    /// An email address.
    Email(String),
    /// An IP address.
    Ip(IpAddr),
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(out, "DNS:{name}"),
            Self::Uri(name) => write!(out, "URI:{name}"),
            Self::Email(name) => write!(out, "email:{name}"),
            Self::Ip(address) => write!(out, "IP:{address}"),
        }
    }
}

/// Why a verified certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// It isn't written as RFC 5280 wants it.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// A name with NUL or another control character, at which some readers stop.
    #[error("its {0} holds a control character")]
    ControlCharacter(&'static str),
    /// It was verified when its session began, and has expired since.
    #[error("it has expired")]
    Expired,
}

impl ClientIdentity {
    /// Reads a verified certificate. The time is checked again because a resumed session brings along the certificate
    /// it began with.
    ///
    /// # Errors
    /// Any [`IdentityFault`].
    pub(super) fn read(certificate: &[u8], now: SystemTime) -> Result<Self, IdentityFault> {
        let parsed = Certificate::from_der(certificate).map_err(malformed)?;
        if now > parsed.tbs_certificate().validity().not_after.to_system_time() {
            return Err(IdentityFault::Expired);
        }
        let mut fingerprint = String::with_capacity(64);
        for byte in files::digest(certificate) {
            // Writing to a string cannot fail.
            let _ = write!(fingerprint, "{byte:02x}");
        }
        let subject = subject(parsed.tbs_certificate().subject())?;
        Ok(Self { subject, alternative_names: alternative_names(&parsed)?, fingerprint })
    }
}

/// The DNS names of a certificate, in lower case.
pub(super) fn dns_names(certificate: &Certificate) -> Result<Vec<String>, IdentityFault> {
    let names = alternative_names(certificate)?.into_iter();
    Ok(names
        .filter_map(|name| {
            if let AlternativeName::Dns(name) = name { Some(name.to_ascii_lowercase()) } else { None }
        })
        .collect())
}

fn malformed(fault: impl fmt::Display) -> IdentityFault {
    IdentityFault::Malformed(fault.to_string())
}

fn subject(name: &Name) -> Result<String, IdentityFault> {
    // In text they would be escaped, and unescaped by who knows whom.
    let hidden = name.iter().any(|part| match part.value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String | Tag::TeletexString => {
            part.value.value().iter().any(u8::is_ascii_control)
        }
        // Written in hexadecimal.
        _ => false,
    });
    let text = name.to_string();
    if hidden || text.chars().any(char::is_control) {
        return Err(IdentityFault::ControlCharacter("subject"));
    }
    Ok(text)
}

fn alternative_names(certificate: &Certificate) -> Result<Vec<AlternativeName>, IdentityFault> {
    let Some((_, names)) =
        certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(malformed)?
    else {
        return Ok(Vec::new());
    };
    names.0.iter().filter_map(|name| alternative_name(name).transpose()).collect()
}

fn alternative_name(name: &GeneralName) -> Result<Option<AlternativeName>, IdentityFault> {
    Ok(Some(match name {
        GeneralName::DnsName(name) => AlternativeName::Dns(plain(name)?),
        GeneralName::UniformResourceIdentifier(name) => AlternativeName::Uri(plain(name)?),
        GeneralName::Rfc822Name(name) => AlternativeName::Email(plain(name)?),
        GeneralName::IpAddress(octets) => AlternativeName::Ip(address(octets.as_bytes())?),
        _ => return Ok(None),
    }))
}

fn plain(name: &Ia5String) -> Result<String, IdentityFault> {
    let name = name.as_str();
    match name.chars().any(char::is_control) {
        true => Err(IdentityFault::ControlCharacter("alternative name")),
        false => Ok(name.to_owned()),
    }
}

fn address(octets: &[u8]) -> Result<IpAddr, IdentityFault> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(Ipv4Addr::from(octets).into());
    }
    let octets =
        <[u8; 16]>::try_from(octets).map_err(|_| malformed("an IP address with neither 4 nor 16 bytes"))?;
    Ok(Ipv6Addr::from(octets).into())
}
