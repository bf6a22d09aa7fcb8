//! The `.properties` format of Java (`java.util.Properties`), with the documents (`#---`) of Spring Boot. Own and
//! small: the crates that read it know neither places nor documents.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Value;

use super::property::{Collector, Document, ParseFault, Property};

/// Reads every document of a text; empty ones are left out.
pub(super) fn parse(text: &str) -> Result<Vec<Document>, ParseFault> {
    let mut documents = Vec::new();
    let mut collector = Collector::default();
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
    while let Some((index, line)) = lines.next() {
        if matches!(line.trim_end(), "#---" | "!---") {
            documents.push(collector.document());
            continue;
        }
        let mut logical = line.trim_start_matches(BLANK).to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        let column = line.len() - logical.len() + 1;
        while goes_on(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(BLANK));
        }
        collector.put(property(&logical, (index + 1, column))?)?;
    }
    documents.push(collector.document());
    documents.retain(|document| !document.properties.is_empty());
    Ok(documents)
}

const BLANK: [char; 3] = [' ', '\t', '\u{c}'];

/// Whether a line ends in an odd number of backslashes.
fn goes_on(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn property(line: &str, place: (usize, usize)) -> Result<Property, ParseFault> {
    let mut rest = line.chars().peekable();
    let key = read(&mut rest, true, place)?;
    while rest.next_if(|next| BLANK.contains(next)).is_some() {}
    if rest.next_if(|next| matches!(next, '=' | ':')).is_some() {
        while rest.next_if(|next| BLANK.contains(next)).is_some() {}
    }
    let value = Value::String(read(&mut rest, false, place)?);
    Ok(Property { key, value, place })
}

/// Reads up to what ends a key, or all of it.
fn read(rest: &mut Peekable<Chars<'_>>, is_key: bool, place: (usize, usize)) -> Result<String, ParseFault> {
    let mut text = String::new();
    // Pairs of `\u` escapes make one character beyond the basic plane.
    let mut units: Vec<u16> = Vec::new();
    while let Some(next) =
        rest.next_if(|next| !is_key || !(BLANK.contains(next) || matches!(next, '=' | ':')))
    {
        if next == '\\' && rest.peek() == Some(&'u') {
            rest.next();
            units.push(unit(rest, place)?);
            continue;
        }
        flush(&mut units, &mut text);
        match next {
            '\\' => match rest.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('f') => text.push('\u{c}'),
                Some(other) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    flush(&mut units, &mut text);
    Ok(text)
}

fn unit(rest: &mut Peekable<Chars<'_>>, (line, column): (usize, usize)) -> Result<u16, ParseFault> {
    let digits: String = rest.by_ref().take(4).collect();
    let sound = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = sound.then(|| u16::from_str_radix(&digits, 16).ok()).flatten();
    unit.ok_or_else(|| ParseFault { line, column, problem: "`\\u` wants four hexadecimal digits".to_owned() })
}

fn flush(units: &mut Vec<u16>, text: &mut String) {
    text.push_str(&String::from_utf16_lossy(units));
    units.clear();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn lines_mean_what_they_mean_to_java() {
        for (line, key, value) in [
            ("a=b", "a", "b"),
            ("a = b ", "a", "b "),
            ("  a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a", "a", ""),
            ("a==b", "a", "=b"),
            ("a\\=b=c", "a=b", "c"),
            ("a\\ b = c", "a b", "c"),
            ("a=\\u00e9\\ud83d\\ude00", "a", "é😀"),
            ("a=x\\ty\\q", "a", "x\tyq"),
            ("a=one,\\\n   two", "a", "one,two"),
            ("a=one\\\\", "a", "one\\"),
            ("a=b\r\n", "a", "b"),
            ("a=b\\", "a", "b"),
            ("list[0]=x", "list[0]", "x"),
        ] {
            let documents = parse(line).unwrap();
            let property = &documents[0].properties[0];
            assert_eq!((property.key.as_str(), &property.value), (key, &Value::from(value)), "{line}");
        }
        assert!(parse("# a=b\n! c=d\n\n").unwrap().is_empty());
        assert_eq!(parse("\n\na=\\u00g0").unwrap_err().line, 3);
        assert!(parse("a=\\u00").is_err());
    }

    #[test]
    fn documents_are_told_apart_and_later_lines_count() {
        let documents = parse("a=1\na=2\n#---\na=3\n!---\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].get("a"), Some(&Value::from("2")));
        assert_eq!(documents[1].properties[0].place, (4, 1));
    }
}
