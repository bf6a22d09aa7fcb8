//! Heads at and beyond their limits: 431 and 414 beyond, served at them, and others are served all the while.

use super::{Family, get};
use crate::client;

fn fields(count: usize) -> String {
    (0..count).map(|number| format!("x-{number}: 1\r\n")).collect()
}

#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let mut family = Family::new().await;
    for (name, lines) in [
        // With `host` that is one more than 100.
        ("101 fields", fields(100)),
        ("101 fields of one name", "x-a: 1\r\n".repeat(100)),
        ("1,000 fields", fields(1_000)),
        ("a value of 17 KiB", format!("x-a: {}\r\n", "x".repeat(17 << 10))),
        ("a name of 17 KiB", format!("{}: 1\r\n", "x".repeat(17 << 10))),
        ("40 KiB in all", format!("x-a: {}\r\n", "x".repeat(4 << 10)).repeat(10)),
        ("1 MiB in one", format!("x-a: {}\r\n", "x".repeat(1 << 20))),
        ("1 MiB in many", format!("x-a: {}\r\n", "x".repeat(1 << 10)).repeat(1 << 10)),
    ] {
        family.refused_with(&[431], name, get(lines)).await;
    }
    for (name, length) in
        [("a target of 8 KiB and one byte", (8 << 10) + 1), ("20 KiB", 20 << 10), ("1 MiB", 1 << 20)]
    {
        let target = format!("/{}", "x".repeat(length - 1));
        family.refused_with(&[414], name, format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let query = format!("/?{}", "x".repeat(length - 2));
        family
            .refused_with(
                &[414],
                &format!("{name}, query"),
                format!("GET {query} HTTP/1.1\r\nhost: a\r\n\r\n"),
            )
            .await;
    }
    let method = "X".repeat(9 << 10);
    family
        .refused_with(
            &[400, 414, 431, 501],
            "a method of 9 KiB",
            format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n"),
        )
        .await;
    let address = family.gateway.local_addrs().listen;
    assert_eq!(client::get(address, "/").await.status, 200, "others are served");
    family.end().await;
}

#[tokio::test]
async fn heads_at_the_limits_are_served() {
    let mut family = Family::new().await;
    let target = format!("/{}", "x".repeat((8 << 10) - 1));
    let long = format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
    family.served("a target of 8 KiB", long, |seen| seen.line().split(' ').nth(1) == Some(&target)).await;
    let many = get(fields(99));
    family
        .served("100 fields", many, |seen| (0..99).all(|one| seen.field(&format!("x-{one}")) == Some("1")))
        .await;
    let value = "x".repeat((16 << 10) - 100);
    let wide = get(format!("x-a: {value}\r\n"));
    family.served("a field of nearly 16 KiB", wide, |seen| seen.field("x-a") == Some(&value)).await;
    let value = "x".repeat(10 << 10);
    let whole = get(format!("x-a: {value}\r\nx-b: {value}\r\nx-c: {value}\r\n"));
    family.served("30 KiB in all", whole, |seen| seen.field("x-c") == Some(&value)).await;
    family.end().await;
}
