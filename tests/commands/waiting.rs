//! Waiting for nodes: a gateway that follows, and one that does not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Scene;

/// What comes until the end of an HTTP head.
pub(crate) async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A node whose stream is open, and who says only what it is told to.
async fn node(scene: &Scene, name: &str) -> TcpStream {
    let mut socket = TcpStream::connect(scene.plane.address()).await.unwrap();
    let hello = format!(r#"{{"type":"hello","node":"{name}","kind":"gateway"}}"#);
    let fields =
        format!("connection: upgrade\r\nupgrade: portreeve-stream\r\ncontent-length: {}", hello.len());
    let request = format!("POST /v1/stream HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n{hello}");
    socket.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut socket).await.starts_with("HTTP/1.1 101 "));
    socket
}

async fn say(socket: &mut TcpStream, line: &str) {
    socket.write_all(format!("{line}\n").as_bytes()).await.unwrap();
}

#[tokio::test]
async fn laggards_are_named_and_end_it_with_1() {
    let scene = Scene::begin().await;
    scene.write("state.yaml", "kind: desired-state\nservices: [orders]\n");
    assert_eq!(scene.run(&["config", "apply", "state.yaml"]).await.0, 0);
    let mut quick = node(&scene, "quick").await;
    let mut slow = node(&scene, "slow").await;
    say(&mut quick, r#"{"type":"ack","revision":1}"#).await;
    say(&mut slow, r#"{"type":"nack","revision":1,"faults":[{"path":"routes[0]","problem":"not that"}]}"#)
        .await;
    let (code, _, errors) = scene.run(&["config", "wait", "1", "--timeout", "1s"]).await;
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("slow") && !errors.contains("quick"), "{errors}");
    assert!(errors.contains("not that"), "{errors}");
    let (code, json, _) = scene.run(&["config", "wait", "1", "--timeout", "10ms", "--output", "json"]).await;
    assert!(code == 1 && json.contains("\"behind\""), "{json}");
    let (_, stale, _) = scene.run(&["nodes", "--stale"]).await;
    assert!(stale.contains("slow") && stale.contains("not that") && !stale.contains("quick"), "{stale}");
    let waiting = async { scene.run(&["config", "wait", "1", "--timeout", "30s"]).await };
    let following = async { say(&mut slow, r#"{"type":"ack","revision":1}"#).await };
    let ((code, output, errors), ()) = tokio::join!(waiting, following);
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("revision 1 in force"), "{output}");
}
