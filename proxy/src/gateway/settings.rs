//! What a file says of the gateway as a whole, made ready: whom it believes, what it is called, and where its spans go.
//! Spans go on by the same exporter for as long as it would be made the same.

use std::sync::Arc;

use portreeve_config::{ControlPlaneLink, Fault, Faults, GatewayConfig, Networks, TracingConfig};
use tokio::runtime::Handle;

use crate::client::Client;
use crate::plane::{Settings, TrustedProxies};
use crate::policy::headers::Via;
use crate::policy::path::Reading;
use crate::policy::trace::Sampler;
use crate::telemetry::{SpanSink, TelemetryFault, ZipkinExport, ZipkinSink};

/// What a gateway is called when nobody says.
const NAME: &str = "gateway";

/// What a configuration says of a gateway as a whole; where its spans go is said beside it.
pub(crate) fn settings_of(config: &GatewayConfig, spans: Option<Arc<dyn SpanSink>>) -> Settings {
    let name = config.tracing.service_name.as_deref().unwrap_or(NAME);
    Settings {
        name: name.into(),
        via: Via::new(name),
        realm: config.auth.as_ref().map_or_else(String::new, |auth| auth.realm.clone()),
        // A document is checked before it comes here; a list that cannot be read trusts nobody.
        trusted_proxies: TrustedProxies::new(Networks::parse(&config.trusted_proxies).unwrap_or_default()),
        paths: Reading { slashes: config.duplicate_slashes, parameters: config.path_parameters },
        sampler: Sampler::new(config.tracing.sample),
        propagation: config.tracing.propagation,
        spans,
    }
}

/// Makes the settings of one configuration after the other.
pub(super) struct Exporting {
    client: Client,
    runtime: Handle,
    /// The link that the gateway was started with.
    control_plane: Option<ControlPlaneLink>,
    current: Option<(ZipkinExport, Arc<dyn SpanSink>)>,
}

impl Exporting {
    pub(super) fn new(client: Client, control_plane: Option<ControlPlaneLink>) -> Self {
        Self { client, runtime: Handle::current(), control_plane, current: None }
    }

    /// The settings of a configuration. What an exporter that is not wanted any more has been given is still sent.
    ///
    /// # Errors
    /// An endpoint that cannot be one; with its place.
    pub(super) fn settings(&mut self, config: &GatewayConfig) -> Result<Arc<Settings>, TelemetryFault> {
        let wanted = export(&config.tracing, self.control_plane.as_ref(), NAME);
        let is_same = |(known, _): &(ZipkinExport, _)| Some(known) == wanted.as_ref();
        if !self.current.as_ref().is_some_and(is_same) {
            self.current = wanted.map(|wanted| self.start(wanted)).transpose()?;
        }
        let spans = self.current.as_ref().map(|(_, spans)| Arc::clone(spans));
        Ok(Arc::new(settings_of(config, spans)))
    }

    fn start(&self, export: ZipkinExport) -> Result<(ZipkinExport, Arc<dyn SpanSink>), TelemetryFault> {
        let sink = ZipkinSink::start(export.clone(), self.client.clone(), &self.runtime)?;
        Ok((export, sink))
    }
}

/// Where spans go: to the configured collector, else to the control plane's store, else nowhere.
///
/// # Errors
/// [`TelemetryFault`] when the endpoint cannot be one.
pub fn span_sink(
    tracing: &TracingConfig,
    control_plane: Option<&ControlPlaneLink>,
    client: &Client,
    service: &str,
) -> Result<Option<Arc<dyn SpanSink>>, TelemetryFault> {
    let Some(export) = export(tracing, control_plane, service) else { return Ok(None) };
    Ok(Some(ZipkinSink::start(export, client.clone(), &Handle::current())?))
}

fn export(
    tracing: &TracingConfig,
    control_plane: Option<&ControlPlaneLink>,
    service: &str,
) -> Option<ZipkinExport> {
    let service = tracing.service_name.as_deref().unwrap_or(service).to_owned();
    let endpoint = span_endpoint(tracing, control_plane)?;
    Some(ZipkinExport { endpoint, service, address: None })
}

/// The URL spans are posted to: the configured collector's, else the control plane's.
pub fn span_endpoint(tracing: &TracingConfig, control_plane: Option<&ControlPlaneLink>) -> Option<String> {
    let configured = tracing.zipkin.as_ref().map(|zipkin| zipkin.endpoint.clone());
    let embedded = || control_plane.map(|link| format!("{}/api/v2/spans", link.url.trim_end_matches('/')));
    configured.or_else(embedded)
}

/// A fault of the exporter as one of the configuration.
pub(super) fn as_faults(fault: &TelemetryFault) -> Faults {
    Fault::new("tracing.zipkin.endpoint", fault.to_string()).into()
}
