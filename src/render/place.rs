//! Where a finding is, in the terms of other programs: lines and columns of both ends, paths relative to a folder,
//! URIs. Pure.

use super::diagnostics::Sources;
use crate::diag::Span;

/// Both ends of a place: lines and columns from 1, columns in characters, the end past the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// The line of the begin.
    pub begin_line: u32,
    /// The column of the begin.
    pub begin_column: u32,
    /// The line of the end.
    pub end_line: u32,
    /// The column of the end.
    pub end_column: u32,
}

/// Returns both ends of a place. A span only knows its begin in lines, so the end is counted in the text; `None` where
/// that is not at hand.
pub(super) fn region(span: &Span, sources: &Sources) -> Option<Region> {
    let inside = sources.get(&span.file)?.get(span.begin..span.end)?;
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let breaks = number(inside.bytes().filter(|byte| *byte == b'\n').count());
    let last = number(inside.rsplit('\n').next().unwrap_or_default().chars().count());
    let before = if breaks == 0 { span.column } else { 1 };
    Some(Region {
        begin_line: span.line,
        begin_column: span.column,
        end_line: span.line.saturating_add(breaks),
        end_column: before.saturating_add(last),
    })
}

/// Returns a path as it is named from a folder, where it lies below it; as it is otherwise.
pub(super) fn relative<'a>(file: &'a str, folder: &str) -> &'a str {
    let below = file.strip_prefix(folder.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'));
    below.filter(|_| folder.starts_with('/')).unwrap_or(file)
}

/// Returns a path as a URI: of a file where it is absolute, else a relative reference.
pub(super) fn uri(path: &str) -> String {
    use std::fmt::Write as _;

    let mut out = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a String cannot fail. A colon, too: in a first segment it would end a scheme.
            byte => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Region, region, relative, uri};
    use crate::diag::Span;
    use crate::render::Sources;

    fn ends(text: &str, begin: usize, end: usize, line: u32, column: u32) -> Option<Region> {
        let sources = Sources::from([("a".to_owned(), text.to_owned())]);
        region(&Span { file: "a".to_owned(), begin, end, line, column }, &sources)
    }

    #[test]
    fn the_end_is_counted_in_characters_across_lines() {
        let region = |begin_line, begin_column, end_line, end_column| {
            Some(Region { begin_line, begin_column, end_line, end_column })
        };
        assert_eq!(ends("ä: ö\n", 4, 6, 1, 4), region(1, 4, 1, 5));
        assert_eq!(ends("a: [\n  é,\n]\n", 3, 11, 1, 4), region(1, 4, 3, 1));
        assert_eq!(ends("a:\r\n", 0, 0, 1, 1), region(1, 1, 1, 1));
        assert_eq!(ends("ä", 1, 2, 1, 1), None, "a span that splits a character is of another text");
    }

    #[test]
    fn only_what_lies_below_the_folder_is_named_from_it() {
        for (file, folder, named) in [
            ("/repo/policies/a.yaml", "/repo", "policies/a.yaml"),
            ("/repo/policies/a.yaml", "/repo/", "policies/a.yaml"),
            ("/repository/a.yaml", "/repo", "/repository/a.yaml"),
            ("/a.yaml", "/", "a.yaml"),
            ("policies/a.yaml", "/repo", "policies/a.yaml"),
            ("../a.yaml", "/repo", "../a.yaml"),
            ("repo/a.yaml", "repo", "repo/a.yaml"),
        ] {
            assert_eq!(relative(file, folder), named);
        }
    }

    #[test]
    fn a_path_is_one_uri_whatever_it_is_called() {
        assert_eq!(uri("policies/a-b_c.yaml"), "policies/a-b_c.yaml");
        assert_eq!(uri("/srv/ü/a b.yaml"), "file:///srv/%C3%BC/a%20b.yaml");
        assert_eq!(uri("https:%2f?#a"), "https%3A%252f%3F%23a");
    }
}
