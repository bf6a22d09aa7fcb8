//! A stream that has ended, or has only fallen silent, is begun again from what the gateway holds.

use portreeve_config::wire::NodeMessage;
use serde_json::json;

use super::{Stream, begin, change, route, snapshot, status};
use crate::origin::Origin;
use crate::stage::with;

#[tokio::test]
async fn after_a_break_it_goes_on_from_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (origin, (gateway, listener)) = (Origin::saying("here").await, begin(folder.path()).await);
    let held = async |stream: &mut Stream| match stream.hear().await {
        NodeMessage::Hello { revision, epoch, services: None, .. } => (revision, epoch),
        other => panic!("{other:?}"),
    };
    let mut stream = Stream::accept(&listener).await;
    assert_eq!(held(&mut stream).await, (0, String::new()));
    let whole = snapshot(5, vec![route("a", "/a")], &[&origin]);
    stream.say(with(whole, "epoch", json!("first"))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 5 });
    drop(stream);
    let mut stream = Stream::accept(&listener).await;
    assert_eq!(held(&mut stream).await, (5, "first".to_owned()));
    stream.say(json!({"type": "resumed", "revision": 5})).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 5 });
    stream.say(change(6, "route_put", route("b", "/b"))).await;
    assert_eq!(stream.hear().await, NodeMessage::Ack { revision: 6 });
    assert_eq!((status(&gateway, "/a").await, status(&gateway, "/b").await), (200, 200));
    // Going on does not make good what was refused.
    stream.say(change(7, "route_put", route("c", "no slash"))).await;
    assert!(matches!(stream.hear().await, NodeMessage::Nack { revision: 7, .. }));
    drop(stream);
    let mut stream = Stream::accept(&listener).await;
    assert_eq!(held(&mut stream).await, (7, "first".to_owned()));
    stream.say(json!({"type": "resumed", "revision": 7})).await;
    assert!(matches!(stream.hear().await, NodeMessage::Nack { revision: 7, .. }));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_control_plane_that_falls_silent_is_called_again() {
    let folder = tempfile::tempdir().unwrap();
    let (origin, (gateway, listener)) = (Origin::saying("here").await, begin(folder.path()).await);
    let mut silent = Stream::accept(&listener).await;
    assert_eq!(silent.says_hello().await, 0);
    silent.say(snapshot(3, vec![route("a", "/a")], &[&origin])).await;
    assert_eq!(silent.hear().await, NodeMessage::Ack { revision: 3 });
    // The connection stays, and the gateway goes on saying that it is there.
    let mut again = Stream::accept(&listener).await;
    assert_eq!(again.says_hello().await, 3);
    gateway.shutdown().await;
}
