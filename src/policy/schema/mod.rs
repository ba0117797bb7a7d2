//! The JSON Schema of a policy file, for editors: made of the types that read it, so the two cannot drift. Pure.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::raw::File;
use rules::{RULES, add};

/// Returns the JSON Schema (draft-07) of a policy file.
#[must_use]
pub fn schema() -> Value {
    let mut value = schema_of::<File>("bkup policy, version 1");
    add(RULES, &mut value);
    value
}

/// Returns the JSON Schema (draft-07) of a file of the language's family.
pub(crate) fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    forbid_null(&mut value);
    tell_once(&mut value);
    unwrap_lines(&mut value);
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

/// Makes one line of each description: an editor would show a comment's line ends as paragraphs.
fn unwrap_lines(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(words)) = map.get_mut("description") {
                *words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            map.values_mut().for_each(unwrap_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_lines),
        _ => {}
    }
}

/// Gives each key one description. An editor shows the first that it meets, which is the one of the value's type: for
/// every key of a duration it would say what a duration is, and not what the key means. So a type's own words move to
/// the end of its keys' where they say how it is written, and go where the type is a mapping, whose keys have theirs.
fn tell_once(schema: &mut Value) {
    let mut bare = BTreeSet::new();
    references(schema, false, &mut bare);
    let Some(definitions) = schema["definitions"].as_object_mut() else { return };
    let mut told = BTreeMap::new();
    for (name, definition) in definitions.iter_mut().filter(|(name, _)| !bare.contains(*name)) {
        let Some(definition) = definition.as_object_mut() else { continue };
        let Some(Value::String(words)) = definition.remove("description") else { continue };
        // A name is written as everybody expects.
        if !definition.contains_key("properties") && name != "Name" {
            told.insert(format!("#/definitions/{name}"), words);
        }
    }
    append(schema, &told);
}

/// Notes the definitions that something without a description of its own refers to: a list's entries, named things.
fn references(value: &Value, described: bool, bare: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).filter(|_| !described) {
                bare.insert(name.trim_start_matches("#/definitions/").to_owned());
            }
            let described = map.contains_key("description");
            map.iter().for_each(|(key, value)| references(value, described && key == "allOf", bare));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, described, bare)),
        _ => {}
    }
}

/// Adds the words of a type to the description of each key that has it.
fn append(value: &mut Value, told: &BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            let target = map.get("allOf").and_then(|all| all[0]["$ref"].as_str()).map(str::to_owned);
            if let (Some(Value::String(own)), Some(words)) =
                (map.get_mut("description"), target.and_then(|target| told.get(&target)))
            {
                *own = format!("{own} {words}");
            }
            map.values_mut().for_each(|value| append(value, told));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| append(item, told)),
        _ => {}
    }
}
