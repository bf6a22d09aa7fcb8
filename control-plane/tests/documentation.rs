//! Every shell block of the control plane's documentation is run as it stands there, in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use tokio::process::Command;

use support::Plane;

#[tokio::test]
async fn the_examples_work_as_they_are_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/control-plane.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let address = plane.running.address().to_string();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut run = 0;
    for block in blocks.filter(|block| block.contains("curl")) {
        let script =
            format!("set -e\ncurl() {{ command curl --silent --show-error \"$@\"; echo; }}\n{block}");
        let script = script.replace("127.0.0.1:7070", &address);
        let output =
            Command::new("bash").arg("-c").arg(&script).output().await.expect("bash and curl are there");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
        for line in text.lines().filter(|line| line.contains("about:blank")) {
            assert!(block.contains("dry_run") && line.contains("did you mean"), "{block}\n{line}");
        }
        run += 1;
    }
    assert!(run >= 8, "only {run} examples were found");
}
