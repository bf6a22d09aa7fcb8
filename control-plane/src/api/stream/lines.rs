//! A request's body as lines, each within its bound, and what a line says.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use portreeve_config::wire::NodeMessage;

/// The longest line.
const MAX_LINE: usize = 1024 * 1024;

/// Lines that are read one at a time.
#[derive(Debug)]
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

/// Why there is no next line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineFault {
    #[error("a line is longer than 1 MiB")]
    TooLong,
    #[error("the stream broke in the middle")]
    Broken,
}

impl Lines {
    pub(super) fn of(body: Body) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line that is not blank, without its end; `None` after the last. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, LineFault> {
        loop {
            while let Some(line) = self.buffered() {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > MAX_LINE {
                return Err(LineFault::TooLong);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(_)) => return Err(LineFault::Broken),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }

    fn buffered(&mut self) -> Option<Bytes> {
        match self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

/// What a line says. A message whose type stands behind its fields is read into a tree first; those that come by the
/// thousand, written as nodes write them, are not.
pub(super) fn message(line: &[u8]) -> Result<NodeMessage, serde_json::Error> {
    let line = line.trim_ascii_end();
    if line == br#"{"type":"renew"}"# {
        return Ok(NodeMessage::Renew);
    }
    if line.starts_with(br#"{"type":"register","#) {
        return serde_json::from_slice(line).map(NodeMessage::Register);
    }
    serde_json::from_slice(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    async fn all(text: &str) -> Vec<String> {
        let mut lines = Lines::of(Body::from(text.to_owned()));
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(String::from_utf8_lossy(line.trim_ascii()).into_owned());
        }
        found
    }

    #[tokio::test]
    async fn lines_are_split_and_blank_ones_skipped() {
        assert_eq!(all("a\r\n\n  \nb\nc").await, ["a", "b", "c"]);
        assert!(all("").await.is_empty());
    }

    #[test]
    fn a_message_says_the_same_whichever_way_it_is_read() {
        let instance = r#""service":"orders","id":"a","address":"127.0.0.1:1","status":"up","lease_ms":1000"#;
        for (short, long) in [
            (r#"{"type":"renew"}"#.to_owned(), r#"{ "type" : "renew" }"#.to_owned()),
            (
                format!(r#"{{"type":"register",{instance},"later":1}}"#),
                format!(r#"{{{instance},"type":"register"}}"#),
            ),
        ] {
            let read = |line: &str| message(line.as_bytes()).unwrap();
            assert_eq!(read(&format!("{short}\r\n")), read(&long));
        }
        assert!(message(br#"{"type":"register","service":"orders"}"#).is_err());
        assert!(message(br#"{"type":"renew""#).is_err());
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_off() {
        let mut lines = Lines::of(Body::from(vec![b'x'; MAX_LINE + 1]));
        assert_eq!(lines.next().await, Err(LineFault::TooLong));
    }
}
