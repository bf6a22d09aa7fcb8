//! Whom a connector believes, what it offers, and what it shows of itself.

use std::sync::Arc;

use portreeve_config::{Alpn, ClientAuthMode, TlsConfig, UpstreamProtocol, UpstreamTls};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsStream;

use super::material::{Authority, Folder, Leaf, asking, settings};
use crate::{Acceptor, ConnectFault, Connector, Facts, Tickets};

/// An instance with a certificate, and an authority that connectors trust.
struct Instance {
    authority: Authority,
    folder: Folder,
    config: TlsConfig,
}

impl Instance {
    fn new(certificate: impl FnOnce(&Authority) -> Leaf) -> Self {
        let (authority, folder) = (Authority::new(), Folder::new());
        let config = settings(vec![folder.pair("a", &certificate(&authority))]);
        folder.write("ca.crt", &authority.pem);
        Self { authority, folder, config }
    }

    fn trusting(&self) -> UpstreamTls {
        UpstreamTls { ca: Some(self.folder.path("ca.crt")), ..UpstreamTls::default() }
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor::new(&self.config, &Tickets::new()).unwrap()
    }

    async fn met(&self, connector: &Connector, host: &str) -> Result<(Facts, HandshakeKind), ConnectFault> {
        met(&self.acceptor(), connector, host).await
    }
}

fn connector(settings: &UpstreamTls) -> Connector {
    Connector::new(settings, UpstreamProtocol::Auto).unwrap()
}

/// What the instance learns, and how the handshake went for the connector.
async fn met(
    acceptor: &Acceptor,
    connector: &Connector,
    host: &str,
) -> Result<(Facts, HandshakeKind), ConnectFault> {
    let (near, far) = duplex(64 * 1024);
    let serving = async {
        let (mut stream, facts) = acceptor.accept(far).await.ok()?;
        stream.write_all(b"x").await.ok()?;
        let _ = stream.read(&mut [0]).await;
        Some(facts)
    };
    let calling = async {
        let (mut stream, _) = connector.connect(near, host, false).await?;
        stream.read_exact(&mut [0]).await?;
        let TlsStream::Client(stream) = stream else { unreachable!() };
        Ok(stream.get_ref().1.handshake_kind().unwrap())
    };
    let (facts, kind) = tokio::join!(serving, calling);
    kind.map(|kind| (facts.unwrap(), kind))
}

#[tokio::test]
async fn a_request_that_switches_gets_http_1_where_it_may() {
    let instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    for (protocol, agreed) in
        [(UpstreamProtocol::Auto, Some(Alpn::Http11)), (UpstreamProtocol::Http2, Some(Alpn::H2))]
    {
        let connector = Connector::new(&instance.trusting(), protocol).unwrap();
        for (switches, agreed) in [(false, Some(Alpn::H2)), (true, agreed)] {
            let ((near, far), acceptor) = (duplex(64 * 1024), instance.acceptor());
            let (_served, met) =
                tokio::join!(acceptor.accept(far), connector.connect(near, "a.example", switches));
            assert_eq!(met.unwrap().1, agreed, "{protocol:?} {switches}");
        }
    }
}

#[tokio::test]
async fn the_certificate_must_be_for_the_name_or_address() {
    let instance = Instance::new(|authority| authority.leaf(&["a.example", "10.0.0.1", "::1"]));
    let by_host = connector(&instance.trusting());
    for host in ["a.example", "A.EXAMPLE", "a.example.", "10.0.0.1", "::1"] {
        let (facts, _) = instance.met(&by_host, host).await.unwrap();
        assert_eq!(
            facts.server_name.is_some(),
            host.to_lowercase().contains("example"),
            "no SNI for an address: {host}"
        );
    }
    for host in ["b.example", "10.0.0.2", "::2"] {
        let fault = instance.met(&by_host, host).await.unwrap_err();
        assert_eq!(fault.error_type(), "tls_certificate_error", "{host}: {fault}");
    }
    let fixed = UpstreamTls { server_name: Some("a.example".to_owned()), ..instance.trusting() };
    assert_eq!(
        instance.met(&connector(&fixed), "10.9.9.9").await.unwrap().0.server_name.as_deref(),
        Some("a.example")
    );
    for host in ["", "a b", "/run/shop.sock"] {
        let fault = instance.met(&by_host, host).await.unwrap_err();
        assert!(matches!(fault, ConnectFault::Name(_)), "{fault}");
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_a_certificate_fault() {
    let instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    let public = connector(&UpstreamTls::default());
    let other = Instance::new(|authority| authority.leaf(&["a.example"]));
    let expired = Instance::new(|authority| authority.expired(&["a.example"]));
    for (instance, connector) in [
        (&instance, &public),
        (&instance, &connector(&other.trusting())),
        (&expired, &connector(&expired.trusting())),
    ] {
        let fault = instance.met(connector, "a.example").await.unwrap_err();
        assert!(matches!(fault, ConnectFault::Certificate(_)), "{fault}");
    }
}

#[tokio::test]
async fn the_protocol_decides_what_is_offered() {
    let mut instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    let agreed = async |instance: &Instance, protocol| {
        let (near, far) = duplex(64 * 1024);
        let (acceptor, connector) =
            (instance.acceptor(), Connector::new(&instance.trusting(), protocol).unwrap());
        let (_served, met) = tokio::join!(acceptor.accept(far), connector.connect(near, "a.example", false));
        met.map(|(_, agreed)| agreed)
    };
    let [auto, http1, http2] = [UpstreamProtocol::Auto, UpstreamProtocol::Http1, UpstreamProtocol::Http2];
    assert_eq!(agreed(&instance, auto).await.unwrap(), Some(Alpn::H2));
    assert_eq!(agreed(&instance, http1).await.unwrap(), Some(Alpn::Http11));
    assert_eq!(agreed(&instance, http2).await.unwrap(), Some(Alpn::H2));
    instance.config.alpn = vec![Alpn::Http11];
    assert_eq!(agreed(&instance, auto).await.unwrap(), Some(Alpn::Http11));
    assert_eq!(agreed(&instance, http2).await.unwrap_err().error_type(), "tls_protocol_error");
    instance.config.alpn = vec![];
    assert_eq!(agreed(&instance, auto).await.unwrap(), None);
    assert_eq!(agreed(&instance, http1).await.unwrap(), None);
    assert_eq!(agreed(&instance, http2).await.unwrap_err().error_type(), "tls_protocol_error");
}

#[tokio::test]
async fn the_gateways_own_certificate_is_shown_to_whom_asks() {
    let mut instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    let own = instance.folder.pair("own", &instance.authority.leaf(&["gateway.internal"]));
    instance.config = asking(instance.config, &instance.folder.path("ca.crt"), ClientAuthMode::Required);
    let settings =
        UpstreamTls { certificate: Some(own.certificate), key: Some(own.key), ..instance.trusting() };
    let (facts, _) = instance.met(&connector(&settings), "a.example").await.unwrap();
    assert_eq!(facts.client.unwrap().subject, "CN=gateway.internal");
    assert!(instance.met(&connector(&instance.trusting()), "a.example").await.is_err());
}

#[tokio::test]
async fn sessions_go_on_for_whoever_shares_the_connector() {
    let instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    let (acceptor, connector) = (instance.acceptor(), Arc::new(connector(&instance.trusting())));
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let connector = Arc::clone(&connector);
        kinds.push(met(&acceptor, &connector, "a.example").await.unwrap().1);
    }
    assert_eq!(kinds[0], HandshakeKind::Full);
    assert_eq!(kinds[1..], [HandshakeKind::Resumed; 3]);
}

#[tokio::test]
async fn what_comes_in_plain_text_is_never_data() {
    let instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    let connector = connector(&instance.trusting());
    // Instead of a handshake, and before one.
    let (near, mut far) = duplex(64 * 1024);
    far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    let fault = connector.connect(near, "a.example", false).await.unwrap_err();
    assert_eq!(fault.error_type(), "tls_protocol_error", "{fault}");
    // A record of application data without encryption, then a proper handshake.
    for injected in [b"\x17\x03\x03\x00\x04evil".as_slice(), b"x"] {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(injected).await.unwrap();
        let acceptor = instance.acceptor();
        let (served, fault) = tokio::join!(acceptor.accept(far), connector.connect(near, "a.example", false));
        assert!(served.is_err());
        assert_eq!(fault.unwrap_err().error_type(), "tls_protocol_error");
    }
    let (near, far) = duplex(64);
    drop(far);
    assert!(matches!(connector.connect(near, "a.example", false).await, Err(ConnectFault::Io(_))));
}

#[test]
fn connectors_are_equal_while_settings_and_files_are() {
    let instance = Instance::new(|authority| authority.leaf(&["a.example"]));
    let settings = instance.trusting();
    let first = connector(&settings);
    assert_eq!(first, connector(&settings));
    assert_ne!(first, Connector::new(&settings, UpstreamProtocol::Http1).unwrap());
    assert_ne!(first, connector(&UpstreamTls::default()));
    instance.folder.write("ca.crt", Authority::new().pem);
    assert_ne!(first, connector(&settings));
}
