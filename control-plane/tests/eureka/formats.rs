//! What the documents look like, byte for byte where clients are particular.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::client::{
    Reply, call, call_xml, changed, everything, register, register_xml, send, spring, start, status,
};

fn unpacked(reply: &Reply) -> String {
    assert_eq!(reply.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*reply.body).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn json_has_the_fields_that_strict_clients_know_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let mut instance = everything(&plane).await["application"][0]["instance"][0].clone();
    let updated = instance["lastUpdatedTimestamp"].take();
    let updated: u64 = updated.as_str().expect("text").parse().unwrap();
    for name in ["registrationTimestamp", "lastRenewalTimestamp", "serviceUpTimestamp"] {
        let time = instance["leaseInfo"][name].take().as_u64().expect("a number");
        assert!(time.abs_diff(updated) < 60_000, "{name}: {time}");
    }
    let expected = json!({
        "instanceId": "n1:orders:9001", "hostName": "n1", "app": "ORDERS", "ipAddr": "10.1.0.7", "status": "UP",
        "overriddenstatus": "UNKNOWN", "port": {"$": 9001, "@enabled": "true"},
        "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90, "registrationTimestamp": null,
            "lastRenewalTimestamp": null, "evictionTimestamp": 0, "serviceUpTimestamp": null},
        "metadata": {"management.port": "9001"}, "homePageUrl": "http://n1:9001/",
        "statusPageUrl": "http://n1:9001/actuator/info", "healthCheckUrl": "http://n1:9001/actuator/health",
        "vipAddress": "orders", "secureVipAddress": "orders", "isCoordinatingDiscoveryServer": "false",
        "lastUpdatedTimestamp": null, "lastDirtyTimestamp": "1751000000200", "actionType": "ADDED"
    });
    assert_eq!(instance, expected);
    let order: Vec<_> = instance.as_object().unwrap().keys().collect();
    assert_eq!(order, expected.as_object().unwrap().keys().collect::<Vec<_>>(), "and in their order");
}

#[tokio::test]
async fn whoever_asks_for_nothing_gets_xml() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let empty = call_xml(&plane, "GET /eureka/apps/").await;
    assert_eq!((empty.status, empty.header("content-type")), (200, "application/xml"));
    assert_eq!(
        empty.text(),
        "<applications><versions__delta>1</versions__delta><apps__hashcode></apps__hashcode></applications>"
    );
    let metadata = json!({"metadata": {"build_id": "4<2", "1st": "one"}});
    register(&plane, &changed(spring("ORDERS", "n1", 9001), metadata)).await;
    register(&plane, &changed(spring("ORDERS", "n2", 9001), json!({"metadata": {}}))).await;
    let text = call_xml(&plane, "GET /eureka/apps/").await.text();
    for part in [
        "<apps__hashcode>UP_2_</apps__hashcode><application><name>ORDERS</name><instance><instanceId>n1:orders:9001</instanceId>",
        "<status>UP</status><overriddenstatus>UNKNOWN</overriddenstatus><port enabled=\"true\">9001</port>",
        "<securePort enabled=\"false\">443</securePort><countryId>1</countryId>",
        "<dataCenterInfo class=\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\"><name>MyOwn</name></dataCenterInfo>",
        "<metadata><_.0031st>one</_.0031st><build__id>4&lt;2</build__id></metadata>",
        "<metadata class=\"java.util.Collections$EmptyMap\"></metadata>",
        "<actionType>ADDED</actionType></instance></application></applications>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for (line, root) in [
        ("GET /eureka/apps/ORDERS", "<application><name>ORDERS</name><instance>"),
        ("GET /eureka/apps/ORDERS/n1:orders:9001", "<instance><instanceId>n1:orders:9001</instanceId>"),
        ("GET /eureka/instances/n1:orders:9001", "<instance><instanceId>n1:orders:9001</instanceId>"),
        ("GET /eureka/apps/delta", "<applications><versions__delta>3</versions__delta>"),
        ("GET /eureka/vips/orders", "<applications><versions__delta>-1</versions__delta>"),
    ] {
        let reply = call_xml(&plane, line).await;
        assert!(reply.text().starts_with(root), "{line}: {}", reply.text());
    }
    let any = send(&plane, "GET /eureka/apps", &[("accept", "*/*")], "").await;
    assert_eq!(any.header("content-type"), "application/xml");
}

#[tokio::test]
async fn a_registration_in_xml_is_one_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><instance><instanceId>n1:orders:9001</instanceId>\
        <hostName>n1</hostName><app>orders</app><ipAddr>10.1.0.7</ipAddr><status>up</status>\
        <overriddenstatus>UNKNOWN</overriddenstatus><port enabled=\"true\">9001</port>\
        <securePort enabled=\"false\">443</securePort><countryId>1</countryId>\
        <dataCenterInfo class=\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\"><name>MyOwn</name></dataCenterInfo>\
        <leaseInfo><renewalIntervalInSecs>30</renewalIntervalInSecs><durationInSecs>90</durationInSecs></leaseInfo>\
        <metadata><management.port>9001</management.port></metadata>\
        <homePageUrl>http://n1:9001/</homePageUrl><statusPageUrl>http://n1:9001/actuator/info</statusPageUrl>\
        <healthCheckUrl>http://n1:9001/actuator/health</healthCheckUrl><vipAddress>orders</vipAddress>\
        <secureVipAddress>orders</secureVipAddress><lastDirtyTimestamp>1751000000200</lastDirtyTimestamp></instance>";
    assert_eq!(register_xml(&plane, "ORDERS", document).await.status, 204);
    let by_xml = everything(&plane).await;
    status(&plane, "DELETE /eureka/apps/ORDERS/n1:orders:9001").await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    let by_json = everything(&plane).await;
    let said = |mut document: Value| {
        let instance = &mut document["application"][0]["instance"][0];
        (instance["leaseInfo"], instance["lastUpdatedTimestamp"]) = (Value::Null, Value::Null);
        document
    };
    assert_eq!(said(by_xml), said(by_json));
}

#[tokio::test]
async fn documents_are_compressed_for_those_who_take_it() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    register(&plane, &spring("ORDERS", "n1", 9001)).await;
    for path in ["/eureka/apps", "/eureka/apps/delta", "/eureka/apps/ORDERS", "/eureka/vips/orders"] {
        for (accept, kind) in
            [("application/json", "application/json"), ("application/xml", "application/xml")]
        {
            let headers = [("accept", accept), ("accept-encoding", "deflate, gzip")];
            let reply = send(&plane, &format!("GET {path}"), &headers, "").await;
            assert_eq!(reply.header("content-type"), kind);
            let plain = send(&plane, &format!("GET {path}"), &headers[..1], "").await;
            assert_eq!(plain.header("content-encoding"), "");
            assert!(unpacked(&reply).contains("n1:orders:9001"), "{path}");
            assert_eq!(unpacked(&reply).len(), plain.body.len(), "{path}");
        }
    }
    let not = [("accept-encoding", "gzip;q=0")];
    assert_eq!(send(&plane, "GET /eureka/apps", &not, "").await.header("content-encoding"), "");
}

#[tokio::test]
async fn a_compressed_registration_is_read_within_bounds() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let pack = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let body = pack(spring("ORDERS", "n1", 9001).to_string().as_bytes());
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &headers, body).await.status, 204);
    let bomb = pack(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 100_000);
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &headers, bomb).await.status, 413);
    assert_eq!(send(&plane, "POST /eureka/apps/ORDERS", &headers, "plain").await.status, 400);
}

#[tokio::test]
async fn little_is_shown_to_those_who_ask_for_little() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let amazon = json!({"dataCenterInfo": {"@class": "com.netflix.appinfo.AmazonInfo", "name": "Amazon",
        "metadata": {"instance-id": "i-1", "ami-id": "ami-1"}}});
    register(&plane, &changed(spring("ORDERS", "n1", 9001), amazon)).await;
    let full = everything(&plane).await["application"][0]["instance"][0].clone();
    assert_eq!(full["dataCenterInfo"]["metadata"], json!({"ami-id": "ami-1", "instance-id": "i-1"}));
    for path in ["/eureka/apps", "/eureka/vips/orders"] {
        let headers = [("accept", "application/json"), ("x-eureka-accept", "compact")];
        let reply = send(&plane, &format!("GET {path}"), &headers, "").await.json();
        let instance = &reply["applications"]["application"][0]["instance"][0];
        assert_eq!(instance["dataCenterInfo"]["metadata"], json!({"instance-id": "i-1"}));
        for absent in
            ["metadata", "leaseInfo", "overriddenstatus", "homePageUrl", "countryId", "lastDirtyTimestamp"]
        {
            assert!(instance.get(absent).is_none(), "{absent}");
        }
        assert_eq!(instance["vipAddress"], "orders");
    }
}

#[tokio::test]
async fn what_clients_leave_out_or_write_differently_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    let cases = [
        // A client that sends its own configuration.
        (
            json!({"port": 8080, "dataCenterInfo": {"name": "MyOwn"}, "instanceId": null}),
            "/instanceId",
            json!("n1"),
        ),
        (json!({"port": 8080}), "/port", json!({"$": 8080, "@enabled": "true"})),
        (json!({"port": {"$": "8080", "@enabled": false}}), "/port", json!({"$": 8080, "@enabled": "false"})),
        (json!({"port": null, "securePort": null}), "/securePort", json!({"$": 7002, "@enabled": "false"})),
        (json!({"status": null}), "/status", json!("UP")),
        (
            json!({"leaseInfo": {"renewalIntervalInSecs": 0, "durationInSecs": -5}}),
            "/leaseInfo/durationInSecs",
            json!(90),
        ),
        (json!({"leaseInfo": {"durationInSecs": "7"}}), "/leaseInfo/durationInSecs", json!(7)),
        (
            json!({"metadata": {"@class": "java.util.Collections$EmptyMap"}}),
            "/metadata",
            json!({"@class": "java.util.Collections$EmptyMap"}),
        ),
        (
            json!({"metadata": {"@class": "x", "a": 1, "b": true, "c": null}}),
            "/metadata",
            json!({"a": "1", "b": "true"}),
        ),
        (json!({"instanceId": null, "metadata": {"instanceId": "7"}}), "/instanceId", json!("n1:7")),
        (json!({"lastDirtyTimestamp": "1751000000999"}), "/lastDirtyTimestamp", json!("1751000000999")),
        (json!({"overriddenStatus": null, "overriddenstatus": "DOWN"}), "/status", json!("DOWN")),
        (
            json!({"homePageUrl": "http://elsewhere/?a=1&b=2"}),
            "/homePageUrl",
            json!("http://elsewhere/?a=1&b=2"),
        ),
        (json!({"ipAddr": "fe80:0:0:0:0:0:0:1%eth0"}), "/ipAddr", json!("fe80::1")),
        (json!({"appGroupName": "group"}), "/appGroupName", json!("GROUP")),
    ];
    for (fields, place, expected) in cases {
        let document = changed(spring("ORDERS", "n1", 9001), fields.clone());
        let reply = register(&plane, &document).await;
        assert_eq!(reply.status, 204, "{fields}: {}", reply.text());
        let instance = everything(&plane).await["application"][0]["instance"][0].clone();
        assert_eq!(instance.pointer(place), Some(&expected), "{fields}");
        let id = instance["instanceId"].as_str().unwrap();
        assert_eq!(status(&plane, &format!("DELETE /eureka/apps/ORDERS/{id}")).await, 200);
    }
    let reply = call(&plane, "GET /eureka/apps/delta").await;
    assert_eq!(reply.status, 200);
}
