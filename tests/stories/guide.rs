//! What the demo prints, pasted into a shell.

use crate::demo::{Demo, eventually};

#[tokio::test]
async fn every_command_the_demo_prints_does_what_it_says() {
    let demo = Demo::start().await;
    let printed = async || demo.log().contains("# 10.");
    eventually("the guide is printed", printed).await;
    let log = demo.log();
    let guide = log.split("from top to bottom:").nth(1).unwrap();
    let guide: Vec<&str> =
        guide.lines().take_while(|line| line.is_empty() || line.starts_with("  ")).collect();
    // Two of them run until Ctrl-C: what another terminal is to the reader, `&` is to this script.
    let commands =
        guide.iter().map(|line| match line.contains(" sidecar ") || line.contains(" control-plane ") {
            true => format!("{line} > /dev/null 2>&1 &\nsleep 2\n"),
            false => format!("{line}\n"),
        });
    let script = format!("set -u\n{}kill -TERM $(jobs -p); wait\n", commands.collect::<String>());
    let output = tokio::process::Command::new("bash").arg("-c").arg(&script).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let expected = [
        "401 unauthorized",
        "201 created",
        "server-port",
        "fwd=uri-miss",
        "gateway; hit",
        "\"servicename\":\"products-sidecar\"",
        "lamp",
        "\"currency\":\"chf\"",
    ];
    for expected in expected {
        assert!(text.contains(expected), "no `{expected}` in\n{text}\n{script}");
    }
    assert_eq!(text.matches("200 ok").count(), 7, "{text}");
    demo.stop().await;
}
