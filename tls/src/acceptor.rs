//! Greets clients: which certificate they get, what they must show, and what is known about them afterwards.
//! The files behind it may change at any time; a set with faults never replaces a good one.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use portreeve_config::{Alpn, ClientAuth, ClientAuthMode, Fault, Faults, TlsConfig, TlsVersion};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, ServerConnection,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::certificates::{self, noted};
use super::fault::AcceptFault;
use super::files::{Digest, Files, digest};
use super::identity::ClientIdentity;
use super::names::ByName;
use super::tickets::{Asked, Tickets};
use super::watch::watch;
use super::{agreed, provider, wire_name};

/// Tickets for one session of TLS 1.3: one for each of two connections that a client opens next.
const TICKETS: usize = 2;

/// Greets the clients of one listener. Clones are the same acceptor, for use by other workers.
#[derive(Clone)]
pub struct Acceptor {
    shared: Arc<Shared>,
}

struct Shared {
    settings: TlsConfig,
    tickets: Tickets,
    in_force: ArcSwap<ServerConfig>,
    version: AtomicU64,
    refused: AtomicU64,
    wake: OnceLock<SyncSender<()>>,
}

/// What a handshake has shown about a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What ALPN agreed on (RFC 7301); `None` when the client offered nothing: it will speak HTTP/1.
    pub alpn: Option<Alpn>,
    /// The name it asked for (SNI, RFC 6066, 3), in lower case.
    pub server_name: Option<Box<str>>,
    /// Who it is, when it showed a certificate; that one was verified.
    pub client: Option<Arc<ClientIdentity>>,
    /// Whether certificates of clients are asked for here, shown or not.
    pub asks_client: bool,
    /// The version that is spoken.
    pub version: TlsVersion,
    /// Whether an earlier session goes on.
    pub resumed: bool,
}

impl Facts {
    /// Whether a request for `host` (an authority; its port does not count) belongs on another connection, status 421
    /// (RFC 9110, 15.5.20): the client was asked for its certificate in the name of another host.
    pub fn is_misdirected(&self, host: &str) -> bool {
        let Some(name) = self.server_name.as_deref().filter(|_| self.asks_client) else { return false };
        let host = match host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => host,
        };
        let [host, name] = [host, name].map(|name| name.strip_suffix('.').unwrap_or(name));
        !host.eq_ignore_ascii_case(name)
    }
}

impl Acceptor {
    /// Reads the files that `settings` names and watches them from then on. Listeners that may go on with each other's
    /// sessions share `tickets`.
    ///
    /// # Errors
    /// Every fault of the settings and their files, with its place in the settings (`certificates[0].key`).
    pub fn new(settings: &TlsConfig, tickets: &Tickets) -> Result<Self, Faults> {
        let paths = paths(settings);
        let files = Files::read(paths.iter().map(PathBuf::as_path));
        let first = made(settings, &files, tickets)?;
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            tickets: tickets.clone(),
            in_force: ArcSwap::from_pointee(first),
            version: AtomicU64::new(1),
            refused: AtomicU64::new(0),
            wake: OnceLock::new(),
        });
        let (weak, mut seen) = (Arc::downgrade(&shared), files.digest());
        let look = {
            let paths = paths.clone();
            move || look(&weak, &paths, &mut seen)
        };
        let wake = watch(paths, look).map_err(|fault| {
            Fault::new("", format!("the files cannot be watched: {fault}")).hint("raise the limit of threads")
        })?;
        let _ = shared.wake.set(wake);
        Ok(Self { shared })
    }

    /// Does the handshake of a connection, with the certificates in force when it begins. It takes as long and reads as
    /// much as the client likes: the caller sets the limit. Data that a client sends before it is done is never read as
    /// a request.
    ///
    /// # Errors
    /// Any [`AcceptFault`]; the client has been sent an alert where that was possible.
    pub async fn accept<S>(&self, socket: S) -> Result<(TlsStream<S>, Facts), AcceptFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.try_accept(socket).await.map_err(|(fault, _)| fault)
    }

    /// As [`Acceptor::accept`], for those who see a client that is refused to the door: closed at once, a connection on
    /// which something unread has come takes the alert with it.
    ///
    /// # Errors
    /// Any [`AcceptFault`], with the socket, where it is still of use.
    pub async fn try_accept<S>(&self, socket: S) -> Result<(TlsStream<S>, Facts), (AcceptFault, Option<S>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.shared.in_force.load_full();
        let greeted = TlsAcceptor::from(config).accept(socket).into_fallible().await;
        let stream = greeted.map_err(|(fault, socket)| (fault.into(), Some(socket)))?;
        let facts = facts(stream.get_ref().1, self.shared.settings.client_auth.is_some());
        Ok((TlsStream::Server(stream), facts.map_err(|fault| (fault, None))?))
    }

    /// How often a set of files came into force, the first one included.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// How often a changed set of files had faults, so that the former one stayed.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Acceptor").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(wake) = self.wake.get() {
            // The watching thread sees that nobody is left.
            let _ = wake.try_send(());
        }
    }
}

impl Shared {
    fn replace(&self, files: &Files) {
        match made(&self.settings, files, &self.tickets) {
            Ok(config) => {
                self.in_force.store(Arc::new(config));
                let version = self.version.fetch_add(1, Ordering::AcqRel) + 1;
                tracing::info!(version, "changed certificates are in force");
            }
            Err(faults) => {
                self.refused.fetch_add(1, Ordering::AcqRel);
                tracing::error!(%faults, "changed certificates cannot be used; the former stay in force");
            }
        }
    }
}

/// One look at the files. The same content is never tried twice, so that a fault is logged once.
fn look(acceptor: &Weak<Shared>, paths: &[PathBuf], seen: &mut Digest) -> ControlFlow<()> {
    let Some(shared) = acceptor.upgrade() else { return ControlFlow::Break(()) };
    let files = Files::read(paths.iter().map(PathBuf::as_path));
    let now = files.digest();
    if std::mem::replace(seen, now) != now {
        shared.replace(&files);
    }
    ControlFlow::Continue(())
}

fn paths(settings: &TlsConfig) -> Vec<PathBuf> {
    let shown = settings.certificates.iter().flat_map(|certificate| {
        [Some(&certificate.certificate), Some(&certificate.key), certificate.ocsp.as_ref()]
    });
    let authorities = settings.client_auth.as_ref().map(|client| &client.ca);
    shown.chain([authorities]).flatten().cloned().collect()
}

fn made(settings: &TlsConfig, files: &Files, tickets: &Tickets) -> Result<ServerConfig, Faults> {
    let mut faults = Faults::default();
    let resolver = noted(&mut faults, "certificates", resolver(settings, files));
    let client = settings.client_auth.as_ref().map(|client| verifier(client, files));
    let client = match client {
        Some(client) => noted(&mut faults, "client_auth", client),
        None => Some((WebPkiClientVerifier::no_client_auth(), Asked::Nothing)),
    };
    let (Some(resolver), Some((verifier, asked))) = (resolver, client) else { return Err(faults) };
    let broken = |fault: rustls::Error| Fault::new("", format!("TLS cannot be set up: {fault}"));
    let versions: &[_] = match settings.min_version {
        TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::Tls13 => &[&version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(versions).map_err(broken)?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = settings.alpn.iter().map(|protocol| wire_name(*protocol).to_vec()).collect();
    config.ticketer = tickets.keys(asked).map_err(broken)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    // Early data can be sent again by anybody who saw it (RFC 8446, 8).
    config.max_early_data_size = 0;
    Ok(config)
}

fn verifier(client: &ClientAuth, files: &Files) -> Result<(Arc<dyn ClientCertVerifier>, Asked), Faults> {
    let authorities = certificates::authorities(files, &client.ca).map_err(|fault| fault.under("ca"))?;
    let of = digest(files.content(&client.ca)?);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider());
    let (builder, asked) = match client.mode {
        ClientAuthMode::Required => (builder, Asked::Required(of)),
        ClientAuthMode::Optional => (builder.allow_unauthenticated(), Asked::Optional(of)),
    };
    let verifier =
        builder.build().map_err(|fault| Fault::new("ca", format!("it cannot be used: {fault}")))?;
    Ok((verifier, asked))
}

fn resolver(settings: &TlsConfig, files: &Files) -> Result<Resolver, Faults> {
    let mut faults = Faults::default();
    let mut shown = Vec::new();
    for (index, certificate) in settings.certificates.iter().enumerate() {
        shown.extend(noted(&mut faults, &format!("[{index}]"), certificates::shown(files, certificate)));
    }
    if settings.certificates.is_empty() {
        faults.push(
            Fault::new("", "there is no certificate").hint("give at least one `certificate` and its `key`"),
        );
    }
    faults
        .into_result(Resolver(ByName::new(shown.into_iter().map(|shown| (Arc::new(shown.key), shown.names)))))
}

#[derive(Debug)]
struct Resolver(ByName<Arc<CertifiedKey>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fitting = self.0.pick(hello.server_name());
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        match fitting {
            [only] => Some(Arc::clone(only)),
            // Certificates with the same name and other kinds of keys: the first that the client can check.
            several => several.iter().find(usable).or(several.first()).cloned(),
        }
    }
}

fn facts(connection: &ServerConnection, asks_client: bool) -> Result<Facts, AcceptFault> {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    let client = leaf.map(|leaf| ClientIdentity::read(leaf, SystemTime::now())).transpose()?;
    let is_new = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    Ok(Facts {
        alpn: agreed(connection.alpn_protocol()),
        server_name: connection.server_name().map(Box::from),
        client: client.map(Arc::new),
        asks_client,
        version: if is_new { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    })
}
