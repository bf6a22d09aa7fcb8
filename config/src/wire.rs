//! What nodes (gateways, sidecars) and the control plane say to each other.
//!
//! One node keeps one stream: a request `POST /v1/stream` that asks to go over to [`STREAM_PROTOCOL`] (`Upgrade`,
//! RFC 9110, section 7.8) and whose body is a [`NodeMessage::Hello`]. After the answer 101 both sides say a JSON object
//! a line for as long as the node lives, with nothing of HTTP around it: the node [`NodeMessage`]s, the control plane
//! [`ControlMessage`]s. A node is told a whole [`Snapshot`] first (or [`ControlMessage::Resumed`], where it missed
//! little), then [`Change`]s, each of which it acknowledges or refuses.
//! Fields that a receiver does not know are skipped, so that old and new versions can meet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Fault, RouteConfig, UpstreamProtocol};

/// A point in the control plane's history. Every accepted write makes the next one; they never go back.
pub type Revision = u64;

/// The path of the stream between a node and the control plane.
pub const STREAM_PATH: &str = "/v1/stream";

/// What a stream is called in `Upgrade`, by both sides.
pub const STREAM_PROTOCOL: &str = "portreeve-stream";

/// What kind of node is at the other end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A gateway: wants routes and every service's instances.
    Gateway,
    /// A sidecar: wants every service's instances and its own configuration, and holds one instance's lease.
    Sidecar,
}

/// What an instance does with new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceStatus {
    /// Takes requests.
    Up,
    /// Registered and not ready yet.
    Starting,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// Out of order by its own word or an operator's.
    Down,
}

/// One running copy of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// The service it belongs to.
    pub service: String,
    /// Its name, unique within the service: 1 to 253 printable characters, no `/`.
    pub id: String,
    /// Where requests for it go (its sidecar's inbound address).
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Whether it takes requests.
    pub status: InstanceStatus,
    /// How long it stays registered without a sign of life, in milliseconds: 1,000 to 600,000.
    pub lease_ms: u64,
    /// Anything else worth knowing about it: at most 64 entries and 16 KiB.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Instance {
    /// The key in `metadata` that says what is spoken at `address`: `http2` without TLS; HTTP/1.1 without the key.
    pub const PROTOCOL: &'static str = "protocol";

    /// What is spoken at `address`.
    pub fn protocol(&self) -> UpstreamProtocol {
        match self.metadata.get(Self::PROTOCOL).map(String::as_str) {
            Some("http2") => UpstreamProtocol::Http2,
            _ => UpstreamProtocol::Auto,
        }
    }
}

/// From a node to the control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NodeMessage {
    /// Who is calling: the body of the request for the stream.
    Hello {
        /// The node's name, unique among nodes.
        node: String,
        /// What it is.
        kind: NodeKind,
        /// For a sidecar: the application and profile whose configuration it wants.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config: Option<ConfigScope>,
        /// The newest revision the node holds, 0 for none.
        #[serde(default)]
        revision: Revision,
        /// Whose revision that is, as the last snapshot said. With both, the control plane may send what was missed
        /// instead of a snapshot.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        epoch: String,
        /// The services it wants to hear of, 1,024 at most; all when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        services: Option<Vec<String>>,
    },
    /// Registers an instance, or replaces what was said of it. Its lease now hangs on this stream: each line
    /// received renews it, and when the stream breaks it ends after a short grace.
    Register(Instance),
    /// A sign of life; renews the leases of this stream.
    Renew,
    /// Takes an instance out of the registry for good.
    Deregister {
        /// Its service.
        service: String,
        /// Its name.
        id: String,
    },
    /// Everything up to this revision is in force here.
    Ack {
        /// The revision.
        revision: Revision,
    },
    /// This revision could not be put in force; the last good one stays.
    Nack {
        /// The revision.
        revision: Revision,
        /// Why.
        faults: Vec<Fault>,
    },
}

/// Whose configuration a sidecar asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigScope {
    /// The application (the service's name).
    pub application: String,
    /// The profile; its layer lies over `default`.
    pub profile: String,
}

/// From the control plane to a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ControlMessage {
    /// Everything the node asked for, as of one revision. Replaces what it had.
    Snapshot(Snapshot),
    /// The node holds what it needs as of a revision; what it missed since follows as changes.
    Resumed {
        /// The revision that the node said.
        revision: Revision,
        /// The merged configuration as it is now (sidecars only).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config: Option<BTreeMap<String, String>>,
    },
    /// One step further.
    Change(Change),
    /// The node's registration or deregistration is stored and published.
    Registered {
        /// The revision it got.
        revision: Revision,
    },
    /// A message of the node was refused; the stream goes on.
    Refused {
        /// What was wrong with it.
        faults: Vec<Fault>,
    },
    /// Nothing new; says that the control plane is alive (there is a line at least every two seconds).
    Ping {
        /// The newest revision.
        revision: Revision,
    },
}

/// The whole state that a node works with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// As of which revision.
    pub revision: Revision,
    /// Whose revision that is. Revisions of different epochs have nothing to do with each other.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub epoch: String,
    /// All routes, in order of name (gateways only).
    #[serde(default)]
    pub routes: Vec<RouteConfig>,
    /// All known services, also those without instances.
    #[serde(default)]
    pub services: Vec<String>,
    /// All instances, whatever their status.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// The merged configuration (sidecars only).
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// What happened in one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The revision after it.
    pub revision: Revision,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", content = "of", rename_all = "snake_case")]
pub enum Event {
    /// A route was added or replaced.
    RoutePut(Box<RouteConfig>),
    /// A route of this name was removed.
    RouteRemoved(String),
    /// A service of this name became known.
    ServicePut(String),
    /// A service of this name is no longer known.
    ServiceRemoved(String),
    /// An instance was registered, or its status or address changed.
    InstancePut(Instance),
    /// An instance is gone.
    InstanceRemoved {
        /// Its service.
        service: String,
        /// Its name.
        id: String,
    },
    /// The node's merged configuration is now this (sidecars only).
    Config(BTreeMap<String, String>),
}

impl Snapshot {
    /// Puts one change on top, so that applying every change in turn gives what a new snapshot would say.
    pub fn apply(&mut self, change: Change) {
        self.revision = change.revision;
        for event in change.events {
            self.apply_event(event);
        }
    }

    fn apply_event(&mut self, event: Event) {
        match event {
            Event::RoutePut(route) => match self.routes.binary_search_by(|r| r.name.cmp(&route.name)) {
                Ok(at) => self.routes[at] = *route,
                Err(at) => self.routes.insert(at, *route),
            },
            Event::RouteRemoved(name) => self.routes.retain(|route| route.name != name),
            Event::ServicePut(name) => {
                if let Err(at) = self.services.binary_search(&name) {
                    self.services.insert(at, name);
                }
            }
            Event::ServiceRemoved(name) => self.services.retain(|service| *service != name),
            Event::InstancePut(instance) => {
                let known =
                    self.instances.iter_mut().find(|i| i.service == instance.service && i.id == instance.id);
                match known {
                    Some(known) => *known = instance,
                    None => self.instances.push(instance),
                }
            }
            Event::InstanceRemoved { service, id } => {
                self.instances.retain(|i| i.service != service || i.id != id);
            }
            Event::Config(config) => self.config = config,
        }
    }
}
