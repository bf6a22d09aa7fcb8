//! Turns files into certificates, keys and authorities, or into faults that name the file, what is wrong with it and
//! what to do.

use std::path::Path;
use std::time::SystemTime;

use portreeve_config::{CertificateConfig, Fault, Faults};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::time::Validity;

use super::files::Files;
use super::{identity, provider};

/// A certificate that can be shown, and the DNS names it has, in lower case.
pub(super) struct Shown {
    pub(super) key: CertifiedKey,
    pub(super) names: Vec<String>,
}

/// The files of one certificate. Faults have the places `certificate`, `key` and `ocsp`.
pub(super) fn shown(files: &Files, config: &CertificateConfig) -> Result<Shown, Faults> {
    let mut faults = Faults::default();
    let mut key = noted(&mut faults, "", pair(files, &config.certificate, &config.key));
    let staple = config.ocsp.as_deref().map(|path| one(staple(files, path)));
    let staple = staple.and_then(|staple| noted(&mut faults, "ocsp", staple));
    let names = key.as_ref().and_then(|key| {
        let names = key.end_entity_cert().map(|leaf| one(names(leaf, &config.certificate)));
        noted(&mut faults, "certificate", names.unwrap_or_else(|_| Ok(Vec::new())))
    });
    if let Some(key) = &mut key {
        key.ocsp = staple;
    }
    match (key, names) {
        (Some(key), Some(names)) if faults.0.is_empty() => Ok(Shown { key, names }),
        _ => Err(faults),
    }
}

/// A chain and its key, which belong together. Faults have the places `certificate` and `key`.
pub(super) fn pair(files: &Files, certificate: &Path, key: &Path) -> Result<CertifiedKey, Faults> {
    let mut faults = Faults::default();
    let chain = noted(&mut faults, "certificate", one(chain(files, certificate)));
    let private = noted(&mut faults, "key", one(private_key(files, key)));
    let (Some(chain), Some(private)) = (chain, private) else { return Err(faults) };
    let mismatch = || {
        let problem = format!(
            "the key in `{}` does not belong to the certificate in `{}`",
            key.display(),
            certificate.display()
        );
        let remedy =
            "give the key that the certificate was requested for; in its file that certificate comes first";
        Fault::new("key", problem).hint(remedy)
    };
    CertifiedKey::from_der(chain, private, &provider()).map_err(|fault| match fault {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => mismatch().into(),
        Error::InvalidCertificate(fault) => {
            let problem =
                format!("the first certificate in `{}` cannot be used: {fault}", certificate.display());
            Fault::new("certificate", problem).hint("give an X.509 certificate of version 3").into()
        }
        fault => Fault::new("key", format!("the key in `{}` cannot be used: {fault}", key.display()))
            .hint("give an ECDSA (P-256, P-384, P-521), Ed25519, or RSA key (2048 bits or more)")
            .into(),
    })
}

/// The authorities in a file. There is at least one: a store without any would be a mistake, never a wish.
pub(super) fn authorities(files: &Files, path: &Path) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    for authority in chain(files, path)? {
        store.add(authority).map_err(|fault| {
            Fault::new("", format!("a certificate in `{}` cannot be an authority: {fault}", path.display()))
                .hint("keep only certificates of authorities in this file")
        })?;
    }
    Ok(store)
}

fn chain(files: &Files, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let content = files.content(path)?;
    let chain = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|fault| not_pem(path, &fault))?;
    if chain.is_empty() {
        return Err(nothing(path, content, "certificate")
            .hint("give a file with `-----BEGIN CERTIFICATE-----` in it"));
    }
    Ok(chain)
}

fn private_key(files: &Files, path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let content = files.content(path)?;
    match PrivateKeyDer::from_pem_slice(content) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) if holds(content, b"ENCRYPTED PRIVATE KEY") => {
            Err(Fault::new("", format!("the key in `{}` is encrypted", path.display())).hint(
                "keep it without a password and readable by Portreeve only: `openssl pkey -in … -out …`",
            ))
        }
        Err(PemError::NoItemsFound) => Err(nothing(path, content, "private key")
            .hint("give a file with `-----BEGIN PRIVATE KEY-----` in it")),
        Err(fault) => Err(not_pem(path, &fault)),
    }
}

/// RFC 6960, 4.2.1: a SEQUENCE whose first element is the status; 0 is `successful`.
fn staple(files: &Files, path: &Path) -> Result<Vec<u8>, Fault> {
    let content = files.content(path)?;
    let response = AnyRef::from_der(content).ok().filter(|response| response.tag() == Tag::Sequence);
    match response.map(|response| response.value().starts_with(&[0x0a, 1, 0])) {
        Some(true) => Ok(content.to_vec()),
        Some(false) => {
            Err(Fault::new("", format!("the OCSP response in `{}` is not a successful one", path.display()))
                .hint("fetch it again: `openssl ocsp … -respout …`"))
        }
        None => Err(Fault::new("", format!("`{}` is not an OCSP response in DER", path.display()))
            .hint("give what `openssl ocsp … -respout …` writes")),
    }
}

/// The DNS names of a certificate that is to be shown. One out of its time is shown nevertheless: clients that check
/// it say so, and refusing to start would help nobody.
fn names(leaf: &[u8], path: &Path) -> Result<Vec<String>, Fault> {
    let unusable = |reason: String| {
        Fault::new("", format!("the certificate in `{}` cannot be used: {reason}", path.display()))
    };
    let certificate = Certificate::from_der(leaf).map_err(|fault| unusable(fault.to_string()))?;
    if let Some(problem) = out_of_time(certificate.tbs_certificate().validity()) {
        tracing::warn!(path = %path.display(), "{problem}");
    }
    identity::dns_names(&certificate).map_err(|fault| unusable(fault.to_string()))
}

fn out_of_time(validity: &Validity) -> Option<String> {
    let now = SystemTime::now();
    if now > validity.not_after.to_system_time() {
        return Some(format!("the certificate expired at {}; renew it", validity.not_after));
    }
    let early = now < validity.not_before.to_system_time();
    early.then(|| format!("the certificate is valid only from {}; check the clock", validity.not_before))
}

fn nothing(path: &Path, content: &[u8], what: &str) -> Fault {
    let shown = path.display();
    match holds(content, b"-----BEGIN ") {
        true => Fault::new("", format!("there is no {what} in `{shown}`")),
        false => Fault::new("", format!("`{shown}` is not PEM")),
    }
}

/// The line at fault is not told: it may be a part of a key.
fn not_pem(path: &Path, fault: &PemError) -> Fault {
    let reason = match fault {
        PemError::MissingSectionEnd { .. } => "a section has no end",
        PemError::IllegalSectionStart { .. } => "a section begins wrongly",
        PemError::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be understood",
    };
    Fault::new("", format!("`{}` is not PEM: {reason}", path.display())).hint("write the file again, whole")
}

fn holds(content: &[u8], what: &[u8]) -> bool {
    content.windows(what.len()).any(|window| window == what)
}

fn one<T>(outcome: Result<T, Fault>) -> Result<T, Faults> {
    outcome.map_err(Faults::from)
}

/// The value, or `None` with the faults kept at their place.
pub(super) fn noted<T>(faults: &mut Faults, place: &str, outcome: Result<T, Faults>) -> Option<T> {
    outcome.map_err(|found| faults.add(place, found)).ok()
}
