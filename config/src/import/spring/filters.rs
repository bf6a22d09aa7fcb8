//! Filters as a route's settings. One that changes what a service is asked, or that may keep somebody out, costs the
//! route when it cannot be said; one that only adds something is left away and reported.

use serde_json::{Map, Value, json};

use super::definition::{Args, Factory};
use super::predicates::Refused;
use super::rewriting::Rewriting;
use crate::ByteSize;
use crate::import::Effect;

/// What filters make of a route beside its path.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) request: Fields,
    pub(super) response: Fields,
    /// Further settings of the route, by name.
    pub(super) settings: Map<String, Value>,
    /// What is missing or differs: the effect, what, and what to do.
    pub(super) notes: Vec<(Effect, String, String)>,
}

/// Changes to header fields, in the order `remove`, `set`, `add`.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    remove: Vec<String>,
    set: Vec<(String, String)>,
    add: Vec<(String, String)>,
}

impl Fields {
    fn remove(&mut self, name: &str) {
        self.set.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.add.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.remove.push(name.to_owned());
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.remove.retain(|known| !known.eq_ignore_ascii_case(name));
        self.set.push((name.to_owned(), value.to_owned()));
    }

    /// `false` when there is a value to be added already, of which there can be one.
    fn add(&mut self, name: &str, value: &str) -> bool {
        let is_new = !self.add.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if is_new {
            self.add.push((name.to_owned(), value.to_owned()));
        }
        is_new
    }

    /// As it is written; `None` when nothing is changed.
    pub(super) fn written(&self) -> Option<Value> {
        let map = |list: &[(String, String)]| -> Map<String, Value> {
            list.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
        };
        let mut fields = Map::new();
        if !self.remove.is_empty() {
            fields.insert("remove".to_owned(), json!(self.remove));
        }
        for (name, list) in [("set", &self.set), ("add", &self.add)] {
            if !list.is_empty() {
                fields.insert(name.to_owned(), Value::Object(map(list)));
            }
        }
        (!fields.is_empty()).then_some(Value::Object(fields))
    }
}

impl Changes {
    /// Adds what a filter does. Filters of paths go to `rewriting`.
    ///
    /// # Errors
    /// Why the route cannot be carried over.
    pub(super) fn add(&mut self, filter: &Factory, rewriting: &mut Rewriting) -> Result<(), Refused> {
        if let Args::Unset(name) = &filter.args {
            return Err((format!("`${{{name}}}` is set nowhere in the file"), "write its value".to_owned()));
        }
        match filter.name.as_str() {
            "StripPrefix" => {
                let parts = filter.arg(0, "parts").unwrap_or("1");
                let parts =
                    parts.parse().map_err(|_| (format!("`{}`: no number", filter.written), String::new()))?;
                rewriting.strip(parts)
            }
            "PrefixPath" => rewriting.add_prefix(wanted(filter, 0, "prefix")?),
            "SetPath" => rewriting.set(wanted(filter, 0, "template")?),
            "RewritePath" => {
                rewriting.replace(wanted(filter, 0, "regexp")?, wanted(filter, 1, "replacement")?)
            }
            "AddRequestHeader" | "SetRequestHeader" | "RemoveRequestHeader" => self.request_field(filter),
            "AddResponseHeader" | "SetResponseHeader" | "RemoveResponseHeader" => self.response_field(filter),
            "Retry" => self.retry(filter),
            "RequestSize" => self.request_size(filter),
            "LocalResponseCache" => self.cache(filter),
            // The client's `Host` is always passed on, and nothing has to be buffered for it.
            "PreserveHostHeader" | "CacheRequestBody" | "SaveSession" => Ok(()),
            other => self.without(other, filter),
        }
    }

    fn request_field(&mut self, filter: &Factory) -> Result<(), Refused> {
        let name = wanted(filter, 0, "name")?;
        if filter.name == "RemoveRequestHeader" {
            self.request.remove(name);
            return Ok(());
        }
        let value = wanted(filter, 1, "value")?;
        if value.contains('{') {
            let what = format!("`{}`: values of header fields hold no captures", filter.written);
            return Err((what, "let the service take it from the path".to_owned()));
        }
        match filter.name.as_str() {
            "SetRequestHeader" => self.request.set(name, value),
            _ if !self.request.add(name, value) => {
                let what = format!("`{}`: a second value for one field cannot be added", filter.written);
                return Err((what, "join the two values with a comma".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    fn response_field(&mut self, filter: &Factory) -> Result<(), Refused> {
        let name = wanted(filter, 0, "name")?;
        if filter.name == "RemoveResponseHeader" {
            self.response.remove(name);
            return Ok(());
        }
        let value = wanted(filter, 1, "value")?;
        let only_if_absent = filter.arg(2, "override") == Some("false");
        if value.contains('{') || only_if_absent {
            let what = format!("`{}`: captures and conditions have no equivalent", filter.written);
            self.missing(&what, "let the service add the field");
        } else if filter.name == "SetResponseHeader" {
            self.response.set(name, value);
        } else if !self.response.add(name, value) {
            let what = format!("`{}`: a second value for one field cannot be added", filter.written);
            self.missing(&what, "join the two values with a comma");
        }
        Ok(())
    }

    fn retry(&mut self, filter: &Factory) -> Result<(), Refused> {
        let retries: u32 = filter.arg(0, "retries").unwrap_or("3").parse().unwrap_or(3);
        let attempts = retries.saturating_add(1).clamp(1, 10);
        self.settings.insert("retry".to_owned(), json!({"attempts": attempts}));
        let note = format!(
            "`{}`: failed connections are repeated, answers with an error status are not",
            filter.written
        );
        let instead = "on another instance, at once, and only where nothing can have been done";
        self.notes.push((Effect::Differs, note, instead.to_owned()));
        Ok(())
    }

    fn request_size(&mut self, filter: &Factory) -> Result<(), Refused> {
        let written = filter.arg(0, "maxSize").unwrap_or("5000000B");
        let size = size(written).ok_or_else(|| {
            (format!("`{written}` is no size"), "write `max_body` by hand, such as `5MiB`".to_owned())
        })?;
        self.settings.insert("max_body".to_owned(), json!(ByteSize(size)));
        Ok(())
    }

    fn cache(&mut self, filter: &Factory) -> Result<(), Refused> {
        let ttl = filter.arg(0, "timeToLive").and_then(period);
        match ttl {
            Some(ttl) => _ = self.settings.insert("cache".to_owned(), json!({"ttl": ttl})),
            None => self.missing("`LocalResponseCache` without a time to live", "write `cache: {ttl: 5m}`"),
        }
        if filter.arg(1, "size").is_some() {
            let note = "the cache has one size for all routes".to_owned();
            self.notes.push((Effect::Differs, note, "write it under `cache.max_size`".to_owned()));
        }
        Ok(())
    }

    fn missing(&mut self, what: &str, instead: &str) {
        self.notes.push((Effect::Missing, what.to_owned(), instead.to_owned()));
    }

    /// Filters without an equivalent.
    fn without(&mut self, name: &str, filter: &Factory) -> Result<(), Refused> {
        let instead = match name {
            "CircuitBreaker" | "FallbackHeaders" | "Hystrix" => {
                "an instance that fails is set aside by itself; there is no fallback: let the caller have one"
            }
            "RequestRateLimiter" => {
                "nothing limits the rate here yet: keep a limiter in front, or in the service"
            }
            "RequestHeaderSize" => "write `limits.header_line`, which holds for all routes",
            "DedupeResponseHeader" | "RewriteLocationResponseHeader" | "RewriteResponseHeader" => {
                "let the service answer as the client is to see it"
            }
            "SecureHeaders" => {
                "write them under `response_headers.set`: X-Content-Type-Options, X-Frame-Options, \
                 Strict-Transport-Security, Referrer-Policy, Content-Security-Policy and the like"
            }
            "SetStatus" => "let the service answer with it",
            _ => return Err(refusal(name)),
        };
        self.missing(&format!("`{}` has no equivalent", filter.written), instead);
        Ok(())
    }
}

fn refusal(name: &str) -> Refused {
    let instead = match name {
        "RedirectTo" => "let a service answer with the redirect",
        "AddRequestParameter" | "RemoveRequestParameter" | "RewriteRequestParameter" => {
            "queries pass unchanged: let the service look at a header field, or at the query as it is"
        }
        "AddRequestHeadersIfNotPresent" => {
            "write `request_headers: {set: …}` if the value of the client may be lost"
        }
        "MapRequestHeader" => "let the service read the field under its own name",
        "SetRequestHostHeader" => "the client's `Host` is passed on: let the service take it",
        "SetRequestUri" | "RequestHeaderToRequestUri" => "write a route for each place",
        "TokenRelay" => {
            "the client's own `Authorization` is passed on; sessions with tokens are a service's work"
        }
        "ModifyRequestBody" | "ModifyResponseBody" | "RemoveJsonAttributesResponseBody" | "JsonToGrpc" => {
            "bodies pass unchanged: let the service do it"
        }
        _ => {
            "it may be code of your own that keeps somebody out: see what it does, then write the route by hand"
        }
    };
    (format!("the filter `{name}` has no equivalent"), instead.to_owned())
}

fn wanted<'f>(filter: &'f Factory, position: usize, name: &str) -> Result<&'f str, Refused> {
    let missing = || (format!("`{}` lacks `{name}`", filter.written), "write it".to_owned());
    filter.arg(position, name).ok_or_else(missing)
}

/// A data size of Spring's, in bytes: `5MB` is 5 MiB to it, a bare number bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A duration of Spring's (`30s`, `5m`, `500ms`, `PT5M`, a bare number of milliseconds) as one of this file's.
pub(super) fn period(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("pt").unwrap_or(&text);
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "ms" => "ms",
        "s" => "s",
        "m" => "m",
        "h" => "h",
        "d" => "d",
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|number| *number > 0).map(|number| format!("{number}{unit}"))
}
