//! JSON Schema of the documents, made from the types themselves: what an editor completes and explains is what
//! the loader accepts.

use schemars::schema_for;
use serde_json::{Value, json};

use crate::{ControlPlaneConfig, DesiredState, GatewayConfig, Kind, SidecarConfig};

/// The JSON Schema (draft 2020-12) of one kind of document, `kind` included. Values with a variable
/// (`${PORT:-80}`) are text to a schema: it knows what the loader sees after they are replaced.
pub fn schema(kind: Kind) -> Value {
    let schema = match kind {
        Kind::Gateway => schema_for!(GatewayConfig),
        Kind::Sidecar => schema_for!(SidecarConfig),
        Kind::ControlPlane => schema_for!(ControlPlaneConfig),
        Kind::DesiredState => schema_for!(DesiredState),
    };
    let mut schema = schema.to_value();
    let about = "Which kind of process this document is for.";
    let kind = json!({"const": kind.name(), "description": about});
    schema["properties"]["kind"] = kind;
    match schema["required"].as_array_mut() {
        Some(required) => required.insert(0, json!("kind")),
        None => schema["required"] = json!(["kind"]),
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_schema_that_names_itself_and_refuses_the_unknown() {
        for kind in Kind::ALL {
            let schema = schema(kind);
            assert_eq!(schema["properties"]["kind"]["const"], kind.name());
            assert_eq!(schema["required"][0], "kind");
            assert_eq!(schema["additionalProperties"], false);
            assert_eq!(schema["type"], "object");
        }
    }

    #[test]
    fn units_and_routes_are_described() {
        let schema = schema(Kind::Gateway);
        assert_eq!(schema["$defs"]["Period"]["type"], "string");
        assert!(schema["$defs"]["RouteConfig"]["properties"]["match"].is_object());
    }
}
