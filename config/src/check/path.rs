//! The path of a route: which forms there are, and which names a template has to offer to rewrites and tags.

use std::collections::BTreeSet;

use crate::{Fault, Rewrite};

/// What the rest of a route may lean on.
pub(super) struct Template<'a> {
    /// The names of its `{name}` segments.
    pub(super) names: BTreeSet<&'a str>,
    /// Whether it ends in `/*`.
    pub(super) prefix: bool,
    /// Segments, the last `*` not counted.
    pub(super) segments: usize,
}

impl<'a> Template<'a> {
    /// Reads the path of a route.
    pub(super) fn parse(path: &'a str) -> Result<Self, Fault> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(Fault::new("", "a path begins with `/`").hint(format!("write `/{path}`")));
        };
        let mut template = Template { names: BTreeSet::new(), prefix: false, segments: 0 };
        if rest.is_empty() {
            return Ok(template);
        }
        let last = rest.split('/').count() - 1;
        for (index, segment) in rest.split('/').enumerate() {
            if segment == "*" && index == last {
                template.prefix = true;
                break;
            }
            template.segments += 1;
            if let Some(name) = placeholder(segment)? {
                if !template.names.insert(name) {
                    return Err(Fault::new("", format!("`{{{name}}}` stands in this path twice")));
                }
            } else if !segment.is_empty() || index != last {
                plain_segment(segment)?;
                canonical_segment(segment)?;
            }
        }
        Ok(template)
    }
}

/// The name of a segment that is a `{name}` as a whole.
fn placeholder(segment: &str) -> Result<Option<&str>, Fault> {
    let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        if segment.contains(['{', '}']) {
            return Err(Fault::new("", format!("`{segment}`: a placeholder is a whole segment"))
                .hint("write `/{name}/` between two slashes"));
        }
        return Ok(None);
    };
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if starts && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Ok(Some(name));
    }
    Err(Fault::new("", format!("`{{{name}}}` is not a placeholder"))
        .hint("its name is letters, digits and `_`, and does not begin with a digit"))
}

fn plain_segment(segment: &str) -> Result<(), Fault> {
    if segment.contains('*') {
        return Err(Fault::new("", "`*` can only be the whole last segment")
            .hint("write `/prefix/*`, or `{name}` for one segment"));
    }
    literal(segment)
}

/// Whether a text can stand between two slashes of a route's path.
pub(crate) fn is_plain_segment(segment: &str) -> bool {
    !segment.contains(['{', '}'])
        && plain_segment(segment).is_ok()
        && (segment.is_empty() || canonical_segment(segment).is_ok())
}

/// Requests are routed by one spelling of their path (RFC 3986, 6.2.2): a route in another one would never be found, and
/// what it was to guard would go by a broader one.
fn canonical_segment(segment: &str) -> Result<(), Fault> {
    if segment.starts_with(".;") || segment.starts_with("..;") {
        let fault = Fault::new("", format!("`{segment}` is never found: such a path is refused"));
        return Err(fault.hint("write the path without `.` and `..`"));
    }
    let mut canonical = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        canonical.push_str(&rest[..at]);
        let (encoding, after) = rest[at..].split_at(rest.len().min(at + 3) - at);
        let byte = u8::from_str_radix(encoding.get(1..).unwrap_or_default(), 16).unwrap_or_default();
        match byte {
            b'/' | b'\\' | 0..=0x1f | 0x7f => {
                let problem = format!("`{segment}` is never found: a request with `{encoding}` is refused");
                return Err(Fault::new("", problem).hint("a placeholder `{name}` does not take it either"));
            }
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                canonical.push(char::from(byte))
            }
            _ => canonical.push_str(&encoding.to_ascii_uppercase()),
        }
        rest = after;
    }
    canonical.push_str(rest);
    if canonical == segment {
        return Ok(());
    }
    let fault =
        Fault::new("", format!("`{segment}` is never found: requests are routed by another spelling of it"));
    Err(fault.hint(format!("write `{canonical}`")))
}

/// One segment of RFC 3986 (3.3, `segment-nz`), and none that changes which path is meant.
fn literal(segment: &str) -> Result<(), Fault> {
    if segment.is_empty() {
        return Err(Fault::new("", "a path cannot hold `//`").hint("keep one `/`"));
    }
    if is_dots(segment) {
        return Err(Fault::new("", format!("the segment `{segment}` leads elsewhere"))
            .hint("write the path without `.` and `..`"));
    }
    if segment.contains(['?', '#']) {
        return Err(
            Fault::new("", "a path ends before `?` and `#`").hint("use `query:` for query parameters")
        );
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            if !digits.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())) {
                return Err(Fault::new("", format!("`{segment}`: `%` needs two hexadecimal digits"))
                    .hint("write `%25` for a percent sign"));
            }
        } else if !byte.is_ascii_alphanumeric() && !b"-._~!$&'()+,;=:@".contains(&byte) {
            return Err(Fault::new("", format!("`{segment}` holds a character that a path cannot hold"))
                .hint("percent-encode it"));
        }
    }
    Ok(())
}

/// Whether a segment is `.` or `..`, also when written as `%2e`.
fn is_dots(segment: &str) -> bool {
    // Nearly every segment is seen not to be by its first byte.
    segment.starts_with(['.', '%'])
        && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Every fault of a rewrite, by the name of its form. `template` is `None` when the route's path is faulty.
pub(super) fn rewrite(rewrite: &Rewrite, template: Option<&Template<'_>>) -> Option<Fault> {
    match rewrite {
        Rewrite::StripSegments(count) => strip(*count, template).map(|fault| fault.under("strip_segments")),
        Rewrite::AddPrefix(prefix) => add_prefix(prefix).err().map(|fault| fault.under("add_prefix")),
        Rewrite::Path(path) => whole_path(path, template).err().map(|fault| fault.under("path")),
    }
}

fn strip(count: usize, template: Option<&Template<'_>>) -> Option<Fault> {
    if count == 0 {
        return Some(Fault::new("", "stripping 0 segments changes nothing").hint("leave `rewrite` out"));
    }
    let template = template.filter(|template| !template.prefix && template.segments < count)?;
    Some(Fault::new("", format!("the route's path has {} segments to strip, not {count}", template.segments)))
}

fn add_prefix(prefix: &str) -> Result<(), Fault> {
    let segments = from_root(prefix)?;
    if segments.is_empty() {
        return Err(Fault::new("", "the prefix `/` changes nothing").hint("leave `rewrite` out"));
    }
    if segments.ends_with('/') {
        return Err(Fault::new("", "a prefix does not end in `/`")
            .hint(format!("write `{}`", prefix.trim_end_matches('/'))));
    }
    segments.split('/').try_for_each(plain_text)
}

fn whole_path(path: &str, template: Option<&Template<'_>>) -> Result<(), Fault> {
    let segments = from_root(path)?;
    let last = segments.split('/').count() - 1;
    for (index, segment) in segments.split('/').enumerate() {
        if segment == "{*}" && index == last {
            if template.is_some_and(|template| !template.prefix) {
                return Err(Fault::new(
                    "",
                    "`{*}` stands for what a `*` took, and the route's path has none",
                )
                .hint("end the route's path in `/*`"));
            }
            continue;
        }
        if segment.contains("{*}") {
            return Err(Fault::new("", "`{*}` can only be the whole last segment"));
        }
        let filled = placeholders(segment, template)?;
        if !filled.is_empty() || index != last {
            plain_segment(&filled)?;
        }
    }
    Ok(())
}

fn from_root(path: &str) -> Result<&str, Fault> {
    path.strip_prefix('/')
        .ok_or_else(|| Fault::new("", "a path begins with `/`").hint(format!("write `/{path}`")))
}

fn plain_text(segment: &str) -> Result<(), Fault> {
    if segment.contains(['{', '}']) {
        return Err(Fault::new("", "a prefix cannot hold placeholders").hint("use `rewrite: {path: …}`"));
    }
    plain_segment(segment)
}

/// The text with an `x` for every `{name}`, each of which the template must have.
pub(super) fn placeholders(text: &str, template: Option<&Template<'_>>) -> Result<String, Fault> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let closed = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, after)) = closed.filter(|(name, _)| !name.contains('{')) else {
            return Err(Fault::new("", format!("`{text}`: braces come in pairs")));
        };
        if let Some(template) = template.filter(|template| !template.names.contains(name)) {
            let fault = Fault::new("", format!("the route's path has no `{{{name}}}`"));
            return Err(match crate::suggest::closest(name, template.names.iter().copied()) {
                Some(close) => fault.hint(format!("did you mean `{{{close}}}`?")),
                None => fault.hint("placeholders come from `match.path`"),
            });
        }
        out.push('x');
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
