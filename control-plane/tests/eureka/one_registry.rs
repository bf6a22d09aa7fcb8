//! Eureka's clients, gateways and sidecars see each other, and see at once who is gone.

use std::time::{Duration, Instant};

use portreeve_config::wire::InstanceStatus;
use serde_json::json;

use crate::client::{call, changed, delta, everything, register, spring, start, status, statuses};
use crate::support::{LIMIT, Plane};

fn leased(host: &str, seconds: u64) -> serde_json::Value {
    let lease = json!({"leaseInfo": {"renewalIntervalInSecs": 1, "durationInSecs": seconds}});
    changed(spring("ORDERS", host, 9001), lease)
}

async fn instances(plane: &Plane) -> usize {
    statuses(&everything(plane).await).len()
}

#[tokio::test]
async fn a_gateway_sees_a_client_of_eureka_at_once_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let mut gateway = plane.gateway("gateway-1").await;
    let mut seen = gateway.snapshot().await;
    let document =
        changed(spring("My_Orders.v2", "n1", 9001), json!({"app": "MY_ORDERS.V2", "ipAddr": "127.0.0.1"}));
    assert_eq!(register(&plane, &document).await.status, 204);
    gateway.follow(&mut seen, |seen| !seen.instances.is_empty()).await;
    let instance = &seen.instances[0];
    assert_eq!(
        (instance.service.as_str(), instance.address),
        ("my-orders-v2", "127.0.0.1:9001".parse().unwrap())
    );
    assert_eq!((instance.status, instance.lease_ms), (InstanceStatus::Up, 90_000));
    assert_eq!(instance.metadata["management.port"], "9001");
    assert_eq!(seen.services, ["my-orders-v2"]);

    let path = format!("/eureka/apps/MY_ORDERS.V2/{}", instance.id);
    for (word, expected) in [
        ("OUT_OF_SERVICE", InstanceStatus::Draining),
        ("DOWN", InstanceStatus::Down),
        ("STARTING", InstanceStatus::Starting),
        ("UP", InstanceStatus::Up),
    ] {
        assert_eq!(status(&plane, &format!("PUT {path}/status?value={word}")).await, 200);
        gateway.follow(&mut seen, |seen| seen.instances[0].status == expected).await;
    }
    status(&plane, &format!("DELETE {path}")).await;
    gateway.follow(&mut seen, |seen| seen.instances.is_empty()).await;
}

#[tokio::test]
async fn a_client_behind_tls_only_is_reached_there() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let ports =
        json!({"port": {"$": 80, "@enabled": "false"}, "securePort": {"$": 8443, "@enabled": "true"}});
    register(&plane, &changed(spring("ORDERS", "n1", 9001), ports)).await;
    let known = plane.get("/v1/instances").await.json();
    assert_eq!(known["instances"][0]["address"], "10.1.0.7:8443");
}

#[tokio::test]
async fn clients_of_eureka_see_the_instances_of_sidecars() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let mut sidecar = plane.sidecar("users-node", "users", "default").await;
    sidecar.register("users", "users-1", 4002, 3_000);
    sidecar.outcome().await.unwrap();
    let application = call(&plane, "GET /eureka/apps/USERS").await.json()["application"].clone();
    let instance = &application["instance"][0];
    assert_eq!((&application["name"], &instance["instanceId"]), (&json!("USERS"), &json!("users-1")));
    assert_eq!((&instance["hostName"], &instance["ipAddr"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
    assert_eq!(instance["port"], json!({"$": 4002, "@enabled": "true"}));
    assert_eq!((&instance["vipAddress"], &instance["status"]), (&json!("users"), &json!("UP")));
    assert_eq!(instance["leaseInfo"]["durationInSecs"], 3);
    let found = call(&plane, "GET /eureka/vips/users").await.json();
    assert_eq!(statuses(&found["applications"]).len(), 1);
    assert_eq!(statuses(&delta(&plane).await), [("users-1".to_owned(), "UP".to_owned())]);
    // Its name is taken while its node is connected.
    let stranger = json!({"instanceId": "users-1"});
    assert_eq!(register(&plane, &changed(spring("USERS", "n9", 9009), stranger)).await.status, 409);
    sidecar.end();
    drop(sidecar);
    let began = Instant::now();
    while instances(&plane).await > 0 {
        assert!(began.elapsed() < LIMIT, "the sidecar's instance stayed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(delta(&plane).await["application"][0]["instance"][0]["actionType"], "DELETED");
}

#[tokio::test]
async fn a_lease_of_a_second_ends_after_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &leased("n1", 1)).await;
    let mut last = Instant::now();
    let began = last;
    while began.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(status(&plane, "PUT /eureka/apps/ORDERS/n1:orders:9001").await, 200);
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let aged = plane.get("/v1/instances").await.json();
    let age = |name: &str| aged["instances"][0][name].as_u64().unwrap();
    assert!(age("silent_ms") + age("lease_left_ms") >= 990, "{aged}");
    while instances(&plane).await > 0 {
        assert!(last.elapsed() < LIMIT, "the lease did not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(last.elapsed() >= Duration::from_millis(980), "{:?}", last.elapsed());
    assert!(last.elapsed() < Duration::from_millis(1_400), "{:?}", last.elapsed());
    assert_eq!(status(&plane, "PUT /eureka/apps/ORDERS/n1:orders:9001").await, 404);
}

#[tokio::test]
async fn a_third_that_crashes_is_out_and_all_that_fall_silent_stay() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    for number in 0..10 {
        assert_eq!(register(&plane, &leased(&format!("n{number}"), 2)).await.status, 204);
    }
    let crashed = Instant::now();
    while instances(&plane).await > 7 {
        for number in 0..7 {
            let line = format!("PUT /eureka/apps/ORDERS/n{number}:orders:9001");
            assert_eq!(status(&plane, &line).await, 200);
        }
        assert!(crashed.elapsed() < LIMIT, "three of ten stayed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(crashed.elapsed() < Duration::from_secs(5), "{:?}", crashed.elapsed());
    // Now nobody is heard any more: well after every lease is over, all are still there.
    let cut = Instant::now();
    while cut.elapsed() < Duration::from_millis(3_500) {
        assert_eq!(instances(&plane).await, 7);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let stale = plane.get("/v1/instances").await.json();
    assert_eq!(stale["instances"][0]["lease_left_ms"], 0);
    // Most come back: whoever does not is dead after all.
    let back = Instant::now();
    while instances(&plane).await > 5 {
        for number in 0..5 {
            let line = format!("PUT /eureka/apps/ORDERS/n{number}:orders:9001");
            assert_eq!(status(&plane, &line).await, 200);
        }
        assert!(back.elapsed() < LIMIT, "the dead stayed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
