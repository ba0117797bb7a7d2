//! Comments, and text of unknown origin on its way into one. Pure.

use crate::policy::check::masked;

/// How long a line of a comment gets, its indentation included.
const WIDTH: usize = 118;
/// The longest text of unknown origin that is repeated.
const MOST: usize = 400;

/// Returns a text without what could harm a file or a terminal: passwords and keys masked, one line, cut.
pub(in crate::policy) fn harmless(text: &str) -> String {
    let masked = masked(text);
    let mut out = String::new();
    let mut shown = 0;
    for word in masked.split_whitespace() {
        if shown > MOST {
            out.push_str(" …");
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars().take(MOST) {
            shown += 1;
            // Format characters can turn the rest of a line around in an editor.
            if c.is_alphanumeric() || c.is_ascii_graphic() || matches!(c, '…' | '·' | '–' | '→') {
                out.push(c);
            } else {
                out.extend(c.escape_unicode());
            }
        }
    }
    // An ignore comment or an editor's mode line counts wherever it stands: no name may bring one.
    for mark in ["bkup:", "yaml-language-server:"] {
        while let Some(at) = out.to_ascii_lowercase().find(mark) {
            out.replace_range(at + mark.len() - 1..at + mark.len(), " ");
        }
    }
    out
}

/// Returns a name of unknown origin as it may be shown in a comment: short, and only of plain characters.
pub(in crate::policy) fn label(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/');
    let text: String = masked(text).chars().take(60).map(|c| if plain(c) { c } else { '?' }).collect();
    if text.is_empty() { "?".to_owned() } else { harmless(&text) }
}

/// Writes a comment, wrapped at spaces, each line with its indentation and mark.
pub(super) fn write(out: &mut String, indent: usize, text: &str) {
    let room = WIDTH.saturating_sub(indent + 2);
    let mut length = 0;
    for word in harmless(text).split(' ').filter(|word| !word.is_empty()) {
        let needed = word.chars().count();
        if length > 0 && length + 1 + needed > room {
            out.push('\n');
            length = 0;
        }
        if length == 0 {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push('#');
        }
        out.push(' ');
        out.push_str(word);
        length += needed + 1;
    }
    if length > 0 {
        out.push('\n');
    }
}
