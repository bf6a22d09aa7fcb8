//! The OpenAPI 3.1 document of the own API, made from the table of its operations and from the types that handlers
//! take and give.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::operations::{JSON, Operation, SchemaOf};
use super::problem::Problem;
use super::write::ACTOR;

const ABOUT: &str = "Services, instances, routes, configuration, nodes and revisions of a Portreeve control plane. \
                     Every refusal is `application/problem+json` (RFC 9457).";

/// The document of `operations`.
pub(super) fn document(operations: &[Operation]) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method.as_str().to_ascii_lowercase()] = described(operation, &mut generator);
    }
    let refusal = json!({"application/problem+json": {"schema": generator.subschema_for::<Problem>()}});
    let challenge =
        json!({"description": "What may be sent: `Bearer` or `Basic`.", "schema": {"type": "string"}});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Portreeve control plane", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token."},
                "basic": {"type": "http", "scheme": "basic", "description": "The same token as password, under any name."},
            },
            "responses": {
                "Refusal": {"description": "It was refused; nothing was changed.", "content": refusal},
                "Stranger": {
                    "description": "There is no known token with it; nothing was changed.",
                    "headers": {"WWW-Authenticate": challenge},
                    "content": refusal,
                },
                "Forbidden": {"description": "The token may not do this; nothing was changed.", "content": refusal},
            },
        },
    })
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut described = json!({
        "summary": operation.summary,
        "description": format!("Where tokens are configured, it needs {}.", operation.need),
        "security": [{}, {"bearer": []}, {"basic": []}],
        "operationId": operation.id(),
        "parameters": parameters(operation, generator),
        "responses": {
            operation.status.as_str(): success(operation, generator),
            "401": {"$ref": "#/components/responses/Stranger"},
            "403": {"$ref": "#/components/responses/Forbidden"},
            "default": {"$ref": "#/components/responses/Refusal"},
        },
    });
    if let Some(body) = operation.body {
        let mut schema = body(generator);
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|field| !operation.in_path.iter().any(|in_path| field == in_path));
        }
        let content = content(operation, schema.into());
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

fn success(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let schema = match operation.answer {
        Some(answer) => Value::from(answer(generator)),
        None if operation.content == JSON => return json!({"description": "Done."}),
        None => json!(true),
    };
    if operation.content != JSON || schema == json!(true) {
        return json!({"description": operation.summary, "content": content(operation, schema)});
    }
    let revision = json!({
        "type": "object",
        "properties": {"revision": {"type": "integer", "minimum": 0, "description": "What the answer shows is of this revision."}},
        "required": ["revision"],
    });
    let tag = json!({"description": "The same revision, in quotes.", "schema": {"type": "string"}});
    json!({
        "description": operation.summary,
        "headers": {"ETag": tag},
        "content": content(operation, json!({"allOf": [revision, schema]})),
    })
}

fn content(operation: &Operation, schema: Value) -> Value {
    json!({operation.content: {"schema": schema}})
}

fn parameters(operation: &Operation, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<_> = names
        .map(|name| {
            let kind = if name == "revision" { "integer" } else { "string" };
            json!({"name": name, "in": "path", "required": true, "schema": {"type": kind}})
        })
        .collect();
    for query in &operation.query {
        parameters.extend(query_parameters(*query, generator));
    }
    let header = |name: &str, about: &str| json!({"name": name, "in": "header", "schema": {"type": "string"}, "description": about});
    if operation.is_conditional {
        let about =
            "Revisions in quotes, or `*`; the write counts only if what it changes has one of them (412).";
        parameters.push(header("If-Match", about));
    }
    if operation.is_kept {
        parameters.push(header(ACTOR, "Who makes the change, for the history: 1 to 128 characters."));
    }
    parameters
}

fn query_parameters(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema: Schema = query(generator);
    let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let parameter = |(name, mut field): (String, Value)| {
        let about = field.as_object_mut().and_then(|field| field.remove("description"));
        json!({"name": name, "in": "query", "schema": field, "description": about})
    };
    fields.into_iter().map(parameter).collect()
}
