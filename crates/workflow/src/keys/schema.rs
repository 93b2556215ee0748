//! The language as a JSON Schema (draft 7), for editors: made from the tables that the parser uses.
//!
//! It says which keys there are and what shape their values have; names, expressions and the graph of jobs are the
//! parser's.

use serde_json::{Map, Value, json};

use super::{KeyRow, Kind, Place, keys_of};
use crate::events::{EVENTS, EventRow};

/// What stands in a key's value.
enum Inner {
    /// A mapping with these keys.
    Keys(Place),
    /// A list of such.
    Items(Place),
    /// Names, each with such a mapping.
    Named(Place),
    /// Names, each with a text, a number or a boolean.
    Texts,
}

/// The schema of workflow files.
pub fn workflow() -> Value {
    root("Workflow", Place::Workflow)
}

/// The schema of actions' metadata files.
pub fn action() -> Value {
    let mut schema = root("Action", Place::Action);
    let kinds = [Place::CompositeRuns, Place::NodeRuns, Place::DockerRuns];
    let kinds: Vec<Value> = kinds.into_iter().map(reference).collect();
    schema["definitions"][name(Place::Action)]["properties"]["runs"] = json!({"anyOf": kinds});
    for place in [Place::CompositeRuns, Place::CompositeStep, Place::NodeRuns, Place::DockerRuns] {
        schema["definitions"][name(place)] = mapping(place);
    }
    schema
}

fn root(title: &str, place: Place) -> Value {
    let mut definitions = Map::new();
    let mut open = vec![place];
    while let Some(place) = open.pop() {
        if definitions.contains_key(name(place)) {
            continue;
        }
        definitions.insert(name(place).to_owned(), mapping(place));
        open.extend(keys_of(place).filter_map(|row| match inner(row)? {
            Inner::Keys(place) | Inner::Items(place) | Inner::Named(place) => Some(place),
            Inner::Texts => None,
        }));
        if place == Place::Workflow {
            open.extend(EVENTS.iter().filter_map(event_place));
        }
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "allOf": [reference(place)],
        "definitions": definitions,
    })
}

/// The key under which a mapping is defined.
fn name(place: Place) -> &'static str {
    place.path()
}

fn reference(place: Place) -> Value {
    // A fragment's pointer (RFC 6901, sections 3 and 6): `/` does not occur in the names, `<` and its kin are escaped.
    let escaped: String = name(place)
        .bytes()
        .map(|byte| match byte {
            b'<' | b'>' | b'[' | b']' | b'(' | b')' | b'*' | b' ' => format!("%{byte:02X}"),
            byte => char::from(byte).to_string(),
        })
        .collect();
    json!({"$ref": format!("#/definitions/{escaped}")})
}

fn mapping(place: Place) -> Value {
    let properties: Map<String, Value> =
        keys_of(place).map(|row| (row.name.to_owned(), value(row))).collect();
    let required: Vec<&str> = keys_of(place).filter(|row| row.required).map(|row| row.name).collect();
    let open = matches!(place, Place::Action | Place::ActionInput);
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": open});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean", "null"]})
}

/// `${{ … }}` where something else than a text is wanted.
fn expression() -> Value {
    json!({"type": "string", "pattern": "\\$\\{\\{"})
}

fn value(row: &KeyRow) -> Value {
    if (row.place, row.name) == (Place::Workflow, "on") {
        return on();
    }
    let mut forms = Vec::new();
    match row.kind {
        Kind::Text | Kind::Condition | Kind::Scalar => forms.push(scalar()),
        Kind::Boolean => forms.push(json!({"type": "boolean"})),
        Kind::Number => forms.push(json!({"type": "number"})),
        Kind::List => forms.push(items(row)),
        Kind::TextOrList => forms.extend([scalar(), items(row)]),
        Kind::Mapping => forms.push(object(row)),
        Kind::TextOrMapping => forms.extend([scalar(), object(row)]),
        Kind::TextListOrMapping => forms.extend([scalar(), items(row), object(row)]),
        Kind::OptionalMapping => forms.extend([json!({"type": "null"}), object(row)]),
        Kind::Anything => return json!({}),
    }
    let takes_text = matches!(
        row.kind,
        Kind::Text
            | Kind::Condition
            | Kind::Scalar
            | Kind::TextOrList
            | Kind::TextOrMapping
            | Kind::TextListOrMapping
    );
    if !takes_text && !row.availability.is_literal() {
        forms.push(expression());
    }
    if forms.len() == 1 { forms.remove(0) } else { json!({"anyOf": forms}) }
}

fn items(row: &KeyRow) -> Value {
    match inner(row) {
        Some(Inner::Items(place)) => json!({"type": "array", "items": reference(place)}),
        _ => json!({"type": "array", "items": scalar()}),
    }
}

fn object(row: &KeyRow) -> Value {
    match inner(row) {
        Some(Inner::Keys(place)) => reference(place),
        Some(Inner::Named(place)) => {
            // A container may be a text, and what has nothing said about it may be empty.
            let text = matches!(place, Place::Service);
            let other = if text { scalar() } else { json!({"type": "null"}) };
            json!({"type": "object", "additionalProperties": {"anyOf": [reference(place), other]}})
        }
        Some(Inner::Texts) => json!({"type": "object", "additionalProperties": scalar()}),
        _ => json!({"type": "object"}),
    }
}

/// What stands in a key's value, where it has keys of its own.
fn inner(row: &KeyRow) -> Option<Inner> {
    use Inner::{Items, Keys, Named, Texts};
    Some(match (row.place, row.name) {
        (Place::Workflow, "defaults") => Keys(Place::Defaults),
        (Place::Workflow, "concurrency") => Keys(Place::Concurrency),
        (Place::Workflow, "jobs") => Named(Place::Job),
        (Place::Defaults, "run") => Keys(Place::RunDefaults),
        (Place::Dispatch, "inputs") => Named(Place::DispatchInput),
        (Place::Called, "inputs") => Named(Place::CallInput),
        (Place::Called, "outputs") => Named(Place::CallOutput),
        (Place::Called, "secrets") => Named(Place::CallSecret),
        (Place::Job, "defaults") => Keys(Place::JobDefaults),
        (Place::JobDefaults, "run") => Keys(Place::JobRunDefaults),
        (Place::Job, "concurrency") => Keys(Place::JobConcurrency),
        (Place::Job, "runs-on") => Keys(Place::RunsOn),
        (Place::Job, "strategy") => Keys(Place::Strategy),
        (Place::Job, "environment") => Keys(Place::Environment),
        (Place::Job, "container") => Keys(Place::Container),
        (Place::Job, "services") => Named(Place::Service),
        (Place::Job, "snapshot") => Keys(Place::Snapshot),
        (Place::Container | Place::Service, "credentials") => Keys(Place::Credentials),
        (Place::Job, "steps") | (Place::Step, "parallel") => Items(Place::Step),
        (Place::CompositeRuns, "steps") => Items(Place::CompositeStep),
        (Place::Action, "inputs") => Named(Place::ActionInput),
        (Place::Action, "outputs") => Named(Place::ActionOutput),
        (_, "env" | "permissions" | "outputs" | "secrets") => Texts,
        _ => return None,
    })
}

/// The place of an event's keys, where it has one of its own.
fn event_place(row: &EventRow) -> Option<Place> {
    Some(match row.name {
        "push" => Place::Push,
        "pull_request" | "pull_request_target" => Place::PullRequest,
        "workflow_dispatch" => Place::Dispatch,
        "workflow_call" => Place::Called,
        "workflow_run" => Place::WorkflowRun,
        "repository_dispatch" => Place::RepositoryDispatch,
        "schedule" => Place::Schedule,
        _ => return None,
    })
}

fn on() -> Value {
    let names: Vec<&str> = EVENTS.iter().map(|row| row.name).collect();
    let name = json!({"enum": names});
    let events: Map<String, Value> = EVENTS.iter().map(|row| (row.name.to_owned(), event(row))).collect();
    json!({"anyOf": [
        name,
        {"type": "array", "items": name},
        {"type": "object", "properties": events, "additionalProperties": false},
    ]})
}

fn event(row: &EventRow) -> Value {
    if row.name == "schedule" {
        return json!({"type": "array", "items": reference(Place::Schedule)});
    }
    let mut types = Map::new();
    if !row.types.is_empty() {
        let one = json!({"enum": row.types});
        types.insert("types".to_owned(), json!({"anyOf": [one, {"type": "array", "items": one}]}));
    }
    let keys = match event_place(row) {
        Some(place) if types.is_empty() => reference(place),
        Some(place) => json!({"allOf": [reference(place), {"properties": types}]}),
        None => {
            let texts = json!({"anyOf": [scalar(), {"type": "array", "items": scalar()}]});
            types.extend(row.filters.iter().map(|filter| ((*filter).to_owned(), texts.clone())));
            json!({"type": "object", "properties": types, "additionalProperties": false})
        }
    };
    json!({"anyOf": [{"type": "null"}, keys]})
}
