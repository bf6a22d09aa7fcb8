//! Whatever is written as JSON reads back as it was: documents as the API gives them out, and every message
//! between a node and the control plane.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;

use portreeve_config::wire::{
    Change, ConfigScope, ControlMessage, Event, Instance, InstanceStatus, NodeKind, NodeMessage, Snapshot,
};
use portreeve_config::{
    ByteSize, Document, Fault, Faults, Period, RouteConfig, load_document, parse_document, parse_json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
    let error = |error: Faults| panic!("{json}: {error}");
    assert_eq!(&parse_json::<T>(json.as_bytes()).unwrap_or_else(error), value, "{json}");
}

const ROUTE: &str = "
name: everything
match:
  host: '*.shop.example'
  path: /shop/{id}/*
  methods: [GET, POST]
  headers: {X-Tenant: blue, X-Old: {present: false}}
  query: {page: '1', all: {present: true}}
service: products
rewrite: {path: '/v1/{id}/{*}'}
request_headers: {remove: [X-Debug], set: {X-From: gateway}, add: {X-Hop: '1'}}
response_headers: {remove: [Server]}
auth: required
cache: {ttl: 1m 30s, share: per_subject, tags: ['shop:{id}'], max_entry: 512KiB}
invalidates: ['shop:{id}']
timeout: 250ms
retry: {attempts: 2, on: [connect_failure, reset, unavailable]}
max_body: 1GiB
upgrade: [websocket]
grpc_web: true
priority: -7
";

fn route() -> RouteConfig {
    parse_document("route", ROUTE).unwrap()
}

fn instance() -> Instance {
    Instance {
        service: "orders".to_owned(),
        id: "orders-1".to_owned(),
        address: "[::1]:8080".parse().unwrap(),
        status: InstanceStatus::Starting,
        lease_ms: 3_000,
        metadata: [("zone".to_owned(), "a".to_owned())].into(),
    }
}

#[test]
fn routes_and_units() {
    there_and_back(&route());
    for rewrite in ["{strip_segments: 1}", "{add_prefix: /api}"] {
        let text = ROUTE.replace("{path: '/v1/{id}/{*}'}", rewrite);
        there_and_back(&parse_document::<RouteConfig>("route", &text).unwrap());
    }
    for text in ["0s", "1ms", "1m 30s", "2h", "1day", "999us", "7ns"] {
        there_and_back(&text.parse::<Period>().unwrap());
    }
    for size in [0, 1, 1023, 1024, 1025, 1 << 20, (1 << 30) + 1, 3 << 40, 1 << 62] {
        there_and_back(&ByteSize(size));
    }
}

#[test]
fn documents() {
    let gateway = format!(
        "kind: gateway\nworkers: 2\ncontrol_plane: {{url: 'http://c:1', node: n}}\nstate_dir: /s\n\
         auth: {{providers: [{{issuer: 'http://i', audiences: [a], jwks_url: 'https://k/', algorithms: [ES384], \
         leeway: 0s, claims_to_headers: {{sub: X-User}}}}], realm: r}}\n\
         tracing: {{service_name: g, sample: 0.25, propagation: b3_multi, zipkin: {{endpoint: 'http://z/api'}}}}\n\
         access_log: {{file: /l}}\ncache: {{max_size: 0B}}\ndns: {{servers: ['10.0.0.2', '[::1]:5353']}}\nservices: {{products: {{endpoints: ['1.1.1.1:1', 'a.b:2', 'srv:c.d', 'unix:/e'], protocol: http2, \
         tls: {{ca: a, server_name: b.c, certificate: d, key: e}}, proxy_protocol: v1}}, \
         bytes: {{endpoints: ['1.1.1.1:1']}}}}\n\
         listen: off\ntrusted_proxies: [10.0.0.0/8]\nduplicate_slashes: merge\nlisteners:\n\
         - {{address: 'unix:/s', tls: {{certificates: [{{certificate: a, key: b, ocsp: c}}], min_version: '1.3', \
         client_auth: {{ca: d, mode: optional}}, alpn: [http/1.1]}}, proxy_protocol: {{from: ['::1']}}, connections: 7}}\n\
         - {{address: '1.1.1.1:2', protocol: tcp, forward: [{{sni: ['*.a.b'], service: bytes}}, {{service: bytes}}]}}\n\
         limits: {{min_rate: 0B, request_age: 1m, http2: {{streams: 1, ping_interval: 5s}}}}\n\
         routes:\n- {}",
        ROUTE.trim().replace('\n', "\n  ")
    );
    for text in [
        &gateway,
        "kind: gateway",
        "kind: sidecar\nservice: s\napp: 1.1.1.1:1\ninstance: i\nprofile: p\nready: {path: /r, timeout: 1s}",
        "kind: control-plane\nseed: {services: [s], config: {s: {default: {k: v, n: 5, e: ''}}}}",
        "kind: desired-state",
        "kind: desired-state\nservices: []\nroutes: []\nconfig: {}",
        "kind: desired-state\nservices: [s]\nroutes: [{name: r, match: {path: /r}, service: s}]\nconfig: {s: {default: {k: v}}}",
    ] {
        match load_document("x", text).unwrap_or_else(|error| panic!("{error}")) {
            Document::Gateway(config) => there_and_back(&**config),
            Document::Sidecar(config) => there_and_back(&*config),
            Document::ControlPlane(config) => there_and_back(&*config),
            Document::DesiredState(state) => there_and_back(&*state),
        }
    }
}

#[test]
fn what_nodes_say() {
    let fault = Fault::new("routes[0]", "no").hint("yes");
    let config = Some(ConfigScope { application: "a".to_owned(), profile: "default".to_owned() });
    for message in [
        NodeMessage::Hello {
            node: "n".to_owned(),
            kind: NodeKind::Sidecar,
            config,
            revision: 7,
            epoch: "e".to_owned(),
            services: Some(vec!["a".to_owned()]),
        },
        NodeMessage::Hello {
            node: "n".to_owned(),
            kind: NodeKind::Gateway,
            config: None,
            revision: 0,
            epoch: String::new(),
            services: None,
        },
        NodeMessage::Register(instance()),
        NodeMessage::Renew,
        NodeMessage::Deregister { service: "s".to_owned(), id: "i".to_owned() },
        NodeMessage::Ack { revision: u64::MAX },
        NodeMessage::Nack { revision: 1, faults: vec![fault, Fault::new("", "whole")] },
    ] {
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<NodeMessage>(&json).unwrap(), message, "{json}");
        assert!(!json.contains('\n'));
    }
}

#[test]
fn what_the_control_plane_says() {
    let events = vec![
        Event::RoutePut(Box::new(route())),
        Event::RouteRemoved("r".to_owned()),
        Event::ServicePut("s".to_owned()),
        Event::ServiceRemoved("s".to_owned()),
        Event::InstancePut(instance()),
        Event::InstanceRemoved { service: "s".to_owned(), id: "i".to_owned() },
        Event::Config([("k".to_owned(), "v".to_owned())].into()),
    ];
    let snapshot = Snapshot {
        epoch: "e".to_owned(),
        revision: 3,
        routes: vec![route()],
        services: vec!["s".to_owned()],
        instances: vec![instance()],
        config: [("k".to_owned(), "v".to_owned())].into(),
    };
    for message in [
        ControlMessage::Snapshot(snapshot),
        ControlMessage::Change(Change { revision: 4, events }),
        ControlMessage::Registered { revision: 5 },
        ControlMessage::Refused { faults: vec![Fault::new("id", "bad")] },
        ControlMessage::Ping { revision: 6 },
    ] {
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<ControlMessage>(&json).unwrap(), message, "{json}");
        assert!(!json.contains('\n'));
    }
}

#[test]
fn a_later_version_may_say_more() {
    let json = r#"{"type": "ping", "revision": 1, "weather": "fine"}"#;
    assert_eq!(serde_json::from_str::<ControlMessage>(json).unwrap(), ControlMessage::Ping { revision: 1 });
}

#[test]
fn changes_in_turn_give_what_a_new_snapshot_says() {
    let mut snapshot = Snapshot::default();
    let named = |name: &str| Box::new(RouteConfig { name: name.to_owned(), ..route() });
    let down = Instance { status: InstanceStatus::Down, ..instance() };
    for (revision, event) in [
        Event::RoutePut(named("b")),
        Event::RoutePut(named("a")),
        Event::RoutePut(Box::new(RouteConfig { priority: 9, ..*named("b") })),
        Event::RoutePut(named("c")),
        Event::RouteRemoved("c".to_owned()),
        Event::ServicePut("t".to_owned()),
        Event::ServicePut("s".to_owned()),
        Event::ServicePut("s".to_owned()),
        Event::ServiceRemoved("t".to_owned()),
        Event::InstancePut(instance()),
        Event::InstancePut(down.clone()),
        Event::InstanceRemoved { service: "orders".to_owned(), id: "other".to_owned() },
        Event::Config([("k".to_owned(), "v".to_owned())].into()),
    ]
    .into_iter()
    .enumerate()
    {
        snapshot.apply(Change { revision: revision as u64 + 1, events: vec![event] });
    }
    assert_eq!(snapshot.revision, 13);
    let routes: Vec<_> = snapshot.routes.iter().map(|route| (&*route.name, route.priority)).collect();
    assert_eq!(routes, [("a", -7), ("b", 9)]);
    assert_eq!(snapshot.services, ["s"]);
    assert_eq!(snapshot.instances, [down]);
    assert_eq!(snapshot.config["k"], "v");
}
