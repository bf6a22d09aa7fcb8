//! What a control plane's document can have wrong, but for tokens and listeners that others reach.

use crate::check_all;

#[test]
fn control_planes() {
    check_all(
        "kind: control-plane\n",
        &[
            ("listen: 7070", "listen", "127.0.0.1:7070"),
            ("data_dir: ''", "data_dir", "empty"),
            ("trace_spans: 0", "trace_spans", "1 to"),
            ("audit: {file: ''}", "audit.file", "empty"),
            ("limits: {connections: 0}", "limits.connections", "more than 0"),
            ("limits: {connections_per_client: 0}", "limits.connections_per_client", "more than 0"),
            ("limits: {requests: 2000000}", "limits.requests", "at most 1000000"),
            ("limits: {request_burst: 0}", "limits.request_burst", "more than 0"),
            ("limits: {idle_timeout: 0s}", "limits.idle_timeout", "longer than nothing"),
            ("limits: {header_timeout: 25h}", "limits.header_timeout", "too long"),
            ("store: {etcd: {endpoints: []}}", "store.etcd.endpoints", "no endpoint"),
            ("store: {etcd: {endpoints: [etcd]}}", "store.etcd.endpoints[0]", "begins with `http://`"),
            ("store: {etcd: {endpoints: ['http://e/v3']}}", "store.etcd.endpoints[0]", "no path"),
            ("store: {etcd: {endpoints: ['https://e']}}", "store.etcd.endpoints[0]", "`tls.ca_file`"),
            ("store: {etcd: {endpoints: ['http://e'], prefix: p}}", "store.etcd.prefix", "ends with `/`"),
            (
                "store: {etcd: {endpoints: ['http://e'], user: {name: '', password_file: p}}}",
                "store.etcd.user.name",
                "empty",
            ),
            (
                "store: {etcd: {endpoints: ['https://e'], tls: {ca_file: a, key_file: k}}}",
                "store.etcd.tls.certificate_file",
                "is not named",
            ),
            ("seed: {services: [a, a]}", "seed.services[1]", "twice"),
            ("seed: {services: [A]}", "seed.services[0]", "is not a service name"),
            (
                "seed: {services: [a], routes: [{name: r, match: {path: /}, service: b}]}",
                "seed.routes[0].service",
                "there is no service `b`",
            ),
            ("eureka: {listen: nowhere}", "eureka.listen", "nowhere"),
            ("eureka: {listen: '127.0.0.1:7070'}", "eureka.listen", "`listen` uses port 7070 already"),
            ("eureka: {users: [{name: a}]}", "eureka.users[0]", "`password_hash` or `password_file`"),
            (
                "eureka: {users: [{name: a, password_hash: secret}]}",
                "eureka.users[0].password_hash",
                "not an Argon2 hash",
            ),
            (
                "eureka: {users: [{name: 'a:b', password_file: f}]}",
                "eureka.users[0].name",
                "not a name for HTTP Basic",
            ),
            (
                "eureka: {users: [{name: a, password_file: f}, {name: a, password_file: g}]}",
                "eureka.users[1].name",
                "another user",
            ),
            ("seed: {config: {A: {}}}", "seed.config.A", "is not a service name"),
            ("seed: {config: {a: {b.c: {}}}}", "seed.config.a.b.c", "is not a profile name"),
            ("seed: {config: {a: {b: {'c d': x}}}}", "seed.config.a.b.c d", "is not a configuration key"),
            ("seed: {config: {a: {b: {c: \"x\\0\"}}}}", "seed.config.a.b.c", "NUL"),
            ("seed: {config: {a: {b: {c: [1]}}}}", "seed.config.a.b.c", "expected text, found a list"),
        ],
    );
}
