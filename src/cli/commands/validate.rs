//! `bkup validate`: every problem of every policy file in one run, offline unless asked for more.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::session::Session;
use crate::cli::{formats, github, mend, policies, wiring};
use crate::diag::{Diagnostic, Severity};
use crate::policy::Judged;
use crate::render::{Symbol, Tone, diagnostics_text, findings_summary, fixes_text, suppressed_summary};

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Let warnings fail too
    #[arg(long)]
    pub strict: bool,
    /// Make the safe edits that findings know, then check again
    #[arg(long)]
    pub fix: bool,
    /// Ask the catalog and the databases, too: durations, sizes, drills, and live tenants; changes nothing
    #[arg(long, conflicts_with = "fix")]
    pub live: bool,
}

/// Reads and judges the policies.
///
/// # Errors
/// Where there are none or one cannot be read.
pub fn run(context: &mut Context, args: &ValidateArgs) -> Result<Exit, CliError> {
    let files = policies::read_all(context)?;
    let mut judged = wiring::judge(&files, context.instant());
    if args.live {
        judged = Session::judge_live(context, &files, judged)?;
    }
    let mend::Outcome { files, judged: Judged { findings, suppressed, .. }, made, failures } = if args.fix {
        mend::run(context, files, judged)
    } else {
        mend::Outcome { files, judged, made: Vec::new(), failures: Vec::new() }
    };
    for failure in &failures {
        context.ui.failure(failure);
    }
    let exit = match verdict(&findings, args.strict) {
        Exit::Success if !failures.is_empty() => Exit::Failed,
        exit => exit,
    };
    let ui = &context.ui;
    let asked = args.fix.then_some(made.as_slice());
    if let Some(text) = formats::findings(context, &files, &findings, &suppressed, asked) {
        ui.print(&text);
        return Ok(exit);
    }
    let mut text = fixes_text(&made, &ui.style);
    if !text.is_empty() {
        text.push('\n');
    }
    let shown = text.len();
    text.push_str(&diagnostics_text(&findings, &policies::sources(&files), &ui.style));
    if text.len() > shown {
        text.push('\n');
    }
    github::annotate(context, &findings, &policies::sources(&files));
    let (symbol, tone, words) =
        if exit == Exit::Success { (Symbol::Good, Tone::Good, "valid") } else { (Symbol::Bad, Tone::Bad, "invalid") };
    let plural = if files.len() == 1 { "file" } else { "files" };
    let mut summary = format!("{} {plural}, {}", files.len(), findings_summary(&findings));
    if !made.is_empty() {
        summary = format!("{summary}, {} fixed", made.len());
    }
    if !suppressed.is_empty() {
        summary = format!("{summary}; {}", suppressed_summary(&suppressed));
    }
    text.push_str(&format!("{} {}: {summary}\n", ui.style.mark(symbol), ui.style.paint(tone, words)));
    ui.print(&text);
    Ok(exit)
}

fn verdict(findings: &[Diagnostic], strict: bool) -> Exit {
    let fails = |severity| severity == Severity::Error || strict && severity == Severity::Warning;
    if findings.iter().any(|finding| fails(finding.severity)) { Exit::InvalidPolicies } else { Exit::Success }
}

#[cfg(test)]
mod tests {
    use super::verdict;
    use crate::cli::exit::Exit;
    use crate::diag::{Code, Diagnostic, Severity};

    #[test]
    fn only_strict_fails_on_warnings_and_nothing_fails_on_notes() {
        let of = |severity| vec![Diagnostic::new(Code("BK100"), severity, "x")];
        for (severity, strict, exit) in [
            (Severity::Error, false, Exit::InvalidPolicies),
            (Severity::Warning, false, Exit::Success),
            (Severity::Warning, true, Exit::InvalidPolicies),
            (Severity::Note, true, Exit::Success),
        ] {
            assert_eq!(verdict(&of(severity), strict), exit);
        }
    }
}
