//! Git repositories, made by git itself: labels, default branches, commits that appear, repositories that vanish.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use portreeve_config::{ConfigSource, GitSource, Period};

use super::support::LIMIT;
use super::{Server, write};

pub(super) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub(super) fn commit(folder: &Path, path: &str, text: &str) -> String {
    write(folder, path, text);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "change"]);
    git(folder, &["rev-parse", "HEAD"])
}

pub(super) fn repository(folder: &Path, branch: &str) -> PathBuf {
    let place = folder.join("repository");
    std::fs::create_dir(&place).unwrap();
    git(&place, &["init", "--quiet", "--initial-branch", branch]);
    place
}

pub(super) fn source(uri: &str) -> ConfigSource {
    ConfigSource::Git(Box::new(GitSource {
        uri: uri.to_owned(),
        patterns: Vec::new(),
        default_label: "main".to_owned(),
        try_master_branch: true,
        search_paths: vec!["{application}".to_owned()],
        fetch_every: Period::from_secs(1),
        credentials: None,
        ca_file: None,
        ssh: None,
    }))
}

pub(super) async fn value(server: &Server, path: &str) -> String {
    server.get(path).await.json()["propertySources"][0]["source"]["a"].to_string()
}

#[tokio::test]
async fn labels_are_branches_tags_and_commits() {
    let mut first = String::new();
    let server = Server::with(|config, folder| {
        let place = repository(folder, "main");
        first = commit(&place, "pay.yml", "a: 1");
        git(&place, &["tag", "v1.0"]);
        git(&place, &["tag", "--annotate", "v1.0-note", "--message", "x"]);
        git(&place, &["branch", "feature/x"]);
        commit(&place, "pay.yml", "a: 2");
        commit(&place, "pay/pay-dev.yml", "a: 3");
        write(&place, "pay.yml", "a: not committed");
        config.sources = vec![source(&format!("file://{}", place.display()))];
    });
    let server = server.await;
    for (path, expected) in [
        ("/pay/default", "2"),
        ("/pay/default/main", "2"),
        ("/pay/default/v1.0", "1"),
        ("/pay/default/v1.0-note", "1"),
        ("/pay/default/feature(_)x", "1"),
        (&format!("/pay/default/{first}"), "1"),
        (&format!("/pay/default/{}", &first[..8]), "1"),
        ("/pay/dev", "3"),
        ("/pay/default/main,v1.0", "1"),
        ("/pay/default/v1.0,main", "2"),
    ] {
        assert_eq!(value(&server, path).await, expected, "{path}");
    }
    let document = server.get("/pay/default/v1.0").await.json();
    assert_eq!((&document["version"], &document["state"]), (&first.as_str().into(), &"".into()));
    let name = document["propertySources"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("file:///") && name.ends_with("/repository/pay.yml"), "{name}");
    let both = server.get("/pay/default/main,v1.0").await.json();
    assert!(both["version"].as_str().unwrap().ends_with(&format!(",{first}")), "{both}");
    for path in ["/pay/default/none", "/pay/default/main,none", "/pay/default/HEAD~1", "/pay/dev/none/x.txt"]
    {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    let text = server.get("/pay/default/main/pay.yml").await;
    assert_eq!(text.text, "a: 2");
}

#[tokio::test]
async fn master_is_tried_where_main_is_not_there() {
    let server = Server::with(|config, folder| {
        let place = repository(folder, "master");
        commit(&place, "pay.yml", "a: 1");
        config.sources = vec![source(&place.display().to_string())];
    });
    assert_eq!(value(&server.await, "/pay/default").await, "1");
}

#[tokio::test]
async fn a_commit_reaches_sidecars_and_a_repository_that_vanishes_goes_on() {
    let server = Server::with(|config, folder| {
        let place = repository(folder, "main");
        commit(&place, "pay.yml", "a: 1");
        git(&place, &["tag", "v1"]);
        config.sources = vec![source(&place.display().to_string())];
    });
    let server = server.await;
    let place = server.folder.path().join("repository");
    assert_eq!(value(&server, "/pay/default/v1").await, "1");
    let mut sidecar = server.plane.sidecar("one", "pay", "dev").await;
    assert_eq!(sidecar.snapshot().await.config["a"], "1");
    commit(&place, "pay.yml", "a: 2");
    let start = Instant::now();
    while value(&server, "/pay/default").await != "2" {
        assert!(start.elapsed() < LIMIT, "the commit was not seen");
    }
    super::changes::told(&mut sidecar, "a", Some("2")).await;
    std::fs::rename(&place, server.folder.path().join("gone")).unwrap();
    for (path, expected) in [("/pay/default", "2"), ("/pay/default/main", "2"), ("/pay/default/v1", "1")] {
        assert_eq!(value(&server, path).await, expected, "{path}");
    }
    assert_eq!(server.get("/pay/default/unknown").await.status, 404);
    assert_eq!(server.get("/actuator/health").await.status, 200);
    std::fs::rename(server.folder.path().join("gone"), &place).unwrap();
    commit(&place, "pay.yml", "a: 3");
    super::changes::told(&mut sidecar, "a", Some("3")).await;
}

#[tokio::test]
async fn a_repository_that_was_never_there_is_no_reason_not_to_start() {
    let server = Server::with(|config, folder| {
        config.sources = vec![source(&folder.join("repository").display().to_string())];
    });
    let server = server.await;
    assert_eq!(server.get("/pay/default").await.status, 404);
    assert_eq!(server.get("/actuator/health").await.status, 503);
    let place = repository(server.folder.path(), "main");
    commit(&place, "pay.yml", "a: 1");
    assert_eq!(value(&server, "/pay/default").await, "1");
}

#[tokio::test]
async fn hidden_files_and_links_of_a_repository_are_not_served() {
    let server = Server::with(|config, folder| {
        let place = repository(folder, "main");
        write(folder, "secret.txt", "secret");
        #[cfg(unix)]
        std::os::unix::fs::symlink("../secret.txt", place.join("link.txt")).unwrap();
        commit(&place, ".hidden.txt", "secret");
        config.sources = vec![source(&place.display().to_string())];
    });
    let server = server.await;
    for path in
        ["/pay/default/main/link.txt", "/pay/default/main/.hidden.txt", "/pay/default/main/.git/config"]
    {
        let answer = server.get(path).await;
        assert!(answer.status >= 400 && !answer.text.contains("secret\n"), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_repository_of_some_applications_answers_only_those() {
    let server = Server::with(|config, folder| {
        let everyone = repository(folder, "main");
        commit(&everyone, "application.yml", "a: 1");
        git(&everyone, &["tag", "v1"]);
        let own = folder.join("own");
        std::fs::create_dir(&own).unwrap();
        let own = repository(&own, "main");
        commit(&own, "application.yml", "a: 2");
        let ConfigSource::Git(mut first) = source(&own.display().to_string()) else { unreachable!() };
        first.patterns = vec!["pay*".to_owned(), "*/secret".to_owned()];
        config.sources = vec![ConfigSource::Git(first), source(&everyone.display().to_string())];
    });
    let server = server.await;
    for (path, expected) in [
        ("/pay/default", "2"),
        ("/pay-core/dev", "2"),
        ("/orders/dev,secret", "2"),
        ("/orders/default", "1"),
        // The label is of the one that answers.
        ("/orders/default/v1", "1"),
    ] {
        assert_eq!(value(&server, path).await, expected, "{path}");
    }
    assert_eq!(server.get("/pay/default/v1").await.status, 404);
    for (application, expected) in [("pay", "2"), ("orders", "1")] {
        let mut sidecar = server.plane.sidecar(application, application, "default").await;
        assert_eq!(sidecar.snapshot().await.config["a"], expected);
    }
}
