//! Lines of the result: blank lines between them, comments in one column, and the text they make. Pure.

/// One line.
#[derive(Debug, Default, Clone)]
pub(super) struct Line {
    /// The column in which it begins.
    pub indent: usize,
    /// What stands on it, without indentation and comment.
    pub code: String,
    /// Its comment.
    pub comment: Option<Comment>,
    /// Whether a blank line stands before it.
    pub blank: bool,
    /// What is special about it.
    pub role: Role,
}

/// A comment at the end of a line, or alone on one.
#[derive(Debug, Clone)]
pub(super) struct Comment {
    /// Its text, with `#`.
    pub text: String,
    /// The column where it stood.
    pub column: usize,
    /// Whether it goes on with the comment above it, in its column.
    pub goes_on: bool,
}

/// What is special about a line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing.
    #[default]
    Plain,
    /// A top-level section begins.
    Section,
    /// It belongs to a scalar and is written as it is.
    Scalar,
    /// The same, and every line end after it belongs to the scalar too.
    Keep,
}

impl Line {
    /// Returns the width of what stands before the comment, the indentation included.
    pub fn width(&self) -> usize {
        self.indent + self.code.chars().count()
    }

    fn is_comment(&self) -> bool {
        self.code.is_empty() && self.comment.is_some()
    }
}

/// Returns the text of lines; `open` leaves the last one without its end.
pub(super) fn print(mut lines: Vec<Line>, open: bool) -> String {
    space(&mut lines);
    let columns = columns(&lines);
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if line.blank && index > 0 {
            out.push('\n');
        }
        let begin = out.len();
        if line.role == Role::Scalar || line.role == Role::Keep || !line.code.is_empty() {
            out.push_str(&" ".repeat(line.indent));
            out.push_str(&line.code);
        }
        if let Some(comment) = &line.comment {
            let width = if out.len() == begin { 0 } else { line.width() };
            let column = if line.is_comment() && !comment.goes_on { line.indent } else { columns[index] };
            out.push_str(&" ".repeat(column.saturating_sub(width)));
            out.push_str(&comment.text);
        }
        out.push('\n');
    }
    if open {
        out.pop();
    }
    out
}

/// Sets one blank line around each top-level section of several lines.
fn space(lines: &mut [Line]) {
    let sections: Vec<usize> = (0..lines.len()).filter(|&index| lines[index].role == Role::Section).collect();
    let mut begins = Vec::new();
    for &section in &sections {
        let mut begin = section;
        while begin > 0 && !lines[begin].blank && lines[begin - 1].is_comment() && lines[begin - 1].indent == 0 {
            begin -= 1;
        }
        begins.push(begin);
    }
    let is_long = |index: usize| {
        let end = begins.get(index + 1).copied().unwrap_or(lines.len());
        end > sections[index] + 1
    };
    let apart: Vec<usize> =
        (1..sections.len()).filter(|&index| is_long(index - 1) || is_long(index)).map(|index| begins[index]).collect();
    for begin in apart {
        lines[begin].blank = true;
    }
    for index in 1..lines.len() {
        // A line end more would be a part of the scalar's value.
        if lines[index - 1].role == Role::Keep {
            lines[index].blank = false;
        }
    }
}

/// Returns the column of each line's comment: those at the ends of neighbouring lines that stood in one column do so
/// again, one space after the longest of their lines.
fn columns(lines: &[Line]) -> Vec<usize> {
    let mut columns = vec![0; lines.len()];
    let mut group: Vec<usize> = Vec::new();
    let settle = |group: &mut Vec<usize>, columns: &mut Vec<usize>| {
        let widths = group.iter().filter(|&&index| !lines[index].is_comment()).map(|&index| lines[index].width());
        let column = widths.max().map_or(0, |width| width + 1);
        for index in group.drain(..) {
            columns[index] = column;
        }
    };
    for (index, line) in lines.iter().enumerate() {
        let alone = line.comment.as_ref().is_some_and(|comment| line.is_comment() && !comment.goes_on);
        if line.blank || alone || matches!(line.role, Role::Scalar | Role::Keep) {
            settle(&mut group, &mut columns);
        }
        let Some(comment) = line.comment.as_ref().filter(|_| !alone) else { continue };
        let same = |&first: &usize| lines[first].comment.as_ref().is_some_and(|other| other.column == comment.column);
        if !group.last().is_none_or(same) {
            settle(&mut group, &mut columns);
        }
        group.push(index);
    }
    settle(&mut group, &mut columns);
    columns
}
