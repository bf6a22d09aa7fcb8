//! What comes in beside the path: bodies in two formats, compressed or not, and the parameters of the query.

use std::borrow::Cow;
use std::io::Read as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::answer::Fault;
use super::{lists, xml_body};
use crate::api::body;

/// The body as the document of a registration.
pub(super) async fn document(headers: &HeaderMap, body: Body, limit: usize) -> Result<Value, Fault> {
    let bytes = whole(headers, body, limit).await?;
    let text = text(headers, &bytes);
    let xml = match headers.get(header::CONTENT_TYPE) {
        Some(_) if lists(headers, header::CONTENT_TYPE, "json") => false,
        Some(_) if lists(headers, header::CONTENT_TYPE, "xml") => true,
        Some(_) => return Err(unsupported("send `application/json` or `application/xml`")),
        None => text.as_ref().is_ok_and(|text| text.trim_start().starts_with('<')),
    };
    let unreadable = |why: String| Fault::Unreadable { xml, why };
    let text = text.map_err(unreadable)?;
    if xml {
        return xml_body::read(&text).map_err(|fault| unreadable(fault.to_string()));
    }
    serde_json::from_str(&text).map_err(|fault| unreadable(fault.to_string()))
}

fn unsupported(why: &str) -> Fault {
    Fault::Body(StatusCode::UNSUPPORTED_MEDIA_TYPE, why.to_owned())
}

async fn whole(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Fault> {
    let bytes = body::read(body, limit).await.map_err(|problem| {
        let (status, why) = problem.plain();
        Fault::Body(status, why)
    })?;
    match headers.get(header::CONTENT_ENCODING) {
        None => Ok(bytes),
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"identity") => Ok(bytes),
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"gzip") => unpacked(&bytes, limit),
        Some(_) => Err(unsupported("send the body as it is, or with gzip")),
    }
}

fn unpacked(bytes: &[u8], limit: usize) -> Result<Bytes, Fault> {
    let mut text = Vec::new();
    let read = GzDecoder::new(bytes).take(limit as u64 + 1).read_to_end(&mut text);
    if read.is_err() {
        return Err(Fault::Refused("the body is not gzip".to_owned()));
    }
    if text.len() > limit {
        let why = format!("the body is larger than {limit} bytes");
        return Err(Fault::Body(StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    Ok(text.into())
}

fn text<'a>(headers: &HeaderMap, bytes: &'a [u8]) -> Result<Cow<'a, str>, String> {
    let latin = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if latin.is_some_and(|kind| kind.to_ascii_lowercase().contains("iso-8859-1")) {
        return Ok(bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into());
    }
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|fault| fault.to_string())
}

/// The parameters of the query, decoded; `None` where they are not UTF-8.
pub(super) fn parameters(uri: &Uri) -> impl Iterator<Item = Option<(String, String)>> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(key)?, decoded(value)?))
    })
}

/// The first parameter of this name.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    parameters(uri).flatten().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// When a client changed last by its own account.
pub(super) fn dirty(uri: &Uri) -> Option<u64> {
    let written = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("lastDirtyTimestamp="))?;
    written.parse::<i64>().ok().and_then(|time| u64::try_from(time).ok())
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}
