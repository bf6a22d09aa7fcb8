//! Whose word on a status counts: the client's, an operator's, or what was so before.

use serde_json::json;

use crate::client::{call, changed, register, spring, start, status};
use crate::support::Plane;

const PATH: &str = "/eureka/apps/ORDERS/n1:orders:9001";

/// Registers with this status; each registration is newer than the one before it.
async fn says(plane: &Plane, word: &str, dirty: u64) {
    let fields = json!({"status": word, "lastDirtyTimestamp": 1_751_000_000_200 + dirty});
    assert_eq!(register(plane, &changed(spring("ORDERS", "n1", 9001), fields)).await.status, 204);
}

async fn seen(plane: &Plane) -> [String; 2] {
    let instance = call(plane, &format!("GET {PATH}")).await.json()["instance"].clone();
    ["status", "overriddenstatus"].map(|name| instance[name].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_operators_word_outlives_registrations_until_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    for line in [format!("PUT {PATH}/status?value=DOWN"), format!("DELETE {PATH}/status")] {
        assert_eq!(status(&plane, &line).await, 404, "{line}");
    }
    says(&plane, "UP", 0).await;
    assert_eq!(status(&plane, &format!("PUT {PATH}/status?value=OUT_OF_SERVICE")).await, 200);
    assert_eq!(seen(&plane).await, ["OUT_OF_SERVICE", "OUT_OF_SERVICE"]);
    assert_eq!(status(&plane, &format!("PUT {PATH}")).await, 200);
    says(&plane, "UP", 1).await;
    assert_eq!(seen(&plane).await, ["OUT_OF_SERVICE", "OUT_OF_SERVICE"]);
    says(&plane, "STARTING", 2).await;
    assert_eq!(seen(&plane).await, ["STARTING", "OUT_OF_SERVICE"], "a client that is not ready is not");
    says(&plane, "UP", 3).await;
    assert_eq!(seen(&plane).await, ["OUT_OF_SERVICE", "OUT_OF_SERVICE"]);

    assert_eq!(status(&plane, &format!("DELETE {PATH}/status")).await, 200);
    assert_eq!(seen(&plane).await, ["UNKNOWN", "UNKNOWN"]);
    assert_eq!(status(&plane, &format!("PUT {PATH}")).await, 404, "it must say what it is");
    says(&plane, "UP", 4).await;
    assert_eq!(seen(&plane).await, ["UP", "UNKNOWN"]);
    assert_eq!(status(&plane, &format!("PUT {PATH}")).await, 200);
}

#[tokio::test]
async fn taking_a_word_back_can_say_what_comes_instead() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    says(&plane, "UP", 0).await;
    status(&plane, &format!("PUT {PATH}/status?value=DOWN&lastDirtyTimestamp=1751000000900")).await;
    let instance = call(&plane, &format!("GET {PATH}")).await.json()["instance"].clone();
    assert_eq!(
        (&instance["lastDirtyTimestamp"], &instance["actionType"]),
        (&json!("1751000000900"), &json!("MODIFIED"))
    );
    assert_eq!(status(&plane, &format!("DELETE {PATH}/status?value=UP")).await, 200);
    assert_eq!(seen(&plane).await, ["UP", "UNKNOWN"]);
    assert_eq!(status(&plane, &format!("DELETE {PATH}/status?value=DOWN")).await, 200);
    assert_eq!(seen(&plane).await, ["UP", "UNKNOWN"], "there was no word to take back");
}

#[tokio::test]
async fn a_registration_does_not_leave_what_was_so_before() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    for (dirty, said, expected) in [
        (0, "STARTING", "STARTING"),
        (1, "UP", "UP"),
        (2, "OUT_OF_SERVICE", "UP"),
        (3, "DOWN", "DOWN"),
        (4, "OUT_OF_SERVICE", "OUT_OF_SERVICE"),
        (5, "UP", "OUT_OF_SERVICE"),
        (6, "sleepy", "UNKNOWN"),
        (7, "UP", "UP"),
    ] {
        says(&plane, said, dirty).await;
        assert_eq!(seen(&plane).await[0], expected, "{said}");
    }
}

#[tokio::test]
async fn a_status_that_there_is_not_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plane = start(folder.path()).await;
    says(&plane, "UP", 0).await;
    for line in [
        format!("PUT {PATH}/status"),
        format!("PUT {PATH}/status?value="),
        format!("PUT {PATH}/status?value=sideways"),
        format!("DELETE {PATH}/status?value=sideways"),
    ] {
        assert_eq!(status(&plane, &line).await, 500, "{line}");
    }
    assert_eq!(seen(&plane).await, ["UP", "UNKNOWN"]);
}
