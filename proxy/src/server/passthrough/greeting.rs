//! The name that a client's TLS greeting (ClientHello) asks for, and the bytes of it, which belong to the instance.

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest greeting that is read; those of browsers have about 2 KiB.
const MOST: usize = 16 * 1024;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A connection's first bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) bytes: Vec<u8>,
    /// What it asks for (SNI); `None` when it asks for nothing, or is not TLS.
    pub(super) name: Option<String>,
}

/// Reads until the name is known. `None` when the connection ends before that, or begins a TLS greeting that is none
/// or too long. The caller sets the time.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Greeting> {
    let (mut acceptor, mut bytes) = (Acceptor::default(), Vec::with_capacity(2048));
    loop {
        let begin = bytes.len();
        let room = (MOST - begin) as u64;
        if from.take(room).read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if bytes[0] != HANDSHAKE {
            return Some(Greeting { bytes, name: None });
        }
        let mut fresh = &bytes[begin..];
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh).ok()?;
            if let Some(accepted) = acceptor.accept().ok()? {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Some(Greeting { bytes, name });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn greeting(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let mut client =
            ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn the_name_is_read_however_the_greeting_arrives() {
        for (server, name) in [("db.example", Some("db.example")), ("127.0.0.1", None)] {
            let hello = greeting(server);
            let whole = read(&mut hello.as_slice()).await.unwrap();
            assert_eq!((whole.name.as_deref(), &whole.bytes), (name, &hello));
            let mut pieces = pieces_of(&hello);
            assert_eq!(read(&mut pieces).await.unwrap(), whole);
        }
    }

    /// One byte a read.
    fn pieces_of(bytes: &[u8]) -> impl AsyncRead + Unpin {
        let (mut give, take) = tokio::io::duplex(1);
        let bytes = bytes.to_vec();
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut give, &bytes).await });
        take
    }

    #[tokio::test]
    async fn what_is_not_tls_has_no_name_and_what_is_cut_or_broken_is_nothing() {
        let plain = read(&mut b"SSH-2.0-x\r\n".as_slice()).await.unwrap();
        assert_eq!((plain.name, plain.bytes.as_slice()), (None, b"SSH-2.0-x\r\n".as_slice()));
        let hello = greeting("db.example");
        let mut wrong = hello.clone();
        wrong[5] = 2;
        for bad in [&hello[..0], &hello[..1], &hello[..hello.len() - 1], &wrong, &[HANDSHAKE; 40_000]] {
            assert_eq!(read(&mut &*bad).await, None);
        }
        // Records that are fine, and a greeting that never ends.
        let mut endless = vec![HANDSHAKE, 3, 1, 0x3f, 0xff, 1, 0, 0xf0, 0, 3, 3];
        endless.resize(40_000, 0);
        assert_eq!(read(&mut endless.as_slice()).await, None);
    }
}
