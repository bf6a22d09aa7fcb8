//! Every check, by the smallest document that fails it: one fault, at one place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod control_planes;
mod exposure;
mod limits;
mod listeners;
mod providers;

use portreeve_config::load_document;

/// The only fault of a document, as `path: problem (hint)`.
pub(crate) fn only_fault(text: &str) -> String {
    let error = load_document("file.yaml", text).expect_err(text);
    assert_eq!(error.faults().len(), 1, "{text}\n{error}");
    error.faults()[0].fault.to_string()
}

/// Each case is a document after its `kind:` line, the path of its fault, and a part of its words.
pub(crate) fn check_all(head: &str, cases: &[(&str, &str, &str)]) {
    for (body, path, words) in cases {
        let text = format!("{head}{body}\n");
        let fault = only_fault(&text);
        assert!(fault.starts_with(&format!("{path}: ")), "{text}\nexpected at {path}, got {fault}");
        assert!(fault.contains(words), "{text}\nexpected {words:?}, got {fault}");
    }
}

#[test]
fn routes() {
    let head = "kind: gateway\nservices: {products: {endpoints: [\"127.0.0.1:1\"]}}\nroutes:\n- ";
    let cases = [
        ("{name: a b, match: {path: /}, service: products}", "routes[0].name", "`a b` is not a route name"),
        ("{name: '', match: {path: /}, service: products}", "routes[0].name", "1 to 128"),
        ("{name: a, match: {path: /}, service: product}", "routes[0].service", "did you mean `products`?"),
        ("{name: a, match: {path: /}, service: Shop}", "routes[0].service", "`Shop` is not a service name"),
        (
            "{name: a, match: {path: /}, service: nowhere}",
            "routes[0].service",
            "there is no service `nowhere`",
        ),
        ("{name: a, match: {path: /}, service: products, timeout: 0s}", "routes[0].timeout", "longer than"),
        ("{name: a, match: {path: /}, service: products, timeout: 9000y}", "routes[0].timeout", "at most"),
        (
            "{name: a, match: {path: /}, service: products, retry: {attempts: 0}}",
            "routes[0].retry.attempts",
            "0",
        ),
        (
            "{name: a, match: {path: /}, service: products, retry: {attempts: 11}}",
            "routes[0].retry.attempts",
            "11",
        ),
        (
            "{name: a, match: {path: /}, service: products, auth: required}",
            "routes[0].auth",
            "no `auth` section",
        ),
        (
            "{name: a, match: {path: /}, service: products}\n- {name: a, match: {path: /b}, service: products}",
            "routes[1].name",
            "another route is called `a`",
        ),
    ];
    check_all(head, &cases);
}

#[test]
fn matches() {
    let head = "kind: gateway\ncontrol_plane: {url: \"http://c:1\"}\nroutes: [{name: a, service: s, match: ";
    for (body, path, words) in [
        ("{path: x}", "path", "begins with `/`"),
        ("{path: ''}", "path", "begins with `/`"),
        ("{path: /a//b}", "path", "`//`"),
        ("{path: //}", "path", "`//`"),
        ("{path: /a/../b}", "path", "leads elsewhere"),
        ("{path: /a/%2e%2E}", "path", "leads elsewhere"),
        ("{path: /.}", "path", "leads elsewhere"),
        ("{path: '/a?b=1'}", "path", "ends before `?`"),
        ("{path: '/a#b'}", "path", "ends before `?`"),
        ("{path: /a%2}", "path", "two hexadecimal digits"),
        ("{path: /a%zz/b}", "path", "two hexadecimal digits"),
        ("{path: /é}", "path", "percent-encode"),
        ("{path: '/a b'}", "path", "percent-encode"),
        ("{path: '/a*'}", "path", "whole last segment"),
        ("{path: '/*/a'}", "path", "whole last segment"),
        ("{path: '/{id'}", "path", "whole segment"),
        ("{path: '/a{id}'}", "path", "whole segment"),
        ("{path: '/{}'}", "path", "is not a placeholder"),
        ("{path: '/{a-b}'}", "path", "is not a placeholder"),
        ("{path: '/{*}'}", "path", "is not a placeholder"),
        ("{path: '/{id}/{id}'}", "path", "twice"),
        ("{path: /, host: 'shop:80'}", "host", "no port"),
        ("{path: /, host: 'a.*.b'}", "host", "is not a host name"),
        ("{path: /, host: '*'}", "host", "is not a host name"),
        ("{path: /, host: ''}", "host", "is not a host name"),
        ("{path: /, methods: [get]}", "methods[0]", "write `GET`"),
        ("{path: /, methods: ['G T']}", "methods[0]", "is not a method"),
        ("{path: /, methods: [GET, GET]}", "methods[1]", "twice"),
        ("{path: /, headers: {'a b': x}}", "headers.a b", "is not a header field name"),
        ("{path: /, headers: {a: \"x\\ny\"}}", "headers.a", "cannot carry"),
        ("{path: /, headers: {a: ' x'}}", "headers.a", "neither begins nor ends"),
        ("{path: /, headers: {a: x, A: y}}", "headers.a", "same name"),
        ("{path: /, headers: {a: 5}}", "headers.a", "text in quotes, or `{present: true}`"),
        ("{path: /, headers: {a: {presnt: true}}}", "headers.a.presnt", "did you mean `present`?"),
        ("{path: /, query: {'': x}}", "query", "has a name"),
    ] {
        let place = format!("routes[0].match.{path}");
        check_all(&format!("{head}{body}}}]"), &[("", &place, words)]);
    }
}

#[test]
fn a_path_that_no_request_can_have_is_named_with_the_one_it_has() {
    let head =
        "kind: gateway\ncontrol_plane: {url: \"http://c:1\"}\nroutes: [{name: a, service: s, match: {path: ";
    for (path, words) in [
        ("/caf%c3%a9/*", "write `caf%C3%A9`"),
        ("/%61dmin/*", "write `admin`"),
        ("/%7euser", "write `~user`"),
        ("/a%2Fb", "a request with `%2F` is refused"),
        ("/a%5c", "a request with `%5c` is refused"),
        ("/%00", "a request with `%00` is refused"),
        ("/..;x/a", "such a path is refused"),
        ("/.;", "such a path is refused"),
    ] {
        check_all(&format!("{head}'{path}'}}}}]"), &[("", "routes[0].match.path", words)]);
    }
}

#[test]
fn sound_routes_pass() {
    for path in
        ["/", "/*", "/a", "/a/", "/a/*", "/a/{id}", "/{a}/{b_2}/*", "/%C3%A9", "/a;v=1,2/b@c:d!$&'()+=~"]
    {
        let quoted = path.replace('\'', "''");
        let text = format!(
            "kind: gateway\nservices: {{s: {{endpoints: ['127.0.0.1:1']}}}}\n\
             routes: [{{name: a, service: s, match: {{path: '{quoted}', host: '*.Shop.example'}}}}]"
        );
        load_document("file.yaml", &text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[test]
fn parts_of_a_route() {
    let head = "kind: gateway\ncontrol_plane: {url: \"http://c:1\"}\nroutes: [{name: a, service: s, ";
    for (body, path, words) in [
        ("match: {path: /a}, rewrite: {strip_segments: 0}", "rewrite.strip_segments", "changes nothing"),
        ("match: {path: /a}, rewrite: {strip_segments: 2}", "rewrite.strip_segments", "1 segments to strip"),
        ("match: {path: /a}, rewrite: {add_prefix: x}", "rewrite.add_prefix", "begins with `/`"),
        ("match: {path: /a}, rewrite: {add_prefix: /}", "rewrite.add_prefix", "changes nothing"),
        ("match: {path: /a}, rewrite: {add_prefix: /x/}", "rewrite.add_prefix", "write `/x`"),
        ("match: {path: '/{a}'}, rewrite: {add_prefix: '/{a}'}", "rewrite.add_prefix", "placeholders"),
        ("match: {path: /a}, rewrite: {path: x}", "rewrite.path", "begins with `/`"),
        ("match: {path: /a}, rewrite: {path: '/{*}'}", "rewrite.path", "has none"),
        ("match: {path: /a/*}, rewrite: {path: '/{*}/b'}", "rewrite.path", "whole last segment"),
        ("match: {path: '/{order}'}, rewrite: {path: '/{ordre}'}", "rewrite.path", "did you mean `{order}`?"),
        ("match: {path: '/{a}'}, rewrite: {path: '/b{'}", "rewrite.path", "come in pairs"),
        ("match: {path: '/{a}'}, rewrite: {path: '/../{a}'}", "rewrite.path", "leads elsewhere"),
        ("match: {path: /a}, rewrite: {add_prefix: /x, path: /y}", "rewrite", "exactly one of"),
        ("match: {path: /a}, rewrite: path", "rewrite", "needs a value"),
        ("match: {path: /a}, request_headers: {remove: [Host]}", "request_headers.remove[0]", "itself"),
        ("match: {path: /a}, request_headers: {set: {TE: x}}", "request_headers.set.TE", "itself"),
        ("match: {path: /a}, response_headers: {add: {'': x}}", "response_headers.add", "not a header"),
        ("match: {path: /a}, response_headers: {set: {a: é}}", "response_headers.set.a", "cannot carry"),
        ("match: {path: /a}, auth: none, cache: {ttl: 0s}", "cache.ttl", "longer than nothing"),
        ("match: {path: /a}, auth: none, cache: {ttl: 1s, max_entry: 0B}", "cache.max_entry", "more than 0"),
        ("match: {path: /a}, auth: none, cache: {ttl: 1s, tags: ['{id}']}", "cache.tags[0]", "no `{id}`"),
        ("match: {path: /a}, auth: none, cache: {ttl: 1s, tags: ['']}", "cache.tags[0]", "1 to 256"),
        ("match: {path: /a, methods: [PUT]}, auth: none, cache: {ttl: 1s}", "cache", "does not take GET"),
        ("match: {path: '/a/*'}, invalidates: ['o:{*}']", "invalidates[0]", "no `{*}`"),
        ("match: {path: /a}, invalidates: ['a b']", "invalidates[0]", "without space"),
        ("match: {path: /a}, auth: nne", "auth", "did you mean `none`?"),
        ("match: {path: /a}, max_body: 5", "max_body", "has no unit"),
        ("match: {path: /a}, upgrade: [WebSocket]", "upgrade[0]", "write `websocket`"),
        ("match: {path: /a}, upgrade: ['web socket']", "upgrade[0]", "not the name of a protocol"),
        ("match: {path: /a}, upgrade: [websocket, websocket]", "upgrade[1]", "twice"),
        ("match: {path: /a}, upgrade: [H2C]", "upgrade[0]", "past everything"),
        ("match: {path: /a}, upgrade: [tls]", "upgrade[0]", "past everything"),
        ("match: {path: /a, methods: [POST]}, upgrade: [websocket]", "upgrade", "does not take"),
        ("match: {path: /a, methods: [GET]}, grpc_web: true", "grpc_web", "sent by POST"),
    ] {
        let place = format!("routes[0].{path}");
        check_all(&format!("{head}{body}}}]"), &[("", &place, words)]);
    }
}

#[test]
fn gateways() {
    check_all(
        "kind: gateway\n",
        &[
            ("listen: localhost:80", "listen", "127.0.0.1:80"),
            ("listen: ':8080'", "listen", "127.0.0.1:8080"),
            ("admin: '127.0.0.1'", "admin", "not an address to listen on"),
            ("admin: 0.0.0.0:19091", "admin", "`listen` uses port 19091 already"),
            ("workers: 0", "workers", "1 to 1024"),
            ("workers: 2000", "workers", "1 to 1024"),
            ("state_dir: ''", "state_dir", "empty"),
            ("access_log: {file: ''}", "access_log.file", "empty"),
            ("access_log: {off: 1}", "access_log.off", "takes no value"),
            ("control_plane: {url: 'ftp://c:1'}", "control_plane.url", "begins with `http://`, `https://`"),
            ("control_plane: {url: 'http://c:1/v1'}", "control_plane.url", "no path"),
            ("control_plane: {url: 'http://:1'}", "control_plane.url", "no sound host"),
            ("control_plane: {url: 'http://c:0'}", "control_plane.url", "no sound host"),
            ("control_plane: {url: 'http://c', node: a/b}", "control_plane.node", "not a name for a node"),
            (
                "control_plane: {url: 'http://c', replicas: ['http://d/x']}",
                "control_plane.replicas[0]",
                "no path",
            ),
            (
                "control_plane: {url: 'http://c', replicas: ['http://c']}",
                "control_plane.replicas[0]",
                "twice",
            ),
            ("dns: {servers: [ns.example]}", "dns.servers[0]", "not the address of a name server"),
            ("dns: {servers: ['1.1.1.1:0']}", "dns.servers[0]", "port 0"),
            ("dns: {servers: [1.1.1.1, '1.1.1.1:53']}", "dns.servers[1]", "twice"),
            (
                "dns: {servers: ['::1', '::2', '::3', '::4', '::5', '::6', '::7', '::8', '::9']}",
                "dns.servers",
                "at most 8",
            ),
            ("services: {s: {endpoints: []}}", "services.s.endpoints", "needs an endpoint"),
            ("services: {1s: {endpoints: ['[::1]:1']}}", "services.1s", "is not a service name"),
            ("tracing: {sample: 1.5}", "tracing.sample", "0.0 to 1.0"),
            ("tracing: {sample: .nan}", "tracing.sample", "0.0 to 1.0"),
            ("tracing: {service_name: ' '}", "tracing.service_name", "empty"),
            ("tracing: {zipkin: {endpoint: 'zipkin:9411'}}", "tracing.zipkin.endpoint", "begins with"),
            ("tracing: {propagation: b4}", "tracing.propagation", "did you mean `b3`?"),
            ("cache: {max_size: lots}", "cache.max_size", "is not a size"),
        ],
    );
}

#[test]
fn sidecars() {
    check_all(
        "kind: sidecar\n",
        &[
            ("app: 127.0.0.1:1\nservice: A", "service", "is not a service name"),
            ("service: a\napp: 127.0.0.1:0", "app", "port 0"),
            ("service: a\napp: localhost:80", "app", "names are not looked up here"),
            ("service: a\napp: unix:/run/a.sock", "app", "not an IP address"),
            ("service: a\napp: 127.0.0.1:1\ninbound: unix:/run/a.sock", "inbound", "not an IP address"),
            ("service: a\napp: 127.0.0.1:1\ninstance: a/b", "instance", "not a name for an instance"),
            ("service: a\napp: 127.0.0.1:1\nprofile: a.b", "profile", "is not a profile name"),
            ("service: a\napp: 127.0.0.1:1\ninbound: 0.0.0.0:1", "inbound", "`app` uses port 1 already"),
            ("service: a\napp: 127.0.0.1:1\noutbound: x", "outbound", "not an address to listen on"),
            ("service: a\napp: 127.0.0.1:1\nworkers: 0", "workers", "1 to 1024"),
            ("service: a\napp: 127.0.0.1:1\nready: {path: healthz}", "ready.path", "begins with `/`"),
            ("service: a\napp: 127.0.0.1:1\nready: {path: /*}", "ready.path", "no placeholders"),
            (
                "service: a\napp: 127.0.0.1:1\nprotocol: http2\nready: {path: /healthz}",
                "ready.path",
                "asked by HTTP/1.1",
            ),
            ("service: a\napp: 127.0.0.1:1\nready: {timeout: 0s}", "ready.timeout", "longer than nothing"),
            ("service: a\napp: 127.0.0.1:1\nlease: 500ms", "lease", "1 s to 10 min"),
            ("service: a\napp: 127.0.0.1:1\nlease: 11m", "lease", "1 s to 10 min"),
            ("service: a\napp: 127.0.0.1:1\nlimits: {connections: 0}", "limits.connections", "more than 0"),
        ],
    );
}
