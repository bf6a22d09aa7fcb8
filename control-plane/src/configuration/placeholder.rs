//! `${key}` and `${key:default}` in values, looked up among the fetched properties and nowhere else: never in the
//! environment of this process.

/// Placeholders inside each other; a circle ends here and stays as it is written.
const DEPTH: usize = 24;
/// Placeholders that are looked up for one value, and for all values of an answer: those inside each other multiply.
const LOOK_UPS: usize = 10_000;
const ALL_LOOK_UPS: usize = 500_000;
/// What one value may grow to; a value that grows further stays as it is written.
const BYTES: usize = 1024 * 1024;

/// A text with its placeholders replaced. What is not found and has no default stays; `\${` becomes `${`.
pub(crate) fn resolve(text: &str, look_up: &dyn Fn(&str) -> Option<String>) -> String {
    resolve_within(text, look_up, &mut Patience::default())
}

/// How many placeholders may still be looked up; what comes after that stays as it is written.
pub(super) struct Patience(usize);

impl Default for Patience {
    fn default() -> Self {
        Self(ALL_LOOK_UPS)
    }
}

/// As [`resolve`], for one of several texts.
pub(super) fn resolve_within(
    text: &str,
    look_up: &dyn Fn(&str) -> Option<String>,
    patience: &mut Patience,
) -> String {
    if !text.contains("${") {
        return text.to_owned();
    }
    // A whole file of text has many placeholders of its own.
    let look_ups = LOOK_UPS.max(text.len()).min(patience.0);
    let mut resolver = Resolver { look_up, left: BYTES, look_ups };
    let resolved = resolver.text(text, 0).unwrap_or_else(|| text.to_owned());
    patience.0 -= look_ups - resolver.look_ups;
    resolved
}

struct Resolver<'a> {
    look_up: &'a dyn Fn(&str) -> Option<String>,
    /// Bytes that may still be made.
    left: usize,
    look_ups: usize,
}

impl Resolver<'_> {
    /// `None` when it goes too deep or grows too large.
    fn text(&mut self, text: &str, depth: usize) -> Option<String> {
        if depth > DEPTH {
            return None;
        }
        let mut resolved = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let before = &rest[..at];
            let bare = before.strip_suffix('\\').map(|bare| bare.strip_suffix('\\').unwrap_or(bare));
            if let Some(bare) = bare {
                self.push(&mut resolved, bare)?;
                self.push(&mut resolved, "${")?;
                rest = &rest[at + 2..];
                continue;
            }
            self.push(&mut resolved, before)?;
            let Some(length) = inside(&rest[at + 2..]) else {
                rest = &rest[at..];
                break;
            };
            let inner = &rest[at + 2..at + 2 + length];
            match self.placeholder(inner, depth)? {
                Some(value) => self.push(&mut resolved, &value)?,
                None => self.push(&mut resolved, &rest[at..at + 3 + length])?,
            }
            rest = &rest[at + 3 + length..];
        }
        self.push(&mut resolved, rest)?;
        Some(resolved)
    }

    /// What stands for a placeholder; the inner `None` when there is nothing.
    fn placeholder(&mut self, inner: &str, depth: usize) -> Option<Option<String>> {
        self.look_ups = self.look_ups.checked_sub(1)?;
        let key = self.text(inner, depth + 1)?;
        if let Some(value) = (self.look_up)(&key) {
            return self.text(&value, depth + 1).map(Some);
        }
        let Some((key, default)) = key.split_once(':') else { return Some(None) };
        match (self.look_up)(key) {
            Some(value) => self.text(&value, depth + 1).map(Some),
            None => Some(Some(default.to_owned())),
        }
    }

    fn push(&mut self, resolved: &mut String, text: &str) -> Option<()> {
        self.left = self.left.checked_sub(text.len())?;
        resolved.push_str(text);
        Some(())
    }
}

/// The length of what stands between `${` and its own `}`.
fn inside(text: &str) -> Option<usize> {
    let mut open = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> String {
        resolve(text, &|key| {
            let value = match key {
                "a" => "1",
                "b" => "${a}2",
                "name" => "a",
                "round" => "${round}",
                "one" => "${other}",
                "other" => "${one}",
                "k:x" => "whole",
                "grow" => return Some("${a}".repeat(600_000)),
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn placeholders_that_multiply_come_to_an_end() {
        let four_times = |key: &str| match key.parse() {
            Ok(0) => Some(String::new()),
            Ok(level) => Some(format!("${{{0}}}", level - 1_u32).repeat(4)),
            Err(_) => None,
        };
        assert_eq!(resolve("${3}", &four_times), "");
        assert_eq!(resolve("${20}", &four_times), "${20}");
        let (mut patience, began) = (Patience::default(), std::time::Instant::now());
        for _ in 0..100_000 {
            resolve_within("${20}", &four_times, &mut patience);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn placeholders_are_replaced_from_what_was_fetched() {
        for (text, expected) in [
            ("${a}", "1"),
            ("x${a}y${b}z", "x1y12z"),
            ("${none}", "${none}"),
            ("${none:d}", "d"),
            ("${none:}", ""),
            ("${a:d}", "1"),
            ("${none:${a}}", "1"),
            ("${${name}}", "1"),
            ("${k:x}", "whole"),
            ("${none:a:b}", "a:b"),
            ("\\${a}", "${a}"),
            ("\\\\${a}", "${a}"),
            ("${a", "${a"),
            ("$a {a}", "$a {a}"),
            ("${PATH}", "${PATH}"),
            ("${round}", "${round}"),
            ("${one}", "${one}"),
            ("${grow}", "${grow}"),
        ] {
            assert_eq!(with(text), expected, "{text}");
        }
    }
}
