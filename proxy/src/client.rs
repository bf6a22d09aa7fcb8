//! The HTTP client for the gateway's own errands: keys, spans, the control plane. It carries no client's request;
//! those go through the pools of `server/`. Every answer has a limit in bytes and in time, redirects are not
//! followed, and no errand is ever traced.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout};

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

/// A client for the gateway's own errands. Clones share their connections; any tokio runtime may poll it.
///
/// URLs are `http://`, `https://` (trusting Mozilla's roots) or `lb://service/path`, whose endpoints the
/// [`Resolve`] names and which are spoken to in plain HTTP.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, AnyBody>,
    resolver: Arc<dyn Resolve>,
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
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        // The provider is named here: with two of them compiled in, rustls would panic at the first use.
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        Ok(Self { pool, resolver })
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
            outcome = match timeout(share, self.exchange(attempt, &shown, limit.bytes)).await {
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
        match timeout(HEAD_LIMIT, self.pool.request(request)).await {
            Ok(answer) => answer.map_err(|fault| FetchError::broken(&shown, &fault, fault.is_connect())),
            Err(_) => Err(FetchError::Timeout { url: shown, after: HEAD_LIMIT }),
        }
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        shown: &str,
        bytes: usize,
    ) -> Result<Response<Bytes>, FetchError> {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let answer = self.pool.request(request).await;
        let answer = answer.map_err(|fault| FetchError::broken(shown, &fault, fault.is_connect()))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, bytes).collect().await.map_err(|fault| {
            match fault.downcast_ref::<LengthLimitError>() {
                Some(_) => FetchError::TooLarge { url: shown.to_owned(), limit: bytes },
                None => FetchError::broken(shown, fault.as_ref(), false),
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

/// Why an errand failed. The texts name the URL without credentials and query, and a remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL can't be used.
    #[error("the URL {url} cannot be used: {reason}")]
    Address {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No instance of the service is known now.
    #[error("no instance of the service in {url} is known: start one, or check the service's name")]
    NoInstance {
        /// The URL.
        url: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {url}: {reason}; check that it runs and can be reached from here")]
    Connect {
        /// The URL.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The answer was not complete in time.
    #[error("no complete answer from {url} within {after:?}")]
    Timeout {
        /// The URL.
        url: String,
        /// The limit.
        after: Duration,
    },
    /// The answer is larger than what is useful here.
    #[error("the answer from {url} is larger than {limit} bytes; check that this is the right address")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is not a success.
    #[error("{url} answered {status}{}", remedy(*status))]
    Status {
        /// The URL.
        url: String,
        /// Its status.
        status: StatusCode,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange with {url} broke: {reason}")]
    Broken {
        /// The URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// TLS could not be set up in this process.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl FetchError {
    fn broken(shown: &str, fault: &(dyn Error + 'static), connecting: bool) -> Self {
        let mut root = fault;
        while let Some(source) = root.source() {
            root = source;
        }
        let (url, reason) = (shown.to_owned(), root.to_string());
        if connecting { Self::Connect { url, reason } } else { Self::Broken { url, reason } }
    }
}

fn remedy(status: StatusCode) -> &'static str {
    if status.is_redirection() { "; redirects are not followed: give the final address" } else { "" }
}

#[cfg(test)]
mod tests;
