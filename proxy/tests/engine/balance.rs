//! Who is asked: the instance a key belongs to, as long as it is there.

use std::collections::BTreeMap;

use serde_json::json;

use crate::origin::Origin;
use crate::stage::{ask, config, start};

#[tokio::test]
async fn equal_keys_meet_the_same_instance_and_no_key_takes_its_turn() {
    let (left, right) = (Origin::saying("left").await, Origin::saying("right").await);
    let routes = json!([{"name": "all", "match": {"path": "/*"}, "service": "s",
        "balance": {"consistent_hash": "X-Session"}}]);
    let gateway = start(config(&[&left, &right], routes)).await;
    let mut owners = BTreeMap::new();
    for session in 0..20 {
        for _ in 0..3 {
            let answer = ask(&gateway, "GET", "/", &format!("x-session: {session}\r\n")).await;
            let owner = owners.entry(session).or_insert_with(|| answer.text().to_owned());
            assert_eq!(answer.text(), owner, "session {session}");
        }
    }
    assert!(owners.values().any(|owner| owner == "left") && owners.values().any(|owner| owner == "right"));
    let first = ask(&gateway, "GET", "/", "").await;
    assert_ne!(ask(&gateway, "GET", "/", "").await.text(), first.text(), "without the field it takes turns");

    drop(left);
    for session in 0..20 {
        let answer = ask(&gateway, "GET", "/", &format!("x-session: {session}\r\n")).await;
        assert_eq!((answer.status, answer.text()), (200, "right"));
    }
    gateway.shutdown().await;
}
