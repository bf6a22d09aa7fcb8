//! Who guesses passwords that take long to look at keeps nobody else out.

use std::net::SocketAddr;
use std::time::Duration;

use argon2::{Argon2, PasswordHasher};
use portreeve_config::{BasicUser, ControlPlaneConfig, EurekaConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::support::{Plane, config};
use crate::users::{basic, send_basic};

/// More than wait for a late answer at one time: the others are refused at once, and try again.
const GUESSES: usize = 24;
const USERS: usize = 10;

#[tokio::test]
async fn while_one_address_guesses_others_are_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let hash = Argon2::default().hash_password("s3cret".as_bytes()).unwrap().to_string();
    let user = |number: usize| BasicUser {
        name: format!("user-{number}"),
        password_hash: Some(hash.clone()),
        password_file: None,
        services: None,
    };
    let users = (0..=USERS).map(user).collect();
    let eureka = EurekaConfig { listen: "127.0.0.1:0".to_owned(), users, ..EurekaConfig::default() };
    let plane = Plane::with(ControlPlaneConfig { eureka: Some(eureka), ..config(folder.path()) }).await;
    let address = plane.running.eureka_address().unwrap();
    let mut guesses = JoinSet::new();
    for _ in 0..GUESSES {
        guesses.spawn(guess(address));
    }
    // Until some wait for late answers, and the others do not.
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Each of them for the first time: who was right once is not hashed again.
    for number in 1..=USERS {
        let right = basic(&format!("user-{number}"), "s3cret");
        let answer = send_basic(address, &right, ("GET", "/eureka/apps"), Value::Null).await;
        assert_eq!(answer.status, 200, "user-{number}: {}", answer.text);
    }
    assert!(guesses.try_join_next().is_none(), "a guess could not be made");
}

/// Guesses from another address than everybody else's, again and again.
async fn guess(address: SocketAddr) {
    let wrong = basic("user-0", "wrong");
    let request = format!("GET /eureka/apps HTTP/1.1\r\nhost: {address}\r\nauthorization: {wrong}\r\n\r\n");
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // An answer, whatever it says, or an end.
        let _ = stream.read(&mut [0; 1]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
