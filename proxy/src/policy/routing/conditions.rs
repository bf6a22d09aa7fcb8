//! Everything a route asks of a request, ready to be compared without allocation.

use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use portreeve_config::{Fault, HeaderMatch, RouteConfig};

use super::{PathPattern, RequestView};

/// The compiled `match` section of a route.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// The host, in lower case.
    pub host: Option<Box<str>>,
    /// The path.
    pub path: PathPattern,
    /// The methods; any when empty.
    pub methods: Vec<Method>,
    headers: Vec<(HeaderName, Wanted<HeaderValue>)>,
    query: Vec<(Box<str>, Wanted<String>)>,
    priority: i32,
}

#[derive(Clone, Debug)]
enum Wanted<T> {
    Exactly(T),
    Present,
    Absent,
}

impl Conditions {
    /// Only a host, or any, and a path.
    pub fn of(host: Option<Box<str>>, path: PathPattern) -> Self {
        Self { host, path, methods: Vec::new(), headers: Vec::new(), query: Vec::new(), priority: 0 }
    }

    pub(super) fn compile(route: &RouteConfig) -> Result<Self, Fault> {
        let matches = &route.matches;
        let path = PathPattern::parse(&matches.path).map_err(|problem| Fault::new("match.path", problem))?;
        let mut conditions = Self {
            host: matches.host.as_ref().map(|host| host.to_ascii_lowercase().into()),
            path,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            priority: route.priority,
        };
        for (index, method) in matches.methods.iter().enumerate() {
            let fault =
                |_| Fault::new(format!("match.methods[{index}]"), format!("`{}` is not a method", method.0));
            conditions.methods.push(Method::from_bytes(method.0.as_bytes()).map_err(fault)?);
        }
        for (name, wanted) in &matches.headers {
            conditions.headers.push(header(name, wanted)?);
        }
        for (name, wanted) in &matches.query {
            let wanted = match wanted {
                HeaderMatch::Exact(value) => Wanted::Exactly(value.clone()),
                HeaderMatch::Present(rule) => presence(rule.present),
            };
            conditions.query.push((name.as_str().into(), wanted));
        }
        Ok(conditions)
    }

    /// Whether the method fits; `GET` takes `HEAD` too (RFC 9110, 9.3.2).
    pub(super) fn takes_method(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Whether header and query conditions hold.
    pub(super) fn hold(&self, request: &RequestView<'_>) -> bool {
        self.headers.iter().all(|(name, wanted)| wanted.fits(request.headers.get_all(name).iter()))
            && self
                .query
                .iter()
                .all(|(name, wanted)| wanted.fits(query_values(request.query.unwrap_or_default(), name)))
    }

    /// Each condition beyond host and path on its own, in the order in which they are looked at.
    pub fn checks(&self, request: &RequestView<'_>) -> Vec<Check> {
        let headers = self.headers.iter().map(|(name, wanted)| {
            let values = || request.headers.get_all(name).iter();
            let found = values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let (wanted, holds) = (wanted.text(), wanted.fits(values()));
            Check { part: Part::Header, name: name.as_str().into(), wanted, found: found.collect(), holds }
        });
        let query = self.query.iter().map(|(name, wanted)| {
            let values = || query_values(request.query.unwrap_or_default(), name);
            let (wanted, holds) = (wanted.text(), wanted.fits(values()));
            Check { part: Part::Query, name: name.clone().into(), wanted, found: values().collect(), holds }
        });
        let methods = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let method = (!self.methods.is_empty()).then(|| Check {
            part: Part::Method,
            name: String::new(),
            wanted: Some(methods),
            found: vec![request.method.to_string()],
            holds: self.takes_method(request.method),
        });
        headers.chain(query).chain(method).collect()
    }

    /// Larger is tried first.
    pub(super) fn rank(&self) -> (i32, usize) {
        let conditions = usize::from(!self.methods.is_empty()) + self.headers.len() + self.query.len();
        (self.priority, conditions)
    }
}

/// One condition of a route beside host and path, and whether a request meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which part of the request it looks at.
    pub part: Part,
    /// The header field or query parameter; empty for the method.
    pub name: String,
    /// What is wanted: this text, or for `None` what `holds` says of its presence.
    pub wanted: Option<String>,
    /// What the request has.
    pub found: Vec<String>,
    /// Whether that is what is wanted.
    pub holds: bool,
}

/// A part of a request that conditions look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A header field.
    Header,
    /// A query parameter.
    Query,
    /// The method.
    Method,
}

impl<T: AsRef<[u8]>> Wanted<T> {
    fn fits(&self, mut values: impl Iterator<Item = impl AsRef<[u8]>>) -> bool {
        match self {
            Self::Exactly(value) => values.any(|given| given.as_ref() == value.as_ref()),
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Exactly(value) => Some(String::from_utf8_lossy(value.as_ref()).into_owned()),
            Self::Present | Self::Absent => None,
        }
    }
}

fn header(name: &str, wanted: &HeaderMatch) -> Result<(HeaderName, Wanted<HeaderValue>), Fault> {
    let place = || format!("match.headers.{name}");
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Fault::new(place(), format!("`{name}` is not a header field's name")))?;
    let wanted = match wanted {
        HeaderMatch::Exact(value) => Wanted::Exactly(
            HeaderValue::from_str(value)
                .map_err(|_| Fault::new(place(), "the value holds characters no header field can hold"))?,
        ),
        HeaderMatch::Present(rule) => presence(rule.present),
    };
    Ok((parsed, wanted))
}

fn presence<T>(present: bool) -> Wanted<T> {
    if present { Wanted::Present } else { Wanted::Absent }
}

fn query_values<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = String> + 'q {
    query.split('&').filter(|pair| !pair.is_empty()).filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key) == name).then(|| decoded(value))
    })
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
