//! Greets instances. Their certificates are always verified; there is no way to turn that off.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use portreeve_config::{Alpn, Fault, Faults, UpstreamProtocol, UpstreamTls};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, TlsStream};

use super::certificates::{self, noted};
use super::fault::ConnectFault;
use super::files::{Digest, Files};
use super::{agreed, provider, wire_name};

/// Names of instances whose sessions are kept to go on with, the latest ones.
const SESSIONS: usize = 256;

/// Makes TLS connections to the instances of a service; all workers share its sessions.
///
/// Connectors are equal when they were made from the same settings and the same content of files: an equal one can stay
/// in use, with the sessions it has.
pub struct Connector {
    settings: UpstreamTls,
    protocol: UpstreamProtocol,
    files: Digest,
    name: Option<ServerName<'static>>,
    config: Arc<ClientConfig>,
    /// The same without HTTP/2, where HTTP/1.1 may be spoken.
    without_h2: Arc<ClientConfig>,
}

impl Connector {
    /// Reads the files that `settings` names; `protocol` decides what ALPN offers.
    ///
    /// # Errors
    /// Every fault of the settings and their files, with its place in the settings (`ca`, `certificate`, `key`,
    /// `server_name`).
    pub fn new(settings: &UpstreamTls, protocol: UpstreamProtocol) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let paths = [&settings.ca, &settings.certificate, &settings.key];
        let files = Files::read(paths.into_iter().flatten().map(|path| path.as_path()));
        let authorities = noted(&mut faults, "ca", authorities(settings.ca.as_deref(), &files));
        let own = noted(&mut faults, "", own(settings, &files));
        let name =
            noted(&mut faults, "server_name", settings.server_name.as_deref().map(fixed_name).transpose());
        let (Some(authorities), Some(own), Some(name)) = (authorities, own, name) else { return Err(faults) };
        let config = made(authorities, own, protocol)
            .map_err(|fault| Fault::new("", format!("TLS cannot be set up: {fault}")))?;
        let config = Arc::new(config);
        let mut without_h2 = Arc::clone(&config);
        if protocol != UpstreamProtocol::Http2 {
            Arc::make_mut(&mut without_h2).alpn_protocols = offered(&[Alpn::Http11]);
        }
        Ok(Self { settings: settings.clone(), protocol, files: files.digest(), name, config, without_h2 })
    }

    /// The same trust and certificate for a library that makes its own connections, and says itself what ALPN offers.
    pub fn without_protocols(&self) -> ClientConfig {
        let mut config = (*self.config).clone();
        config.alpn_protocols.clear();
        config
    }

    /// Does the handshake on a new connection. The certificate must be for `server_name` of the settings, else for
    /// `host`: the host name, or the IP address, that led to the instance. What ALPN agreed on comes with the stream;
    /// `None` means HTTP/1.1. For a request that `switches` to another protocol HTTP/1.1 is agreed on where it may be. It
    /// takes as long as the instance likes: the caller sets the limit.
    ///
    /// With TLS 1.3 an instance that refuses the gateway's certificate says so only when the stream is read.
    ///
    /// # Errors
    /// Any [`ConnectFault`].
    pub async fn connect<S>(
        &self,
        socket: S,
        host: &str,
        switches: bool,
    ) -> Result<(TlsStream<S>, Option<Alpn>), ConnectFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).ok_or_else(|| ConnectFault::Name(host.to_owned()))?,
        };
        let config = if switches { &self.without_h2 } else { &self.config };
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, socket).await?;
        let agreed = agreed(stream.get_ref().1.alpn_protocol());
        // RFC 9113, 3.2: over TLS nobody may speak HTTP/2 without having agreed on it.
        if self.protocol == UpstreamProtocol::Http2 && agreed != Some(Alpn::H2) {
            return Err(ConnectFault::Protocol("the instance did not agree to HTTP/2".to_owned()));
        }
        Ok((TlsStream::Client(stream), agreed))
    }
}

/// The trust of a client that knows the public authorities only, for a library that makes its own connections, and says
/// itself what ALPN offers.
///
/// # Errors
/// What rustls says when it cannot be set up.
pub fn trusting_the_public() -> Result<ClientConfig, rustls::Error> {
    let mut config = made(public(), None, UpstreamProtocol::Http1)?;
    config.alpn_protocols.clear();
    Ok(config)
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        (&self.settings, self.protocol, self.files) == (&other.settings, other.protocol, other.files)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn made(
    authorities: RootCertStore,
    own: Option<CertifiedKey>,
    protocol: UpstreamProtocol,
) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let builder = builder.with_root_certificates(authorities);
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = offered(match protocol {
        UpstreamProtocol::Auto => &[Alpn::H2, Alpn::Http11],
        UpstreamProtocol::Http1 => &[Alpn::Http11],
        UpstreamProtocol::Http2 => &[Alpn::H2],
    });
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

fn offered(protocols: &[Alpn]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| wire_name(*protocol).to_vec()).collect()
}

fn authorities(path: Option<&Path>, files: &Files) -> Result<RootCertStore, Faults> {
    match path {
        Some(path) => Ok(certificates::authorities(files, path)?),
        None => Ok(public()),
    }
}

fn public() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn own(settings: &UpstreamTls, files: &Files) -> Result<Option<CertifiedKey>, Faults> {
    match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => certificates::pair(files, certificate, key).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Fault::new("key", "the certificate has no key").hint("give `key` too").into()),
        (None, Some(_)) => {
            Err(Fault::new("certificate", "the key has no certificate").hint("give `certificate` too").into())
        }
    }
}

fn fixed_name(name: &str) -> Result<ServerName<'static>, Faults> {
    let fault = || Fault::new("", format!("`{name}` is neither a host name nor an IP address"));
    server_name(name)
        .ok_or_else(|| fault().hint("give the name that the certificate has, without a port").into())
}

/// A name at its end may have a dot in DNS, but not in a certificate.
fn server_name(name: &str) -> Option<ServerName<'static>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name).ok().map(|name| name.to_owned())
}
