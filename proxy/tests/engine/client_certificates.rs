//! A listener that asks clients for certificates: who came in under one host's name has no way to another's.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use portreeve_proxy::Gateway;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::limited;
use crate::foreign::{Caller, Speaks, nothing, read};
use crate::origin::Origin;
use crate::stage::{config, everything, start, with};

/// Files and trust that a test needs.
struct Material {
    folder: TempDir,
    trusted: RootCertStore,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Material {
    /// An authority, and one certificate by it for two hosts, which also serves as a client's.
    fn new() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["shop.example".to_owned(), "bank.example".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ca", authority.pem()), ("own", leaf.pem()), ("key", key.serialize_pem())] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut trusted = RootCertStore::empty();
        trusted.add(authority.der().clone()).unwrap();
        Self { folder, trusted, certificate: leaf.der().clone(), key }
    }

    fn listener(&self, asks: bool) -> serde_json::Value {
        let file = |name: &str| self.folder.path().join(name);
        let mut tls = json!({"certificates": [{"certificate": file("own"), "key": file("key")}]});
        if asks {
            tls["client_auth"] = json!({"ca": file("ca")});
        }
        json!({"address": "127.0.0.1:0", "tls": tls})
    }

    /// A connection of a client with a certificate that greets `host`.
    async fn connect(&self, to: SocketAddr, host: &'static str, speaks: Speaks) -> TlsStream<TcpStream> {
        let key = PrivateKeyDer::from_pem_slice(self.key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let trusting = versions.with_root_certificates(self.trusted.clone());
        let mut config = trusting.with_client_auth_cert(vec![self.certificate.clone()], key).unwrap();
        config.alpn_protocols = match speaks {
            Speaks::Http1 => vec![b"http/1.1".to_vec()],
            Speaks::Http2 => vec![b"h2".to_vec()],
        };
        let stream = limited(TcpStream::connect(to)).await.unwrap();
        let name = ServerName::try_from(host).unwrap();
        limited(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
    }
}

/// What a request for a host is answered with, by a connection that greeted `shop.example`.
async fn ask(caller: &mut Caller, host: &str) -> (u16, String) {
    let request = Request::get(format!("https://{host}/"));
    let response = caller.send_to(host, request.body(nothing()).unwrap()).await;
    let status = response.status().as_u16();
    (status, String::from_utf8(read(response.into_body()).await.0).unwrap())
}

#[tokio::test]
async fn a_request_for_another_host_than_the_greeting_is_misdirected() {
    let material = Material::new();
    let origin = Origin::saying("ok").await;
    let listeners = json!([material.listener(true), material.listener(false)]);
    let gateway = start(with(config(&[&origin], everything()), "listeners", listeners)).await;
    let at = |gateway: &Gateway, number: usize| gateway.listeners()[number].socket().unwrap();
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let stream = material.connect(at(&gateway, 1), "shop.example", speaks).await;
        let mut caller = Caller::over(speaks, stream).await;
        for (host, status) in
            [("shop.example", 200), ("SHOP.example:443", 200), ("bank.example", 421), ("shop.example", 200)]
        {
            let before = origin.count();
            let (given, text) = ask(&mut caller, host).await;
            assert_eq!(given, status, "{speaks:?} {host}: {text}");
            assert_eq!(origin.count() - before, usize::from(status == 200));
            assert!(status == 200 || text.contains("\"misdirected\""), "{text}");
        }
        // Where nobody is asked for a certificate, one connection may serve all hosts of its certificate.
        let stream = material.connect(at(&gateway, 2), "shop.example", speaks).await;
        let mut caller = Caller::over(speaks, stream).await;
        assert_eq!(ask(&mut caller, "bank.example").await.0, 200, "{speaks:?}");
    }
    gateway.shutdown().await;
}
