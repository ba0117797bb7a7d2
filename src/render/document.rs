//! Policy documents as lines that read like YAML, and the difference between two of them. Pure.

use serde_json::Value;
use similar::{Algorithm, ChangeTag, capture_diff_slices, group_diff_ops};

use super::style::{Style, Symbol};

/// How many unchanged lines stand around a changed one.
const CONTEXT: usize = 2;

/// Returns the difference of two documents, one line each, with its sign; every line of a new or removed one.
pub(super) fn document_diff(before: Option<&Value>, after: Option<&Value>, style: &Style) -> Vec<String> {
    let old = before.map(|value| lines(value, style)).unwrap_or_default();
    let new = after.map(|value| lines(value, style)).unwrap_or_default();
    let mut out = Vec::new();
    for (index, group) in group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), CONTEXT).iter().enumerate()
    {
        if index > 0 {
            out.push(if style.unicode { "  ⋮".to_owned() } else { "  ...".to_owned() });
        }
        for change in group.iter().flat_map(|op| op.iter_changes(old.as_slice(), new.as_slice())) {
            let text: String = change.value();
            out.push(match change.tag() {
                ChangeTag::Equal => format!("  {text}"),
                ChangeTag::Insert => style.paint(Symbol::Create.tone(), &format!("+ {text}")),
                ChangeTag::Delete => style.paint(Symbol::Remove.tone(), &format!("- {text}")),
            });
        }
    }
    out
}

/// What a reader asks first of something new; its other keys follow in their order.
const FIRST: [&str; 13] = [
    "backup",
    "databases",
    "tenants",
    "when",
    "retention",
    "priority",
    "rpo",
    "rto",
    "type",
    "within",
    "daily",
    "weekly",
    "monthly",
];

/// Returns a document on one line of at most `width` columns, whole keys alone: `backup: database, when: { ... }, ...`.
pub(super) fn document_summary(value: &Value, width: usize, style: &Style) -> String {
    let Value::Object(map) = value else { return String::new() };
    let mut keys: Vec<(&String, &Value)> = map.iter().filter(|(_, value)| !value.is_null()).collect();
    keys.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
    let more = if style.unicode { "…" } else { "..." };
    let entries: Vec<String> =
        keys.iter().map(|(key, value)| format!("{}: {}", style.name(key), flow(value, style))).collect();
    let whole = entries.join(", ");
    if whole.chars().count() <= width {
        return whole;
    }
    let mut taken = more.chars().count();
    let mut shown: Vec<&str> = Vec::new();
    for entry in &entries {
        // A long key must not hide the short ones after it.
        let length = entry.chars().count() + 2;
        if taken + length <= width {
            taken += length;
            shown.push(entry);
        }
    }
    shown.push(more);
    shown.join(", ")
}

/// Returns a value in YAML's flow form.
fn flow(value: &Value, style: &Style) -> String {
    match value {
        Value::Object(map) => {
            let entries = map.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<String> = entries.map(|(k, v)| format!("{}: {}", style.name(k), flow(v, style))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(|item| flow(item, style)).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text, style),
        other => other.to_string(),
    }
}

fn lines(value: &Value, style: &Style) -> Vec<String> {
    let mut out = Vec::new();
    write(value, 0, style, &mut out);
    out
}

/// Writes a value as block lines. Nulls are left out: an absent key and a null one say the same in a policy.
fn write(value: &Value, depth: usize, style: &Style, out: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                let key = style.name(key);
                if let Some(inline) = inline(value, style) {
                    out.push(format!("{indent}{key}: {inline}"));
                } else {
                    out.push(format!("{indent}{key}:"));
                    write(value, depth + 1, style, out);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                if let Some(inline) = inline(item, style) {
                    out.push(format!("{indent}- {inline}"));
                } else {
                    let at = out.len();
                    write(item, depth + 1, style, out);
                    if let Some(first) = out.get_mut(at) {
                        first.replace_range(indent.len()..indent.len() + 2, "- ");
                    }
                }
            }
        }
        scalar => out.push(format!("{indent}{}", inline(scalar, style).unwrap_or_default())),
    }
}

/// Returns a value that stands on its key's line: scalars, empty things and short lists of scalars.
fn inline(value: &Value, style: &Style) -> Option<String> {
    match value {
        Value::String(text) => Some(scalar(text, style)),
        Value::Object(map) if map.values().all(Value::is_null) => Some("{}".to_owned()),
        Value::Object(_) => None,
        Value::Array(items) => {
            let short: Option<Vec<String>> =
                items.iter().map(|i| if i.is_array() || i.is_object() { None } else { inline(i, style) }).collect();
            let text = format!("[{}]", short?.join(", "));
            (text.chars().count() <= 72).then_some(text)
        }
        other => Some(other.to_string()),
    }
}

/// Returns a text plainly where YAML would read it back as that text, in JSON quotes otherwise.
fn scalar(text: &str, style: &Style) -> String {
    let starts = text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '/' || c == '$');
    let word = !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off");
    let plain = text.chars().all(|c| c.is_alphanumeric() || " -_./:${}@+*=%".contains(c));
    if starts && word && plain && !text.ends_with([' ', ':']) && !text.contains(": ") {
        style.name(text)
    } else {
        format!("\"{}\"", style.name(text).replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::{document_diff, document_summary};
    use crate::render::Style;

    #[test]
    fn a_changed_line_keeps_its_neighbours() {
        let before =
            serde_json::json!({"a": 1, "b": {"keep": {"daily": 7, "weekly": 4}}, "c": ["x", "y"], "z": "02:00"});
        let after =
            serde_json::json!({"a": 1, "b": {"keep": {"daily": 14, "weekly": 4}}, "c": ["x", "y"], "z": "02:00"});
        assert_eq!(
            document_diff(Some(&before), Some(&after), &Style::plain()).join("\n"),
            "  b:\n    keep:\n-     daily: 7\n+     daily: 14\n      weekly: 4\n  c: [x, y]"
        );
    }

    #[test]
    fn a_list_of_things_reads_like_yaml() {
        let after =
            serde_json::json!({"steps": [{"check": ["equal"], "name": "a"}, "plain"], "gone": null, "t": "yes"});
        assert_eq!(
            document_diff(None, Some(&after), &Style::plain()).join("\n"),
            "+ steps:\n+   - check: [equal]\n+     name: a\n+   - plain\n+ t: \"yes\""
        );
    }

    #[test]
    fn a_summary_has_what_is_asked_first_and_whole_keys_alone() {
        let value = serde_json::json!({"a": null, "backup": "database", "compression": "zstd:3",
            "databases": ["app"], "when": {"time": "02:00"}});
        let wide = "backup: database, databases: [app], when: { time: \"02:00\" }, compression: zstd:3";
        assert_eq!(document_summary(&value, 100, &Style::plain()), wide);
        assert_eq!(document_summary(&value, wide.len(), &Style::plain()), wide);
        let narrower = "backup: database, databases: [app], when: { time: \"02:00\" }, …";
        assert_eq!(document_summary(&value, 40, &Style::plain()), "backup: database, databases: [app], …");
        assert_eq!(document_summary(&value, wide.len() - 1, &Style::plain()), narrower);
        assert_eq!(document_summary(&value, 24, &Style::plain()), "backup: database, …");
        assert_eq!(document_summary(&value, 3, &Style::plain()), "…");
    }

    #[test]
    fn equal_documents_have_no_difference() {
        let value = serde_json::json!({"a": [1, 2]});
        assert!(document_diff(Some(&value), Some(&value), &Style::plain()).is_empty());
    }
}
