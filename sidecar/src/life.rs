//! THE LIFE OF A SIDECAR, from the first word of the control plane to the exit code: **hear** the configuration →
//! **start** the command → **wait** until the service is ready → **register** → watch over it → **leave** the
//! registry → **settle** until everybody has heard → **drain** inbound → **stop** the command → drain outbound.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portreeve_config::UpstreamProtocol;
use portreeve_config::wire::{Instance, InstanceStatus, Revision};
use portreeve_proxy::client::Limit;
use portreeve_proxy::span_endpoint;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::child::Child;
use crate::handover;
use crate::identity::reached_at;
use crate::signals::Order;
use crate::start::{Addresses, Sidecar, StartError};

/// How long the start waits for the control plane, so that the command gets its configuration of today.
const FIRST_WORD: Duration = Duration::from_secs(2);
/// How long gateways and other sidecars get to take the instance out of their rotation.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// The pause instead, when the control plane cannot say whether they have; and all the time there is for it when
/// the service has gone already.
const SETTLE_BLINDLY: Duration = Duration::from_millis(300);
const LAST_SPANS_WITHIN: Duration = Duration::from_secs(1);

/// The exit code when the service did not become ready.
const NOT_READY: u8 = 1;
/// The exit code of a process that was killed, as a shell gives it.
const KILLED: u8 = 128 + 9;

/// Why a sidecar stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was asked to.
    Asked,
    /// The command ended by itself, with this code.
    Exited(u8),
    /// The service did not become ready.
    NotReady,
}

/// A sidecar under way, and its command's process.
struct Life {
    sidecar: Sidecar,
    child: Option<Child>,
}

impl Sidecar {
    /// Starts the command and goes on until it ends or `orders` ask to stop (a closed channel asks too). Gives the
    /// exit code: the command's, 0 without one, 1 when the service did not become ready.
    ///
    /// # Errors
    /// [`StartError::Command`] when there is no process to wait for.
    pub async fn live(self, mut orders: mpsc::Receiver<Order>) -> Result<u8, StartError> {
        let Addresses { inbound, outbound, admin } = self.addresses;
        tracing::info!(instance = self.identity.instance, %inbound, %outbound, %admin, "sidecar listens");
        let mut life = Life { sidecar: self, child: None };
        let end = life.until_end(&mut orders).await?;
        let code = tokio::select! {
            code = life.wind_down(end) => code,
            () = stop_asked(&mut orders) => life.end_at_once().await,
        };
        Ok(code)
    }
}

impl Life {
    async fn until_end(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<End, StartError> {
        tokio::select! {
            () = self.hear() => {}
            () = stop_asked(orders) => return Ok(End::Asked),
        }
        if let Some(command) = &self.sidecar.command {
            if self.sidecar.app.takes_connections().await {
                tracing::warn!(
                    address = %self.sidecar.app.address,
                    "another process listens where the service is to listen; requests would reach that one"
                );
            }
            self.child = Some(Child::start(command, &self.environment())?);
        }
        let limit = self.sidecar.config.ready.timeout.get();
        let is_ready = tokio::select! {
            is_ready = self.sidecar.app.is_ready_within(limit) => is_ready,
            end = interrupted(&mut self.child, orders) => return Ok(self.ended_early(end)),
        };
        if !is_ready {
            self.tell_not_ready();
            return Ok(End::NotReady);
        }
        Ok(self.watch_over(orders).await)
    }

    async fn hear(&mut self) {
        if !self.sidecar.follower.hears_within(FIRST_WORD).await {
            tracing::warn!(
                "no word from the control plane yet: the service starts with the configuration of the last run, if any"
            );
        }
    }

    /// What the command's process gets on top of the sidecar's own environment.
    fn environment(&self) -> BTreeMap<String, String> {
        let Sidecar { config, identity, addresses, configuration_file, follower, .. } = &self.sidecar;
        let configuration = follower.configuration();
        let mut variables = handover::environment(&configuration, |name| std::env::var_os(name).is_some());
        let mut say = |name: &str, value: String| variables.insert(name.to_owned(), value);
        say("PORTREEVE_OUTBOUND", format!("http://{}", addresses.outbound));
        say("PORTREEVE_CONFIG_FILE", configuration_file.display().to_string());
        say("PORTREEVE_SERVICE", identity.service.clone());
        say("PORTREEVE_INSTANCE", identity.instance.clone());
        if let Some(endpoint) = span_endpoint(&config.tracing, config.control_plane.as_ref()) {
            say("PORTREEVE_ZIPKIN", endpoint);
        }
        variables
    }

    fn ended_early(&self, end: End) -> End {
        if let End::Exited(code) = end {
            tracing::error!(
                code,
                "the command ended before the service took requests at {}; its own output says why",
                self.sidecar.app.address
            );
        }
        end
    }

    fn tell_not_ready(&self) {
        let Sidecar { config, app, .. } = &self.sidecar;
        let waited = config.ready.timeout;
        let address = app.address;
        match &config.ready.path {
            Some(path) => tracing::error!(
                "the service did not answer http://{address}{path} with 2xx within {waited}; \
                 check that it listens there, or raise `ready.timeout`"
            ),
            None => tracing::error!(
                "the service took no connection at {address} within {waited}; \
                 check that it listens there, or raise `ready.timeout`"
            ),
        }
    }

    /// From the registration to the end.
    async fn watch_over(&mut self, orders: &mut mpsc::Receiver<Order>) -> End {
        let mut instance = self.instance().await;
        tracing::info!(address = %instance.address, "the service is ready");
        self.sidecar.is_app_up.store(true, Ordering::Relaxed);
        self.sidecar.follower.register(instance.clone()).await;
        loop {
            tokio::select! {
                is_up = self.sidecar.app.changed() => {
                    instance.status = if is_up { InstanceStatus::Up } else { InstanceStatus::Down };
                    match is_up {
                        true => tracing::info!("the service takes connections again"),
                        false => tracing::warn!("the service takes no connections at {}", self.sidecar.app.address),
                    }
                    self.sidecar.is_app_up.store(is_up, Ordering::Relaxed);
                    self.sidecar.follower.register(instance.clone()).await;
                }
                end = interrupted(&mut self.child, orders) => {
                    if let End::Exited(code) = end {
                        tracing::warn!(code, "the command ended by itself");
                    }
                    return end;
                }
            }
        }
    }

    /// The service as it is registered.
    async fn instance(&self) -> Instance {
        let Sidecar { config, identity, addresses, app, .. } = &self.sidecar;
        let address = match &config.control_plane {
            Some(link) => reached_at(addresses.inbound, &link.url).await,
            None => addresses.inbound,
        };
        let pid = self.child.as_ref().and_then(Child::id).unwrap_or_else(std::process::id);
        let mut metadata = BTreeMap::from([
            ("app".to_owned(), app.address.to_string()),
            ("pid".to_owned(), pid.to_string()),
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        // A sidecar takes both. Calls of a service of HTTP/2 come better by one connection than by one each.
        if config.protocol == UpstreamProtocol::Http2 {
            metadata.insert(Instance::PROTOCOL.to_owned(), "http2".to_owned());
        }
        Instance {
            service: identity.service.clone(),
            id: identity.instance.clone(),
            address,
            status: InstanceStatus::Up,
            lease_ms: u64::try_from(config.lease.get().as_millis()).unwrap_or(u64::MAX),
            metadata,
        }
    }

    async fn wind_down(&mut self, end: End) -> u8 {
        self.sidecar.is_app_up.store(false, Ordering::Relaxed);
        if let Some(revision) = self.sidecar.follower.leave().await {
            let patience = if end == End::Asked { SETTLE_WITHIN } else { SETTLE_BLINDLY };
            self.settle(revision, patience).await;
        }
        self.sidecar.servers.drain_inbound().await;
        let code = match &mut self.child {
            Some(child) => child.stop().await,
            None => 0,
        };
        // Until here the service could still call others, to finish what it had.
        self.sidecar.servers.drain_outbound().await;
        let spans = self.sidecar.spans.clone();
        let flushed = async {
            if let Some(spans) = &spans {
                spans.flush(LAST_SPANS_WITHIN).await;
            }
        };
        tokio::join!(self.sidecar.follower.end(), flushed);
        match end {
            End::Asked => code,
            End::Exited(code) => code,
            End::NotReady => NOT_READY,
        }
    }

    /// Waits until nobody sends requests here any more, as far as the control plane knows.
    async fn settle(&self, revision: Revision, patience: Duration) {
        let Some(link) = &self.sidecar.config.control_plane else { return };
        let path = format!("/v1/revisions/{revision}/acknowledged?timeout={}ms", patience.as_millis());
        // Each replica answers for the nodes on its own streams.
        let asked = link.urls().map(|url| {
            let url = format!("{}{path}", url.trim_end_matches('/'));
            let client = self.sidecar.client.clone();
            tokio::spawn(async move { client.get(&url, Limit { bytes: 64 * 1024, timeout: patience }).await })
        });
        let mut has_answer = false;
        for asked in asked.collect::<Vec<_>>() {
            match asked.await {
                Ok(Ok(_)) => has_answer = true,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a control plane cannot say whether all have heard")
                }
                Err(_) => {}
            }
        }
        if !has_answer && patience > SETTLE_BLINDLY {
            sleep(SETTLE_BLINDLY).await;
        }
    }

    async fn end_at_once(&mut self) -> u8 {
        tracing::warn!("asked to stop again: everything ends at once");
        match &mut self.child {
            Some(child) => child.kill().await,
            None => KILLED,
        }
    }
}

/// Waits for the command's end or the first wish to stop; passes on what is for the command. For ever without
/// either. Can be dropped and asked again.
async fn interrupted(child: &mut Option<Child>, orders: &mut mpsc::Receiver<Order>) -> End {
    loop {
        let ended = async {
            match child {
                Some(child) => child.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            code = ended => return End::Exited(code),
            order = orders.recv() => match (order, &*child) {
                (Some(Order::Pass(passed)), Some(child)) => child.tell(passed.signal()),
                (Some(Order::Pass(_)), None) => {}
                (Some(Order::Stop) | None, _) => return End::Asked,
            },
        }
    }
}

/// Waits for a wish to stop, while there is no command to pass anything on to. A closed channel can wish no more.
async fn stop_asked(orders: &mut mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        if order == Order::Stop {
            return;
        }
    }
    std::future::pending().await
}
