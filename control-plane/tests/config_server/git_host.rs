//! Repositories of other hosts: over HTTP, over TLS with an authority of one's own, through `ssh`, and hosts that hang.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portreeve_config::{
    BasicCredentials, ConfigServerConfig, ConfigSource, GitSource, Period, Secret, SshConfig,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::repository::{commit, git, repository, source, value};
use super::support::{LIMIT, Plane};
use super::{Server, folder_source, write};

fn changed(uri: &str, change: impl FnOnce(&mut GitSource)) -> ConfigSource {
    let ConfigSource::Git(mut git) = source(uri) else { unreachable!() };
    change(&mut git);
    ConfigSource::Git(git)
}

fn credentials(token: Option<&str>) -> BasicCredentials {
    BasicCredentials { username: "reader".to_owned(), password: token.map(Secret::new), password_file: None }
}

/// A git host: `git http-backend` behind a small server, which can be switched off.
async fn host(folder: PathBuf) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/repository", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let serve = axum::routing::any(move |request: Request| backend(folder.clone(), request));
        axum::serve(listener, Router::new().fallback(serve)).await.unwrap();
    });
    (uri, task)
}

/// One request of the smart protocol as CGI (RFC 3875).
async fn backend(folder: PathBuf, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let field = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    if field("authorization") != "Basic cmVhZGVyOnRva2Vu" {
        return http::StatusCode::UNAUTHORIZED.into_response();
    }
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROTOCOL", field("git-protocol"))
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", field("content-type"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git is there");
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&body).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let mut response = http::Response::builder();
    for line in std::str::from_utf8(&output[..end]).unwrap().split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(&value[..3]),
            _ => response.header(name, value),
        };
    }
    response.body(axum::body::Body::from(output[end + 4..].to_vec())).unwrap()
}

#[tokio::test]
async fn a_repository_of_a_git_host_is_mirrored_and_outlives_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = repository(folder.path(), "main");
    let first = commit(&place, "pay.yml", "a: 1");
    git(&place, &["branch", "old"]);
    let (uri, host) = host(folder.path().to_owned()).await;
    let configured = |config: &mut ConfigServerConfig, token: &str| {
        config.sources = vec![changed(&uri, |git| {
            git.fetch_every = Period::from_secs(3600);
            git.credentials = Some(credentials(Some(token)));
        })];
    };
    let stranger = Server::with(|config, _| configured(config, "wrong")).await;
    assert_eq!(stranger.get("/pay/default").await.status, 404);
    let server = Server::with(|config, _| configured(config, "token")).await;
    let document = server.get("/pay/default").await.json();
    assert_eq!(document["version"], first);
    assert_eq!(document["propertySources"][0]["name"], format!("{uri}/pay.yml"));
    assert_eq!(value(&server, "/pay/default/old").await, "1");
    let mut sidecar = server.plane.sidecar("one", "pay", "dev").await;
    assert_eq!(sidecar.snapshot().await.config["a"], "1");
    commit(&place, "pay.yml", "a: 2");
    git(&place, &["branch", "--delete", "--force", "old"]);
    let push = [("x-github-event", "push"), ("content-type", "application/json")];
    let body = r#"{"commits": [{"modified": ["pay.yml"]}]}"#;
    assert_eq!(server.send("POST", "/monitor", &push, body).await.status, 200);
    super::changes::told(&mut sidecar, "a", Some("2")).await;
    assert_eq!(server.get("/pay/default/old").await.status, 404);
    host.abort();
    server.send("POST", "/monitor", &push, body).await;
    assert_eq!(value(&server, "/pay/default").await, "2");
    // A new process finds the mirror where the old one left it.
    let Server { plane, folder } = server;
    plane.running.shutdown().await;
    let mut config = super::support::config(&folder.path().join("data"));
    let mut again = ConfigServerConfig { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    configured(&mut again, "token");
    config.config_server = Some(again);
    let server = Server { plane: Plane::with(config).await, folder };
    assert_eq!(value(&server, "/pay/default").await, "2");
}

/// The same host behind TLS, and the certificate of who signed for it.
async fn secured(folder: PathBuf) -> (String, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&own_key).unwrap();
    let issuer = Issuer::new(params, own_key);
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let signed = signed.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![signed.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://localhost:{}/repository", listener.local_addr().unwrap().port());
    let serve = axum::routing::any(move |request: Request| backend(folder.clone(), request));
    let app: Router = Router::new().fallback(serve);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate leaves here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(app);
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (uri, authority.pem())
}

#[tokio::test]
async fn a_host_with_a_certificate_of_a_private_authority_is_trusted_by_its_authority_only() {
    let folder = tempfile::tempdir().unwrap();
    let place = repository(folder.path(), "main");
    commit(&place, "pay.yml", "a: 1");
    let (uri, authority) = secured(folder.path().to_owned()).await;
    let with = async |ca: Option<&str>, password: &str| {
        let server = Server::with(|config, folder| {
            write(folder, "password", password);
            let ca_file = ca.map(|ca| {
                write(folder, "ca.pem", ca);
                folder.join("ca.pem")
            });
            config.sources = vec![changed(&uri, |git| {
                git.ca_file = ca_file;
                let password_file = Some(folder.join("password"));
                git.credentials = Some(BasicCredentials { password_file, ..credentials(None) });
            })];
        });
        server.await
    };
    let (_, other) = secured(folder.path().to_owned()).await;
    for (ca, password) in [
        (None, "token"),
        (Some(&*other), "token"),
        (Some("no certificate"), "token"),
        (Some(&*authority), "wrong"),
    ] {
        let server = with(ca, password).await;
        assert_eq!(server.get("/pay/default").await.status, 404, "{ca:?} {password}");
    }
    let server = with(Some(&authority), "token\n").await;
    assert_eq!(value(&server, "/pay/default").await, "1");
    // The password is changed, and with it the file: it is read anew.
    commit(&place, "pay.yml", "a: 2");
    eventually(&server, "2").await;
}

async fn eventually(server: &Server, expected: &str) {
    let start = Instant::now();
    while value(server, "/pay/default").await != expected {
        assert!(start.elapsed() < LIMIT, "`{expected}` was not seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A program in the place of `ssh`, which notes what it was told.
fn program(folder: &Path, last: &str) -> SshConfig {
    let program = folder.join("ssh");
    let noted = folder.join("arguments");
    write(folder, "ssh", &format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\n{last}\n", noted.display()));
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    SshConfig { program, key_file: Some(folder.join("a key")), known_hosts_file: None }
}

#[tokio::test]
async fn a_repository_behind_ssh_is_mirrored() {
    let folder = tempfile::tempdir().unwrap();
    let place = repository(folder.path(), "main");
    commit(&place, "pay.yml", "a: 1");
    // As a shell of the other host would.
    let runs = "for last in \"$@\"; do :; done\nexec sh -c \"$last\"";
    let ssh = program(folder.path(), runs);
    let uri = format!("ssh://git@config.example:2222{}", place.display());
    let server = Server::with(|config, _| {
        config.sources = vec![changed(&uri, |git| git.ssh = Some(ssh.clone()))];
    });
    let server = server.await;
    assert_eq!(value(&server, "/pay/default").await, "1");
    commit(&place, "pay.yml", "a: 2");
    eventually(&server, "2").await;
    let told = std::fs::read_to_string(folder.path().join("arguments")).unwrap();
    let told: Vec<_> = told.lines().collect();
    let command = format!("git-upload-pack '{}'", place.display());
    assert_eq!(told[told.len() - 3..], ["--", "git@config.example", &command]);
    for part in ["BatchMode=yes", "2222", folder.path().join("a key").to_str().unwrap()] {
        assert!(told.contains(&part), "{part}: {told:?}");
    }
    // One that refuses changes nothing, and is asked again.
    program(folder.path(), "echo 'Permission denied (publickey).' >&2; exit 255");
    commit(&place, "pay.yml", "a: 3");
    assert_eq!(value(&server, "/pay/default").await, "2");
    program(folder.path(), runs);
    eventually(&server, "3").await;
}

#[tokio::test]
async fn hosts_that_hang_hold_up_neither_start_nor_refresh_nor_end() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/repository", silent.local_addr().unwrap());
    let ssh = program(folder.path(), "exec sleep 600");
    let start = Instant::now();
    let server = Server::with(|config, folder| {
        write(&folder.join("files"), "other.yml", "a: 1");
        let hanging = changed("git@config.example:x", |git| git.ssh = Some(ssh));
        config.sources = vec![folder_source(folder), source(&uri), hanging];
    });
    let server = server.await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let mut sidecar = server.plane.sidecar("one", "other", "default").await;
    assert_eq!(sidecar.snapshot().await.config["a"], "1");
    server.write("other.yml", "a: 2");
    let path = [("content-type", "application/json")];
    assert_eq!(server.send("POST", "/monitor", &path, r#"{"path": "other.yml"}"#).await.status, 200);
    super::changes::told(&mut sidecar, "a", Some("2")).await;
    let start = Instant::now();
    let Server { plane: Plane { running }, .. } = server;
    running.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // Nothing of it goes on: the end of the test waits for all threads.
}
