#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn layer(value: &str) -> Option<Arc<Values>> {
    Some(Arc::new(Values::from([("key-of-it".to_owned(), value.to_owned())])))
}

fn key() -> LayerKey {
    LayerKey { application: "orders".to_owned(), profile: "default".to_owned() }
}

/// A catalogue with one accepted change after the other.
fn catalog(changes: Vec<Vec<Record>>) -> (Catalog, Revision) {
    let (mut catalog, mut revision) = (Catalog::default(), 0);
    for mut records in changes {
        let entry = Entry::of(&catalog, &records, revision, &Author::new("me", "why")).unwrap();
        revision += 1;
        records.extend(catalog.history.records(revision, Arc::new(entry)));
        records.iter().for_each(|record| catalog.apply(record, revision));
    }
    (catalog, revision)
}

fn service(name: &str, known: bool) -> Record {
    Record::Service { name: name.to_owned(), known }
}

fn route(name: &str, path: Option<&str>) -> Record {
    let value = path.map(|path| Arc::new(RouteConfig::new(name, path, "orders")));
    Record::Route { name: name.to_owned(), value }
}

#[test]
fn every_kept_revision_can_be_gone_back_to() {
    let (catalog, newest) = catalog(vec![
        vec![service("orders", true), route("a", Some("/a"))],
        vec![route("a", Some("/b")), Record::Layer { key: key(), value: layer("1") }],
        vec![route("a", None), route("b", Some("/b"))],
        vec![Record::Layer { key: key(), value: None }, service("orders", false)],
    ]);
    let at = |revision| catalog.history.whole_at(revision, Whole::of(&catalog)).unwrap();
    let path = |whole: &Whole, name: &str| whole.routes.get(name).map(|route| route.matches.path.clone());
    assert_eq!((at(0).services.len(), at(0).routes.len(), at(0).layers.len()), (0, 0, 0));
    assert_eq!((path(&at(1), "a").as_deref(), at(1).layers.len()), (Some("/a"), 0));
    assert_eq!((path(&at(2), "a").as_deref(), at(2).layers.len()), (Some("/b"), 1));
    assert_eq!((path(&at(3), "a"), path(&at(3), "b").as_deref()), (None, Some("/b")));
    assert!(at(3).services.contains("orders") && at(newest).services.is_empty());
}

#[test]
fn between_two_revisions_each_thing_is_named_once() {
    let (catalog, _) = catalog(vec![
        vec![route("a", Some("/a"))],
        vec![route("a", Some("/b")), route("gone again", Some("/x"))],
        vec![route("a", Some("/c")), route("gone again", None)],
    ]);
    let changes = catalog.history.between(1, 3);
    let [Difference::Route { name, before: Some(before), after: Some(after) }] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!((&**name, &*before.matches.path, &*after.matches.path), ("a", "/a", "/c"));
    let back = catalog.history.between(3, 1);
    let [Difference::Route { before: Some(before), after: Some(after), .. }] = &back[..] else {
        panic!("{back:?}");
    };
    assert_eq!((&*before.matches.path, &*after.matches.path), ("/c", "/a"));
    assert!(catalog.history.between(2, 2).is_empty());
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let changes = (0..MOST_ENTRIES + 3).map(|n| vec![route("a", Some(&format!("/{n}")))]);
    let (catalog, newest) = catalog(changes.collect());
    assert_eq!(catalog.history.entries.len(), MOST_ENTRIES);
    assert_eq!((catalog.history.oldest(), catalog.history.newest()), (Some(3), Some(newest)));
    assert!(catalog.history.whole_at(2, Whole::default()).is_none());
    let oldest = catalog.history.whole_at(3, Whole::of(&catalog)).unwrap();
    assert_eq!(oldest.routes["a"].matches.path, "/2");
}

#[test]
fn the_oldest_go_when_they_are_too_large() {
    let large = |n: usize| layer(&format!("{n}{}", "x".repeat(4 * 1024 * 1024)));
    let changes = (0..12).map(|n| vec![Record::Layer { key: key(), value: large(n) }]);
    let (catalog, newest) = catalog(changes.collect());
    let kept: u64 = catalog.history.entries.values().map(|entry| entry.bytes).sum();
    assert!(kept <= MOST_BYTES && catalog.history.entries.len() == 3, "{kept}");
    assert_eq!(catalog.history.newest(), Some(newest));
}

#[test]
fn a_secret_is_never_shown() {
    let values = |password: &str, greeting: &str| {
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Values::from([of("db.password", password), of("greeting", greeting), of("same", "same")])
    };
    let values = LayerDifference::of(Some(&values("old", "hello")), Some(&values("new", "bye")));
    let shown = Difference::Layer { key: key(), values }.shown();
    let text = serde_json::to_string(&shown).unwrap();
    assert_eq!(
        text,
        r#"{"kind":"config","application":"orders","profile":"default","change":"changed","fields":[{"path":"db.password","before":"***","after":"***"},{"path":"greeting","before":"hello","after":"bye"}]}"#
    );
}

#[test]
fn an_entry_survives_the_store() {
    let (catalog, _) = catalog(vec![vec![
        service("orders", true),
        route("a", Some("/a")),
        Record::Layer { key: key(), value: layer("1") },
    ]]);
    let entry = catalog.history.get(1).unwrap();
    let text = serde_json::to_string(entry).unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), **entry);
}
