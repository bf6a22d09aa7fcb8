//! Listeners, their certificates and whom they trust; endpoints, and how they are spoken to.

use portreeve_config::{EndpointAddress, ListenAddress, load_document};

use crate::{check_all, only_fault};

const LISTENERS: [(&str, &str, &str); 33] = [
    ("address: localhost:80", "address", "127.0.0.1:80"),
    ("address: unix:run/x", "address", "absolute path"),
    ("address: 'unix:'", "address", "absolute path"),
    ("address: 'systemd:'", "address", "FileDescriptorName"),
    ("address: 'systemd:a:b'", "address", "FileDescriptorName"),
    ("address: 0.0.0.0:19092", "address", ""),
    ("address: 127.0.0.1:19091", "address", "`listen` uses port 19091 already"),
    ("address: 0.0.0.0:1, connections: 0", "connections", "more than 0"),
    ("address: 0.0.0.0:1, protocol: tcp", "forward", "where connections go"),
    ("address: 0.0.0.0:1, forward: [{service: db}]", "forward", "say `protocol: tcp`"),
    ("address: 0.0.0.0:1, protocol: udp", "protocol", "not known here"),
    (
        "address: 0.0.0.0:1, protocol: tcp, forward: [{service: db}], tls: {certificates: [{certificate: a, key: b}]}",
        "tls",
        "passed on as they come",
    ),
    (
        "address: 0.0.0.0:1, protocol: tcp, forward: [{service: dc}]",
        "forward[0].service",
        "did you mean `db`?",
    ),
    (
        "address: 0.0.0.0:1, protocol: tcp, forward: [{sni: [1.1.1.1], service: db}]",
        "forward[0].sni[0]",
        "greeting can hold",
    ),
    (
        "address: 0.0.0.0:1, protocol: tcp, forward: [{sni: ['a.*.b'], service: db}]",
        "forward[0].sni[0]",
        "greeting can hold",
    ),
    (
        "address: 0.0.0.0:1, protocol: tcp, forward: [{sni: [a.b], service: db}, {sni: [A.b], service: db}]",
        "forward[1].sni[0]",
        "twice",
    ),
    (
        "address: 0.0.0.0:1, protocol: tcp, forward: [{service: db}, {sni: [a.b], service: db}]",
        "forward[1]",
        "`forward[0]` takes every connection",
    ),
    ("address: 0.0.0.0:1, proxy_protocol: {from: []}", "proxy_protocol.from", "from nobody"),
    (
        "address: 0.0.0.0:1, proxy_protocol: {from: [10.0.0.1/8]}",
        "proxy_protocol.from[0]",
        "write `10.0.0.0/8`",
    ),
    ("address: 0.0.0.0:1, proxy_protocol: {from: [shop]}", "proxy_protocol.from[0]", "neither an address"),
    ("address: 0.0.0.0:1, proxy_protocol: {}", "proxy_protocol", "`from` is missing"),
    ("address: 0.0.0.0:1, tls: {certificates: []}", "tls.certificates", "needs a certificate"),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: '', key: b}]}",
        "tls.certificates[0].certificate",
        "empty",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: ''}]}",
        "tls.certificates[0].key",
        "empty",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a}]}",
        "tls.certificates[0]",
        "`key` is missing",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b, ocsp: ''}]}",
        "tls.certificates[0].ocsp",
        "empty",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b, ocsp: a}]}",
        "tls.certificates[0].ocsp",
        "not an OCSP response",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b}, {certificate: a, key: c}]}",
        "tls.certificates[1].certificate",
        "twice",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b}], alpn: []}",
        "tls.alpn",
        "nothing is offered",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b}], alpn: [h2, h2]}",
        "tls.alpn[1]",
        "twice",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b}], alpn: [h3]}",
        "tls.alpn[0]",
        "did you mean `h2`?",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b}], client_auth: {ca: ''}}",
        "tls.client_auth.ca",
        "empty",
    ),
    (
        "address: 0.0.0.0:1, tls: {certificates: [{certificate: a, key: b}], min_version: '1.1'}",
        "tls.min_version",
        "`1.2`",
    ),
];

#[test]
fn listeners_with_faults() {
    let head = "kind: gateway\nservices: {db: {endpoints: ['127.0.0.1:1']}}\n";
    for (body, path, words) in LISTENERS {
        // A clash is told at whatever stands later.
        let place = match words {
            "" => "admin".to_owned(),
            _ => format!("listeners[0].{path}"),
        };
        check_all(&format!("{head}listeners: [{{{body}}}]"), &[("", &place, words)]);
    }
}

#[test]
fn addresses_that_clash_or_are_nowhere() {
    check_all(
        "kind: gateway\n",
        &[
            ("listen: off", "listen", "nobody could connect"),
            ("listen: unix:/run/a.sock", "listen", "`listeners` can be Unix sockets"),
            ("admin: off", "admin", "not an address to listen on"),
            (
                "listeners: [{address: 'unix:/a'}, {address: 'unix:/a'}]",
                "listeners[1].address",
                "`listeners[0].address` uses this socket already",
            ),
            (
                "listeners: [{address: 'systemd:a'}, {address: 'systemd:a'}]",
                "listeners[1].address",
                "own socket",
            ),
            (
                "listeners: [{address: '[::]:8'}, {address: '1.1.1.1:8'}]",
                "listeners[1].address",
                "uses port 8",
            ),
            ("trusted_proxies: [10.0.0.0/8, 10.1.2.3/8]", "trusted_proxies[1]", "bits set beyond"),
            ("trusted_proxies: ['::1', '::1/128']", "trusted_proxies[1]", "twice"),
            ("duplicate_slashes: keep", "duplicate_slashes", "not known here"),
            (
                "listeners: [{address: '0.0.0.0:8', protocol: tcp, forward: [{service: s}]}]\n\
                 services: {s: {endpoints: ['10.0.0.1:1'], tls: {}}}",
                "listeners[0].forward[0].service",
                "`tls` of `s` would not be used",
            ),
        ],
    );
}

#[test]
fn sound_listeners_pass() {
    let all = "kind: gateway
listen: off
trusted_proxies: [10.0.0.0/8, '::1', 192.0.2.1]
duplicate_slashes: merge
listeners:
- {address: '0.0.0.0:0'}
- {address: '0.0.0.0:0', connections: 5}
- {address: unix:/run/shop.sock}
- {address: systemd:web, proxy_protocol: {from: [10.0.0.0/8]}}
- address: '[::]:8443'
  tls:
    certificates: [{certificate: a.pem, key: a.key, ocsp: a.der}, {certificate: b.pem, key: a.key}]
    min_version: '1.3'
    client_auth: {ca: clients.pem, mode: optional}
    alpn: [http/1.1]
- address: '[::]:5432'
  protocol: tcp
  forward: [{sni: [db.example, '*.db.example'], service: raw}, {service: raw}]
services:
  raw: {endpoints: ['10.0.0.1:5432'], proxy_protocol: v2}
  db:
    endpoints: ['10.0.0.1:1', 'shop.internal:80', 'shop.internal.:80', 'srv:_http._tcp.shop.internal', 'unix:/run/a', '[::1]:1']
    protocol: http2
    tls: {ca: ca.pem, server_name: shop.internal, certificate: me.pem, key: me.key}
    proxy_protocol: v2
routes: [{name: a, match: {path: /}, service: db, upgrade: [websocket, connect-udp], grpc_web: true}]
";
    load_document("file.yaml", all).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn services() {
    let head = "kind: gateway\nservices: {s: {endpoints: ";
    for (body, path, words) in [
        ("['x']", "endpoints[0]", "is not an address"),
        ("['1.1.1.1:0']", "endpoints[0]", "port 0"),
        ("['shop:0']", "endpoints[0]", "port 0"),
        ("['shop:+1']", "endpoints[0]", "is not an address"),
        ("['shop:99999']", "endpoints[0]", "is not an address"),
        ("['a b:80']", "endpoints[0]", "is not an address"),
        ("['1.1.1.256:80']", "endpoints[0]", "is not an address"),
        ("['http://shop:80/x']", "endpoints[0]", "write `shop:80`"),
        ("['0.0.0.0:1']", "endpoints[0]", "one host"),
        ("['srv:']", "endpoints[0]", "not the name of SRV records"),
        ("['srv:_http._tcp.shop:80']", "endpoints[0]", "write `srv:_http._tcp.shop`"),
        ("['unix:a.sock']", "endpoints[0]", "absolute path"),
        ("['[::1]:1', '[::1]:1']", "endpoints[1]", "twice"),
        ("['shop:1', 'Shop:1']", "endpoints[1]", "twice"),
        ("['srv:a.b', 'srv:A.b']", "endpoints[1]", "twice"),
        ("['a:1'], tls: {ca: ''}", "tls.ca", "empty"),
        ("['a:1'], tls: {certificate: a}", "tls.certificate", "without its key"),
        ("['a:1'], tls: {key: a}", "tls.key", "no certificate for this key"),
        ("['a:1'], tls: {server_name: '*.shop'}", "tls.server_name", "neither a host name"),
        ("['a:1'], tls: {server_name: ''}", "tls.server_name", "neither a host name"),
        ("['a:1'], tls: {server_name: 1.2.3}", "tls.server_name", "neither a host name"),
        ("['unix:/a'], tls: {}", "tls.server_name", "no name that a certificate"),
        ("['a:1'], protocol: http3", "protocol", "not known here"),
        ("['a:1'], proxy_protocol: v3", "proxy_protocol", "not known here"),
    ] {
        check_all(&format!("{head}{body}}}}}"), &[("", &format!("services.s.{path}"), words)]);
    }
    let text = format!("kind: gateway\nservices: {{s: {{endpoints: ['unix:/{}']}}}}", "x".repeat(107));
    assert!(only_fault(&text).contains("at most 107 bytes"));
}

#[test]
fn addresses_have_one_reading() {
    let endpoint = |text: &str| text.parse::<EndpointAddress>().unwrap();
    assert_eq!(endpoint("127.0.0.1:80"), EndpointAddress::Tcp(([127, 0, 0, 1], 80).into()));
    assert_eq!(endpoint("Shop.a:80"), EndpointAddress::Host { name: "shop.a".to_owned(), port: 80 });
    assert_eq!(endpoint("srv:_h._tcp.a"), EndpointAddress::Srv("_h._tcp.a".to_owned()));
    assert_eq!(endpoint("unix:/run/a"), EndpointAddress::Unix("/run/a".into()));
    let listener = |text: &str| text.parse::<ListenAddress>().unwrap();
    assert_eq!(listener("[::1]:0"), ListenAddress::Tcp("[::1]:0".parse().unwrap()));
    assert_eq!(listener("unix:/run/a"), ListenAddress::Unix("/run/a".into()));
    assert_eq!(listener("systemd:web"), ListenAddress::Systemd("web".to_owned()));
}

/// The YAML of a comment begins after an empty line in it.
fn commented_yaml(file: &str) -> String {
    let mut text = String::new();
    let mut is_yaml = false;
    for line in file.lines() {
        match line.strip_prefix('#') {
            Some("") => is_yaml = true,
            Some(line) if is_yaml => text.push_str(&format!("{}\n", line.strip_prefix(' ').unwrap_or(line))),
            Some(_) => {}
            None => is_yaml = false,
        }
    }
    text
}

#[test]
fn examples_in_comments_and_documents_are_sound() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let file = std::fs::read_to_string(format!("{root}/config/gateway.yaml")).unwrap();
    let (introduction, rest) = file.split_once("kind: gateway").unwrap();
    assert!(introduction.contains("portreeve check"));
    let example = commented_yaml(rest);
    assert!(example.contains("listeners:") && example.contains("routes:"), "{example}");
    let mut examples = vec![format!("kind: gateway\n{example}")];
    for (document, least) in [
        ("README.md", 1),
        ("docs/configuration.md", 1),
        ("docs/gateway.md", 7),
        ("docs/replicas.md", 2),
        ("docs/control-plane.md", 2),
        ("docs/tls.md", 3),
    ] {
        let text = std::fs::read_to_string(format!("{root}/{document}")).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        let before = examples.len();
        examples.extend(blocks.map(|(block, _)| match block.lines().any(|line| line.starts_with("kind:")) {
            true => block.to_owned(),
            false => format!("kind: gateway\n{block}"),
        }));
        assert!(examples.len() >= before + least, "{document}");
    }
    for text in examples {
        load_document("file.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}
