//! What the JSON Schema says across the keys of one mapping, and the types of its values cannot: which keys exclude or
//! need each other. Pure.
//!
//! The rules are added beside `properties`, never instead of it: an editor completes the keys of one object, and would
//! not of an object that is split into one for each choice.

use serde_json::{Map, Value, json};

/// A rule across the keys of one mapping.
pub(super) enum Rule {
    /// Exactly one of these keys.
    One(&'static [&'static str]),
    /// These keys only beside that one.
    With(&'static [&'static str], &'static str),
    /// These keys only where that one is so.
    Where(&'static [&'static str], &'static str, Is),
    /// Where the first key is so, that one is so, too.
    Implies(&'static str, Is, &'static str, Is),
    /// Where the first key is so, that one is needed.
    Needs(&'static str, Is, &'static str),
    /// The key is never so.
    Never(&'static str, Is),
    /// Unless an item of the list has the first key, and each that has it is so, another key is needed.
    Unless(&'static str, &'static str, Is, &'static str),
}

/// What a value is.
#[derive(Clone, Copy)]
pub(super) enum Is {
    /// One of these words.
    Word(&'static [&'static str]),
    /// Another word than this one.
    Other(&'static str),
    /// A text that matches.
    Like(&'static str),
    /// A mapping that has a key.
    Has(&'static str),
    /// A mapping in which a key is this word.
    HasWord(&'static str, &'static str),
}

use Is::{Has, HasWord, Like, Other, Word};
use Rule::{Implies, Needs, Never, One, Unless, Where, With};

const S3: Is = Like("^s3://");
const INCREMENTAL: Is = Word(&["incremental"]);

/// The rules, each set with a key that tells its mapping from others with the same keys.
pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("expect", &[One(&["tables", "sql", "amcheck"]), With(&["expect"], "sql")]),
    ("sample_tenants", &[One(&["every", "when"]), Never("when", Has("on"))]),
    (
        "start_within",
        &[
            Needs("backup", Other("files"), "databases"),
            Needs("backup", Word(&["files"]), "paths"),
            Needs("engine", INCREMENTAL, "base"),
            With(&["base", "max_chain"], "engine"),
            Where(&["base", "max_chain"], "engine", INCREMENTAL),
            Where(&["databases"], "backup", Other("files")),
            Where(&["engine"], "backup", Word(&["full_system", "database", "tenant_data"])),
            Where(&["tenants"], "backup", Word(&["tenant_data"])),
            Where(&["tables"], "backup", Word(&["database"])),
            Where(&["paths", "exclude"], "backup", Word(&["files"])),
            Implies("engine", Word(&["physical", "incremental"]), "backup", Word(&["full_system"])),
            Implies("when", HasWord("on", "change"), "backup", Word(&["configuration"])),
        ],
    ),
    ("minimum_backup_age", &[Unless("steps", "restore", HasWord("backup", "files"), "databases")]),
    ("manual", &[One(&["manual", "run", "restore", "check"]), With(&["timeout"], "run")]),
    (
        "replicate_to",
        &[
            Where(
                &["region", "endpoint", "path_style", "storage_class", "object_lock", "versioning", "manage"],
                "url",
                S3,
            ),
            Implies("encryption", Has("server_side"), "url", S3),
        ],
    ),
    ("recipients", &[With(&["identity", "per_tenant_keys"], "recipients")]),
    ("mode", &[One(&["until", "for"])]),
    ("schemas", &[One(&["schemas", "query"])]),
    ("status", &[Needs("status", Word(&["approved"]), "by")]),
    ("cron", &[One(&["frequency", "cron", "every", "on"]), With(&["time", "days"], "frequency")]),
    (
        "slack",
        &[
            One(&["slack", "email", "webhook"]),
            With(&["email"], "smtp"),
            With(&["smtp"], "email"),
            With(&["secret"], "webhook"),
        ],
    ),
];

impl Is {
    fn schema(self) -> Value {
        match self {
            Word([word]) => json!({ "const": word }),
            Word(words) => json!({ "enum": words }),
            Other(word) => json!({ "not": { "const": word } }),
            Like(pattern) => json!({ "pattern": pattern }),
            Has(key) => json!({ "required": [key] }),
            HasWord(key, word) => json!({ "properties": { key: { "const": word } }, "required": [key] }),
        }
    }
}

impl Rule {
    /// Returns the rule as schemas; keys that stand only beside another are told by `dependencies` instead.
    fn schemas(&self) -> Vec<Value> {
        let so = |key: &str, is: Is| json!({ "properties": { key: is.schema() }, "required": [key] });
        match self {
            One(keys) => {
                vec![json!({ "oneOf": keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>() })]
            }
            With(..) => Vec::new(),
            // One schema for each key, so that an editor names the key that is too much.
            Where(keys, other, is) => keys
                .iter()
                .map(|key| json!({ "if": { "required": [key] }, "then": { "properties": { *other: is.schema() } } }))
                .collect(),
            Implies(key, is, other, then) => {
                vec![json!({ "if": so(key, *is), "then": { "properties": { *other: then.schema() } } })]
            }
            Needs(key, is, other) => vec![json!({ "if": so(key, *is), "then": { "required": [other] } })],
            Never(key, is) => vec![json!({ "properties": { *key: { "not": is.schema() } } })],
            Unless(list, key, is, other) => {
                let other_item = json!({ "properties": { *key: { "not": is.schema() } }, "required": [key] });
                let some = json!({ "contains": { "required": [key] } });
                let all = json!({ "allOf": [some, { "not": { "contains": other_item } }] });
                let so = json!({ "properties": { *list: all }, "required": [list] });
                vec![json!({ "if": so, "else": { "required": [other] } })]
            }
        }
    }

    fn keys(&self) -> Vec<&'static str> {
        match self {
            One(keys) => keys.to_vec(),
            With(keys, other) | Where(keys, other, _) => keys.iter().chain([other]).copied().collect(),
            Needs(key, _, other) | Implies(key, _, other, _) => vec![key, other],
            Never(key, _) => vec![key],
            Unless(list, _, _, other) => vec![list, other],
        }
    }
}

/// Adds each set of rules to every mapping that has all the keys that it is about: a mapping that is needed stands in
/// its place, and not among the definitions.
pub(super) fn add(sets: &[(&'static str, &[Rule])], schema: &mut Value) {
    for (mark, rules) in sets {
        let keys: Vec<&str> = rules.iter().flat_map(Rule::keys).chain([*mark]).collect();
        walk(schema, &mut |mapping| {
            let has = |key: &&str| mapping.get("properties").is_some_and(|properties| properties.get(key).is_some());
            if keys.iter().all(has) {
                attach(rules, mapping);
            }
        });
    }
}

/// Visits every object.
fn walk(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            visit(map);
            map.values_mut().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

fn attach(rules: &[Rule], mapping: &mut Map<String, Value>) {
    let all: Vec<Value> = rules.iter().flat_map(Rule::schemas).collect();
    if !all.is_empty() {
        mapping.insert("allOf".to_owned(), Value::Array(all));
    }
    for rule in rules {
        let With(keys, other) = rule else { continue };
        for key in *keys {
            let dependencies = mapping.entry("dependencies").or_insert_with(|| json!({}));
            dependencies[key] = json!([other]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{RULES, Rule, walk};

    #[test]
    fn every_set_of_rules_is_about_one_mapping() {
        let mut schema = crate::policy::schema();
        for (mark, rules) in RULES {
            let keys: Vec<&str> = rules.iter().flat_map(Rule::keys).chain([*mark]).collect();
            let mut mappings = BTreeSet::new();
            walk(&mut schema, &mut |mapping| {
                let Some(properties) = mapping.get("properties").and_then(|properties| properties.as_object()) else {
                    return;
                };
                if keys.iter().all(|key| properties.contains_key(*key)) {
                    mappings.insert(properties.keys().cloned().collect::<Vec<_>>());
                }
            });
            assert_eq!(mappings.len(), 1, "{mark}: {mappings:?}");
        }
    }
}
