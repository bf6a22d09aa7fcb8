//! What can be asked of the state, and why it may say no. Nothing here knows HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use portreeve_config::wire::{InstanceStatus, Revision};
use portreeve_config::{DesiredState, Faults, RouteConfig};

use crate::history::Entry;
use crate::registry::{Amendment, Holder, InstanceKey, Registered};
use crate::store::{LayerKey, StoreError, Values};

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    CreateRoute(Box<RouteConfig>),
    PutRoute(Box<RouteConfig>, Precondition),
    ReplaceRoutes(Vec<RouteConfig>, Precondition),
    RemoveRoute(String, Precondition),
    DeclareService(String),
    RemoveService(String),
    /// A holder ties the lease to its stream.
    Register(Box<Registered>, Option<Holder>),
    /// A client of Eureka registers, or another Eureka server tells of one that did (`replicated`).
    RegisterClient {
        instance: Box<Registered>,
        replicated: bool,
    },
    Amend(InstanceKey, Amendment),
    SetStatus(InstanceKey, InstanceStatus),
    /// With who asks on a stream: what another node holds cannot be taken out that way.
    Deregister(InstanceKey, Option<Holder>),
    /// Takes out those instances whose lease is still over when this is carried out.
    Expire(Vec<InstanceKey>),
    PutLayer(LayerKey, Values, Precondition),
    /// Merges; `None` removes a key.
    PatchLayer(LayerKey, BTreeMap<String, Option<String>>, Precondition),
    RemoveLayer(LayerKey, Precondition),
    /// Puts a whole desired state in the place of what is there.
    Apply(Box<DesiredState>, Precondition),
    /// Puts in force again what was so at a revision.
    Rollback(Revision, Precondition),
}

/// What came of a write.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The revision it is part of; the newest one where it changed nothing.
    pub(crate) revision: Revision,
    /// What it changed, or would change, of routes, services and configuration.
    pub(crate) entry: Option<Arc<Entry>>,
}

impl Command {
    /// Whether history keeps it. What instances do is not kept: they come and go by themselves.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(
            self,
            Self::Register(..)
                | Self::RegisterClient { .. }
                | Self::Amend(..)
                | Self::SetStatus(..)
                | Self::Deregister(..)
                | Self::Expire(..)
        )
    }
}

/// What must still be so for a write to count (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Nothing.
    None,
    /// It exists (`If-Match: *`).
    Exists,
    /// Its latest revision is one of these.
    OneOf(Vec<Revision>),
}

impl Precondition {
    /// Holds, or says what is there instead. `current` is `None` where there is nothing.
    pub(crate) fn check(&self, current: Option<Revision>) -> Result<(), Refusal> {
        let holds = match self {
            Self::None => true,
            Self::Exists => current.is_some(),
            Self::OneOf(revisions) => current.is_some_and(|current| revisions.contains(&current)),
        };
        if holds { Ok(()) } else { Err(Refusal::Changed(current)) }
    }
}

/// Why a write was refused. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Invalid(Faults),
    #[error("there is no {0} of this name")]
    Unknown(&'static str),
    #[error("a route named `{0}` exists already; PUT it to change it")]
    Duplicate(String),
    #[error("{0}")]
    InUse(String),
    #[error("node `{node}` holds this instance at {address}; give each instance its own id")]
    Held { node: String, address: SocketAddr },
    #[error("it was changed in the meantime{}", .0.map(|revision| format!("; its revision is {revision} now")).unwrap_or_default())]
    Changed(Option<Revision>),
    #[error("revision {revision} is no longer kept; the oldest one to go back to is {oldest}")]
    Forgotten { revision: Revision, oldest: Revision },
    #[error("there is no revision {revision} yet; the newest is {newest}")]
    NotYet { revision: Revision, newest: Revision },
    #[error("the disk has no room left; nothing was changed")]
    Full,
    #[error("the database cannot be written; nothing was changed")]
    Storage,
    #[error("{0}; nothing was changed")]
    TooLarge(String),
    #[error(
        "the store cannot be reached; nodes go on with what they know, and writes are taken again once it is back"
    )]
    Away,
    #[error("the control plane is stopping")]
    Stopping,
}

impl Refusal {
    /// What a client is told of a failed commit; the log has the file and the reason.
    pub(crate) fn of_store(fault: &StoreError) -> Self {
        match fault {
            StoreError::Full(_) => Self::Full,
            StoreError::Away(_) => Self::Away,
            StoreError::TooLarge(problem) => Self::TooLarge(problem.clone()),
            _ => Self::Storage,
        }
    }
}
