//! What a run says to GitHub beside its own output: the step's summary and outputs, annotations, and which values the
//! log must hide. Only in GitHub's workflows (`GITHUB_ACTIONS=true`), and not where `BKUP_GITHUB=off`.
//!
//! None of it is what was asked for, so none of it may fail a run: what cannot be written is said on standard error.

use std::fs::OpenOptions;
use std::io::Write;

use super::context::Context;
use super::exit::Exit;
use super::failure::reason;
use crate::diag::Diagnostic;
use crate::domain::{ApplyReport, ChannelSpec, DatabaseSpec, Desired, EnvText, Instant, ObjectiveRow, Plan, StoreSpec};
use crate::engine::Connection;
use crate::render::{
    Markdown, PlanMarkdown, Sources, annotations, clipped, heredoc, mask, plan_markdown, report_markdown,
    status_markdown,
};

/// What a step's summary may have; GitHub drops a longer one whole.
const LARGEST_SUMMARY: usize = 1 << 20;
/// The key of what is written here: a summary belongs to its step, nothing looks for it later.
const KEY: &str = "summary";
/// Variables that hold secrets by what they are, whatever the policies say.
const SECRET_VARIABLES: [&str; 6] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "BKUP_AGE_IDENTITY",
    "BKUP_CATALOG_URL",
    "GITHUB_TOKEN",
    "PGPASSWORD",
];

/// Returns whether this runs in one of GitHub's workflows and may speak to it.
#[must_use]
pub fn is_on(context: &Context) -> bool {
    let off = context.env("BKUP_GITHUB").is_some_and(|word| matches!(word.as_str(), "off" | "0" | "false" | "no"));
    context.env("GITHUB_ACTIONS").as_deref() == Some("true") && !off
}

/// Makes the runner hide every secret that the policies name, and the passwords inside of them. Before anything else is
/// printed; where standard error is a file nothing is: the runner would not see it, and whoever opens the file would.
pub fn hide(context: &Context, catalog: &EnvText, desired: &Desired) {
    let mut texts: Vec<&EnvText> = vec![catalog];
    texts.extend(desired.channels.values().flat_map(channel));
    hide_all(context, texts, desired.databases.values(), desired.stores.values());
}

/// Does the same for a saved plan.
pub fn hide_of_plan(context: &Context, catalog: &EnvText, plan: &Plan) {
    let places = &plan.connections;
    hide_all(context, vec![catalog], places.databases.values(), places.stores.values());
}

fn channel(channel: &ChannelSpec) -> Vec<&EnvText> {
    match channel {
        ChannelSpec::Slack { url } => vec![url],
        ChannelSpec::Email { smtp, .. } => vec![smtp],
        ChannelSpec::Webhook { url, secret } => std::iter::once(url).chain(secret).collect(),
    }
}

fn hide_all<'a>(
    context: &Context,
    mut texts: Vec<&'a EnvText>,
    databases: impl Iterator<Item = &'a DatabaseSpec>,
    stores: impl Iterator<Item = &'a StoreSpec>,
) {
    if !is_on(context) || context.err_is_file() {
        return;
    }
    texts.extend(databases.map(|database| &database.url));
    for store in stores {
        texts.extend(store.encryption.iter().filter_map(|encryption| encryption.identity.as_ref()));
        texts.extend(&store.signing_key);
    }
    let value = |text: &EnvText| match text {
        EnvText::Literal(text) => Some(text.clone()),
        EnvText::Variable(name) => context.env(name),
    };
    let mut secrets: Vec<String> = texts.into_iter().filter_map(value).collect();
    secrets.extend(SECRET_VARIABLES.iter().filter_map(|name| context.env(name)));
    let mut commands: Vec<String> = Vec::new();
    for secret in &secrets {
        commands.extend(parts(secret).iter().map(|part| mask(part)));
    }
    commands.sort_unstable();
    commands.dedup();
    context.ui.err.write(&commands.concat());
}

/// Returns what of a value is secret: the password of a connection string, as it is and as it is written; else the
/// whole. A path is none.
fn parts(value: &str) -> Vec<String> {
    let url = value.contains("://") || value.contains("host=") || value.contains("dbname=");
    if !url {
        return if value.starts_with(['/', '.']) { Vec::new() } else { vec![value.to_owned()] };
    }
    let login = value.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next());
    let login = login.and_then(|authority| authority.rsplit_once('@')).and_then(|(login, _)| login.split_once(':'));
    let mut parts: Vec<String> = login.map(|(_, password)| password.to_owned()).into_iter().collect();
    if let Ok(connection) = Connection::parse(value) {
        let password = connection.env().into_iter().find(|(name, _)| name == "PGPASSWORD");
        parts.extend(password.map(|(_, password)| password));
    }
    let web = value.starts_with("http://") || value.starts_with("https://");
    if web || !parts.is_empty() {
        // A webhook's address is its secret; a connection string with a password is hidden as a whole, too.
        parts.push(value.to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Annotates a run with the ten worst findings.
pub fn annotate(context: &Context, findings: &[Diagnostic], sources: &Sources) {
    if is_on(context) {
        let folder = context.cwd.display().to_string();
        context.ui.err.write(&annotations(findings, sources, &folder));
    }
}

/// Tells the step what a plan says: its summary and its outputs.
pub fn planned(context: &Context, plan: &Plan, next: Option<&str>) {
    if is_on(context) {
        outputs(context, &plan_outputs(plan));
        summarize(context, "`bkup show` of the saved plan shows everything", |limit| {
            plan_markdown(PlanMarkdown { plan, next, key: KEY, limit })
        });
    }
}

/// Tells the step what an apply did.
pub fn applied(context: &Context, plan: &Plan, report: &ApplyReport) {
    if is_on(context) {
        outputs(context, &plan_outputs(plan));
    }
    reported(context, report);
}

/// Shows the step the report of an apply, also of one that came to nothing.
pub fn reported(context: &Context, report: &ApplyReport) {
    if is_on(context) {
        summarize(context, "the report has everything", |limit| report_markdown(report, KEY, limit));
    }
}

/// Tells the step how the objectives stand.
pub fn stands(context: &Context, rows: &[ObjectiveRow], as_of: Instant) {
    if is_on(context) {
        summarize(context, "`bkup status` shows everything", |limit| status_markdown(rows, as_of, KEY, limit));
    }
}

/// Tells the step how the run ended, whatever it did.
pub fn ended(context: &Context, exit: Exit) {
    if is_on(context) {
        outputs(context, &[("exit_reason", exit.word().to_owned())]);
    }
}

fn plan_outputs(plan: &Plan) -> Vec<(&'static str, String)> {
    let counts = plan.counts();
    let differs = counts.changes + counts.drift > 0;
    vec![
        ("has_changes", differs.to_string()),
        ("changes", counts.changes.to_string()),
        ("drift", counts.drift.to_string()),
        ("due", counts.due.to_string()),
        ("deletes", counts.deletes.to_string()),
        ("digest", plan.digest.to_string()),
        ("change_digest", plan.change_digest.to_string()),
    ]
}

fn outputs(context: &Context, pairs: &[(&str, String)]) {
    let Some(path) = context.env("GITHUB_OUTPUT") else { return };
    let text: Result<String, _> =
        pairs.iter().map(|(name, value)| Context::random().map(|random| heredoc(name, value, random))).collect();
    match text {
        Ok(text) => append(context, "GITHUB_OUTPUT", &path, &text),
        Err(_) => context.ui.note("the outputs of this step were not set: the system has no randomness"),
    }
}

fn summarize(context: &Context, elsewhere: &str, write: impl Fn(usize) -> Markdown) {
    let Some(path) = context.env("GITHUB_STEP_SUMMARY") else { return };
    // What earlier commands of the step wrote counts, too.
    let taken = std::fs::metadata(context.cwd.join(&path)).map_or(0, |file| file.len());
    let room = LARGEST_SUMMARY.saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX)).saturating_sub(2);
    let text = clipped(&write(room).text, room, elsewhere);
    if text.len() <= room {
        append(context, "GITHUB_STEP_SUMMARY", &path, &format!("{text}\n"));
    } else {
        context.ui.note("the step's summary is full; nothing was added to it");
    }
}

fn append(context: &Context, variable: &str, path: &str, text: &str) {
    let path = context.cwd.join(path);
    let write = || OpenOptions::new().append(true).create(true).open(&path)?.write_all(text.as_bytes());
    if let Err(error) = write() {
        let words = format!("{variable} could not be written: {}: {}", path.display(), reason(&error));
        context.ui.note(&context.ui.err_style.name(&words));
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn of_a_connection_string_the_password_is_hidden_in_both_forms() {
        assert_eq!(
            parts("postgres://u:p%40ss@h:5432/db?sslmode=require"),
            ["p%40ss", "p@ss", "postgres://u:p%40ss@h:5432/db?sslmode=require"]
        );
        assert_eq!(parts("host=h dbname=d password='p ss'"), ["p ss", "host=h dbname=d password='p ss'"]);
        assert!(parts("postgres://u@h/db").is_empty());
        assert!(parts("host=h dbname=d").is_empty());
    }

    #[test]
    fn a_key_is_hidden_and_the_path_of_one_is_not() {
        assert_eq!(parts("AGE-SECRET-KEY-1QQ"), ["AGE-SECRET-KEY-1QQ"]);
        assert!(parts("/run/secrets/age.txt").is_empty());
        assert_eq!(parts("https://hooks.example/T0/secret"), ["https://hooks.example/T0/secret"]);
        assert_eq!(parts("smtps://u:geheim@mail"), ["geheim", "smtps://u:geheim@mail"]);
    }
}
