//! The manifest's JSON Schema, made from the same table of keys that the reader checks against.

use serde_json::{Map, Value, json};

use super::keys::{self, Key, Shape};

/// The JSON Schema (draft 2020-12) of `windlass.yml`, for editors.
pub fn schema() -> Value {
    let mut schema = object(keys::TOP, &["services"]);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "windlass.yml",
        "description": "What a project delivers with Windlass: services, and environments with their rules.",
    });
    if let (Value::Object(schema), Value::Object(mut head)) = (&mut schema, head) {
        head.append(schema);
        return Value::Object(head);
    }
    schema
}

fn object(keys: &[Key], required: &[&str]) -> Value {
    let properties: Map<String, Value> =
        keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn property(key: &Key) -> Value {
    let mut property = shape(key.shape);
    property["description"] = json!(key.doc);
    property
}

const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

fn shape(shape: Shape) -> Value {
    let path = || json!({ "type": "string", "pattern": "^/" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    match shape {
        Shape::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Cpu => json!({ "type": "number", "minimum": 0.01, "maximum": 1024 }),
        Shape::Duration => json!({ "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h)$" }),
        Shape::Size => json!({ "type": "string", "pattern": "^[0-9]+ ?(KiB|MiB|GiB|KB|MB|GB)$" }),
        Shape::Text => json!({ "type": "string" }),
        Shape::UrlPath | Shape::FilePath => path(),
        Shape::Label => json!({ "type": "string", "pattern": LABEL }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Texts => texts(),
        Shape::TextOrTexts => json!({ "anyOf": [{ "type": "string" }, texts()] }),
        Shape::Variables => json!({
            "type": "object",
            "propertyNames": { "pattern": VARIABLE },
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
        Shape::PathOrFlag => json!({ "anyOf": [path(), { "type": "boolean" }] }),
        Shape::FalseOr(keys) => json!({ "anyOf": [{ "type": "boolean" }, object(keys, &[])] }),
        Shape::PathOr(keys) => json!({ "anyOf": [path(), object(keys, &[])] }),
        Shape::Map(keys) => object(keys, &[]),
        Shape::ListOf(keys) => {
            let required: Vec<&str> = keys.iter().map(|k| k.name).collect();
            json!({ "type": "array", "items": object(keys, &required) })
        }
        Shape::WordsOr(words, keys) => {
            let mut one = object(keys, &[]);
            one["minProperties"] = json!(1);
            one["maxProperties"] = json!(1);
            json!({ "type": "array", "minItems": 1, "items": { "anyOf": [{ "enum": words }, one] } })
        }
        Shape::Named(keys, required) => {
            let mut of = vec![object(keys, required)];
            if required.is_empty() {
                of.push(json!({ "type": "null" }));
            }
            json!({
                "type": "object",
                "propertyNames": { "pattern": LABEL },
                "additionalProperties": { "anyOf": of },
            })
        }
    }
}
