//! Names and sentences from outside, made safe for a terminal and for a workflow's log. Pure.

use std::fmt::Write as _;

/// Returns text with everything a terminal would obey, hide or reorder written out: control characters and ANSI
/// escapes, line ends, bidirectional overrides, invisible characters and tags; and the begins of commands that CI
/// runners look for in what a step prints. Two different texts never look the same because of it: a backslash is
/// doubled.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '#' | ':' if steers_a_runner(&text[at..]) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Returns text with every character outside ASCII written out, for terminals that are not UTF-8.
pub(super) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    out
}

/// Returns whether a text begins like an order to a CI runner: `##[add-mask]`, which counts anywhere in a line, or
/// `::set-output name=a::`, which counts at a line's begin, where wrapping may put any word.
fn steers_a_runner(text: &str) -> bool {
    if text.starts_with('#') {
        return text.starts_with("##[") || text.starts_with("##vso[");
    }
    let Some(rest) = text.strip_prefix("::") else { return false };
    let word = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-').len();
    let rest = &rest[word..];
    word > 0 && (rest.starts_with("::") || rest.starts_with(' ') && rest.contains("::"))
}

/// Replaces what a terminal would obey by question marks of the same length in bytes, so that spans stay true. Line
/// ends and tabs stay.
pub(super) fn blot(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if matches!(c, '#' | ':') && steers_a_runner(&text[at..]) {
            out.push('?');
        } else if matches!(c, '\n' | '\t') || !is_unsafe(c) {
            out.push(c);
        } else if c == '\r' {
            out.push(' ');
        } else {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        }
    }
    out
}

/// Writes out what a terminal would obey inside JSON text, as JSON escapes: the value stays the same for programs, and
/// a plan can be read with `cat`. Line ends and spaces outside strings stay.
pub(super) fn json_safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (at, c) in json.char_indices() {
        // Only strings hold these: JSON itself has neither of them.
        if c >= ' ' && is_unsafe(c) || c == '#' && steers_a_runner(&json[at..]) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            // Soft hyphen, grapheme joiner, Arabic mark, Hangul and Khmer fillers, Mongolian separators.
            0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
            // Spaces of no or odd width, direction marks and overrides, line and paragraph separators, joiners.
            | 0x2000..=0x200F | 0x2028..=0x202E | 0x205F..=0x206F
            | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
            // Invisible musical marks, tags, variation selectors, private use.
            | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF | 0xE000..=0xF8FF | 0xF0000..=0x10FFFF)
}

#[cfg(test)]
mod tests {
    use super::{ascii, blot, escape, json_safe};

    #[test]
    fn a_hostile_name_cannot_steer_the_terminal() {
        for (name, shown) in [
            ("\u{1b}[2Jacme", "\\u{1b}[2Jacme"),
            ("a\nDeletions (0)", "a\\nDeletions (0)"),
            ("a\rb\tc\0", "a\\rb\\tc\\u{0}"),
            ("a\u{202e}emca", "a\\u{202e}emca"),
            ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{e0041}", "\\u{e0041}"),
            ("\"; DROP SCHEMA", "\"; DROP SCHEMA"),
            ("Łódź 서울 東京", "Łódź 서울 東京"),
        ] {
            assert_eq!(escape(name), shown);
        }
    }

    #[test]
    fn an_escaped_name_never_looks_like_another() {
        assert_ne!(escape("\u{1b}"), escape("\\u{1b}"));
        assert_ne!(escape("\n"), escape("\\n"));
    }

    #[test]
    fn a_hostile_name_cannot_steer_a_runner() {
        for (name, shown) in [
            ("##[set-output name=a;]b", "\\u{23}#[set-output name=a;]b"),
            ("###[error]", "#\\u{23}#[error]"),
            ("##vso[task.setvariable]", "\\u{23}#vso[task.setvariable]"),
            ("::error::x", "\\u{3a}:error::x"),
            ("a ::add-mask::b", "a \\u{3a}:add-mask::b"),
            ("::set-output name=a::b", "\\u{3a}:set-output name=a::b"),
            ("select a::int, b", "select a::int, b"),
            ("::1", "::1"),
            ("## a", "## a"),
        ] {
            assert_eq!(escape(name), shown);
        }
        assert_eq!(blot("a: x ##[error]"), "a: x ?#[error]");
        assert_eq!(json_safe("{\"a\":\"##[error]\"}"), "{\"a\":\"\\u0023#[error]\"}");
    }

    #[test]
    fn blotting_keeps_every_byte_offset() {
        let text = "a\u{1b}b\u{202e}c\u{9b}\r\n\u{e0041}é";
        let blotted = blot(text);
        assert_eq!(blotted.len(), text.len());
        assert_eq!(blotted, "a?b???c?? \n????é");
    }

    #[test]
    fn ascii_shows_other_alphabets_by_number() {
        assert_eq!(ascii("Łódź"), "\\u{141}\\u{f3}d\\u{17a}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_keeps_a_control_character(text in proptest::prelude::any::<String>()) {
            let shown = escape(&text);
            proptest::prop_assert!(!shown.chars().any(char::is_control));
            proptest::prop_assert!(ascii(&shown).is_ascii());
            proptest::prop_assert_eq!(blot(&text).len(), text.len());
            let json = json_safe(&serde_json::to_string(&text).unwrap());
            let bad = json.chars().any(|c| c.is_control() || u32::from(c) == 0x202e);
            proptest::prop_assert!(!bad);
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
