//! Every way an errand can fail, told apart by who can mend it: what the network, a certificate or a token did wrong is
//! said with the file to look at.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage};

/// Why an errand failed. The texts name the URL without credentials and query, and a remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL can't be used.
    #[error("the URL {url} cannot be used: {reason}")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No instance of the service is known now.
    #[error("no instance of the service in {url} is known: start one, or check the service's name")]
    NoInstance {
        /// The URL.
        url: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {url}: {reason}; check that it runs and can be reached from here")]
    Connect {
        /// The URL.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The answer was not complete in time.
    #[error("no complete answer from {url} within {after:?}")]
    Timeout {
        /// The URL.
        url: String,
        /// The limit.
        after: Duration,
    },
    /// The answer is larger than what is useful here.
    #[error("the answer from {url} is larger than {limit} bytes; check that this is the right address")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is not a success.
    #[error("{url} answered {status}{}", remedy(*status))]
    Status {
        /// The URL.
        url: String,
        /// Its status.
        status: StatusCode,
    },
    /// The other side's certificate is not accepted.
    #[error("the certificate of {url} is not accepted: {reason}")]
    Certificate {
        /// The URL.
        url: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The other side does not accept this one's certificate, or misses it.
    #[error(
        "{url} does not accept this side's certificate ({reason}): give a `certificate` and its `key` that it trusts"
    )]
    Refused {
        /// The URL.
        url: String,
        /// The alert it sent.
        reason: String,
    },
    /// What came is not TLS.
    #[error("{url} does not speak TLS: write `http://`, or give the server a certificate")]
    NotTls {
        /// The URL.
        url: String,
    },
    /// The token cannot be shown.
    #[error("the token in {path} cannot be used: {reason}")]
    Token {
        /// Its file.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange with {url} broke: {reason}")]
    Broken {
        /// The URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// TLS could not be set up in this process.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl FetchError {
    /// `ca` is the file whose authorities were trusted; without one it was the public ones.
    pub(super) fn broken(
        shown: &str,
        fault: &(dyn Error + 'static),
        connecting: bool,
        ca: Option<&Path>,
    ) -> Self {
        let url = shown.to_owned();
        match tls_fault(fault) {
            Some(TlsError::InvalidCertificate(fault)) => {
                return Self::Certificate { url, reason: distrust(fault, ca) };
            }
            Some(TlsError::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                return Self::NotTls { url };
            }
            Some(TlsError::AlertReceived(alert)) if is_about_certificate(*alert) => {
                return Self::Refused { url, reason: format!("{alert:?}") };
            }
            _ => {}
        }
        let mut root = fault;
        while let Some(source) = root.source() {
            root = source;
        }
        let reason = root.to_string();
        if connecting { Self::Connect { url, reason } } else { Self::Broken { url, reason } }
    }
}

/// What rustls says, which is handed on inside faults of I/O, once or twice.
fn tls_fault<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut next = Some(fault);
    while let Some(fault) = next {
        if let Some(fault) = fault.downcast_ref::<TlsError>() {
            return Some(fault);
        }
        next = match fault.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => fault.source(),
        };
    }
    None
}

fn distrust(fault: &CertificateError, ca: Option<&Path>) -> String {
    match fault {
        // A signature that does not fit is that of another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match ca {
            Some(ca) => {
                format!("no authority in {} has signed it; put the one that has there", ca.display())
            }
            None => "no public authority has signed it; name the file of the one that has (`ca`)".to_owned(),
        },
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{fault}; use a name that it has, or have one made for this name")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("{fault}; renew it there")
        }
        _ => fault.to_string(),
    }
}

/// The alerts by which certificates of clients are refused (RFC 8446, 6.2).
fn is_about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

fn remedy(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "; check who is asked, and the token that is shown"
        }
        _ if status.is_redirection() => "; redirects are not followed: give the final address",
        _ => "",
    }
}
