//! Printing, asking and showing progress: the only code that talks to people.

use std::io::BufRead;
use std::time::Duration;

use super::args::{Format, GlobalArgs};
use super::context::Terminal;
use super::failure::CliError;
use super::output::Output;
use super::progress::Progress;
use crate::diag::Diagnostic;
use crate::render::{
    Sources, Style, Symbol, Tone, diagnostics_json, diagnostics_text, judged_json, suppressed_summary,
};

/// The way to people and back. Results go to standard output, everything else to standard error.
pub struct Ui {
    /// Standard output.
    pub out: Output,
    /// Standard error.
    pub err: Output,
    /// The style of standard output.
    pub style: Style,
    /// The style of standard error.
    pub err_style: Style,
    /// How results are printed.
    pub format: Format,
    /// How often `-v` was given.
    pub verbosity: u8,
    input: Box<dyn BufRead + Send>,
    can_ask: bool,
    draws: bool,
}

impl Ui {
    pub(super) fn new(
        out: Output,
        err: Output,
        input: Box<dyn BufRead + Send>,
        style: Style,
        err_style: Style,
        global: &GlobalArgs,
        terminal: Terminal,
    ) -> Self {
        let (format, verbosity) = (global.format, global.verbose);
        let (can_ask, draws) = (terminal.stdin && terminal.stderr, terminal.stderr);
        Self { out, err, style, err_style, format, verbosity, input, can_ask, draws }
    }

    /// Returns whether results are for programs.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a result.
    pub fn print(&self, text: &str) {
        self.out.write(text);
    }

    /// Tells something on the side, on a line of its own. The text is escaped already.
    pub fn note(&self, text: &str) {
        self.err.write(&format!("{text}\n"));
    }

    /// Tells something that only `-v` wants to know.
    pub fn verbose(&self, text: &str) {
        if self.verbosity > 0 {
            self.err.write(&format!("{}\n", self.err_style.paint(Tone::Dim, text)));
        }
    }

    /// Shows why a command failed, on standard error in the format of the results.
    pub fn failure(&self, finding: &Diagnostic) {
        let findings = std::slice::from_ref(finding);
        self.err.write(&if self.is_json() {
            diagnostics_json(findings)
        } else {
            diagnostics_text(findings, &Sources::new(), &self.err_style)
        });
    }

    /// Shows findings about policies on standard error, with their sources, in the format of the results, and how many
    /// comments ignore.
    pub fn findings(&self, findings: &[Diagnostic], suppressed: &[Diagnostic], sources: &Sources) {
        if self.is_json() {
            if !findings.is_empty() || !suppressed.is_empty() {
                self.err.write(&judged_json(findings, suppressed, None));
            }
            return;
        }
        if !findings.is_empty() {
            self.err.write(&(diagnostics_text(findings, sources, &self.err_style) + "\n"));
        }
        if !suppressed.is_empty() {
            self.note(&suppressed_summary(suppressed));
        }
    }

    /// Checks that an approval can be had. Called before any work, so that a pipeline without a terminal fails at
    /// once and not after minutes of planning.
    ///
    /// # Errors
    /// Where nobody can be asked and `approved` is false: exit 64.
    pub const fn require_approval(&self, approved: bool) -> Result<(), CliError> {
        if approved || self.can_ask { Ok(()) } else { Err(CliError::NoTerminal) }
    }

    /// Asks for approval; only the whole word `yes` gives it.
    ///
    /// # Errors
    /// Where the answer is anything else, or nobody can be asked.
    pub fn approve(&mut self, question: &str, approved: bool) -> Result<(), CliError> {
        self.require_approval(approved)?;
        if approved {
            return Ok(());
        }
        let mark = self.err_style.mark(Symbol::Attention);
        self.err.write(&format!("{mark} {question}\n  Only `yes` approves: "));
        let mut answer = String::new();
        match self.input.read_line(&mut answer) {
            Ok(_) if answer.trim() == "yes" => Ok(()),
            _ => Err(CliError::Declined),
        }
    }

    /// Starts showing the progress of an apply: bars on a terminal, lines elsewhere, JSON lines where asked; and a sign
    /// of life where it was silent for `heartbeat`.
    #[must_use]
    pub fn progress(&self, heartbeat: Duration) -> Progress {
        if self.is_json() {
            Progress::json(self.out.clone(), self.err.clone(), heartbeat)
        } else if self.draws && self.verbosity == 0 {
            Progress::bars(self.err.clone(), self.err_style)
        } else {
            Progress::lines(self.err.clone(), self.err_style, heartbeat)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use clap::Parser;

    use super::Ui;
    use crate::cli::args::Arguments;
    use crate::cli::context::Terminal;
    use crate::cli::failure::CliError;
    use crate::cli::output::Output;
    use crate::render::Style;

    fn ui(answer: &'static str, at_terminal: bool) -> Ui {
        let global = Arguments::parse_from(["bkup", "schema"]).global;
        let terminal = Terminal { stdin: at_terminal, stdout: true, stderr: true, width: 100, utf8: true };
        let sink = || Output::new(Box::new(std::io::sink()));
        Ui::new(sink(), sink(), Box::new(Cursor::new(answer)), Style::plain(), Style::plain(), &global, terminal)
    }

    #[test]
    fn only_the_whole_word_yes_approves() {
        for answer in ["yes\n", "  yes \n", "yes"] {
            assert!(ui(answer, true).approve("Apply?", false).is_ok(), "{answer:?}");
        }
        for answer in ["y\n", "YES\n", "no\n", "\n", "", "yes please\n"] {
            assert!(matches!(ui(answer, true).approve("Apply?", false), Err(CliError::Declined)), "{answer:?}");
        }
    }

    #[test]
    fn nobody_is_asked_without_a_terminal() {
        assert!(matches!(ui("yes\n", false).approve("Apply?", false), Err(CliError::NoTerminal)));
        assert!(ui("", false).approve("Apply?", true).is_ok());
    }
}
