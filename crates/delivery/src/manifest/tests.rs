//! Manifests: what is read, what is refused and where, and that no text breaks the reader.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The findings as a person would list them.
fn findings(parsed: &Parsed) -> String {
    let line = |d: &ManifestDiagnostic| {
        let severity = if d.severity == Severity::Error { "" } else { "warning: " };
        format!("{}:{}: {severity}{}\n", d.line, d.column, d.message)
    };
    parsed.diagnostics.iter().map(line).collect()
}

fn good(text: &str) -> Manifest {
    let parsed = parse(text);
    assert!(parsed.manifest.is_some(), "{}", findings(&parsed));
    parsed.manifest.unwrap()
}

fn specs(manifest: &Manifest, environment: &str) -> Vec<ServiceSpec> {
    manifest.for_environment(&environment.parse().unwrap(), &"shop".parse().unwrap())
}

#[test]
fn every_key_is_read() {
    let parsed = parse(include_str!("../../tests/manifest/full.yml"));
    insta::assert_json_snapshot!("full", parsed.manifest);
    insta::assert_snapshot!("full-findings", findings(&parsed));
    insta::assert_json_snapshot!("full-production", specs(&parsed.manifest.unwrap(), "production"));
}

#[test]
fn the_smallest_manifest_has_the_documented_defaults() {
    let manifest = good("services: { web: { port: 80 } }");
    insta::assert_json_snapshot!("smallest", specs(&manifest, "staging"));
}

#[test]
fn every_mistake_is_found_in_one_pass() {
    let parsed = parse(include_str!("../../tests/manifest/mistakes.yml"));
    assert_eq!(parsed.manifest, None);
    insta::assert_snapshot!("mistakes", findings(&parsed));
}

#[test]
fn hostile_and_broken_texts_have_their_message() {
    let deep = format!("services: {}", "{ a: ".repeat(40));
    let flow = "[".repeat(100_000);
    let mut bomb = String::from("services:\n  a0: &a0 { x: 1 }\n");
    for n in 1..9 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("  a{n}: &a{n} [{items}]\n"));
    }
    let cases: Vec<(&str, String, &str)> = vec![
        ("empty", String::new(), "the manifest is empty"),
        ("comment", "# nothing\n".into(), "the manifest is empty"),
        ("no service", "services: {}".into(), "at least one service"),
        ("environments alone", "environments: { a: {} }".into(), "at least one service"),
        ("list", "- a".into(), "must be a mapping"),
        ("large", "#".repeat(LARGEST + 1), "at most 256 KiB are read"),
        ("deep", deep, "more than 10 levels"),
        ("flow", flow, "recursion limit"),
        ("bomb", bomb, "more than"),
        ("itself", "services: &a { b: *a }".into(), "not complete here"),
        ("twice", "services: { a: { port: 1 } }\nservices: {}".into(), "first in line 1"),
        ("merge", "services: { a: { <<: {}, port: 1 } }".into(), "merge key"),
        ("tag", "services: !!python/object { a: 1 }".into(), "tag"),
        ("two documents", "services: { a: { port: 1 } }\n---\na: 1".into(), "second document"),
        ("open quote", "services: \"".into(), "not YAML"),
        ("tab", "services:\n\ta: 1".into(), "not YAML"),
        ("complex key", "services: { [a]: 1 }".into(), "key must be"),
        ("zero", "services: { a: { port: 1, env: { A: \"x\\0y\" } } }".into(), "zero character"),
        (
            "same route",
            "services:\n  a: { port: 1, route: { host: x.localhost } }\n  b: { port: 1, route: { host: x.localhost, path: / } }".into(),
            "a and b would both be at x.localhost/",
        ),
        (
            "same route in two environments",
            "services: { a: { port: 1, route: { host: x.localhost } } }\nenvironments: { s: , p: }".into(),
            "put {environment} into the host",
        ),
        (
            "circle",
            "services: { a: { port: 1 } }\nenvironments: { x: { after: y }, y: { after: z }, z: { after: x }, w: { after: x } }".into(),
            "in a circle: x after y after z after x",
        ),
        ("after itself", "services: { a: { port: 1 } }\nenvironments: { x: { after: x } }".into(), "circle: x after x"),
        (
            "volumes",
            "services: { a: { port: 1, volumes: [{ name: a, path: /d }, { name: b, path: /d }] } }".into(),
            "same path /d",
        ),
        ("deadline", "services: { a: { port: 1, health: { interval: 10s, deadline: 5s } } }".into(), "not even one check"),
        ("secret and variable", "services: { a: { port: 1, env: { A: b }, secrets: [A] } }".into(), "under `env` already"),
        ("nothing to run", "services: { a: { port: 1, command: [] } }".into(), "must name a program"),
    ];
    for (name, text, expected) in cases {
        let parsed = parse(&text);
        assert_eq!(parsed.manifest, None, "{name}");
        assert!(findings(&parsed).contains(expected), "{name}: {}", findings(&parsed));
        assert!(
            parsed.diagnostics.iter().all(|d| d.line > 0 && d.column > 0),
            "{name}: {}",
            findings(&parsed)
        );
    }
}

#[test]
fn aliases_stand_for_whole_values() {
    let manifest =
        good("services:\n  a: { port: 1, limits: &small { cpu: 0.5 } }\n  b: { port: 2, limits: *small }");
    assert!(manifest.services.values().all(|s| s.limits.cpu_millis == Some(500)));
}

#[test]
fn a_volume_shared_by_replicas_is_worth_a_warning() {
    let parsed = parse("services: { a: { port: 1, replicas: 2, volumes: [{ name: d, path: /d }] } }");
    assert!(parsed.manifest.is_some());
    assert_eq!(parsed.diagnostics[0].severity, Severity::Warning);
}

#[test]
fn columns_count_characters() {
    let parsed = parse("services: { a: { env: { Ä: é, ÄÖ: x }, port: 1 } }");
    let columns: Vec<u32> = parsed.diagnostics.iter().map(|d| d.column).collect();
    assert_eq!(columns, [25, 31]);
}

#[test]
fn a_manifest_survives_the_store() {
    let manifest = good(include_str!("../../tests/manifest/full.yml"));
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    let specs = specs(&manifest, "production");
    let text = serde_json::to_string(&specs).unwrap();
    assert_eq!(serde_json::from_str::<Vec<ServiceSpec>>(&text).unwrap(), specs);
}

/// Every key of the table, with the path that leads to it.
fn all_keys(keys: &[keys::Key], out: &mut Vec<(&'static str, &'static str)>) {
    for key in keys {
        out.push((key.name, key.doc));
        match key.shape {
            keys::Shape::FalseOr(inner)
            | keys::Shape::PathOr(inner)
            | keys::Shape::Map(inner)
            | keys::Shape::ListOf(inner)
            | keys::Shape::WordsOr(_, inner)
            | keys::Shape::Named(inner, _) => all_keys(inner, out),
            _ => {}
        }
    }
}

#[test]
fn the_committed_schema_and_the_reference_are_current() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference");
    let file = format!("{folder}/windlass.schema.json");
    let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == current,
        "docs/reference/windlass.schema.json is old: run this test with UPDATE_EXPECT=1"
    );

    let page = std::fs::read_to_string(format!("{folder}/manifest.md")).unwrap();
    let mut keys = Vec::new();
    all_keys(keys::TOP, &mut keys);
    for (name, _) in keys {
        assert!(page.contains(&format!("`{name}`")), "docs/reference/manifest.md does not tell of `{name}`");
    }
}

#[test]
fn the_examples_of_the_reference_page_are_good() {
    let page = include_str!("../../../../docs/reference/manifest.md");
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let parsed = parse(example);
        assert!(parsed.manifest.is_some(), "{example}\n{}", findings(&parsed));
    }
}

#[test]
fn the_schema_knows_what_the_reader_knows() {
    let schema = schema();
    let service = &schema["properties"]["services"]["additionalProperties"]["anyOf"][0];
    assert_eq!(service["additionalProperties"], Value::Bool(false));
    assert_eq!(service["required"][0], "port");
    assert_eq!(service["properties"]["port"]["maximum"], 65535);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let parsed = parse(&text);
        let errors = parsed.diagnostics.iter().any(|d| d.severity == Severity::Error);
        prop_assert_eq!(parsed.manifest.is_none(), errors);
    }

    /// Texts made of the pieces of manifests come further than noise does.
    #[test]
    fn shuffled_pieces_are_survived(cuts in prop::collection::vec((0usize..900, 0usize..60, ".{0,3}"), 1..8)) {
        let mut text = include_str!("../../tests/manifest/full.yml").to_owned();
        for (at, length, new) in cuts {
            let chars: Vec<char> = text.chars().collect();
            let at = at.min(chars.len());
            let end = (at + length).min(chars.len());
            text = chars[..at].iter().chain(new.chars().collect::<Vec<_>>().iter()).chain(chars[end..].iter()).collect();
        }
        let parsed = parse(&text);
        for d in &parsed.diagnostics {
            prop_assert!(d.line > 0 && d.column > 0 && !d.message.is_empty());
            prop_assert!(d.message.chars().count() < 400, "{}", d.message);
        }
        if let Some(manifest) = parsed.manifest {
            let specs = manifest.for_environment(&"production".parse().unwrap(), &"shop".parse().unwrap());
            prop_assert_eq!(specs.len(), manifest.services.len());
        }
    }
}
