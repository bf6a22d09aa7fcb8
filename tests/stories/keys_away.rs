//! The auth service is away: tokens that are known stay good, a gateway that starts says what it waits for, and it
//! takes the keys as soon as they can be had.

use crate::demo::{Demo, eventually};

#[tokio::test]
async fn without_the_key_server_nothing_is_let_in_and_nothing_needs_a_restart() {
    let mut demo = Demo::start().await;
    let alice = demo.user("alice").await;
    alice.get("/products").await.expect(200);
    let auth = demo.kill(&["sidecar", "auth"]).await;
    alice.get("/products").await.expect(200);
    let gone = demo.gateway().get("/auth/signIn?user_id=alice").await;
    assert!(gone.status == 502 || gone.status == 503, "{gone:?}");
    gone.expect_problem(gone.status.as_u16());

    let gateway = demo.kill(&["gateway"]).await;
    demo.start_again(&gateway);
    eventually("the gateway is there", async || alice.try_send("GET", "/products", None).await.is_ok()).await;
    let problem = alice.get("/products").await.expect_problem(503);
    assert_eq!(problem["reason"], "keys_unavailable", "{problem}");
    demo.gateway().get("/products").await.expect_problem(401);

    demo.start_again(&auth);
    eventually("the keys are there", async || alice.get("/products").await.status == 200).await;
    demo.stop().await;
}
