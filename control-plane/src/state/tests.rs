//! The state over a store that can be told to fail: all of a write happens, or nothing does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use portreeve_config::SeedConfig;
use portreeve_config::wire::{Instance, InstanceStatus, NodeKind};

use super::{Command, Refusal, State};
use crate::publisher::{Peer, Sending, Watcher};
use crate::registry::{Holder, InstanceKey, Registered};
use crate::store::{Commit, Contents, Store, StoreError};

/// Keeps nothing; counts transactions and fails while it is full.
#[derive(Clone, Default)]
struct Disk {
    full: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
}

impl Store for Disk {
    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(Contents::default())
    }

    fn commit(&mut self, commits: &[Commit]) -> Result<(), StoreError> {
        assert!(!commits.is_empty());
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full(PathBuf::from("disk")));
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn instance(id: &str) -> Box<Registered> {
    let instance = Instance {
        service: "orders".to_owned(),
        id: id.to_owned(),
        address: "127.0.0.1:4001".parse().unwrap(),
        status: InstanceStatus::Up,
        lease_ms: 60_000,
        metadata: Default::default(),
    };
    Box::new(instance.into())
}

fn next(state: &State, watcher: &Watcher) -> Poll<Sending> {
    let context = Context::from_waker(Waker::noop());
    watcher.poll_next(&context, state.publisher(), |take| state.read(take))
}

fn begin() -> (State, Disk) {
    let disk = Disk::default();
    (State::begin(disk.clone(), SeedConfig::default()).unwrap(), disk)
}

#[tokio::test]
async fn a_full_disk_refuses_and_changes_nothing() {
    let (state, disk) = begin();
    let key = InstanceKey::new("orders", "a");
    let gateway = Peer {
        node: "gateway".into(),
        kind: NodeKind::Gateway,
        scope: None,
        services: None,
        held: 0,
        owner: None,
    };
    let watcher = state.publisher().join(gateway);
    assert!(matches!(next(&state, &watcher), Poll::Ready(Sending::Lines(_))));
    disk.full.store(true, Ordering::SeqCst);
    let refused = state.write(Command::Register(instance("a"), None)).await;
    assert!(matches!(refused, Err(Refusal::Full)), "{refused:?}");
    assert_eq!(
        state.read(|model| (model.revision, model.registry.len(), model.catalog.services.len())),
        (0, 0, 0)
    );
    assert!(state.lease_age(&key).is_none());
    // What a watcher hears of it is nothing.
    assert!(next(&state, &watcher).is_pending());
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(state.write(Command::Register(instance("a"), None)).await.unwrap(), 1);
    assert!(state.lease_age(&key).is_some());
}

#[tokio::test]
async fn writes_that_wait_together_are_stored_together_and_in_order() {
    let (state, disk) = begin();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..500 {
        let state = state.clone();
        writes
            .spawn(async move { state.write(Command::Register(instance(&number.to_string()), None)).await });
    }
    let mut revisions: Vec<_> = writes.join_all().await.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=500).collect::<Vec<_>>());
    assert!(disk.commits.load(Ordering::SeqCst) <= 500);
}

#[tokio::test]
async fn a_registration_whose_stream_is_gone_gets_only_the_grace() {
    let (state, _disk) = begin();
    let holder = Holder { stream: 99, node: "gone".into() };
    state.write(Command::Register(instance("a"), Some(holder))).await.unwrap();
    assert!(state.lease_age(&InstanceKey::new("orders", "a")).unwrap().left <= super::GRACE);
}

#[tokio::test]
async fn within_one_group_the_second_host_of_an_id_is_refused_too() {
    let (state, _disk) = begin();
    let join = |node: &str| {
        let node: Arc<str> = node.into();
        let peer = Peer {
            node: node.clone(),
            kind: NodeKind::Sidecar,
            scope: None,
            services: None,
            held: 0,
            owner: None,
        };
        Holder { stream: state.publisher().join(peer).stream, node }
    };
    let (one, other) = (join("one"), join("other"));
    let mut moved = instance("a");
    moved.address = "127.0.0.1:4002".parse::<std::net::SocketAddr>().unwrap().into();
    let (first, second) = tokio::join!(
        state.write(Command::Register(instance("a"), Some(one))),
        state.write(Command::Register(moved, Some(other))),
    );
    assert!(first.is_ok() && matches!(second, Err(Refusal::Held { .. })), "{first:?} {second:?}");
}

#[tokio::test]
async fn after_the_end_writes_are_refused() {
    let (state, _disk) = begin();
    state.end().await;
    let refused = state.write(Command::DeclareService("orders".to_owned())).await;
    assert!(matches!(refused, Err(Refusal::Stopping)), "{refused:?}");
}
