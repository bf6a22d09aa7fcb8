//! Where a head ends (RFC 9112, 2.1), found as its bytes come in; a line that ends in a way of its own is told at once.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::head::HeadFault;

/// Looks for the end of a head, going on where the last look ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Bytes that were looked at.
    looked: usize,
    /// An empty line was passed over.
    pub(super) has_skipped: bool,
}

impl Scan {
    /// From the begin, after an empty line before it.
    pub(super) fn after_empty_line() -> Self {
        Self { looked: 0, has_skipped: true }
    }

    /// The length of the head at the begin of `input`, once all of it is there.
    ///
    /// # Errors
    /// A line that does not end with CR LF: told at once, for the end may never come.
    pub(super) fn end(&mut self, input: &[u8]) -> Result<Option<usize>, HeadFault> {
        // What was looked at may have ended within the end, or before a line's last byte.
        let from = self.looked.saturating_sub(EMPTY_LINE.len() - 1);
        let end = END_OF_HEAD.find(&input[from..]).map(|at| from + at + EMPTY_LINE.len());
        if has_bare_line_feed(&input[from..end.unwrap_or(input.len())], from == 0) {
            return Err(HeadFault::Malformed("a line ends without CR"));
        }
        self.looked = input.len();
        Ok(end)
    }
}

/// What ends a head, with the end of the line before.
const EMPTY_LINE: &[u8] = b"\r\n\r\n";
static END_OF_HEAD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(EMPTY_LINE));

/// Whether there is an LF without CR before it. Without a branch for each byte, so that many are looked at at once.
fn has_bare_line_feed(text: &[u8], is_begin: bool) -> bool {
    let pairs = text.iter().zip(text.get(1..).unwrap_or_default());
    let found = pairs.fold(false, |found, (before, byte)| found | ((*byte == b'\n') & (*before != b'\r')));
    found || (is_begin && text.first() == Some(&b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end as a reader finds it that looks at each byte in turn.
    fn plainly(input: &[u8]) -> Result<Option<usize>, HeadFault> {
        for at in (0..input.len()).filter(|at| input[*at] == b'\n') {
            match input[..at] {
                [.., b'\r', b'\n', b'\r'] => return Ok(Some(at + 1)),
                [.., b'\r'] => {}
                _ => return Err(HeadFault::Malformed("a line ends without CR")),
            }
        }
        Ok(None)
    }

    #[test]
    fn the_end_is_the_same_however_the_bytes_come() {
        // Every text of eight bytes out of these three, whole and in two pieces cut anywhere.
        for number in 0..3_usize.pow(8) {
            let mut rest = number;
            let text = [(); 8].map(|()| {
                let letter = b"a\r\n"[rest % 3];
                rest /= 3;
                letter
            });
            let expected = plainly(&text);
            for cut in 0..=text.len() {
                let mut scan = Scan::default();
                let found = match scan.end(&text[..cut]) {
                    Ok(None) => scan.end(&text),
                    early => early,
                };
                assert_eq!(found, expected, "{:?} cut at {cut}", text.escape_ascii().to_string());
            }
        }
    }
}
