//! What a certificate says about its owner, and which ones are refused for it.

use std::time::{Duration, SystemTime};

use rcgen::{CustomExtension, DnType, SanType};

use super::material::Authority;
use crate::identity::{ClientIdentity, IdentityFault};

fn read(certificate: &[u8]) -> Result<ClientIdentity, IdentityFault> {
    ClientIdentity::read(certificate, SystemTime::now())
}

/// What is read from a certificate with these alternative names.
fn named(names: Vec<SanType>) -> Result<ClientIdentity, IdentityFault> {
    read(&Authority::new().made(&[], |params| params.subject_alt_names = names).der())
}

#[test]
fn every_kind_of_name_is_told_apart() {
    let leaf = Authority::new().made(&[], |params| {
        params.distinguished_name.push(DnType::OrganizationName, "Shop, \"Söhne\" + Co");
        params.subject_alt_names = vec![
            SanType::DnsName("Orders.internal".try_into().unwrap()),
            SanType::URI("spiffe://shop/orders".try_into().unwrap()),
            SanType::Rfc822Name("orders@shop.example".try_into().unwrap()),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::DnsName("URI:spiffe://shop/admin".try_into().unwrap()),
        ];
    });
    let identity = read(&leaf.der()).unwrap();
    assert_eq!(identity.subject, r#"O=Shop\, \"Söhne\" \+ Co,CN=nobody"#);
    let names: Vec<_> = identity.alternative_names.iter().map(ToString::to_string).collect();
    let expected = [
        "DNS:Orders.internal",
        "URI:spiffe://shop/orders",
        "email:orders@shop.example",
        "IP:10.0.0.1",
        "IP:2001:db8::1",
        "DNS:URI:spiffe://shop/admin",
    ];
    assert_eq!(names, expected);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf.der());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(identity.fingerprint, digest);
}

#[test]
fn a_name_with_a_control_character_is_refused() {
    let fault = Err(IdentityFault::ControlCharacter("alternative name"));
    for bad in ["admin.internal\0.evil.example", "a\r\nX-User: admin", "a\x7f", "\t"] {
        assert_eq!(named(vec![SanType::DnsName(bad.try_into().unwrap())]), fault, "{bad:?}");
        assert_eq!(named(vec![SanType::URI(bad.try_into().unwrap())]), fault, "{bad:?}");
        assert_eq!(named(vec![SanType::Rfc822Name(bad.try_into().unwrap())]), fault, "{bad:?}");
    }
}

#[test]
fn a_subject_with_a_control_character_is_refused() {
    for bad in ["admin\0", "a\nO=Shop", "a\u{85}b"] {
        let leaf =
            Authority::new().made(&[], |params| params.distinguished_name.push(DnType::CommonName, bad));
        assert_eq!(read(&leaf.der()), Err(IdentityFault::ControlCharacter("subject")), "{bad:?}");
    }
}

#[test]
fn alternative_names_that_make_no_sense_are_refused() {
    let short_address: &[u8] = &[0x30, 5, 0x87, 3, 10, 0, 0];
    for bad in [short_address, &[0x30, 3, 0x82, 9, b'a'], &[0x04, 0], &[0x30, 3, 0x82, 1, 0xff], &[]] {
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], bad.to_vec());
        let leaf = Authority::new().made(&[], |params| params.custom_extensions.push(extension));
        assert!(matches!(read(&leaf.der()), Err(IdentityFault::Malformed(_))), "{bad:?}");
    }
}

#[test]
fn a_certificate_that_expired_since_its_session_began_is_refused() {
    let leaf = Authority::new().expired(&["a.example"]);
    assert_eq!(read(&leaf.der()), Err(IdentityFault::Expired));
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
    assert!(ClientIdentity::read(&leaf.der(), before).is_ok());
}

#[test]
fn nonsense_is_refused() {
    let leaf = Authority::new().leaf(&["a.example"]).der();
    for end in 0..leaf.len() {
        assert!(read(&leaf[..end]).is_err());
    }
    assert!(read(&[leaf.as_ref(), &[0]].concat()).is_err());
}
