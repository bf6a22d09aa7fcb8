//! The commands that talk to a control plane: the real binary against a control plane in the test's own process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod documentation;
mod refusals;
mod tokens;
mod waiting;

use std::path::Path;
use std::process::Output;

use portreeve::{ControlPlane, ControlPlaneConfig, RunningControlPlane};
use tempfile::TempDir;
use tokio::process::Command;

const PORTREEVE: &str = env!("CARGO_BIN_EXE_portreeve");

/// A control plane, and a folder to run commands in.
struct Scene {
    plane: RunningControlPlane,
    folder: TempDir,
}

impl Scene {
    async fn begin() -> Self {
        Self::with(tempfile::tempdir().unwrap(), serde_json::json!([])).await
    }

    /// With the control plane's `tokens`.
    async fn with(folder: TempDir, tokens: serde_json::Value) -> Self {
        let data = folder.path().join("data");
        let config = serde_json::json!({"listen": "127.0.0.1:0", "data_dir": data, "tokens": tokens});
        let config: ControlPlaneConfig = serde_json::from_value(config).unwrap();
        Self { plane: ControlPlane::start(config).await.unwrap(), folder }
    }

    fn url(&self) -> String {
        format!("http://{}", self.plane.address())
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Runs the binary; gives its exit code, standard output and standard error.
    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = command(PORTREEVE, self.folder.path(), &self.url()).args(arguments).output().await;
        told(&output.unwrap())
    }
}

/// A command that knows where the control plane is and nothing else of this test's surroundings.
fn command(program: &str, folder: &Path, server: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["PORTREEVE_TOKEN", "PORTREEVE_TOKEN_FILE", "PORTREEVE_ACTOR"] {
        command.env_remove(name);
    }
    command.current_dir(folder).env("PORTREEVE_SERVER", server).kill_on_drop(true);
    command
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}
