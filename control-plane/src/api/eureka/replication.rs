//! `POST /peerreplication/batch/`: what another Eureka server tells of its clients, so that both can stand side by
//! side while services move from one to the other.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use super::super::refusals::long_excerpt;
use super::answer::{Fault, Form};
use super::operations::Renewal;
use super::request::document;
use super::view::View;
use super::writing::Extent;
use super::{Asked, Eureka, refuse_others};
use crate::access::Caller;
use crate::audit::Entry;
use crate::registry::{Amendment, EurekaStatus};
use crate::state::{Command, excerpt};

/// The original sends 250 at most.
const MOST: usize = 1_000;
const LARGEST: usize = 4 * 1024 * 1024;

/// What became of one item: its status, and the instance that is here instead.
type Outcome = (u16, Option<Value>);

impl Eureka {
    pub(super) async fn take_batch(&self, asked: Asked<'_>, body: Body) -> Result<Response, Fault> {
        let Asked { head, caller, .. } = asked;
        let document = document(&head.headers, body, LARGEST).await?;
        let Some(items) = document.get("replicationList").and_then(Value::as_array) else {
            return Err(Fault::Refused("the body has no `replicationList`".to_owned()));
        };
        if items.len() > MOST {
            return Err(Fault::Refused(format!("{} items: at most {MOST}", items.len())));
        }
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let (status, entity) = self.take(item, caller).await;
            self.note(item, status, asked);
            let mut outcome = Map::from_iter([("statusCode".to_owned(), status.into())]);
            outcome.extend(entity.map(|entity| ("responseEntity".to_owned(), entity)));
            outcomes.push(Value::Object(outcome));
        }
        let kind = [(header::CONTENT_TYPE, "application/json")];
        Ok((kind, json!({"responseList": outcomes}).to_string()).into_response())
    }

    async fn take(&self, item: &Value, caller: &Caller) -> Outcome {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let (Some(application), Some(id)) = (text("appName"), text("id")) else { return (500, None) };
        let (application, dirty) = (application.to_ascii_uppercase(), item.get("lastDirtyTimestamp"));
        let dirty = dirty.and_then(Value::as_u64);
        if refuse_others(caller, &application).is_err() {
            return (StatusCode::FORBIDDEN.as_u16(), None);
        }
        let done = match text("action") {
            Some("Register") => {
                self.put(&application, &item["instanceInfo"], (true, caller)).await.map(|()| 200)
            }
            Some("Heartbeat") => return self.take_heartbeat(&application, id, dirty),
            Some("Cancel") => self.take_cancel(&application, id).await,
            Some("StatusUpdate") => match text("status").and_then(EurekaStatus::parse) {
                Some(status) => self.take_word(&application, id, Amendment::Override(status, dirty)).await,
                None => Err(Fault::Status),
            },
            Some("DeleteStatusOverride") => {
                let status = text("status").and_then(EurekaStatus::parse).unwrap_or_default();
                self.take_word(&application, id, Amendment::ClearOverride(status, dirty)).await
            }
            _ => Err(Fault::Status),
        };
        match done {
            Ok(status) => (status, None),
            Err(Fault::Unknown) => (404, None),
            Err(Fault::Forbidden(_)) => (StatusCode::FORBIDDEN.as_u16(), None),
            Err(fault) => {
                let status = StatusCode::max(fault.status(), StatusCode::INTERNAL_SERVER_ERROR);
                (status.as_u16(), None)
            }
        }
    }

    /// Heartbeats are nearly all that comes, and write nothing.
    fn note(&self, item: &Value, status: u16, Asked { head, visit, caller }: Asked<'_>) {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("action") {
            "Heartbeat" if status != StatusCode::FORBIDDEN.as_u16() => return,
            "Register" => "register",
            "Cancel" => "deregister",
            "StatusUpdate" => "override_status",
            "DeleteStatusOverride" => "clear_status",
            _ => "replicate",
        };
        if !self.audit.is_on() {
            return;
        }
        let mut entry = Entry::new("eureka", head.method.as_str(), head.uri.path(), Some(visit.peer));
        entry.who = caller.who();
        entry.operation = operation.into();
        entry.instance = Some(format!("{}/{}", excerpt(text("appName")), long_excerpt(text("id"))));
        self.audit.note(entry.done(status, None));
    }

    fn take_heartbeat(&self, application: &str, id: &str, dirty: Option<u64>) -> Outcome {
        match self.sign_of_life(application, id, dirty, true) {
            Renewal::Alive => (200, None),
            Renewal::Unknown => (404, None),
            Renewal::Older(instance) => {
                let form = Form { json: true, extent: Extent::Full, gzip: false };
                let view = View::of(&instance, &self.state, super::documents::milliseconds());
                let entity: Option<Value> = serde_json::from_slice(&form.body(view)).ok();
                (409, entity.map(|mut entity| entity["instance"].take()))
            }
        }
    }

    async fn take_cancel(&self, application: &str, id: &str) -> Result<u16, Fault> {
        let key = self.key(application, id)?;
        self.state.write(Command::Deregister(key, None)).await?;
        Ok(200)
    }

    async fn take_word(&self, application: &str, id: &str, word: Amendment) -> Result<u16, Fault> {
        let key = self.key(application, id)?;
        self.amend(key, word).await.map(|_| 200)
    }
}
