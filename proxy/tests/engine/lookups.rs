//! What becomes of a name server's word, true or false: `portreeve_proxy::names` against a real one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::rr::{RData, RecordType};
use portreeve_proxy::names::{Name, Names};

use crate::client::limited;
use crate::dns::{Dns, Says, srv};

fn host(name: &str) -> Name {
    Name::Host(name.into())
}

async fn following(dns: &Dns, names: &[Name]) -> Names {
    let mut followed = Names::default();
    let names: BTreeSet<Name> = names.iter().cloned().collect();
    limited(followed.follow(&[dns.address], names)).await;
    followed
}

/// Where a name leads, at port 80 unless its records say otherwise.
fn shown(names: &Names, name: &Name) -> Vec<String> {
    let text = |(address, other): (SocketAddr, Option<SocketAddr>)| match other {
        Some(other) => format!("{address} or {other}"),
        None => address.to_string(),
    };
    names.answer(name).unwrap().instances(80).map(|(ends, _)| ends).map(text).collect()
}

#[tokio::test]
async fn both_families_are_asked_and_paired() {
    let dns = Dns::start().await;
    dns.addresses("shop.test", 60, &["::2", "10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"]);
    dns.addresses("six.test", 60, &["::1"]);
    let names = following(&dns, &[host("shop.test"), host("six.test.")]).await;
    let pairs = ["10.0.0.3:80", "[::1]:80 or 10.0.0.1:80", "[::2]:80 or 10.0.0.2:80"];
    assert_eq!(shown(&names, &host("shop.test")), pairs);
    assert_eq!(shown(&names, &host("six.test.")), ["[::1]:80"]);
    assert!(names.answer(&host("other.test")).is_none());
}

#[tokio::test]
async fn a_name_server_that_never_answers_about_ipv6_delays_nothing_for_long() {
    let dns = Dns::start().await;
    dns.addresses("shop.test", 60, &["10.0.0.1"]);
    dns.says("shop.test", RecordType::AAAA, Says::Silence);
    let mut names = following(&dns, &[host("shop.test")]).await;
    // On a slow machine the first answer may come after the time that new names are given.
    if shown(&names, &host("shop.test")).is_empty() {
        limited(names.changed()).await;
    }
    assert_eq!(shown(&names, &host("shop.test")), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn records_are_followed_when_they_expire_and_aliases_with_them() {
    let dns = Dns::start().await;
    let ip = |text: &str| vec![RData::A(text.parse().unwrap())];
    dns.addresses("shop.test", 0, &[]);
    dns.says("shop.test", RecordType::A, Says::Alias(1, "real.test.", 3600, ip("10.0.0.1")));
    let mut names = following(&dns, &[host("shop.test")]).await;
    assert_eq!(shown(&names, &host("shop.test")), ["10.0.0.1:80"]);
    dns.says("shop.test", RecordType::A, Says::Alias(3600, "real.test.", 0, ip("10.0.0.2")));
    assert_eq!(limited(names.changed()).await, host("shop.test"));
    assert_eq!(shown(&names, &host("shop.test")), ["10.0.0.2:80"]);
    // A TTL of 0 is not a permission to ask all the time.
    let (asked, began) = (dns.asked("shop.test"), Instant::now());
    crate::client::until("it is asked again", || dns.asked("shop.test") > asked + 2).await;
    assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_wrong_changes_nothing_and_is_tried_again() {
    let dns = Dns::start().await;
    for (name, says) in [
        ("nowhere.test", Says::NoName),
        ("failing.test", Says::Fails),
        ("garbage.test", Says::Garbage),
        ("silent.test", Says::Silence),
        ("empty.test", Says::Records(60, Vec::new())),
        ("sinkhole.test", Says::Records(60, vec![RData::A("0.0.0.0".parse().unwrap())])),
        ("loop.test", Says::Alias(60, "loop.test.", 60, Vec::new())),
    ] {
        dns.addresses(name, 1, &["10.0.0.1"]);
        let wrong = host(name);
        let began = Instant::now();
        dns.always(Some(says.clone()));
        let mut names = following(&dns, std::slice::from_ref(&wrong)).await;
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{name} holds up all others: {:?}",
            began.elapsed()
        );
        assert!(shown(&names, &wrong).is_empty(), "{name}");
        dns.always(None);
        limited(names.changed()).await;
        assert_eq!(shown(&names, &wrong), ["10.0.0.1:80"], "{name}");

        // A good answer outlives whatever comes after it.
        let asked = dns.asked(name);
        dns.always(Some(says));
        crate::client::until("it is asked again", || dns.asked(name) > asked).await;
        let quiet = tokio::time::timeout(Duration::from_millis(200), names.changed()).await;
        assert!(quiet.is_err(), "{name}");
        assert_eq!(shown(&names, &wrong), ["10.0.0.1:80"], "{name}");
        dns.always(None);
    }
}

#[tokio::test]
async fn names_that_cannot_be_are_not_asked_about() {
    let dns = Dns::start().await;
    let long = host(&["a".repeat(63).as_str(); 4].join("."));
    let names = following(&dns, &[long.clone(), host("a..b"), Name::Srv("sh op".into())]).await;
    assert!(shown(&names, &long).is_empty());
    assert_eq!(dns.asked("a..b"), 0);
}

#[tokio::test]
async fn srv_records_lead_to_the_targets_of_the_lowest_priority() {
    let dns = Dns::start().await;
    let name = Name::Srv("_http._tcp.shop.test".into());
    let records = vec![
        srv(1, 8001, "one.test."),
        srv(1, 8002, "Two.Test."),
        srv(1, 8001, "one.test."),
        srv(1, 8003, "gone.test."),
        srv(1, 0, "port.test."),
        srv(2, 8004, "two.test."),
        srv(0, 8005, "."),
    ];
    dns.says("_http._tcp.shop.test", RecordType::SRV, Says::Records(1, records));
    dns.addresses("one.test", 60, &["10.0.0.1", "::1"]);
    dns.addresses("two.test", 60, &["10.0.0.2"]);
    let mut names = following(&dns, std::slice::from_ref(&name)).await;
    assert_eq!(shown(&names, &name), ["[::1]:8001 or 10.0.0.1:8001", "10.0.0.2:8002"]);

    // One target that cannot be looked up takes nothing away from what is known of it.
    dns.says("one.test", RecordType::A, Says::Fails);
    dns.says("one.test", RecordType::AAAA, Says::Fails);
    dns.addresses("two.test", 60, &["10.0.0.3"]);
    assert_eq!(limited(names.changed()).await, name);
    assert_eq!(shown(&names, &name), ["[::1]:8001 or 10.0.0.1:8001", "10.0.0.3:8002"]);

    dns.says("_http._tcp.shop.test", RecordType::SRV, Says::Records(1, vec![srv(0, 1, "two.test.")]));
    limited(names.changed()).await;
    assert_eq!(shown(&names, &name), ["10.0.0.3:1"]);
}

#[tokio::test]
async fn long_answers_come_by_tcp_and_are_bounded() {
    let dns = Dns::start().await;
    let many = |count: u16| {
        (0..count).map(|at| RData::from(IpAddr::from([10, 0, (at >> 8) as u8, at as u8]))).collect()
    };
    dns.addresses("many.test", 60, &[]);
    dns.says("many.test", RecordType::A, Says::Records(60, many(30)));
    dns.addresses("flood.test", 60, &[]);
    dns.says("flood.test", RecordType::A, Says::Records(60, many(1000)));
    let targets = (1..200).map(|at| srv(0, at, "many.test.")).collect();
    dns.says("_http._tcp.flood.test", RecordType::SRV, Says::Records(60, targets));
    let flood = Name::Srv("_http._tcp.flood.test".into());
    let all = [host("many.test"), host("flood.test"), flood];
    let mut names = following(&dns, &all).await;
    while all.iter().any(|name| shown(&names, name).is_empty()) {
        limited(names.changed()).await;
    }
    let count = all.map(|name| shown(&names, &name).len());
    assert_eq!(count, [30, 256, 256]);
}

#[tokio::test]
async fn other_name_servers_are_asked_and_answers_kept_until_they_have_spoken() {
    let (first, second) = (Dns::start().await, Dns::start().await);
    first.addresses("shop.test", 3600, &["10.0.0.1"]);
    second.always(Some(Says::Silence));
    second.addresses("shop.test", 3600, &["10.0.0.2"]);
    let mut names = following(&first, &[host("shop.test")]).await;
    assert_eq!(shown(&names, &host("shop.test")), ["10.0.0.1:80"]);
    limited(names.follow(&[second.address], [host("shop.test")].into())).await;
    assert_eq!(shown(&names, &host("shop.test")), ["10.0.0.1:80"]);
    second.always(None);
    limited(names.changed()).await;
    assert_eq!(shown(&names, &host("shop.test")), ["10.0.0.2:80"]);
}

#[tokio::test]
async fn this_host_is_known_without_a_name_server() {
    let dns = Dns::start().await;
    dns.always(Some(Says::Silence));
    let names = following(&dns, &[host("localhost")]).await;
    assert!(shown(&names, &host("localhost")).iter().any(|one| one.contains("127.0.0.1:80")));
}
