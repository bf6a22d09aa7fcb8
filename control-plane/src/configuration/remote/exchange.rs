//! gix's way to HTTP, for it brings no TLS of its own: requests go through hyper and this program's rustls.

use std::io::{self, BufRead, Cursor, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;

use super::{AnyError, Limit, chain};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer: a pack with everything that is new.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// What every exchange of one fetch needs.
pub(super) struct Wire {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    authorization: Option<String>,
    limit: Limit,
}

impl Wire {
    /// Makes TLS ready; where authorities are named, no others are trusted.
    pub(super) fn new(
        ca_file: Option<&Path>,
        authorization: Option<String>,
        limit: Limit,
    ) -> Result<Self, AnyError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        // The provider is named here: with two of them compiled in, rustls would panic at the first use.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = HttpsConnectorBuilder::new();
        let builder = match ca_file {
            None => builder.with_provider_and_webpki_roots(provider)?,
            Some(file) => {
                let config = ClientConfig::builder_with_provider(Arc::new(provider));
                let config = config.with_safe_default_protocol_versions()?;
                builder
                    .with_tls_config(config.with_root_certificates(authorities(file)?).with_no_client_auth())
            }
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, authorization, limit })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(String, Bytes), AnyError> {
        let (head, body) = self.client.request(request).await?.into_parts();
        match head.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(format!("the git host says {}: check `credentials`", head.status).into());
            }
            status => return Err(format!("the git host says {status}").into()),
        }
        let mut lines = String::new();
        for (name, value) in &head.headers {
            lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        Ok((lines, Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes()))
    }
}

/// What gix sends its requests through.
pub(super) struct Door(pub(super) Arc<Wire>);

/// A request that is sent when its answer is first read: until then its body is being written.
struct Exchange {
    wire: Arc<Wire>,
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    answer: Option<Result<(String, Bytes), String>>,
}

type Shared = Arc<Mutex<Exchange>>;

/// The body of a request that is being written.
pub(super) struct Sent(Shared);

/// One half of an answer: its head, or its body.
pub(super) struct Received {
    exchange: Shared,
    is_head: bool,
    content: Option<Cursor<Bytes>>,
}

impl Door {
    fn begin(&self, method: Method, url: &str, headers: impl IntoIterator<Item = impl AsRef<str>>) -> Shared {
        let pair =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        let headers = headers.into_iter().filter_map(|line| pair(line.as_ref())).collect();
        let (wire, url) = (self.0.clone(), url.to_owned());
        Arc::new(Mutex::new(Exchange { wire, method, url, headers, body: Vec::new(), answer: None }))
    }
}

impl Exchange {
    fn answer(&mut self) -> io::Result<(String, Bytes)> {
        if self.answer.is_none() {
            self.answer = Some(self.send().map_err(|fault| chain(&*fault)));
        }
        let answer = self.answer.clone().unwrap_or_else(|| Err(String::new()));
        answer.map_err(io::Error::other)
    }

    fn send(&mut self) -> Result<(String, Bytes), AnyError> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = &self.wire.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(std::mem::take(&mut self.body))))?;
        let runtime = Handle::try_current()?;
        let mut limit = self.wire.limit.clone();
        runtime.block_on(async {
            tokio::select! {
                answer = self.wire.exchange(request) => answer,
                () = tokio::time::sleep(limit.left()) => Err("the git host did not answer in time".into()),
                _ = limit.stopped.wait_for(|stopped| *stopped) => Err("the control plane stops".into()),
            }
        })
    }
}

impl Received {
    fn of(exchange: &Shared, is_head: bool) -> Self {
        Self { exchange: exchange.clone(), is_head, content: None }
    }
}

impl BufRead for Received {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.content.is_none() {
            let (head, body) = self.exchange.lock().unwrap_or_else(PoisonError::into_inner).answer()?;
            self.content = Some(Cursor::new(if self.is_head { head.into() } else { body }));
        }
        self.content.as_mut().map_or(Ok(&[]), Cursor::fill_buf)
    }

    fn consume(&mut self, amount: usize) {
        if let Some(content) = &mut self.content {
            content.consume(amount);
        }
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Http for Door {
    type Headers = Received;
    type ResponseBody = Received;
    type PostBody = Sent;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Received, Received>> {
        let exchange = self.begin(Method::GET, url, headers);
        Ok(GetResponse { headers: Received::of(&exchange, true), body: Received::of(&exchange, false) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Received, Received, Sent>> {
        let exchange = self.begin(Method::POST, url, headers);
        let (headers, body) = (Received::of(&exchange, true), Received::of(&exchange, false));
        Ok(PostResponse { post_body: Sent(exchange), headers, body })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, AnyError> {
    let unread =
        |fault: &dyn std::fmt::Display| format!("`ca_file` {} cannot be used: {fault}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|fault| unread(&fault))? {
        let certificate = certificate.map_err(|fault| unread(&fault))?;
        roots.add(certificate).map_err(|fault| unread(&fault))?;
    }
    match roots.is_empty() {
        true => Err(unread(&"there is no certificate in it").into()),
        false => Ok(roots),
    }
}
