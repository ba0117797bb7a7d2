//! The one layout of policy files: same meaning, same comments, same order. Pure.
//!
//! | what | how |
//! |---|---|
//! | indentation | two spaces a level; the `-` of a list stands two spaces inside its key |
//! | white space | one space after `:`, `-`, `,` and `#`, inside `{ }`, and none inside `[ ]`; none at the end of a line |
//! | comments | on their line, or at the end of theirs, in their order; those that stood in one column still do |
//! | order | as written, of sections and of keys |
//! | block collections | stay block collections, with the line breaks that they have |
//! | `{ }` and `[ ]` | on one line where that has at most 120 columns; else, or where a line break follows the opening bracket, one entry a line, each with a comma |
//! | quotes | as written, but for `"${NAME}"`, which has double ones; a scalar without quotes gets none |
//! | scalars of several lines | their text as it is, indented anew |
//! | blank lines | at most one in a row; one around each top-level section of several lines |
//! | lines | end in LF, no byte-order mark, one line end at the end |
//!
//! Nothing is printed from a tree: the pieces of the text are laid out anew, each with the bytes it had. And nothing
//! is believed: the result is read again, and where it does not mean the same (kinds, scalars, order, anchors and
//! aliases) or has not the same comments, it is thrown away and the file stays as it is.

mod flow;
mod layout;
mod line;
mod scalar;

use crate::diag::{Code, Diagnostic, Severity};

use super::SourceFile;
use super::text::{self, Place, Sources, comments_of, lexemes, meaning};

/// The code of a layout that was thrown away.
const NOT_THE_SAME: Code = Code("BK975");
/// After so many turns a layout that still moves is thrown away.
const MOST_TURNS: usize = 4;

/// Returns the text of a policy file in the one layout.
///
/// # Errors
/// Findings: what is wrong with a file that cannot be read as YAML, or that the layout would have changed its meaning.
pub fn format(file: &SourceFile) -> Result<String, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut sources = Sources::default();
    let Some(index) = super::read::take_in(file, &mut sources, &mut found) else { return Err(found) };
    if text::parse(&sources, index, &mut found).is_none() {
        found.retain(|finding| finding.severity == Severity::Error);
        return Err(found);
    }
    let text = sources.text(index);
    formatted(text).ok_or_else(|| {
        let finding =
            Diagnostic::error(NOT_THE_SAME, "the formatted file would not mean the same, so it is left alone")
                .at(sources.span(Place { file: index, begin: 0, end: 0 }), "this file")
                .help("this is a mistake in bkup: report it with the file; nothing was changed");
        vec![finding]
    })
}

/// Returns a text in the one layout; `None` where that would not mean the same.
fn formatted(text: &str) -> Option<String> {
    let clean = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut before = clean.clone();
    for _ in 0..MOST_TURNS {
        let after = line::print(layout::lay_out(&before, &lexemes(&before)?)?, ends_open(&before)?);
        if after == before {
            return same(text, &clean, &after).then_some(after);
        }
        before = after;
    }
    None
}

/// Returns whether a text ends in a block scalar whose last line has no end: one would be a part of its value.
fn ends_open(text: &str) -> Option<bool> {
    let block = |kind: &text::LexemeKind| matches!(kind, text::LexemeKind::Block(body) if body.end == text.len());
    Some(!text.ends_with('\n') && lexemes(text)?.iter().any(|lexeme| block(&lexeme.kind)))
}

/// Returns whether two texts mean the same and have the same comments.
fn same(original: &str, clean: &str, after: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = |comment: &str| comment.trim_start_matches('#').split_whitespace().collect::<Vec<_>>().join(" ");
        comments_of(text).into_iter().map(|range| words(&text[range])).collect()
    };
    let original = original.strip_prefix('\u{feff}').unwrap_or(original);
    meaning(original).is_some_and(|before| meaning(after) == Some(before)) && words(clean) == words(after)
}

#[cfg(test)]
mod tests {
    use super::formatted;

    #[track_caller]
    fn assert_formats(before: &str, after: &str) {
        assert_eq!(formatted(before).as_deref(), Some(after), "{before}");
        assert_eq!(formatted(after).as_deref(), Some(after), "again: {before}");
    }

    #[test]
    fn white_space_is_that_of_the_table() {
        assert_formats(
            "a:   1   #x\r\nb:  [ x,y , z ]\nc: {a: 1,b:  2,}",
            "a: 1 # x\nb: [x, y, z]\nc: { a: 1, b: 2 }\n",
        );
        assert_formats("\u{feff}a : &x {  }\n*x  : [ ]\n\n\n", "a: &x {}\n*x : []\n");
    }

    #[test]
    fn blocks_are_indented_by_two() {
        assert_formats(
            "a:\n      b:\n        -   c: 1\n            d: 2\n        - - e\n          -  f\n",
            "a:\n  b:\n    - c: 1\n      d: 2\n    - - e\n      - f\n",
        );
        assert_formats("a:\n- 1\n-  b: 2\n   c: 3\nd: 4\n", "a:\n  - 1\n  - b: 2\n    c: 3\n\nd: 4\n");
        assert_formats("? a\n:  b\n", "? a\n: b\n");
    }

    #[test]
    fn a_comment_stays_at_its_level() {
        assert_formats(
            "a:\n- 1\n#one\n- 2\n#two\nb:\n    #three\n    c: 1\n    #four\n#five\nd: 1\n",
            "a:\n  - 1\n  # one\n  - 2\n\n# two\nb:\n  # three\n  c: 1\n  # four\n\n# five\nd: 1\n",
        );
    }

    #[test]
    fn comments_of_one_column_stay_in_one_column() {
        assert_formats(
            "a:\n  b:   1    # x\n  cc: 2\n  ddd: 3    # y\n            # and more\n  e: 4 # z\n",
            "a:\n  b: 1   # x\n  cc: 2\n  ddd: 3 # y\n         # and more\n  e: 4 # z\n",
        );
    }

    #[test]
    fn a_collection_in_brackets_is_broken_where_it_was_or_must_be() {
        assert_formats("a: [\n 1,\n    2 ]\n", "a: [\n  1,\n  2,\n]\n");
        assert_formats("a: [1,\n    2 ]\n", "a: [1, 2]\n");
        assert_formats("a: { b: 1, # one\n  # two\n  c: [ 1 ] }\n", "a: {\n  b: 1, # one\n  # two\n  c: [1],\n}\n");
        let long = "x".repeat(70);
        assert_formats(
            &format!("a:\n- {{ b: [{long}], c: [{long}, {long}] }}\n"),
            &format!(
                "a:\n  - {{\n      b: [{long}],\n      c: [\n        {long},\n        {long},\n      ],\n    }}\n"
            ),
        );
    }

    #[test]
    fn the_lines_of_a_scalar_keep_their_text() {
        assert_formats(
            "a:\n    b: |+  # c\n      x\n        y  \n\n\n    d: 1\n",
            "a:\n  b: |+ # c\n    x\n      y  \n\n\n  d: 1\n",
        );
        assert_formats("a:\n- >2-\n    x\n   y\n\n\nb: 1\n", "a:\n  - >2-\n      x\n     y\n\nb: 1\n");
        assert_formats(
            "a: one\n      two\n\n      three\nb: 'x\n\n y'\n",
            "a: one\n  two\n\n  three\n\nb: 'x\n\n  y'\n",
        );
        assert_formats("a: |\n  x", "a: |\n  x");
    }

    #[test]
    fn variables_get_double_quotes_and_nothing_else_does() {
        assert_formats("a: '${A_1}'\nb: '$A'\nc: ['x', \"y\", z]\n", "a: \"${A_1}\"\nb: '$A'\nc: ['x', \"y\", z]\n");
    }

    #[test]
    fn sections_of_several_lines_stand_apart_and_lines_keep_company() {
        assert_formats(
            "#!x\nv: 1\na:\n  b: 1\n\n\n\n#c\nd: 1\ne: 2\n\nf: 3\n",
            "#!x\nv: 1\n\na:\n  b: 1\n\n# c\nd: 1\ne: 2\n\nf: 3\n",
        );
    }
}
