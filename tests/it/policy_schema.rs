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
    "BK208-empty-lists",
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

/// Every way to spoil a value in one place: a key less, a key more (one that nobody knows, or one that others of its
/// kind have), a value of another kind.
fn mutants(value: &Value) -> Vec<(String, Value)> {
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
    let others = [json!(null), json!(7), json!("word"), json!(true), json!([]), json!({}), json!(["*"]), json!("")];
    let mut mutants = Vec::new();
    let mut mutate = |place: &str, what: String, change: &dyn Fn(&mut Value)| {
        let mut mutant = value.clone();
        change(mutant.pointer_mut(place).unwrap());
        mutants.push((format!("{place}: {what}"), mutant));
    };
    // What is spoilt once in a mapping with the same keys is not spoilt again in the next one of its kind.
    let mut done = BTreeSet::new();
    for place in &places {
        let keys = value.pointer(place).and_then(Value::as_object).map(|map| map.keys().collect::<Vec<_>>());
        if !done.insert((kind(place), keys)) {
            continue;
        }
        for other in &others {
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
    let validator = validator();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies/valid/everything-served.yaml");
    let whole = meaning(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(reasons(&validator, &whole), [""; 0]);
    let mut wrong = Vec::new();
    for (what, mutant) in mutants(&whole) {
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
