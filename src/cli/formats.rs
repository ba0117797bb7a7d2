//! Which command serves which `--format`, and findings in the formats that are for programs.

use super::args::{Command, Format};
use super::context::Context;
use super::failure::CliError;
use super::wiring;
use crate::diag::{Code, Diagnostic};
use crate::domain::DRIFT_CODES;
use crate::policy::SourceFile;
use crate::render::{FixMade, PLAN_CODES, SarifTool, Sources, diagnostics_github, diagnostics_sarif, judged_json};

/// Refuses a format that a command does not have: a pipeline that asked for one must not get another.
///
/// # Errors
/// Where the command does not have it.
pub(super) fn check(format: Format, command: &Command) -> Result<(), CliError> {
    use Format::{Github, Json, Markdown, Sarif, Text};
    // Everything has two. A new command says here if it has more.
    let has: &[Format] = match command {
        Command::Validate(_) | Command::Drift(_) => &[Text, Json, Sarif, Github],
        Command::Plan(_) | Command::Show(_) => &[Text, Json, Markdown, Sarif, Github],
        Command::Status(_) => &[Text, Json, Markdown],
        _ => &[Text, Json],
    };
    if has.contains(&format) {
        return Ok(());
    }
    let words: Vec<String> = has.iter().map(|format| format!("--format {}", format.word())).collect();
    let other = if format == Markdown { "plan" } else { "validate" };
    Err(CliError::usage(
        format!("this command does not print `{}`", format.word()),
        format!("write {} here, or run `bkup {other} --format {}`", words.join(" or "), format.word()),
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
    match context.ui.format {
        Format::Json => Some(judged_json(findings, suppressed, fixed)),
        _ => for_programs(context, findings, &texts(files)),
    }
}

/// Returns findings as a log for code scanning or as annotations; `None` where neither was asked for.
pub(super) fn for_programs(context: &Context, findings: &[Diagnostic], texts: &Sources) -> Option<String> {
    let rules: Vec<_> = wiring::policy_codes().iter().copied().chain(PLAN_CODES).chain(DRIFT_CODES).collect();
    told(context, texts, findings, &rules)
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
        Format::Text | Format::Json | Format::Markdown => None,
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
