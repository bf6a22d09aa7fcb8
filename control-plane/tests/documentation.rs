//! Every shell block of the control plane's documentation is run as it stands there, in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use portreeve_config::{ConfigServerConfig, ControlPlaneConfig, EurekaConfig, Secret};
use tokio::process::Command;

use support::{Plane, config};

#[tokio::test]
async fn the_examples_work_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let address = plane.running.address().to_string();
    assert!(run_examples("control-plane.md", &[("127.0.0.1:7070", &address)]).await >= 8);
}

#[tokio::test]
async fn the_examples_of_eureka_work_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let eureka = EurekaConfig { listen: "127.0.0.1:0".to_owned(), ..EurekaConfig::default() };
    let config = ControlPlaneConfig { eureka: Some(eureka), ..config(folder.path()) };
    let plane = Plane::with(config).await;
    let address = plane.running.eureka_address().unwrap().to_string();
    assert_eq!(run_examples("eureka.md", &[("127.0.0.1:8761", &address)]).await, 1);
}

#[tokio::test]
async fn the_examples_of_the_config_server_work_as_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ConfigServerConfig { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    server.encryption.key = Some(Secret::new("a key"));
    let config = ControlPlaneConfig { config_server: Some(server), ..config(folder.path()) };
    let plane = Plane::with(config).await;
    let own = plane.running.address().to_string();
    let address = plane.running.config_server_address().unwrap().to_string();
    let addresses = [("127.0.0.1:7070", &*own), ("127.0.0.1:8888", &*address)];
    assert_eq!(run_examples("config-server.md", &addresses).await, 1);
}

/// Runs every block of a page that asks a control plane something; gives how many there were.
async fn run_examples(page: &str, addresses: &[(&str, &str)]) -> usize {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut run = 0;
    for block in blocks.filter(|block| block.contains("curl") || block.contains("python3")) {
        let script =
            format!("set -e\ncurl() {{ command curl --silent --show-error \"$@\"; echo; }}\n{block}");
        let replaced = |script: String, (written, address): &(&str, &str)| script.replace(written, address);
        let script = addresses.iter().fold(script, replaced);
        let output =
            Command::new("bash").arg("-c").arg(&script).output().await.expect("bash and curl are there");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("HTTP/1.1 4") && !text.contains("HTTP/1.1 5"), "{block}\n{text}");
        for line in text.lines().filter(|line| line.contains("about:blank")) {
            assert!(block.contains("dry_run") && line.contains("did you mean"), "{block}\n{line}");
        }
        run += 1;
    }
    run
}
