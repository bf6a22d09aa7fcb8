//! Faults of settings and files: all at once, each with its place and remedy, and none with a part of a key.

use std::path::PathBuf;

use portreeve_config::{ClientAuthMode, Faults, TlsConfig, UpstreamProtocol, UpstreamTls};
use rcgen::KeyPair;

use super::material::{Authority, Folder, asking, settings};
use crate::{Acceptor, Connector, Tickets};

fn faults(config: &TlsConfig) -> Faults {
    let faults = Acceptor::new(config, &Tickets::new()).unwrap_err();
    for fault in &faults.0 {
        assert!(fault.hint.is_some(), "{fault}");
    }
    faults
}

/// The only fault when `change` has spoilt a good certificate: its place and what is wrong.
fn spoilt(change: impl FnOnce(&Folder, &Authority)) -> (String, String) {
    let (authority, folder) = (Authority::new(), Folder::new());
    let mut pair = folder.pair("a", &authority.leaf(&["a.example"]));
    pair.ocsp = Some(folder.write("a.ocsp", [0x30, 3, 0x0a, 1, 0]));
    let config =
        asking(settings(vec![pair]), &folder.write("ca.crt", &authority.pem), ClientAuthMode::Required);
    assert!(Acceptor::new(&config, &Tickets::new()).is_ok());
    change(&folder, &authority);
    let mut found = faults(&config).0;
    assert_eq!(found.len(), 1, "{found:?}");
    let fault = found.remove(0);
    (fault.path, fault.problem.replace(&format!("{}/", folder.0.path().display()), ""))
}

#[track_caller]
fn assert_spoilt(place: &str, problem: &str, change: impl FnOnce(&Folder, &Authority)) {
    let found = spoilt(change);
    assert_eq!((found.0.as_str(), found.1.as_str()), (place, problem));
}

#[test]
fn a_missing_file_is_named() {
    for (name, place) in [
        ("a.crt", "certificates[0].certificate"),
        ("a.key", "certificates[0].key"),
        ("a.ocsp", "certificates[0].ocsp"),
        ("ca.crt", "client_auth.ca"),
    ] {
        let problem = format!("there is no file `{name}`");
        assert_spoilt(place, &problem, |folder, _| std::fs::remove_file(folder.path(name)).unwrap());
    }
    assert_spoilt(
        "client_auth.ca",
        "the file `ca.crt` cannot be read: it is not a regular file",
        |folder, _| {
            std::fs::remove_file(folder.path("ca.crt")).unwrap();
            std::fs::create_dir(folder.path("ca.crt")).unwrap();
        },
    );
    assert_spoilt(
        "certificates[0].key",
        "the file `a.key` cannot be read: it is larger than 1 MiB",
        |folder, _| {
            folder.write("a.key", vec![b'a'; 1024 * 1024 + 1]);
        },
    );
}

#[test]
fn authorities_that_are_missing_never_mean_that_everybody_is_trusted() {
    let place = "client_auth.ca";
    assert_spoilt(place, "`ca.crt` is not PEM", |folder, _| drop(folder.write("ca.crt", "")));
    assert_spoilt(place, "`ca.crt` is not PEM", |folder, _| drop(folder.write("ca.crt", [0xff; 300])));
    assert_spoilt(place, "there is no certificate in `ca.crt`", |folder, _| {
        folder.write("ca.crt", KeyPair::generate().unwrap().serialize_pem());
    });
    let found = spoilt(|folder, authority| {
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        folder.write("ca.crt", authority.pem.clone() + garbage);
    });
    assert_eq!(found.0, place);
    assert!(found.1.starts_with("a certificate in `ca.crt` cannot be an authority: "), "{}", found.1);
}

#[test]
fn a_key_that_does_not_fit_is_named() {
    let place = "certificates[0].key";
    let other = "the key in `a.key` does not belong to the certificate in `a.crt`";
    assert_spoilt(place, other, |folder, _| {
        drop(folder.write("a.key", KeyPair::generate().unwrap().serialize_pem()))
    });
    assert_spoilt(place, "there is no private key in `a.key`", |folder, authority| {
        folder.write("a.key", &authority.pem);
    });
    assert_spoilt(place, "the key in `a.key` is encrypted", |folder, _| {
        let section = "ENCRYPTED PRIVATE KEY-----\n";
        folder.write("a.key", format!("-----BEGIN {section}AAAA\n-----END {section}"));
    });
    assert_spoilt(place, "`a.key` is not PEM: a section has no end", |folder, _| {
        folder.write("a.key", "-----BEGIN PRIVATE KEY-----\nsecret\n");
    });
    let found = spoilt(|folder, _| {
        drop(folder.write("a.key", "-----BEGIN PRIVATE KEY-----\nMDEyMw==\n-----END PRIVATE KEY-----\n"))
    });
    assert!(found.0 == place && found.1.starts_with("the key in `a.key` cannot be used: "), "{found:?}");
}

#[test]
fn a_certificate_or_staple_that_is_none_is_named() {
    let place = "certificates[0].certificate";
    assert_spoilt(place, "`a.crt` is not PEM", |folder, _| drop(folder.write("a.crt", "certificate")));
    let found = spoilt(|folder, _| {
        drop(folder.write("a.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
    });
    assert!(found.0 == place && found.1.starts_with("the first certificate in `a.crt` cannot"), "{found:?}");
    let place = "certificates[0].ocsp";
    assert_spoilt(place, "`a.ocsp` is not an OCSP response in DER", |folder, _| {
        drop(folder.write("a.ocsp", ""))
    });
    let refused = "the OCSP response in `a.ocsp` is not a successful one";
    assert_spoilt(place, refused, |folder, _| drop(folder.write("a.ocsp", [0x30, 3, 0x0a, 1, 6])));
}

#[test]
fn all_faults_are_told_at_once_and_no_certificate_is_one_too() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let good = folder.pair("good", &authority.leaf(&["a.example"]));
    let mut bad = folder.pair("bad", &authority.leaf(&["a.example"]));
    bad.certificate = folder.path("gone.crt");
    folder.write("bad.key", "garbage");
    let config = asking(settings(vec![good, bad]), &folder.path("gone.ca"), ClientAuthMode::Optional);
    let places: Vec<_> = faults(&config).0.into_iter().map(|fault| fault.path).collect();
    assert_eq!(places, ["certificates[1].certificate", "certificates[1].key", "client_auth.ca"]);
    assert_eq!(faults(&settings(vec![])).0[0].path, "certificates");
}

#[test]
fn an_expired_certificate_is_shown_nevertheless() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let config = settings(vec![folder.pair("a", &authority.expired(&["a.example"]))]);
    assert!(Acceptor::new(&config, &Tickets::new()).is_ok());
}

#[test]
fn faults_of_a_connector_have_their_places() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = folder.pair("a", &authority.leaf(&["a.example"]));
    let places = |settings: &UpstreamTls| {
        let faults = Connector::new(settings, UpstreamProtocol::Auto).unwrap_err();
        assert!(faults.0.iter().all(|fault| fault.hint.is_some()), "{faults}");
        faults.0.into_iter().map(|fault| fault.path).collect::<Vec<_>>()
    };
    let all = UpstreamTls {
        ca: Some(PathBuf::from("/nowhere/ca.crt")),
        server_name: Some("a.example:443".to_owned()),
        certificate: Some(pair.certificate.clone()),
        key: None,
    };
    assert_eq!(places(&all), ["ca", "key", "server_name"]);
    let alone = UpstreamTls { key: Some(pair.key.clone()), ..UpstreamTls::default() };
    assert_eq!(places(&alone), ["certificate"]);
    let strange = folder.write("b.key", KeyPair::generate().unwrap().serialize_pem());
    let mixed =
        UpstreamTls { certificate: Some(pair.certificate), key: Some(strange), ..UpstreamTls::default() };
    assert_eq!(places(&mixed), ["key"]);
}
