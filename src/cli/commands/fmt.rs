//! `bkup fmt`: policy files, and tests of policies, in the one layout.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::{policies, rewrite, wiring};
use crate::diag::Diagnostic;
use crate::policy::SourceFile;
use crate::render::{
    FormattedFile, FormattedState as State, Style, Symbol, Tone, diagnostics_text, difference_text, findings_summary,
    formatted_json,
};

/// Arguments of `fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// File or folder; - is standard input, to standard output [default: as --policies]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Write nothing; show what would change, and exit 2 where something would
    #[arg(long)]
    pub check: bool,
}

/// Formats files in place, or shows what would change.
///
/// # Errors
/// Where there are none or one cannot be read.
pub fn run(context: &mut Context, args: &FmtArgs) -> Result<Exit, CliError> {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return piped(context, args);
    }
    let files = policies::read_texts(context, &args.paths)?;
    let mut outcome = Outcome::default();
    for file in &files {
        let state = match wiring::formatted(file) {
            Err(findings) => {
                outcome.findings.extend(findings);
                outcome.exit = Exit::InvalidPolicies;
                State::Refused
            }
            Ok(text) if text.as_bytes() == file.bytes => State::Unchanged,
            Ok(text) if args.check => {
                outcome.differ(file, &text, &context.ui.style);
                continue;
            }
            Ok(text) => match rewrite::rewrite(context, file, &text) {
                Ok(()) => State::Formatted,
                Err(finding) => {
                    outcome.findings.push(*finding);
                    outcome.worse(Exit::Failed);
                    State::Refused
                }
            },
        };
        outcome.note(&file.name, state);
    }
    if context.ui.is_json() {
        context.ui.print(&formatted_json(&outcome.files, &outcome.findings));
    } else {
        let sources = policies::sources(&files);
        context.ui.err.write(&diagnostics_text(&outcome.findings, &sources, &context.ui.err_style));
        context.ui.print(&outcome.text(&context.ui.style, args.check));
    }
    Ok(outcome.exit)
}

/// Formats standard input.
fn piped(context: &Context, args: &FmtArgs) -> Result<Exit, CliError> {
    if args.paths.len() > 1 {
        return Err(CliError::usage("`-` stands alone", "name files, or write only `-` to format standard input"));
    }
    let mut bytes = Vec::new();
    let name = "standard input".to_owned();
    std::io::stdin()
        .take(policies::LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::Unreadable { path: name.clone(), why: error.to_string() })?;
    let file = SourceFile { name, bytes };
    match wiring::formatted(&file) {
        Err(findings) => {
            context.ui.findings(&findings, &[], &policies::sources(std::slice::from_ref(&file)));
            Ok(Exit::InvalidPolicies)
        }
        Ok(text) if !args.check => {
            context.ui.print(&text);
            Ok(Exit::Success)
        }
        Ok(text) => {
            let mut outcome = Outcome::default();
            if text.as_bytes() != file.bytes {
                outcome.differ(&file, &text, &context.ui.style);
            } else {
                outcome.note(&file.name, State::Unchanged);
            }
            let style = &context.ui.style;
            context.ui.print(&if context.ui.is_json() {
                formatted_json(&outcome.files, &outcome.findings)
            } else {
                outcome.text(style, true)
            });
            Ok(outcome.exit)
        }
    }
}

/// What became of all files.
struct Outcome {
    files: Vec<FormattedFile>,
    /// The differences, for people.
    shown: String,
    findings: Vec<Diagnostic>,
    exit: Exit,
}

impl Default for Outcome {
    fn default() -> Self {
        Self { files: Vec::new(), shown: String::new(), findings: Vec::new(), exit: Exit::Success }
    }
}

impl Outcome {
    /// Takes over an exit, where there is no worse one.
    fn worse(&mut self, exit: Exit) {
        if self.exit != Exit::InvalidPolicies && (exit == Exit::Failed || self.exit == Exit::Success) {
            self.exit = exit;
        }
    }

    /// Notes what would change. A password in a file is not shown: a check's output ends in logs.
    fn differ(&mut self, file: &SourceFile, after: &str, style: &Style) {
        let before = wiring::masked(&String::from_utf8_lossy(&file.bytes));
        let after = wiring::masked(after);
        self.shown.push_str(&difference_text(&file.name, &before, &after, style));
        let diff = Some(difference_text(&file.name, &before, &after, &Style::plain()));
        self.files.push(FormattedFile { file: file.name.clone(), state: State::Differs, diff });
        self.worse(Exit::Differences);
    }

    fn note(&mut self, name: &str, state: State) {
        self.files.push(FormattedFile { file: name.to_owned(), state, diff: None });
    }

    fn count(&self, state: State) -> usize {
        self.files.iter().filter(|file| file.state == state).count()
    }

    fn text(&self, style: &Style, check: bool) -> String {
        let mut out = self.shown.clone();
        if !out.is_empty() {
            out.push('\n');
        }
        for file in self.files.iter().filter(|file| file.state == State::Formatted) {
            out.push_str(&format!("{} {}\n", style.mark(Symbol::Update), style.name(&file.file)));
        }
        let files = |n: usize| if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
        let (changed, words) = if check {
            (self.count(State::Differs), "not formatted")
        } else {
            (self.count(State::Formatted), "formatted")
        };
        let mut summary = files(self.files.len());
        if changed > 0 {
            summary.push_str(&format!(", {changed} {words}"));
        }
        if !self.findings.is_empty() {
            let left = self.count(State::Refused);
            summary.push_str(&format!(", {left} left alone: {}", findings_summary(&self.findings)));
        }
        let good = self.exit == Exit::Success;
        let (symbol, tone) = if good { (Symbol::Good, Tone::Good) } else { (Symbol::Bad, Tone::Bad) };
        let word = match (good, check) {
            (true, _) => "formatted",
            (false, true) => "not formatted",
            (false, false) => "not all formatted",
        };
        out.push_str(&format!("{} {}: {summary}\n", style.mark(symbol), style.paint(tone, word)));
        out
    }
}
