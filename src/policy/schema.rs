//! The JSON Schema of a policy file, for editors: made of the types that read it, so the two cannot drift. Pure.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::raw::File;

/// Returns the JSON Schema (draft-07) of a policy file.
#[must_use]
pub fn schema() -> Value {
    schema_of::<File>("bkup policy, version 1")
}

/// Returns the JSON Schema (draft-07) of a file of the language's family.
pub(crate) fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    forbid_null(&mut value);
    value["title"] = json!(title);
    value
}

/// Takes `null` out of what a key may be: a key without a value is an error in this language, absent it is optional.
fn forbid_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice != &json!({ "type": "null" }));
                if let [only] = choices.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    match only {
                        // A draft-07 reader ignores what stands beside `$ref`, so the description would be lost.
                        Value::Object(only) if only.contains_key("$ref") && map.is_empty() => map.extend(only),
                        Value::Object(only) if only.contains_key("$ref") => {
                            map.insert("allOf".to_owned(), json!([only]));
                        }
                        Value::Object(only) => {
                            for (key, value) in only {
                                map.entry(key).or_insert(value);
                            }
                        }
                        _ => {}
                    }
                }
            }
            map.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}
