//! The control plane's API as commands see it: where it is, who calls, and what its refusals mean to the caller.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use http::{Method, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portreeve::config::{ControlPlaneLink, Fault};
use portreeve_proxy::client::{Client, FetchError, Limit, bearer};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Failure;
use super::output::{self, Form};

const ACTOR: HeaderName = HeaderName::from_static("x-portreeve-actor");
/// The largest answer, in bytes: lists of everything there is.
const LARGEST_ANSWER: usize = 256 << 20;
/// How long an answer may take, unless the request itself asks to wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the control plane is and who calls.
#[derive(clap::Args)]
pub(crate) struct Connection {
    /// The control plane.
    #[arg(long, value_name = "URL", env = "PORTREEVE_SERVER", default_value = "http://127.0.0.1:7070")]
    server: String,
    /// A file with the token to show; PORTREEVE_TOKEN may hold the token itself.
    #[arg(long, value_name = "FILE", env = "PORTREEVE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// With an https:// control plane: the file of the authorities that may have signed its certificate.
    #[arg(long, value_name = "FILE", env = "PORTREEVE_CA")]
    ca: Option<PathBuf>,
    /// Your own certificate, where the control plane asks for one.
    #[arg(long, value_name = "FILE", env = "PORTREEVE_CERTIFICATE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", env = "PORTREEVE_KEY", requires = "certificate")]
    key: Option<PathBuf>,
    /// Let the token go over http:// to other machines, where it can be read on the way.
    #[arg(long, env = "PORTREEVE_PLAIN_TEXT")]
    plain_text: bool,
    /// Who the history says made a change.
    #[arg(long, value_name = "NAME", env = "PORTREEVE_ACTOR", default_value_t = user())]
    actor: String,
}

/// Who is asked, and how the answer is shown.
#[derive(clap::Args)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// How the answer is printed.
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub(crate) output: Form,
}

/// A control plane that can be asked.
pub(crate) struct Api {
    client: Client,
    server: String,
    actor: HeaderValue,
}

/// One question.
pub(crate) struct Question {
    method: Method,
    path: String,
    has_query: bool,
    body: Option<String>,
    if_match: Option<u64>,
    patience: Duration,
}

/// A refusal of the control plane.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: StatusCode,
    detail: String,
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
}

impl Connection {
    /// Makes ready to ask.
    pub(crate) fn open(&self) -> Result<Api, Failure> {
        let server = self.server.trim_end_matches('/').to_owned();
        if !server.starts_with("http://") && !server.starts_with("https://") {
            let message = format!("`{server}` is no URL: give --server one such as http://127.0.0.1:7070");
            return Err(Failure::new(message));
        }
        let actor = HeaderValue::from_bytes(self.actor.as_bytes())
            .map_err(|_| Failure::new("the name given with --actor has characters that cannot be sent"))?;
        let link = ControlPlaneLink {
            url: server.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            ..ControlPlaneLink::default()
        };
        let client = Client::new(Arc::new(|_: &str| Vec::new())).map_err(Failure::new)?;
        let client = match self.token()? {
            Some(token) => client.showing(&link, token),
            None => client.toward(&link),
        };
        Ok(Api { client: client.map_err(Failure::new)?, server, actor })
    }

    /// What is shown as `Authorization`.
    fn token(&self) -> Result<Option<HeaderValue>, Failure> {
        let (token, source) = match &self.token_file {
            Some(path) => {
                let source = format!("the token file {}", path.display());
                let token = std::fs::read(path)
                    .map_err(|fault| Failure::new(format!("{source} cannot be read: {fault}")))?;
                (token, source)
            }
            None => match std::env::var("PORTREEVE_TOKEN") {
                Ok(token) if !token.trim().is_empty() => (token.into_bytes(), "PORTREEVE_TOKEN".to_owned()),
                _ => return Ok(None),
            },
        };
        if !self.plain_text && portreeve::config::check::is_overheard(&self.server) {
            let server = &self.server;
            return Err(Failure::new(format!(
                "the token would cross the network as plain text on its way to {server}: write https:// (the control plane needs `tls`), or give --plain-text where the network is private"
            )));
        }
        let value =
            bearer(&token).map_err(|fault| Failure::new(format!("{source} cannot be used: {fault}")))?;
        Ok(Some(value))
    }
}

impl Api {
    /// What the control plane answers, as a `T`.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, question: Question) -> Result<T, Failure> {
        let path = question.path.clone();
        match self.try_ask(question).await? {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(self.failure(&path, refusal)),
        }
    }

    /// As [`Api::ask`], for those who know what to make of a refusal.
    pub(crate) async fn try_ask<T: DeserializeOwned>(
        &self,
        question: Question,
    ) -> Result<Result<T, Refusal>, Failure> {
        let path = question.path.split('?').next().unwrap_or_default().to_owned();
        let strange = |fault| self.strange(&path, format!("its answer makes no sense: {fault}"));
        match self.try_fetch(question).await? {
            Ok(body) => serde_json::from_slice(&body).map(Ok).map_err(strange),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// What the control plane answers, as it comes.
    pub(crate) async fn fetch(&self, question: Question) -> Result<Bytes, Failure> {
        let path = question.path.clone();
        self.try_fetch(question).await?.map_err(|refusal| self.failure(&path, refusal))
    }

    async fn try_fetch(&self, question: Question) -> Result<Result<Bytes, Refusal>, Failure> {
        let limit = Limit { bytes: LARGEST_ANSWER, timeout: question.patience };
        let request = self.request(question)?;
        let path = request.uri().path().to_owned();
        let answer = self.client.send(request, limit).await;
        let answer = answer.map_err(|fault| {
            let flag = match &fault {
                FetchError::Certificate { .. } => "--ca names the authorities",
                FetchError::Refused { .. } => "--certificate and --key name yours",
                _ => "--server names the control plane",
            };
            Failure::new(format!("{fault} ({flag})"))
        })?;
        let (status, body) = (answer.status(), answer.body());
        if status.is_success() {
            return Ok(Ok(body.clone()));
        }
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => Ok(Err(Refusal { status, ..refusal })),
            Err(_) => Err(self.strange(&path, format!("it answered {status} without a reason"))),
        }
    }

    fn strange(&self, path: &str, what: String) -> Failure {
        let server = &self.server;
        Failure::new(format!(
            "{server}{path} is hardly a control plane of this version: {what}; check --server"
        ))
    }

    fn request(&self, question: Question) -> Result<Request<Bytes>, Failure> {
        let uri = format!("{}{}", self.server, question.path);
        let mut request = Request::builder().method(question.method).uri(uri).header(ACTOR, &self.actor);
        if let Some(revision) = question.if_match {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        if question.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = question.body.unwrap_or_default().into();
        let server = &self.server;
        request.body(body).map_err(|_| Failure::new(format!("`{server}` is no URL: check --server")))
    }

    /// What a person is told of a refusal.
    pub(crate) fn failure(&self, path: &str, refusal: Refusal) -> Failure {
        let path = path.split('?').next().unwrap_or_default();
        let mut message = format!("{}{path}: {}", self.server, output::plain(&refusal.detail));
        for fault in &refusal.faults {
            message.push_str(&format!("\n  {}", output::plain(&fault.to_string())));
        }
        match refusal.status {
            StatusCode::PRECONDITION_FAILED => {
                message
                    .push_str("; look at it with `portreeve config diff`, and try again with its revision");
                Failure::new(message)
            }
            StatusCode::UNPROCESSABLE_ENTITY => Failure::configuration(message),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                message.push_str("; show a token that may do this (--token-file, PORTREEVE_TOKEN)");
                Failure::new(message)
            }
            _ => Failure::new(message),
        }
    }
}

impl Question {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), has_query: false, body: None, if_match: None, patience: PATIENCE }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Adds a parameter, where there is one.
    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let separator = if std::mem::replace(&mut self.has_query, true) { '&' } else { '?' };
            let value = value.to_string();
            let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
            self.path.push_str(&format!("{separator}{name}={value}"));
        }
        self
    }

    pub(crate) fn body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// Only while this is the revision of what is written.
    pub(crate) fn if_match(mut self, revision: Option<u64>) -> Self {
        self.if_match = revision;
        self
    }

    /// For a question that the control plane answers after `longest` at most.
    pub(crate) fn waits(mut self, longest: Duration) -> Self {
        self.patience = longest + PATIENCE;
        self
    }
}

fn user() -> String {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "portreeve".to_owned())
}
