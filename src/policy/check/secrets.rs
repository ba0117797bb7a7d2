//! Secrets that stand in the files, and URLs that are none. A finding here never repeats what it found. Pure.

use crate::domain::EnvText;
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::{Place, Places};

const SECRET_KEY: &str = "AGE-SECRET-KEY-";

/// Refuses age secret keys anywhere in a file, comments included.
pub(in crate::policy) fn refuse_secret_keys(file: usize, cx: &mut Context<'_>) {
    let upper = cx.sources.text(file).to_ascii_uppercase();
    for (begin, _) in upper.match_indices(SECRET_KEY) {
        let rest = &upper[begin + SECRET_KEY.len()..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        // The bare prefix, in a comment for instance, gives nothing away.
        if length < 8 {
            continue;
        }
        let place = Place { file, begin, end: begin + SECRET_KEY.len() };
        let help = "take it out of git's history too and make a new one with `bkup key generate`; then write \"${BKUP_AGE_IDENTITY}\"";
        cx.error(
            codes::SECRET_KEY_IN_FILE,
            place,
            "an age secret key stands in a policy file: whoever reads the file can read the backups",
            "a secret key",
            help,
        );
    }
}

/// Looks at a connection string that stands in the file itself.
pub(in crate::policy) fn url(what: &str, url: Option<&EnvText>, path: &str, places: &Places, cx: &mut Context<'_>) {
    let Some(EnvText::Literal(text)) = url else { return };
    let place = places.get(path);
    refuse_password(&format!("the URL of this {what}"), text, place, cx);
    let postgres = text.starts_with("postgres://")
        || text.starts_with("postgresql://")
        || !text.contains("://") && text.contains('=');
    if !postgres {
        let message = format!("the URL of this {what} is no PostgreSQL connection string");
        cx.bad_value(place, message, "write postgres://user@host:5432/name, or the name of a variable as \"${NAME}\"");
    }
}

/// Warns of a password in a literal text.
pub(in crate::policy) fn refuse_password(what: &str, text: &str, place: Place, cx: &mut Context<'_>) {
    if EnvText::Literal(text.to_owned()).shown() != text {
        let help = "put the whole URL into an environment variable and write \"${NAME}\"; change the password if the file was ever committed";
        cx.warning(
            codes::PASSWORD_IN_FILE,
            place,
            format!("{what} contains a password that everyone with the file can read"),
            "with a password",
            help,
        );
    }
}

/// Returns a policy file's text with its secrets overwritten byte by byte, so that every place in it stays the same:
/// what may be shown beside a finding. Overwrites rather too much than too little.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let upper = text.to_ascii_uppercase();
    let mut mask = |begin: usize, end: usize| bytes[begin..end].fill(b'*');
    for (at, prefix) in upper.match_indices(SECRET_KEY) {
        let begin = at + prefix.len();
        mask(begin, end_of(text, begin, |c| !c.is_ascii_alphanumeric()));
    }
    let ends_value = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    // What lies in a value that was looked at is masked with it; looking at it again would take forever in a long one.
    let mut seen = 0;
    for (at, scheme) in text.match_indices("://") {
        let begin = at + scheme.len();
        if begin < seen {
            continue;
        }
        let end = end_of(text, begin, ends_value);
        seen = end;
        if let Some(at) = text[begin..end].rfind('@')
            && let Some(colon) = text[begin..begin + at].find(':')
        {
            mask(begin + colon + 1, begin + at);
        }
    }
    let mut seen = 0;
    for (at, key) in upper.match_indices("PASSWORD=") {
        let begin = at + key.len();
        if begin < seen {
            continue;
        }
        // A quoted value of a connection string can hold spaces.
        let quoted = text[begin..].starts_with('\'');
        let from = begin + usize::from(quoted);
        seen = end_of(text, from, |c| if quoted { matches!(c, '\'' | '\n') } else { c == '&' || ends_value(c) });
        mask(from, seen);
    }
    // Fields that hold nothing but a secret, unless they name a variable or a file.
    for key in ["SLACK:", "SECRET:", "SIGNING_KEY:"] {
        for (at, _) in upper.match_indices(key) {
            let rest = &text[at + key.len()..];
            let begin = at + key.len() + (rest.len() - rest.trim_start_matches([' ', '\t', '"', '\'']).len());
            if !text[begin..].starts_with(['$', '/', '.', '\n']) {
                mask(begin, end_of(text, begin, |c| ends_value(c) || matches!(c, ',' | '}')));
            }
        }
    }
    // Only whole runs of characters were overwritten, and by ASCII.
    String::from_utf8(bytes).unwrap_or_default()
}

fn end_of(text: &str, begin: usize, ends: impl Fn(char) -> bool) -> usize {
    text[begin..].find(ends).map_or(text.len(), |length| begin + length)
}
