//! Names and values of header fields, and the fields no configuration may touch because the proxy itself
//! answers for them. Values are never repeated in a fault: they may be secrets.

use std::collections::BTreeSet;

use crate::{Fault, Faults, HeaderOps};

/// Fields of one connection (RFC 9110, 7.6.1) and fields that say where a message goes and where it ends.
const OURS: [&str; 12] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Whether a text is a token (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(sound)
}

/// A field name that can be matched on.
pub(super) fn name(name: &str) -> Option<Fault> {
    if is_token(name) {
        return None;
    }
    let fault = Fault::new("", format!("`{name}` is not a header field name"));
    Some(fault.hint("letters, digits and `-`, such as `X-Tenant`"))
}

/// A field name that can be set or taken away.
pub(super) fn changeable(field: &str) -> Option<Fault> {
    if let Some(fault) = name(field) {
        return Some(fault);
    }
    let ours = OURS.contains(&field.to_ascii_lowercase().as_str());
    ours.then(|| {
        Fault::new("", format!("`{field}` cannot be changed: the proxy itself answers for it"))
            .hint("leave it out")
    })
}

/// A field value: visible ASCII, spaces and tabs between (RFC 9110, 5.5, without its obsolete bytes).
pub(super) fn value(value: &str) -> Option<Fault> {
    if value.trim_matches([' ', '\t']).len() != value.len() {
        return Some(Fault::new("", "a header field's value neither begins nor ends with a space"));
    }
    let sound = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\t';
    (!value.bytes().all(sound)).then(|| {
        Fault::new("", "this value holds a character that a header field cannot carry")
            .hint("visible ASCII characters and spaces only")
    })
}

/// Every fault of a set of changes.
pub(super) fn changes(changes: &HeaderOps) -> Faults {
    let mut faults = Faults::default();
    for (index, field) in changes.remove.iter().enumerate() {
        faults.add(&format!("remove[{index}]"), changeable(field));
    }
    for (part, fields) in [("set", &changes.set), ("add", &changes.add)] {
        let mut seen = BTreeSet::new();
        for (field, text) in fields {
            let place = format!("{part}.{field}");
            faults.add(&place, changeable(field));
            faults.add(&place, value(text));
            if !seen.insert(field.to_ascii_lowercase()) {
                let problem = format!("`{field}` is there twice: upper and lower case are the same name");
                faults.add(&place, [Fault::new("", problem)]);
            }
        }
    }
    faults
}
