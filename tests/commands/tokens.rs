//! Commands that show a token: the wrong one, one that may not, and the right one, whose name the history has.

use std::process::Output;

use serde_json::json;

use crate::{PORTREEVE, Scene, command, told};

const READER: &str = "the-reader-s-token-0123456789";
const DEPLOYER: &str = "the-deployer-s-token-0123456789";
const ADMIN: &str = "the-admin-s-token-0123456789";

async fn guarded() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let tokens = [("reader", "read", READER), ("deployer", "operate", DEPLOYER), ("root", "admin", ADMIN)];
    let tokens = tokens.map(|(name, role, token)| {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{token}\n")).unwrap();
        json!({"name": name, "role": role, "token_file": file})
    });
    let scene = Scene::with(folder, json!(tokens)).await;
    scene.write("state.yaml", "kind: desired-state\nservices: [orders]\n");
    scene
}

/// Runs a command with a token in the environment; none where it is empty.
async fn run(scene: &Scene, token: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = command(PORTREEVE, scene.folder.path(), &scene.url());
    if !token.is_empty() {
        command.env("PORTREEVE_TOKEN", token);
    }
    let output: Output = command.args(arguments).output().await.unwrap();
    told(&output)
}

#[tokio::test]
async fn without_the_right_token_nothing_is_shown_or_changed() {
    let scene = guarded().await;
    let apply = ["config", "apply", "state.yaml"];
    for token in ["", "wrong-wrong-wrong-wrong-wrong", &READER[1..]] {
        for arguments in [&["services"][..], &apply, &["control-plane", "backup", "b"]] {
            let (code, out, error) = run(&scene, token, arguments).await;
            assert_ne!(code, 0, "{arguments:?}: {out}");
            assert!(error.contains("--token-file"), "{arguments:?}: {error}");
            assert!(token.is_empty() || !error.contains(token), "{error}");
        }
    }
    let (code, _, error) = run(&scene, READER, &apply).await;
    assert_ne!(code, 0);
    assert!(error.contains("needs the role `operate` or `admin`; the token `reader`"), "{error}");
    assert!(!error.contains(READER), "{error}");
    let (code, out, error) = run(&scene, READER, &["services"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(!out.contains("orders"), "{out}");
}

#[tokio::test]
async fn the_history_has_the_token_s_name_and_the_actor_s() {
    let scene = guarded().await;
    let (code, _, error) =
        run(&scene, DEPLOYER, &["config", "apply", "state.yaml", "--actor", "alice"]).await;
    assert_eq!(code, 0, "{error}");
    let (code, out, error) = scene.run(&["config", "history", "--token-file", "reader"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("deployer (alice)"), "{out}");
}
