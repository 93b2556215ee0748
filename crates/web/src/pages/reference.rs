//! The API reference: a page made from the OpenAPI description.

use askama::Template;
use axum::Router;
use axum::routing::get;
use serde_json::Value;

use crate::page::{Chrome, Shown, Visitor, show};
use crate::pages::assets;
use crate::state::Web;
use crate::view::Raw;
use crate::{api, view};

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/api", get(reference))
}

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    chrome: Chrome,
    groups: Vec<Group>,
    types: Vec<Type>,
}

struct Group {
    name: String,
    about: String,
    calls: Vec<Call>,
}

struct Call {
    method: String,
    path: String,
    id: String,
    about: String,
    inputs: Vec<Field>,
    body: Option<Raw>,
    answers: Vec<(String, Raw)>,
}

struct Type {
    name: String,
    about: String,
    fields: Vec<Field>,
    values: Vec<String>,
}

struct Field {
    name: String,
    kind: Raw,
    required: bool,
    about: String,
}

async fn reference(visitor: Visitor) -> Shown {
    let description: Value = serde_json::from_str(&api::description()).unwrap_or_default();
    let chrome = visitor.chrome("API", "api");
    show(&ReferencePage { chrome, groups: groups(&description), types: types(&description) })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn groups(description: &Value) -> Vec<Group> {
    let mut groups: Vec<Group> = description["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| Group { name: text(&tag["name"]), about: text(&tag["description"]), calls: Vec::new() })
        .collect();
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = text(&operation["tags"][0]);
            if let Some(group) = groups.iter_mut().find(|g| g.name == tag) {
                group.calls.push(call(method, path, operation));
            }
        }
    }
    groups
}

fn call(method: &str, path: &str, operation: &Value) -> Call {
    let inputs = operation["parameters"].as_array().into_iter().flatten().map(|p| Field {
        name: text(&p["name"]),
        kind: Raw(format!(
            "{} <span class=\"dim\">in {}</span>",
            kind(&p["schema"]),
            view::escape(&text(&p["in"]))
        )),
        required: p["required"] == true,
        about: text(&p["description"]),
    });
    let content = |value: &Value| {
        let (media_type, content) = value["content"].as_object()?.iter().next()?;
        let shape = kind(&content["schema"]);
        Some(if media_type == "application/json" {
            shape
        } else {
            format!("{} ({shape})", view::escape(media_type))
        })
    };
    let answers = operation["responses"].as_object().into_iter().flatten().map(|(status, answer)| {
        let shape = content(answer).unwrap_or_else(|| view::escape(&text(&answer["description"])));
        (if status == "default" { "otherwise".to_owned() } else { status.clone() }, Raw(shape))
    });
    Call {
        id: text(&operation["operationId"]),
        about: [text(&operation["summary"]), text(&operation["description"])].join(" ").trim().to_owned(),
        inputs: inputs.collect(),
        body: content(&operation["requestBody"]).map(Raw),
        answers: answers.collect(),
        method: method.to_uppercase(),
        path: path.to_owned(),
    }
}

fn types(description: &Value) -> Vec<Type> {
    let schemas = description["components"]["schemas"].as_object().into_iter().flatten();
    schemas.map(|(name, schema)| one_type(name, schema)).collect()
}

fn one_type(name: &str, schema: &Value) -> Type {
    let mut parts = vec![schema];
    parts.extend(schema["allOf"].as_array().into_iter().flatten());
    let mut fields = Vec::new();
    for part in parts {
        if part["$ref"].is_string() {
            let about = "with all of its fields".to_owned();
            fields.push(Field { name: "…".into(), kind: Raw(kind(part)), required: true, about });
        }
        let required = |name: &str| part["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
        for (name, field) in part["properties"].as_object().into_iter().flatten() {
            fields.push(Field {
                name: name.clone(),
                kind: Raw(kind(field)),
                required: required(name),
                about: text(&field["description"]),
            });
        }
    }
    let values = schema["enum"].as_array().into_iter().flatten().map(text).collect();
    Type { name: name.to_owned(), about: text(&schema["description"]), fields, values }
}

/// A schema in words, with links to the types that have a name. Everything from the description is escaped.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        let name = view::escape(name);
        return format!("<a href=\"#type-{name}\">{name}</a>");
    }
    let one = |value: &Value| match value.as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map of {}", kind(&schema["additionalProperties"]))
        }
        Some(name) => view::escape(name),
        None => "anything".to_owned(),
    };
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let choices: Vec<String> = choices.iter().map(kind).collect();
            return choices.join(" or ");
        }
    }
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(one).collect::<Vec<_>>().join(" or "),
        other => one(other),
    }
}
