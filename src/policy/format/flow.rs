//! Collections in brackets: read into entries with their comments, written on one line or one entry a line. Pure.

use crate::policy::text::{Lexeme, LexemeKind, Word};

use super::layout::{breaks, column};
use super::line::{Comment, Line};
use super::scalar;

/// The widest line that a collection is kept on.
const WIDTH: usize = 120;

/// A collection in brackets.
#[derive(Debug, Default)]
pub(super) struct Flow {
    open: String,
    close: String,
    /// Whether a line break follows the opening bracket.
    broken: bool,
    /// The comment behind the opening bracket.
    head: Option<Comment>,
    entries: Vec<Entry>,
    /// Comments after the last entry, on lines of their own.
    tail: Vec<Comment>,
}

/// An entry of a collection, and the comments about it.
#[derive(Debug, Default)]
struct Entry {
    before: Vec<Comment>,
    pieces: Vec<Piece>,
    after: Option<Comment>,
}

#[derive(Debug)]
enum Piece {
    Text(String, Joint),
    Flow(Flow),
    Comment(Comment),
}

/// How a piece meets the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Plain,
    Alias,
    Colon,
}

/// Reads the collection that begins with a piece; returns it with the index after its closing bracket.
pub(super) fn read(text: &str, all: &[Lexeme], at: usize) -> Option<(Flow, usize)> {
    let written = |lexeme: &Lexeme| text.get(lexeme.begin..lexeme.end).map(str::to_owned);
    let first = all.get(at)?;
    let mut flow = Flow { open: written(first)?, ..Flow::default() };
    let mut entry = Entry::default();
    let mut waiting: Vec<Comment> = Vec::new();
    let (mut end, mut index, mut after_comma) = (first.end, at + 1, false);
    loop {
        let lexeme = all.get(index)?;
        let fresh = breaks(text, end, lexeme.begin);
        if end == first.end && lexeme.end > lexeme.begin && lexeme.kind != LexemeKind::Comment {
            flow.broken |= fresh > 0;
        }
        index += 1;
        match &lexeme.kind {
            LexemeKind::Comment => {
                let column = column(text, lexeme.begin);
                let comment = Comment { text: scalar::comment(&written(lexeme)?), column, goes_on: false };
                let next =
                    all[index..].iter().find(|next| next.end > next.begin && next.kind != LexemeKind::Comment)?;
                let ends = matches!(next.kind, LexemeKind::Comma | LexemeKind::Close);
                if !entry.pieces.is_empty() && ends && entry.after.is_some() {
                    waiting.push(comment);
                } else if !entry.pieces.is_empty() && ends {
                    entry.after = Some(comment);
                } else if !entry.pieces.is_empty() {
                    entry.pieces.push(Piece::Comment(comment));
                } else if fresh == 0 && end == first.end {
                    flow.head = Some(comment);
                } else {
                    match flow.entries.last_mut().filter(|_| fresh == 0 && after_comma && waiting.is_empty()) {
                        Some(last) if last.after.is_none() => last.after = Some(comment),
                        _ => waiting.push(comment),
                    }
                }
            }
            LexemeKind::Comma | LexemeKind::Close => {
                if !entry.pieces.is_empty() {
                    flow.entries.push(std::mem::take(&mut entry));
                }
                after_comma = lexeme.kind == LexemeKind::Comma;
                if !after_comma {
                    flow.close = written(lexeme)?;
                    flow.tail = waiting;
                    return Some((flow, index));
                }
            }
            kind => {
                if lexeme.begin == lexeme.end {
                    continue;
                }
                entry.before.append(&mut waiting);
                let joint = match kind {
                    LexemeKind::Colon => Joint::Colon,
                    LexemeKind::Word(Word::Alias | Word::Property) => Joint::Alias,
                    _ => Joint::Plain,
                };
                if *kind == LexemeKind::Open {
                    let (inner, next) = read(text, all, index - 1)?;
                    entry.pieces.push(Piece::Flow(inner));
                    index = next;
                    end = all.get(next - 1)?.end;
                    continue;
                }
                entry.pieces.push(Piece::Text(scalar::scalar(&written(lexeme)?), joint));
            }
        }
        if lexeme.end > lexeme.begin {
            end = lexeme.end;
        }
    }
}

impl Flow {
    /// Returns whether it cannot stand on one line, or people did not want it to.
    fn must_break(&self) -> bool {
        let inside = |piece: &Piece| match piece {
            Piece::Text(text, _) => text.contains('\n'),
            Piece::Flow(flow) => flow.must_break(),
            Piece::Comment(_) => true,
        };
        self.broken && !self.entries.is_empty()
            || self.head.is_some()
            || !self.tail.is_empty()
            || self
                .entries
                .iter()
                .any(|entry| entry.after.is_some() || !entry.before.is_empty() || entry.pieces.iter().any(inside))
    }

    /// Returns it on one line.
    fn flat(&self) -> String {
        let entries: Vec<String> = self.entries.iter().map(Entry::flat).collect();
        let (open, close, entries) = (&self.open, &self.close, entries.join(", "));
        match (open.as_str(), entries.is_empty()) {
            (_, true) => format!("{open}{close}"),
            ("{", _) => format!("{open} {entries} {close}"),
            _ => format!("{open}{entries}{close}"),
        }
    }

    /// Writes it behind what the last line holds; `base` is the column in which lines of its own begin. A key has to
    /// stay on its line.
    pub fn write(&self, base: usize, is_key: bool, lines: &mut Vec<Line>) {
        let flat = self.flat();
        let Some(line) = lines.last_mut() else { return };
        if is_key || !self.must_break() && line.width() + flat.chars().count() < WIDTH {
            line.code.push_str(&flat);
            return;
        }
        line.code.push_str(&self.open);
        line.comment.clone_from(&self.head);
        let own = |comment: &Comment| Line { indent: base + 2, comment: Some(comment.clone()), ..Line::default() };
        for entry in &self.entries {
            lines.extend(entry.before.iter().map(own));
            entry.write(base + 2, lines);
        }
        lines.extend(self.tail.iter().map(own));
        lines.push(Line { indent: base, code: self.close.clone(), ..Line::default() });
    }
}

impl Entry {
    /// Returns what stands between a piece and the one before it.
    fn gap(&self, index: usize) -> &'static str {
        let Some(before) = index.checked_sub(1).and_then(|index| self.pieces.get(index)) else { return "" };
        match (before, &self.pieces[index]) {
            (Piece::Text(_, Joint::Alias | Joint::Colon), _) => " ",
            (Piece::Text(text, _), _) if text == "?" => " ",
            (_, Piece::Text(_, Joint::Colon)) => "",
            _ => " ",
        }
    }

    fn flat(&self) -> String {
        let mut out = String::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            out.push_str(self.gap(index));
            match piece {
                Piece::Text(text, _) => out.push_str(text),
                Piece::Flow(flow) => out.push_str(&flow.flat()),
                // Never reached where it matters: a collection with a comment is broken.
                Piece::Comment(_) => {}
            }
        }
        out
    }

    /// Writes it on lines of its own, with its comma.
    fn write(&self, base: usize, lines: &mut Vec<Line>) {
        lines.push(Line { indent: base, ..Line::default() });
        for (index, piece) in self.pieces.iter().enumerate() {
            let fresh = index > 0 && matches!(self.pieces[index - 1], Piece::Comment(_));
            if fresh {
                lines.push(Line { indent: base + 2, ..Line::default() });
            }
            let gap = if fresh { "" } else { self.gap(index) };
            let Some(line) = lines.last_mut() else { return };
            match piece {
                Piece::Comment(comment) => line.comment = Some(comment.clone()),
                Piece::Flow(flow) => {
                    line.code.push_str(gap);
                    flow.write(if fresh { base + 2 } else { base }, false, lines);
                }
                Piece::Text(text, _) => {
                    line.code.push_str(gap);
                    append(text, base + 2, lines);
                }
            }
        }
        if let Some(line) = lines.last_mut() {
            line.code.push(',');
            if self.after.is_some() {
                line.comment.clone_from(&self.after);
            }
        }
    }
}

/// Writes a scalar behind what the last line holds, those of its lines that go on at a column.
pub(super) fn append(text: &str, column: usize, lines: &mut Vec<Line>) {
    for (index, part) in scalar::folded(text).into_iter().enumerate() {
        if index > 0 {
            let indent = if part.is_empty() { 0 } else { column };
            lines.push(Line { indent, role: super::line::Role::Scalar, ..Line::default() });
        }
        if let Some(line) = lines.last_mut() {
            line.code.push_str(part);
        }
    }
}
