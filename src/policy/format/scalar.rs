//! The text of single pieces: scalars of one line and of several, block scalars, comments. Pure.

/// Returns a comment with a space after its `#`; `#!`, `##` and a lone `#` are kept.
pub(super) fn comment(text: &str) -> String {
    let words = text.trim_end();
    match words.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with([' ', '\t', '!', '#']) => format!("# {rest}"),
        _ => words.to_owned(),
    }
}

/// Returns a scalar's text: `'${NAME}'` gets double quotes, everything else stays as written.
pub(super) fn scalar(text: &str) -> String {
    let name = text.strip_prefix("'${").and_then(|rest| rest.strip_suffix("}'"));
    match name {
        Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            format!("\"${{{name}}}\"")
        }
        _ => text.to_owned(),
    }
}

/// Returns the lines of a scalar that goes over several, without the white space that YAML folds away.
pub(super) fn folded(text: &str) -> Vec<&str> {
    text.split('\n')
        .enumerate()
        .map(|(index, line)| if index == 0 { trim_end(line) } else { trim_end(line.trim_start_matches([' ', '\t'])) })
        .collect()
}

/// Cuts white space at the end off, but for one that a backslash keeps.
fn trim_end(line: &str) -> &str {
    let cut = line.trim_end_matches([' ', '\t']);
    let backslashes = cut.len() - cut.trim_end_matches('\\').len();
    if backslashes % 2 == 1 { line } else { cut }
}

/// How a block scalar is written.
pub(super) struct Block<'t> {
    /// `|` or `>`, with its indicators.
    pub header: &'t str,
    /// Its lines, with their line ends.
    pub body: &'t str,
}

impl Block<'_> {
    /// Returns the indentation that the header says, where it says one.
    fn explicit(&self) -> Option<usize> {
        self.header.chars().find_map(|c| c.to_digit(10)).map(|digit| digit as usize)
    }

    /// Returns whether the line ends after the last line belong to the value.
    pub fn keeps_all(&self) -> bool {
        self.header.contains('+')
    }

    /// Returns whether blank lines follow that do not belong to the value.
    pub fn is_followed_by_blank(&self) -> bool {
        !self.keeps_all() && self.body.lines().next_back().is_some_and(|line| line.trim().is_empty())
    }

    /// Returns the lines indented for a parent at a column; `source` is the column where the parent was.
    pub fn lines(&self, source: Option<usize>, out: Option<usize>) -> Vec<String> {
        let mut lines: Vec<&str> = self.body.lines().collect();
        if !self.keeps_all() {
            while lines.last().is_some_and(|line| line.trim_matches(' ').is_empty()) {
                lines.pop();
            }
        }
        let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let first = lines.iter().find(|line| indentation(line) < line.len()).map_or(0, |line| indentation(line));
        let (before, after) = match self.explicit() {
            Some(digit) => (source.unwrap_or(0) + digit, out.unwrap_or(0) + digit),
            None => (first, out.map_or(first, |out| out + 2)),
        };
        let indent = " ".repeat(after);
        let line = |line: &&str| match line.get(before..) {
            Some(rest) if !rest.is_empty() => format!("{indent}{rest}"),
            _ => String::new(),
        };
        lines.iter().map(line).collect()
    }
}
