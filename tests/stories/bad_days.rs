//! What goes wrong says what and what to do: one clear message, a right exit code, nothing lost.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::client::Client;
use crate::demo::{Demo, PORTREEVE, eventually, send_signal};

fn run(arguments: &[&str]) -> Output {
    // `timeout` so that a process that should have stopped fails the test instead of hanging it.
    Command::new("timeout").arg("30").arg(PORTREEVE).args(arguments).output().unwrap()
}

#[track_caller]
fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn files_are_checked_with_all_their_faults() {
    let shipped = ["gateway.yaml", "sidecar.yaml", "control-plane.yaml"]
        .map(|name| format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR")));
    let output = run(&["check", &shipped[0], &shipped[1], &shipped[2]]);
    assert_says(&output, 0, &[]);

    let folder = tempfile::tempdir().unwrap();
    let bad = "kind: gateway\nlisten: nowhere\nlimts: {}\nroutes:\n  - {name: a, match: {path: x}, service: s, timeout: 5}\n";
    let file = write(folder.path(), "bad.yaml", bad);
    let output = run(&["check", &file]);
    assert_says(&output, 78, &["bad.yaml:2", "bad.yaml:3", "limits", "bad.yaml:5", "unit", "^"]);
    assert_says(&run(&["check", "/no/such/file.yaml"]), 78, &["/no/such/file.yaml"]);
    assert_says(&run(&["gateway", "--config", &file]), 78, &["bad.yaml:2"]);
    assert_says(&run(&["gateway", "--config", &shipped[1]]), 78, &["kind: gateway"]);
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "gateway.yaml", "kind: gateway\nadmin: 127.0.0.1:0\n");
    assert_says(&run(&["gateway", "--config", &file, "--listen", &address]), 1, &[&address, "in use"]);
    let data = folder.path().join("data").display().to_string();
    assert_says(&run(&["control-plane", "--listen", &address, "--data-dir", &data]), 1, &[&address]);
    let output = run(&["sidecar", "--service", "x", "--app", "127.0.0.1:1", "--inbound", &address]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}

#[tokio::test]
async fn a_second_demo_leaves_the_folder_of_the_first_alone() {
    let demo = Demo::start().await;
    let data = demo.data().display().to_string();
    assert_says(
        &run(&["demo", "--any-port", "--data-dir", &data]),
        1,
        &[&data, "another demo", "--data-dir"],
    );
    demo.gateway().get("/auth/signIn?user_id=alice").await.expect(200);
    demo.stop().await;

    let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let no_folder = file.display().to_string();
    assert_says(&run(&["demo", "--any-port", "--data-dir", &no_folder]), 1, &[&no_folder, "--data-dir"]);
}

#[test]
fn the_version_and_the_help_are_told() {
    for word in ["version", "--version"] {
        let output = run(&[word]);
        let expected = format!("portreeve {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
    for (command, word) in
        [("gateway", "gateway.yaml"), ("sidecar", "PORTREEVE_OUTBOUND"), ("control-plane", "curl")]
    {
        let output = run(&[command, "--help"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{command}");
    }
    assert_says(&run(&["no-such-command"]), 2, &["no-such-command"]);
}

#[test]
fn a_damaged_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let file = folder.path().join("control-plane.redb");
    fs::write(&file, b"this is no database").unwrap();
    let output = run(&["control-plane", "--listen", "127.0.0.1:0", "--data-dir", &data]);
    assert_says(&output, 1, &["control-plane.redb"]);
    assert_eq!(fs::read(&file).unwrap(), b"this is no database");
}

#[test]
fn a_service_that_never_becomes_ready_is_given_up_with_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(
        folder.path(),
        "sidecar.yaml",
        "kind: sidecar\nservice: x\napp: 127.0.0.1:9\nready: {timeout: 300ms}\n",
    );
    assert_says(&run(&["sidecar", "--config", &file, "--", "sleep", "30"]), 1, &["127.0.0.1:9"]);
    let output = run(&["sidecar", "--config", &file, "--", "sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let output = run(&["sidecar", "--config", &file, "--", "/no/such/program"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/program"));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        write(folder.path(), "gateway.yaml", "kind: gateway\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\n");
    let addresses = folder.path().join("addresses.json");
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut gateway = tokio::process::Command::new(PORTREEVE)
        .args(["gateway", "--config", &file, "--address-file", &addresses.display().to_string()])
        .stdout(full())
        .stderr(full())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("it serves", async || addresses.exists()).await;
    let listen: serde_json::Value = serde_json::from_slice(&fs::read(&addresses).unwrap()).unwrap();
    let client = Client::new(listen["listen"].as_str().unwrap());
    for _ in 0..3 {
        client.get("/").await.expect_problem(404);
    }
    send_signal(i32::try_from(gateway.id().unwrap()).unwrap(), "TERM");
    assert_eq!(gateway.wait().await.unwrap().code(), Some(0));
}
