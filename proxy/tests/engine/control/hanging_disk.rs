//! What is kept of the state is written beside everything else: a disk that hangs holds up no change.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use portreeve_config::wire::NodeMessage;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{Stream, begin, change, route, snapshot, status};
use crate::client::limited;
use crate::origin::Origin;

/// Longer than a state rests in memory before it is written.
const LONG_ENOUGH: Duration = Duration::from_millis(600);

/// Opening it for writing waits until somebody reads.
struct HangingFile(PathBuf);

impl HangingFile {
    fn at(path: PathBuf) -> Self {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        Self(path)
    }

    /// Lets the writer go on; gives what it writes.
    async fn read(self) -> String {
        limited(tokio::task::spawn_blocking(move || std::fs::read_to_string(self.0))).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::saying("ok").await;
    let (gateway, listener) = begin(folder.path()).await;
    let fresh = format!("tested.snapshot.json.{}.new", std::process::id());
    let hanging = HangingFile::at(folder.path().join(fresh));
    let mut stream = Stream::accept(&listener).await;
    stream.says_hello().await;
    stream.say(snapshot(1, vec![route("a", "/a")], &[&origin])).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 1 });

    let (began, mut revision) = (Instant::now(), 1);
    while began.elapsed() < LONG_ENOUGH {
        revision += 1;
        let path = format!("/b{revision}");
        stream.say(change(revision, "route_put", route("b", &path))).await;
        assert_eq!(stream.hear().await, NodeMessage::Ack { revision });
        assert_eq!(status(&gateway, &path).await, 200);
    }
    let first = hanging.read().await;
    assert!(first.contains("\"revision\":"), "nothing was being written meanwhile: {first}");
    gateway.shutdown().await;
    let kept = std::fs::read_to_string(folder.path().join("tested.snapshot.json")).unwrap();
    assert!(kept.contains(&format!("\"revision\":{revision},")), "the newest is kept at the end: {kept}");
}
