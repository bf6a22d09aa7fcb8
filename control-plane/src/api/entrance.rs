//! What every request to the own API passes: whether a browser was sent by somebody else, whose token it shows, whether
//! that may do what it asks for; and what the audit log says of it.

use std::sync::Arc;

use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::guard::{self, Guard};
use super::problem::{Problem, method_not_allowed};
use super::rules::{Noted, Rule, Rules};
use super::strangers::{self, Shown};
use super::write;
use crate::access::{Caller, Need, Tokens, Visit};
use crate::audit::{Audit, Entry};
use crate::state::excerpt;

/// How a token is shown.
const HOW: &str = "show a token: `Authorization: Bearer …`, or Basic with the token as password";

/// What a request has to pass.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) guard: Guard,
    pub(super) tokens: Arc<Tokens>,
    pub(super) rules: Rules,
    pub(super) audit: Audit,
}

/// Why a request gets no further.
enum Refused {
    Problem(Problem),
    /// Nobody knows who it is. Whether it showed anything, and what was wrong with it.
    Stranger(bool, &'static str),
}

/// What is known of a request on its way.
#[derive(Default)]
struct Known {
    caller: Option<Caller>,
    rule: Option<Rule>,
}

/// Lets a request through, or says why not.
pub(super) async fn enter(State(entrance): State<Arc<Entrance>>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let visit = head.extensions.get::<Arc<Visit>>().cloned();
    let mut known = Known::default();
    let admitted = entrance.admit(&mut head, &mut known).await;
    let entry = entrance.entry(&head, &known, visit.as_deref());
    let response = match admitted {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(Refused::Problem(problem)) => problem.into_response(),
        Err(Refused::Stranger(true, problem)) => strangers::refuse(stranger(problem), visit.as_ref()),
        Err(Refused::Stranger(false, problem)) => strangers::ask(stranger(problem), visit.as_ref()),
    };
    if let Some(entry) = entry {
        entrance.note(entry, known.rule.as_ref(), &response);
    }
    strangers::slow_down(response, visit.as_ref()).await
}

impl Entrance {
    async fn admit(&self, head: &mut Parts, known: &mut Known) -> Result<(), Refused> {
        let matched = head.extensions.get::<MatchedPath>();
        let rule = matched.map(|path| self.rules.of(path.as_str(), &head.method));
        known.rule = rule.as_ref().and_then(|rule| rule.as_ref().ok().map(|rule| Rule::clone(rule)));
        if let Some(problem) = guard::refuse(&self.guard, &head.uri, &head.method, &head.headers) {
            return Err(Refused::Problem(problem));
        }
        let need = known.rule.as_ref().map(|rule| rule.need);
        let caller = self.caller(&head.headers, need)?;
        known.caller = Some(caller.clone());
        if let Some(Err(methods)) = rule {
            let problem = method_not_allowed(head.method.clone()).await;
            return Err(Refused::Problem(problem.allow(&methods)));
        }
        if let Some(need) = need {
            let service = service(head, need, &caller).await;
            if let Err(token) = caller.may(need, service.as_deref()) {
                let (name, role) = (&token.name, token.role.as_str());
                let detail = format!("this needs {need}; the token `{name}` has the role `{role}`");
                return Err(Refused::Problem(Problem::new(StatusCode::FORBIDDEN, detail)));
            }
        }
        head.extensions.insert(caller);
        Ok(())
    }

    /// Who calls. What needs no token is open to wrong ones, too.
    fn caller(&self, headers: &HeaderMap, need: Option<Need>) -> Result<Caller, Refused> {
        if self.tokens.is_empty() {
            return Ok(Caller::Anybody);
        }
        let found = match strangers::shown(headers) {
            Shown::Nothing => Err((false, HOW)),
            Shown::Unreadable => {
                Err((true, "`Authorization` is there twice, or is neither `Bearer` nor `Basic`"))
            }
            Shown::Secret { secret, .. } => {
                self.tokens.find(&secret).map(Caller::Token).ok_or((true, "this token is not known"))
            }
        };
        match found {
            Err(_) if need == Some(Need::Nothing) => Ok(Caller::Anybody),
            found => found.map_err(|(has_shown, problem)| Refused::Stranger(has_shown, problem)),
        }
    }

    /// What is noted of an attempt, where it may have to be.
    fn entry(&self, head: &Parts, known: &Known, visit: Option<&Visit>) -> Option<Entry> {
        let noted = known.rule.as_ref().map_or(!head.method.is_safe(), |rule| rule.noted != Noted::Never);
        if !noted || !self.audit.is_on() {
            return None;
        }
        let peer = visit.map(|visit| visit.peer);
        let mut entry = Entry::new("api", head.method.as_str(), head.uri.path(), peer);
        if let Some(caller) = &known.caller {
            entry.who = caller.who();
        }
        entry.actor = write::said_actor(&head.headers).map(|actor| excerpt(&actor));
        entry.dry_run =
            head.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "dry_run=true"));
        if let Some(rule) = &known.rule {
            entry.operation = rule.operation.clone();
        }
        Some(entry)
    }

    fn note(&self, entry: Entry, rule: Option<&Rule>, response: &Response) {
        let status = response.status();
        let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if strangers::is_spent(response) || !denied && rule.is_some_and(|rule| rule.noted == Noted::Denied) {
            return;
        }
        self.audit.note(entry.done(status.as_u16(), revision(response)));
    }
}

/// The service in the path, as the handler reads it; asked for only where it matters.
async fn service(head: &mut Parts, need: Need, caller: &Caller) -> Option<String> {
    if need != Need::Instances || !caller.is_limited() {
        return None;
    }
    let parameters = head.extract::<RawPathParams>().await.ok()?;
    parameters.iter().find(|(name, _)| *name == "service").map(|(_, service)| service.to_owned())
}

/// From the entity tag, which every answer with a revision has.
fn revision(response: &Response) -> Option<u64> {
    let tag = response.headers().get(header::ETAG)?.to_str().ok()?;
    tag.trim_matches('"').parse().ok()
}

fn stranger(problem: &'static str) -> Response {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, problem).into_response();
    for challenge in ["Bearer realm=\"Portreeve\"", "Basic realm=\"Portreeve\", charset=\"UTF-8\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    /// Every request that reaches a handler has passed the entrance; one that had not would be nobody's.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unknown = || Problem::new(StatusCode::FORBIDDEN, "it is not known who calls");
        parts.extensions.get().cloned().ok_or_else(unknown)
    }
}
