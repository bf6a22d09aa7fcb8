//! Bad input on every listener: each has its status and one line in the log, and what was registered stays as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use portreeve_config::{ConfigServerConfig, ConfigSource, ControlPlaneConfig, EurekaConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use support::{LIMIT, Plane, config};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Lines are everybody's, so that tests here take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What an operator would read.
struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("portreeve_control_plane")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The lines that came since the last call; waits for the first.
async fn lines() -> Vec<String> {
    let start = Instant::now();
    loop {
        let lines = std::mem::take(&mut *LINES.lock().unwrap());
        if !lines.is_empty() || start.elapsed() > LIMIT {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The status of a request that is sent as it stands.
async fn status(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has seen enough reads no further.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = async {
        while !answer.ends_with(b"\r\n") && !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            if !matches!(stream.read_buf(&mut answer).await, Ok(1..)) {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.expect("an answer in time");
    let head = String::from_utf8_lossy(&answer);
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"))
}

fn request(line: &str, kind: &str, body: &str) -> Vec<u8> {
    let fields = format!("content-type: {kind}\r\ncontent-length: {}", body.len());
    format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{fields}\r\n\r\n{body}").into_bytes()
}

async fn start(folder: &Path, sources: Vec<ConfigSource>) -> Plane {
    // The second test finds it there already.
    let _ = tracing::subscriber::set_global_default(Log);
    let listen = "127.0.0.1:0".to_owned();
    let eureka = Some(EurekaConfig { listen: listen.clone(), ..EurekaConfig::default() });
    let config_server = Some(ConfigServerConfig { listen, sources, ..ConfigServerConfig::default() });
    Plane::with(ControlPlaneConfig { eureka, config_server, ..config(&folder.join("data")) }).await
}

const JSON: &str = "application/json";
const XML: &str = "application/xml";
const TEXT: &str = "text/plain";

fn client(id: &str, port: u32, rest: &serde_json::Value) -> String {
    let mut instance = json!({"instanceId": id, "app": "ORDERS", "hostName": "n1", "ipAddr": "10.0.0.1",
        "port": {"$": port, "@enabled": "true"}, "dataCenterInfo": {"name": "MyOwn"}});
    instance.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({ "instance": instance }).to_string()
}

fn instance(rest: &serde_json::Value) -> String {
    let mut instance = json!({"address": "10.0.0.1:9001", "lease_ms": 60_000});
    instance.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    instance.to_string()
}

type Row = (&'static str, String, &'static str, String, u16);

/// What a Eureka client may send.
fn of_eureka() -> Vec<Row> {
    let none = json!({});
    let bomb = "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><instance><app>&b;</app></instance>";
    let post =
        |name, kind, body: String, status| (name, "POST /eureka/apps/ORDERS".to_owned(), kind, body, status);
    let bare = |name, line: String, status| (name, line, TEXT, String::new(), status);
    let long = "x".repeat(65_536);
    vec![
        post("malformed JSON", JSON, "{".to_owned(), 400),
        post("nested JSON", JSON, "[".repeat(100_000), 400),
        post("malformed XML", XML, "<a".to_owned(), 400),
        post("an entity bomb", XML, bomb.to_owned(), 400),
        post("port 0", JSON, client("b", 0, &none), 400),
        post("port 65536", JSON, client("b", 65_536, &none), 400),
        post("a name of 64 KiB", JSON, client(&long, 9001, &none), 400),
        post("control characters", JSON, client("a\u{0}\n", 9001, &none), 400),
        post("a path as a name", JSON, client("../../etc/passwd", 9001, &none), 400),
        post("metadata", JSON, client("b", 9001, &json!({"metadata": {"k": "x".repeat(20_000)}})), 400),
        post("a body of 200 KB", JSON, " ".repeat(200_000), 413),
        post("a form", "application/x-www-form-urlencoded", "a=b".to_owned(), 415),
        bare("an unknown application", "GET /eureka/apps/NONE".to_owned(), 404),
        bare("an unknown instance", "PUT /eureka/apps/ORDERS/none".to_owned(), 404),
        bare("an unknown instance leaves", "DELETE /eureka/apps/ORDERS/none".to_owned(), 404),
        bare("a wrong method", "PATCH /eureka/apps/ORDERS".to_owned(), 405),
        bare("no status", "PUT /eureka/apps/ORDERS/one/status?value=MAYBE".to_owned(), 500),
        bare("much metadata", format!("PUT /eureka/apps/ORDERS/one/metadata?k={}", &long[..30_000]), 400),
        bare("a path of 64 KiB", format!("PUT /eureka/apps/ORDERS/{long}"), 414),
        bare("a path with tricks", "GET /eureka/apps/%2e%2e/%2e%2e%2fetc".to_owned(), 404),
        bare("a path with control characters", "GET /eureka/apps/a%00%0ab".to_owned(), 404),
        bare("a raw control character", "GET /eureka/apps/\u{1}".to_owned(), 400),
    ]
}

/// What may come to the control plane's own API.
fn of_own() -> Vec<Row> {
    let place = "/v1/services/orders/instances/b";
    let put = |name, body: String, status| (name, format!("PUT {place}"), JSON, body, status);
    let named = |name, path: &str, status| {
        let line = format!("PUT /v1/services/{path}");
        (name, line, JSON, instance(&json!({})), status)
    };
    let bare = |name, line: &str, status| (name, line.to_owned(), TEXT, String::new(), status);
    vec![
        put("malformed JSON", "{".to_owned(), 400),
        put("nested JSON", "[".repeat(100_000), 400),
        put("port 0", instance(&json!({"address": "10.0.0.1:0"})), 422),
        put("metadata", instance(&json!({"metadata": {"k": "x".repeat(20_000)}})), 422),
        put("a lease of ages", instance(&json!({"lease_ms": u64::MAX})), 422),
        put("a body of 2 MiB", " ".repeat(2 << 20), 413),
        (("no JSON"), format!("PUT {place}"), TEXT, "{}".to_owned(), 415),
        named("a path as a name", "..%2f..%2fetc/instances/b", 422),
        named("control characters in a service", "a%00b/instances/b", 422),
        named("control characters in an id", "orders/instances/a%0ab", 422),
        named("a name of 60 KB", &format!("{}/instances/b", "a".repeat(60_000)), 422),
        named("a name of 64 KiB", &format!("{}/instances/b", "a".repeat(65_536)), 414),
        bare("an unknown instance", "DELETE /v1/services/orders/instances/none", 404),
        bare("an unknown lease", "PUT /v1/services/orders/instances/none/lease", 404),
        bare("a wrong method", "PATCH /v1/services", 405),
        bare("an unknown path", "GET /v1/nothing", 404),
        bare("an unknown revision", "POST /v1/revisions/99/rollback", 404),
        (("no upgrade"), "POST /v1/stream".to_owned(), JSON, "nonsense\n".to_owned(), 426),
        (
            "a route with tricks",
            "PUT /v1/routes/r".to_owned(),
            JSON,
            json!({"match": {"path": "/../x"}, "service": "orders"}).to_string(),
            422,
        ),
        ("a layer of a path", "PUT /v1/config/..%2fx/default".to_owned(), JSON, "{}".to_owned(), 422),
    ]
}

/// What may come to the config server.
fn of_configuration() -> Vec<Row> {
    let get = |name, path: String, status| (name, format!("GET {path}"), TEXT, String::new(), status);
    let post =
        |name, path: &str, kind, body: String, status| (name, format!("POST {path}"), kind, body, status);
    vec![
        get("a path out of the source", "/pay/default/main/..%2f..%2fetc%2fpasswd".to_owned(), 400),
        get("dots", "/../../etc/passwd".to_owned(), 400),
        get("dots in brackets", "/pay/default/(_)..(_)x".to_owned(), 400),
        get("a NUL", "/pay%00/default".to_owned(), 400),
        get("a line feed", "/pay%0a/default".to_owned(), 400),
        get("a profile that is none", "/pay/-x".to_owned(), 400),
        get("a name of 60 KB", format!("/{}/default", "a".repeat(60_000)), 400),
        get("a label of 60 KB", format!("/pay/default/{}", "a".repeat(60_000)), 400),
        get("a path of 64 KiB", format!("/{}/default", "a".repeat(65_536)), 414),
        get("nothing", "/".to_owned(), 404),
        ("a wrong method", "PUT /pay/default".to_owned(), TEXT, String::new(), 405),
        post("a push that is no JSON", "/monitor", JSON, "{".to_owned(), 400),
        post("no key", "/encrypt", TEXT, "x".to_owned(), 404),
        post("a push of 9 MB", "/monitor", JSON, " ".repeat(9_000_000), 413),
    ]
}

#[tokio::test]
async fn each_has_its_status_and_one_line_and_changes_nothing() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path(), vec![ConfigSource::BuiltIn]).await;
    let running = &plane.running;
    let eureka = running.eureka_address().unwrap();
    let one = client("one", 9001, &json!({}));
    assert_eq!(status(eureka, &request("POST /eureka/apps/ORDERS", JSON, &one)).await, 204);
    let before = standing(&plane).await;
    let configuration = running.config_server_address().unwrap();
    LINES.lock().unwrap().clear();
    for (address, rows) in
        [(eureka, of_eureka()), (running.address(), of_own()), (configuration, of_configuration())]
    {
        for (name, line, kind, body, expected) in rows {
            let shown = format!("{name}: {line:.60}");
            assert_eq!(status(address, &request(&line, kind, &body)).await, expected, "{shown}");
            let lines = lines().await;
            assert_eq!(lines.len(), 1, "{shown}: {lines:#?}");
            assert!(lines[0].len() < 1_000 && !lines[0].contains(['\n', '\0']), "{shown}: {}", lines[0]);
            assert_eq!(standing(&plane).await, before, "{shown}");
        }
    }
}

/// Everything that must stay.
async fn standing(plane: &Plane) -> [serde_json::Value; 4] {
    let instances = plane.get("/v1/instances").await.json()["instances"].clone();
    let instances = instances.as_array().unwrap().iter().map(|instance| instance["address"].clone());
    let revision = plane.get("/v1/revision").await.json()["revision"].clone();
    let (routes, services) = (plane.get("/v1/routes").await.json(), plane.get("/v1/services").await.json());
    [instances.collect(), revision, routes["routes"].clone(), services["services"].clone()]
}

#[tokio::test]
async fn two_hosts_under_one_name_are_told_of_whatever_they_speak() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path(), vec![ConfigSource::BuiltIn]).await;
    let eureka = plane.running.eureka_address().unwrap();
    let own = plane.running.address();
    let post = "POST /eureka/apps/ORDERS";
    // The clock of the first is far ahead: only what is newer by its own word replaces it.
    let ahead =
        |ip: &str, dirty: u64| client("one", 9001, &json!({"ipAddr": ip, "lastDirtyTimestamp": dirty}));
    assert_eq!(status(eureka, &request(post, JSON, &ahead("10.0.0.1", u64::MAX / 2))).await, 204);
    LINES.lock().unwrap().clear();
    for (address, line, body, expected) in [
        (eureka, post, ahead("10.0.0.2", 1), 204),
        (own, "PUT /v1/services/orders/instances/one", instance(&json!({"address": "10.0.0.3:9001"})), 200),
        (own, "PUT /v1/services/orders/instances/one", instance(&json!({"address": "10.0.0.4:9001"})), 200),
    ] {
        assert_eq!(status(address, &request(line, JSON, &body)).await, expected, "{body}");
        let lines = lines().await;
        assert!(lines.len() == 1 && lines[0].contains("another address"), "{lines:#?}");
    }
    let instances = plane.get("/v1/instances").await.json()["instances"].clone();
    let addresses: Vec<_> = instances.as_array().unwrap().iter().map(|one| &one["address"]).collect();
    assert_eq!(addresses, ["10.0.0.4:9001"]);
    for dirty in ["99999999999999999999", "-1", "1e400", "x"] {
        let line = format!("PUT /eureka/apps/ORDERS/one?lastDirtyTimestamp={dirty}");
        assert_eq!(status(eureka, &request(&line, TEXT, "")).await, 200, "{dirty}");
    }
}

#[tokio::test]
async fn a_repository_that_vanishes_is_told_of_once() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repository");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("pay.yml"), "a: 1").unwrap();
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-q", "-m", "x"]] {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]);
        git.args(arguments).current_dir(&place).env("GIT_CONFIG_GLOBAL", "/dev/null");
        assert!(git.status().expect("git is there").success());
    }
    let source = json!({"git": {"uri": place.display().to_string()}});
    let plane = start(folder.path(), vec![serde_json::from_value(source).unwrap()]).await;
    let address = plane.running.config_server_address().unwrap();
    assert_eq!(status(address, &request("GET /pay/default", TEXT, "")).await, 200);
    LINES.lock().unwrap().clear();
    std::fs::rename(&place, folder.path().join("gone")).unwrap();
    // It is looked at by itself, and what it said counts on.
    let told = lines().await;
    assert!(told.len() == 1 && told[0].contains("cannot be read"), "{told:#?}");
    for _ in 0..3 {
        assert_eq!(status(address, &request("GET /pay/default", TEXT, "")).await, 200);
        assert_eq!(status(address, &request("GET /pay/default/main", TEXT, "")).await, 200);
    }
    assert!(LINES.lock().unwrap().is_empty(), "{:#?}", LINES.lock().unwrap());
}
