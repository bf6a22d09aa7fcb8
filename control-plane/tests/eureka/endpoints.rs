//! Each endpoint and each of its outcomes, under both roots.

use serde_json::{Value, json};

use crate::client::{call, changed, delta, everything, register, send, spring, start, status, statuses};

#[tokio::test]
async fn a_life_register_renew_find_cancel() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    assert_eq!(status(&plane, "PUT /eureka/apps/ORDERS/n1:orders:9001").await, 404);
    let registered = register(&plane, &spring("ORDERS", "n1", 9001)).await;
    assert_eq!((registered.status, registered.body.len()), (204, 0));
    for path in ["/eureka/apps", "/eureka/v2/apps", "/eureka/v2/apps/", "/eureka/V2/apps//", "//eureka/apps"]
    {
        let reply = call(&plane, &format!("GET {path}")).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{path}");
        assert_eq!(reply.json()["applications"]["apps__hashcode"], "UP_1_", "{path}");
    }
    for path in ["/eureka/apps/ORDERS/n1:orders:9001", "/eureka/v2/apps/orders/n1%3Aorders%3A9001/"] {
        let renewed =
            send(&plane, &format!("PUT {path}?status=DOWN&lastDirtyTimestamp=1751000000200"), &[], "{}")
                .await;
        assert_eq!((renewed.status, renewed.body.len()), (200, 0), "{path}");
        let shown = call(&plane, &format!("GET {path}")).await;
        assert_eq!(shown.json()["instance"]["status"], "UP", "a heartbeat's status is ignored");
    }
    let application = call(&plane, "GET /eureka/apps/orders").await.json();
    assert_eq!(application["application"]["instance"][0]["instanceId"], "n1:orders:9001");
    let anywhere = call(&plane, "GET /eureka/instances/n1:orders:9001").await.json();
    assert_eq!(anywhere["instance"]["app"], "ORDERS");
    assert_eq!(status(&plane, "DELETE /eureka/apps/ORDERS/n1:orders:9001").await, 200);
    for line in [
        "DELETE /eureka/apps/ORDERS/n1:orders:9001",
        "PUT /eureka/apps/ORDERS/n1:orders:9001",
        "GET /eureka/apps/ORDERS/n1:orders:9001",
        "GET /eureka/apps/ORDERS",
        "GET /eureka/instances/n1:orders:9001",
    ] {
        let reply = call(&plane, line).await;
        assert_eq!((reply.status, reply.body.len()), (404, 0), "{line}");
    }
    assert_eq!(
        everything(&plane).await,
        json!({"versions__delta": "1", "apps__hashcode": "", "application": []})
    );
}

#[tokio::test]
async fn a_renewal_says_when_the_client_must_register_anew() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let path = "PUT /eureka/apps/ORDERS/n1:orders:9001";
    for (dirty, expected) in
        [("1751000000199", 200), ("1751000000200", 200), ("1751000000201", 404), ("junk", 200)]
    {
        assert_eq!(status(&plane, &format!("{path}?lastDirtyTimestamp={dirty}")).await, expected, "{dirty}");
    }
    // Another server that knows less is told what is known here.
    let replicated = [("x-netflix-discovery-replication", "true"), ("accept", "application/json")];
    let told = send(&plane, &format!("{path}?lastDirtyTimestamp=1"), &replicated, "").await;
    assert_eq!((told.status, &told.json()["instance"]["instanceId"]), (409, &json!("n1:orders:9001")));
}

#[tokio::test]
async fn an_older_registration_changes_nothing_and_a_newer_one_everything() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let older =
        changed(spring("ORDERS", "n1", 9001), json!({"lastDirtyTimestamp": "1", "vipAddress": "old"}));
    assert_eq!(register(&plane, &older).await.status, 204);
    assert_eq!(everything(&plane).await["application"][0]["instance"][0]["vipAddress"], "orders");
    let newer = changed(
        spring("ORDERS", "n1", 9001),
        json!({"lastDirtyTimestamp": 1_751_000_000_300_u64, "vipAddress": "new"}),
    );
    assert_eq!(register(&plane, &newer).await.status, 204);
    let instance = everything(&plane).await["application"][0]["instance"][0].clone();
    assert_eq!(
        (&instance["vipAddress"], &instance["lastDirtyTimestamp"]),
        (&json!("new"), &json!("1751000000300"))
    );
}

#[tokio::test]
async fn addresses_of_services_are_found_exactly_and_without_a_match_too() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let vips = json!({"vipAddress": "orders,basket", "secureVipAddress": "orders-tls"});
    register(&plane, &changed(spring("ORDERS", "n1", 9001), vips)).await;
    for (path, found) in [
        ("vips/orders", 1),
        ("vips/basket/", 1),
        ("vips/Orders", 0),
        ("vips/orders-tls", 0),
        ("svips/orders-tls", 1),
        ("svips/orders", 0),
        ("vips/nobody", 0),
    ] {
        let reply = call(&plane, &format!("GET /eureka/{path}")).await;
        let applications = &reply.json()["applications"];
        assert_eq!((reply.status, applications["versions__delta"].as_str()), (200, Some("-1")), "{path}");
        assert_eq!(statuses(applications).len(), found, "{path}");
        assert_eq!(applications["apps__hashcode"], if found == 1 { "UP_1_" } else { "" }, "{path}");
    }
}

#[tokio::test]
async fn a_client_that_applies_deltas_knows_what_a_new_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    assert_eq!(delta(&plane).await["application"], json!([]));
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    register(&plane, &spring("ORDERS", "n2", 9001)).await;
    register(&plane, &spring("USERS", "n1", 9002)).await;
    let first = delta(&plane).await;
    assert_eq!((statuses(&first).len(), first["apps__hashcode"].as_str()), (3, Some("UP_3_")));
    status(&plane, "PUT /eureka/apps/ORDERS/n1:orders:9001/status?value=OUT_OF_SERVICE").await;
    status(&plane, "DELETE /eureka/apps/USERS/n1:users:9002").await;
    let second = delta(&plane).await;
    assert_ne!(second["versions__delta"], first["versions__delta"]);
    assert_eq!(second["apps__hashcode"], everything(&plane).await["apps__hashcode"]);
    assert_eq!(second["apps__hashcode"], "OUT_OF_SERVICE_1_UP_1_");
    let actions: Vec<_> = second["application"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|application| application["instance"].as_array().unwrap())
        .map(|instance| {
            [&instance["instanceId"], &instance["actionType"]].map(|text| text.as_str().unwrap().to_owned())
        })
        .collect();
    let expected =
        [["n1:orders:9001", "MODIFIED"], ["n2:orders:9001", "ADDED"], ["n1:users:9002", "DELETED"]];
    for pair in expected {
        assert!(actions.iter().any(|action| *action == pair), "{pair:?} in {actions:?}");
    }
    assert_eq!(actions.len(), 3, "each instance once: {actions:?}");
    // One comes and one goes: the hash is the same, and the version says that something happened.
    status(&plane, "DELETE /eureka/apps/ORDERS/n2:orders:9001").await;
    register(&plane, &spring("ORDERS", "n3", 9001)).await;
    let third = delta(&plane).await;
    assert_eq!(third["apps__hashcode"], second["apps__hashcode"]);
    assert_ne!(third["versions__delta"], second["versions__delta"]);
}

#[tokio::test]
async fn after_a_restart_clients_are_made_to_fetch_everything() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let before = everything(&plane).await;
    plane.running.shutdown().await;
    let plane = start(folder.path()).await;
    let mut after = everything(&plane).await;
    let renewed = "/application/0/instance/0/leaseInfo/lastRenewalTimestamp";
    *after.pointer_mut(renewed).unwrap() = before.pointer(renewed).unwrap().clone();
    assert_eq!(after, before, "nothing of a registration is lost");
    let delta = delta(&plane).await;
    assert_eq!(delta["application"], json!([]));
    assert_ne!(delta["apps__hashcode"], before["apps__hashcode"], "what happened meanwhile is not known");
    assert_eq!(status(&plane, "PUT /eureka/apps/ORDERS/n1:orders:9001").await, 200);
}

#[tokio::test]
async fn metadata_is_added_and_gone_when_the_client_registers_anew() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let path = "/eureka/apps/ORDERS/n1:orders:9001";
    assert_eq!(
        status(&plane, &format!("PUT {path}/metadata?zone=a&text=b%20c+d&management.port=1")).await,
        200
    );
    let metadata =
        async |plane| call(plane, &format!("GET {path}")).await.json()["instance"]["metadata"].clone();
    assert_eq!(metadata(&plane).await, json!({"management.port": "1", "text": "b c d", "zone": "a"}));
    let newer = json!({"lastDirtyTimestamp": 1_751_000_000_201_u64});
    register(&plane, &changed(spring("ORDERS", "n1", 9001), newer)).await;
    assert_eq!(metadata(&plane).await, json!({"management.port": "9001"}));
    assert_eq!(status(&plane, "PUT /eureka/apps/ORDERS/nobody/metadata?a=b").await, 404);
}

#[tokio::test]
async fn another_server_tells_of_its_clients_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n0", 9000)).await;
    let item = |action: &str, id: &str, dirty: u64| json!({"appName": "ORDERS", "id": id, "lastDirtyTimestamp": dirty, "action": action, "status": "DOWN"});
    let mut known = item("Register", "n1:orders:9001", 5);
    known["instanceInfo"] = spring("ORDERS", "n1", 9001)["instance"].clone();
    let mut broken = item("Register", "n2:orders:9001", 5);
    broken["instanceInfo"] = json!({"app": "ORDERS"});
    let batch = json!({"replicationList": [
        known,
        item("Heartbeat", "n1:orders:9001", 1_751_000_000_200),
        item("Heartbeat", "n1:orders:9001", 1),
        item("Heartbeat", "nobody", 1),
        item("StatusUpdate", "n1:orders:9001", 1_751_000_000_200),
        item("DeleteStatusOverride", "n1:orders:9001", 1_751_000_000_200),
        item("Cancel", "n0:orders:9000", 1),
        broken,
        item("Juggle", "n1:orders:9001", 1),
    ]});
    let kind = [("content-type", "application/json")];
    let reply = send(&plane, "POST /eureka/peerreplication/batch/", &kind, batch.to_string()).await;
    let list = reply.json()["responseList"].as_array().unwrap().clone();
    let codes: Vec<_> = list.iter().map(|outcome| outcome["statusCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [200, 200, 409, 404, 200, 200, 200, 500, 500]);
    assert_eq!(list[2]["responseEntity"]["instanceId"], "n1:orders:9001");
    assert_eq!(statuses(&everything(&plane).await), [("n1:orders:9001".to_owned(), "DOWN".to_owned())]);
}

#[tokio::test]
async fn what_is_there_takes_its_own_methods_only() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    for (line, allow) in [
        ("POST /eureka/apps", "GET, HEAD"),
        ("DELETE /eureka/apps/delta", "GET, HEAD"),
        ("PUT /eureka/apps/ORDERS", "GET, HEAD, POST"),
        ("PATCH /eureka/apps/ORDERS/n1:orders:9001", "DELETE, GET, HEAD, PUT"),
        ("GET /eureka/apps/ORDERS/n1:orders:9001/status", "DELETE, PUT"),
        ("GET /eureka/apps/ORDERS/n1:orders:9001/metadata", "PUT"),
        ("POST /eureka/vips/orders", "GET, HEAD"),
        ("GET /eureka/peerreplication/batch/", "POST"),
        ("OPTIONS /eureka/instances/x", "GET, HEAD"),
    ] {
        let reply = call(&plane, line).await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{line}");
    }
    assert_eq!(status(&plane, "PUT /eureka/asg/group/status?value=ENABLED").await, 400);
    assert_eq!(status(&plane, "GET /eureka/status").await, 200);
    for line in ["GET /", "GET /apps", "GET /eureka", "GET /eureka/nothing", "GET /eureka/apps/a/b/c/d"] {
        assert_eq!(status(&plane, line).await, 404, "{line}");
    }
    let head = call(&plane, "HEAD /eureka/apps").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(
        head.header("content-length").parse::<u64>().is_ok_and(|length| length > 0),
        "{:?}",
        head.headers
    );
    assert_eq!(head.header("content-type"), "application/json");
    let _: Value = everything(&plane).await;
}
