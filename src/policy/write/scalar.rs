//! Scalars: which texts may stand without quotes, and how the others are quoted. Pure.

use crate::policy::check::masked;
use crate::policy::decode::has_variable;

/// Words that some reader of YAML takes for something other than a text.
const SPECIAL: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// Writes a text: as it stands where every reader of YAML takes it for a text, in double quotes otherwise.
pub(super) fn text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Returns whether a text can stand without quotes, in a block and between brackets alike. Stricter than YAML.
fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let special = SPECIAL.iter().any(|word| text.eq_ignore_ascii_case(word));
    let mut before = 'a';
    for (index, c) in text.char_indices() {
        let next = text[index + c.len_utf8()..].chars().next();
        let fits = match c {
            ' ' => before != ' ' && next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '(' || c == '/'),
            ':' => next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '/'),
            '_' | '-' | '.' | '/' | '@' | '+' | '(' | ')' => true,
            c => c.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
        before = c;
    }
    starts && !special
}

/// Writes a text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() => out.push(c),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Returns a text of unknown origin as a field may hold it: secrets masked, and `$(NAME)` for `${NAME}`, which the
/// language allows in some fields only. Brackets are exchanged, not removed: what stood around them must not become a
/// variable by it.
pub(super) fn tame(text: &str) -> String {
    let masked = masked(text);
    if !has_variable(&masked) {
        return masked;
    }
    let mut out = String::with_capacity(masked.len());
    let mut open = false;
    let mut before = ' ';
    for c in masked.chars() {
        match c {
            '{' if before == '$' => {
                open = true;
                out.push('(');
            }
            '}' if open => {
                open = false;
                out.push(')');
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}
