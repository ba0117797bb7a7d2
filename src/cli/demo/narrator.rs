//! How the demo speaks: chapters, sentences, commands as they can be repeated, and what they said.

use crate::cli::output::Output;
use crate::domain::Instant;
use crate::render::{Style, Symbol, Tone};

/// Prints the story as it goes.
pub(in crate::cli) struct Narrator {
    out: Output,
    style: Style,
    chapter: std::cell::Cell<u32>,
}

impl Narrator {
    /// Speaks to an output.
    pub(in crate::cli) const fn new(out: Output, style: Style) -> Self {
        Self { out, style, chapter: std::cell::Cell::new(0) }
    }

    /// Begins a chapter.
    pub(super) fn chapter(&self, title: &str) {
        self.chapter.set(self.chapter.get() + 1);
        self.out.write(&format!("\n{}\n", self.style.heading(&format!("{}. {title}", self.chapter.get()))));
    }

    /// Says something, on lines of its own.
    pub(super) fn say(&self, words: &str) {
        for line in words.split('\n') {
            self.out.write(&format!("{}\n", self.style.name(line)));
        }
    }

    /// Says that something is well.
    pub(super) fn good(&self, words: &str) {
        let words = self.style.name(words);
        self.out.write(&format!("{} {}\n", self.style.mark(Symbol::Good), self.style.paint(Tone::Good, &words)));
    }

    /// Shows a command as it can be repeated.
    pub(super) fn command(&self, text: &str) {
        let line = format!("$ {}", self.style.name(text));
        self.out.write(&format!("\n{}\n", self.style.paint(Tone::Note, &line)));
    }

    /// Shows what a command said. It is bkup's own text, which is escaped and coloured already.
    pub(super) fn output(&self, text: &str) {
        for line in text.trim_end().lines() {
            self.out.write(&if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
        }
    }

    /// Shows the first lines of what a command said, and how many there are more.
    pub(super) fn head(&self, text: &str, lines: usize) {
        let all: Vec<&str> = text.trim_end().lines().collect();
        self.output(&all[..lines.min(all.len())].join("\n"));
        if all.len() > lines {
            let words = format!("[and {} more lines]", all.len() - lines);
            self.out.write(&format!("  {}\n", self.style.paint(Tone::Dim, &words)));
        }
    }
}

/// Writes bkup's arguments as somebody would type them, the simulated instant before them.
pub(super) fn typed(now: Option<Instant>, args: &[&str]) -> String {
    let now = now.map_or_else(String::new, |now| format!("BKUP_NOW={now} "));
    format!("{now}bkup {}", args.join(" "))
}

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn a_command_is_shown_as_it_can_be_typed() {
        assert_eq!(typed(None, &["plan", "--out", "plan.json"]), "bkup plan --out plan.json");
        let now = "2026-03-02T02:45:00Z".parse().unwrap();
        assert_eq!(typed(Some(now), &["status"]), "BKUP_NOW=2026-03-02T02:45:00Z bkup status");
    }
}
