//! Keys over a real socket: found through the name of a service, and an issuer that answers with what no one
//! should read or follow.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::client::Client;

/// An issuer that answers each path with what `answer` makes of it, and counts the requests.
async fn issuer(answer: fn(&str) -> String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = serve(stream, answer).await;
        }
    });
    (address, count)
}

async fn serve(stream: TcpStream, answer: fn(&str) -> String) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "\r\n") {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            break;
        }
        lines.push(line);
    }
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    stream.write_all(answer(path).as_bytes()).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn authenticator(client: Client, provider: AuthProvider) -> Authenticator {
    let clock: Clock = Box::new(|| NOW);
    let sources = KeySources::with_clock(Arc::new(client), Handle::current(), clock);
    Authenticator::compile(&config(vec![provider]), sources).unwrap()
}

#[tokio::test]
async fn keys_come_from_the_instances_of_a_service() {
    let (address, _) = issuer(|path| match path {
        "/.well-known/openid-configuration" => {
            ok(&json!({"issuer": ISSUER, "jwks_uri": "http://issuer.example/auth/keys"}).to_string())
        }
        "/auth/keys" => ok(&json!({"keys": [RSA.jwk("a")]}).to_string()),
        _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    })
    .await;
    let instances = move |service: &str| if service == "auth" { vec![address] } else { Vec::new() };
    let client = Client::new(Arc::new(instances)).unwrap();
    let discovery_url = Some("lb://auth/.well-known/openid-configuration".to_owned());
    let provider = AuthProvider { jwks_url: None, discovery_url, ..provider() };
    let identity = authenticator(client, provider).authenticate(&bearer(&good_token("a"))).await.unwrap();
    assert_eq!(identity.subject, "alice");
}

#[tokio::test]
async fn a_flood_is_not_read_and_a_redirect_not_followed() {
    let (address, requests) = issuer(|path| match path {
        "/large" => ok(&json!({"keys": [RSA.jwk("a")], "more": " ".repeat(300 * 1024)}).to_string()),
        "/moved" => "HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => ok(&json!({"keys": [RSA.jwk("a")]}).to_string()),
    })
    .await;
    for path in ["large", "moved"] {
        let client = Client::new(Arc::new(|_: &str| Vec::new())).unwrap();
        let provider = AuthProvider { jwks_url: Some(format!("http://{address}/{path}")), ..provider() };
        let outcome = authenticator(client, provider).authenticate(&bearer(&good_token("a"))).await;
        assert_eq!(outcome.unwrap_err(), AuthFault::KeysUnavailable, "{path}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
