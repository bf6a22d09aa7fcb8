//! Calls to etcd over gRPC: one member at a time, the next one when it does not answer, logged in where that is asked
//! for. What etcd says is told apart here as far as anybody acts on it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::PathAndQuery;
use portreeve_config::{EtcdConfig, EtcdTls, EtcdUser};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming, client};
use tonic_prost::ProstCodec;

use super::messages::{AuthenticateRequest, AuthenticateResponse, LeaseKeepAliveResponse, LeaseRequest};
use crate::store::StoreError;

/// How long making a connection may take, so that a dead member leaves time for the next one.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long etcd may take for one call.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// etcd ends connections that are probed more often than every 5 s.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The largest answer. Lists are asked for in pieces, and no value is larger than a request may be.
const ANSWER_BYTES: usize = 512 << 20;

/// Why a call came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallFault {
    /// No answer; whether a write was carried out is not known.
    #[error("{0}")]
    Away(String),
    /// What was asked for is no longer kept.
    #[error("the history that was asked for was compacted")]
    Compacted,
    /// The lease is not there (any more).
    #[error("the lease is gone")]
    LeaseGone,
    /// etcd has no room left.
    #[error("etcd has no room left")]
    Full,
    /// etcd said no.
    #[error("{0}")]
    Refused(String),
}

/// A client of one etcd.
pub(super) struct Client {
    members: Vec<Endpoint>,
    user: Option<EtcdUser>,
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    /// The member whose turn it is.
    turn: usize,
    channel: Option<Channel>,
    token: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Reads the certificates; connects when it is called first.
    pub(super) fn new(config: &EtcdConfig) -> Result<Self, StoreError> {
        let tls = config.tls.as_ref().map(tls).transpose()?;
        let members = config.endpoints.iter().map(|url| member(url, tls.as_ref()));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { members, user: config.user.clone(), connection: Mutex::default() })
    }

    /// One question, one answer.
    pub(super) async fn call<Q, A>(&self, path: &'static str, question: Q) -> Result<A, CallFault>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let first = self.attempt(path, question.clone()).await;
        match first {
            Err(fault) if fault.code() == Code::Unauthenticated => {
                self.lock().token = None;
                self.attempt(path, question).await
            }
            first => first,
        }
        .map_err(|status| self.fault(status))
    }

    async fn attempt<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let exchange = async {
            let mut grpc = self.ready().await?;
            let request = self.dressed(Request::new(question));
            grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await
        };
        let answer = tokio::time::timeout(CALL_LIMIT, exchange).await;
        Ok(answer.map_err(|_| Status::unavailable("etcd did not answer in time"))??.into_inner())
    }

    /// Questions and answers for as long as both sides wish.
    pub(super) async fn converse<Q, A>(
        &self,
        path: &'static str,
        questions: mpsc::Receiver<Q>,
    ) -> Result<Streaming<A>, CallFault>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let exchange = async {
            let mut grpc = self.ready().await?;
            let mut request = self.dressed(Request::new(ReceiverStream::new(questions)));
            // A member that has lost the others says so instead of staying silent.
            request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
            grpc.streaming(request, PathAndQuery::from_static(path), ProstCodec::<Q, A>::default()).await
        };
        let answer = tokio::time::timeout(CALL_LIMIT, exchange).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::unavailable("etcd did not answer in time")));
        answer.map(tonic::Response::into_inner).map_err(|status| self.fault(status))
    }

    /// Keeps a lease for as long as it is asked to: where to ask, and what etcd says each time.
    pub(super) async fn keep_alive(
        &self,
        lease: i64,
    ) -> Result<(mpsc::Sender<LeaseRequest>, Streaming<LeaseKeepAliveResponse>), CallFault> {
        let (renew, questions) = mpsc::channel(1);
        let _ = renew.send(LeaseRequest { id: lease }).await;
        let answers = self.converse("/etcdserverpb.Lease/LeaseKeepAlive", questions).await?;
        Ok((renew, answers))
    }

    async fn ready(&self) -> Result<client::Grpc<Channel>, Status> {
        let channel = self.channel().await?;
        let mut grpc = client::Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES);
        grpc.ready().await.map_err(|fault| Status::unavailable(told(&fault)))?;
        Ok(grpc)
    }

    async fn channel(&self) -> Result<Channel, Status> {
        let (mut turn, known) = {
            let connection = self.lock();
            (connection.turn, connection.channel.clone())
        };
        let channel = match known {
            Some(channel) => channel,
            None => {
                let mut outcome = Err(Status::unavailable("no endpoint is named"));
                for _ in 0..self.members.len() {
                    outcome = self.members[turn].connect().await.map_err(|fault| {
                        Status::unavailable(format!("{}: {}", self.members[turn].uri(), told(&fault)))
                    });
                    if outcome.is_ok() {
                        break;
                    }
                    turn = (turn + 1) % self.members.len();
                }
                let channel = outcome?;
                let mut connection = self.lock();
                (connection.turn, connection.channel) = (turn, Some(channel.clone()));
                channel
            }
        };
        if self.user.is_some() && self.lock().token.is_none() {
            self.log_in(channel.clone()).await?;
        }
        Ok(channel)
    }

    async fn log_in(&self, channel: Channel) -> Result<(), Status> {
        let Some(user) = &self.user else { return Ok(()) };
        let password = fs::read_to_string(&user.password_file).map_err(|fault| {
            Status::permission_denied(format!("{} cannot be read: {fault}", user.password_file.display()))
        })?;
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        let question = AuthenticateRequest { name: user.name.clone(), password };
        let mut grpc = client::Grpc::new(channel);
        grpc.ready().await.map_err(|fault| Status::unavailable(told(&fault)))?;
        let path = PathAndQuery::from_static("/etcdserverpb.Auth/Authenticate");
        let codec = ProstCodec::<AuthenticateRequest, AuthenticateResponse>::default();
        let token = grpc.unary(Request::new(question), path, codec).await?.into_inner().token;
        let token = token.parse().map_err(|_| Status::internal("etcd gave a token that is none"))?;
        self.lock().token = Some(token);
        Ok(())
    }

    fn dressed<Q>(&self, mut request: Request<Q>) -> Request<Q> {
        if let Some(token) = &self.lock().token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        request
    }

    /// What a status means; the next call goes to another member where this one did not answer.
    pub(super) fn fault(&self, status: Status) -> CallFault {
        let text = status.message();
        match status.code() {
            Code::OutOfRange if text.contains("compacted") => CallFault::Compacted,
            Code::NotFound if text.contains("lease") => CallFault::LeaseGone,
            Code::ResourceExhausted if text.contains("space") => CallFault::Full,
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Unimplemented => CallFault::Refused(text.to_owned()),
            code => {
                self.leave();
                CallFault::Away(if text.is_empty() { code.to_string() } else { text.to_owned() })
            }
        }
    }

    /// The member whose turn it is does not answer.
    pub(super) fn leave(&self) {
        let mut connection = self.lock();
        connection.turn = (connection.turn + 1) % self.members.len().max(1);
        (connection.channel, connection.token) = (None, None);
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault with what is behind it: on its own the outermost says only that there was one.
fn told(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut next = fault.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

fn member(url: &str, tls: Option<&ClientTlsConfig>) -> Result<Endpoint, StoreError> {
    let unusable = |fault: tonic::transport::Error| StoreError::Refused(format!("{url}: {}", told(&fault)));
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(unusable)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_LIMIT)
        .http2_keep_alive_interval(PROBE_EVERY)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    match tls.filter(|_| url.starts_with("https://")) {
        Some(tls) => endpoint.tls_config(tls.clone()).map_err(unusable),
        None => Ok(endpoint),
    }
}

fn tls(config: &EtcdTls) -> Result<ClientTlsConfig, StoreError> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(&config.ca_file)?));
    Ok(match (&config.certificate_file, &config.key_file) {
        (Some(certificate), Some(key)) => tls.identity(Identity::from_pem(read(certificate)?, read(key)?)),
        _ => tls,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(|fault: io::Error| {
        StoreError::Refused(format!("{} cannot be read: {fault}", path.display()))
    })
}
