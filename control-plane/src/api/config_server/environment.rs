//! An application's configuration on the wire: source by source as JSON, in the plain form and in the one with
//! origins, and merged as `.properties`, `.yml` and `.json`.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value, json};

use super::asked::Form;
use super::refusal::Refusal;
use crate::configuration::{Environment, PropertySource, merged, nested, resolve, resolved, text};

/// The type that says that values carry their origins.
const WITH_ORIGINS: &str = "application/vnd.spring-cloud.config-server.v2+json";

/// The sources as JSON.
pub(super) fn document(
    environment: &Environment,
    [name, profiles]: [&str; 2],
    label: Option<&str>,
    headers: &HeaderMap,
) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let with_origins = accepted.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(WITH_ORIGINS)
    });
    let sources = environment.sources.iter().map(|source| self::source(source, with_origins));
    let body = json!({
        "name": name,
        "profiles": [profiles],
        "label": label,
        "version": environment.version,
        "state": environment.state,
        "propertySources": sources.collect::<Vec<_>>(),
    });
    typed(if with_origins { WITH_ORIGINS } else { "application/json" }, body.to_string())
}

fn source(source: &PropertySource, with_origins: bool) -> Value {
    let values = source.properties.iter().map(|property| {
        let value = match with_origins {
            true => {
                let (line, column) = property.place;
                json!({"value": property.value, "origin": format!("[{}]:{line}:{column}", source.location)})
            }
            false => property.value.clone(),
        };
        (property.key.clone(), value)
    });
    json!({"name": source.name, "source": values.collect::<Map<_, _>>()})
}

/// Everything merged, in one of the forms.
pub(super) fn file(environment: &Environment, form: Form, resolves: bool) -> Result<Response, Refusal> {
    let flat = merged(&environment.sources);
    if form == Form::Properties {
        let look_up = |key: &str| flat.get(key).map(text);
        let lines = flat.iter().map(|(key, value)| format!("{key}: {}", text(value)));
        let whole = lines.collect::<Vec<_>>().join("\n");
        let whole = if resolves { resolve(&whole, &look_up) } else { whole };
        return Ok(typed("text/plain;charset=UTF-8", whole));
    }
    let tree = nested(&if resolves { resolved(&flat) } else { flat })?;
    Ok(match form {
        Form::Json => typed("application/json", tree.to_string()),
        _ => typed("text/plain;charset=UTF-8", yaml(&tree)?),
    })
}

/// Block style, lists at their parent's column. A document that is no mapping stands for itself.
fn yaml(tree: &Value) -> Result<String, Refusal> {
    let tree = match tree.as_object() {
        Some(map) if map.len() == 1 => map.get("document").unwrap_or(tree),
        Some(map) if map.is_empty() => return Ok("{}\n".to_owned()),
        _ => tree,
    };
    let options = serde_saphyr::ser_options! { compact_list_indent: true, folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(tree, options).map_err(|fault| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the configuration is no YAML: {fault}"))
    })
}

/// An answer of this type.
pub(super) fn typed(kind: &'static str, body: String) -> Response {
    let headers: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, kind)];
    (headers, body).into_response()
}
