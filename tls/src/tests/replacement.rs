//! Files that change while connections are accepted.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portreeve_config::CertificateConfig;
use tokio::time::{Instant, sleep};

use super::material::{Authority, Folder, Leaf, meet, settings};
use crate::watch::watch;
use crate::{Acceptor, Tickets};

/// Waits for what must come to be; a machine under load takes its time.
pub(super) async fn until(mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < limit, "it did not come to be");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn shows(acceptor: &Acceptor, authority: &Authority, expected: &Leaf) {
    let met = meet(acceptor, &Arc::new(authority.client()), "a.example").await;
    assert_eq!(met.client.unwrap().leaf, expected.der());
}

#[tokio::test]
async fn a_changed_pair_is_shown() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let acceptor =
        Acceptor::new(&settings(vec![folder.pair("a", &authority.leaf(&["a.example"]))]), &Tickets::new());
    let acceptor = acceptor.unwrap();
    assert_eq!(acceptor.version(), 1);
    // Written in place, then renamed over.
    let second = authority.leaf(&["a.example"]);
    folder.pair("a", &second);
    until(|| acceptor.version() >= 2).await;
    shows(&acceptor, &authority, &second).await;
    let third = authority.leaf(&["a.example"]);
    let new = folder.pair("new", &third);
    fs::rename(new.key, folder.path("a.key")).unwrap();
    fs::rename(new.certificate, folder.path("a.crt")).unwrap();
    until(|| acceptor.version() >= 3).await;
    shows(&acceptor.clone(), &authority, &third).await;
}

#[tokio::test]
async fn a_pair_with_faults_keeps_the_former_and_its_completion_takes_effect() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let first = authority.leaf(&["a.example"]);
    let config = settings(vec![folder.pair("a", &first)]);
    let acceptor = Acceptor::new(&config, &Tickets::new()).unwrap();
    let second = authority.leaf(&["a.example"]);
    folder.write("a.crt", &second.certificate);
    for bad in ["", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n", &first.certificate] {
        let refused = acceptor.refused();
        folder.write("a.key", bad);
        until(|| acceptor.refused() > refused).await;
        shows(&acceptor, &authority, &first).await;
    }
    assert_eq!(acceptor.version(), 1);
    fs::remove_file(folder.path("a.key")).unwrap();
    shows(&acceptor, &authority, &first).await;
    folder.write("a.key", &second.key);
    until(|| acceptor.version() == 2).await;
    shows(&acceptor, &authority, &second).await;
}

#[tokio::test]
async fn a_swapped_link_takes_effect() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let leaves =
        [authority.leaf(&["a.example"]), authority.leaf(&["a.example"]), authority.leaf(&["a.example"])];
    // As a mounted secret lies there: a.crt -> ..data/a.crt, ..data -> ..1
    for (index, leaf) in leaves.iter().enumerate() {
        fs::create_dir(folder.path(&format!("..{index}"))).unwrap();
        folder.pair(&format!("..{index}/a"), leaf);
    }
    symlink("..0", folder.path("..data")).unwrap();
    for name in ["a.crt", "a.key"] {
        symlink(format!("..data/{name}"), folder.path(name)).unwrap();
    }
    // And reached through one more link, in another folder.
    let outside = Folder::new();
    symlink(folder.0.path(), outside.path("mounted")).unwrap();
    let mounted = outside.path("mounted");
    let pair =
        CertificateConfig { certificate: mounted.join("a.crt"), key: mounted.join("a.key"), ocsp: None };
    let acceptor = Acceptor::new(&settings(vec![pair]), &Tickets::new()).unwrap();
    shows(&acceptor, &authority, &leaves[0]).await;
    for (index, leaf) in leaves.iter().enumerate().skip(1) {
        symlink(format!("..{index}"), folder.path("..data_tmp")).unwrap();
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        fs::remove_dir_all(folder.path(&format!("..{}", index - 1))).unwrap();
        until(|| acceptor.version() == 1 + index as u64).await;
        shows(&acceptor, &authority, leaf).await;
    }
    let elsewhere = Folder::new();
    let moved = authority.leaf(&["a.example"]);
    elsewhere.pair("a", &moved);
    symlink(elsewhere.0.path(), outside.path("mounted_tmp")).unwrap();
    fs::rename(outside.path("mounted_tmp"), &mounted).unwrap();
    until(|| acceptor.version() == 4).await;
    shows(&acceptor, &authority, &moved).await;
    // The folder that the link leads to now is watched as well.
    let last = authority.leaf(&["a.example"]);
    elsewhere.pair("a", &last);
    until(|| acceptor.version() == 5).await;
    shows(&acceptor, &authority, &last).await;
}

#[tokio::test]
async fn the_watch_ends_when_nobody_wants_it() {
    let folder = Folder::new();
    let (wanted, held) = (Arc::new(AtomicBool::new(true)), Arc::new(()));
    let look = {
        let (wanted, held) = (Arc::clone(&wanted), Arc::clone(&held));
        move || {
            let _ = &held;
            if wanted.load(Ordering::Relaxed) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    };
    let wake = watch(vec![folder.path("a.crt")], look).unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    wanted.store(false, Ordering::Relaxed);
    wake.send(()).unwrap();
    until(|| Arc::strong_count(&held) == 1).await;
}
