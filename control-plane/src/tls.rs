//! TLS of the control plane's listeners: made from its settings, and a handshake that ends well or with a word to the
//! client and a line in the log.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portreeve_config::{
    Alpn, CertificateConfig, ClientAuth, ClientAuthMode, ControlPlaneConfig, ControlPlaneTls, Fault, Faults,
    TlsConfig,
};
use portreeve_tls::{AcceptFault, Acceptor, Tickets};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a client may take to greet.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client that is refused may take to hear why. Closed at once, a connection on which something unread has
/// come takes the last words with it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a client hears that speaks plain HTTP.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: 117\r\n\
connection: close\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\
\"detail\":\"TLS is spoken here: use https:// in the address\"}\n";

/// What greets the clients of the own API, of Eureka and of the config server; `None` for plain text. Listeners with the
/// same settings share theirs.
///
/// # Errors
/// Every fault of the files, with its place in the document (`eureka.tls.key`).
pub(crate) fn acceptors(config: &ControlPlaneConfig) -> Result<[Option<Acceptor>; 3], Faults> {
    let tickets = Tickets::new();
    let mut faults = Faults::default();
    let mut made: Vec<(&ControlPlaneTls, Option<Acceptor>)> = Vec::new();
    let wanted = [
        ("tls", config.tls.as_ref()),
        ("eureka.tls", config.eureka_tls()),
        ("config_server.tls", config.config_server_tls()),
    ];
    let acceptors = wanted.map(|(place, settings)| {
        let settings = settings?;
        if let Some((_, acceptor)) = made.iter().find(|(known, _)| *known == settings) {
            return acceptor.clone();
        }
        let acceptor = acceptor(settings, &tickets).map_err(|found| faults.add(place, found)).ok();
        made.push((settings, acceptor.clone()));
        acceptor
    });
    faults.into_result(acceptors)
}

/// # Errors
/// Every fault of the files, with its place in the settings (`key`).
fn acceptor(settings: &ControlPlaneTls, tickets: &Tickets) -> Result<Acceptor, Faults> {
    let certificate = CertificateConfig {
        certificate: settings.certificate.clone(),
        key: settings.key.clone(),
        ocsp: None,
    };
    let client_auth = settings.client_ca.clone().map(|ca| ClientAuth { ca, mode: ClientAuthMode::Required });
    let settings = TlsConfig {
        certificates: vec![certificate],
        min_version: settings.min_version,
        client_auth,
        alpn: vec![Alpn::Http11],
    };
    Acceptor::new(&settings, tickets).map_err(|faults| Faults(faults.0.into_iter().map(placed).collect()))
}

/// As the control plane's document calls it.
fn placed(mut fault: Fault) -> Fault {
    for (theirs, ours) in [("certificates[0].", ""), ("client_auth.ca", "client_ca")] {
        if let Some(rest) = fault.path.strip_prefix(theirs) {
            fault.path = format!("{ours}{rest}");
        }
    }
    fault
}

/// Does the handshake; `None` when there is nobody to serve, which has been said then.
pub(crate) async fn greet(
    acceptor: &Acceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    let deadline = Instant::now() + HANDSHAKE;
    let mut first = [0];
    match timeout_at(deadline, stream.peek(&mut first)).await {
        // A method (RFC 9110, 9.1); a greeting begins with 22.
        Ok(Ok(1..)) if first[0].is_ascii_uppercase() => {
            tracing::warn!(%peer, "a client speaks plain HTTP where TLS is spoken; it was told to use https://");
            farewell(stream, PLAIN).await;
            return None;
        }
        Ok(Ok(1..)) => {}
        // Balancers look in like this to see whether somebody is there.
        Ok(_) => return None,
        Err(_) => return late(peer),
    }
    match timeout_at(deadline, acceptor.try_accept(stream)).await {
        Ok(Ok((stream, _))) => Some(stream),
        Ok(Err((fault, left))) => {
            match fault {
                AcceptFault::Certificate(_) | AcceptFault::Identity(_) => {
                    tracing::warn!(%peer, %fault, "a client was refused");
                }
                AcceptFault::Io(_) | AcceptFault::Protocol(_) => {
                    tracing::debug!(%peer, %fault, "a client was refused");
                }
            }
            if let Some(stream) = left {
                farewell(stream, b"").await;
            }
            None
        }
        Err(_) => late(peer),
    }
}

fn late<T>(peer: SocketAddr) -> Option<T> {
    tracing::debug!(%peer, "a client did not greet within {HANDSHAKE:?}");
    None
}

/// Says the last words, and takes what is still coming for a while.
async fn farewell(mut stream: TcpStream, words: &[u8]) {
    let heard_out = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that has gone by itself has heard enough.
    let _ = timeout(FAREWELL, heard_out).await;
}
