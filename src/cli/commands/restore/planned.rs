//! The plan of a restore: made of what was found and looked at, written to a file, read from it, and held to what would
//! be done now.

use std::path::Path;

use super::args::RestoreArgs;
use super::source::Source;
use super::target::{Occupied, Target};
use super::{args, failure};
use crate::cli::context::Context;
use crate::cli::failure::CliError;
use crate::cli::plan_file::write_whole;
use crate::cli::version;
use crate::domain::{Bytes, Period, RESTORE_PLAN_FORMAT, RESTORE_PLAN_KIND, RestorePlan, sha256};
use crate::render::{age, restore_plan_json, restore_plan_text};
use crate::restore::RestoreError;
use crate::restore::swap::SwapError;

/// The largest file of a restore plan.
const LARGEST: u64 = 64 << 20;
/// How old a plan may be that is its own approval.
const OLDEST: Period = Period::hours(24);

/// What is about to be done.
pub(super) struct About<'a> {
    pub id: &'a str,
    pub source: &'a Source,
    pub target: &'a Target,
    pub in_use: Option<&'a Occupied>,
    pub bytes: Bytes,
    pub sanitize: Option<&'a str>,
}

/// Makes the plan of it.
pub(super) fn plan_of(context: &Context, args: &RestoreArgs, about: &About<'_>) -> RestorePlan {
    let manifest = about.source.manifest();
    let mut plan = RestorePlan {
        format_version: RESTORE_PLAN_FORMAT.to_owned(),
        kind: RESTORE_PLAN_KIND.to_owned(),
        digest: String::new(),
        as_of: context.now.to_string(),
        tool_version: version::SHORT.to_owned(),
        id: about.id.to_owned(),
        backup: manifest.backup_id.clone(),
        backups: about.source.origins.iter().map(|origin| origin.manifest.backup_id.clone()).collect(),
        store: about.source.store.to_string(),
        database: manifest.database.clone(),
        scope: manifest.scope.scope.clone(),
        consistent_at: manifest.consistent_at.clone(),
        into: about.target.words(),
        server: about.target.server().map(ToString::to_string),
        bytes: about.bytes.0,
        swap: about.in_use.map(|in_use| in_use.plan().clone()),
        table: about.target.table(),
        rows: about.target.table().map(|_| super::live::rows_word(args.rows()).to_owned()),
        sanitize: about.sanitize.map(|sql| sha256(sql.as_bytes()).to_string()),
        apart_from: if about.target.is_new() { about.source.apart_from() } else { Vec::new() },
        end_sessions: args.end_sessions,
        keep_orphans: args.keep_orphans,
        notes: about.source.notes.clone(),
    };
    plan.digest = plan.content_digest().to_string();
    plan
}

/// Writes a plan, and shows it.
pub(super) fn write(context: &Context, path: &Path, plan: &RestorePlan) -> Result<(), CliError> {
    write_whole(context, path, &restore_plan_json(plan))?;
    show(context, plan);
    let next = format!("nothing was done; carry it out with `bkup restore {}`", path.display());
    context.ui.note(&context.ui.err_style.name(&next));
    Ok(())
}

/// Shows a plan.
pub fn show(context: &Context, plan: &RestorePlan) {
    let ui = &context.ui;
    ui.print(&if ui.is_json() { restore_plan_json(plan) } else { restore_plan_text(plan, &ui.style) });
}

/// Reads a file, where there is one of that name and it is the plan of a restore; `None` otherwise.
///
/// # Errors
/// Where it is one, and was altered, or is of another major version.
pub fn read(context: &Context, path: &Path) -> Result<Option<RestorePlan>, CliError> {
    let name = || path.display().to_string();
    let full = context.cwd.join(path);
    let plain = std::fs::metadata(&full).is_ok_and(|facts| facts.is_file() && facts.len() <= LARGEST);
    let Some(text) = plain.then(|| std::fs::read_to_string(&full).ok()).flatten() else { return Ok(None) };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else { return Ok(None) };
    if value["kind"] != RESTORE_PLAN_KIND {
        return Ok(None);
    }
    let version = value["format_version"].as_str().unwrap_or_default();
    if version.split('.').next() != RESTORE_PLAN_FORMAT.split('.').next() {
        let why = format!("its form {version:?} is one that this version of bkup does not know");
        return Err(CliError::Unreadable { path: name(), why });
    }
    let plan: RestorePlan = serde_json::from_value(value)
        .map_err(|error| CliError::Unreadable { path: name(), why: format!("it is no restore plan: {error}") })?;
    if plan.content_digest().to_string() != plan.digest {
        return Err(CliError::PlanAltered { path: name() });
    }
    Ok(Some(plan))
}

/// Returns the arguments that carry out a plan that is not too old.
pub(super) fn arguments(context: &Context, given: &RestoreArgs, plan: &RestorePlan) -> Result<RestoreArgs, CliError> {
    let bad = |words: String| CliError::usage(words, "make the plan anew with --plan");
    let made = plan.as_of.parse::<crate::domain::Instant>().map_err(|_| bad("the plan has no time".to_owned()))?;
    let old = Period::between(made, context.now);
    if old > OLDEST {
        return Err(CliError::TooOld { age: age(old), limit: age(OLDEST) });
    }
    let target = args::into(&plan.into).map_err(bad)?;
    let store = plan.store.parse().map_err(|_| bad(format!("the plan's store {:?} is no name", plan.store)))?;
    Ok(given.of_plan(plan, target, store))
}

/// Holds what would be done now to what was planned; the time, the version and what there is to know may differ: who goes
/// on writing over objects must not keep what was there before from being restored.
pub(super) fn must_agree(planned: &RestorePlan, now: &RestorePlan) -> Result<(), CliError> {
    let of = |plan: &RestorePlan| {
        let mut plan = plan.clone();
        (plan.digest, plan.as_of, plan.tool_version) = (String::new(), String::new(), String::new());
        (plan.format_version, plan.notes) = (String::new(), Vec::new());
        serde_json::to_value(plan).unwrap_or_default()
    };
    let (planned, now) = (of(planned), of(now));
    let differs = |name: &&String| planned[name.as_str()] != now[name.as_str()];
    let names = planned.as_object().map(|fields| fields.keys().filter(differs).cloned().collect::<Vec<_>>());
    match names.unwrap_or_default() {
        names if names.is_empty() => Ok(()),
        names => Err(failure(&RestoreError::from(SwapError::OtherPlan(format!("{} differ", names.join(", ")))))),
    }
}
