//! The config server as clients of Spring Cloud Config see it: each endpoint of its protocol over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod encryption;
mod environment;
mod git_host;
mod repository;
mod rsa;
mod texts;

use std::path::Path;

use bytes::Bytes;
use portreeve_config::{ConfigServerConfig, ConfigSource, FolderSource};
use tempfile::TempDir;

use support::{Answer, Plane, config};

/// A control plane with a config server, and the folder that both keep their files in.
struct Server {
    plane: Plane,
    folder: TempDir,
}

impl Server {
    /// A server with these sources; relative paths lie in its folder.
    async fn with(change: impl FnOnce(&mut ConfigServerConfig, &Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let mut config = config(&folder.path().join("data"));
        let mut server = ConfigServerConfig { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
        change(&mut server, folder.path());
        config.config_server = Some(server);
        Self { plane: Plane::with(config).await, folder }
    }

    /// A server of the folder `files`, filled with these files.
    async fn of_files(files: &[(&str, &str)]) -> Self {
        let server = Self::with(|config, folder| {
            for (path, text) in files {
                write(&folder.join("files"), path, text);
            }
            config.sources = vec![folder_source(folder)];
        });
        server.await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let address = self.plane.running.config_server_address().unwrap();
        let mut request =
            http::Request::builder().method(method).uri(path).header("host", address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Plane::send_to(address, request.body(Bytes::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    fn write(&self, path: &str, text: &str) {
        write(&self.folder.path().join("files"), path, text);
    }

    /// The names of the sources at a path, their place left out.
    async fn names(&self, path: &str) -> Vec<String> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let document = answer.json();
        let sources = document["propertySources"].as_array().unwrap();
        let name = |source: &serde_json::Value| {
            source["name"].as_str().unwrap().rsplit("files/").next().unwrap().to_owned()
        };
        sources.iter().map(name).collect()
    }
}

fn folder_source(folder: &Path) -> ConfigSource {
    ConfigSource::Folder(FolderSource { path: folder.join("files"), search_paths: Vec::new() })
}

fn write(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}
