//! Authorities, certificates, files and handshakes for the tests.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portreeve_config::{CertificateConfig, ClientAuth, ClientAuthMode, TlsConfig, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use crate::{AcceptFault, Acceptor, Facts, provider};

/// Signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate and its key, PEM.
pub(super) struct Leaf {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with DNS names or IP addresses.
    pub(super) fn leaf(&self, names: &[&str]) -> Leaf {
        self.made(names, |_| ())
    }

    pub(super) fn expired(&self, names: &[&str]) -> Leaf {
        self.made(names, |params| params.not_after = date_time_ymd(2020, 1, 1))
    }

    pub(super) fn made(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        self.signed(names, &KeyPair::generate().unwrap(), change)
    }

    pub(super) fn leaf_of(&self, names: &[&str], key: &KeyPair) -> Leaf {
        self.signed(names, key, |_| ())
    }

    fn signed(&self, names: &[&str], key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        change(&mut params);
        let certificate = params.signed_by(key, &self.issuer).unwrap().pem();
        Leaf { certificate, key: key.serialize_pem() }
    }

    pub(super) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        store
    }

    /// A client that trusts this authority, speaks `versions` and shows `own`.
    pub(super) fn client_with(
        &self,
        own: Option<&Leaf>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder =
            ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(self.store());
        match own {
            Some(own) => builder.with_client_auth_cert(vec![own.der()], own.private()).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }

    pub(super) fn client(&self) -> ClientConfig {
        self.client_with(None, rustls::ALL_VERSIONS)
    }
}

impl Leaf {
    pub(super) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }

    pub(super) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// A folder with the files of a test, gone with it.
pub(super) struct Folder(pub(super) TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes `NAME.crt` and `NAME.key`.
    pub(super) fn pair(&self, name: &str, leaf: &Leaf) -> CertificateConfig {
        CertificateConfig {
            certificate: self.write(&format!("{name}.crt"), &leaf.certificate),
            key: self.write(&format!("{name}.key"), &leaf.key),
            ocsp: None,
        }
    }
}

pub(super) fn settings(certificates: Vec<CertificateConfig>) -> TlsConfig {
    let alpn = vec![portreeve_config::Alpn::H2, portreeve_config::Alpn::Http11];
    TlsConfig { certificates, min_version: TlsVersion::Tls12, client_auth: None, alpn }
}

pub(super) fn asking(mut settings: TlsConfig, ca: &Path, mode: ClientAuthMode) -> TlsConfig {
    settings.client_auth = Some(ClientAuth { ca: ca.to_owned(), mode });
    settings
}

/// What both sides of a handshake know afterwards.
pub(super) struct Met {
    pub(super) server: Result<Facts, AcceptFault>,
    pub(super) client: io::Result<Seen>,
}

pub(super) struct Seen {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) kind: HandshakeKind,
}

/// A handshake, and one byte from the server, by which the client has also read its tickets or its refusal.
pub(super) async fn meet(acceptor: &Acceptor, client: &Arc<ClientConfig>, name: &str) -> Met {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let serving = async {
        let (mut stream, facts) = acceptor.accept(far).await?;
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
        // Until the client has left, so that nothing it still writes breaks.
        let _ = stream.read(&mut [0]).await;
        Ok(facts)
    };
    let calling = async {
        let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, near).await?;
        stream.read_exact(&mut [0]).await?;
        let connection = stream.get_ref().1;
        Ok(Seen {
            leaf: connection.peer_certificates().unwrap()[0].clone().into_owned(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            kind: connection.handshake_kind().unwrap(),
        })
    };
    let (server, client) = tokio::join!(serving, calling);
    Met { server, client }
}
