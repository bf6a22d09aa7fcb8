//! What is asked of a control plane that other machines reach, and of those who go to one.

use portreeve_config::check::is_overheard;
use portreeve_config::load_document;

use crate::{check_all, only_fault};

const TOKENS: &str = "kind: control-plane\ntokens: [{name: me, role: admin, token_file: t}]\n";

#[test]
fn beyond_loopback_there_is_tls_and_a_secret_or_somebodys_word() {
    check_all(
        TOKENS,
        &[
            ("listen: 0.0.0.0:7070", "listen", "`tls: {certificate: …, key: …}`"),
            ("listen: '[::]:7070'", "listen", "`plain_text: true`"),
            ("listen: 10.0.0.1:7070", "listen", "other machines"),
            ("listen: '[::ffff:10.0.0.1]:7070'", "listen", "other machines"),
            ("tls: {certificate: '', key: k}", "tls.certificate", "empty"),
            ("tls: {certificate: c, key: k, client_ca: ''}", "tls.client_ca", "empty"),
            ("tls: {certificate: c}", "tls", "`key` is missing"),
            ("plain_text: true\ntls: {certificate: c, key: k}", "plain_text", "only one of them"),
            ("eureka: {listen: 0.0.0.0:1, anyone: true}", "eureka.listen", "`tls: {certificate"),
            ("eureka: {listen: 0.0.0.0:1, plain_text: true}", "eureka.users", "`anyone: true`"),
            ("config_server: {listen: '[::]:1', anyone: true}", "config_server.listen", "other machines"),
            ("config_server: {listen: '[::]:1', plain_text: true}", "config_server.users", "asks nobody"),
            (
                "eureka: {anyone: true, users: [{name: a, password_file: f}]}",
                "eureka.anyone",
                "only one of them",
            ),
            (
                "eureka: {plain_text: true, tls: {certificate: c, key: k}}",
                "eureka.plain_text",
                "only one of them",
            ),
            ("tls: {certificate: c, key: k}\neureka: {listen: 0.0.0.0:1}", "eureka.users", "list `users`"),
        ],
    );
    let open = "kind: control-plane\nlisten: 0.0.0.0:7070\nplain_text: true\n";
    assert!(only_fault(open).contains("tokens"), "{}", only_fault(open));
}

#[test]
fn what_was_secured_or_stays_here_is_taken() {
    for sound in [
        "listen: 127.0.0.1:1",
        "listen: '[::1]:1'\neureka: {listen: 127.9.9.9:2}",
        "listen: '[::ffff:127.0.0.1]:1'",
        "listen: 0.0.0.0:1\ntokens: [{name: me, role: admin, token_file: t}]\ntls: {certificate: c, key: k}",
        "listen: 0.0.0.0:1\ntokens: [{name: me, role: admin, token_file: t}]\nplain_text: true",
        "tls: {certificate: c, key: k, client_ca: a, min_version: '1.3'}\neureka: {listen: 0.0.0.0:1}",
        "plain_text: true\neureka: {listen: 0.0.0.0:1, anyone: true}",
        "eureka: {listen: 0.0.0.0:1, tls: {certificate: c, key: k}, users: [{name: a, password_file: f}]}",
        "tls: {certificate: c, key: k}\nconfig_server: {listen: 0.0.0.0:1, plain_text: true, anyone: true}",
    ] {
        let text = format!("kind: control-plane\n{sound}\n");
        load_document("file.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

#[test]
fn a_token_is_not_sent_where_others_can_read_it() {
    for kind in ["kind: gateway\n", "kind: sidecar\nservice: a\napp: 127.0.0.1:1\n"] {
        check_all(
            kind,
            &[
                (
                    "control_plane: {url: 'http://c', token_file: t}",
                    "control_plane.url",
                    "`plain_text: true`",
                ),
                (
                    "control_plane: {url: 'https://c', replicas: ['http://d'], token_file: t}",
                    "control_plane.replicas[0]",
                    "plain text",
                ),
                ("control_plane: {url: 'http://c', ca: a}", "control_plane.ca", "`https://`"),
                ("control_plane: {url: 'https://c', ca: ''}", "control_plane.ca", "empty"),
                ("control_plane: {url: 'https://c', certificate: a}", "control_plane.key", "`key` too"),
                ("control_plane: {url: 'https://c', key: a}", "control_plane.certificate", "too"),
                ("control_plane: {url: 'https://c', token_file: ''}", "control_plane.token_file", "empty"),
            ],
        );
        for sound in [
            "{url: 'http://localhost:7070', token_file: t}",
            "{url: 'http://[::1]:7070', token_file: t}",
            "{url: 'http://c', token_file: t, plain_text: true}",
            "{url: 'https://c:1', ca: a, certificate: b, key: k, token_file: t}",
        ] {
            let text = format!("{kind}control_plane: {sound}\n");
            load_document("file.yaml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
    }
    let overheard = ["http://c", "http://10.0.0.1:7070", "http://localhost.example"];
    assert!(overheard.iter().all(|url| is_overheard(url)));
    let private =
        ["https://c", "http://127.0.0.1:1", "http://LOCALHOST:1/", "http://a.localhost", "nonsense"];
    assert!(!private.iter().any(|url| is_overheard(url)));
}

#[test]
fn the_control_planes_of_the_pages_can_be_used() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut found = 0;
    for page in ["control-plane", "eureka", "config-server", "replicas", "tls"] {
        let text = std::fs::read_to_string(format!("{root}/docs/{page}.md")).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        for (block, _) in blocks.filter(|(block, _)| block.contains("kind: ")) {
            // As a variable's value would stand there.
            let block = block.replace("${OPERATORS_HASH}", "$argon2id$x");
            let parts = block.split("${").enumerate();
            let parts = parts.map(|(index, part)| match (index, part.split_once('}')) {
                (0, _) | (_, None) => part.to_owned(),
                (_, Some((_, rest))) => format!("x{rest}"),
            });
            let text: String = parts.collect();
            load_document("file.yaml", &text).unwrap_or_else(|error| panic!("{page}: {error}\n{text}"));
            found += 1;
        }
    }
    assert!(found >= 7, "{found}");
}
