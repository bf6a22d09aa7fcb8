//! Portreeve inside another program: the example, as it stands, and a reload.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use portreeve::{Gateway, GatewayConfig, RouteConfig};

/// A service that answers every connection's first request with this text.
fn service(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
        }
    });
    address
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_example_serves_and_stops() {
    // Beside the folder of the test binaries; there already, unless only this test was asked for.
    let program: PathBuf =
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/embedded");
    if !program.exists() {
        let build = Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "embedded"]).status();
        assert!(build.unwrap().success());
    }
    let mut example = Command::new(program)
        .arg(service("hello from a service").to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(example.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().strip_suffix("/hello/").unwrap();
    let answer = get(address, "/hello/there");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello from a service"), "{answer}");
    assert!(get(address, "/other").starts_with("HTTP/1.1 404"));
    Command::new("kill").args(["-INT", &example.id().to_string()]).status().unwrap();
    assert!(example.wait().unwrap().success());
}

#[tokio::test]
async fn a_program_reloads_its_gateway_and_is_told_what_is_wrong() {
    let config = |route: &str| GatewayConfig {
        routes: vec![RouteConfig::new("one", route, "hello")],
        services: [(
            "hello".to_owned(),
            portreeve::config::ServiceConfig {
                endpoints: vec![service("hi").to_string()],
                ..Default::default()
            },
        )]
        .into(),
        listen: "127.0.0.1:0".to_owned(),
        admin: "127.0.0.1:0".to_owned(),
        ..GatewayConfig::default()
    };
    let gateway = Gateway::builder().config(config("/a")).serve().await.unwrap();
    let address = gateway.local_addrs().listen.to_string();
    let ask = async |path: &'static str| {
        let address = address.clone();
        tokio::task::spawn_blocking(move || get(&address, path)).await.unwrap()
    };
    assert!(ask("/a").await.ends_with("hi"));
    gateway.reload(config("/b")).await.unwrap();
    assert!(ask("/b").await.ends_with("hi") && ask("/a").await.starts_with("HTTP/1.1 404"));
    let faults = gateway.reload(config("no-slash")).await.unwrap_err();
    assert_eq!(faults.0[0].path, "routes[0].match.path");
    assert!(ask("/b").await.ends_with("hi"), "what was in force stays");
    gateway.shutdown().await;
}
