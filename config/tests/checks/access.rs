//! Tokens: each can be told from every other, and says whom it may speak for.

use portreeve_config::load_document;

use crate::{check_all, only_fault};

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn each_token_has_a_name_a_role_and_one_secret() {
    let other = HASH.to_uppercase();
    check_all(
        "kind: control-plane\ntokens:\n",
        &[
            ("- {name: '', role: read, token_file: a}", "tokens[0].name", "1 to 128"),
            ("- {name: 'a:b', role: read, token_file: a}", "tokens[0].name", "without `:`"),
            ("- {name: a, role: read}", "tokens[0].name", "`token_file` or `sha256`"),
            (
                &format!("- {{name: a, role: read, token_file: a, sha256: {HASH}}}"),
                "tokens[0].name",
                "not both",
            ),
            ("- {name: a, role: read, token_file: ''}", "tokens[0].token_file", "empty"),
            ("- {name: a, role: read, sha256: abc}", "tokens[0].name", "64 hexadecimal digits"),
            ("- {name: a, role: root, token_file: a}", "tokens[0].role", "root"),
            ("- {name: a, role: node, token_file: a}", "tokens[0].role", "needs `services`"),
            ("- {name: a, role: admin, token_file: a, services: [b]}", "tokens[0].services", "role `node`"),
            (
                "- {name: a, role: node, token_file: a, services: [B]}",
                "tokens[0].services[0]",
                "service name",
            ),
            ("- {name: a, role: node, token_file: a, services: [b, b]}", "tokens[0].services[1]", "twice"),
            (
                "- {name: a, role: read, token_file: a}\n- {name: a, role: read, token_file: b}",
                "tokens[1].name",
                "has this name already",
            ),
            (
                "- {name: a, role: read, token_file: a}\n- {name: b, role: read, token_file: a}",
                "tokens[1]",
                "has this secret already",
            ),
            (
                &format!(
                    "- {{name: a, role: read, sha256: {HASH}}}\n- {{name: b, role: read, sha256: {other}}}"
                ),
                "tokens[1]",
                "has this secret already",
            ),
        ],
    );
}

#[test]
fn a_token_in_the_place_of_its_hash_is_not_shown() {
    let text =
        "kind: control-plane\ntokens:\n- name: a\n  role: read\n  sha256: 0penSesame-0penSesame-0penSesame\n";
    let fault = load_document("file.yaml", text).unwrap_err().to_string();
    assert!(fault.contains("is not a hash") && !fault.contains("0penSesame"), "{fault}");
    assert!(only_fault(text).contains("sha256sum"));
}

#[test]
fn a_gateway_speaks_for_no_service() {
    load_document(
        "file.yaml",
        "kind: control-plane\ntokens:\n- {name: g, role: node, token_file: g, services: []}",
    )
    .unwrap();
}

#[test]
fn users_of_eureka_are_limited_to_services() {
    let head = "kind: control-plane\neureka:\n  users:\n  - ";
    check_all(
        head,
        &[("{name: a, password_file: p, services: [A]}", "eureka.users[0].services[0]", "service name")],
    );
}
