//! Which certificate a name gets, without any handshake.

use crate::names::ByName;

fn table() -> ByName<&'static str> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    ByName::new([
        ("first", names(&["first.example"])),
        ("wild", names(&["*.shop.example"])),
        ("exact", names(&["api.shop.example", "shop.example"])),
        ("other kind", names(&["shop.example"])),
        ("nameless", names(&[])),
    ])
}

#[test]
fn an_exact_name_goes_before_a_wildcard() {
    assert_eq!(table().pick(Some("api.shop.example")), ["exact"]);
    assert_eq!(table().pick(Some("web.shop.example")), ["wild"]);
}

#[test]
fn a_wildcard_stands_for_one_label() {
    assert_eq!(table().pick(Some("a.web.shop.example")), ["first"]);
    assert_eq!(table().pick(Some(".shop.example")), ["first"]);
    assert_eq!(table().pick(Some("*.example")), ["first"]);
}

#[test]
fn the_first_certificate_serves_whom_none_fits() {
    for name in [None, Some(""), Some("."), Some("elsewhere.example"), Some("nameless")] {
        assert_eq!(table().pick(name), ["first"], "{name:?}");
    }
    assert!(ByName::<u8>::new([]).pick(Some("a.b")).is_empty());
}

#[test]
fn certificates_with_the_same_name_are_all_named_in_order() {
    assert_eq!(table().pick(Some("shop.example")), ["exact", "other kind"]);
}

#[test]
fn a_dot_at_the_end_makes_no_difference() {
    assert_eq!(table().pick(Some("web.shop.example.")), ["wild"]);
}
