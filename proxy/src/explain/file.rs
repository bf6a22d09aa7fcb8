//! A file as the stage of rehearsals: compiled as a gateway would, with nothing opened, looked up or fetched.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use portreeve_config::{AuthConfig, EndpointAddress, Fault, Faults, GatewayConfig, ServiceConfig};
use tokio::runtime::{Builder, Handle};

use super::Stage;
use crate::client::FetchError;
use crate::gateway::{plane_of, settings_of};
use crate::names::{FixedService, Names};
use crate::plane::Pinned;
use crate::policy::auth::{Authenticator, KeyFetch, KeySources};
use crate::policy::balance::EndpointSpec;
use crate::snapshot::Snapshot;

impl Stage {
    /// What a file would put in force by itself. Routes and instances of a control plane are not known here.
    ///
    /// # Errors
    /// What a gateway would refuse it for; paths start at the document.
    pub fn of_file(config: &GatewayConfig) -> Result<Self, Faults> {
        let auth = config.auth.as_ref().map(authenticator).transpose()?;
        let empty = Snapshot::empty(0).with_settings(Arc::new(settings_of(config, None)));
        let compiled = empty.with_routes(&config.routes, auth.map(Arc::new));
        let snapshot = compiled.map_err(|found| under("routes", found))?.with_limits(&config.limits);
        let endpoints: Result<Vec<_>, Faults> = config.services.iter().map(endpoints).collect();
        let names = config.services.iter().map(|(name, service)| (name.clone(), names_of(service)));
        let plane = plane_of(config, 0, Arc::default(), None);
        let snapshot = Arc::new(snapshot.with_endpoints(endpoints?));
        let pinned = Arc::new(Pinned::for_rehearsals(&plane, snapshot));
        Ok(Self { pinned, elsewhere: names.collect(), may_have_more: config.control_plane.is_some() })
    }
}

fn under(place: &str, faults: Faults) -> Faults {
    Faults(faults.0.into_iter().map(|fault| fault.under(place)).collect())
}

/// The instances that are addresses. How they are spoken to does not matter: nobody calls them.
fn endpoints((name, service): (&String, &ServiceConfig)) -> Result<(String, Vec<EndpointSpec>), Faults> {
    let plain = ServiceConfig { endpoints: service.endpoints.clone(), ..ServiceConfig::default() };
    let compiled =
        FixedService::compile(&plain).map_err(|found| under(&format!("services.{name}"), found))?;
    Ok((name.clone(), compiled.instances(&Names::default())))
}

fn names_of(service: &ServiceConfig) -> Vec<String> {
    let is_name =
        |text: &&String| matches!(text.parse(), Ok(EndpointAddress::Host { .. } | EndpointAddress::Srv(_)));
    service.endpoints.iter().filter(is_name).cloned().collect()
}

/// Verifies nothing, and knows which fields belong to claims.
fn authenticator(config: &AuthConfig) -> Result<Authenticator, Faults> {
    let runtime = match Handle::try_current() {
        Ok(_) => None,
        Err(_) => Some(Builder::new_current_thread().build().map_err(|error| {
            Fault::new("auth", format!("no event loop can be made to look at it: {error}"))
        })?),
    };
    let handle = runtime.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone());
    let compiled = Authenticator::compile(config, KeySources::new(Arc::new(NoKeys), handle));
    if let Some(runtime) = runtime {
        // Nothing runs on it, so that nothing is cut off.
        runtime.shutdown_background();
    }
    compiled.map_err(|found| under("auth", found))
}

/// Nobody asks for a key here: no token is verified.
struct NoKeys;

impl KeyFetch for NoKeys {
    fn fetch(&self, url: String) -> Pin<Box<dyn Future<Output = Result<Bytes, FetchError>> + Send>> {
        Box::pin(std::future::ready(Err(FetchError::NoInstance { url })))
    }
}
