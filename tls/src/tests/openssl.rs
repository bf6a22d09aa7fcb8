//! The same with a client that isn't rustls, where there is one.

use std::process::{Command, Stdio};
use std::sync::Arc;

use portreeve_config::ClientAuthMode;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::material::{Authority, Folder, asking, settings};
use crate::{AcceptFault, Acceptor, Facts, Tickets};

/// What `openssl s_client` with these arguments writes, and what the acceptor says; `None` without openssl.
async fn s_client(
    acceptor: &Acceptor,
    arguments: Vec<String>,
) -> Option<(String, Result<Facts, AcceptFault>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: openssl is not installed");
        return None;
    }
    let calling = spawn_blocking(move || {
        let mut command = Command::new("timeout");
        command.args(["60", "openssl", "s_client", "-connect", &address]).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    });
    let (socket, _) = listener.accept().await.unwrap();
    let outcome = acceptor.accept(socket).await.map(|(_, facts)| facts);
    let output = calling.await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some((String::from_utf8_lossy(&text).into_owned(), outcome))
}

fn arguments(given: &[&str], authority: &Folder) -> Vec<String> {
    let ca = authority.path("ca.crt").display().to_string();
    let always = ["-CAfile", &ca, "-verify_return_error"];
    always.iter().chain(given).map(|argument| (*argument).to_owned()).collect()
}

#[tokio::test]
async fn names_protocols_and_staples_are_what_openssl_sees() {
    let (authority, folder) = (Authority::new(), Folder::new());
    folder.write("ca.crt", &authority.pem);
    let mut pair = folder.pair("wild", &authority.leaf(&["*.shop.example"]));
    pair.ocsp = Some(folder.write("a.ocsp", [0x30, 3, 0x0a, 1, 0]));
    let first = folder.pair("first", &authority.leaf(&["first.example"]));
    let acceptor = Acceptor::new(&settings(vec![first, pair]), &Tickets::new()).unwrap();
    let given = ["-servername", "Web.Shop.Example", "-alpn", "http/1.1,h2", "-status"];
    let Some((text, facts)) = s_client(&acceptor, arguments(&given, &folder)).await else { return };
    for expected in
        ["CN = *.shop.example", "ALPN protocol: h2", "TLSv1.3", "OCSP response:", "Verification: OK"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(!text.contains("OCSP response: no response sent"), "{text}");
    assert_eq!(facts.unwrap().server_name.as_deref(), Some("web.shop.example"));
    let (text, facts) = s_client(&acceptor, arguments(&["-noservername", "-tls1_2"], &folder)).await.unwrap();
    assert!(text.contains("CN = first.example") && text.contains("No ALPN negotiated"), "{text}");
    assert_eq!(facts.unwrap().server_name, None);
    let (_, refused) = s_client(&acceptor, arguments(&["-tls1_1"], &folder)).await.unwrap();
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_session_that_openssl_keeps_goes_on_with_another_worker() {
    let (authority, folder) = (Authority::new(), Folder::new());
    folder.write("ca.crt", &authority.pem);
    let acceptor =
        Acceptor::new(&settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]), &Tickets::new());
    let acceptor = Arc::new(acceptor.unwrap());
    let kept = folder.path("session").display().to_string();
    // With TLS 1.2 the ticket is a part of the handshake; s_client need not wait for it.
    let common = ["-servername", "a.example", "-tls1_2"];
    let begin = [&common[..], &["-sess_out", &kept]].concat();
    let Some((_, facts)) = s_client(&acceptor, arguments(&begin, &folder)).await else { return };
    assert!(!facts.unwrap().resumed);
    let again = [&common[..], &["-sess_in", &kept]].concat();
    let (text, facts) = s_client(&acceptor.as_ref().clone(), arguments(&again, &folder)).await.unwrap();
    assert!(facts.unwrap().resumed && text.contains("Reused, TLSv1.2"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_openssl_shows_is_told() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let ca = folder.write("ca.crt", &authority.pem);
    let own = folder.pair("own", &authority.leaf(&["orders.internal"]));
    let config = asking(
        settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]),
        &ca,
        ClientAuthMode::Required,
    );
    let acceptor = Acceptor::new(&config, &Tickets::new()).unwrap();
    let [certificate, key] = [own.certificate, own.key].map(|path| path.display().to_string());
    let given = ["-servername", "a.example", "-cert", &certificate, "-key", &key];
    let Some((_, facts)) = s_client(&acceptor, arguments(&given, &folder)).await else { return };
    assert_eq!(facts.unwrap().client.unwrap().subject, "CN=orders.internal");
    let (_, refused) = s_client(&acceptor, arguments(&["-servername", "a.example"], &folder)).await.unwrap();
    assert_eq!(refused.unwrap_err().word(), "certificate");
}
