//! What a node sends as lines, each within its bound, and what a line says.

use memchr::memchr;
use portreeve_config::wire::NodeMessage;

/// The longest line.
const MAX_LINE: usize = 1024 * 1024;

/// What came of lines that are not whole yet, or not looked at yet. Nothing, most of the time: what is whole is looked at
/// where it was read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    /// How much of it is known to hold no line's end.
    searched: usize,
}

/// A line is longer than 1 MiB.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    /// Gives each line that is not blank to `each`, without its end, until that wants no more: the rest is kept then.
    pub(super) fn add(&mut self, bytes: &[u8], each: impl FnMut(&[u8]) -> bool) -> Result<(), TooLong> {
        if self.rest.is_empty() {
            let (used, searched) = split(bytes, 0, each)?;
            self.rest.extend_from_slice(&bytes[used..]);
            self.searched = searched - used;
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(bytes);
            let (used, searched) = split(&rest, self.searched, each)?;
            // Memory is kept only while there is something in it.
            if used < rest.len() {
                rest.drain(..used);
                self.rest = rest;
            }
            self.searched = searched - used;
        }
        Ok(())
    }

    /// Whether there may be a line that was not looked at.
    pub(super) fn has_more(&self) -> bool {
        self.searched < self.rest.len()
    }

    /// What came last is a line although it has no end.
    pub(super) fn end(&mut self) {
        if !self.rest.is_empty() {
            self.rest.push(b'\n');
        }
    }
}

/// Gives how much was used up, and up to where there is no end of a line behind that.
fn split(
    bytes: &[u8],
    searched: usize,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Result<(usize, usize), TooLong> {
    let (mut used, mut from) = (0, searched);
    while let Some(length) = memchr(b'\n', &bytes[from..]) {
        let line = bytes[used..from + length].trim_ascii();
        if line.len() > MAX_LINE {
            return Err(TooLong);
        }
        from += length + 1;
        used = from;
        if !line.is_empty() && !each(line) {
            return Ok((used, used));
        }
    }
    if bytes.len() - used > MAX_LINE { Err(TooLong) } else { Ok((used, bytes.len())) }
}

/// What a line says. A message whose type stands behind its fields is read into a tree first; those that come by the
/// thousand, written as nodes write them, are not.
pub(super) fn message(line: &[u8]) -> Result<NodeMessage, serde_json::Error> {
    if line == br#"{"type":"renew"}"# {
        return Ok(NodeMessage::Renew);
    }
    if line.starts_with(br#"{"type":"register","#) {
        return serde_json::from_slice(line).map(NodeMessage::Register);
    }
    if let Some(revision) = line.strip_prefix(br#"{"type":"ack","revision":"#)
        && let Some(revision) = revision.strip_suffix(b"}")
        && let Ok(revision) = serde_json::from_slice(revision)
    {
        return Ok(NodeMessage::Ack { revision });
    }
    serde_json::from_slice(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// What comes of `text` in pieces of `size`, where `most` lines are wanted at a time.
    fn all(text: &str, size: usize, most: usize) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let add = |lines: &mut Lines, bytes: &[u8], found: &mut Vec<String>| {
            let before = found.len();
            let taken = lines.add(bytes, |line| {
                found.push(String::from_utf8_lossy(line).into_owned());
                found.len() - before < most
            });
            taken.unwrap();
        };
        for piece in text.as_bytes().chunks(size) {
            add(&mut lines, piece, &mut found);
            while lines.has_more() {
                add(&mut lines, b"", &mut found);
            }
        }
        lines.end();
        while lines.has_more() {
            add(&mut lines, b"", &mut found);
        }
        assert_eq!(lines.rest.capacity(), 0, "memory is kept for nothing");
        found
    }

    #[test]
    fn lines_are_split_and_blank_ones_skipped_however_they_come() {
        for size in 1..12 {
            for most in 1..4 {
                assert_eq!(
                    all("a\r\n\n  \nbb\nccc\nd", size, most),
                    ["a", "bb", "ccc", "d"],
                    "{size} {most}"
                );
                assert!(all("", size, most).is_empty() && all("\n\n", size, most).is_empty());
            }
        }
    }

    #[test]
    fn a_message_says_the_same_whichever_way_it_is_read() {
        let instance = r#""service":"orders","id":"a","address":"127.0.0.1:1","status":"up","lease_ms":1000"#;
        for (short, long) in [
            (r#"{"type":"renew"}"#.to_owned(), r#"{ "type" : "renew" }"#.to_owned()),
            (r#"{"type":"ack","revision":7}"#.to_owned(), r#"{"revision":7,"type":"ack"}"#.to_owned()),
            (
                format!(r#"{{"type":"register",{instance},"later":1}}"#),
                format!(r#"{{{instance},"type":"register"}}"#),
            ),
        ] {
            let read = |line: &str| message(line.as_bytes()).unwrap();
            assert_eq!(read(&short), read(&long));
        }
        assert_eq!(
            message(br#"{"type":"ack","revision":7,"x":1}"#).unwrap(),
            NodeMessage::Ack { revision: 7 }
        );
        for bad in [
            r#"{"type":"register","service":"orders"}"#,
            r#"{"type":"renew""#,
            r#"{"type":"ack","revision":-1}"#,
            r#"{"type":"ack","revision":}"#,
            r#"{"type":"ack","revision":7"#,
        ] {
            assert!(message(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_off_with_and_without_an_end() {
        let (long, end) = (vec![b'x'; MAX_LINE], b"\n");
        let taken = |text: &[u8]| {
            let mut lines = Lines::default();
            let mut count = 0;
            for piece in text.chunks(60_000) {
                lines.add(piece, |_| {
                    count += 1;
                    true
                })?;
            }
            Ok(count)
        };
        assert_eq!(taken(&[&long[..], end].concat()), Ok(1));
        assert_eq!(taken(&[&long[..], b"x", end].concat()), Err(TooLong));
        assert_eq!(taken(&[&long[..], b"x"].concat()), Err(TooLong));
    }
}
