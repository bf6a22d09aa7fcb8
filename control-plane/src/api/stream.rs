//! `POST /v1/stream`: a node says who it is, and its connection becomes its stream. What is said there is in
//! `portreeve_config::wire`.

mod conversation;
mod holding;
mod lines;
mod outgoing;
mod session;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::upgrade::OnUpgrade;
use portreeve_config::wire::{ConfigScope, NodeMessage, STREAM_PROTOCOL};
use portreeve_config::{Fault, Faults, check};

use super::Context;
use super::problem::Problem;
use crate::access::{Caller, Visit};
use crate::publisher::Peer;
use crate::server;
use crate::state::{State as ControlState, excerpt};

use conversation::Conversation;
use holding::Holding;
use session::Session;

/// How long a node may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// The longest `hello`.
const MAX_HELLO: usize = 1024 * 1024;
/// Services that a node can name.
const MAX_SERVICES: usize = 1_024;

/// Opens a stream, or says why not. It begins once the answer has been sent.
pub(super) async fn open(
    State(context): State<Context>,
    caller: Caller,
    mut request: Request,
) -> Result<Response, Problem> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().filter(|_| asks_for_it(&request));
    let Some(upgrade) = upgrade else { return Ok(upgrade_required()) };
    let visit = request.extensions().get::<Arc<Visit>>().cloned();
    let said = tokio::time::timeout(HELLO_WITHIN, read(request.into_body())).await.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "no `hello` came within 5 s; it must be the body")
    })?;
    let (mut peer, epoch) = hello(&said?)?;
    peer.owner = caller.name().cloned();
    refuse_others(&caller, &peer, &context.state)?;
    let held = peer.held;
    if epoch != context.state.publisher().epoch_of(&peer.view()) {
        peer.held = 0;
    }
    let watcher = context.state.publisher().join(peer);
    tracing::info!(node = &*watcher.peer.node, kind = ?watcher.peer.kind, "node connected");
    let (state, audit, holding, renewed) = (context.state, context.audit, Holding::default(), None);
    tokio::spawn(hold(
        upgrade,
        Session { state, watcher, held, holding, renewed, said: 0, caller, audit, visit },
    ));
    Ok((StatusCode::SWITCHING_PROTOCOLS, UPGRADE).into_response())
}

/// What both answers say of the stream (RFC 9110, section 7.8).
const UPGRADE: [(HeaderName, HeaderValue); 2] = [
    (header::CONNECTION, HeaderValue::from_static("upgrade")),
    (header::UPGRADE, HeaderValue::from_static(STREAM_PROTOCOL)),
];

/// Whether the request goes over to a stream, as RFC 9110 (section 7.8) has it said.
fn asks_for_it(request: &Request) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && lists(headers, &header::CONNECTION, "upgrade")
        && lists(headers, &header::UPGRADE, STREAM_PROTOCOL)
}

fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let fields = headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}

fn upgrade_required() -> Response {
    let detail = format!(
        "a stream is no exchange of HTTP: send `Connection: Upgrade` and `Upgrade: {STREAM_PROTOCOL}` with a `hello` as \
         the body, by HTTP/1.1"
    );
    (UPGRADE, Problem::new(StatusCode::UPGRADE_REQUIRED, detail)).into_response()
}

async fn read(body: Body) -> Result<Bytes, Problem> {
    let read = Limited::new(body, MAX_HELLO).collect().await.map_err(|fault| {
        match fault.downcast_ref::<LengthLimitError>() {
            Some(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a `hello` is longer than 1 MiB"),
            None => Problem::bad_request("the request broke in the middle"),
        }
    });
    Ok(read?.to_bytes())
}

/// Waits for the connection to be handed over, and keeps up the stream on it.
async fn hold(upgrade: OnUpgrade, session: Session) {
    let upgraded = tokio::time::timeout(HELLO_WITHIN, upgrade).await;
    if let Ok(Ok(upgraded)) = upgraded
        && let Some((socket, early)) = server::handed_over(upgraded)
    {
        return Conversation::new(session, socket).run(early).await;
    }
    tracing::info!(node = &*session.watcher.peer.node, reason = "the connection broke", "node disconnected");
}

/// Who calls, and whose revision it says it holds.
fn hello(said: &[u8]) -> Result<(Peer, String), Problem> {
    let message = serde_json::from_slice(said).map_err(|fault| {
        Problem::bad_request(format!("the body is not a `hello`: {}", excerpt(&fault.to_string())))
    })?;
    let NodeMessage::Hello { node, kind, config, revision, epoch, services } = message else {
        return Err(Problem::bad_request("the body must be a `hello`"));
    };
    let mut faults = Faults::default();
    faults.add("node", check::node_name(&node));
    if let Some(scope) = &config {
        faults.add("config.application", check::service_name(&scope.application));
        faults.add("config.profile", check::profile_name(&scope.profile));
    }
    let count = services.as_ref().map_or(0, Vec::len);
    if count > MAX_SERVICES {
        let problem = format!("{count} services: a node names at most {MAX_SERVICES}");
        faults.push(Fault::new("services", problem).hint("leave the list out to hear of all"));
    }
    for (index, service) in services.iter().flatten().take(MAX_SERVICES).enumerate() {
        faults.add(&format!("services[{index}]"), check::service_name(service));
    }
    let services = services.map(|services| Arc::new(services.into_iter().collect()));
    let peer = Peer { node: node.into(), kind, scope: config, services, held: revision, owner: None };
    faults.into_result((peer, epoch)).map_err(Problem::faulty)
}

/// A token of some services is told their configuration only, and takes no other token's node over.
fn refuse_others(caller: &Caller, peer: &Peer, state: &ControlState) -> Result<(), Problem> {
    let (Some(token), true) = (caller.name(), caller.is_limited()) else { return Ok(()) };
    let forbidden = |detail| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    let is_known = |service: &str| state.knows_application(service);
    let is_anothers =
        |scope: &&ConfigScope| !caller.may_be_told_of(&scope.application, &scope.profile, is_known);
    if let Some(ConfigScope { application, profile }) = peer.scope.as_ref().filter(is_anothers) {
        return forbidden(format!(
            "the configuration of `{application}` is not for the token `{token}` with the profile `{profile}`"
        ));
    }
    if state.publisher().is_anothers(peer) {
        let node = &peer.node;
        return forbidden(format!("node `{node}` is connected with another token than `{token}`"));
    }
    Ok(())
}
