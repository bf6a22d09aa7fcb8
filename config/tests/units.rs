//! Durations and sizes: what people write, what is refused, and that nothing overflows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use portreeve_config::{ByteSize, Period, parse_document, parse_json};

#[test]
fn durations() {
    for (text, expected) in [
        ("250ms", Duration::from_millis(250)),
        ("60s", Duration::from_secs(60)),
        ("1m 30s", Duration::from_secs(90)),
        ("1m30s", Duration::from_secs(90)),
        ("2h", Duration::from_secs(7_200)),
        ("0s", Duration::ZERO),
        ("0", Duration::ZERO),
    ] {
        assert_eq!(text.parse::<Period>().unwrap().get(), expected, "{text}");
    }
    let far = format!("{}y", u64::MAX);
    for text in ["", " ", "60", "s", "-1s", "1.2.3s", "ten s", "1 parsec", "s1", "é", "1é", &far] {
        let problem = text.parse::<Period>().expect_err(text);
        assert!(problem.contains("write") || problem.contains("is not a duration"), "{problem}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in [
        ("512B", 512),
        ("16KiB", 16 << 10),
        ("1MiB", 1 << 20),
        ("5MB", 5_000_000),
        ("1.5MiB", 3 << 19),
        ("2 GiB", 2 << 30),
        ("0", 0),
        ("0B", 0),
        ("15EiB", 15 << 60),
    ] {
        assert_eq!(text.parse::<ByteSize>().unwrap().get(), bytes, "{text}");
    }
    for text in ["", "64", "MiB", "-1B", "1XB", "NaNB", "infB", "é", "1 2B", "1e400B", "16EiB"] {
        let problem = text.parse::<ByteSize>().expect_err(text);
        assert!(
            ["write", "is not a size", "more than"].iter().any(|part| problem.contains(part)),
            "{problem}"
        );
    }
}

#[test]
fn a_number_without_a_unit_is_told_so_whatever_type_the_format_gives_it() {
    for text in ["60", "'60'", "\"60\""] {
        let error = parse_document::<Period>("x", text).expect_err(text).to_string();
        assert!(error.contains("`60` has no unit: write `60ms` or `60s`"), "{error}");
    }
    for text in ["-60", "1.5", "true", "[]", "{}", "null"] {
        assert!(parse_document::<Period>("x", text).is_err(), "{text}");
        assert!(parse_json::<ByteSize>(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_size_is_written_in_the_largest_unit_that_fits() {
    for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1 << 20, "1MiB"), (1536, "1536B"), (5 << 30, "5GiB")] {
        assert_eq!(ByteSize(bytes).to_string(), text);
    }
}
