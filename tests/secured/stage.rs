//! An authority, what it signed, a folder for both, and a control plane that shows them.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use portreeve::config::ControlPlaneLink;
use portreeve::proxy::client::{Client, FetchError, Limit};
use portreeve::{ControlPlane, RunningControlPlane};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The longest any step of a test may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// What operators show.
pub(crate) const TOKEN: &str = "an-operator-s-token-of-many-characters";

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A chain and its key.
    pub(crate) fn signed(&self, names: &[&str]) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        let name = |name: &&str| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        [params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem()]
    }
}

pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) authority: Authority,
}

impl Stage {
    /// Files `ca.pem`, `plane.pem`, `plane.key`, `operator.token`.
    pub(crate) fn new() -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new("ours") };
        stage.write("ca.pem", &stage.authority.pem);
        stage.write("operator.token", &format!("{TOKEN}\n"));
        stage.pair("plane", &stage.authority.signed(&["127.0.0.1", "localhost"]));
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As a whole, as `mv` would.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
        path
    }

    pub(crate) fn pair(&self, name: &str, [certificate, key]: &[String; 2]) {
        self.write(&format!("{name}.pem"), certificate);
        self.write(&format!("{name}.key"), key);
    }

    pub(crate) fn tls(&self) -> Value {
        json!({"certificate": self.path("plane.pem"), "key": self.path("plane.key")})
    }

    /// A control plane with TLS, and a token for operators; `more` lies over that.
    pub(crate) async fn plane(&self, more: Value) -> RunningControlPlane {
        let token = json!({"name": "me", "role": "admin", "token_file": self.path("operator.token")});
        let mut config = json!({
            "listen": "127.0.0.1:0", "data_dir": self.path("data"), "tls": self.tls(), "tokens": [token],
        });
        for (field, value) in more.as_object().unwrap() {
            config[field] = value.clone();
        }
        ControlPlane::start(serde_json::from_value(config).unwrap()).await.unwrap()
    }

    /// The way there, with the token of operators.
    pub(crate) fn link(&self, plane: &RunningControlPlane) -> ControlPlaneLink {
        ControlPlaneLink {
            url: format!("https://localhost:{}", plane.address().port()),
            ca: Some(self.path("ca.pem")),
            token_file: Some(self.path("operator.token")),
            ..ControlPlaneLink::default()
        }
    }

    pub(crate) async fn ask(&self, link: &ControlPlaneLink) -> Result<Response<Bytes>, FetchError> {
        let request = Request::get(format!("{}/v1/services", link.url)).body(Bytes::new()).unwrap();
        send(&client().toward(link).unwrap(), request).await
    }

    pub(crate) async fn put(&self, link: &ControlPlaneLink, path: &str, body: Value) {
        let request = Request::put(format!("{}{path}", link.url)).header("content-type", "application/json");
        let request = request.body(body.to_string().into()).unwrap();
        let answer = send(&client().toward(link).unwrap(), request).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {:?}", answer.body());
    }
}

pub(crate) fn client() -> Client {
    Client::new(Arc::new(|_: &str| Vec::new())).unwrap()
}

pub(crate) async fn send(client: &Client, request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
    client.send(request, Limit { bytes: 1 << 20, timeout: LIMIT }).await
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < limit, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a program is there; says so where it is not.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = std::process::Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// Runs a shell script in a folder; gives what it wrote. It must succeed.
pub(crate) async fn shell(folder: &Path, script: &str) -> String {
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", script]).current_dir(folder).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT * 4, bash.output()).await.expect("in time").unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{script}\n{text}");
    text
}
