//! Whole files with an environment of their own: the shipped ones as they are, damaged in every place, and with
//! every variable set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::*;
use crate::substitute::NotText;
use crate::{AuthRule, CacheShare};

const SHIPPED: [&str; 3] = ["gateway.yaml", "sidecar.yaml", "control-plane.yaml"];

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn nothing(_: &str) -> Result<Option<String>, NotText> {
    Ok(None)
}

fn load(name: &str, text: &str) -> Result<Document, LoadError> {
    load_with(name, text, &nothing)
}

#[test]
fn the_shipped_gateway_says_what_the_demo_needs() {
    let Document::Gateway(gateway) = load("gateway.yaml", &shipped("gateway.yaml")).unwrap() else {
        panic!()
    };
    assert_eq!(gateway.listen, "127.0.0.1:19091");
    assert_eq!(gateway.admin, "127.0.0.1:19092");
    assert_eq!(gateway.control_plane.as_ref().unwrap().url, "http://127.0.0.1:7070");
    assert_eq!(gateway.state_dir, None);
    let auth = gateway.auth.as_ref().unwrap();
    assert_eq!(auth.providers[0].issuer, "http://auth.shop");
    assert_eq!(auth.providers[0].claims_to_headers["sub"], "X-User-Id");
}

#[test]
fn the_environment_moves_the_shipped_gateway() {
    let environment = |name: &str| {
        Ok(match name {
            "PORTREEVE_LISTEN" => Some("127.0.0.1:0".to_owned()),
            "PORTREEVE_ADMIN" => Some("127.0.0.1:0".to_owned()),
            "PORTREEVE_CONTROL_PLANE" => Some("http://127.0.0.1:1234".to_owned()),
            "PORTREEVE_STATE_DIR" => Some("state here".to_owned()),
            _ => None,
        })
    };
    let document = load_with("gateway.yaml", &shipped("gateway.yaml"), &environment).unwrap();
    let Document::Gateway(gateway) = document else { panic!() };
    assert_eq!((&*gateway.listen, &*gateway.admin), ("127.0.0.1:0", "127.0.0.1:0"));
    assert_eq!(gateway.control_plane.as_ref().unwrap().url, "http://127.0.0.1:1234");
    assert_eq!(gateway.state_dir.as_deref(), Some(Path::new("state here")));
}

#[test]
fn the_shipped_sidecar_loads() {
    let Document::Sidecar(sidecar) = load("sidecar.yaml", &shipped("sidecar.yaml")).unwrap() else {
        panic!()
    };
    assert_eq!((&*sidecar.service, sidecar.lease.get().as_secs()), ("products", 3));
}

#[test]
fn the_shipped_control_plane_is_the_shop() {
    let document = load("control-plane.yaml", &shipped("control-plane.yaml")).unwrap();
    let Document::ControlPlane(config) = document else { panic!() };
    let seed = config.seed;
    assert_eq!(seed.services, ["auth", "users", "products", "orders", "payments", "notifications"]);
    assert_eq!(seed.config["application"]["default"]["currency"], "EUR");
    assert_eq!(seed.config["products"]["default"]["low-stock"], "5");
    let open = seed.routes.iter().filter(|route| route.auth == Some(AuthRule::None));
    let open: Vec<_> = open.map(|route| &*route.name).collect();
    assert_eq!(open, ["auth-sign-in", "auth-discovery", "users-create", "users-login"]);
    let share = |name: &str| {
        let route = seed.routes.iter().find(|route| route.name == name).unwrap();
        route.cache.as_ref().map(|cache| cache.share)
    };
    assert_eq!(share("products-read"), None);
    assert_eq!(share("products-list"), Some(Some(CacheShare::Everyone)));
    assert_eq!(share("order-read"), Some(Some(CacheShare::PerSubject)));
    assert_eq!(share("orders-read"), Some(Some(CacheShare::PerSubject)));
}

#[test]
fn a_variable_is_replaced_also_where_its_dollar_is_escaped() {
    let environment = |name: &str| Ok((name == "NAME").then(|| "shop".to_owned()));
    let text = "kind: gateway\ntracing: {service_name: \"\\x24{NAME}\"}\n";
    let Document::Gateway(gateway) = load_with("x", text, &environment).unwrap() else { panic!() };
    assert_eq!(gateway.tracing.service_name.as_deref(), Some("shop"));
}

#[test]
fn a_plain_value_gets_its_type_after_its_variables_are_replaced() {
    let environment = |name: &str| Ok((name == "MANY").then(|| "12".to_owned()));
    let text = "kind: ${KIND:-gateway}\nworkers: ${MANY}\nlimits:\n  header_count: ${N:-7}\n  drain: \"${D:-2}s\"\n\
                tracing:\n  sample: ${S:-0.5}\n  service_name: $${MANY}\n";
    let Document::Gateway(gateway) = load_with("x", text, &environment).unwrap() else { panic!() };
    assert_eq!(gateway.workers, Some(12));
    assert_eq!(gateway.limits.header_count, 7);
    assert_eq!(gateway.limits.drain.get().as_secs(), 2);
    assert_eq!(gateway.tracing.service_name.as_deref(), Some("${MANY}"));
    assert!((gateway.tracing.sample - 0.5).abs() < f64::EPSILON);
}

#[test]
fn a_variable_between_braces_is_told_about_quotes() {
    let error = load("x", "kind: gateway\nlimits: {header_count: ${N:-7}}\n").unwrap_err();
    let hint = error.faults()[0].fault.hint.as_deref();
    assert_eq!(hint, Some("between `{}` or `[]`, a value with `${…}` stands in quotes"));
}

#[test]
fn a_variable_that_is_not_set_is_a_fault_with_place_and_remedy() {
    let text = "kind: sidecar\nservice: ${SERVICE}\napp: ${APP\nworkers: \"${N:-1}\"\n";
    let error = load("sidecar.yaml", text).unwrap_err();
    let shown: Vec<_> = error.faults().iter().map(|placed| (placed.line, placed.fault.to_string())).collect();
    assert_eq!(
        shown,
        [
            (
                2,
                "service: the environment variable `SERVICE` is not set \
                 (set it, or give a default: `${SERVICE:-default}`)"
                    .to_owned()
            ),
            (3, "app: `${` is never closed (close it with `}`, or write `$$` for `$`)".to_owned()),
            (4, "workers: expected a whole number, found text".to_owned()),
        ]
    );
}

#[test]
fn what_the_environment_holds_is_no_path_into_the_document() {
    let environment = |_: &str| Ok(Some("x\nlisten: 1.1.1.1:1 # {[\"".to_owned()));
    let error = load_with("x", "kind: gateway\nadmin: ${A}\n", &environment).unwrap_err();
    assert_eq!(error.faults().len(), 1);
    assert_eq!(error.faults()[0].fault.path, "admin");
}

#[test]
fn the_value_of_a_header_field_is_never_repeated() {
    let environment = |_: &str| Ok(Some("hunter2\u{7f}".to_owned()));
    let text = "kind: gateway\ncontrol_plane: {url: 'http://c'}\nroutes:\n- name: a\n  match: {path: /}\n  \
                service: s\n  request_headers: {set: {Authorization: \"${SECRET}\"}}\n";
    let error = load_with("x", text, &environment).unwrap_err();
    assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error}");
    let environment = |_: &str| Ok(Some("http://user:hunter2@c".to_owned()));
    let error = load_with("x", "kind: gateway\ncontrol_plane: {url: '${U}'}", &environment).unwrap_err();
    assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error}");
}

/// No text may panic, and every refusal must be shown: the shipped files cut off at every byte.
#[test]
fn a_file_cut_off_anywhere_is_read_or_refused() {
    for name in SHIPPED {
        let text = shipped(name);
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            survive(name, &text[..end]);
        }
    }
}

/// The shipped files with each byte, in turn, replaced by one that means something to YAML or to us.
#[test]
fn a_file_with_any_byte_changed_is_read_or_refused() {
    const BYTES: &[u8] = b":{}[]\"'#&*!|>%@-?,$\n\t \0\x7f0~";
    for name in SHIPPED {
        let text = shipped(name);
        for (at, letter) in text.char_indices() {
            let byte = char::from(BYTES[at % BYTES.len()]);
            survive(name, &format!("{}{byte}{}", &text[..at], &text[at + letter.len_utf8()..]));
            survive(name, &format!("{}é{byte}{}", &text[..at], &text[at..]));
        }
    }
}

fn survive(name: &str, text: &str) {
    if let Err(error) = load(name, text) {
        assert!(!error.faults().is_empty(), "{text}");
        let lines = text.split('\n').count();
        for placed in error.faults() {
            assert!((1..=lines).contains(&placed.line) && placed.column >= 1, "{placed:?}");
        }
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn without_an_auth_section_a_kept_answer_may_be_shared() {
    let text = "kind: gateway\nservices: {a: {endpoints: [\"127.0.0.1:1\"]}}\nroutes:\n\
                \x20 - {name: a, match: {path: /a}, service: a, cache: {ttl: 1s}}\n";
    assert!(load("x", text).is_ok());
    let asking = text.replace("ttl: 1s}", "ttl: 1s}, auth: required");
    assert_eq!(
        load("x", &asking).unwrap_err().faults().len(),
        2,
        "nobody's tokens are accepted, and no share"
    );
}
