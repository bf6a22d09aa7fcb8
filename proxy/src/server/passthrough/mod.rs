//! Connections that are not HTTP: where one goes is decided by the name its TLS greeting asks for, and its bytes are
//! passed on as they come.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod greeting;
mod relay;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portreeve_config::TcpForward;
use tokio::io::AsyncWriteExt;

use super::entrance::{Accepted, Speaks};
use super::proxy_protocol;
use super::stream::Socket;
use super::upstream::reach;
use super::worker::Worker;
use crate::metrics::{PlaneStats, Refusal};
use crate::policy::balance::Endpoint;

/// Where connections of one listener go.
#[derive(Debug)]
pub(crate) struct Forwards(Vec<Forward>);

#[derive(Debug)]
struct Forward {
    /// In lower case; empty takes every connection.
    names: Vec<String>,
    service: String,
}

impl Forwards {
    pub(super) fn compile(settings: &[TcpForward]) -> Self {
        let forward = |one: &TcpForward| Forward {
            names: one.sni.iter().map(|name| name.to_ascii_lowercase()).collect(),
            service: one.service.clone(),
        };
        Self(settings.iter().map(forward).collect())
    }

    /// The service that takes a connection when the first forward takes all: nothing has to be read for it.
    fn only_service(&self) -> Option<&str> {
        self.0.first().filter(|first| first.names.is_empty()).map(|first| first.service.as_str())
    }

    /// The service of the first forward that fits.
    fn service(&self, name: Option<&str>) -> Option<&str> {
        let name = name.map(str::to_ascii_lowercase);
        let fits = |forward: &&Forward| match &name {
            _ if forward.names.is_empty() => true,
            Some(name) => forward.names.iter().any(|pattern| is_named(name, pattern)),
            None => false,
        };
        self.0.iter().find(fits).map(|forward| forward.service.as_str())
    }
}

/// Whether `pattern` is the name, or stands for it with a wildcard for its first label.
fn is_named(name: &str, pattern: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == parent),
        None => name == pattern,
    }
}

/// Serves one connection to its end. Goes on until the drain's deadline when the server stops.
pub(super) async fn serve(worker: Rc<Worker>, mut accepted: Accepted) {
    let (limits, entrance) = (worker.limits(), Arc::clone(&accepted.entrance));
    let Speaks::Tcp(forwards) = &entrance.speaks else { return };
    let (service, greeting) = match forwards.only_service() {
        Some(service) => (service, Vec::new()),
        None => {
            let reading = greeting::read(&mut accepted.socket);
            let Ok(Some(greeting)) = tokio::time::timeout(limits.header_timeout.get(), reading).await else {
                return worker.plane.stats.refused(Refusal::NoForward);
            };
            match forwards.service(greeting.name.as_deref()) {
                Some(service) => (service, greeting.bytes),
                None => return worker.plane.stats.refused(Refusal::NoForward),
            }
        }
    };
    let Some((mut instance, endpoint)) = connect(&worker, service, limits.connect_timeout.get()).await else {
        return worker.plane.stats.refused(Refusal::NoInstance);
    };
    let mut begin = match endpoint.dial.proxy_protocol {
        Some(version) => proxy_protocol::write(version, accepted.peer, accepted.local()),
        None => Vec::new(),
    };
    begin.extend(greeting);
    PlaneStats::count(&worker.plane.stats.relays);
    accepted.socket.set_nodelay();
    instance.set_nodelay();
    let times = relay::Times { idle: limits.idle_timeout.get(), age: limits.tunnel_age.get() };
    let begun = tokio::time::timeout(times.idle, instance.write_all(&begin)).await;
    if matches!(begun, Ok(Ok(()))) {
        relay::run(accepted.socket, instance, times, &worker.plane.stats).await;
    }
}

/// A connection to an instance of the service, each tried once, in turn.
async fn connect(worker: &Worker, service: &str, limit: Duration) -> Option<(Socket, Arc<Endpoint>)> {
    let pinned = worker.pin();
    let service = pinned.snapshot.service(service)?;
    let turn = service.turn();
    let mut tried = Vec::new();
    loop {
        let endpoint = service.pick(turn, &tried).filter(|one| !tried.contains(&one.number))?;
        match tokio::time::timeout(limit, reach(endpoint)).await {
            Ok(Ok(socket)) => {
                endpoint.succeeded();
                return Some((socket, Arc::clone(endpoint)));
            }
            outcome => {
                tracing::debug!(address = %endpoint.address, ?outcome, "no connection to an instance");
                PlaneStats::count(&worker.plane.stats.attempts_failed);
                endpoint.failed();
                tried.push(endpoint.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_first_forward_that_fits_counts() {
        let settings = serde_json::json!([
            {"sni": ["db.example", "*.DB.example"], "service": "db"},
            {"sni": ["a.db.example"], "service": "never"},
            {"service": "rest"},
        ]);
        let settings: Vec<TcpForward> = serde_json::from_value(settings).unwrap();
        let forwards = Forwards::compile(&settings);
        for (name, service) in [
            (Some("db.example"), "db"),
            (Some("A.db.EXAMPLE"), "db"),
            (Some("x.a.db.example"), "rest"),
            (Some(".db.example"), "rest"),
            (Some("other.example"), "rest"),
            (None, "rest"),
        ] {
            assert_eq!(forwards.service(name), Some(service), "{name:?}");
        }
        assert_eq!(forwards.only_service(), None, "the name has to be read");
        let named = Forwards::compile(&settings[..1]);
        assert_eq!((named.service(None), named.service(Some("no"))), (None, None));
        assert_eq!(Forwards::compile(&settings[2..]).only_service(), Some("rest"));
    }
}
