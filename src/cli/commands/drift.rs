//! `bkup drift`: shows how the world differs from what bkup knows. Changes nothing.

use clap::Args;

use super::narrow::{NarrowArgs, Only};
use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::formats;
use crate::cli::session::{Facts, Session};
use crate::diag::{Code, Diagnostic};
use crate::domain::{ActionClass, ActionKind, DRIFT_CODES, Plan, ReasonCode};
use crate::render::{Style, action_title, drift_json, drift_text};

/// Arguments of `drift`.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Exit 2 where there is drift
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Only of these addresses: store.primary, database.*; repeatable
    #[arg(long, value_name = "ADDRESS-GLOB")]
    pub target: Vec<String>,
    /// Not of these addresses; repeatable
    #[arg(long, value_name = "ADDRESS-GLOB")]
    pub exclude: Vec<String>,
}

/// Looks, and shows the drift alone.
///
/// # Errors
/// Where the policies are invalid or the catalog cannot be read.
pub fn run(context: &mut Context, args: &DriftArgs) -> Result<Exit, CliError> {
    let session = Session::open(context)?;
    let facts = Facts::of(context);
    let survey = context.block_on_reading(session.survey(&facts, false))??;
    let narrow = NarrowArgs {
        only: Vec::<Only>::new(),
        target: args.target.clone(),
        exclude: args.exclude.clone(),
        allow_delete: None,
    };
    let plan = session.plan(&survey, &narrow.wish())?;
    let text = match context.ui.format {
        Format::Text => drift_text(&plan, Some("bkup apply"), &context.ui.style),
        Format::Json => drift_json(&plan),
        Format::Github | Format::Sarif | Format::Markdown => {
            let found = diagnostics(&session, &plan);
            formats::told(context, &session.texts, &found, &DRIFT_CODES).unwrap_or_default()
        }
    };
    context.ui.print(&text);
    Ok(if args.detailed_exitcode && plan.counts().drift > 0 { Exit::Differences } else { Exit::Success })
}

/// Returns the drift as findings at the policies' lines, for programs that show those.
fn diagnostics(session: &Session, plan: &Plan) -> Vec<Diagnostic> {
    let at = |finding: Diagnostic, address| match session.set.span(address, "") {
        Some(span) => finding.at(span, "differs from the world"),
        None => finding,
    };
    let style = Style::plain();
    let actions = plan.actions.iter().filter(|action| action.class == ActionClass::Drift).map(|action| {
        let code = match action.kind {
            ActionKind::ApplyDocument { .. } => DRIFT_CODES[0].0,
            _ => DRIFT_CODES[1].0,
        };
        let lost = matches!(
            action.reason.code,
            ReasonCode::ObjectMissing | ReasonCode::ObjectChanged | ReasonCode::VerificationFailed
        );
        let words = format!("{}: {}", action_title(action, &style), action.reason.words);
        let finding = if lost { Diagnostic::error(code, words) } else { Diagnostic::warning(code, words) };
        at(finding.help("`bkup apply` does this"), &action.address)
    });
    let findings = plan.findings.iter().map(|found| {
        let words = format!("{}: {}", found.address, found.words);
        let code: Code = found.kind.code();
        at(Diagnostic::new(code, found.severity.into(), words).help(found.help.clone()), &found.address)
    });
    actions.chain(findings).collect()
}
