//! Deadlines, holders, and what is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn key(id: &str) -> InstanceKey {
    InstanceKey::new("orders", id)
}

fn held_by(stream: u64) -> Option<Holder> {
    Some(Holder { stream, node: "node".into() })
}

#[test]
fn a_lease_ends_at_its_deadline_and_not_before() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), 4 * SECOND, None, start);
    leases.grant(key("b"), 2 * SECOND, None, start);
    assert_eq!(leases.next_due(), Some(start + 2 * SECOND));
    assert!(leases.due(start + SECOND).over.is_empty());
    assert_eq!(leases.due(start + 2 * SECOND).over, [key("b")]);
    leases.forget(&key("b"));
    assert_eq!(leases.due(start + 4 * SECOND).over, [key("a")]);
}

#[test]
fn most_of_a_service_are_kept_when_they_fall_silent_together_and_one_in_three_is_not() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    for id in ["a", "b", "c"] {
        leases.grant(key(id), 3 * SECOND, None, start);
    }
    leases.grant(InstanceKey::new("users", "alone"), 3 * SECOND, None, start);
    leases.renew("orders", "b", None, start + 2 * SECOND);
    leases.renew("orders", "c", None, start + 2 * SECOND);
    let due = leases.due(start + 3 * SECOND);
    assert_eq!(due.over, [key("a"), InstanceKey::new("users", "alone")]);
    leases.forget(&key("a"));
    leases.forget(&InstanceKey::new("users", "alone"));

    let due = leases.due(start + 5 * SECOND);
    assert_eq!((due.over.len(), due.kept.len()), (0, 1), "{due:?}");
    assert_eq!(due.kept[0].1, Evidence { silent: 2, instances: 2 });
    assert!(leases.due(start + 6 * SECOND).kept.is_empty(), "told once");
    // One of them speaks again: the other one is dead after all.
    leases.renew("orders", "c", None, start + 7 * SECOND);
    assert_eq!(leases.due(start + 7 * SECOND).over, [key("b")]);
}

#[test]
fn whoever_is_kept_is_not_kept_for_ever() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), SECOND, None, start);
    leases.grant(key("b"), SECOND, None, start);
    for second in 1..=KEPT_FOR.as_secs() as u32 {
        assert!(leases.due(start + second * SECOND).over.is_empty(), "{second}");
    }
    assert_eq!(leases.due(start + SECOND + KEPT_FOR).over, [key("a"), key("b")]);
}

#[test]
fn places_are_used_again() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    for round in 0..100 {
        for number in 0..10 {
            leases.grant(key(&format!("{round}-{number}")), SECOND, None, start);
        }
        for number in 0..10 {
            leases.forget(&key(&format!("{round}-{number}")));
        }
    }
    assert_eq!((leases.leases.len(), leases.services.len(), leases.queue.len()), (10, 0, 0));
}

#[test]
fn a_renewal_moves_the_deadline() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), 2 * SECOND, None, start);
    assert!(leases.renew("orders", "a", None, start + SECOND));
    assert!(leases.due(start + 2 * SECOND).over.is_empty());
    assert_eq!(leases.next_due(), Some(start + 3 * SECOND));
    assert_eq!(leases.due(start + 3 * SECOND).over, [key("a")]);
    assert!(!leases.renew("orders", "unknown", None, start));
}

#[test]
fn an_ended_lease_is_reported_until_it_is_forgotten_or_renewed() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), SECOND, None, start);
    assert_eq!(leases.due(start + SECOND).over, [key("a")]);
    assert!(leases.due(start + SECOND).over.is_empty());
    assert_eq!(leases.due(start + 2 * SECOND).over, [key("a")]);
    assert!(leases.renew("orders", "a", None, start + 2 * SECOND));
    assert!(!leases.is_over(&key("a"), start + 2 * SECOND));
    leases.forget(&key("a"));
    assert_eq!(leases.next_due(), None);
}

#[test]
fn a_broken_stream_cuts_its_leases_and_no_others() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    let grace = Duration::from_millis(700);
    leases.grant(key("mine"), 10 * SECOND, held_by(1), start);
    leases.grant(key("moved"), 10 * SECOND, held_by(1), start);
    leases.grant(key("moved"), 10 * SECOND, held_by(2), start);
    leases.release(&key("mine"), 1, grace, start);
    leases.release(&key("moved"), 1, grace, start);
    assert_eq!(leases.due(start + grace).over, [key("mine")]);
    assert_eq!(leases.holder(&key("mine")), None);
    assert_eq!(leases.holder(&key("moved")).map(|holder| holder.stream), Some(2));
}

#[test]
fn a_plain_registration_leaves_the_lease_with_its_stream() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), SECOND, held_by(1), start);
    leases.grant(key("a"), 2 * SECOND, None, start);
    assert!(leases.renew("orders", "a", Some(1), start));
}

#[test]
fn a_grace_never_makes_a_lease_longer() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), SECOND, held_by(1), start);
    leases.release(&key("a"), 1, 5 * SECOND, start);
    assert_eq!(leases.age(&key("a"), start).unwrap().left, SECOND);
}

#[test]
fn only_the_holders_stream_renews() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), SECOND, held_by(2), start);
    assert!(!leases.renew("orders", "a", Some(1), start));
    assert!(leases.renew("orders", "a", Some(2), start));
    assert!(leases.renew("orders", "a", None, start));
}

#[test]
fn a_pause_of_the_process_is_forgiven() {
    let (mut leases, start) = (Leases::default(), Instant::now());
    leases.grant(key("a"), SECOND, None, start);
    leases.forgive(5 * SECOND);
    assert!(leases.due(start + 5 * SECOND).over.is_empty());
    assert_eq!(leases.due(start + 6 * SECOND).over, [key("a")]);
}
