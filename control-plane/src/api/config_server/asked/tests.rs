#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn read(path: &str) -> Result<Asked, PathFault> {
    asked(path, false, false)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[test]
fn environments_are_told_from_files() {
    for (path, name, profiles, label) in [
        ("/pay/dev", "pay", "dev", ""),
        ("/pay/dev,eu", "pay", "dev,eu", ""),
        ("/pay/dev%2Ceu/main", "pay", "dev,eu", "main"),
        ("/pay/dev-yml", "pay", "dev-yml", ""),
        ("/pay/dev-db/1.2.3", "pay", "dev-db", "1.2.3"),
        ("/pay/dev/feature(_)x", "pay", "dev", "feature/x"),
        ("/pay/dev/feature%28_%29x", "pay", "dev", "feature/x"),
        ("/team(_)pay/dev", "team/pay", "dev", ""),
        ("/pay,users/default/a,b", "pay,users", "default", "a,b"),
        ("/pay/dev/app.yml", "pay", "dev", "app.yml"),
        ("/encrypt/default", "encrypt", "default", ""),
    ] {
        let expected =
            Asked::Environment { name: name.to_owned(), profiles: profiles.to_owned(), label: some(label) };
        assert_eq!(read(path), Ok(expected), "{path}");
    }
    for (path, form, name, profiles, label) in [
        ("/pay-dev.yml", Form::Yaml, "pay", "dev", ""),
        ("/pay-core-dev.yaml", Form::Yaml, "pay-core", "dev", ""),
        ("/pay-dev,eu.json", Form::Json, "pay", "dev,eu", ""),
        ("/1.0/pay-dev.properties", Form::Properties, "pay", "dev", "1.0"),
        ("/feature(_)x/pay-default.yml", Form::Yaml, "pay", "default", "feature/x"),
    ] {
        let expected =
            Asked::File { form, name: name.to_owned(), profiles: profiles.to_owned(), label: some(label) };
        assert_eq!(read(path), Ok(expected), "{path}");
    }
}

#[test]
fn texts_have_a_path_of_their_own() {
    let expected = |label: &str, path: &str| Asked::Text {
        name: "pay".to_owned(),
        profiles: "dev".to_owned(),
        label: some(label),
        path: path.to_owned(),
    };
    assert_eq!(read("/pay/dev/main/nginx.conf"), Ok(expected("main", "nginx.conf")));
    assert_eq!(read("/pay/dev/main/a/b%20c.txt"), Ok(expected("main", "a/b c.txt")));
    assert_eq!(asked("/pay/dev/nginx.conf", false, true), Ok(expected("", "nginx.conf")));
}

#[test]
fn endpoints_have_names_of_their_own() {
    for (path, is_write, expected) in [
        ("/encrypt", true, Asked::Encrypt),
        ("/decrypt", true, Asked::Decrypt),
        ("/encrypt/pay/dev", true, Asked::Encrypt),
        ("/encrypt/status", false, Asked::EncryptStatus),
        ("/key", false, Asked::Key),
        ("/key/pay/dev", false, Asked::Key),
        ("/monitor", true, Asked::Monitor),
        ("/actuator/health", false, Asked::Health),
    ] {
        assert_eq!(asked(path, is_write, false), Ok(expected), "{path}");
    }
    assert_eq!(asked("/encrypt/pay/-", true, false), Err(PathFault::Profile));
}

#[test]
fn what_asks_for_nothing_is_told_from_what_is_wrong() {
    for path in [
        "",
        "/",
        "/pay",
        "/pay/",
        "//pay",
        "/pay.yml",
        "/pay/dev.yml",
        "/pay/dev.yml.x",
        "/-dev.yml",
        "/actuator/env",
    ] {
        assert_eq!(read(path), Err(PathFault::Unknown), "{path}");
    }
    for path in [
        "/../dev",
        "/%2e%2e/dev",
        "/%252e%252e/dev",
        "/(_)pay/dev",
        "/pay%23/dev",
        "/pay/dev/..",
        "/pay/dev/(_)etc",
        "/pay/dev/..(_)..(_)etc",
        "/pay/dev/a%5cb",
        "/pay/dev%2fmain",
        "/pay/dev/a%2fb",
        "/pay/dev/a%252fb",
        "/pay/dev/a%00",
        "/pay/dev/a%0ab",
        "/pay/dev/%ff",
        "/pay;x=1/dev",
        "/pay/-dev",
        "/pay/dev,",
        "/pay/dev/main/../../x",
        "/pay/dev/main/.git/config",
        "/pay/dev/main/a(_)..(_)x",
        "/pay/dev/main/(_)etc(_)passwd",
        "/a-b*.yml",
    ] {
        assert!(!matches!(read(path), Ok(_) | Err(PathFault::Unknown)), "{path}: {:?}", read(path));
    }
}

proptest! {
    /// Whatever comes, nothing that is let through can climb, be absolute, or name what is hidden.
    #[test]
    fn no_path_climbs(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("..".to_owned()), Just("%2e%2e".to_owned()), Just("%252e".to_owned()), Just(".git".to_owned()),
                Just("(_)".to_owned()), Just("%2f".to_owned()), Just("%5c".to_owned()), Just("pay".to_owned()),
                Just("dev".to_owned()), Just("%28_%29..".to_owned()), "[a-z./%25()_#;,-]{0,8}", "\\PC{0,6}",
            ],
            0..7,
        ),
        default_label: bool,
    ) {
        let path = format!("/{}", parts.join("/"));
        let texts = match asked(&path, false, default_label) {
            Ok(Asked::Environment { name, profiles, label } | Asked::File { name, profiles, label, .. }) => {
                vec![name, profiles, label.unwrap_or_default()]
            }
            Ok(Asked::Text { name, profiles, label, path }) => {
                prop_assert!(!path.split('/').any(|part| part.is_empty() || part.starts_with('.')), "{}", path);
                vec![name, profiles, label.unwrap_or_default(), path]
            }
            _ => return Ok(()),
        };
        for text in texts {
            prop_assert!(!text.contains("..") && !text.starts_with('/') && !text.contains('\\'), "{}", text);
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
        }
    }
}
