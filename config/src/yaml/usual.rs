//! The forms of YAML that nearly every file is made of, read in one pass: a parser for all of YAML takes ten times as long,
//! which is seconds for 100,000 routes. Whatever is beyond them, or has a fault, is left to that parser: this one gives the
//! same tree or none.

use std::ops::Range;

use super::{DEPTH, VALUES};
use crate::tree::{Entry, Node, Style, Value};

/// How long the name of a field may be here; YAML itself ends at 1,024.
const LONGEST_KEY: usize = 256;

/// Reads a text, or does not say what it is.
///
/// It knows: blocks of fields and items by indentation, `[]` and `{}` also over several lines, text without quotes on
/// one line, text in quotes on one line without escapes, comments. All of it in printable ASCII.
pub(super) fn read(text: &str) -> Option<Node> {
    let known = |byte: &u8| *byte == b'\n' || (b' '..=b'~').contains(byte);
    if !text.as_bytes().iter().all(known) {
        return None;
    }
    let mut reader = Reader { text, at: 0, values: 0, depth: 0 };
    let column = reader.next_line()?;
    let root = reader.block(column)?;
    (reader.at == text.len()).then_some(root)
}

struct Reader<'t> {
    text: &'t str,
    /// Where to go on, in bytes.
    at: usize,
    /// Values and names so far.
    values: usize,
    /// Lists and mappings that are open.
    depth: usize,
}

impl Reader<'_> {
    /// The list, mapping or text that begins here, in this column. Goes on to the next line that holds something.
    fn block(&mut self, column: usize) -> Option<Node> {
        if self.is_item() {
            return self.nested(|reader| reader.items(column));
        }
        if let b'{' | b'[' = self.byte()? {
            let node = self.flow()?;
            self.end_line()?;
            return Some(node);
        }
        let first = self.scalar(false)?;
        if self.is_colon() {
            return self.nested(|reader| reader.fields(first, column));
        }
        self.end_line()?;
        Some(first)
    }

    /// The items of a list: lines that begin with `-` in this column.
    fn items(&mut self, column: usize) -> Option<Node> {
        let span = self.at..self.at;
        let mut items = Vec::new();
        loop {
            self.at += 1;
            items.push(match self.rest_of_line()? {
                Rest::Content => self.block(self.column())?,
                Rest::Nothing => return None,
            });
            if !self.goes_on(column)? || !self.is_item() {
                return self.node(Value::List(items), span);
            }
        }
    }

    /// The fields of a mapping: lines that begin in this column. The first name has been read.
    fn fields(&mut self, first: Node, column: usize) -> Option<Node> {
        let span = first.span.start..first.span.start;
        let (mut entries, mut key) = (Vec::new(), first);
        loop {
            let (name, key_span) = self.name(key)?;
            let node = self.field(column)?;
            entries.push(Entry { key: name, key_span, node });
            if !self.goes_on(column)? {
                entries.shrink_to_fit();
                return self.node(Value::Map(entries), span);
            }
            if self.is_item() {
                return None;
            }
            key = self.scalar(false)?;
        }
    }

    /// The value after a name: in the same line, or in a block below.
    fn field(&mut self, column: usize) -> Option<Node> {
        if let Rest::Content = self.rest_of_line()? {
            if let b'{' | b'[' = self.byte()? {
                let node = self.flow()?;
                self.end_line()?;
                return Some(node);
            }
            let node = self.scalar(false)?;
            self.end_line()?;
            return Some(node);
        }
        let inner = self.next_line()?;
        if inner > column {
            return self.block(inner);
        }
        // A list may stand below the name itself; the parser takes it to begin with its first item.
        let mut list = if inner == column && self.is_item() { self.block(inner)? } else { return None };
        if let Value::List(items) = &list.value {
            let start = items.first()?.span.start;
            list.span = start..start;
        }
        Some(list)
    }

    /// What stands between `{}` or `[]`.
    fn flow(&mut self) -> Option<Node> {
        self.nested(|reader| {
            let span = reader.at..reader.at + 1;
            let is_map = reader.byte()? == b'{';
            reader.at += 1;
            let value = if is_map { reader.flow_fields()? } else { reader.flow_items()? };
            reader.node(value, span)
        })
    }

    fn flow_fields(&mut self) -> Option<Value> {
        let mut entries = Vec::new();
        self.skip_space();
        while !self.takes(b'}') {
            let key = self.scalar(true)?;
            let is_quoted = matches!(key.value, Value::Scalar { style: Style::Quoted, .. });
            let (key, key_span) = self.name(key)?;
            if !is_quoted && !matches!(self.byte()?, b' ' | b'\n') {
                return None;
            }
            let node = self.flow_value()?;
            entries.push(Entry { key, key_span, node });
            self.separated(b'}')?;
        }
        entries.shrink_to_fit();
        Some(Value::Map(entries))
    }

    fn flow_items(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        self.skip_space();
        while !self.takes(b']') {
            items.push(self.flow_value()?);
            self.separated(b']')?;
        }
        Some(Value::List(items))
    }

    fn flow_value(&mut self) -> Option<Node> {
        self.skip_space();
        match self.byte()? {
            b'{' | b'[' => self.flow(),
            _ => self.scalar(true),
        }
    }

    /// Goes past the comma after a value, or up to the bracket that ends them all.
    fn separated(&mut self, end: u8) -> Option<()> {
        self.skip_space();
        if self.takes(b',') {
            self.skip_space();
            return (self.byte()? != end).then_some(());
        }
        (self.byte()? == end).then_some(())
    }

    /// Text with or without quotes, all in one line.
    fn scalar(&mut self, in_flow: bool) -> Option<Node> {
        let start = self.at;
        let (text, style) = match self.byte()? {
            quote @ (b'"' | b'\'') => (self.quoted(quote)?, Style::Quoted),
            _ => (self.plain(in_flow)?, Style::Plain),
        };
        let text = self.text[text].to_owned();
        self.node(Value::Scalar { text, style }, start..self.at)
    }

    fn quoted(&mut self, quote: u8) -> Option<Range<usize>> {
        let start = self.at + 1;
        let ends = |byte: &u8| *byte == quote || matches!(byte, b'\\' | b'\n');
        let end = start + self.text.as_bytes()[start..].iter().position(ends)?;
        self.at = end;
        let is_alone = self.takes(quote) && self.byte() != Some(quote);
        is_alone.then_some(start..end)
    }

    fn plain(&mut self, in_flow: bool) -> Option<Range<usize>> {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        if !begins_plain(bytes[start], bytes.get(start + 1).copied()) {
            return None;
        }
        // Behind the last byte that is not a space.
        let mut end = start;
        for (at, byte) in bytes.iter().enumerate().skip(start) {
            let next = bytes.get(at + 1).copied().unwrap_or(b'\n');
            match byte {
                b'\n' => break,
                b':' if matches!(next, b' ' | b'\n') => break,
                b'#' if end < at => break,
                b',' | b'[' | b']' | b'{' | b'}' if in_flow => break,
                b':' if in_flow && matches!(next, b',' | b'[' | b']' | b'{' | b'}') => return None,
                b' ' => {}
                _ => end = at + 1,
            }
        }
        self.at = end;
        Some(start..end)
    }

    /// What has been read as the name of a field, its colon included.
    fn name(&mut self, node: Node) -> Option<(String, Range<usize>)> {
        if !self.takes(b':') || node.span.len() > LONGEST_KEY {
            return None;
        }
        match node.value {
            Value::Scalar { text, .. } => Some((text, node.span)),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Reads a list or mapping, unless it is too deep.
    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Node>) -> Option<Node> {
        self.depth += 1;
        let node = if self.depth <= DEPTH { read(self)? } else { return None };
        self.depth -= 1;
        Some(node)
    }

    /// A finished value, unless there are too many.
    fn node(&mut self, value: Value, span: Range<usize>) -> Option<Node> {
        self.values += 1;
        (self.values <= VALUES).then(|| Node::new(value, span))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.byte() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn is_item(&self) -> bool {
        let next = self.text.as_bytes().get(self.at + 1);
        self.byte() == Some(b'-') && matches!(next, None | Some(b' ' | b'\n'))
    }

    /// Whether the text before this place is the name of a field.
    fn is_colon(&self) -> bool {
        let next = self.text.as_bytes().get(self.at + 1);
        self.byte() == Some(b':') && matches!(next, None | Some(b' ' | b'\n'))
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n') = self.byte() {
            self.at += 1;
        }
    }

    /// Goes to what follows in this line, if anything does; a comment is nothing.
    fn rest_of_line(&mut self) -> Option<Rest> {
        let start = self.at;
        while self.takes(b' ') {}
        match self.byte() {
            None | Some(b'\n') => Some(Rest::Nothing),
            Some(b'#') if start < self.at => Some(Rest::Nothing),
            Some(_) => (start < self.at).then_some(Rest::Content),
        }
    }

    /// Goes past a line that is to hold nothing more, to the next one that holds something.
    fn end_line(&mut self) -> Option<()> {
        match self.rest_of_line()? {
            Rest::Content => return None,
            Rest::Nothing => self.next_line(),
        };
        Some(())
    }

    /// Goes from the end of a line, or a comment, to the next line that holds something; gives its column.
    fn next_line(&mut self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        loop {
            while self.takes(b' ') {}
            match self.byte()? {
                b'\n' => self.at += 1,
                b'#' => {
                    let line = bytes[self.at..].iter().position(|byte| *byte == b'\n');
                    self.at = line.map_or(bytes.len(), |length| self.at + length);
                }
                _ => return Some(self.column()),
            }
        }
    }

    /// Whether the line here belongs to a block in this column; one further in belongs to nothing.
    fn goes_on(&self, column: usize) -> Option<bool> {
        match self.at == self.text.len() {
            true => Some(false),
            false => (self.column() <= column).then(|| self.column() == column),
        }
    }

    fn column(&self) -> usize {
        let line = self.text[..self.at].rfind('\n').map_or(0, |at| at + 1);
        self.at - line
    }
}

/// What is left of a line.
enum Rest {
    Content,
    Nothing,
}

/// Whether text without quotes may begin so, and nothing else does.
fn begins_plain(first: u8, second: Option<u8>) -> bool {
    match first {
        b'-' | b'.' => second.is_some_and(|second| second.is_ascii_alphanumeric() || second == b'/'),
        b'/' | b'_' | b'$' | b'~' | b'(' | b'<' | b'+' => true,
        other => other.is_ascii_alphanumeric(),
    }
}

#[cfg(test)]
mod tests;
