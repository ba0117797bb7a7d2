//! Suite: the published JSON Schemas of what bkup writes are made of the types that write it, and do not drift.
//! `BKUP_BLESS=1` writes them anew.

use std::path::Path;

use bkup::domain::{Evidence, ForecastReport, Manifest, Restoration};
use bkup::render::Findings;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// Returns the schema of a type as it is published.
pub fn schema_of<T: JsonSchema>() -> Value {
    let schema: Schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    schema.to_value()
}

#[expect(clippy::disallowed_methods, reason = "blessing is asked for by a variable")]
fn published(name: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(format!("{name}.schema.json"));
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("BKUP_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, text, "{name}: run the test with BKUP_BLESS=1 and commit the file");
}

#[test]
fn published_schemas_are_those_of_the_types() {
    published("manifest", &schema_of::<Manifest>());
    published("evidence", &schema_of::<Evidence>());
    published("forecast", &schema_of::<ForecastReport>());
    published("restoration", &schema_of::<Restoration>());
    published("findings", &schema_of::<Findings<'_>>());
}

/// Asserts that a value has what a schema asks for: every required key, no unknown one, values of the right kinds.
/// It knows as much of JSON Schema as the published schemas use.
#[track_caller]
pub fn assert_fits(root: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/definitions/").expect(name);
        return assert_fits(root, &root["definitions"][name], value, place);
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all.iter().for_each(|schema| assert_fits(root, schema, value, place));
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fitting = any.iter().find(|schema| (schema["type"] == "null") == value.is_null());
        return assert_fits(root, fitting.unwrap_or_else(|| panic!("{place}: {value} fits nothing")), value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::String(one) => assert_eq!(one, kind, "{place}"),
        Value::Array(some) => assert!(some.iter().any(|one| one == kind), "{place}: {kind} is none of {some:?}"),
        _ => {}
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        assert_fits(root, &schema["items"], item, &format!("{place}[{index}]"));
    }
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for key in schema["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(key.as_str().expect("a key")), "{place} lacks {key}");
        }
        for (key, item) in object {
            let schema = properties.get(key).unwrap_or_else(|| panic!("{place}: {key} is not in the schema"));
            assert_fits(root, schema, item, &format!("{place}.{key}"));
        }
    }
}
