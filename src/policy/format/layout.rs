//! Which piece of a text stands on which line, and how far inside. Pure.

use crate::policy::text::{Lexeme, LexemeKind, Word};

use super::flow;
use super::line::{Comment, Line, Role};
use super::scalar::{self, Block};

/// A block mapping or list that has begun.
#[derive(Debug, Clone, Copy)]
struct Level {
    list: bool,
    /// Whether it is a list without indentation of its own, which has neither begin nor end.
    bare: bool,
    /// The column where it stood.
    source: usize,
    /// The column where it will stand.
    out: usize,
}

/// Lays a text out; `None` where a piece is not what it should be.
pub(super) fn lay_out(text: &str, all: &[Lexeme]) -> Option<Vec<Line>> {
    let mut layout = Layout { text, all, lines: Vec::new(), levels: Vec::new(), end: 0, closed: true, key: false };
    let mut index = 0;
    while index < all.len() {
        index = layout.take(index)?;
    }
    Some(layout.lines)
}

/// Returns how many line ends stand between two bytes.
pub(super) fn breaks(text: &str, begin: usize, end: usize) -> usize {
    text.get(begin..end).map_or(0, |gap| gap.bytes().filter(|byte| *byte == b'\n').count())
}

/// Returns the column of a byte, from 0, in characters.
pub(super) fn column(text: &str, byte: usize) -> usize {
    let begin = text[..byte].rfind('\n').map_or(0, |at| at + 1);
    text[begin..byte].chars().count()
}

struct Layout<'t> {
    text: &'t str,
    all: &'t [Lexeme],
    lines: Vec<Line>,
    levels: Vec<Level>,
    /// The byte after the last piece.
    end: usize,
    /// Whether nothing more can stand on the last line.
    closed: bool,
    /// Whether the next piece begins a key.
    key: bool,
}

impl Layout<'_> {
    /// Lays out the piece at an index; returns the index of the next.
    fn take(&mut self, index: usize) -> Option<usize> {
        let (text, all) = (self.text, self.all);
        let lexeme = all.get(index)?;
        let written = text.get(lexeme.begin..lexeme.end)?;
        if lexeme.begin == lexeme.end {
            self.structure(index);
            return Some(index + 1);
        }
        match &lexeme.kind {
            LexemeKind::Comment => {
                self.comment(index, lexeme, written);
                return Some(index + 1);
            }
            LexemeKind::Dash => {
                self.enter_list(lexeme);
                self.place(lexeme, index, written);
            }
            LexemeKind::Question => {
                self.leave_bare();
                self.key = true;
                self.place(lexeme, index, written);
                self.key = false;
            }
            LexemeKind::Colon => {
                if self.is_fresh(lexeme) {
                    self.leave_bare();
                    self.key = true;
                }
                self.place(lexeme, index, written);
                self.key = false;
            }
            LexemeKind::Open => {
                let is_key = self.key;
                let fresh = self.is_fresh(lexeme);
                self.place(lexeme, index, "");
                self.key = false;
                let base = match (fresh, self.levels.last()) {
                    (true, _) => self.lines.last()?.indent,
                    (false, Some(level)) if level.list => level.out + 2,
                    (false, level) => level.map_or(0, |level| level.out),
                };
                let (flow, next) = flow::read(text, all, index)?;
                flow.write(base, is_key, &mut self.lines);
                self.end = all.get(next - 1)?.end;
                return Some(next);
            }
            LexemeKind::Block(body) => {
                self.place(lexeme, index, written);
                return self.block(index, &Block { header: written, body: text.get(body.clone())? }, body.end);
            }
            LexemeKind::Marker => {
                self.levels.clear();
                self.place(lexeme, index, written);
            }
            kind => {
                let going_on = self.levels.last().map_or(0, |level| level.out + 2);
                self.place(lexeme, index, "");
                flow::append(&scalar::scalar(written), going_on, &mut self.lines);
                self.key &= *kind == LexemeKind::Word(Word::Property);
            }
        }
        self.end = lexeme.end;
        Some(index + 1)
    }

    /// Follows what begins and ends between pieces.
    fn structure(&mut self, index: usize) {
        match self.all[index].kind {
            LexemeKind::MapBegin => self.enter(index, false),
            LexemeKind::ListBegin => self.enter(index, true),
            LexemeKind::BlockEnd => {
                self.leave_bare();
                self.levels.pop();
            }
            LexemeKind::Key => {
                self.leave_bare();
                self.key = true;
            }
            _ => {}
        }
    }

    fn enter(&mut self, index: usize, list: bool) {
        let first = self.all[index..].iter().find(|l| l.end > l.begin).map_or(0, |l| column(self.text, l.begin));
        let out = self.levels.last().map_or(0, |level| level.out + 2);
        self.levels.push(Level { list, bare: false, source: first, out });
    }

    /// Begins a list that stands under its key without indentation, where a dash is one of such a list.
    fn enter_list(&mut self, dash: &Lexeme) {
        if !self.levels.last().is_some_and(|level| level.list) {
            let out = self.levels.last().map_or(0, |level| level.out + 2);
            self.levels.push(Level { list: true, bare: true, source: column(self.text, dash.begin), out });
        }
    }

    fn leave_bare(&mut self) {
        if self.levels.last().is_some_and(|level| level.bare) {
            self.levels.pop();
        }
    }

    fn is_fresh(&self, lexeme: &Lexeme) -> bool {
        self.closed || breaks(self.text, self.end, lexeme.begin) > 0
    }

    /// Returns the column of a piece that begins a line.
    fn indent_of(&self, kind: &LexemeKind) -> usize {
        match self.levels.last() {
            None => 0,
            Some(level) if self.key || *kind == LexemeKind::Dash => level.out,
            Some(level) => level.out + 2,
        }
    }

    /// Puts a piece on its line: a new one where it began one, else the last.
    fn place(&mut self, lexeme: &Lexeme, index: usize, written: &str) {
        if self.is_fresh(lexeme) {
            let indent = if lexeme.kind == LexemeKind::Marker { 0 } else { self.indent_of(&lexeme.kind) };
            let blank = self.is_after_blank(lexeme);
            let outermost = self.levels.len() == 1 && self.levels.iter().all(|level| !level.list);
            let section = outermost && self.key && lexeme.kind != LexemeKind::Colon;
            let role = if section { Role::Section } else { Role::Plain };
            self.lines.push(Line { indent, code: written.to_owned(), comment: None, blank, role });
            self.closed = false;
            return;
        }
        let before = self.all[..index].iter().rfind(|before| before.end > before.begin).map(|before| &before.kind);
        let glued = lexeme.kind == LexemeKind::Colon
            && !matches!(before, Some(LexemeKind::Word(Word::Alias | Word::Property) | LexemeKind::Question));
        if let Some(line) = self.lines.last_mut() {
            if !glued {
                line.code.push(' ');
            }
            line.code.push_str(written);
        }
    }

    fn is_after_blank(&self, lexeme: &Lexeme) -> bool {
        // The line end of a block scalar belongs to it.
        let ended = self.text[..self.end].ends_with('\n');
        breaks(self.text, self.end, lexeme.begin) > usize::from(!ended)
    }

    /// Writes the lines of a block scalar whose header was placed, and the comment of the header.
    fn block(&mut self, index: usize, block: &Block<'_>, end: usize) -> Option<usize> {
        let mut next = index + 1;
        if let Some(comment) = self.all.get(next).filter(|l| l.kind == LexemeKind::Comment && l.end < end) {
            self.end = self.all[index].end;
            self.comment(next, comment, self.text.get(comment.begin..comment.end)?);
            next += 1;
        }
        let parent = self.levels.last().copied();
        // For a list without indentation the scalar's parent is the mapping around it.
        let around = self.levels.iter().rfind(|level| !level.bare);
        let lines = block.lines(around.map(|level| level.source), parent.map(|level| level.out));
        let role = if block.keeps_all() { Role::Keep } else { Role::Scalar };
        self.lines.extend(lines.into_iter().map(|code| Line { code, role, ..Line::default() }));
        self.key = false;
        self.end = end;
        self.closed = true;
        if block.is_followed_by_blank() {
            // The blank line stands before what follows; it was inside the bytes of the scalar.
            self.end = self.text[..end].trim_end_matches([' ', '\n']).len();
        }
        Some(next)
    }

    fn comment(&mut self, index: usize, lexeme: &Lexeme, written: &str) {
        let column = column(self.text, lexeme.begin);
        let mut comment = Comment { text: scalar::comment(written), column, goes_on: false };
        let fresh = self.is_fresh(lexeme);
        if !fresh && let Some(line) = self.lines.last_mut() {
            line.comment = Some(comment);
        } else {
            let blank = self.is_after_blank(lexeme);
            let (exact, indent) = self.comment_indent(index, column);
            let above = self.lines.last().and_then(|line| line.comment.as_ref().map(|above| (line, above)));
            comment.goes_on = !exact
                && !blank
                && above
                    .is_some_and(|(line, above)| above.column == column && (above.goes_on || !line.code.is_empty()));
            self.lines.push(Line { indent, comment: Some(comment), blank, ..Line::default() });
            self.closed = true;
        }
        self.end = lexeme.end;
    }

    /// Returns the column for a comment on a line of its own, and whether it stood in the column of a level: that of
    /// what follows, else the one of the levels around in whose column it stood, else the next one outside.
    fn comment_indent(&self, index: usize, column_of: usize) -> (bool, usize) {
        let mut after =
            Layout { text: self.text, all: self.all, lines: Vec::new(), levels: self.levels.clone(), ..*self };
        let mut candidates = Vec::new();
        for (at, lexeme) in self.all.iter().enumerate().skip(index + 1) {
            if lexeme.begin == lexeme.end {
                after.structure(at);
            } else if lexeme.kind != LexemeKind::Comment {
                match lexeme.kind {
                    LexemeKind::Dash => after.enter_list(lexeme),
                    LexemeKind::Question | LexemeKind::Colon => {
                        after.leave_bare();
                        after.key = true;
                    }
                    _ => {}
                }
                candidates.push((column(self.text, lexeme.begin), after.indent_of(&lexeme.kind)));
                break;
            }
        }
        let levels = after.levels.iter().rev().chain(self.levels.iter().rev());
        candidates.extend(levels.map(|level| (level.source, level.out)));
        if let Some((_, out)) = candidates.iter().find(|(source, _)| *source == column_of) {
            return (true, *out);
        }
        let outside =
            candidates.iter().filter(|(source, _)| *source < column_of).rev().max_by_key(|(source, _)| *source);
        (false, outside.or(candidates.first()).map_or(0, |(_, out)| *out))
    }
}
