//! `docs/openapi.v1.json`: the document that programs against this API are generated from.

mod operations;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::Problem;
pub use operations::{Content, OPERATIONS, Operation};

/// The document, as text.
///
/// # Errors
/// It cannot be written as JSON.
pub fn document() -> Result<String, serde_json::Error> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Problem>().to_value();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(operation, &problem, &mut schemas);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Packet captures: uploads, reports, live captures",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": "capture_session" },
            },
            "schemas": schemas.take_definitions(true),
        },
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn described(operation: &Operation, problem: &Value, schemas: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = names(operation.path)
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    parameters.extend(operation.query.iter().map(|(name, kind, meaning)| {
        json!({
            "name": name,
            "in": "query",
            "required": false,
            "description": meaning,
            "schema": { "type": kind },
        })
    }));
    let mut answer = json!({ "description": operation.answer });
    if let Some(content) = content(&operation.content, schemas) {
        answer["content"] = content;
    }
    let mut described = json!({
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters,
        "responses": {
            (operation.status.to_string()): answer,
            "default": {
                "description": "The request was not carried out.",
                "content": { "application/problem+json": { "schema": problem } },
            },
        },
    });
    if let Some(content) = content(&operation.body, schemas) {
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

/// The parameters in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn content(content: &Content, schemas: &mut SchemaGenerator) -> Option<Value> {
    Some(match content {
        Content::None => return None,
        Content::Json(schema) => json!({ "application/json": { "schema": schema(schemas) } }),
        Content::Events(schema) => {
            // The content of each event's data.
            json!({ "text/event-stream": { "schema": schema(schemas) } })
        }
        Content::Bytes(media_type) => json!({ *media_type: {} }),
        Content::Files => json!({ "multipart/form-data": { "schema": {
            "type": "object",
            "required": ["file"],
            "properties": { "file": {
                "type": "array",
                "items": { "type": "string", "contentMediaType": "application/octet-stream" },
                "description": "A capture file; several are the rotated files of one capture.",
            } },
        } } }),
    })
}
