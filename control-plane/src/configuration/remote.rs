//! A repository of another host, kept as a mirror on disk: fetched over HTTP by gix, with this program's own TLS.
//! The mirror outlives the process, so that a start needs no git host.

use std::io::{self, BufRead, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use gix::protocol::transport::Protocol;
use gix::remote::Direction;
use gix_transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse, Transport,
};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portreeve_config::GitSource;
use tokio::runtime::Handle;

/// How long a connection may take to be made, and one exchange as a whole.
const CONNECT: Duration = Duration::from_secs(5);
const EXCHANGE: Duration = Duration::from_secs(60);
/// The largest answer: a pack with everything that is new.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Branches and tags, as they are there.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// A repository that is reached over HTTP.
#[derive(Debug)]
pub(super) struct Remote {
    url: String,
    /// Where its mirror is kept.
    pub(super) mirror: PathBuf,
    wire: Arc<Wire>,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Remote {
    /// A remote repository, where the URL is one.
    pub(super) fn of(config: &GitSource, data_dir: &Path) -> Option<Self> {
        if !config.uri.starts_with("http://") && !config.uri.starts_with("https://") {
            return None;
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, config.uri.as_bytes());
        let name: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let authorization = config.credentials.as_ref().map(|credentials| {
            let pair = format!("{}:{}", credentials.username, credentials.password.reveal());
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        });
        Some(Self {
            url: config.uri.clone(),
            mirror: data_dir.join("config-git").join(name),
            wire: Arc::new(Wire { authorization }),
        })
    }

    /// Brings the mirror up to date. Blocks; needs a runtime around it.
    pub(super) fn fetch(&self) -> Result<(), AnyError> {
        let repository = match self.mirror.join("HEAD").is_file() {
            true => gix::open::Options::isolated().open(&self.mirror)?.to_thread_local(),
            false => {
                std::fs::create_dir_all(&self.mirror)?;
                gix::init_bare(&self.mirror)?
            }
        };
        let remote = repository.remote_at(self.url.as_str())?;
        let remote = remote.with_refspecs(EVERYTHING, Direction::Fetch)?;
        let url = gix::url::parse(self.url.as_str())?;
        let transport = Transport::new_http(Door(self.wire.clone()), url, Protocol::V2, false);
        let connection = remote.to_connection_with_transport(transport);
        let prepared = connection.prepare_fetch(gix::progress::Discard, Default::default())?;
        let outcome = prepared.receive(gix::progress::Discard, &AtomicBool::new(false))?;
        let there: Vec<_> = outcome.ref_map.mappings.iter().filter_map(|map| map.local.clone()).collect();
        for reference in repository.references()?.all()?.flatten() {
            let name = reference.name().as_bstr().to_owned();
            let is_mirrored = name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/");
            if is_mirrored && !there.contains(&name) {
                reference.delete()?;
            }
        }
        Ok(())
    }
}

/// What every exchange needs.
struct Wire {
    authorization: Option<String>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Wire")
    }
}

impl Wire {
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(String, Bytes), AnyError> {
        let client: Client<HttpsConnector<HttpConnector>, Full<Bytes>> = {
            let mut tcp = HttpConnector::new();
            tcp.enforce_http(false);
            tcp.set_connect_timeout(Some(CONNECT));
            // The provider is named here: with two of them compiled in, rustls would panic at the first use.
            let connector = HttpsConnectorBuilder::new()
                .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())?
                .https_or_http()
                .enable_http1()
                .wrap_connector(tcp);
            Client::builder(TokioExecutor::new()).build(connector)
        };
        let (head, body) = client.request(request).await?.into_parts();
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

/// gix's way to HTTP.
struct Door(Arc<Wire>);

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

struct Sent(Shared);

struct Received {
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
        let exchange = tokio::time::timeout(EXCHANGE, self.wire.exchange(request));
        runtime.block_on(exchange)?
    }
}

/// A fault with its causes, for hyper's say nothing by themselves.
pub(super) fn chain(fault: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(fault), |fault| fault.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
