//! What is special about the addresses of a control plane: whom a node trusts there, who it is, and the token it shows.
//! All of it stands in files that may be replaced at any time; they are read on a thread for blocking work.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use http::header::HeaderValue;
use portreeve_config::{ControlPlaneLink, Faults, UpstreamProtocol, UpstreamTls};

use super::{Connections, FetchError, connections};
use crate::tls::Connector;

/// The longest token that is read, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// One control plane, or several that share a store.
pub(super) struct Link {
    /// Scheme, host and port of each address.
    origins: Vec<(String, String, u16)>,
    tls: Option<Arc<Tls>>,
    token: Token,
}

enum Token {
    None,
    Text(HeaderValue),
    File(Arc<Path>),
}

struct Tls {
    settings: UpstreamTls,
    in_use: Mutex<InUse>,
}

struct InUse {
    connector: Connector,
    pool: Connections,
    /// What was wrong with the files when they were last looked at.
    told: Option<String>,
}

impl Link {
    pub(super) fn new(link: &ControlPlaneLink) -> Result<Self, Faults> {
        let origins = link.urls().filter_map(|url| origin(&url.parse().ok()?)).collect();
        let settings = UpstreamTls {
            ca: link.ca.clone(),
            server_name: None,
            certificate: link.certificate.clone(),
            key: link.key.clone(),
        };
        let tls = (settings != UpstreamTls::default()).then(|| Tls::new(settings)).transpose()?;
        let token = link.token_file.as_deref().map_or(Token::None, |path| Token::File(path.into()));
        Ok(Self { origins, tls: tls.map(Arc::new), token })
    }

    pub(super) fn showing(self, token: HeaderValue) -> Self {
        Self { token: Token::Text(token), ..self }
    }

    /// Whether the control plane is asked there.
    pub(super) fn is_for(&self, uri: &Uri) -> bool {
        origin(uri).is_some_and(|origin| self.origins.contains(&origin))
    }

    /// The file whose authorities are trusted.
    pub(super) fn ca(&self) -> Option<&Path> {
        self.tls.as_ref()?.settings.ca.as_deref()
    }

    /// The file whose token is shown.
    pub(super) fn token_file(&self) -> Option<&Path> {
        if let Token::File(path) = &self.token { Some(path) } else { None }
    }

    /// The connections to use, where they are not those of everybody, and the token to show.
    pub(super) async fn ready(&self) -> Result<(Option<Connections>, Option<HeaderValue>), FetchError> {
        let file = match &self.token {
            Token::File(path) => Some(Arc::clone(path)),
            Token::None | Token::Text(_) => None,
        };
        let shown = if let Token::Text(token) = &self.token { Some(token.clone()) } else { None };
        let tls = self.tls.clone();
        if tls.is_none() && file.is_none() {
            return Ok((None, shown));
        }
        let read = move || {
            let token = file.map(|path| token(&path)).transpose()?;
            Ok((tls.map(|tls| tls.current()), token.or(shown)))
        };
        let interrupted =
            |_| FetchError::Token { path: "its file".to_owned(), reason: "the process ends".to_owned() };
        tokio::task::spawn_blocking(read).await.map_err(interrupted)?
    }
}

impl Tls {
    fn new(settings: UpstreamTls) -> Result<Self, Faults> {
        let connector = Connector::new(&settings, UpstreamProtocol::Http1)?;
        let in_use = InUse { pool: pool(&connector), connector, told: None };
        Ok(Self { settings, in_use: Mutex::new(in_use) })
    }

    /// The connections that the files lead to as they are now; files with a fault leave what was there before.
    fn current(&self) -> Connections {
        let read = Connector::new(&self.settings, UpstreamProtocol::Http1);
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(connector) => {
                in_use.told = None;
                if connector != in_use.connector {
                    in_use.pool = pool(&connector);
                    in_use.connector = connector;
                    tracing::info!("changed certificates towards the control plane are in force");
                }
            }
            Err(faults) => {
                let faults = faults.to_string();
                if in_use.told.as_ref() != Some(&faults) {
                    tracing::error!(
                        faults,
                        "changed certificates towards the control plane cannot be used; the former stay in force"
                    );
                    in_use.told = Some(faults);
                }
            }
        }
        in_use.pool.clone()
    }
}

fn pool(connector: &Connector) -> Connections {
    connections(connector.without_protocols())
}

/// Scheme, host in lower case, and port.
fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?;
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some((scheme.to_owned(), uri.host()?.to_ascii_lowercase(), port))
}

/// What a file says in `Authorization` (RFC 6750, 2.1).
fn token(path: &Path) -> Result<HeaderValue, FetchError> {
    let fault = |reason: String| FetchError::Token { path: path.display().to_string(), reason };
    let written = std::fs::read(path).map_err(|fault_of| {
        fault(format!("{fault_of}; check `token_file`, and that this user may read it"))
    })?;
    bearer(&written).map_err(|reason| fault(reason.to_owned()))
}

/// A token as it stands in a file, as the value of `Authorization`.
///
/// # Errors
/// What is wrong with it; never the token itself.
pub fn bearer(written: &[u8]) -> Result<HeaderValue, &'static str> {
    let token = written.trim_ascii();
    if token.is_empty() {
        return Err("it is empty; put the token there");
    }
    if token.len() > LONGEST_TOKEN || !token.iter().all(u8::is_ascii_graphic) {
        return Err("it holds something else; put the token alone there, on one line");
    }
    let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat());
    let mut value = value.map_err(|_| "it holds something else; put the token alone there, on one line")?;
    value.set_sensitive(true);
    Ok(value)
}
