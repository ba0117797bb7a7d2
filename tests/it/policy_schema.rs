//! Suite: policy_schema. The JSON Schema of policies is as sharp as a schema can be: what bkup accepts it accepts, and
//! of what bkup refuses it refuses whatever one file shows by its shape. Editors show what it says, so everything in it
//! is described.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bkup::diag::Diagnostic;
use bkup::policy::{self, SourceFile};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::policy::{entries, files_of, findings};

/// Findings that a schema always sees.
const SEEN: &[&str] = &[
    "BK105", "BK106", "BK107", "BK110", "BK111", "BK112", "BK113", "BK116", "BK119", "BK120", "BK122", "BK123",
    "BK199", "BK304", "BK502", "BK702", "BK703",
];

/// Findings that a schema sees in some forms and not in others: values with rules of their own, such as zones, check
/// sums and numbers with leading zeros; names such as `true`, which are no text to other readers of YAML.
const SOMETIMES: &[&str] = &["BK114", "BK115", "BK117", "BK118", "BK121", "BK201", "BK204", "BK208", "BK602", "BK603"];

/// Of the fixtures with findings that a schema sees in some forms only: those that it sees.
const SEEN_SOMETIMES: &[&str] = &[
    "BK114-numbers",
    "BK115-retention-is-a-duration",
    "BK115-values",
    "BK115-values-of-the-whole",
    "BK208-empty-lists",
    "BK208-no-days",
    "BK602-secret-keys",
    "BK603-recipients",
];

/// Sentences of findings that a schema never sees though it sees others of their code: they compare two things.
const UNSEEN: &[&str] = &["the first restore of a plan does not say what", ", and the schedule `"];

/// Findings of texts that are no YAML, or no value in JSON: there is nothing that a schema could see.
const NO_VALUE: &[&str] = &["BK100", "BK101", "BK102", "BK103", "BK104", "BK108", "BK109"];

/// Findings of keys that JSON does not have.
const NO_JSON: &[&str] = &["BK119", "BK122"];

fn validator() -> Validator {
    jsonschema::draft7::new(&policy::schema()).unwrap()
}

/// Returns what a YAML text means: aliases and merge keys followed, scalars typed by the core schema of YAML 1.2.
fn meaning(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    serde_saphyr::from_str(text.trim_start_matches('\u{feff}')).ok()
}

/// Returns why a value does not fit the schema, one line for each reason.
fn reasons(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn whatever_is_valid_fits_the_schema() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_dir(root.join("examples/policies")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries("valid").into_iter().chain(examples) {
        for file in files_of(&path) {
            let value = meaning(&file.bytes).unwrap_or_else(|| panic!("{}/{}", path.display(), file.name));
            assert_eq!(reasons(&validator, &value), [""; 0], "{}/{}", path.display(), file.name);
        }
    }
}

/// What a schema should make of findings.
#[derive(Debug, PartialEq)]
enum Sight {
    Refuses,
    Accepts,
    /// Some forms of it.
    Either,
    /// There is nothing to look at.
    Nothing,
}

/// Returns what a schema should make of findings; notes and warnings are none of its business.
fn sight(found: &[Diagnostic]) -> Sight {
    let has = |codes: &[&str]| {
        let unseen = |finding: &Diagnostic| UNSEEN.iter().any(|words| finding.message.contains(words));
        found.iter().any(|finding| codes.contains(&finding.code.0) && !unseen(finding))
    };
    match (has(NO_VALUE), has(SEEN), has(SOMETIMES)) {
        (true, _, _) => Sight::Nothing,
        (_, true, _) => Sight::Refuses,
        (_, _, true) => Sight::Either,
        _ => Sight::Accepts,
    }
}

#[test]
fn of_invalid_fixtures_the_schema_refuses_those_that_show_it() {
    let validator = validator();
    let mut wrong = Vec::new();
    for path in entries("invalid") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let found = findings(&path);
        let codes: BTreeSet<&str> = found.iter().map(|finding| finding.code.0).collect();
        let values: Option<Vec<Value>> = files_of(&path).iter().map(|file| meaning(&file.bytes)).collect();
        let Some(values) = values else {
            if !codes.iter().any(|code| NO_VALUE.contains(code) || NO_JSON.contains(code)) {
                wrong.push(format!("{name} is no YAML to others, and bkup says {codes:?}"));
            }
            continue;
        };
        let reasons: Vec<String> = values.iter().flat_map(|value| reasons(&validator, value)).collect();
        let expected = match sight(&found) {
            Sight::Nothing => continue,
            Sight::Refuses => true,
            Sight::Accepts => false,
            Sight::Either => SEEN_SOMETIMES.contains(&name),
        };
        if expected == reasons.is_empty() {
            wrong.push(format!("{name} {codes:?}: the schema says {reasons:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every place of a value, as a JSON pointer.
fn pointers(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, &format!("{here}/{key}"), all)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{here}/{index}"), all));
        }
        _ => {}
    }
}

/// Returns the place without what differs between things of one kind: their names, and the numbers of items.
fn kind(place: &str) -> String {
    let mut parts: Vec<&str> = place.split('/').collect();
    if parts.len() > 2 {
        parts[2] = "*";
    }
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.into_iter().map(|part| if number(&part) { "*" } else { part }).collect::<Vec<_>>().join("/")
}

/// What was spoilt already: kinds of places, and the keys of mappings. What is spoilt once is not spoilt again in the next
/// mapping of its kind with the same keys.
type Done = BTreeSet<(String, Option<Vec<String>>)>;

/// Every way to spoil a value in one place: a key less, a key more (one that nobody knows, or one that others of its
/// kind have), a value of another kind.
fn mutants(value: &Value, done: &mut Done) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    pointers(value, "", &mut places);
    let mut known: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for place in &places {
        if let Some(Value::Object(map)) = value.pointer(place) {
            let known = known.entry(kind(place)).or_default();
            known.insert("nobody_knows".to_owned(), json!(1));
            map.iter().for_each(|(key, value)| _ = known.entry(key.clone()).or_insert_with(|| value.clone()));
        }
    }
    let others = |value: &Value| match value {
        Value::Object(_) => vec![json!(null), json!("word"), json!([]), json!({})],
        Value::Array(_) => vec![json!(null), json!("word"), json!([]), json!({}), json!(["*"]), json!([7])],
        _ => vec![json!(null), json!(7), json!("word"), json!(true), json!([]), json!({}), json!("")],
    };
    let mut mutants = Vec::new();
    let mut mutate = |place: &str, what: String, change: &dyn Fn(&mut Value)| {
        let mut mutant = value.clone();
        change(mutant.pointer_mut(place).unwrap());
        mutants.push((format!("{place}: {what}"), mutant));
    };
    for place in &places {
        let keys = value.pointer(place).and_then(Value::as_object).map(|map| map.keys().cloned().collect::<Vec<_>>());
        if !done.insert((kind(place), keys)) {
            continue;
        }
        for other in &others(value.pointer(place).unwrap()) {
            mutate(place, format!("is {other}"), &|here| *here = other.clone());
        }
        let Some(Value::Object(map)) = value.pointer(place) else { continue };
        for key in map.keys() {
            mutate(place, format!("without {key}"), &|here| _ = here.as_object_mut().unwrap().remove(key));
        }
        for (key, extra) in known[&kind(place)].iter().filter(|(key, _)| !map.contains_key(*key)) {
            mutate(place, format!("with {key}"), &|here| here[key] = extra.clone());
        }
    }
    mutants
}

#[test]
fn spoilt_in_any_one_place_a_policy_is_refused_by_both_or_by_none() {
    let mut done = Done::new();
    for fixture in ["the-contract", "everything"] {
        let path = format!("{}/tests/fixtures/policies/valid/{fixture}.yaml", env!("CARGO_MANIFEST_DIR"));
        spoil(&meaning(&std::fs::read(path).unwrap()).unwrap(), &mut done);
    }
}

#[track_caller]
fn spoil(whole: &Value, done: &mut Done) {
    let validator = validator();
    assert_eq!(reasons(&validator, whole), [""; 0]);
    let mut wrong = Vec::new();
    for (what, mutant) in mutants(whole, done) {
        let bytes = serde_json::to_vec(&mutant).unwrap();
        let found = policy::read(&[SourceFile { name: "a.yaml".to_owned(), bytes }]).1;
        let accepts = validator.is_valid(&mutant);
        let fits = match sight(&found) {
            Sight::Refuses => !accepts,
            Sight::Accepts => accepts,
            Sight::Either | Sight::Nothing => true,
        };
        if !fits {
            let words: Vec<String> = found.iter().map(|f| format!("{}: {}", f.code, f.message)).take(2).collect();
            wrong.push(format!("{what}: bkup says {words:?}, the schema {:?}", reasons(&validator, &mutant)));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Visits every schema in a schema, but for conditions: they say which values are meant, not what a value is.
fn each_schema<'a>(schema: &'a Value, place: &str, visit: &mut impl FnMut(&'a Map<String, Value>, &str)) {
    match schema {
        Value::Object(map) => {
            visit(map, place);
            let inner = map.iter().filter(|(key, _)| !["if", "then", "not", "propertyNames"].contains(&key.as_str()));
            inner.for_each(|(key, value)| each_schema(value, &format!("{place}/{key}"), visit));
        }
        Value::Array(items) => items.iter().for_each(|item| each_schema(item, place, visit)),
        _ => {}
    }
}

#[test]
fn every_word_is_explained_and_every_pattern_has_an_example() {
    let schema = policy::schema();
    each_schema(&schema, "", &mut |schema, place| {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let said = schema["enumDescriptions"].as_array().unwrap();
            assert_eq!(said.len(), words.len(), "{place}");
            assert!(said.iter().all(|said| said.as_str().unwrap().ends_with('.')), "{place}: {said:?}");
        }
        // A name stands for something of the set; an example would be offered as if it were there.
        let names = schema.get("pattern") == Some(&json!("^[a-z][a-z0-9-]{0,62}$"));
        if schema.contains_key("pattern") && !names {
            assert!(schema.get("examples").is_some_and(|examples| !examples.as_array().unwrap().is_empty()), "{place}");
        }
    });
}

#[test]
fn every_example_and_every_default_is_a_value_that_its_key_can_have() {
    let schema = policy::schema();
    let mut count = 0;
    each_schema(&schema, "", &mut |part, place| {
        let examples = part.get("examples").and_then(Value::as_array).into_iter().flatten();
        let values: Vec<&Value> = examples.chain(part.get("default")).collect();
        if values.is_empty() || place.ends_with("/properties") {
            return;
        }
        let mut alone = Value::Object(part.clone());
        alone["definitions"] = schema["definitions"].clone();
        let validator = jsonschema::draft7::new(&alone).unwrap();
        for value in values {
            assert_eq!(reasons(&validator, value), [""; 0], "{place}: {value}");
            count += 1;
        }
    });
    assert!(count > 40, "{count}");
}

/// Returns what the schema says of a key, in the mapping that also has the key `beside`.
fn property<'a>(schema: &'a Value, beside: &str, key: &str) -> &'a Value {
    let mut found = None;
    each_schema(schema, "", &mut |schema, _| {
        if let Some(properties) = schema.get("properties").filter(|all| all.get(beside).is_some()) {
            found = found.or_else(|| properties.get(key));
        }
    });
    found.unwrap_or_else(|| panic!("{key} beside {beside}"))
}

#[test]
fn the_schema_states_the_defaults_of_the_language() {
    let schema = policy::schema();
    for (beside, key, default) in [
        ("sample_tenants", "target", json!("latest")),
        ("sample_tenants", "into", json!("scratch")),
        ("sample_tenants", "sample_tenants", json!(3)),
        ("sample_tenants", "checks", json!("tables")),
        ("manual", "check", json!("tables")),
        ("start_within", "compression", json!("zstd:3")),
        ("start_within", "max_parallel_jobs", json!(1)),
        ("start_within", "max_chain", json!(24)),
        ("start_within", "tenants", json!("all")),
        ("start_within", "protect", json!(false)),
        ("cron", "time", json!("00:00")),
        ("cron", "timezone", json!("UTC")),
        ("quarterly", "pick", json!("first")),
        ("quarterly", "timezone", json!("UTC")),
        ("quarterly", "forever", json!(false)),
        ("priority", "method", json!("cold_backup")),
        ("method", "method", json!("cold_backup")),
        ("archive_timeout", "archive_timeout", json!("60s")),
        ("archive_timeout", "max_lag", json!("2m")),
        ("archive_timeout", "window", json!("7d")),
        ("min_keep", "max_delete", json!("10%")),
        ("min_keep", "min_keep", json!(2)),
        ("min_keep", "grace", json!("7d")),
        ("status", "status", json!("draft")),
        ("minimum_backup_age", "protect", json!(false)),
        ("schedule", "from", json!("latest")),
        ("replicate_to", "manage", json!(false)),
        ("recipients", "per_tenant_keys", json!(false)),
        ("unmanaged", "manage_settings", json!(false)),
        ("sql", "expect", json!("true")),
    ] {
        assert_eq!(property(&schema, beside, key).get("default"), Some(&default), "{key} beside {beside}");
    }
    // These depend on other keys, and are told in words.
    for (beside, key) in [
        ("start_within", "start_within"),
        ("start_within", "engine"),
        ("start_within", "tables"),
        ("cron", "days"),
        ("replicate_to", "path_style"),
        ("success", "failure"),
        ("success", "success"),
    ] {
        let said = property(&schema, beside, key)["description"].as_str().unwrap();
        assert!(said.contains("Default: "), "{key}: {said}");
    }
}
