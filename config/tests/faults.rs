//! What a person sees of a file with faults: all of them at once, in order, each at its place, with a remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portreeve_config::{
    Document, LoadError, PlacedFault, RouteConfig, check, check_json, load_document, load_file,
    parse_document, parse_json,
};

/// `line:column path` and the problem of every fault.
fn listed(faults: &[PlacedFault]) -> Vec<String> {
    let line = |placed: &PlacedFault| format!("{}:{} {}", placed.line, placed.column, placed.fault);
    faults.iter().map(line).collect()
}

fn faults(text: &str) -> Vec<String> {
    listed(load_document("file.yaml", text).expect_err(text).faults())
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
services: {products: {endpoints: [127.0.0.1:1]}}
routes:
  - name: one
    match: {path: /one, methods: GET}
    service: products
    cache: {ttl: 5}
  - name: two
    match: {pth: /two//}
    service: [b]
    colour: red
  - 7
  - match:
      path: three
    service: product
tracing: 7
workers: 4
";

#[test]
fn all_faults_are_reported_at_once_and_in_order() {
    let fields = "`name`, `match`, `service`, `rewrite`, `request_headers`, `response_headers`, `auth`, `cache`, \
                  `invalidates`, `balance`, `timeout`, `retry`, `max_body`, `upgrade`, `grpc_web`, `priority`";
    assert_eq!(
        faults(MANY),
        [
            "2:1 lisen: unknown field `lisen` (did you mean `listen`?)".to_owned(),
            "3:10 workers: expected a whole number, found text".to_owned(),
            "5:19 limits.header_timeout: `10` has no unit: write `10ms` or `10s`".to_owned(),
            "6:17 limits.header_count: expected a whole number, not negative, found `-1`".to_owned(),
            "7:13 access_log: `stdot` is not known here (did you mean `stdout`?)".to_owned(),
            "11:34 routes[0].match.methods: expected a list, found text".to_owned(),
            "13:18 routes[0].cache.ttl: `5` has no unit: write `5ms` or `5s`".to_owned(),
            "15:13 routes[1].match.pth: unknown field `pth` (did you mean `path`?)".to_owned(),
            "15:18 routes[1].match.path: a path cannot hold `//` (keep one `/`)".to_owned(),
            "16:5 routes[1].service: expected text, found a list".to_owned(),
            format!("17:5 routes[1].colour: unknown field `colour` (known here: {fields})"),
            format!("18:5 routes[2]: expected a mapping with the fields {fields}, found a number"),
            "19:5 routes[3]: the field `name` is missing".to_owned(),
            "20:13 routes[3].match.path: a path begins with `/` (write `/three`)".to_owned(),
            "21:14 routes[3].service: there is no service `product` (did you mean `products`?)".to_owned(),
            "22:10 tracing: expected a mapping with the fields `service_name`, `sample`, `propagation`, `zipkin`, \
             found a number"
                .to_owned(),
            "23:1 workers: this field is given twice (keep one of them)".to_owned(),
        ]
    );
}

#[test]
fn what_was_dropped_blames_nobody_else() {
    for (text, line) in [
        // The service is faulty, so routes to it are not.
        ("kind: gateway\nservices: {a: 5}\nroutes: [{name: r, match: {path: /}, service: a}]", "2:15"),
        // The section is faulty, so routes that lean on it are not.
        ("kind: gateway\nauth: 5\nroutes: [{name: r, match: {path: /}, service: a, auth: required}]", "2:7"),
        (
            "kind: control-plane\nseed: {services: [[a]], routes: [{name: r, match: {path: /}, service: a}]}",
            "2:19",
        ),
        // A path that is not known has no placeholders to miss.
        (
            "kind: gateway\ncontrol_plane: {url: 'http://c'}\nroutes: [{name: r, match: {path: []}, service: a, invalidates: ['{x}']}]",
            "3:28",
        ),
        ("kind: gateway\nrewrite: {path: [x]}", "2:1"),
    ] {
        let faults = faults(text);
        assert_eq!(faults.len(), 1, "{faults:#?}");
        assert!(faults[0].starts_with(line), "{faults:#?}");
    }
}

#[test]
fn a_fault_is_shown_with_its_line_and_a_caret() {
    let text = "kind: gateway\nroutes:\n  - nme: products\n    match: {path: /}\n    service: a\n\
                control_plane: {url: \"http://c\"}\nlisten: ähm\n";
    let error = load_document("config/gateway.yaml", text).expect_err("faults");
    assert_eq!(
        error.to_string(),
        "\
error: unknown field `nme`
 --> config/gateway.yaml:3:5
  |
3 |   - nme: products
  |     ^^^ routes[0].nme
  |
  = help: did you mean `name`?

error: `ähm` is not an address to listen on
 --> config/gateway.yaml:7:9
  |
7 | listen: ähm
  |         ^^^ listen
  |
  = help: an IP address and a port: `127.0.0.1:8080`

2 faults in config/gateway.yaml"
    );
    assert!(!error.to_string().contains('\u{1b}'));
    assert!(error.render(true).contains('\u{1b}'));
}

#[test]
fn no_text_steers_the_terminal() {
    let text = "kind: gateway\n\"a\\e[31mb\": 1\nlisten: \"\\e[0m\\u202e\"\naccess_log: \u{202e}\n";
    let shown = load_document("file.yaml", text).expect_err("faults").to_string();
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
}

#[test]
fn kinds_are_needed_and_known() {
    let hint = "begin with `kind: gateway`, `sidecar`, `control-plane` or `desired-state`";
    assert_eq!(faults(""), [format!("1:1 expected a document of fields ({hint})")]);
    assert_eq!(faults("- a"), [format!("1:1 expected a document of fields ({hint})")]);
    assert_eq!(faults("listen: x"), [format!("1:1 the field `kind` is missing ({hint})")]);
    assert_eq!(faults("kind: [a]"), [format!("1:1 kind: the kind must be one word ({hint})")]);
    assert_eq!(faults("kind: database"), [format!("1:7 kind: there is no kind `database` ({hint})")]);
    // A slip is taken for what was meant, and the rest is still checked.
    assert_eq!(
        faults("kind: gatway\nlisten: x"),
        [
            "1:7 kind: there is no kind `gatway` (did you mean `gateway`?)",
            "2:9 listen: `x` is not an address to listen on (an IP address and a port: `127.0.0.1:8080`)",
        ]
    );
}

#[test]
fn hostile_yaml_is_refused_in_time() {
    let bomb: String =
        (0..40).map(|n| format!("a{}: &a{} [*a{n}, *a{n}, *a{n}, *a{n}]\n", n + 1, n + 1)).collect();
    let wide = format!("a: &a \"{}\"\nb: [{}]", "x".repeat(1 << 20), "*a,".repeat(1000));
    for (text, words) in [
        (format!("kind: gateway\na0: &a0 x\n{bomb}"), "too large"),
        (format!("kind: gateway\n{wide}"), "too large"),
        ("[".repeat(100_000), "nested"),
        (format!("a: {}", "{a: ".repeat(100)), "nested"),
        (format!("[{}]", "1,".repeat(2_000_001)), "more than 2000000 values"),
        ("kind: gateway\na: &a [*a]".to_owned(), "itself part of"),
        ("kind: gateway\n---\nkind: gateway".to_owned(), "second document"),
        ("kind: !secret gateway".to_owned(), "tags"),
        ("[a, b]: c".to_owned(), "the name of a field must be plain text"),
        ("kind: \"gate".to_owned(), "not valid YAML"),
        ("kind: gateway\n\tlisten: x".to_owned(), "not valid YAML"),
    ] {
        let start = std::time::Instant::now();
        let faults = faults(&text);
        let shown = text.chars().take(60).collect::<String>();
        assert!(faults.len() == 1 && faults[0].contains(words), "{shown}: {faults:#?}");
        // Without a bound, days: the rest is a slow machine.
        assert!(start.elapsed().as_secs() < 60, "{shown}");
    }
}

#[test]
fn aliases_are_copied_and_their_faults_found() {
    let text = "kind: gateway\nlimits: &limits {header_timeout: 5s, drain: 1d 1s}\n";
    assert_eq!(faults(text), ["2:45 limits.drain: 1day 1s is too long: at most 1day"]);
    let text = "kind: gateway\ncontrol_plane: {url: &url 'http://c'}\ntracing: {zipkin: {endpoint: *url}}";
    assert!(load_document("x", text).is_ok());
}

#[test]
fn more_faults_than_anyone_reads_come_to_an_end() {
    let text = format!("kind: gateway\n{}", (0..500).map(|n| format!("nothing{n}: 1\n")).collect::<String>());
    assert_eq!(faults(&text).len(), 50);
}

#[test]
fn files_that_are_no_text_name_the_path_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::write(place("broken.yaml"), b"kind: gateway\n\xff\xfe").unwrap();
    std::fs::write(place("huge.yaml"), vec![b'#'; (32 << 20) + 1]).unwrap();
    std::fs::write(place("large.yaml"), [b"kind: gateway\n#".to_vec(), vec![b'#'; 32 << 20]].concat())
        .unwrap();
    for (name, words) in [
        ("missing.yaml", "there is no file"),
        ("", "is a folder"),
        ("broken.yaml", "is not UTF-8 text (line 2)"),
        ("huge.yaml", "larger than 32 MiB"),
        ("large.yaml", "larger than 32 MiB"),
    ] {
        let error = load_file(&place(name)).expect_err(name);
        assert!(error.faults().is_empty());
        let message = error.to_string();
        assert!(message.contains(words) && message.contains(name), "{message}");
        assert!(message.contains(&folder.path().display().to_string()), "{message}");
    }
}

#[test]
fn documents_without_a_kind_and_json_are_read_alike() {
    let yaml = "name: a\nmatch: {path: /}\nservice: s\ncolor: x\ntimeout: 1";
    let error = parse_document::<RouteConfig>("route", yaml).expect_err("faults");
    let json = br#"{"name": "a", "match": {"path": "/"}, "service": "s", "color": "x", "timeout": 1}"#;
    let faults = parse_json::<RouteConfig>(json).expect_err("faults");
    let from_yaml: Vec<_> = error.faults().iter().map(|placed| placed.fault.clone()).collect();
    assert_eq!(from_yaml, faults.0);
    assert_eq!(faults.0.len(), 2);

    let sound = br#"{"name": "a", "match": {"path": "/"}, "service": "s", "priority": -3}"#;
    assert_eq!(parse_json::<RouteConfig>(sound).unwrap().priority, -3);
    for (json, words) in [
        (
            &br#"{"name": 5, "match": {"path": "/"}, "service": "s"}"#[..],
            "name: expected text, found a number",
        ),
        (
            br#"{"name": "a", "name": "b", "match": {"path": "/"}, "service": "s"}"#,
            "name: this field is given twice",
        ),
        (
            br#"{"name": "a", "match": {"path": "/"}, "service": "s", "priority": 1.0}"#,
            "priority: expected a whole",
        ),
        (br#"{"name": "a""#, "this is not valid JSON"),
        (b"\xff", "this is not valid JSON"),
        (b"", "this is not valid JSON"),
        (b"null", "expected a mapping with the fields"),
    ] {
        let faults = parse_json::<RouteConfig>(json).expect_err(words);
        assert!(faults.to_string().contains(words), "{faults}");
    }
}

#[test]
fn texts_from_elsewhere_never_see_the_environment() {
    let yaml = "name: a\nmatch: {path: /}\nservice: s\ninvalidates: ['${PATH}']";
    assert_eq!(parse_document::<RouteConfig>("route", yaml).unwrap().invalidates, ["${PATH}"]);
    let json = br#"{"name": "${PATH}", "match": {"path": "/"}, "service": "s"}"#;
    assert_eq!(parse_json::<RouteConfig>(json).unwrap().name, "${PATH}");
}

#[test]
fn an_error_can_be_kept_and_sent() {
    fn is_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_error::<LoadError>();
}

#[test]
fn windows_files_are_counted_like_any_other() {
    assert_eq!(
        faults("\u{feff}kind: gateway\r\n\r\nlisten: x\r\n"),
        ["3:9 listen: `x` is not an address to listen on (an IP address and a port: `127.0.0.1:8080`)"]
    );
}

#[test]
fn a_large_faulty_file_is_answered_in_time() {
    let services: String =
        (0..3_000).map(|n| format!("  service-{n}: {{endpoints: [127.0.0.1:1]}}\n")).collect();
    let route = |n: usize| format!("- {{name: r{n}, match: {{path: /}}, service: servant-{n}}}\n");
    let routes: String = (0..3_000).map(route).collect();
    let text = format!("kind: gateway\nservices:\n{services}routes:\n{routes}");
    let start = std::time::Instant::now();
    let error = load_document("file.yaml", &text).expect_err("faults");
    assert_eq!(error.faults().len(), 50);
    assert!(error.to_string().ends_with("50 faults, and there may be more, in file.yaml"));
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn shape_and_content_of_json_are_answered_together() {
    let json = br#"{"name": "a b", "match": {"path": "/x//y"}, "service": [], "timeout": "0s", "colour": 1}"#;
    let faults = check_json::<RouteConfig>(json, |route| check::route(route, None)).expect_err("faults");
    let places: Vec<_> = faults.0.iter().map(|fault| &*fault.path).collect();
    assert_eq!(places, ["name", "match.path", "service", "timeout", "colour"]);
}
