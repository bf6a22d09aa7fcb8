//! Telling Spring applications that their configuration has changed: `POST /actuator/refresh` on every registered
//! instance that says where its management endpoints are. Nothing waits for it, and nobody is told twice at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portreeve_config::{BasicCredentials, RefreshConfig};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::registry::Registered;
use crate::state::State;
use crate::store::LayerKey;

use super::credentials::authorization;
use super::search::EVERYONE;

/// Stands for every application.
pub(crate) const ALL: &str = "*";
/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(50);
/// What an instance says of its management endpoints (Spring Cloud Netflix registers both).
const PORT: &str = "management.port";
const CONTEXT: &str = "management.context-path";
/// The longest name of a file, as file systems have it, and that of a service.
const FILE_NAME: usize = 255;
const SERVICE_NAME: usize = 63;

/// Who is to be told next.
#[derive(Debug)]
pub(crate) struct Refresher {
    enabled: bool,
    credentials: Option<BasicCredentials>,
    timeout: Duration,
    slots: Arc<Semaphore>,
    state: State,
    pending: Mutex<BTreeSet<String>>,
    wake: Notify,
}

/// Where one application is told.
#[derive(Debug, PartialEq)]
struct Door {
    service: String,
    address: SocketAddr,
    path: String,
}

impl Refresher {
    pub(crate) fn new(config: &RefreshConfig, state: State) -> Arc<Self> {
        Arc::new(Self {
            enabled: config.enabled,
            credentials: config.credentials.clone(),
            timeout: config.timeout.get(),
            slots: Arc::new(Semaphore::new(config.concurrency)),
            state,
            pending: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Files of a source changed: those they are meant for are told.
    pub(crate) fn files_changed(&self, paths: &[String]) {
        self.targets(paths.iter().flat_map(|path| targets_of(path)));
    }

    /// These applications are told soon.
    pub(crate) fn targets(&self, names: impl IntoIterator<Item = String>) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        self.wake.notify_one();
    }

    /// Tells whoever is to be told, until it is dropped.
    pub(super) async fn run(self: Arc<Self>) {
        let mut layers = self.layers();
        let layers_changed = self.state.publisher().layers_changed();
        let mut rounds = JoinSet::new();
        loop {
            tokio::select! {
                () = self.wake.notified() => {}
                () = layers_changed.notified() => {}
            }
            tokio::time::sleep(GATHER).await;
            let now = self.layers();
            let mut targets =
                std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            targets.extend(differing(&layers, &now));
            layers = now;
            if self.enabled {
                for door in self.doors(&targets) {
                    rounds.spawn(self.clone().tell(door));
                }
            }
            while rounds.try_join_next().is_some() {}
        }
    }

    fn layers(&self) -> BTreeMap<LayerKey, u64> {
        self.state.read(|model| {
            model.catalog.layers.iter().map(|(key, layer)| (key.clone(), layer.revision)).collect()
        })
    }

    fn doors(&self, targets: &BTreeSet<String>) -> Vec<Door> {
        if targets.is_empty() {
            return Vec::new();
        }
        let meant = |service: &str| targets.contains(ALL) || targets.contains(service);
        self.state.read(|model| {
            let instances = model.registry.all().filter(|instance| meant(&instance.service));
            instances.filter_map(|instance| door(instance)).collect()
        })
    }

    async fn tell(self: Arc<Self>, door: Door) {
        // The semaphore is never closed; were it, nobody would be told.
        let Ok(_slot) = self.slots.acquire().await else { return };
        let outcome = tokio::time::timeout(self.timeout, self.post(&door)).await;
        let (service, address) = (&door.service, door.address);
        match outcome {
            Ok(Ok(status)) if status.is_success() => {
                tracing::info!(service, %address, "an application refreshed its configuration");
            }
            Ok(Ok(status)) => {
                tracing::warn!(service, %address, %status, "an application refused to refresh its configuration");
            }
            Ok(Err(problem)) => {
                tracing::warn!(service, %address, problem, "an application could not be told to refresh");
            }
            Err(_) => tracing::warn!(service, %address, "an application took too long to refresh"),
        }
    }

    async fn post(&self, door: &Door) -> Result<http::StatusCode, String> {
        let stream = TcpStream::connect(door.address).await.map_err(|fault| fault.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())?;
        let mut request = Request::post(&door.path)
            .header(header::HOST, door.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, 0);
        if let Some(credentials) = &self.credentials {
            let authorization = authorization(credentials).map_err(|fault| fault.to_string())?;
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|fault| fault.to_string())?;
        let exchange = async { sender.send_request(request).await.map(|answer| answer.status()) };
        tokio::select! {
            answer = exchange => answer.map_err(|fault| fault.to_string()),
            _ = connection => Err("the connection ended".to_owned()),
        }
    }
}

/// Where an instance is told, if it says so. Only its own address is ever called.
fn door(instance: &Registered) -> Option<Door> {
    let said = |name| instance.metadata.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    let port: u16 = said(PORT)?.parse().ok().filter(|port| *port != 0)?;
    let context = said(CONTEXT).unwrap_or_default().trim_end_matches('/');
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    if !context.bytes().all(sound) || !(context.is_empty() || context.starts_with('/')) {
        return None;
    }
    let address = SocketAddr::new(instance.address.get().ip(), port);
    Some(Door { service: instance.service.to_string(), address, path: format!("{context}/actuator/refresh") })
}

/// Whom a file is meant for: its name, cut at each `-` from the right. `application` is everyone. Whoever
/// calls a webhook chooses the path, and each `-` of a long name would make another long name.
pub(crate) fn targets_of(path: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut targets = Vec::new();
    if name.len() > FILE_NAME {
        return targets;
    }
    let mut stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    loop {
        if (1..=SERVICE_NAME).contains(&stem.len()) {
            targets.push(if stem == EVERYONE { ALL.to_owned() } else { stem.to_owned() });
        }
        match stem.rsplit_once('-') {
            Some((shorter, _)) if !shorter.is_empty() => stem = shorter,
            _ => break,
        }
    }
    targets
}

/// The applications whose layers differ.
fn differing(before: &BTreeMap<LayerKey, u64>, now: &BTreeMap<LayerKey, u64>) -> BTreeSet<String> {
    let keys = before.keys().chain(now.keys());
    let differing = keys.filter(|key| before.get(*key) != now.get(*key));
    differing.flat_map(|key| targets_of(&format!("{}.yml", key.application))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use portreeve_config::wire::{Instance, InstanceStatus};

    use super::*;

    #[test]
    fn a_file_is_meant_for_what_its_name_begins_with() {
        for (path, expected) in [
            ("pay-core-dev.yml", &["pay-core-dev", "pay-core", "pay"][..]),
            ("a/b/application-dev.yml", &["application-dev", "*"]),
            ("application.properties", &["*"]),
            ("pay.yml", &["pay"]),
            ("README", &["README"]),
            (".yml", &[]),
        ] {
            assert_eq!(targets_of(path), expected, "{path}");
        }
    }

    #[test]
    fn a_name_of_many_parts_is_meant_for_no_more_than_services_can_be_called() {
        let began = std::time::Instant::now();
        let path = format!("{}.yml", "a-".repeat(500_000));
        assert!(targets_of(&path).is_empty());
        assert_eq!(targets_of(&format!("{}/pay.yml", "a-".repeat(500_000))), ["pay"]);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let targets = targets_of(&"a-".repeat(127));
        assert!(targets.iter().all(|target| target.len() <= 63), "{targets:?}");
        assert_eq!((targets.len(), targets.last().map(String::as_str)), (32, Some("a")));
        assert_eq!(targets_of(&format!("application-{}.yml", "x".repeat(60))), ["*"]);
    }

    #[test]
    fn only_an_instance_that_names_its_port_is_called_and_only_at_its_own_address() {
        let instance = |metadata: &[(&str, &str)]| Instance {
            service: "pay".to_owned(),
            id: "1".to_owned(),
            address: "10.0.0.7:8080".parse().unwrap(),
            status: InstanceStatus::Up,
            lease_ms: 30_000,
            metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let to = |metadata| {
            door(&Registered::from(instance(metadata))).map(|door| format!("{}{}", door.address, door.path))
        };
        assert_eq!(to(&[(PORT, "8081")]).as_deref(), Some("10.0.0.7:8081/actuator/refresh"));
        let with_context = to(&[(PORT, "8081"), (CONTEXT, "/manage/")]);
        assert_eq!(with_context.as_deref(), Some("10.0.0.7:8081/manage/actuator/refresh"));
        for refused in [&[][..], &[(PORT, "0")], &[(PORT, "x")], &[(PORT, "1"), (CONTEXT, "/a b")]] {
            assert_eq!(to(refused), None, "{refused:?}");
        }
        assert_eq!(to(&[(PORT, "1"), (CONTEXT, "@evil.example/")]), None);
    }
}
