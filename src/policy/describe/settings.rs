//! A thing as the policy would say it with every default written out. What was written is shown as it was written;
//! what was not comes from the same schema that editors read, so that the two cannot tell different stories. Pure.

use serde_json::Value;

use crate::domain::Setting;
use crate::policy::check::masked;
use crate::policy::text::{Place, Places, Sources};

/// A default that depends on other keys, so that no schema can hold it.
pub(super) struct Computed {
    /// Its path.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// How it comes about.
    pub because: Option<&'static str>,
}

impl Computed {
    /// Makes one that needs no reason.
    pub fn plain(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: value.into(), because: None }
    }
}

/// What is needed to write a thing out.
pub(super) struct Reader<'a> {
    /// The texts.
    pub sources: &'a Sources,
    /// The schema of policy files.
    pub schema: &'a Value,
}

impl Reader<'_> {
    /// Returns every key of a thing, those written in their order, then the defaults.
    pub fn settings(&self, section: &str, places: Option<&Places>, computed: &[Computed]) -> Vec<Setting> {
        let mut out = Vec::new();
        let section = &self.schema["properties"][section];
        let record =
            if section["additionalProperties"].is_object() { &section["additionalProperties"] } else { section };
        self.walk("", record, places, computed, &mut out);
        out
    }

    fn walk(&self, path: &str, record: &Value, places: Option<&Places>, computed: &[Computed], out: &mut Vec<Setting>) {
        let properties = self.properties(record);
        let written = places.map(|places| places.below(path)).unwrap_or_default();
        for (key, place) in &written {
            let places = places.filter(|places| places.has(key));
            let below = places.map(|places| places.below(key)).unwrap_or_default();
            let setting =
                |value: Option<String>| Setting { key: (*key).to_owned(), value, default: false, because: None };
            let is_mapping = below.iter().any(|(child, _)| child[key.len()..].starts_with('.'));
            if is_mapping {
                out.push(setting(None));
                let name = key.rsplit('.').next().unwrap_or(key);
                let inner = properties.iter().find(|(property, _)| *property == name).map_or(&Value::Null, |(_, p)| p);
                self.walk(key, inner, places, computed, out);
            } else if let Some(items) = self.scalars(&below, places) {
                out.push(setting(Some(format!("[{}]", items.join(", ")))));
            } else {
                out.push(setting(Some(self.text(key, *place))));
            }
        }
        let is_written = |key: &str| written.iter().any(|(other, _)| *other == key);
        let full = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for (name, property) in properties {
            let key = full(name);
            if is_written(&key) {
                continue;
            }
            let computed = computed.iter().find(|computed| computed.key == key);
            let value = computed.map(|computed| computed.value.clone()).or_else(|| {
                let default = property.get("default").filter(|default| **default != Value::Bool(false))?;
                applies(path, name, &is_written).then(|| shown(default))
            });
            if let Some(value) = value {
                let because = computed.and_then(|computed| computed.because).map(str::to_owned);
                out.push(Setting { key, value: Some(value), default: true, because });
            }
        }
    }

    /// Returns the properties of a record, through references and choices.
    fn properties<'v>(&'v self, record: &'v Value) -> Vec<(&'v str, &'v Value)> {
        if let Some(properties) = record["properties"].as_object() {
            return properties.iter().map(|(name, property)| (name.as_str(), property)).collect();
        }
        if let Some(reference) = record["$ref"].as_str().and_then(|r| r.strip_prefix("#/definitions/")) {
            return self.properties(&self.schema["definitions"][reference]);
        }
        let choices = ["allOf", "anyOf"].into_iter().filter_map(|key| record[key].as_array()).flatten();
        choices.flat_map(|choice| self.properties(choice)).collect()
    }

    /// Returns the entries of a list of scalars; `None` where there is no list, or something else in it.
    fn scalars(&self, below: &[(String, Place)], places: Option<&Places>) -> Option<Vec<String>> {
        let places = places?;
        let flat = !below.is_empty() && below.iter().all(|(item, _)| places.below(item).is_empty());
        let items: Vec<String> = below.iter().map(|(item, place)| self.text(item, *place)).collect();
        (flat && items.iter().all(|item| !item.contains('\n'))).then_some(items)
    }

    /// Returns the text of a value as written, without secrets and without the indentation of its lines.
    fn text(&self, path: &str, place: Place) -> String {
        let text = self.sources.text(place.file);
        let value = text.get(place.begin..place.end).unwrap_or_default().trim_end();
        // Some secrets are known by their key alone, so it has to stand before them.
        let head = format!("{}: ", path.rsplit('.').next().unwrap_or(path));
        let value = masked(&format!("{head}{value}")).split_off(head.len());
        let column = place.begin - self.sources.line_begin(place.file, place.begin);
        let mut lines = value.lines();
        let mut out = lines.next().unwrap_or_default().to_owned();
        for line in lines {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            out.push('\n');
            out.push_str(line.get(spaces.min(column)..).unwrap_or_default());
        }
        out
    }
}

/// Returns whether a default says anything beside what is written: a time of day says nothing to a cron expression.
fn applies(path: &str, name: &str, is_written: &dyn Fn(&str) -> bool) -> bool {
    let has = |key: &str| is_written(&if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") });
    let counts = ["hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];
    match name {
        "time" => has("frequency"),
        "max_chain" => has("base"),
        "timezone" | "pick" if !["frequency", "cron", "every"].into_iter().any(has) => counts.into_iter().any(has),
        _ => true,
    }
}

/// Returns a default as a policy would write it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(':') => {
            format!("\"{text}\"")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
