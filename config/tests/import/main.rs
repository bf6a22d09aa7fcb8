//! Spring Cloud Gateway's files as they are found, and what is made of each: `NAME.yml` becomes `NAME.yaml` and
//! `NAME.report`. `UPDATE_GOLDEN=1 cargo test -p portreeve-config --test import` writes them anew; read what it wrote.
#![allow(clippy::unwrap_used, clippy::panic)]

mod gaps;
mod single;

use std::path::Path;
use std::time::{Duration, SystemTime};

use portreeve_config::import::{Choices, Imported, spring};
use portreeve_config::{Document, load_document};

/// A day in 2026.
pub(crate) fn strict() -> Choices {
    Choices { now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000), with_gaps: false }
}

pub(crate) fn imported(text: &str) -> Imported {
    imported_with(text, strict())
}

pub(crate) fn imported_with(text: &str, choices: Choices) -> Imported {
    let imported = spring("application.yml", text, choices).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let checked = load_document("gateway.yaml", &imported.yaml);
    let Document::Gateway(config) = checked.unwrap_or_else(|error| panic!("{error}\n{}", imported.yaml))
    else {
        panic!("it is a gateway's")
    };
    let shown = imported.yaml.matches("LEFT OUT: ").count();
    assert_eq!(imported.report.left_out, shown, "{}\n{}", imported.yaml, imported.report);
    assert!(config.routes.len() >= imported.report.imported);
    imported
}

#[test]
fn whole_files_become_what_stands_beside_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/files");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        count += 1;
        let Imported { yaml, report } = imported(&std::fs::read_to_string(&path).unwrap());
        for (extension, made) in [("yaml", yaml), ("report", report.to_string())] {
            let golden = path.with_extension(extension);
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&golden, &made).unwrap();
            }
            let expected = std::fs::read_to_string(&golden).unwrap();
            assert_eq!(made, expected, "{}", golden.display());
        }
    }
    assert!(count >= 4);
}

#[test]
fn broken_files_are_refused_or_read_and_never_end_the_import() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/files");
    let (mut read, mut refused) = (0, 0);
    for name in ["shop.yml", "guarded.yml", "hosts.yml"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        for at in (0..text.len()).step_by(11) {
            let mut letters: Vec<char> = text.chars().collect();
            letters[at] = ['{', '}', ',', '=', '(', '\u{0}', 'é', ' ', '*', '$'][at % 10];
            let changed: String = letters.into_iter().collect();
            for broken in [&text[..at], changed.as_str()] {
                match spring("application.yml", broken, strict()) {
                    Ok(imported) => {
                        let checked = load_document("gateway.yaml", &imported.yaml);
                        assert!(checked.is_ok(), "{broken}\n{}\n{}", imported.yaml, checked.unwrap_err());
                        read += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(read > 50 && refused > 50, "{read} {refused}");
}
