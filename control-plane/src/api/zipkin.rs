//! Zipkin's collector and query API: what reporters send to and what its users ask. Errors are plain text, as
//! they are there.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;

use super::body::{Path, Query as Parameters, read};
use super::problem::Problem;
use super::rules::{Noted, Rule, Served};
use crate::access::Need;
use crate::console;
use crate::traces::{self, Encoding, Query, QueryFault, TraceStore};

/// The largest message of spans, before and after unpacking.
const MAX_MESSAGE: usize = 10 * 1024 * 1024;
/// Names of services change rarely once there are many of them.
const CACHED: &str = "max-age=300, must-revalidate";
const FEW_SERVICES: usize = 3;

/// An error as Zipkin has them: a status and a plain text.
type Refused = (StatusCode, String);

/// Where spans are sent; the same under `/api/v2` and `/zipkin/api/v2`. `need` is what the collector asks for.
pub(super) fn collector(need: Need) -> Served {
    under_both(|prefix| {
        let path = format!("{prefix}/spans");
        let rule = Rule { need, noted: Noted::Never, operation: path.as_str().into() };
        Served::default().add(&Method::POST, &path, rule, collect).get(&path, Need::Read, span_names)
    })
}

/// Where traces are asked for.
pub(super) fn queries() -> Served {
    under_both(|prefix| {
        let path = |name: &str| format!("{prefix}/{name}");
        Served::default()
            .get(&path("services"), Need::Read, services)
            .get(&path("remoteServices"), Need::Read, remote_services)
            .get(&path("traces"), Need::Read, traces)
            .get(&path("trace/{id}"), Need::Read, trace)
            .get(&path("traceMany"), Need::Read, trace_many)
            .get(&path("dependencies"), Need::Read, dependencies)
            .get(&path("autocompleteKeys"), Need::Read, autocomplete_keys)
    })
}

/// The page that asks and shows.
pub(super) fn page() -> Served {
    Served::default()
        .get("/", Need::Read, console::to_page)
        .get("/zipkin", Need::Read, console::to_page)
        .get("/zipkin/", Need::Read, console::page)
        .get("/zipkin/index.html", Need::Read, console::page)
        .get("/zipkin/traces/{id}", Need::Read, console::page)
        .get("/zipkin/traces.js", Need::Read, console::script)
        .get("/zipkin/traces.css", Need::Read, console::style)
}

fn under_both(served: impl Fn(&str) -> Served) -> Served {
    served("/api/v2").merge(served("/zipkin/api/v2"))
}

async fn collect(State(store): State<Arc<TraceStore>>, request: Request) -> Result<StatusCode, Refused> {
    let (head, body) = request.into_parts();
    let body = read(body, MAX_MESSAGE).await.map_err(Problem::plain)?;
    let (encoding, packed) = form(&head.headers);
    let work = move || {
        let body = if packed { unpack(&body)? } else { body };
        accept(&store, encoding, &body)
    };
    in_background(work).await?
}

fn form(headers: &HeaderMap) -> (Encoding, bool) {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = match field(header::CONTENT_TYPE).trim().starts_with("application/x-protobuf") {
        true => Encoding::Protobuf,
        false => Encoding::Json,
    };
    (encoding, field(header::CONTENT_ENCODING).contains("gzip"))
}

fn unpack(body: &[u8]) -> Result<Bytes, Refused> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(body).take(MAX_MESSAGE as u64 + 1);
    if reader.read_to_end(&mut unpacked).is_err() {
        return Err((StatusCode::BAD_REQUEST, "Cannot gunzip spans".to_owned()));
    }
    if unpacked.len() > MAX_MESSAGE {
        let text = format!("the unpacked message is larger than {MAX_MESSAGE} bytes");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(unpacked.into())
}

fn accept(store: &TraceStore, encoding: Encoding, body: &[u8]) -> Result<StatusCode, Refused> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let (listed, form, reader) = match encoding {
        Encoding::Json => (body.trim_ascii_start().starts_with(b"["), "JSON_V2", "json"),
        Encoding::Protobuf => (matches!(body, [0x0a, length, ..] if *length != 0), "PROTO3", "proto3"),
    };
    if body.is_empty() {
        return Ok(StatusCode::ACCEPTED);
    }
    if !listed {
        return Err(bad(format!("Expected a {form} encoded list\n")));
    }
    // The first version's `annotations` and `binaryAnnotations` would be read as spans without them.
    if encoding == Encoding::Json && contains(body, b"yAnnotations\"") {
        return Err(bad(format!("Expected a {form} encoded list, but received: JSON_V1\n")));
    }
    let spans = traces::decode(encoding, body)
        .map_err(|fault| bad(format!("{fault} reading List<Span> from {reader}")))?;
    store.add(spans, Timestamp::now().as_microsecond());
    Ok(StatusCode::ACCEPTED)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

async fn services(State(store): State<Arc<TraceStore>>) -> Result<Response, Refused> {
    in_background(move || {
        let services = store.services();
        let count = services.len();
        names(services, count)
    })
    .await
}

async fn span_names(
    State(store): State<Arc<TraceStore>>,
    Parameters(parameters): Parameters<BTreeMap<String, String>>,
) -> Result<Response, Refused> {
    let service = service_name(&parameters)?;
    in_background(move || names(store.span_names(&service), store.services().len())).await
}

async fn remote_services(
    State(store): State<Arc<TraceStore>>,
    Parameters(parameters): Parameters<BTreeMap<String, String>>,
) -> Result<Response, Refused> {
    let service = service_name(&parameters)?;
    in_background(move || names(store.remote_services(&service), store.services().len())).await
}

async fn traces(
    State(store): State<Arc<TraceStore>>,
    Parameters(parameters): Parameters<BTreeMap<String, String>>,
) -> Result<Response, Refused> {
    let query = Query::parse(&parameters, Timestamp::now().as_millisecond()).map_err(refused)?;
    in_background(move || axum::Json(store.traces(&query)).into_response()).await
}

async fn trace(State(store): State<Arc<TraceStore>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let id = traces::trace_id(id.trim()).map_err(refused)?;
    match store.trace(&id) {
        spans if spans.is_empty() => Err((StatusCode::NOT_FOUND, format!("{id} not found"))),
        spans => Ok(axum::Json(spans).into_response()),
    }
}

async fn trace_many(
    State(store): State<Arc<TraceStore>>,
    Parameters(parameters): Parameters<BTreeMap<String, String>>,
) -> Result<Response, Refused> {
    let bad = |text: &str| (StatusCode::BAD_REQUEST, text.to_owned());
    let asked = parameters.get("traceIds").ok_or_else(|| refused(QueryFault::Missing("traceIds")))?;
    if asked.is_empty() {
        return Err(bad("traceIds parameter is empty"));
    }
    let mut ids = Vec::new();
    for id in asked.split(',') {
        let id = traces::trace_id(id.trim()).map_err(refused)?;
        if ids.contains(&id) {
            return Err(bad(&format!("redundant traceId: {id}")));
        }
        ids.push(id);
    }
    if ids.len() == 1 {
        return Err(bad("Use /api/v2/trace/{traceId} endpoint to retrieve a single trace"));
    }
    let found: Vec<_> = ids.iter().map(|id| store.trace(id)).filter(|spans| !spans.is_empty()).collect();
    Ok(axum::Json(found).into_response())
}

async fn dependencies(
    State(store): State<Arc<TraceStore>>,
    Parameters(parameters): Parameters<BTreeMap<String, String>>,
) -> Result<Response, Refused> {
    let end = traces::positive(&parameters, "endTs").map_err(refused)?;
    let end = end.ok_or_else(|| refused(QueryFault::Missing("endTs")))?;
    let lookback = traces::positive(&parameters, "lookback").map_err(refused)?;
    let start = end.saturating_sub(lookback.unwrap_or(traces::DEFAULT_LOOKBACK_MS));
    let links = move || store.links(start.saturating_mul(1000), end.saturating_mul(1000));
    Ok(axum::Json(in_background(links).await?).into_response())
}

/// No tag is offered for completion.
async fn autocomplete_keys() -> Response {
    ([(header::CACHE_CONTROL, CACHED)], axum::Json([(); 0])).into_response()
}

fn service_name(parameters: &BTreeMap<String, String>) -> Result<String, Refused> {
    let name = parameters.get("serviceName").ok_or_else(|| refused(QueryFault::Missing("serviceName")))?;
    Ok(name.to_lowercase())
}

fn names(names: impl Serialize, services: usize) -> Response {
    let mut response = axum::Json(names).into_response();
    if services > FEW_SERVICES {
        response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static(CACHED));
    }
    response
}

fn refused(fault: impl ToString) -> Refused {
    (StatusCode::BAD_REQUEST, fault.to_string())
}

/// Looking through all spans takes milliseconds, which the threads that carry streams do not have.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "the query was interrupted".to_owned()))
}
