//! Two ways to say a part of the language once and get it typed, read and described in the JSON Schema: `record!` for
//! a mapping with known keys, `words!` for a set of words. Pure.

/// Declares a mapping: its keys with their types, which of them are `required`, and those that the language has and
/// this version does not serve.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $name:ident, $what:literal {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty $(, $mark:ident)?; )*
        }
    ) => {
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            $( $(#[$field_meta])* $(#[schemars($mark)])? pub $field: Option<$type>, )*
        }

        impl $crate::policy::decode::Decode for $name {
            fn decode(node: &$crate::policy::text::Node, cx: &mut $crate::policy::decode::Context<'_>) -> Option<Self> {
                const KNOWN: &[&str] = &[$( $crate::policy::record::bare(stringify!($field)) ),*];
                let entries = cx.entries(node, $what)?;
                let mut out = Self::default();
                for entry in entries {
                    match entry.key.as_str() {
                        $( key if key == $crate::policy::record::bare(stringify!($field)) => {
                            out.$field = cx.field(key, &entry.value);
                        } )*
                        _ => cx.unknown(entry, entries, $what, KNOWN),
                    }
                }
                $( $(
                    let _: &str = stringify!($mark);
                    let key = $crate::policy::record::bare(stringify!($field));
                    if !entries.iter().any(|entry| entry.key == key) {
                        cx.missing($crate::policy::record::head(node), key, $what);
                    }
                )? )*
                Some(out)
            }
        }
    };
}
pub(crate) use record;

/// Declares which words stand for which values of an enumeration, each with what an editor says of it.
macro_rules! words {
    ($type:ty, $title:literal, $what:literal { $( $(#[doc = $doc:literal])* $word:literal => $value:expr, )* }) => {
        impl $crate::policy::decode::Decode for $type {
            fn decode(node: &$crate::policy::text::Node, cx: &mut $crate::policy::decode::Context<'_>) -> Option<Self> {
                let text = cx.written(node, $what)?;
                match text {
                    $( $word => Some($value), )*
                    _ => {
                        $crate::policy::record::unknown_word(text, node, $what, &[$($word),*], cx);
                        None
                    }
                }
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::policy::record::schema_of_words(&[$($word),*], &[$(concat!($($doc),*).trim_start()),*])
            }
        }
    };
}
pub(crate) use words;

use super::decode::Context;
use super::text::{Kind, Node, Place, shown, similar, surely};

/// Returns the schema of a set of words, with what each means where that is said.
pub(crate) fn schema_of_words(words: &[&str], meanings: &[&str]) -> schemars::Schema {
    let mut schema = schemars::json_schema!({ "type": "string", "enum": words });
    if meanings.iter().any(|meaning| !meaning.is_empty()) {
        schema.insert("enumDescriptions".to_owned(), serde_json::json!(meanings));
    }
    schema
}

/// Returns a field's key: its name, without the `r#` of Rust's own words.
pub(crate) const fn bare(field: &str) -> &str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Returns a short place for a mapping: its first key, since the whole of it can be a page.
pub(crate) fn head(node: &Node) -> Place {
    match &node.kind {
        Kind::Map(entries) => entries.first().map_or(node.place, |entry| entry.place),
        _ => node.place,
    }
}

/// Adds the finding that a word is none of those known.
pub(crate) fn unknown_word(text: &str, node: &Node, what: &str, known: &[&str], cx: &mut Context<'_>) {
    let key = cx.key().to_owned();
    let help = match similar(text, known.iter().copied()) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("write one of: {}", known.join(", ")),
    };
    let sure = surely(text, known.iter().copied());
    let told = cx.bad_value(node.place, format!("`{}` is not {what}, as `{key}` wants", shown(text)), help);
    if let Some(sure) = sure {
        told.fix(format!("write `{sure}`"), &[(node.place, sure)]);
    }
}
