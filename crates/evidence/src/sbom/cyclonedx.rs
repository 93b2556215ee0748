//! CycloneDX 1.6 (ECMA-424), as JSON.

use serde_json::{Map, Value, json};

use super::Subject;
use super::licence::{Known, known};
use crate::package::{Os, Package};

/// The list as a CycloneDX document.
pub fn cyclonedx(subject: &Subject<'_>) -> Value {
    let os = subject.contents.os.as_ref();
    let mut components: Vec<Value> = os.map(distribution).into_iter().collect();
    components.extend(subject.contents.packages.iter().enumerate().map(|(n, p)| component(subject, n, p)));
    let notes: Vec<Value> =
        subject.contents.notes.iter().map(|note| property("windlass:note", note)).collect();
    let mut metadata = json!({
        "timestamp": subject.time(),
        "tools": { "components": [{ "type": "application", "name": "windlass", "version": env!("CARGO_PKG_VERSION") }] },
        "component": {
            "bom-ref": "image",
            "type": "container",
            "name": subject.name,
            "version": subject.digest.to_string(),
            "purl": subject.purl(),
        },
    });
    if !notes.is_empty() {
        metadata["properties"] = Value::Array(notes);
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", subject.uuid()),
        "version": 1,
        "metadata": metadata,
        "components": components,
    })
}

fn distribution(os: &Os) -> Value {
    let name = if os.id.is_empty() { "unknown" } else { &os.id };
    json!({
        "bom-ref": "os",
        "type": "operating-system",
        "name": name,
        "version": os.version,
        "description": os.name,
    })
}

fn component(subject: &Subject<'_>, number: usize, package: &Package) -> Value {
    let mut component = Map::new();
    let mut put = |key: &str, value: Value| component.insert(key.to_owned(), value);
    put("bom-ref", json!(format!("package-{number}")));
    put("type", json!("library"));
    put("name", json!(package.name));
    put("version", json!(package.version));
    if let Some(licences) = licences(&package.licences) {
        put("licenses", licences);
    }
    put("purl", json!(package.purl(subject.contents.os.as_ref())));
    let mut properties = Vec::new();
    if let Some(layer) = subject.contents.layers.get(package.layer) {
        properties.push(property("windlass:layer", layer));
    }
    properties.push(property("windlass:layer:index", &package.layer.to_string()));
    if let Some((name, version)) = &package.source {
        let text = if version.is_empty() { name.clone() } else { format!("{name} {version}") };
        properties.push(property("windlass:source", &text));
    }
    put("properties", Value::Array(properties));
    if !package.path.is_empty() {
        put("evidence", json!({ "occurrences": [{ "location": format!("/{}", package.path) }] }));
    }
    Value::Object(component)
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

/// Either one expression, or a list of licences: the format has no mixture.
fn licences(names: &[String]) -> Option<Value> {
    if let [only] = names
        && known(only) == Known::Expression
    {
        return Some(json!([{ "expression": only }]));
    }
    let one = |name: &String| match known(name) {
        Known::Id => json!({ "license": { "id": name } }),
        Known::Expression | Known::No => json!({ "license": { "name": name } }),
    };
    (!names.is_empty()).then(|| names.iter().map(one).collect())
}
