//! What changes the registry: register, renew, cancel, an operator's word on a status, metadata.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, Uri};
use serde_json::Value;

use super::super::instances::tell_of_another_host;
use super::answer::{Fault, Form};
use super::registration::{self, is_sound_pair};
use super::request::{dirty, document, parameter, parameters};
use super::{Asked, Eureka, is_replicated, refuse_others};
use crate::access::Caller;
use crate::registry::{Amendment, EurekaStatus, InstanceKey, Registered, service_of};
use crate::state::Command;

/// The largest registration.
const LARGEST: usize = 128 * 1024;

/// What a sign of life leads to.
pub(super) enum Renewal {
    Alive,
    /// The instance is not there, or has to say anew what it is.
    Unknown,
    /// Another server knows an older state than is here.
    Older(Arc<Registered>),
}

impl Eureka {
    /// `POST /apps/{application}`
    pub(super) async fn register(
        &self,
        application: &str,
        Asked { head, caller, .. }: Asked<'_>,
        body: Body,
    ) -> Result<Response, Fault> {
        let document = document(&head.headers, body, LARGEST).await?;
        self.put(application, &document, (is_replicated(&head.headers), caller)).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    pub(super) async fn put(
        &self,
        application: &str,
        document: &Value,
        (replicated, caller): (bool, &Caller),
    ) -> Result<(), Fault> {
        let instance =
            registration::read(document, application).map_err(|fault| Fault::Refused(fault.to_string()))?;
        refuse_other_addresses(caller, &instance)?;
        tell_of_another_host(&self.state, &instance.key(), instance.address.get());
        let instance = Box::new(instance);
        self.state.write(Command::RegisterClient { instance, replicated }).await?;
        Ok(())
    }

    /// `PUT /apps/{application}/{id}`: nothing is written and nobody is waited for.
    pub(super) fn renew(&self, application: &str, id: &str, head: &Parts) -> Result<Response, Fault> {
        let replicated = is_replicated(&head.headers);
        match self.sign_of_life(application, id, dirty(&head.uri), replicated) {
            Renewal::Alive => Ok(StatusCode::OK.into_response()),
            Renewal::Unknown => Err(Fault::Unknown),
            Renewal::Older(instance) => {
                let mut response = self.shown(&instance, Form::of(&head.headers));
                *response.status_mut() = StatusCode::CONFLICT;
                Ok(response)
            }
        }
    }

    pub(super) fn sign_of_life(
        &self,
        application: &str,
        id: &str,
        dirty: Option<u64>,
        replicated: bool,
    ) -> Renewal {
        let Some(instance) = self.find(application, id) else { return Renewal::Unknown };
        // Its status was taken back and it has not said a new one.
        if instance.eureka_status() == EurekaStatus::Unknown
            || !self.state.renew_named(&instance.service, &instance.id, None)
        {
            return Renewal::Unknown;
        }
        match (dirty, instance.eureka.as_ref().map(|details| details.dirty_at)) {
            (Some(said), Some(known)) if said > known => Renewal::Unknown,
            (Some(said), Some(known)) if said < known && replicated => Renewal::Older(instance),
            _ => Renewal::Alive,
        }
    }

    /// `DELETE /apps/{application}/{id}`
    pub(super) async fn cancel(&self, application: &str, id: &str) -> Result<Response, Fault> {
        let key = self.key(application, id)?;
        self.state.write(Command::Deregister(key, None)).await?;
        Ok(StatusCode::OK.into_response())
    }

    /// `PUT /apps/{application}/{id}/status`
    pub(super) async fn set_status(
        &self,
        application: &str,
        id: &str,
        head: &Parts,
    ) -> Result<Response, Fault> {
        let key = self.key(application, id)?;
        let status = status(&head.uri)?.ok_or(Fault::Status)?;
        self.amend(key, Amendment::Override(status, dirty(&head.uri))).await
    }

    /// `DELETE /apps/{application}/{id}/status`
    pub(super) async fn clear_status(
        &self,
        application: &str,
        id: &str,
        head: &Parts,
    ) -> Result<Response, Fault> {
        let key = self.key(application, id)?;
        let status = status(&head.uri)?.unwrap_or(EurekaStatus::Unknown);
        self.amend(key, Amendment::ClearOverride(status, dirty(&head.uri))).await
    }

    /// `PUT /apps/{application}/{id}/metadata`
    pub(super) async fn add_metadata(
        &self,
        application: &str,
        id: &str,
        head: &Parts,
    ) -> Result<Response, Fault> {
        let key = self.key(application, id)?;
        let pairs: Option<Vec<_>> = parameters(&head.uri).collect();
        let pairs = pairs.filter(|pairs| pairs.iter().all(|(key, value)| is_sound_pair(key, value)));
        let Some(pairs) = pairs else {
            return Err(Fault::Refused("metadata is UTF-8 without control characters".to_owned()));
        };
        self.amend(key, Amendment::Metadata(pairs)).await
    }

    pub(super) async fn amend(&self, key: InstanceKey, amendment: Amendment) -> Result<Response, Fault> {
        self.state.renew(&key, None);
        self.state.write(Command::Amend(key, amendment)).await?;
        Ok(StatusCode::OK.into_response())
    }

    /// The instance of this name, if it is one of this application.
    pub(super) fn find(&self, application: &str, id: &str) -> Option<Arc<Registered>> {
        let service = service_of(application)?;
        self.state.read(|model| {
            let found = model.registry.find(&service, id)?;
            found.is_of_application(application).then(|| found.clone())
        })
    }

    pub(super) fn key(&self, application: &str, id: &str) -> Result<InstanceKey, Fault> {
        self.find(application, id).map(|instance| instance.key()).ok_or(Fault::Unknown)
    }
}

/// Clients find instances by these names too: whoever speaks for some services takes none of another's.
fn refuse_other_addresses(caller: &Caller, instance: &Registered) -> Result<(), Fault> {
    let Some(details) = instance.eureka.as_ref().filter(|_| caller.is_limited()) else { return Ok(()) };
    let application = &details.application;
    refuse_others(caller, &instance.service)?;
    let listed = [&application.vip, &application.secure_vip].into_iter().flatten();
    let named =
        listed.flat_map(|listed| listed.split(',')).map(|one| one.split(':').next().unwrap_or_default());
    named.filter(|name| !name.is_empty()).try_for_each(|name| refuse_others(caller, name))
}

/// `?value=`
fn status(uri: &Uri) -> Result<Option<EurekaStatus>, Fault> {
    match parameter(uri, "value").filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => EurekaStatus::parse(&value).map(Some).ok_or(Fault::Status),
    }
}
