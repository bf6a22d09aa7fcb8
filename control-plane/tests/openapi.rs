//! The OpenAPI document against what is really served: its methods, its answers, and what the documentation shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};

use support::{Plane, route};

async fn document(plane: &Plane) -> Value {
    let answer = plane.get("/v1/openapi.json").await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/json"));
    answer.json()
}

fn paths(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document["paths"].as_object().unwrap().iter()
}

#[tokio::test]
async fn each_path_has_the_methods_that_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let document = document(&plane).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut identities = BTreeSet::new();
    for (path, methods) in paths(&document) {
        let mut described: BTreeSet<_> =
            methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        if described.contains("GET") {
            described.insert("HEAD".to_owned());
        }
        let concrete = path.replace("{revision}", "1").replace(['{', '}'], "");
        let refused = plane.send(plane.request("BREW", &concrete).body(Bytes::new()).unwrap()).await;
        assert_eq!(refused.status, 405, "{path}");
        let allowed =
            refused.headers["allow"].to_str().unwrap().split(',').map(|method| method.trim().to_owned());
        assert_eq!(allowed.collect::<BTreeSet<_>>(), described, "{path}");
        for operation in methods.as_object().unwrap().values() {
            assert!(identities.insert(operation["operationId"].to_string()), "{operation}");
            assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{operation}");
        }
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let document = document(&plane).await;
    let mut waiting = vec![&document];
    let mut count = 0;
    while let Some(value) = waiting.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
            count += 1;
        }
        waiting.extend(value.as_object().into_iter().flat_map(|fields| fields.values()));
        waiting.extend(value.as_array().into_iter().flatten());
    }
    assert!(count > 30, "{count}");
}

/// Collects the fields that schemas of an object declare and require, through references and combinations.
fn fields<'a>(
    document: &'a Value,
    schema: &'a Value,
    known: &mut Vec<(String, &'a Value)>,
    needed: &mut Vec<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        fields(document, document.pointer(&reference[1..]).unwrap(), known, needed);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fields(document, part, known, needed);
    }
    let one_of = [&schema["oneOf"], &schema["anyOf"]].into_iter().filter_map(Value::as_array);
    for part in one_of.flatten() {
        fields(document, part, known, &mut Vec::new());
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    known.extend(properties.map(|(name, schema)| (name.clone(), schema)));
    let required = schema["required"].as_array().into_iter().flatten();
    needed.extend(required.map(|name| name.as_str().unwrap().to_owned()));
}

/// As much of JSON Schema as finds a field that is missing, or that nobody said anything of.
fn conforms(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            conforms(document, &schema["items"], item, &format!("{place}[{index}]"));
        }
    }
    let (Value::Object(object), mut known, mut needed) = (value, Vec::new(), Vec::new()) else { return };
    fields(document, schema, &mut known, &mut needed);
    for name in needed {
        assert!(object.contains_key(&name), "{place}: `{name}` is missing in {value}");
    }
    for (name, value) in object {
        let place = format!("{place}.{name}");
        match known.iter().find(|(known, _)| known == name) {
            Some((_, schema)) => conforms(document, schema, value, &place),
            None => assert!(is_map(document, schema), "{place} is not described"),
        }
    }
}

fn is_map(document: &Value, schema: &Value) -> bool {
    let target = schema["$ref"].as_str().and_then(|reference| document.pointer(&reference[1..]));
    schema.get("additionalProperties").is_some_and(|rest| *rest != json!(false))
        || target.is_some_and(|target| is_map(document, target))
        || ["allOf", "anyOf"]
            .iter()
            .filter_map(|of| schema[of].as_array())
            .flatten()
            .any(|part| is_map(document, part))
}

fn answer_schema<'a>(document: &'a Value, method: &str, path: &str, status: &str) -> &'a Value {
    let kind = if status == "default" { "application/problem+json" } else { "application/json" };
    let mut answer = &document["paths"][path][method]["responses"][status];
    if let Some(reference) = answer["$ref"].as_str() {
        answer = document.pointer(&reference[1..]).unwrap();
    }
    let schema = &answer["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {path} {status}: {answer}");
    schema
}

#[tokio::test]
async fn answers_are_what_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let document = document(&plane).await;
    let mut gateway = plane.gateway("gateway-1").await;
    gateway.snapshot().await;
    gateway.say_raw(r#"{"type":"nack","revision":1,"faults":[{"path":"a","problem":"b","hint":"c"}]}"#);
    plane.register("orders", "orders-1", 4001).await;
    let mut full = route("orders", "/orders/{id}", "orders");
    full["timeout"] = json!("5s");
    full["request_headers"] = json!({"set": {"x-a": "b"}, "remove": ["x-c"]});
    full["cache"] = json!({"ttl": "1s", "share": "everyone"});
    let created = plane.json("POST", "/v1/routes", full).await;
    assert_eq!(created.status, 201, "{}", created.text);
    conforms(&document, answer_schema(&document, "post", "/v1/routes", "201"), &created.json(), "created");
    plane.put("/v1/config/orders/default?message=why", json!({"a": "1"})).await;
    let gets = [
        ("/v1/routes", "/v1/routes"),
        ("/v1/routes/{name}", "/v1/routes/orders"),
        ("/v1/services", "/v1/services"),
        ("/v1/instances", "/v1/instances"),
        ("/v1/services/{service}/instances/{id}", "/v1/services/orders/instances/orders-1"),
        ("/v1/config", "/v1/config"),
        ("/v1/config/{application}/{profile}", "/v1/config/orders/default"),
        ("/v1/config/{application}/{profile}/merged", "/v1/config/orders/prod/merged"),
        ("/v1/desired-state", "/v1/desired-state"),
        ("/v1/nodes", "/v1/nodes"),
        ("/v1/revision", "/v1/revision"),
        ("/v1/history", "/v1/history"),
        ("/v1/revisions/{revision}", "/v1/revisions/3"),
        ("/v1/revisions/{revision}/diff", "/v1/revisions/1/diff"),
        ("/v1/revisions/{revision}/acknowledged", "/v1/revisions/0/acknowledged"),
    ];
    for (path, concrete) in gets {
        let answer = plane.get(concrete).await;
        assert_eq!(answer.status, 200, "{concrete}: {}", answer.text);
        conforms(&document, answer_schema(&document, "get", path, "200"), &answer.json(), concrete);
    }
    let described: BTreeSet<_> = paths(&document)
        .filter(|(_, methods)| methods.get("get").is_some())
        .map(|(path, _)| &**path)
        .collect();
    let mut tried: BTreeSet<_> = gets.iter().map(|(path, _)| *path).collect();
    tried.insert("/v1/openapi.json");
    // A file, which `backup.rs` tries.
    tried.insert("/v1/backup");
    assert_eq!(tried, described, "every answer is tried");
    let tried = plane.json("POST", "/v1/revisions/1/rollback?dry_run=true", json!({})).await;
    let schema = answer_schema(&document, "post", "/v1/revisions/{revision}/rollback", "200");
    conforms(&document, schema, &tried.json(), "rollback");
    let refused = plane.put("/v1/routes/a", json!({"match": {"pth": 1}})).await;
    conforms(
        &document,
        answer_schema(&document, "put", "/v1/routes/{name}", "default"),
        &refused.json(),
        "refusal",
    );
}

#[tokio::test]
async fn the_documentation_shows_every_path_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let document = document(&plane).await;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = ["control-plane.md", "revisions.md", "replicas.md"]
        .map(|name| std::fs::read_to_string(docs.join(name)).unwrap());
    let text = text.concat();
    let is_of_path = |character: char| character.is_ascii_alphanumeric() || "/{}_-.".contains(character);
    let shown = text.match_indices("/v1/").map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|character| !is_of_path(character)).unwrap_or(rest.len());
        rest[..end].trim_end_matches(['.', '/'])
    });
    let shown: BTreeSet<_> = shown.collect();
    let fits = |path: &str, shown: &str| {
        let (parts, others): (Vec<_>, Vec<_>) = (path.split('/').collect(), shown.split('/').collect());
        parts.len() == others.len()
            && parts.iter().zip(&others).all(|(part, other)| part == other || part.starts_with('{'))
    };
    for shown in &shown {
        assert!(paths(&document).any(|(path, _)| fits(path, shown)), "{shown} is in the docs and not served");
    }
    for (path, _) in paths(&document) {
        assert!(shown.iter().any(|shown| fits(path, shown)), "{path} is served and not in the docs");
    }
}
