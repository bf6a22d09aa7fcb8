//! What no client should send: each has its answer, and what was registered stays as it was.

use serde_json::{Value, json};

use crate::client::{
    call, changed, everything, register, register_xml, send, spring, start, status, statuses,
};

#[tokio::test]
async fn a_registration_that_lacks_something_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    for (fields, reason) in [
        (json!({"instanceId": "", "hostName": ""}), "Missing id"),
        (json!({"hostName": " "}), "Missing hostname"),
        (json!({"ipAddr": null}), "Missing ip address"),
        (json!({"dataCenterInfo": null}), "Missing dataCenterInfo"),
        (json!({"dataCenterInfo": {}}), "Missing dataCenterInfo Name"),
    ] {
        let reply = register(&plane, &changed(spring("ORDERS", "n1", 9001), fields.clone())).await;
        assert_eq!((reply.status, reply.text().as_str()), (400, reason), "{fields}");
    }
    let kind = [("content-type", "application/json")];
    let nameless = changed(spring("ORDERS", "n1", 9001), json!({"app": null})).to_string();
    let reply = send(&plane, "POST /eureka/apps/ORDERS", &kind, nameless).await;
    assert_eq!((reply.status, reply.text().as_str()), (400, "Missing appName"));
    let other = spring("USERS", "n1", 9001).to_string();
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &kind, other).await.status, 400);
    assert_eq!(everything(&plane).await["application"], json!([]));
}

#[tokio::test]
async fn what_would_break_others_does_not_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let before = everything(&plane).await["application"].clone();
    let many: Value =
        (0..65).map(|number| (format!("k{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    for fields in [
        json!({"port": {"$": 0, "@enabled": "true"}}),
        json!({"port": {"$": 65_536, "@enabled": "true"}}),
        json!({"port": {"$": -1, "@enabled": "true"}}),
        json!({"port": "high"}),
        json!({"ipAddr": "not an address"}),
        json!({"ipAddr": "0.0.0.0"}),
        json!({"ipAddr": "224.0.0.1"}),
        json!({"instanceId": "a/b"}),
        json!({"instanceId": ".."}),
        json!({"instanceId": "with space"}),
        json!({"instanceId": "x".repeat(65_536)}),
        json!({"instanceId": "a\u{0}b"}),
        json!({"hostName": "n1\r\nX-Injected: yes"}),
        json!({"hostName": "x".repeat(10_000)}),
        json!({"dataCenterInfo": {"name": "Elsewhere"}}),
        json!({"vipAddress": "a\u{1}b"}),
        json!({"homePageUrl": format!("http://n1/{}", "x".repeat(4_096))}),
        json!({"metadata": {"key": "x".repeat(20_000)}}),
        json!({"metadata": {"key": "a\u{0}b"}}),
        json!({"metadata": {"\u{1b}[31m": "red"}}),
        json!({"metadata": {"": "nameless"}}),
        json!({"metadata": many}),
    ] {
        let reply = register(&plane, &changed(spring("ORDERS", "n1", 9001), fields.clone())).await;
        let shown: String = fields.to_string().chars().take(100).collect();
        assert_eq!(reply.status, 400, "{shown}");
        assert!(reply.body.len() < 1_000 && !reply.text().contains('\n'), "{shown}: {}", reply.text());
    }
    for path in ["1ST", "A B", "%2e%2e", "..%2f..%2fetc", "%00", "ÄPFEL", &"A".repeat(64)] {
        let uri = path.replace(' ', "%20").replace('Ä', "%C3%84");
        let document = changed(spring("ORDERS", "n1", 9001), json!({"app": path}));
        let kind = [("content-type", "application/json")];
        let reply = send(&plane, &format!("POST /eureka/apps/{uri}"), &kind, document.to_string()).await;
        assert_eq!(reply.status, 400, "{path}");
    }
    assert_eq!(everything(&plane).await["application"], before);
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_in_their_own_format() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let json_kind = [("content-type", "application/json")];
    for body in ["", "{", "[1", "nonsense", &"[".repeat(100_000), "{\"instance\":\"\u{1}\"}"] {
        let reply = send(&plane, "POST /eureka/apps/ORDERS", &json_kind, body.to_owned()).await;
        assert_eq!((reply.status, reply.header("content-type")), (400, "application/json"));
        assert_eq!(reply.json(), json!({"error": "cannot parse request body"}));
    }
    let bomb = format!(
        "<!DOCTYPE a [<!ENTITY a0 \"ha\">{}]><instance><app>&a9;</app></instance>",
        (1..10)
            .map(|n| format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10)))
            .collect::<String>()
    );
    let outside =
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><instance><app>&x;</app></instance>";
    for body in [
        &bomb,
        outside,
        "<instance>",
        "<other/>",
        "<instance><app>&x;</app></instance>",
        &"<a>".repeat(10_000),
    ] {
        let reply = register_xml(&plane, "ORDERS", body).await;
        assert_eq!((reply.status, reply.header("content-type")), (400, "application/xml"), "{body:.80}");
        assert_eq!(reply.text(), "<error><message>cannot parse request body</message></error>");
    }
    for body in ["null", "7", "[]", "\"text\"", "{\"instance\":null}", "{\"instance\":[]}"] {
        let reply = send(&plane, "POST /eureka/apps/ORDERS", &json_kind, body.to_owned()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    let large = send(&plane, "POST /eureka/apps/ORDERS", &json_kind, vec![b' '; 200_000]).await;
    assert_eq!(large.status, 413);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &form, "a=b").await.status, 415);
    let brotli = [json_kind[0], ("content-encoding", "br")];
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &brotli, "x").await.status, 415);
    assert_eq!(everything(&plane).await["application"], json!([]));
}

#[tokio::test]
async fn of_two_hosts_with_one_name_the_latest_counts() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let one = changed(spring("ORDERS", "same", 9001), json!({"ipAddr": "10.0.0.1"}));
    let other = json!({"ipAddr": "10.0.0.2", "lastDirtyTimestamp": 1_751_000_000_201_u64});
    let other = changed(spring("ORDERS", "same", 9001), other);
    assert_eq!(register(&plane, &one).await.status, 204);
    assert_eq!(register(&plane, &other).await.status, 204);
    assert_eq!(register(&plane, &one).await.status, 204, "an older word changes nothing");
    let instances = everything(&plane).await["application"][0]["instance"].clone();
    assert_eq!((instances.as_array().unwrap().len(), &instances[0]["ipAddr"]), (1, &json!("10.0.0.2")));
}

#[tokio::test]
async fn two_applications_do_not_become_one_service() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    assert_eq!(register(&plane, &spring("MY_ORDERS", "n1", 9001)).await.status, 204);
    let clash = register(&plane, &spring("MY-ORDERS", "n2", 9001)).await;
    assert_eq!(clash.status, 400, "{}", clash.text());
    assert_eq!(status(&plane, "GET /eureka/apps/MY_ORDERS").await, 200);
    assert_eq!(status(&plane, "GET /eureka/apps/MY-ORDERS").await, 404);
}

#[tokio::test]
async fn metadata_has_bounds_however_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let path = "PUT /eureka/apps/ORDERS/n1:orders:9001/metadata";
    let many = (0..65).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join("&");
    let long = format!("key={}", "x".repeat(20_000));
    for query in [many.as_str(), long.as_str(), "a=%00", "%0A=b", "a=%FF", "=b"] {
        assert_eq!(status(&plane, &format!("{path}?{query}")).await, 400, "{query:.40}");
    }
    let metadata =
        call(&plane, "GET /eureka/apps/ORDERS/n1:orders:9001").await.json()["instance"]["metadata"].clone();
    assert_eq!(metadata, json!({"management.port": "9001"}));
}

#[tokio::test]
async fn a_page_of_another_site_cannot_register() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let body = spring("ORDERS", "n1", 9001).to_string();
    let foreign = [("origin", "http://evil.example"), ("content-type", "application/json")];
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &foreign, body).await.status, 403);
    let bent = [("host", "evil.example:8761")];
    assert_eq!(send(&plane, "GET /eureka/apps", &bent, "").await.status, 421);
    assert!(statuses(&everything(&plane).await).is_empty());
}
