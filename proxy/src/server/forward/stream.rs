//! Calls to an instance that is spoken to by HTTP/2: a stream for each.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use hyper::client::conn::TrySendError;
use hyper::ext::Protocol;
use portreeve_config::UpstreamProtocol;

use super::Journey;
use crate::policy::balance::Endpoint;
use crate::server::h1::CallFault;
use crate::server::request_body::{BodyEnd, RequestBody};
use crate::server::upstream::{Answer, Call, Given};

/// What a WebSocket client's key is joined with (RFC 6455, 1.3).
const WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

impl Journey<'_> {
    pub(super) async fn by_stream(
        &mut self,
        call: Call,
        endpoint: &Endpoint,
        target: &PathAndQuery,
    ) -> Result<Given, CallFault> {
        if self.upgrade.is_some() {
            return self.by_tunnel(call, endpoint, target).await;
        }
        let body = self.body.take();
        let request = self.as_stream(endpoint, target, body).ok_or(CallFault::Broken)?;
        let answer = call.send(request).await.map_err(|error| self.call_fault(&call, error))?;
        let (head, incoming) = answer.into_parts();
        Ok((Box::new(head), Answer::H2(incoming, call)))
    }

    /// Asks for a tunnel (RFC 8441): what a client of HTTP/1 would switch its connection to becomes one stream.
    async fn by_tunnel(
        &mut self,
        call: Call,
        endpoint: &Endpoint,
        target: &PathAndQuery,
    ) -> Result<Given, CallFault> {
        let wished = self.upgrade.as_ref().and_then(|protocol| protocol.to_str().ok()).map(Protocol::from);
        let is_possible = self.parts.method == Method::GET && !self.body.exists;
        let Some(protocol) = wished.filter(|_| is_possible) else { return Err(CallFault::NoSwitch) };
        if !call.takes_tunnels().await {
            // What may speak HTTP/1 as well is asked so.
            let may_be_asked_again = endpoint.dial.protocol != UpstreamProtocol::Http2;
            return Err(if may_be_asked_again { CallFault::Unsent } else { CallFault::NoSwitch });
        }
        let mut request = self.as_stream(endpoint, target, RequestBody::none()).ok_or(CallFault::Broken)?;
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(protocol);
        let key = request.headers_mut().remove(header::SEC_WEBSOCKET_KEY);
        let mut answer = call.send(request).await.map_err(|error| self.call_fault(&call, error))?;
        if answer.status() != StatusCode::OK {
            let (head, incoming) = answer.into_parts();
            return Ok((Box::new(head), Answer::H2(incoming, call)));
        }
        let stream = hyper::upgrade::on(&mut answer);
        let mut head = Box::new(answer.into_parts().0);
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        if let Some(accept) = key.as_ref().and_then(accept_of) {
            head.headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        Ok((head, Answer::Tunnel(stream, call)))
    }

    /// Why a call by a stream has no answer.
    fn call_fault(&mut self, call: &Call, mut error: TrySendError<Request<RequestBody>>) -> CallFault {
        match error.take_message() {
            Some(unsent) => {
                self.body.put_back(unsent.into_body());
                CallFault::Unsent
            }
            None => match self.body.end() {
                end @ (BodyEnd::TooLarge | BodyEnd::Broken | BodyEnd::Slow) => CallFault::Body(end),
                BodyEnd::Whole | BodyEnd::UnderWay | BodyEnd::Awaited if call.is_open() => {
                    CallFault::StreamReset
                }
                BodyEnd::Whole | BodyEnd::UnderWay | BodyEnd::Awaited => CallFault::Reset,
            },
        }
    }

    /// The request in the form of HTTP/2 (RFC 9113, 8.3.1): the host is a part of the target.
    fn as_stream(
        &self,
        endpoint: &Endpoint,
        target: &PathAndQuery,
        body: RequestBody,
    ) -> Option<Request<RequestBody>> {
        let mut headers = self.parts.headers.clone();
        let host = headers.remove(header::HOST)?;
        headers.remove(header::CONTENT_LENGTH);
        let scheme = if endpoint.dial.tls.is_some() { "https" } else { "http" };
        let uri = http::Uri::builder().scheme(scheme).authority(host.as_bytes());
        let mut request = Request::new(body);
        *request.uri_mut() = uri.path_and_query(target.clone()).build().ok()?;
        *request.method_mut() = self.parts.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// What shows a WebSocket client of HTTP/1 that its key was understood (RFC 6455, 4.2.2): HTTP/2 has no such field, so
/// that the instance does not say it.
fn accept_of(key: &HeaderValue) -> Option<HeaderValue> {
    let joined = [key.as_bytes(), WEBSOCKET].concat();
    HeaderValue::try_from(STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined))).ok()
}
