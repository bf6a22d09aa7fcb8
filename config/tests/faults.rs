//! What a person sees of a file with faults: all of them, in order, each at its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portreeve_config::{Document, load_document};

/// Line, path and problem of every fault of a text.
fn faults(text: &str) -> Vec<(usize, String, String)> {
    let error = load_document("file.yaml", text).expect_err("the text has faults");
    let line = |placed: &portreeve_config::PlacedFault| {
        (placed.line, placed.fault.path.clone(), placed.fault.problem.clone())
    };
    error.faults().iter().map(line).collect()
}

#[test]
fn a_small_document_of_each_kind_loads() {
    assert!(matches!(load_document("x", "kind: gateway").unwrap(), Document::Gateway(_)));
    assert!(matches!(load_document("x", "kind: control-plane\n").unwrap(), Document::ControlPlane(_)));
    let sidecar = "kind: sidecar\nservice: orders\napp: 127.0.0.1:8080\n";
    assert!(matches!(load_document("x", sidecar).unwrap(), Document::Sidecar(_)));
}

const MANY: &str = "\
kind: gateway
lisen: 127.0.0.1:0
workers: many
limits:
  header_timeout: 10
  header_count: -1
access_log: stdot
routes:
  - name: one
    match: {path: /one, methods: GET}
    service: a
    cache: {ttl: 5}
  - name: two
    match: {pth: /two}
    service: [b]
    colour: red
  - match:
      path: /three
tracing: 7
";

#[test]
fn all_faults_are_reported_at_once_and_in_order() {
    let error = load_document("file.yaml", MANY).expect_err("faults");
    println!("{error}");
    println!("{:#?}", faults(MANY));
}
