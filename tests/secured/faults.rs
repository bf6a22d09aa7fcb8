//! What a node or a command is told that cannot come in: which file or word is to be mended.

use std::process::Command;
use std::time::Duration;

use portreeve::config::ControlPlaneLink;
use portreeve::config::wire::NodeKind;
use portreeve::proxy::reload::{Session, SessionEvent, SessionSettings};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::stage::{Authority, LIMIT, Stage, client};

/// Why a node has no stream.
async fn lost(link: &ControlPlaneLink) -> String {
    refusal(link).await.expect("the node has a stream")
}

/// Why a node has no stream, where it has none.
async fn refusal(link: &ControlPlaneLink) -> Option<String> {
    let (events, mut heard) = mpsc::channel(8);
    let settings = SessionSettings {
        urls: vec![link.url.clone()],
        node: "node".to_owned(),
        kind: NodeKind::Gateway,
        config: None,
        services: None,
        epoch: String::new(),
        renew_every: Duration::from_secs(1),
    };
    let _session = Session::start(client().toward(link).unwrap(), settings, 0, events);
    match timeout(LIMIT, heard.recv()).await.expect("nothing was said") {
        Some(SessionEvent::Lost(why)) => Some(why),
        _ => None,
    }
}

#[tokio::test]
async fn a_node_says_which_file_or_word_is_to_be_mended() {
    let stage = Stage::new();
    let plane = stage.plane(json!({})).await;
    let good = stage.link(&plane);
    let port = plane.address().port();
    let stranger = Some(stage.write("stranger.pem", &Authority::new("ours").pem));
    let plain = format!("http://127.0.0.1:{port}");
    let cases = [
        (ControlPlaneLink { ca: stranger, ..good.clone() }, "stranger.pem has signed it"),
        (ControlPlaneLink { ca: None, ..good.clone() }, "no public authority has signed it"),
        (ControlPlaneLink { url: plain, ca: None, ..good.clone() }, "use https://"),
        (ControlPlaneLink { url: format!("https://127.0.0.2:{port}"), ..good.clone() }, "cannot connect"),
        (ControlPlaneLink { token_file: Some(stage.path("no.token")), ..good.clone() }, "no.token cannot"),
        (
            ControlPlaneLink { token_file: Some(stage.write("empty.token", " \n")), ..good.clone() },
            "it is empty",
        ),
    ];
    for (link, part) in cases {
        let why = lost(&link).await;
        assert!(why.contains(part), "no {part} in {why}");
    }
    stage.pair("plane", &stage.authority.signed(&["elsewhere.example"]));
    crate::stage::eventually("a certificate for another name is told", async || {
        refusal(&good).await.filter(|why| why.contains("not valid for name")).map(drop)
    })
    .await;
    plane.shutdown().await;
    let plane = stage.plane(json!({"tls": null})).await;
    let url = format!("https://localhost:{}", plane.address().port());
    let why = lost(&ControlPlaneLink { url, ..good }).await;
    assert!(why.contains("does not speak TLS: write `http://`"), "{why}");
    plane.shutdown().await;
}

#[tokio::test]
async fn files_of_a_node_are_read_anew_and_bad_ones_leave_what_was_there() {
    let stage = Stage::new();
    let plane = stage.plane(json!({})).await;
    let link =
        ControlPlaneLink { ca: Some(stage.write("trusted.pem", &stage.authority.pem)), ..stage.link(&plane) };
    let linked = client().toward(&link).unwrap();
    let ask = async || {
        let request =
            http::Request::get(format!("{}/v1/services", link.url)).body(bytes::Bytes::new()).unwrap();
        crate::stage::send(&linked, request).await.map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask().await.unwrap(), 200);
    stage.write("trusted.pem", "rubbish");
    assert_eq!(ask().await.unwrap(), 200);
    stage.write("trusted.pem", &Authority::new("other").pem);
    let refused = ask().await.unwrap_err().to_string();
    assert!(refused.contains("trusted.pem has signed it"), "{refused}");
    stage.write("trusted.pem", &stage.authority.pem);
    assert_eq!(ask().await.unwrap(), 200);
    assert!(client().toward(&ControlPlaneLink { ca: Some("no.pem".into()), ..link }).is_err());
    plane.shutdown().await;
}

#[tokio::test]
async fn commands_say_the_same_with_their_flags() {
    let stage = Stage::new();
    let plane = stage.plane(json!({})).await;
    let server = stage.link(&plane).url;
    let stranger = stage.write("stranger.pem", &Authority::new("theirs").pem);
    let run = async |arguments: Vec<String>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        for name in ["SERVER", "TOKEN", "TOKEN_FILE", "CA", "CERTIFICATE", "KEY", "PLAIN_TEXT"] {
            command.env_remove(format!("PORTREEVE_{name}"));
        }
        command.arg("nodes").args(arguments).current_dir(stage.path(""));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (worked, errors) =
        run(words(&format!("--server {server} --ca ca.pem --token-file operator.token"))).await;
    assert!(worked, "{errors}");
    for (arguments, parts) in [
        (format!("--server {server} --ca {}", stranger.display()), ["stranger.pem", "--ca names"]),
        (format!("--server {server}"), ["no public authority", "--ca names"]),
        (format!("--server {server} --ca no.pem"), ["ca: there is no file", "no.pem"]),
        (
            "--server http://plane.example --token-file operator.token".to_owned(),
            ["plain text", "--plain-text"],
        ),
        (format!("--server {server} --ca ca.pem --token-file no.token"), ["no.token", "cannot be read"]),
        (server.replace("https", "--server http"), ["TLS is spoken here", "use https://"]),
    ] {
        let (worked, errors) = run(words(&arguments)).await;
        assert!(!worked && parts.iter().all(|part| errors.contains(part)), "{arguments}: {errors}");
    }
    plane.shutdown().await;
}
