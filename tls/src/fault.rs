//! Every way a TLS handshake can fail, told apart by whose certificate or bytes were at fault.

use std::io;

use rustls::Error as TlsError;

use super::identity::IdentityFault;

/// Why a client's handshake failed. The texts hold nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum AcceptFault {
    /// The connection broke, or was closed half-way.
    #[error("the connection broke during the handshake: {0}")]
    Io(io::Error),
    /// What came is not TLS, or nothing both sides speak was found (RFC 8446, 6.2).
    #[error("no TLS session could be agreed on: {0}")]
    Protocol(String),
    /// The client's certificate is missing, or is not accepted.
    #[error("the client's certificate is not accepted: {0}")]
    Certificate(String),
    /// The client's certificate is verified, but cannot be told to anybody safely.
    #[error("the client's certificate is not accepted: {0}")]
    Identity(#[from] IdentityFault),
}

impl AcceptFault {
    /// One word for logs and metrics: `connection`, `protocol` or `certificate`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Io(_) => "connection",
            Self::Protocol(_) => "protocol",
            Self::Certificate(_) | Self::Identity(_) => "certificate",
        }
    }
}

impl From<io::Error> for AcceptFault {
    fn from(fault: io::Error) -> Self {
        match tls_fault(&fault) {
            None => Self::Io(fault),
            Some(tls) if is_about_certificate(tls) => Self::Certificate(tls.to_string()),
            Some(tls) => Self::Protocol(tls.to_string()),
        }
    }
}

/// Why a handshake with an instance failed. The texts hold nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFault {
    /// The connection broke, or was closed half-way.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(io::Error),
    /// What came is not TLS, or nothing both sides speak was found.
    #[error("no TLS session could be agreed on: {0}")]
    Protocol(String),
    /// The instance's certificate does not verify.
    #[error("the instance's certificate is not accepted: {0}")]
    Certificate(String),
    /// Nothing says which name the instance's certificate should have.
    #[error("`{0}` is no name that a certificate can have; set `tls.server_name` of the service")]
    Name(String),
}

impl ConnectFault {
    /// The type of error as RFC 9209, 2.3 names it: `tls_certificate_error`, `tls_protocol_error` or
    /// `connection_terminated`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Io(_) => "connection_terminated",
            Self::Protocol(_) => "tls_protocol_error",
            Self::Certificate(_) | Self::Name(_) => "tls_certificate_error",
        }
    }
}

impl From<io::Error> for ConnectFault {
    fn from(fault: io::Error) -> Self {
        match tls_fault(&fault) {
            None => Self::Io(fault),
            Some(tls) if is_about_certificate(tls) => Self::Certificate(tls.to_string()),
            Some(tls) => Self::Protocol(tls.to_string()),
        }
    }
}

/// tokio-rustls hands faults of rustls out inside those of I/O.
fn tls_fault(fault: &io::Error) -> Option<&TlsError> {
    fault.get_ref()?.downcast_ref::<TlsError>()
}

fn is_about_certificate(fault: &TlsError) -> bool {
    matches!(fault, TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented)
}
