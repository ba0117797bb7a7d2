//! Text from outside inside Markdown: shown exactly, never obeyed. Pure.
//!
//! A comment on GitHub obeys more than Markdown: `@name` tells a person, `#12` writes into another thread, an address
//! becomes a link, `<img>` loads, `$...$` is set as mathematics. So there are two ways only. A name is a code span,
//! in which none of that holds. A sentence that bkup made is plain text while every character of it is tame, and a code
//! span as a whole as soon as one is not. Escaping character by character was rejected: what GitHub looks for changes,
//! and it looks after Markdown has taken its backslashes away.

use super::super::escape::escape;

/// Returns a name as a code span.
pub(super) fn code(text: &str) -> String {
    span(&escape(text))
}

/// Returns what is escaped already as a code span.
pub(super) fn span(shown: &str) -> String {
    let fence = "`".repeat(longest_run(shown) + 1);
    let at_edge = |c: char| c == '`' || c == ' ';
    let pad = if shown.is_empty() || shown.starts_with(at_edge) || shown.ends_with(at_edge) { " " } else { "" };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

/// Returns a sentence: plain where nothing in it could mean anything, as a code span otherwise. What stands between two
/// backticks is code in bkup's own sentences; however a name may pair them, each piece is safe by itself.
pub(super) fn words(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let (plain, spans): (Vec<_>, Vec<_>) = parts.iter().enumerate().partition(|(at, _)| at.is_multiple_of(2));
    // Two spans that touch would be one.
    let apart = plain.iter().skip(1).rev().skip(1).all(|(_, part)| !part.is_empty());
    let written = spans.iter().all(|(_, part)| !part.is_empty());
    if parts.len().is_multiple_of(2) || !apart || !written || !plain.iter().all(|(_, part)| is_tame(part)) {
        return code(text);
    }
    parts.iter().enumerate().map(|(at, part)| if at.is_multiple_of(2) { tame(part) } else { code(part) }).collect()
}

fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '_' | '*') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Returns finished Markdown as it may stand in a table's cell.
pub(super) fn cell(markdown: &str) -> String {
    // Tables are cut into cells before anything else is read, also inside code spans.
    markdown.replace('|', "\\|")
}

/// Returns lines as a fenced block that nothing in them can end.
pub(super) fn block(language: &str, lines: &[String]) -> String {
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or_default();
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", lines.join("\n"))
}

fn is_tame(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let lower = text.to_lowercase();
    // `gh-12` is a reference, and an address is a link.
    let refers = lower.contains("www.")
        || lower.match_indices("gh-").any(|(at, _)| lower[at + 3..].starts_with(|c: char| c.is_ascii_digit()));
    !refers
        && escape(text) == text
        && chars.iter().enumerate().all(|(at, c)| match c {
            ':' => chars.get(at + 1).is_none_or(|next| *next == ' ' || next.is_ascii_digit()),
            c => c.is_alphanumeric() || " ,.;()%'\"+=/-_*".contains(*c),
        })
}

fn longest_run(text: &str) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{block, cell, code, words};

    #[test]
    fn a_name_is_shown_exactly_and_obeyed_by_nobody() {
        for (name, shown) in [
            ("acme", "`acme`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            (" a ", "`  a  `"),
            ("", "`  `"),
            ("@octocat <img src=x> #1", "`@octocat <img src=x> #1`"),
            ("a\n## b", "`a\\n## b`"),
        ] {
            assert_eq!(code(name), shown);
        }
        assert_eq!(cell(&code("a|b\\|c")), "`a\\|b\\\\\\|c`");
    }

    #[test]
    fn a_sentence_is_plain_only_while_it_is_tame() {
        for tame in
            ["no rule keeps it any longer", "its grace period of 7d ended", "the slot 02:00 has come; 50% (2 of 4)"]
        {
            assert_eq!(words(tame), tame);
        }
        assert_eq!(words("min_keep: 2 keeps *all*"), "min\\_keep: 2 keeps \\*all\\*");
        assert_eq!(words("since `daily: 14` became `x`"), "since `daily: 14` became `x`");
        assert_eq!(words("`a` is `@b <i>`"), "`a` is `@b <i>`");
        for wild in [
            "a ``b`` c",
            "`a``b`",
            "a ` b",
            "`a` <b> `c`",
            "by @octocat",
            "see #12",
            "see gh-12",
            "see GH-12",
            "http://x.example/",
            "www.x.example",
            "<b>",
            "a|b",
            "$a$",
            "[a](b)",
            "![a]",
            ":tada:",
            "a\\b",
            "~~a~~",
            "a\nb",
            "a\u{202e}b",
            "`a",
        ] {
            assert_eq!(words(wild), code(wild));
        }
    }

    #[test]
    fn no_line_ends_a_block_early() {
        let text = block("diff", &["+ a: ```".to_owned(), "+ ````".to_owned()]);
        assert_eq!(text, "`````diff\n+ a: ```\n+ ````\n`````\n");
    }

    proptest! {
        #[test]
        fn whatever_a_name_holds_it_stays_inside_its_span(name in "[ -~`|\\n\\r\\t@#<>\u{202e}ä]{0,40}") {
            let span = code(&name);
            let fence = span.chars().take_while(|c| *c == '`').count();
            let inside = &span[fence..span.len() - fence];
            // No run of exactly as many backticks, which alone would end it.
            let runs = inside.split(|c| c != '`').map(str::len);
            prop_assert!(!runs.into_iter().any(|run| run == fence), "{}", span);
            prop_assert!(!span.contains(['\n', '\r', '\t']));
            let unescaped = cell(&span).replace("\\\\", "").replace("\\|", "");
            prop_assert!(!unescaped.contains('|'));
        }
    }
}
