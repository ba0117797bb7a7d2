//! The pieces that a YAML text is written with: brackets, colons, scalars, comments, each with its bytes, and the
//! begin and end of block collections between them. For what works on the text itself: the formatter, and comments
//! that say something to bkup. Pure.
//!
//! The library hands out no comments as it is built here, and gives a block scalar without its header. Both stand in
//! the gaps between its tokens, where a `#` at the begin of a line or after white space can be nothing but a comment.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Scanner, StrInput, TokenType};

use super::yaml::MAX_DEPTH;

/// One piece and its bytes; those that are nothing but structure have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lexeme {
    /// What it is.
    pub kind: LexemeKind,
    /// The first byte.
    pub begin: usize,
    /// The byte after the last.
    pub end: usize,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LexemeKind {
    /// A block mapping begins; no bytes.
    MapBegin,
    /// A block list begins; no bytes. A list that stands under its key without indentation has no begin and no end.
    ListBegin,
    /// A block mapping or list ends; no bytes.
    BlockEnd,
    /// A key begins, without `?`; no bytes.
    Key,
    /// `?`.
    Question,
    /// `:`.
    Colon,
    /// `-`.
    Dash,
    /// `{` or `[`.
    Open,
    /// `}` or `]`.
    Close,
    /// `,`.
    Comma,
    /// A scalar without quotes, or an alias, an anchor or a tag.
    Word(Word),
    /// A scalar in quotes.
    Quoted,
    /// A scalar after `|` or `>`: its bytes are the header; those of its lines follow the comment of the header.
    Block(Range<usize>),
    /// A comment, with its `#` and without the end of its line.
    Comment,
    /// `---`, `...` or a line that begins with `%`.
    Marker,
}

/// What a word without quotes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// A scalar.
    Plain,
    /// An alias: a colon straight after it would belong to its name.
    Alias,
    /// An anchor or a tag, to which something more belongs.
    Property,
}

/// Returns the pieces of a text; `None` where it is no YAML. Lines have to end in `\n`.
pub(crate) fn lexemes(text: &str) -> Option<Vec<Lexeme>> {
    let mut out: Vec<Lexeme> = Vec::new();
    let mut at = 0;
    for token in Scanner::with_options(StrInput::new(text), options()) {
        let (span, token) = token.ok()?.into_parts();
        let Range { start: begin, end } = span.byte_range()?;
        let structure = |kind| Some(Lexeme { kind, begin, end: begin });
        let bytes = |kind, end| Some(Lexeme { kind, begin, end });
        let next = match token {
            TokenType::StreamStart => None,
            TokenType::StreamEnd => {
                comments(text, at..text.len(), &mut out);
                None
            }
            TokenType::BlockMappingStart => structure(LexemeKind::MapBegin),
            TokenType::BlockSequenceStart => structure(LexemeKind::ListBegin),
            TokenType::BlockEnd => structure(LexemeKind::BlockEnd),
            TokenType::Key if begin == end => structure(LexemeKind::Key),
            TokenType::Key => bytes(LexemeKind::Question, end),
            TokenType::Value => bytes(LexemeKind::Colon, begin + 1),
            TokenType::BlockEntry => {
                let begin = dash(text, at..begin)?;
                Some(Lexeme { kind: LexemeKind::Dash, begin, end: begin + 1 })
            }
            // A lone pair in a list is a mapping whose brackets nobody wrote.
            TokenType::FlowMappingStart | TokenType::FlowMappingEnd if begin == end => None,
            TokenType::FlowSequenceStart | TokenType::FlowMappingStart => bytes(LexemeKind::Open, end),
            TokenType::FlowSequenceEnd | TokenType::FlowMappingEnd => bytes(LexemeKind::Close, end),
            TokenType::FlowEntry => bytes(LexemeKind::Comma, end),
            TokenType::Alias(_) => bytes(LexemeKind::Word(Word::Alias), end),
            TokenType::Anchor(_) | TokenType::Tag(..) => bytes(LexemeKind::Word(Word::Property), end),
            TokenType::Scalar(ScalarStyle::Plain, _) => bytes(LexemeKind::Word(Word::Plain), end),
            TokenType::Scalar(ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted, _) => {
                bytes(LexemeKind::Quoted, end)
            }
            TokenType::Scalar(..) => {
                let header = header(text, at..begin.max(at))?;
                let line_end = text[header.end..].find('\n').map_or(text.len(), |n| header.end + n + 1);
                let body = body(text, line_end, end);
                comments(text, at..header.start, &mut out);
                let kind = LexemeKind::Block(body.clone());
                out.push(Lexeme { kind, begin: header.start, end: header.end });
                comments(text, header.end..body.start, &mut out);
                at = body.end;
                None
            }
            _ => bytes(LexemeKind::Marker, end),
        };
        if let Some(next) = next {
            if next.end > next.begin {
                comments(text, at..next.begin, &mut out);
                at = next.end;
            }
            out.push(next);
        }
    }
    Some(out)
}

/// What a text means to any reader of YAML: kinds, scalars as written, keys in order, anchors and aliases. How wide it
/// is indented and which quotes it uses are left out.
#[derive(PartialEq)]
pub(crate) struct Reading<'t>(Vec<Event<'t>>);

/// Returns what a text means; `None` where it is no YAML.
pub(crate) fn meaning(text: &str) -> Option<Reading<'_>> {
    let mut out = Vec::new();
    for event in Parser::new_from_str_with_options(text, options()) {
        let (mut event, _) = event.ok()?;
        if let Event::Scalar(_, style @ ScalarStyle::DoubleQuoted, ..) = &mut event {
            *style = ScalarStyle::SingleQuoted;
        }
        out.push(event);
    }
    Some(Reading(out))
}

/// Returns the comments of a text, each with its `#` and without the end of its line; none where it is no YAML.
pub(crate) fn comments_of(text: &str) -> Vec<Range<usize>> {
    let all = lexemes(text).unwrap_or_default();
    all.into_iter().filter(|lexeme| lexeme.kind == LexemeKind::Comment).map(|lexeme| lexeme.begin..lexeme.end).collect()
}

fn options() -> Options {
    let mut options = Options::default();
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    options.emit_unresolved_aliases = true;
    options.set_emit_comments(false);
    options
}

/// Adds the comments of a gap between two tokens: before what begins and ends in the gap, since that has no bytes.
fn comments(text: &str, gap: Range<usize>, out: &mut Vec<Lexeme>) {
    let mut at = gap.start;
    let solid = out.iter().rposition(|lexeme| lexeme.end > lexeme.begin).map_or(0, |index| index + 1);
    let structure = out.split_off(solid);
    while let Some(found) = text.get(at..gap.end).and_then(|rest| rest.find('#')) {
        let begin = at + found;
        let end = text[begin..].find('\n').map_or(text.len(), |n| begin + n);
        let end = begin + text[begin..end].trim_end().len();
        out.push(Lexeme { kind: LexemeKind::Comment, begin, end });
        at = end.max(begin + 1);
    }
    out.extend(structure);
}

/// Returns the whole lines of a block scalar that begin after its header; the library counts what stands before the
/// next piece on its line to it.
fn body(text: &str, begin: usize, end: usize) -> Range<usize> {
    let lines = text.get(begin..end).unwrap_or_default();
    let last = lines.rfind('\n').map_or(0, |at| at + 1);
    begin..begin + if lines[last..].trim().is_empty() { last } else { lines.len() }
}

/// Returns where the dash stands whose token the library puts behind the white space and the comment after it.
fn dash(text: &str, gap: Range<usize>) -> Option<usize> {
    let line = text.get(gap.clone())?.rfind('\n').map_or(gap.start, |at| gap.start + at + 1);
    let begin = line + text.get(line..)?.find(|c: char| !c.is_whitespace())?;
    text[begin..].starts_with('-').then_some(begin)
}

/// Returns where the header of a block scalar stands in the gap before its lines: `|` or `>` with its indicators.
fn header(text: &str, gap: Range<usize>) -> Option<Range<usize>> {
    let mut at = gap.start;
    loop {
        let rest = text.get(at..)?;
        let begin = at + rest.find(|c: char| !c.is_whitespace())?;
        match text.as_bytes().get(begin)? {
            b'#' => at = begin + text[begin..].find('\n')?,
            b'|' | b'>' => {
                let more = |c: char| !matches!(c, '+' | '-' | '0'..='9');
                let end = text[begin + 1..].find(more).map_or(text.len(), |n| begin + 1 + n);
                return Some(begin..end);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LexemeKind, comments_of, lexemes};

    #[test]
    fn a_comment_is_what_stands_outside_scalars() {
        let text = "# a\nb: 'x # no' # c\nd: y#no # e\nf: |  # g\n  # no\nh: [ # i\n  1, # j\n]\n# k";
        let comments: Vec<&str> = comments_of(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(comments, ["# a", "# c", "# e", "# g", "# i", "# j", "# k"]);
    }

    #[test]
    fn a_block_scalar_is_its_header_and_its_lines() {
        let text = "a:\n  - >2- # c\n     x\n    y\n\nb: |\n\nc: 1\n";
        let all = lexemes(text).unwrap();
        let blocks: Vec<(&str, &str)> = all
            .iter()
            .filter_map(|l| match &l.kind {
                LexemeKind::Block(body) => Some((&text[l.begin..l.end], &text[body.clone()])),
                _ => None,
            })
            .collect();
        assert_eq!(blocks[0], (">2-", "     x\n    y\n\n"));
        assert_eq!(blocks[1].0, "|");
    }
}
