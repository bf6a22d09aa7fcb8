//! Instances that are found by name: they come, move and go while requests run, and no request fails for it.

use std::time::Duration;

use hickory_proto::rr::RecordType;
use portreeve_proxy::Gateway;
use serde_json::{Value, json};

use crate::client::{get, limited, until};
use crate::dns::{Dns, Says, srv, weighted};
use crate::origin::{Origin, Reply, ok};
use crate::reload::Load;
use crate::stage::{config, everything, parsed, start, with};

/// A gateway's configuration with these endpoints, whose names this server knows.
fn named(dns: &Dns, endpoints: Value) -> Value {
    let named = with(config(&[], everything()), "services", json!({"s": {"endpoints": endpoints}}));
    with(named, "dns", json!({"servers": [dns.address.to_string()]}))
}

/// Two origins with one port, at 127.0.0.1 and 127.0.0.2.
async fn twins() -> (Origin, Origin) {
    let left = Origin::saying("left").await;
    let right = Origin::start_at(([127, 0, 0, 2], left.address.port()).into(), |_| Reply::Keep(ok("right")));
    (left, right.await)
}

async fn status(gateway: &Gateway) -> u16 {
    get(gateway.local_addrs().listen, "/").await.status
}

/// Waits until the name server was asked about a name this many times more.
async fn asked_again(dns: &Dns, name: &str, more: usize) {
    let goal = dns.asked(name) + more;
    until("the name is looked up again", || dns.asked(name) >= goal).await;
}

#[tokio::test]
async fn turns_follow_the_weights_of_srv_records() {
    let (much, little) = (Origin::saying("much").await, Origin::saying("little").await);
    let dns = Dns::start().await;
    dns.addresses("host.test", 60, &["127.0.0.1"]);
    let records = |much_weight: u16| {
        let target = |weight, origin: &Origin| weighted((1, weight), origin.address.port(), "host.test.");
        Says::Records(1, vec![target(much_weight, &much), target(10, &little), srv(2, 1, "host.test.")])
    };
    dns.says("_http._tcp.shop.test", RecordType::SRV, records(30));
    let gateway = start(named(&dns, json!(["srv:_http._tcp.shop.test"]))).await;
    for _ in 0..40 {
        assert_eq!(status(&gateway).await, 200);
    }
    assert_eq!((much.count(), little.count()), (30, 10));
    // Nothing but a weight has changed.
    dns.says("_http._tcp.shop.test", RecordType::SRV, records(10));
    asked_again(&dns, "_http._tcp.shop.test", 2).await;
    let before = (much.count(), little.count());
    for _ in 0..20 {
        assert_eq!(status(&gateway).await, 200);
    }
    assert_eq!((much.count() - before.0, little.count() - before.1), (10, 10));
    gateway.shutdown().await;
}

#[tokio::test]
async fn records_change_under_load_and_failures_keep_the_last_good_answer() {
    let (left, right) = twins().await;
    let dns = Dns::start().await;
    dns.addresses("shop.test", 1, &["127.0.0.1"]);
    let gateway = start(named(&dns, json!([format!("shop.test:{}", left.address.port())]))).await;
    let load = Load::on(&gateway);
    load.goes_on(20).await;
    assert_eq!((left.count() >= 20, right.count()), (true, 0));

    dns.addresses("shop.test", 1, &["127.0.0.2", "127.0.0.1"]);
    until("the new instance has its turns", || right.count() > 20).await;
    dns.addresses("shop.test", 1, &["127.0.0.2"]);
    let mut last = (left.count(), right.count());
    until("the old instance is asked no more", || {
        let now = (left.count(), right.count());
        if now.0 != last.0 {
            last = now;
        }
        now.1 > last.1 + 50
    })
    .await;
    for says in [Says::Fails, Says::NoName, Says::Garbage] {
        dns.always(Some(says));
        asked_again(&dns, "shop.test", 2).await;
        load.goes_on(20).await;
    }
    load.end().await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_reload_keeps_names_that_stay_and_ends_the_lookups_of_others() {
    let (left, _right) = twins().await;
    let port = left.address.port();
    let dns = Dns::start().await;
    dns.addresses("shop.test", 1, &["127.0.0.1"]);
    dns.addresses("other.test", 1, &["127.0.0.2"]);
    let both = json!([format!("shop.test:{port}"), format!("other.test:{port}")]);
    let gateway = start(named(&dns, both)).await;
    let load = Load::on(&gateway);
    load.goes_on(10).await;

    dns.always(Some(Says::Silence));
    let only = named(&dns, json!([format!("SHOP.test:{port}")]));
    gateway.reload(parsed(only.clone())).await.unwrap();
    load.goes_on(20).await;
    dns.always(None);
    asked_again(&dns, "shop.test", 4).await;
    let before = dns.asked("other.test");
    asked_again(&dns, "shop.test", 4).await;
    assert_eq!(dns.asked("other.test"), before, "nobody depends on it any more");

    // From addresses to names and back, without a gap.
    for _ in 0..3 {
        gateway.reload(parsed(named(&dns, json!([left.address.to_string()])))).await.unwrap();
        gateway.reload(parsed(only.clone())).await.unwrap();
        load.goes_on(10).await;
    }
    load.end().await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refused_file_leaves_names_as_they_are() {
    let (left, _right) = twins().await;
    let dns = Dns::start().await;
    dns.addresses("shop.test", 1, &["127.0.0.1"]);
    let good = named(&dns, json!([format!("shop.test:{}", left.address.port())]));
    let gateway = start(good.clone()).await;
    let mut bad = named(&dns, json!(["new.test:80", "127.1:80"]));
    bad["dns"] = json!({"servers": ["here"]});
    let faults = gateway.reload(parsed(bad)).await.unwrap_err();
    let places: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(places, ["dns.servers[0]", "services.s.endpoints[1]"]);
    asked_again(&dns, "shop.test", 2).await;
    assert_eq!((status(&gateway).await, dns.asked("new.test")), (200, 0));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_service_whose_name_leads_nowhere_has_no_instance_until_it_does() {
    let (left, _right) = twins().await;
    let dns = Dns::start().await;
    let gateway = start(named(&dns, json!([format!("shop.test:{}", left.address.port())]))).await;
    get(gateway.local_addrs().listen, "/").await.problem(503, "no_instance");
    dns.addresses("shop.test", 1, &["127.0.0.1"]);
    limited(async { while status(&gateway).await != 200 {} }).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn addresses_names_and_srv_records_make_one_service() {
    let origins = [Origin::saying("a").await, Origin::saying("b").await, Origin::saying("c").await];
    let last = Origin::saying("last resort").await;
    let port = |origin: &Origin| origin.address.port();
    let dns = Dns::start().await;
    dns.addresses("shop.test", 60, &["127.0.0.1"]);
    let records = vec![srv(5, port(&origins[2]), "shop.test."), srv(9, port(&last), "shop.test.")];
    dns.says("_http._tcp.shop.test", RecordType::SRV, Says::Records(60, records));
    let endpoints = json!([
        origins[0].address.to_string(),
        format!("shop.test:{}", port(&origins[1])),
        "srv:_http._tcp.shop.test",
    ]);
    let gateway = start(named(&dns, endpoints)).await;
    for _ in 0..9 {
        assert_eq!(status(&gateway).await, 200);
    }
    assert_eq!(origins.each_ref().map(Origin::count), [3, 3, 3]);
    assert_eq!(last.count(), 0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_name_server_that_is_silent_does_not_keep_a_gateway_from_starting() {
    let origin = Origin::saying("ok").await;
    let dns = Dns::start().await;
    dns.always(Some(Says::Silence));
    let began = std::time::Instant::now();
    let gateway = start(named(&dns, json!(["shop.test:80", origin.address.to_string()]))).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(status(&gateway).await, 200);
    gateway.shutdown().await;
    let asked = dns.asked("shop.test");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(dns.asked("shop.test") <= asked + 1, "lookups end with the gateway");
}
