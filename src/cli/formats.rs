//! Which command serves which `--format`, and findings in the formats that are for programs.

use super::args::{Command, Format};
use super::context::Context;
use super::failure::CliError;
use super::wiring;
use crate::diag::{Code, Diagnostic};
use crate::policy::SourceFile;
use crate::render::{FixMade, SarifTool, Sources, diagnostics_github, diagnostics_sarif, judged_json};

/// Refuses a format that a command does not have: a pipeline that asked for one must not get another.
///
/// # Errors
/// Where the command does not have it.
pub(super) fn check(format: Format, command: &Command) -> Result<(), CliError> {
    // What prints findings alone has all formats. Everything else has two; a new command says here if it has more.
    if matches!(format, Format::Text | Format::Json) || matches!(command, Command::Validate(_) | Command::Drift(_)) {
        return Ok(());
    }
    Err(CliError::usage(
        format!("this command does not print `{}`, which is for findings", format.word()),
        format!("write --format text or --format json here, or run `bkup validate --format {}`", format.word()),
    ))
}

/// Returns findings in the format that was asked for; `None` where that is the text for people.
pub(super) fn findings(
    context: &Context,
    files: &[SourceFile],
    findings: &[Diagnostic],
    suppressed: &[Diagnostic],
    fixed: Option<&[FixMade]>,
) -> Option<String> {
    let folder = context.cwd.display().to_string();
    match context.ui.format {
        Format::Text => None,
        Format::Json => Some(judged_json(findings, suppressed, fixed)),
        Format::Github => Some(diagnostics_github(findings, &texts(files), &folder)),
        Format::Sarif => {
            let rules = wiring::policy_codes();
            let tool = SarifTool { version: env!("CARGO_PKG_VERSION"), about: about(), rules };
            Some(diagnostics_sarif(findings, &texts(files), &folder, tool))
        }
    }
}

/// Returns findings with rules of their own in a format for programs; `None` where another was asked for.
pub(super) fn told(
    context: &Context,
    sources: &Sources,
    findings: &[Diagnostic],
    rules: &[(Code, &str)],
) -> Option<String> {
    let folder = context.cwd.display().to_string();
    match context.ui.format {
        Format::Text | Format::Json => None,
        Format::Github => Some(diagnostics_github(findings, sources, &folder)),
        Format::Sarif => {
            let tool = SarifTool { version: env!("CARGO_PKG_VERSION"), about: about(), rules };
            Some(diagnostics_sarif(findings, sources, &folder, tool))
        }
    }
}

/// Returns where people read about bkup.
fn about() -> Option<&'static str> {
    let about = [env!("CARGO_PKG_HOMEPAGE"), env!("CARGO_PKG_REPOSITORY")];
    about.into_iter().find(|uri| !uri.is_empty())
}

/// Returns the texts that places are counted in: not the masked ones, whose characters are not as many.
fn texts(files: &[SourceFile]) -> Sources {
    files.iter().map(|file| (file.name.clone(), String::from_utf8_lossy(&file.bytes).into_owned())).collect()
}
