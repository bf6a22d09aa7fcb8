//! The endpoint for clients of Spring Cloud Config, on a listener of its own: a drop-in for a config server.

mod asked;
mod encryption;
mod environment;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod health;
mod monitor;
mod plain_text;
mod refusal;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use portreeve_config::{ConfigServerConfig, Secret};

use super::basic::Stranger;
use super::{Serving, Users, guard, limited, refusals, strangers};
use crate::access::{Caller, Visit};
use crate::audit::{Audit, Entry};
use crate::configuration::{Configuration, Query};

use asked::{Asked, asked};
use refusal::Refusal;

/// The longest body; webhooks list every file of a push.
const BODY_BYTES: usize = 8 * 1024 * 1024;

/// What requests are answered with.
#[derive(Clone, Debug)]
struct Server {
    configuration: Arc<Configuration>,
    prefix: Arc<str>,
    users: Arc<Users>,
    audit: Audit,
    monitor_secret: Option<Arc<Secret>>,
}

/// Every path of the config server. `address` is what it listens on.
pub(crate) fn router(
    configuration: Arc<Configuration>,
    Serving { users, audit, limits }: Serving<'_>,
    config: &ConfigServerConfig,
    address: SocketAddr,
) -> Router {
    let server = Server {
        configuration,
        prefix: config.path_prefix.as_str().into(),
        users: Arc::new(users),
        audit,
        monitor_secret: config.monitor_secret.clone().map(Arc::new),
    };
    let routes = limited(Router::new().fallback(serve), limits.requests);
    let guard = guard::Guard::of_any_name(&config.listen, address);
    let routes = routes.layer(middleware::from_fn_with_state(guard, guard::check));
    routes.layer(middleware::from_fn(refusals::told)).with_state(server)
}

async fn serve(State(server): State<Server>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let visit = request.extensions().get::<Arc<Visit>>().cloned();
    let writes = !request.method().is_safe() && server.audit.is_on();
    let mut entry = writes.then(|| {
        let peer = visit.as_deref().map(|visit| visit.peer);
        Entry::new("config", request.method().as_str(), &path, peer)
    });
    let client = visit.as_deref().map(Visit::client_address);
    let caller = server.users.check(request.headers(), client).await;
    if let (Some(entry), Ok(caller)) = (&mut entry, &caller) {
        entry.who = caller.who();
    }
    let response = server.answer(request, caller).await.unwrap_or_else(|refusal| refusal.answer(&path));
    if let Some(entry) = entry.filter(|_| !strangers::is_spent(&response)) {
        server.audit.note(entry.done(response.status().as_u16(), None));
    }
    response
}

impl Server {
    async fn answer(&self, request: Request, caller: Result<Caller, Stranger>) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let path = head.uri.path().strip_prefix(&*self.prefix).unwrap_or_default();
        let is_write = head.method == Method::POST;
        // Who may not ask is not told what there would be, beside the health of the server and signed webhooks.
        let open = |asked: &Asked| match asked {
            Asked::Health => true,
            Asked::Monitor => self.monitor_secret.is_some(),
            _ => false,
        };
        let asked = asked(path, is_write, has_flag(&query, "useDefaultLabel"));
        let is_open = asked.as_ref().is_ok_and(open);
        let (is_known, limited) = match caller {
            Err(stranger) if !is_open => return Ok(stranger.answer(head.extensions.get())),
            caller => (caller.is_ok(), caller.ok().filter(|caller| caller.is_limited() && !is_open)),
        };
        let asked = asked.map_err(|fault| self.or_wrong_method(fault.into(), path, &query))?;
        refuse_method(&asked, &head.method)?;
        if let Some(caller) = limited {
            self.refuse_others(&caller, &asked)?;
        }
        match asked {
            Asked::Health => Ok(health::health(&self.configuration, is_known).await),
            Asked::EncryptStatus => encryption::status(self.configuration.cipher()),
            Asked::Key => encryption::key(self.configuration.cipher()),
            Asked::Encrypt => {
                encryption::encrypt(self.configuration.cipher(), &head.headers, &whole(body).await?)
            }
            Asked::Decrypt => {
                encryption::decrypt(self.configuration.cipher(), &head.headers, &whole(body).await?)
            }
            Asked::Monitor => self.pushed(&head.headers, &whole(body).await?),
            asked => self.configured(asked, !is_refused(&query), &head.headers).await,
        }
    }

    /// Configuration in whatever form.
    async fn configured(
        &self,
        asked: Asked,
        resolves: bool,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        match asked {
            Asked::Environment { name, profiles, label } => {
                let query = Query::of(&name, &profiles);
                let found = self.configuration.environment(&query, label.as_deref()).await?;
                Ok(environment::document(&found, [&name, &profiles], label.as_deref(), headers))
            }
            Asked::File { form, name, profiles, label } => {
                let query = Query::of(&name, &profiles);
                let found = self.configuration.environment(&query, label.as_deref()).await?;
                environment::file(&found, form, resolves)
            }
            Asked::Text { name, profiles, label, path } => {
                let query = Query::of(&name, &profiles);
                let file = self.configuration.text(&query, label.as_deref(), &path).await?;
                if plain_text::is_unchanged(&file, headers) {
                    return Ok(plain_text::unchanged(&file));
                }
                if plain_text::wants_bytes(headers) {
                    return Ok(plain_text::bytes(&file));
                }
                let values = match resolves {
                    true => Some(self.configuration.environment(&query, label.as_deref()).await?),
                    false => None,
                };
                let cipher = self.configuration.cipher().filter(|_| self.configuration.opens_texts());
                Ok(plain_text::resolved_text(&file, values.as_ref(), cipher, (&path, headers)))
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path")),
        }
    }

    /// A webhook: sources are asked for news, and those concerned are told, after the answer.
    fn pushed(&self, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
        if let Some(secret) = &self.monitor_secret
            && !monitor::is_authentic(secret, headers, body)
        {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "the call does not know the secret"));
        }
        let targets = monitor::targets(headers, body)?;
        let answer = serde_json::json!(targets).to_string();
        if !targets.is_empty() {
            self.configuration.expect_news(targets);
        }
        Ok(environment::typed("application/json", answer))
    }

    /// A user that is limited to some services is told their configuration, and nobody else's. A plain text may be
    /// anybody's file, whatever application it is asked for with, and so may what lies in a folder that a label names.
    fn refuse_others(&self, caller: &Caller, asked: &Asked) -> Result<(), Refusal> {
        let is_own = match asked {
            Asked::Environment { name, profiles, label } | Asked::File { name, profiles, label, .. } => {
                let is_known = |service: &str| self.configuration.knows_application(service);
                let query = Query::of(name, profiles);
                let mut pairs = query
                    .names
                    .iter()
                    .flat_map(|name| query.profiles.iter().map(move |profile| (name, profile)));
                (label.is_none() || !self.configuration.has_folders())
                    && pairs.all(|(name, profile)| caller.may_be_told_of(name, profile, is_known))
            }
            Asked::Text { .. } | Asked::Decrypt | Asked::Monitor => false,
            Asked::Encrypt | Asked::EncryptStatus | Asked::Key | Asked::Health => true,
        };
        if is_own {
            return Ok(());
        }
        let user = caller.name().map(|name| name.to_string()).unwrap_or_default();
        Err(Refusal::new(StatusCode::FORBIDDEN, format!("this is not for the user `{user}`")))
    }

    /// A path that only the other kind of method has is no unknown one.
    fn or_wrong_method(&self, refusal: Refusal, path: &str, query: &str) -> Refusal {
        match asked(path, true, has_flag(query, "useDefaultLabel")) {
            Ok(_) => Refusal::Method("POST"),
            Err(_) => refusal,
        }
    }
}

fn refuse_method(asked: &Asked, method: &Method) -> Result<(), Refusal> {
    match (asked, method.as_str()) {
        (Asked::Encrypt | Asked::Decrypt | Asked::Monitor, "POST") => Ok(()),
        (Asked::Encrypt | Asked::Decrypt | Asked::Monitor, _) => Err(Refusal::Method("POST")),
        (_, "GET" | "HEAD") => Ok(()),
        _ => Err(Refusal::Method("GET, HEAD")),
    }
}

/// Whether a query holds a key, with or without a value.
fn has_flag(query: &str, key: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some(key))
}

/// Whether placeholders are to stay as they are.
fn is_refused(query: &str) -> bool {
    query.split('&').any(|pair| pair.eq_ignore_ascii_case("resolvePlaceholders=false"))
}

async fn whole(body: axum::body::Body) -> Result<Bytes, Refusal> {
    let collected = Limited::new(body, BODY_BYTES).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|fault| match fault.is::<LengthLimitError>() {
        true => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {BODY_BYTES} bytes")),
        false => Refusal::new(StatusCode::BAD_REQUEST, "the body ended before its end"),
    })
}
