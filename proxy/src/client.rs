//! The HTTP client for the gateway's own errands: keys, spans, the control plane. It carries no client's request;
//! those go through the pools of `server/`. Every answer has a limit in bytes and in time, redirects are not
//! followed, and no errand is ever traced.

mod fault;
mod link;

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::upgrade::Upgraded;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portreeve_config::{ControlPlaneLink, Faults};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use crate::tls;

use link::Link;

pub use fault::FetchError;
pub use link::bearer;

/// How long one connection may take to be made, so that a dead address leaves time for the next one.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long a streamed request may wait for the head of its answer.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Shorter than what common servers keep an idle connection for, so that a reused one is rarely a dead one.
const IDLE_LIMIT: Duration = Duration::from_secs(4);
/// The largest head of an answer, in bytes.
const HEAD_BYTES: usize = 64 * 1024;

type AnyError = Box<dyn Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, AnyError>;
type Connections = Pool<HttpsConnector<HttpConnector>, AnyBody>;

/// A client for the gateway's own errands. Clones share their connections; any tokio runtime may poll it.
///
/// URLs are `http://`, `https://` (trusting Mozilla's roots) or `lb://service/path`, whose endpoints the
/// [`Resolve`] names and which are spoken to in plain HTTP. A control plane may have authorities and a token of its own:
/// see [`Client::toward`].
#[derive(Clone)]
pub struct Client {
    pool: Connections,
    resolver: Arc<dyn Resolve>,
    link: Option<Arc<Link>>,
}

/// Knows where the instances of a service are.
pub trait Resolve: Send + Sync {
    /// The addresses that take requests for `service` now, best first; empty when there are none.
    fn endpoints(&self, service: &str) -> Vec<SocketAddr>;
}

impl<F: Fn(&str) -> Vec<SocketAddr> + Send + Sync> Resolve for F {
    fn endpoints(&self, service: &str) -> Vec<SocketAddr> {
        self(service)
    }
}

/// How much an answer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The largest body, in bytes.
    pub bytes: usize,
    /// The time from the first connection to the last byte, all endpoints together.
    pub timeout: Duration,
}

impl Client {
    /// A client that asks `resolver` about `lb://` URLs.
    ///
    /// # Errors
    /// [`FetchError::Tls`] when the TLS library has no usable protocol version.
    pub fn new(resolver: Arc<dyn Resolve>) -> Result<Self, FetchError> {
        Ok(Self { pool: connections(tls::trusting_the_public()?), resolver, link: None })
    }

    /// The same client, for whom the addresses of `link` are a control plane: there it trusts whom the link says, is who
    /// the link says, and shows its token. Nobody else is shown any of that. The files are read again for each request.
    ///
    /// # Errors
    /// Every fault of the files that belong to TLS, with its place in the link (`ca`).
    pub fn toward(&self, link: &ControlPlaneLink) -> Result<Self, Faults> {
        Ok(Self { link: Some(Arc::new(Link::new(link)?)), ..self.clone() })
    }

    /// As [`Client::toward`], with a token in place of the one in a file.
    ///
    /// # Errors
    /// As for [`Client::toward`].
    pub fn showing(&self, link: &ControlPlaneLink, token: HeaderValue) -> Result<Self, Faults> {
        Ok(Self { link: Some(Arc::new(Link::new(link)?.showing(token))), ..self.clone() })
    }

    /// The file whose token the control plane is shown.
    pub fn token_file(&self) -> Option<&Path> {
        self.link.as_ref()?.token_file()
    }

    /// Fetches `url`.
    ///
    /// # Errors
    /// Any [`FetchError`]; an answer outside 2xx is [`FetchError::Status`].
    pub async fn get(&self, url: &str, limit: Limit) -> Result<Bytes, FetchError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = parse(url)?;
        successful(url, self.send(request, limit).await?)
    }

    /// Posts `body` to `url` and gives what was answered. With `lb://` a post may reach two instances, when the
    /// first one fails half-way.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn post(
        &self,
        url: &str,
        content_type: HeaderValue,
        body: Bytes,
        limit: Limit,
    ) -> Result<Bytes, FetchError> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = parse(url)?;
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        successful(url, self.send(request, limit).await?)
    }

    /// Sends a request and gives its whole answer, whatever its status. The endpoints of an `lb://` service are
    /// tried in turn until one answers with less than 500; each has an equal share of the time that is left.
    ///
    /// # Errors
    /// Any [`FetchError`] but [`FetchError::Status`]; of several endpoints, the last one's.
    pub async fn send(&self, request: Request<Bytes>, limit: Limit) -> Result<Response<Bytes>, FetchError> {
        let shown = shown(&request.uri().to_string());
        let (parts, body) = request.into_parts();
        let targets = self.targets(&parts.uri)?;
        let deadline = Instant::now() + limit.timeout;
        let mut outcome = Err(FetchError::NoInstance { url: shown.clone() });
        for (index, target) in targets.iter().enumerate() {
            let mut attempt = Request::from_parts(parts.clone(), body.clone());
            target.aim(&mut attempt);
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(targets.len() - index).unwrap_or(u32::MAX);
            let exchange = self.exchange(attempt, &shown, limit.bytes);
            outcome = match timeout(share, exchange).await {
                Ok(Ok(response)) if !response.status().is_server_error() => return Ok(response),
                Ok(outcome) => outcome,
                Err(_) => Err(FetchError::Timeout { url: shown.clone(), after: limit.timeout }),
            };
        }
        outcome
    }

    /// Sends a request whose body may still be under way when the head of the answer is here, and gives that
    /// answer, whatever its status. The body of an answer has no limit here: its reader sets them.
    /// Of an `lb://` service only the first endpoint is tried, for a streamed body can't be sent twice.
    ///
    /// # Errors
    /// Any [`FetchError`] but [`FetchError::Status`] and [`FetchError::TooLarge`];
    /// [`FetchError::Timeout`] when there is no head after ten seconds.
    pub async fn open<B>(&self, request: Request<B>) -> Result<Response<Incoming>, FetchError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<AnyError>,
    {
        let shown = shown(&request.uri().to_string());
        let target = self.targets(request.uri())?.into_iter().next();
        let target = target.ok_or_else(|| FetchError::NoInstance { url: shown.clone() })?;
        let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        target.aim(&mut request);
        match timeout(HEAD_LIMIT, self.request(request, &shown)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout { url: shown, after: HEAD_LIMIT }),
        }
    }

    /// Sends a request that asks for its connection to go over to `protocol` (RFC 9110, section 7.8). Gives the answer
    /// and, where that is 101, the connection.
    ///
    /// # Errors
    /// As for [`Client::open`]; [`FetchError::Broken`] also for an answer 101 that is about something else.
    pub async fn upgrade(
        &self,
        mut request: Request<Bytes>,
        protocol: &'static str,
    ) -> Result<(Response<Incoming>, Option<TokioIo<Upgraded>>), FetchError> {
        let shown = shown(&request.uri().to_string());
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers_mut().insert(UPGRADE, HeaderValue::from_static(protocol));
        let mut answer = self.open(request.map(Full::new)).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok((answer, None));
        }
        let broken = |reason: &str| FetchError::Broken { url: shown.clone(), reason: reason.to_owned() };
        let said = answer.headers().get(UPGRADE).map(HeaderValue::as_bytes);
        if !said.is_some_and(|said| said.eq_ignore_ascii_case(protocol.as_bytes())) {
            return Err(broken("it went over to another protocol than was asked for"));
        }
        let upgraded = hyper::upgrade::on(&mut answer).await;
        let upgraded = upgraded.map_err(|fault| broken(&fault.to_string()))?;
        Ok((answer, Some(TokioIo::new(upgraded))))
    }

    /// Sends a request where it is aimed at, as whom that place wants to see.
    async fn request(
        &self,
        mut request: Request<AnyBody>,
        shown: &str,
    ) -> Result<Response<Incoming>, FetchError> {
        let link = self.link.as_ref().filter(|link| link.is_for(request.uri()));
        let (pool, token) = match link {
            Some(link) => link.ready().await?,
            None => (None, None),
        };
        if let Some(token) = token {
            request.headers_mut().entry(AUTHORIZATION).or_insert(token);
        }
        let answer = pool.as_ref().unwrap_or(&self.pool).request(request).await;
        answer.map_err(|fault| {
            let ca = link.and_then(|link| link.ca());
            FetchError::broken(shown, &fault, fault.is_connect(), ca)
        })
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        shown: &str,
        bytes: usize,
    ) -> Result<Response<Bytes>, FetchError> {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let (parts, body) = self.request(request, shown).await?.into_parts();
        let body = Limited::new(body, bytes).collect().await.map_err(|fault| {
            match fault.downcast_ref::<LengthLimitError>() {
                Some(_) => FetchError::TooLarge { url: shown.to_owned(), limit: bytes },
                None => FetchError::broken(shown, fault.as_ref(), false, None),
            }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    fn targets(&self, uri: &Uri) -> Result<Vec<Target>, FetchError> {
        let fault = |reason| FetchError::Address { url: shown(&uri.to_string()), reason };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| fault("it names no host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(fault("credentials in a URL are not supported"));
        }
        match uri.scheme_str() {
            Some("http" | "https") => Ok(vec![Target { uri: uri.clone(), host: None }]),
            Some("lb") => {
                let host_field = HeaderValue::from_str(host).map_err(|_| fault("it names no service"))?;
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                let endpoints = self.resolver.endpoints(host).into_iter();
                endpoints.map(|address| Target::at(address, path, &host_field).map_err(fault)).collect()
            }
            _ => Err(fault("its scheme is none of http, https and lb")),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Client")
    }
}

fn connections(tls: ClientConfig) -> Connections {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_LIMIT));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
    let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
    Pool::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_LIMIT)
        .http1_max_buf_size(HEAD_BYTES)
        .build(connector)
}

/// Where one attempt goes, and the `Host` it is sent with when that isn't the address itself.
struct Target {
    uri: Uri,
    host: Option<HeaderValue>,
}

impl Target {
    fn at(address: SocketAddr, path: &str, host: &HeaderValue) -> Result<Self, &'static str> {
        let uri = format!("http://{address}{path}").parse().map_err(|_| "its path is malformed")?;
        Ok(Self { uri, host: Some(host.clone()) })
    }

    /// `b3: 0` keeps whoever answers from beginning a trace of its own for an errand.
    fn aim<B>(&self, request: &mut Request<B>) {
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert("b3", HeaderValue::from_static("0"));
        if let Some(host) = &self.host {
            request.headers_mut().insert(HOST, host.clone());
        }
    }
}

fn parse(url: &str) -> Result<Uri, FetchError> {
    url.parse().map_err(|_| FetchError::Address { url: shown(url), reason: "it is malformed" })
}

fn successful(url: &str, response: Response<Bytes>) -> Result<Bytes, FetchError> {
    match response.status() {
        status if status.is_success() => Ok(response.into_body()),
        status => Err(FetchError::Status { url: shown(url), status }),
    }
}

/// A URL as it may be shown: without credentials, query and fragment, any of which may hold a secret.
pub(crate) fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (scheme, rest) = url[..end].split_once("://").unwrap_or(("", &url[..end]));
    let authority = rest.find('/').unwrap_or(rest.len());
    let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{}", &rest[host..])
}

#[cfg(test)]
mod tests;
