//! Plain-text files: variants, placeholders, bytes, dates.

use portreeve_config::{ConfigSource, FolderSource, Secret};

use super::{Server, write};

/// `Encryptors.text("correct horse", "deadbeef").encrypt("s3cr3t pässword")`
const SEALED: &str =
    "8821564b71e591f63642000693ff22f3af9281974d8d149190adaaa6b4cac68560aa86b46c68b30871eaf1fc1ad2cee8";

#[tokio::test]
async fn the_first_variant_in_the_folders_of_an_application_is_served() {
    let server = Server::of_files(&[
        ("pay.yml", "port: 80"),
        ("nginx.conf", "listen ${port};"),
        ("nginx-dev.conf", "dev ${port};"),
        ("deep/er/x.txt", "deep"),
        ("v1/nginx.conf", "v1"),
        ("noextension", "n"),
    ]);
    let server = server.await;
    for (path, expected) in [
        ("/pay/default/main/nginx.conf", "listen 80;"),
        ("/pay/dev/main/nginx.conf", "dev 80;"),
        ("/pay/eu,dev/main/nginx.conf", "dev 80;"),
        ("/pay/dev/nginx.conf?useDefaultLabel", "dev 80;"),
        ("/pay/default/main/nginx.conf?resolvePlaceholders=false", "listen ${port};"),
        ("/pay/default/main/deep/er/x.txt", "deep"),
        ("/pay/default/main/deep(_)er/x.txt", "deep"),
        ("/pay/default/main/noextension", "n"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, &*answer.text), (200, expected), "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain;charset=UTF-8");
    }
    for path in ["/pay/default/main/none.txt", "/pay/default/main/deep", "/pay/default/none?useDefaultLabel"]
    {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn bytes_are_not_touched_and_dates_are_honoured() {
    let server = Server::of_files(&[("logo.bin", "${a}")]).await;
    let path = "/pay/default/main/logo.bin";
    let bytes = server.send("GET", path, &[("accept", "application/octet-stream")], "").await;
    assert_eq!(
        (&*bytes.text, &bytes.headers["content-type"]),
        ("${a}", &"application/octet-stream".parse().unwrap())
    );
    let date = bytes.headers["last-modified"].to_str().unwrap();
    let again = server.send("GET", path, &[("if-modified-since", date)], "").await;
    assert_eq!((again.status, &*again.text), (304, ""));
    let old = "Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(server.send("GET", path, &[("if-modified-since", old)], "").await.status, 200);
}

#[tokio::test]
async fn sealed_values_in_texts_are_opened_only_when_asked() {
    for (opens, expected) in [
        (true, "a: 's3cr3t pässword'\nb: <n/a>\n".to_owned()),
        (false, format!("a: '{{cipher}}{SEALED}'\nb: {{cipher}}ab\n")),
    ] {
        let server = Server::with(|config, folder| {
            let root = folder.join("files");
            write(&root, "x.yml", &format!("a: '{{cipher}}{SEALED}'\nb: {{cipher}}ab\n"));
            config.sources =
                vec![ConfigSource::Folder(FolderSource { path: root, search_paths: Vec::new() })];
            config.encryption.key = Some(Secret::new("correct horse"));
            config.encryption.plain_text = opens;
        });
        assert_eq!(server.await.get("/pay/default/main/x.yml").await.text, expected);
    }
}
