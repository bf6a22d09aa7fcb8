//! hyper as client and as origin, in both versions of HTTP: what passes between two others has to suit them, whatever we
//! think of it ourselves.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::limited;
use crate::stage::{config, start};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of whatever kind.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// Versions of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// Client and origin in all combinations.
pub(crate) const PAIRS: [(Speaks, Speaks); 4] = [
    (Speaks::Http1, Speaks::Http1),
    (Speaks::Http1, Speaks::Http2),
    (Speaks::Http2, Speaks::Http1),
    (Speaks::Http2, Speaks::Http2),
];

/// An origin; runs until it is dropped.
pub(crate) struct Foreign {
    pub(crate) address: SocketAddr,
    speaks: Speaks,
    _task: JoinSet<()>,
}

impl Foreign {
    pub(crate) async fn start<A, F>(speaks: Speaks, answer: A) -> Self
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(speaks, stream, answer.clone()));
            }
        });
        Self { address, speaks, _task: task }
    }

    /// Gives back what it gets: body and trailers.
    pub(crate) async fn echo(speaks: Speaks) -> Self {
        Self::start(speaks, |request| async move {
            let version = format!("{:?}", request.version());
            let announced = request.headers().get("trailer").cloned();
            let announced = announced.unwrap_or(http::HeaderValue::from_static("none"));
            let mut response = Response::new(request.into_body().map_err(Into::into).boxed_unsync());
            response.headers_mut().insert("x-version", version.parse().unwrap());
            // hyper sends only trailers that it has announced.
            response.headers_mut().insert("trailer", announced);
            response
        })
        .await
    }

    /// The configuration of a gateway that takes everything to it.
    pub(crate) fn config(&self) -> Value {
        let mut config = config(&[], crate::stage::everything());
        config["services"]["s"] = match self.speaks {
            Speaks::Http1 => json!({"endpoints": [self.address.to_string()]}),
            Speaks::Http2 => json!({"endpoints": [self.address.to_string()], "protocol": "http2"}),
        };
        config
    }

    pub(crate) async fn gateway(&self) -> Gateway {
        start(self.config()).await
    }
}

async fn serve<A, F>(speaks: Speaks, stream: TcpStream, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let stream = TokioIo::new(stream);
    // How a connection ends is the gateway's affair.
    let _ = match speaks {
        Speaks::Http1 => {
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
            connection.with_upgrades().await
        }
        Speaks::Http2 => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(stream, service).await
        }
    };
}

/// A client's connection.
pub(crate) enum Caller {
    Http1(http1::SendRequest<AnyBody>),
    Http2(http2::SendRequest<AnyBody>),
}

impl Caller {
    pub(crate) async fn connect(speaks: Speaks, to: SocketAddr) -> Self {
        let stream = limited(TcpStream::connect(to)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(speaks, stream).await
    }

    /// Speaks over a connection that is there.
    pub(crate) async fn over<S>(speaks: Speaks, stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        match speaks {
            Speaks::Http1 => {
                let (sender, connection) = limited(http1::handshake(stream)).await.unwrap();
                tokio::spawn(connection.with_upgrades());
                Self::Http1(sender)
            }
            Speaks::Http2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                // Small windows: what the client holds itself is not the gateway's.
                builder.timer(TokioTimer::new()).initial_stream_window_size(128 * 1024);
                let (sender, connection) = limited(builder.handshake(stream)).await.unwrap();
                tokio::spawn(connection);
                Self::Http2(sender)
            }
        }
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(&mut self, request: Request<AnyBody>) -> Response<Incoming> {
        self.send_to("shop.example", request).await
    }

    /// The same to a host by name.
    pub(crate) async fn send_to(&mut self, host: &str, mut request: Request<AnyBody>) -> Response<Incoming> {
        let path = request.uri().path().to_owned();
        match self {
            Self::Http1(sender) => {
                *request.uri_mut() = path.parse().unwrap();
                request.headers_mut().insert("host", host.parse().unwrap());
                if request.headers().contains_key("te") {
                    request.headers_mut().insert("connection", "te".parse().unwrap());
                }
                limited(sender.ready()).await.unwrap();
                limited(sender.send_request(request)).await.unwrap()
            }
            Self::Http2(sender) => {
                *request.uri_mut() = format!("http://{host}{path}").parse().unwrap();
                limited(sender.ready()).await.unwrap();
                limited(sender.send_request(request)).await.unwrap()
            }
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.send(Request::get(path).body(nothing()).unwrap()).await
    }
}

/// No body.
pub(crate) fn nothing() -> AnyBody {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of known length.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Where a body is written to while it is sent; it ends when this is dropped.
pub(crate) struct Pen(mpsc::Sender<Result<Frame<Bytes>, BoxError>>);

impl Pen {
    /// Writes, once there is room for it.
    pub(crate) async fn write(&self, bytes: impl Into<Bytes>) {
        limited(self.0.send(Ok(Frame::data(bytes.into())))).await.unwrap();
    }

    pub(crate) async fn end_with(self, trailers: HeaderMap) {
        limited(self.0.send(Ok(Frame::trailers(trailers)))).await.unwrap();
    }

    pub(crate) async fn break_off(self) {
        limited(self.0.send(Err("it breaks off".into()))).await.unwrap();
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        limited(self.0.closed()).await;
    }
}

/// A body that is written while it is sent.
pub(crate) fn written() -> (Pen, AnyBody) {
    let (sender, frames) = mpsc::channel(1);
    (Pen(sender), Written(frames).boxed_unsync())
}

struct Written(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

impl Body for Written {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}

/// A body read to its end, with what came after it.
pub(crate) async fn read(mut body: Incoming) -> (Vec<u8>, Option<HeaderMap>) {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = limited(body.frame()).await {
        match frame.unwrap().into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (bytes, trailers)
}

/// The next bytes of a body, as many as are asked for.
pub(crate) async fn take(body: &mut Incoming, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let frame = limited(body.frame()).await.expect("the body has ended").unwrap();
        bytes.extend_from_slice(&frame.into_data().expect("trailers before the end"));
    }
    assert_eq!(bytes.len(), count, "{:?}", String::from_utf8_lossy(&bytes));
    bytes
}
