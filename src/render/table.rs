//! Tables for terminals: columns without borders, wrapped to the width. Cells are escaped by whoever fills them. Pure.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table as Comfy, presets};

use super::style::{Style, Tone};

/// A table under construction.
pub(super) struct Table {
    inner: Comfy,
    paint: Vec<(String, Tone)>,
}

impl Table {
    /// Makes a table with these headings.
    pub(super) fn new(style: &Style, headings: &[&str]) -> Self {
        let mut inner = Comfy::new();
        inner.load_preset(presets::NOTHING);
        inner.set_content_arrangement(ContentArrangement::Dynamic);
        inner.set_width(u16::try_from(style.width.saturating_sub(2)).unwrap_or(u16::MAX).max(40));
        inner.set_header(headings.iter().map(|h| Cell::new(h.to_uppercase())));
        Self { inner, paint: Vec::new() }
    }

    /// Aligns a column to the right: numbers.
    pub(super) fn right(&mut self, column: usize) {
        if let Some(column) = self.inner.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }

    /// Keeps a column on one line: what people copy, such as ids, must not be cut.
    pub(super) fn whole(&mut self, column: usize) {
        if let Some(column) = self.inner.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.inner.add_row(cells);
    }

    /// Colours every occurrence of some words: the table measures cells, so colour comes after the layout.
    pub(super) fn paint(&mut self, words: &str, tone: Tone) {
        self.paint.push((words.to_owned(), tone));
    }

    /// Returns the lines, indented by two.
    pub(super) fn render(&self, style: &Style) -> String {
        let mut out = String::new();
        for (index, line) in self.inner.lines().enumerate() {
            let mut line = format!(" {}", line.trim_end());
            if index == 0 {
                line = style.paint(Tone::Dim, &line);
            } else {
                for (words, tone) in &self.paint {
                    line = line.replace(words.as_str(), &style.paint(*tone, words));
                }
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}
