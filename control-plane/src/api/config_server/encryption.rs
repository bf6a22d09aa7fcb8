//! `/encrypt`, `/decrypt`, `/key` and `/encrypt/status`.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use super::environment::typed;
use super::refusal::Refusal;
use crate::configuration::{Cipher, without_hints};

/// The answer where no key is configured, as a Spring server without one gives it.
const NO_KEY: Refusal = Refusal::Encryption {
    status: StatusCode::NOT_FOUND,
    word: "INVALID",
    description: "The encryption algorithm is not strong enough",
};
const CLOSED: Refusal = Refusal::Encryption {
    status: StatusCode::BAD_REQUEST,
    word: "INVALID",
    description: "Text not encrypted with this key",
};
const NO_PUBLIC_KEY: Refusal = Refusal::Encryption {
    status: StatusCode::NOT_FOUND,
    word: "NOT_FOUND",
    description: "No public key available",
};

/// `GET /encrypt/status`
pub(super) fn status(cipher: Option<&Cipher>) -> Result<Response, Refusal> {
    cipher.ok_or(NO_KEY)?;
    Ok(typed("application/json", r#"{"status":"OK"}"#.to_owned()))
}

/// `GET /key`: the public half of an RSA key; a text key has none.
pub(super) fn key(cipher: Option<&Cipher>) -> Result<Response, Refusal> {
    let key = cipher.ok_or(NO_KEY)?.public_key().ok_or(NO_PUBLIC_KEY)?;
    Ok(typed("text/plain;charset=UTF-8", key.to_owned()))
}

/// `POST /encrypt`: hints in front of the text stand in front of the ciphertext too.
pub(super) fn encrypt(
    cipher: Option<&Cipher>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Refusal> {
    let cipher = cipher.ok_or(NO_KEY)?;
    let input = input(headers, body, false)?;
    let (hints, text) = without_hints(&input);
    let sealed = cipher.encrypt(text).map_err(|_| CLOSED)?;
    Ok(typed("text/plain;charset=UTF-8", format!("{}{sealed}", echoed(hints))))
}

/// `POST /decrypt`
pub(super) fn decrypt(
    cipher: Option<&Cipher>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Refusal> {
    let cipher = cipher.ok_or(NO_KEY)?;
    let input = input(headers, body, true)?;
    let sealed = input.strip_prefix("{cipher}").unwrap_or(&input);
    let text = cipher.decrypt(without_hints(sealed).1).map_err(|_| CLOSED)?;
    Ok(typed("text/plain;charset=UTF-8", text))
}

/// The hints without those that a request always gives itself.
fn echoed(hints: &str) -> String {
    let parts = hints.split_inclusive('}');
    parts.filter(|part| !part.starts_with("{name:") && !part.starts_with("{profiles:")).collect()
}

/// The text of a body. Tools that send it as a form by default put a `=` behind it and encode it.
fn input(headers: &HeaderMap, body: &Bytes, is_sealed: bool) -> Result<String, Refusal> {
    let bad = |message| Refusal::new(StatusCode::BAD_REQUEST, message);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.ok_or_else(|| bad("the request needs a `Content-Type`"))?;
    let text = std::str::from_utf8(body).map_err(|_| bad("the body is not UTF-8"))?;
    let is_form = kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    let bare = text.strip_suffix('=').unwrap_or(text);
    if !is_form || bare.contains('=') {
        return Ok(text.to_owned());
    }
    let spaced = bare.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| bad("the body is not UTF-8 after decoding"))?;
    Ok(if is_sealed { decoded.replace(' ', "+") } else { decoded.into_owned() })
}
