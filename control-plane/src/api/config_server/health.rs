//! `/actuator/health`: whether configuration can be had, asked as a client would ask.

use axum::response::Response;
use serde_json::json;

use super::environment::typed;
use crate::configuration::{Configuration, Query};

/// The application that is asked for.
const PROBE: &str = "app";

/// The health document; `shows_details` for those who may see where configuration comes from.
pub(super) async fn health(configuration: &Configuration, shows_details: bool) -> Response {
    let found = configuration.environment(&Query::of(PROBE, "default"), None).await;
    let is_up = found.is_ok();
    let status = if is_up { "UP" } else { "DOWN" };
    let mut component = json!({"status": status});
    if shows_details {
        component["details"] = match found {
            Ok(environment) => {
                let names: Vec<&str> =
                    environment.sources.iter().map(|source| source.name.as_str()).collect();
                let mut repository = json!({"name": PROBE, "profiles": ["default"], "label": null});
                if !names.is_empty() {
                    repository["sources"] = json!(names);
                }
                json!({"repositories": [repository]})
            }
            Err(fault) => {
                let repository = json!({"application": PROBE, "profiles": "default"});
                json!({"repository": repository, "error": fault.to_string()})
            }
        };
    }
    let body = json!({"status": status, "components": {"configServer": component}});
    let mut response = typed("application/json", body.to_string());
    if !is_up {
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
