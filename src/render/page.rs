//! One page of `docs/codes` for the terminal, and as JSON. Pure. It reads the little Markdown that the pages have:
//! headings, paragraphs, lists and fenced blocks.

use serde_json::json;

use super::escape::json_safe;
use super::pages::pages;
use super::style::{Style, Tone};
use super::wrap::hanging;

/// The version of the JSON form, `major.minor`.
pub const PAGE_FORMAT: &str = "1.0";

/// Sentences are not wider than this, however wide the terminal is.
const WIDEST: usize = 88;
/// How many near codes are suggested.
const MOST_NEAR: usize = 3;

/// A code's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The code: `BK402`.
    pub code: &'static str,
    text: &'static str,
}

/// One section of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub heading: &'static str,
    /// Its Markdown.
    pub body: &'static str,
}

/// Returns the page of a code, written as `BK402`, `bk402` or `402`.
#[must_use]
pub fn page(code: &str) -> Option<Page> {
    let number = code.get(..2).filter(|head| head.eq_ignore_ascii_case("bk")).map_or(code, |_| &code[2..]);
    let found = pages().iter().find(|(code, _)| code.strip_prefix("BK") == Some(number));
    found.map(|(code, text)| Page { code, text })
}

/// Returns the codes whose numbers are nearest to a number, nearest first.
#[must_use]
pub fn near(number: u32) -> Vec<&'static str> {
    let distance = |code: &str| code.get(2..).and_then(|digits| digits.parse::<u32>().ok()).map(|n| n.abs_diff(number));
    let mut codes: Vec<(u32, &str)> = pages().iter().filter_map(|(code, _)| Some((distance(code)?, *code))).collect();
    codes.sort_unstable();
    codes.into_iter().take(MOST_NEAR).map(|(_, code)| code).collect()
}

impl Page {
    /// Returns the title: what the code means, in one line.
    #[must_use]
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.split_once(": ").map_or(first, |(_, title)| title)
    }

    /// Returns the sections in their order.
    #[must_use]
    pub fn sections(&self) -> Vec<Section> {
        let sections = self.text.split("\n## ").skip(1);
        sections
            .map(|section| {
                let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
                Section { heading: heading.trim(), body: body.trim() }
            })
            .collect()
    }
}

/// Writes a page for the terminal.
#[must_use]
pub fn page_text(page: &Page, style: &Style) -> String {
    let width = style.width.min(WIDEST);
    let mut head = String::new();
    hanging(&format!("{}: ", page.code), &plain(page.title(), style), width, &mut head);
    let mut out: String = head.lines().map(|line| format!("{}\n", style.heading(line))).collect();
    for section in page.sections() {
        out.push_str(&format!("\n{}\n", style.heading(&plain(section.heading, style))));
        body(section.body, width, style, &mut out);
    }
    out
}

/// Writes a page as JSON; the text of each section is Markdown.
#[must_use]
pub fn page_json(page: &Page) -> String {
    let sections: Vec<_> =
        page.sections().iter().map(|section| json!({ "heading": section.heading, "text": section.body })).collect();
    let value =
        json!({ "format_version": PAGE_FORMAT, "code": page.code, "title": page.title(), "sections": sections });
    json_safe(&format!("{value:#}\n"))
}

/// Writes a section: paragraphs broken anew, blocks as they are and further in.
fn body(text: &str, width: usize, style: &Style, out: &mut String) {
    let mut paragraph = String::new();
    let mut in_block = false;
    let mut is_first = true;
    for line in text.lines().chain([""]) {
        let is_fence = line.starts_with("```");
        let item = !in_block && line.starts_with("- ");
        if (is_fence || item || !in_block && line.trim().is_empty()) && !paragraph.is_empty() {
            write_paragraph(&paragraph, width, style, &mut is_first, out);
            paragraph.clear();
        }
        if is_fence {
            in_block = !in_block;
            if in_block {
                separate(&mut is_first, out);
            }
        } else if in_block {
            let line = format!("      {}", plain(line, style));
            out.push_str(&format!("{}\n", style.paint(Tone::Note, line.trim_end())));
        } else {
            paragraph.push_str(line);
            paragraph.push(' ');
        }
        if paragraph.trim().is_empty() {
            paragraph.clear();
        }
    }
}

fn write_paragraph(text: &str, width: usize, style: &Style, is_first: &mut bool, out: &mut String) {
    let text = plain(text, style);
    match text.strip_prefix("- ") {
        Some(item) => {
            *is_first = false;
            hanging("  - ", item, width, out);
        }
        None => {
            separate(is_first, out);
            hanging("  ", &text, width, out);
        }
    }
}

fn separate(is_first: &mut bool, out: &mut String) {
    if !std::mem::take(is_first) {
        out.push('\n');
    }
}

/// Returns the page's text in the reader's alphabet. It is bkup's own, so only what a terminal cannot show is changed.
fn plain(text: &str, style: &Style) -> String {
    if style.unicode {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2192}' => out.push_str("->"),
            '\u{2026}' => out.push_str("..."),
            '\u{2013}' | '\u{2014}' | '\u{2212}' => out.push('-'),
            '\u{2018}' | '\u{2019}' => out.push('\''),
            '\u{201c}' | '\u{201d}' => out.push('"'),
            '\u{d7}' => out.push('x'),
            c if c.is_ascii() => out.push(c),
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{near, page};

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for code in ["BK101", "bk101", "101", "Bk101"] {
            assert_eq!(page(code).map(|page| page.code), Some("BK101"), "{code}");
        }
        for code in ["", "BK", "10", "BK1011", "1e1", "\u{e9}101"] {
            assert_eq!(page(code), None, "{code}");
        }
    }

    #[test]
    fn the_nearest_codes_come_first() {
        assert_eq!(near(100)[0], "BK100");
        assert_eq!(near(0)[0], "BK100");
        assert_eq!(near(100).len(), 3);
    }
}
