//! A gateway under systemd: what it says of itself, and the sockets it is given. systemd's part is played by the test.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use rustix::io::{FdFlags, fcntl_setfd};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::demo::{LIMIT, PORTREEVE, send_signal};

const FILE: &str = "kind: gateway\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\naccess_log: off\n\
                    services: {s: {endpoints: [\"127.0.0.1:9\"]}}\n\
                    routes: [{name: all, match: {path: /all}, service: s}]\n";

fn gateway(folder: &std::path::Path, file: &str, script: &str) -> Command {
    fs::write(folder.join("gateway.yaml"), file).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{script} exec {PORTREEVE} gateway --config \"$FOLDER/gateway.yaml\"")]);
    command.env("FOLDER", folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true);
    command
}

async fn stopped(mut process: Child) {
    send_signal(i32::try_from(process.id().unwrap()).unwrap(), "TERM");
    let ended = tokio::time::timeout(LIMIT, process.wait()).await.expect("it did not end");
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test]
async fn it_says_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let heard = UnixDatagram::bind(&path).unwrap();
    heard.set_nonblocking(true).unwrap();
    let mut all = String::new();
    let mut next = || {
        let mut message = [0; 4096];
        while let Ok(length) = heard.recv(&mut message) {
            all.push_str(std::str::from_utf8(&message[..length]).unwrap().trim());
            all.push('\n');
        }
        all.clone()
    };
    let script = "WATCHDOG_USEC=200000 WATCHDOG_PID=$$";
    let process = gateway(folder.path(), FILE, script).env("NOTIFY_SOCKET", &path).spawn().unwrap();
    let mut hears = async |what: &'static str, count: usize| {
        let began = std::time::Instant::now();
        while next().lines().filter(|line| line.starts_with(what)).count() < count {
            assert!(began.elapsed() < LIMIT, "no {what} in {}", next());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    hears("READY=1", 1).await;
    hears("WATCHDOG=1", 3).await;
    send_signal(i32::try_from(process.id().unwrap()).unwrap(), "HUP");
    hears("RELOADING=1", 1).await;
    hears("MONOTONIC_USEC=", 1).await;
    hears("READY=1", 2).await;
    stopped(process).await;
    hears("STOPPING=1", 1).await;
}

#[tokio::test]
async fn it_serves_the_sockets_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    let file = format!("{FILE}listeners: [{{address: \"systemd:web\"}}]\n");
    // The descriptor is not number 3 here; the variable that says so is an extension that tests use.
    let script =
        format!("LISTEN_FDS=1 LISTEN_FDS_FIRST_FD={} LISTEN_FDNAMES=web LISTEN_PID=$$", socket.as_raw_fd());
    let process = gateway(folder.path(), &file, &script).spawn().unwrap();
    fcntl_setfd(&socket, FdFlags::CLOEXEC).unwrap();
    let client = Client::new(&socket.local_addr().unwrap().to_string());
    // Until then requests wait in the socket.
    assert_eq!(client.get("/none").await.status, 404);
    stopped(process).await;

    // Without it there is no such socket.
    let mut process = gateway(folder.path(), &file, "").spawn().unwrap();
    let ended = tokio::time::timeout(LIMIT, process.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(1));
}
