//! The JSON Schema of a policy file, for editors: made of the types that read it, so the two cannot drift. Pure.

mod rules;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::raw::File;
use rules::{RULES, add};

/// Returns the JSON Schema (draft-07) of a policy file.
#[must_use]
pub fn schema() -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    let mut value = schema.to_value();
    forbid_null(&mut value);
    add(RULES, &mut value);
    value["title"] = json!("bkup policy, version 1");
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
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.retain(|word| !word.is_null());
                if let [only] = words.as_slice() {
                    // A word alone keeps its description as one of several would; anything else is a constant.
                    let only = only.clone();
                    if !only.is_string() {
                        map.remove("enum");
                        map.insert("const".to_owned(), only);
                    }
                }
            }
            map.values_mut().for_each(forbid_null);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        _ => {}
    }
}
