//! Canonical JSON (RFC 8785, without floating point) and SHA-256 over it: what ids and digests are made of.

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
    out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    Digest::new(out)
}

/// Returns the SHA-256 of a value's canonical JSON.
#[must_use]
pub fn digest_of<T: Serialize + ?Sized>(value: &T) -> Digest {
    sha256(canonical_json(value).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::canonical_value;

    #[test]
    fn keys_are_sorted_by_utf16_and_nothing_is_padded() {
        let value = serde_json::json!({"b": [1, true, null], "a": "x\n\u{1}\"", "\u{10000}": 1, "\u{e000}": 2});
        assert_eq!(
            canonical_value(&value),
            "{\"a\":\"x\\n\\u0001\\\"\",\"b\":[1,true,null],\"\u{10000}\":1,\"\u{e000}\":2}"
        );
    }
}
