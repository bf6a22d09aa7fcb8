//! What goes wrong is named with its place and its remedy, ends with the documented code, and changes nothing.

use crate::Scene;

const GOOD: &str = "kind: desired-state\nservices: [orders]\nroutes:\n\
                    - {name: orders, match: {path: /orders/*}, service: orders}\n";

#[tokio::test]
async fn a_file_with_faults_is_told_with_its_lines_and_not_sent() {
    let scene = Scene::begin().await;
    scene.write(
        "bad.yaml",
        "kind: desired-state\nservices: [orders]\nroutes:\n- {name: a, match: {pth: /a}, service: ordrs}\n",
    );
    for action in ["validate", "diff", "apply"] {
        let (code, _, errors) = scene.run(&["config", action, "bad.yaml"]).await;
        assert_eq!(code, 78, "{errors}");
        for part in ["bad.yaml:4", "routes[0].match", "did you mean `orders`"] {
            assert!(errors.contains(part), "{action}: no {part} in {errors}");
        }
    }
    scene.write("gateway.yaml", "kind: gateway\n");
    let (code, _, errors) = scene.run(&["config", "apply", "gateway.yaml"]).await;
    assert!(code == 78 && errors.contains("is not of `kind: desired-state`"), "{errors}");
    // What only the control plane knows is told by it.
    scene.write(
        "routes.yaml",
        "kind: desired-state\nroutes: [{name: a, match: {path: /a}, service: ordrs}]\n",
    );
    let (code, _, errors) = scene.run(&["config", "apply", "routes.yaml"]).await;
    assert!(code == 78 && errors.contains("routes[0].service"), "{code} {errors}");
    let (_, history, _) = scene.run(&["config", "history"]).await;
    assert_eq!(history, "nothing was changed yet\n");
}

#[tokio::test]
async fn a_stale_precondition_and_unknown_revisions_end_with_1() {
    let scene = Scene::begin().await;
    scene.write("good.yaml", GOOD);
    assert_eq!(scene.run(&["config", "apply", "good.yaml"]).await.0, 0);
    scene.write("empty.yaml", "kind: desired-state\nroutes: []\n");
    for arguments in [
        &["config", "apply", "empty.yaml", "--if-match", "7"][..],
        &["config", "rollback", "0", "--if-match", "7"],
        &["config", "rollback", "9"],
        &["config", "show", "9"],
        &["config", "diff", "--from", "9"],
        &["config", "wait", "9"],
    ] {
        let (code, _, errors) = scene.run(arguments).await;
        assert!(code == 1 && errors.contains("revision"), "{arguments:?}: {code} {errors}");
    }
    let (_, after, _) = scene.run(&["config", "apply", "good.yaml", "--output", "json"]).await;
    assert!(after.contains("\"revision\": 1"), "{after}");
}

#[tokio::test]
async fn who_cannot_be_reached_is_named_with_the_remedy() {
    let scene = Scene::begin().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for (server, part) in [(&*url, &*url), ("127.0.0.1:7070", "--server"), ("http://a b", "--server")] {
        let (code, _, errors) = scene.run(&["services", "--server", server]).await;
        assert!(code == 1 && errors.contains(part), "{server}: {code} {errors}");
    }
    for arguments in
        [&["config"][..], &["config", "show", "x"], &["config", "diff"], &["services", "--output", "xml"]]
    {
        assert_eq!(scene.run(arguments).await.0, 2, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_token_is_sent_and_never_shown() {
    let scene = Scene::begin().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    scene.write("token", "s3cret\n");
    let arguments = ["services", "--server", &url, "--token-file", "token"];
    let answer = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = crate::waiting::head(&mut socket).await;
        let body = r#"{"status": 403, "detail": "this token may not do that"}"#;
        let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        tokio::io::AsyncWriteExt::write_all(&mut socket, answer.as_bytes()).await.unwrap();
        head
    };
    let ((code, output, errors), head) = tokio::join!(scene.run(&arguments), answer);
    assert!(head.to_lowercase().contains("authorization: bearer s3cret\r\n"), "{head}");
    assert!(code == 1 && errors.contains("may not do that") && errors.contains("--token-file"), "{errors}");
    assert!(!format!("{output}{errors}").contains("s3cret"));
    scene.write("empty", "\n");
    let (code, _, errors) = scene.run(&["services", "--token-file", "empty"]).await;
    assert!(code == 1 && errors.contains("is empty"), "{errors}");
}
