//! Certificates by name, protocols, versions, staples, and certificates of clients, on the wire.

use std::sync::{Arc, Mutex};

use portreeve_config::{Alpn, ClientAuthMode, TlsVersion};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::material::{Authority, Folder, asking, meet, settings};
use crate::{AcceptFault, Acceptor, AlternativeName, Tickets};

#[tokio::test]
async fn the_certificate_fits_the_name_asked_for() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let first = authority.leaf(&["first.example", "elsewhere.example"]);
    let wild = authority.leaf(&["*.shop.example"]);
    let exact = authority.leaf(&["API.shop.example"]);
    let pairs =
        [("first", &first), ("wild", &wild), ("exact", &exact)].map(|(name, leaf)| folder.pair(name, leaf));
    let acceptor = Acceptor::new(&settings(pairs.to_vec()), &Tickets::new()).unwrap();
    let client = Arc::new(authority.client());
    let cases = [
        ("first.example", &first),
        ("elsewhere.example", &first),
        ("web.shop.example", &wild),
        ("api.shop.example", &exact),
    ];
    for (name, expected) in cases {
        let met = meet(&acceptor, &client, name).await;
        assert_eq!(met.client.unwrap().leaf, expected.der(), "{name}");
        assert_eq!(met.server.unwrap().server_name.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn a_client_gets_the_kind_of_key_it_can_check() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let (wide, narrow) = (authority.leaf_of(&["a.example"], &p384), authority.leaf(&["a.example"]));
    let pairs = vec![folder.pair("wide", &wide), folder.pair("narrow", &narrow)];
    let acceptor = Acceptor::new(&settings(pairs), &Tickets::new()).unwrap();
    let met = meet(&acceptor, &Arc::new(authority.client()), "a.example").await;
    assert_eq!(met.client.unwrap().leaf, wide.der());
    let (client, _) = noting(vec![SignatureScheme::ECDSA_NISTP256_SHA256]);
    assert_eq!(meet(&acceptor, &client, "a.example").await.client.unwrap().leaf, narrow.der());
}

#[tokio::test]
async fn protocols_are_agreed_on_in_the_order_of_the_settings() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let config = settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]);
    let acceptor = Acceptor::new(&config, &Tickets::new()).unwrap();
    let offers: [(&[&[u8]], Option<Alpn>); 3] =
        [(&[b"http/1.1", b"h2"], Some(Alpn::H2)), (&[b"http/1.1"], Some(Alpn::Http11)), (&[], None)];
    for (offer, expected) in offers {
        let mut client = authority.client();
        client.alpn_protocols = offer.iter().map(|protocol| protocol.to_vec()).collect();
        let met = meet(&acceptor, &Arc::new(client), "a.example").await;
        assert_eq!(met.server.unwrap().alpn, expected);
        assert_eq!(met.client.unwrap().alpn.is_some(), expected.is_some());
    }
    let mut client = authority.client();
    client.alpn_protocols = vec![b"smtp".to_vec()];
    let met = meet(&acceptor, &Arc::new(client), "a.example").await;
    assert!(matches!(met.server, Err(AcceptFault::Protocol(_))), "{:?}", met.server);
}

#[tokio::test]
async fn a_version_below_the_lowest_is_refused() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let mut config = settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]);
    let [old, new] = [[&TLS12], [&TLS13]].map(|versions| Arc::new(authority.client_with(None, &versions)));
    let acceptor = Acceptor::new(&config, &Tickets::new()).unwrap();
    assert_eq!(meet(&acceptor, &old, "a.example").await.server.unwrap().version, TlsVersion::Tls12);
    config.min_version = TlsVersion::Tls13;
    let acceptor = Acceptor::new(&config, &Tickets::new()).unwrap();
    assert_eq!(meet(&acceptor, &new, "a.example").await.server.unwrap().version, TlsVersion::Tls13);
    let refused = meet(&acceptor, &old, "a.example").await.server.unwrap_err();
    assert_eq!(refused.word(), "protocol", "{refused}");
}

#[tokio::test]
async fn a_required_certificate_must_be_shown_and_valid() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), Folder::new());
    let ca = folder.write("ca.crt", &authority.pem);
    let plain = settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]);
    let acceptor = Acceptor::new(&asking(plain, &ca, ClientAuthMode::Required), &Tickets::new()).unwrap();
    let own = authority.leaf(&["orders.internal"]);
    for versions in [[&TLS12], [&TLS13]] {
        let client = Arc::new(authority.client_with(Some(&own), &versions));
        let facts = meet(&acceptor, &client, "a.example").await.server.unwrap();
        let identity = facts.client.unwrap();
        assert_eq!(identity.subject, "CN=orders.internal");
        assert_eq!(identity.alternative_names, [AlternativeName::Dns("orders.internal".to_owned())]);
        assert_eq!(identity.fingerprint.len(), 64);
        let refused =
            [None, Some(stranger.leaf(&["orders.internal"])), Some(authority.expired(&["orders.internal"]))];
        for own in refused {
            let met =
                meet(&acceptor, &Arc::new(authority.client_with(own.as_ref(), &versions)), "a.example").await;
            assert_eq!(met.server.unwrap_err().word(), "certificate");
            assert!(met.client.is_err());
        }
    }
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let (authority, stranger, folder) = (Authority::new(), Authority::new(), Folder::new());
    let ca = folder.write("ca.crt", &authority.pem);
    let plain = settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]);
    let acceptor = Acceptor::new(&asking(plain, &ca, ClientAuthMode::Optional), &Tickets::new()).unwrap();
    let facts = meet(&acceptor, &Arc::new(authority.client()), "a.example").await.server.unwrap();
    assert_eq!((facts.client.as_ref(), facts.asks_client), (None, true));
    let wrong = authority.client_with(Some(&stranger.leaf(&["x.example"])), &[&TLS13]);
    assert_eq!(
        meet(&acceptor, &Arc::new(wrong), "a.example").await.server.unwrap_err().word(),
        "certificate"
    );
}

#[tokio::test]
async fn a_host_other_than_the_name_asked_for_is_misdirected_where_clients_are_asked() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let ca = folder.write("ca.crt", &authority.pem);
    let plain = settings(vec![folder.pair("a", &authority.leaf(&["a.example", "127.0.0.1"]))]);
    let client = Arc::new(authority.client());
    let asks = Acceptor::new(&asking(plain.clone(), &ca, ClientAuthMode::Optional), &Tickets::new()).unwrap();
    let facts = meet(&asks, &client, "a.example").await.server.unwrap();
    for host in ["a.example", "A.Example:8443", "a.example.", "a.example.:1", "a.example:"] {
        assert!(!facts.is_misdirected(host), "{host}");
    }
    for host in ["b.example", "[::1]:8443", "[::1]", "", "a.example.b", "a.example:b"] {
        assert!(facts.is_misdirected(host), "{host}");
    }
    assert!(!meet(&asks, &client, "127.0.0.1").await.server.unwrap().is_misdirected("b.example"));
    let open = Acceptor::new(&plain, &Tickets::new()).unwrap();
    assert!(!meet(&open, &client, "a.example").await.server.unwrap().is_misdirected("b.example"));
}

#[tokio::test]
async fn the_staple_is_shown() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let mut pair = folder.pair("a", &authority.leaf(&["a.example"]));
    let response = [0x30, 3, 0x0a, 1, 0];
    pair.ocsp = Some(folder.write("a.ocsp", response));
    let acceptor = Acceptor::new(&settings(vec![pair]), &Tickets::new()).unwrap();
    let (client, staple) = noting(vec![SignatureScheme::ECDSA_NISTP256_SHA256]);
    meet(&acceptor, &client, "a.example").await.client.unwrap();
    assert_eq!(*staple.lock().unwrap(), response);
}

#[tokio::test]
async fn what_is_not_tls_gets_an_alert_and_no_answer() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let config = settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]);
    let acceptor = Acceptor::new(&config, &Tickets::new()).unwrap();
    let (mut near, far) = duplex(1024);
    near.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
    assert!(matches!(acceptor.accept(far).await, Err(AcceptFault::Protocol(_))));
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert record: {answer:?}");
    let (near, far) = duplex(1024);
    drop(near);
    assert!(matches!(acceptor.accept(far).await, Err(AcceptFault::Io(_))));
}

/// A client that believes every certificate, can check `schemes` only, and notes the staple.
fn noting(schemes: Vec<SignatureScheme>) -> (Arc<ClientConfig>, Arc<Mutex<Vec<u8>>>) {
    let staple = Arc::default();
    let verifier = Noting { schemes, staple: Arc::clone(&staple) };
    let builder =
        ClientConfig::builder_with_provider(crate::provider()).with_safe_default_protocol_versions();
    let builder = builder.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    (Arc::new(builder.with_no_client_auth()), staple)
}

#[derive(Debug)]
struct Noting {
    schemes: Vec<SignatureScheme>,
    staple: Arc<Mutex<Vec<u8>>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        staple: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.staple.lock().unwrap() = staple.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls12_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
