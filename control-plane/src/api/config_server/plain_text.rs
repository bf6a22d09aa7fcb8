//! Files as they are, for programs that read their own formats; placeholders in texts are replaced.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::environment::typed;
use crate::configuration::{Cipher, Environment, File, merged, resolve, text, without_hints};

/// Formats in which sealed values are looked for.
const WITH_VALUES: [&str; 4] = [".yml", ".yaml", ".properties", ".json"];
/// Marks a sealed value.
const SEALED: &str = "{cipher}";

/// Whether the client has this file already (RFC 9110, 13.1.3).
pub(super) fn is_unchanged(file: &File, headers: &HeaderMap) -> bool {
    let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| httpdate::parse_http_date(text).ok());
    // Dates on the wire have whole seconds.
    let whole = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    };
    matches!((file.modified, since), (Some(modified), Some(since)) if whole(modified) <= whole(since))
}

/// 304, with the date.
pub(super) fn unchanged(file: &File) -> Response {
    dated(StatusCode::NOT_MODIFIED.into_response(), file)
}

/// Whether the client wants the bytes and nothing done to them.
pub(super) fn wants_bytes(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/octet-stream")
    })
}

/// The bytes of a file.
pub(super) fn bytes(file: &Arc<File>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    dated((kind, Body::from(file.bytes.clone())).into_response(), file)
}

/// The text of a file, with the values of `environment` in the place of placeholders.
pub(super) fn resolved_text(
    file: &File,
    environment: Option<&Environment>,
    cipher: Option<&Cipher>,
    (path, headers): (&str, &HeaderMap),
) -> Response {
    let mut whole = decode(&file.bytes, headers);
    if let Some(cipher) = cipher.filter(|_| WITH_VALUES.iter().any(|format| path.ends_with(format))) {
        whole = opened(&whole, cipher);
    }
    if let Some(environment) = environment {
        let flat = merged(&environment.sources);
        whole = resolve(&whole, &|key| flat.get(key).map(text));
    }
    dated(typed("text/plain;charset=UTF-8", whole), file)
}

/// Reads bytes in the charset that the client names; UTF-8 without one.
fn decode(bytes: &[u8], headers: &HeaderMap) -> String {
    let charset =
        headers.get(header::ACCEPT_CHARSET).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = charset.split([',', ';']).next().unwrap_or_default().trim();
    match first.eq_ignore_ascii_case("iso-8859-1") {
        true => bytes.iter().map(|byte| char::from(*byte)).collect(),
        false => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Opens every sealed value; one that stays closed is blotted out.
fn opened(text: &str, cipher: &Cipher) -> String {
    let mut opened = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sealed)) = rest.split_once(SEALED) {
        opened.push_str(before);
        let (hints, value) = without_hints(sealed);
        let sound = |letter: char| letter.is_ascii_alphanumeric() || "+/=".contains(letter);
        let end = value.find(|letter| !sound(letter)).unwrap_or(value.len());
        opened.push_str(&cipher.decrypt(&value[..end]).unwrap_or_else(|_| "<n/a>".to_owned()));
        rest = &sealed[sealed.len() - value.len() + end..];
        debug_assert!(sealed.len() >= hints.len() + end);
    }
    opened.push_str(rest);
    opened
}

fn dated(mut response: Response, file: &File) -> Response {
    let date = file.modified.map(httpdate::fmt_http_date).and_then(|date| HeaderValue::from_str(&date).ok());
    if let Some(date) = date {
        response.headers_mut().insert(header::LAST_MODIFIED, date);
    }
    response
}
