//! An etcd that wants certificates, and one that wants a password.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/etcd.rs"]
mod etcd;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use portreeve_config::{ControlPlaneConfig, EtcdConfig, EtcdTls, EtcdUser, StoreConfig};
use portreeve_control_plane::ControlPlane;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use etcd::Etcd;
use support::{Plane, config};

fn with(etcd: &Etcd, change: impl FnOnce(&mut EtcdConfig)) -> ControlPlaneConfig {
    let mut store = etcd.store();
    let StoreConfig::Etcd(settings) = &mut store else { unreachable!() };
    change(settings);
    ControlPlaneConfig { store, ..config(Path::new("nothing-is-kept-here")) }
}

async fn refusal(config: ControlPlaneConfig) -> String {
    ControlPlane::start(config).await.expect_err("it started").to_string()
}

/// Whether it takes a write and finds it again.
async fn works(config: ControlPlaneConfig) {
    let plane = Plane::with(config.clone()).await;
    assert_eq!(plane.put("/v1/services/orders", json!({})).await.revision(), 1);
    plane.running.shutdown().await;
    let plane = Plane::with(config).await;
    assert_eq!(plane.get("/v1/revision").await.revision(), 1);
    plane.running.shutdown().await;
}

/// An authority and what it signed, as files.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

fn certificates(folder: &Path, name: &str) -> Certificates {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&own_key).unwrap();
    let issuer = Issuer::new(params, own_key);
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let signed = signed.signed_by(&key, &issuer).unwrap();
    let write = |what: &str, text: String| {
        let path = folder.join(format!("{name}-{what}.pem"));
        fs::write(&path, text).unwrap();
        path
    };
    Certificates {
        authority: write("authority", authority.pem()),
        certificate: write("certificate", signed.pem()),
        key: write("key", key.serialize_pem()),
    }
}

#[tokio::test]
async fn certificates_are_shown_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (certificates(folder.path(), "own"), certificates(folder.path(), "other"));
    let [authority, certificate, key] =
        [&own.authority, &own.certificate, &own.key].map(|path| path.to_str().unwrap());
    let arguments =
        ["--cert-file", certificate, "--key-file", key, "--client-cert-auth", "--trusted-ca-file", authority];
    let Some(etcd) = Etcd::start_with(&arguments) else { return };
    let tls = |authority: &Path, shown: Option<&Certificates>| EtcdTls {
        ca_file: authority.to_owned(),
        certificate_file: shown.map(|shown| shown.certificate.clone()),
        key_file: shown.map(|shown| shown.key.clone()),
    };
    works(with(&etcd, |etcd| etcd.tls = Some(tls(&own.authority, Some(&own))))).await;
    let untrusted = refusal(with(&etcd, |etcd| etcd.tls = Some(tls(&other.authority, Some(&own))))).await;
    assert!(untrusted.contains("certificate"), "{untrusted}");
    refusal(with(&etcd, |etcd| etcd.tls = Some(tls(&own.authority, None)))).await;
}

#[tokio::test]
async fn a_password_is_shown_and_its_token_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut etcd) = Etcd::start() else { return };
    etcd.ask("/v3/auth/user/add", json!({"name": "root", "password": "sesame"})).await;
    etcd.ask("/v3/auth/role/add", json!({"name": "root"})).await;
    etcd.ask("/v3/auth/user/grant", json!({"user": "root", "role": "root"})).await;
    etcd.ask("/v3/auth/enable", json!({})).await;
    let password_file = folder.path().join("password");
    let user = || Some(EtcdUser { name: "root".to_owned(), password_file: password_file.clone() });

    let unreadable = refusal(with(&etcd, |etcd| etcd.user = user())).await;
    assert!(unreadable.contains("password") && unreadable.contains("cannot be read"), "{unreadable}");
    fs::write(&password_file, "guess\n").unwrap();
    let wrong = refusal(with(&etcd, |etcd| etcd.user = user())).await;
    assert!(wrong.contains("invalid user ID or password") && !wrong.contains("guess"), "{wrong}");
    refusal(with(&etcd, |_| {})).await;

    fs::write(&password_file, "sesame\n").unwrap();
    works(with(&etcd, |etcd| etcd.user = user())).await;
    // A restarted etcd knows none of the tokens it gave.
    let plane = Plane::with(with(&etcd, |etcd| etcd.user = user())).await;
    etcd.kill();
    etcd.resume();
    let deadline = std::time::Instant::now() + 3 * support::LIMIT;
    while plane.put("/v1/services/users", json!({})).await.status != 200 {
        assert!(std::time::Instant::now() < deadline, "it does not log in again");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
