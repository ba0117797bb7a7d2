//! libpq's password file: `host:port:database:user:password` per line, `*` for any, `\\:` and `\\\\` for themselves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;

/// Returns the password of the first line that fits host, port, database and user.
pub(super) fn password(file: &Path, wanted: [&str; 4]) -> Option<SecretString> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        return None;
    }
    lookup(&std::fs::read_to_string(file).ok()?, wanted).map(SecretString::from)
}

fn lookup(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for value in wanted {
            let field;
            (field, rest) = next_field(rest)?;
            if field != "*" && unescaped(field) != value {
                return None;
            }
        }
        Some(unescaped(next_field(rest).map_or(rest, |(password, _)| password)))
    })
}

fn next_field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == ':' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    })?;
    Some((&text[..end.0], &text[end.0 + 1..]))
}

fn unescaped(field: &str) -> String {
    let mut chars = field.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::lookup;

    #[test]
    fn the_first_line_that_fits_wins() {
        let file = "# a comment\nother:*:*:*:no\nh:5433:*:u:p\\:a\\\\ss\n*:*:*:u:late\n";
        assert_eq!(lookup(file, ["h", "5433", "db", "u"]).as_deref(), Some("p:a\\ss"));
        assert_eq!(lookup(file, ["h", "5432", "db", "u"]).as_deref(), Some("late"));
        assert_eq!(lookup(file, ["h", "5432", "db", "v"]), None);
    }
}
