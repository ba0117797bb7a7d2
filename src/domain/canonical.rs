//! Canonical JSON (RFC 8785, without floating point) and SHA-256 over it: what ids and digests are made of.

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::Value;

use super::Digest;

/// Writes a value as canonical JSON: keys sorted by UTF-16 code units, no white space, shortest escapes.
///
/// # Panics
/// Never for bkup's own types: they hold no floating point, and a test covers each type that is digested.
#[must_use]
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> String {
    canonical_value(&serde_json::to_value(value).unwrap_or(Value::Null))
}

/// Writes a JSON value canonically.
#[must_use]
pub fn canonical_value(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(&Value::String(key.clone()), out);
                out.push(':');
                write(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        // serde_json escapes exactly as RFC 8785 asks: short escapes, \u00xx for other controls, nothing else.
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Returns the SHA-256 of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref());
    Digest::new(out)
}

/// Returns the SHA-256 of a value's canonical JSON.
#[must_use]
pub fn digest_of<T: Serialize + ?Sized>(value: &T) -> Digest {
    sha256(canonical_json(value).as_bytes())
}

/// The SHA-256 of a large object's canonical JSON, taken field by field and element by element: the whole of it as a
/// tree of values takes ten times the memory of what it is of.
pub struct ObjectDigest {
    context: Context,
    last: Option<&'static str>,
}

impl ObjectDigest {
    /// Begins an object.
    #[must_use]
    pub fn new() -> Self {
        let mut context = Context::new(&SHA256);
        context.update(b"{");
        Self { context, last: None }
    }

    /// Adds a field. Fields come sorted.
    pub fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        self.name(name);
        self.context.update(canonical_json(value).as_bytes());
    }

    /// Adds a field whose value is an array.
    pub fn list<T: Serialize>(&mut self, name: &'static str, values: &[T]) {
        self.name(name);
        let mut before = "[";
        for value in values {
            self.context.update(before.as_bytes());
            self.context.update(canonical_json(value).as_bytes());
            before = ",";
        }
        self.context.update(if values.is_empty() { b"[]" } else { b"]" });
    }

    /// Ends it.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.context.update(b"}");
        let mut out = [0; 32];
        out.copy_from_slice(self.context.finish().as_ref());
        Digest::new(out)
    }

    fn name(&mut self, name: &'static str) {
        debug_assert!(self.last.is_none_or(|last| last < name), "{name} is out of order");
        let comma = if self.last.replace(name).is_some() { "," } else { "" };
        self.context.update(format!("{comma}\"{name}\":").as_bytes());
    }
}

impl Default for ObjectDigest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{ObjectDigest, canonical_value, digest_of};

    #[test]
    fn an_object_that_is_digested_by_its_parts_is_digested_as_a_whole() {
        let (none, two): (&[u8], &[&str]) = (&[], &["x", "\"\n"]);
        let whole = serde_json::json!({"a": none, "b": two, "c": {"z": 1, "y": null}, "d": true});
        let mut parts = ObjectDigest::new();
        parts.list("a", none);
        parts.list("b", two);
        parts.field("c", &whole["c"]);
        parts.field("d", &true);
        assert_eq!(parts.finish(), digest_of(&whole));
        assert_eq!(ObjectDigest::new().finish(), digest_of(&serde_json::json!({})));
    }

    #[test]
    fn keys_are_sorted_by_utf16_and_nothing_is_padded() {
        let value = serde_json::json!({"b": [1, true, null], "a": "x\n\u{1}\"", "\u{10000}": 1, "\u{e000}": 2});
        assert_eq!(
            canonical_value(&value),
            "{\"a\":\"x\\n\\u0001\\\"\",\"b\":[1,true,null],\"\u{10000}\":1,\"\u{e000}\":2}"
        );
    }
}
