//! How long an instance that was away for a moment is done without.

use std::time::Duration;

use crate::client::{Client, get, limited, until};
use crate::origin::{Origin, Reply, ok};
use crate::stage::{config, everything, start};

/// Requests that are in flight at one instance when it goes.
const IN_FLIGHT: usize = 6;

#[tokio::test]
async fn requests_in_flight_at_a_restart_make_it_one_outage() {
    let (left, right) = (Origin::start(|_| Reply::Silence).await, Origin::saying("right").await);
    let gateway = start(config(&[&left, &right], everything())).await;
    let listen = gateway.local_addrs().listen;
    let mut clients = Vec::new();
    for _ in 0..2 * IN_FLIGHT {
        let mut client = Client::connect(listen).await;
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        clients.push(client);
    }
    until("every other request waits for it", || left.count() == IN_FLIGHT).await;
    let address = left.address;
    drop(left);
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.text(), "right");
    }
    let _again = Origin::start_at(address, |_| Reply::Keep(ok("left"))).await;
    // Counted one by one, these failures would keep it away for longer than anything here is waited for.
    let back = async {
        while get(listen, "/").await.text() != "left" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    limited(back).await;
    gateway.shutdown().await;
}
