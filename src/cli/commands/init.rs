//! `bkup init`: the first policies of a live database, with the workflows that plan and apply them. Looks at the
//! database with a read-only transaction, asks nothing, writes new files only.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::grants::{self, InitPrint};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::new_files::write_new;
use crate::cli::{policies, wiring};
use crate::diag::Severity;
use crate::domain::{Inspection, StoreUrl};
use crate::engine::Connection;
use crate::policy::SourceFile;
use crate::policy::starter::{self, Starter, Wishes};
use crate::render::findings_summary;
use crate::server;

/// How long the server may take to answer.
const LIMIT: Duration = Duration::from_secs(20);
/// The variable that policies name where nobody named one.
const USUAL: &str = "DATABASE_URL";

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct InitArgs {
    /// What to print instead of writing first policies
    #[command(subcommand)]
    pub print: Option<InitPrint>,
    /// The database, or '${NAME}' of the variable that holds its URL [default: DATABASE_URL, then PGHOST, PGDATABASE ...]
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Where backups go: s3://bucket/prefix or file:///absolute/dir
    #[arg(long, value_name = "URL", value_parser = store)]
    pub store: Option<StoreUrl>,
    /// An age public key that backups are encrypted to; repeatable
    #[arg(long, value_name = "AGE-KEY")]
    pub recipient: Vec<String>,
    /// The folder for the policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    pub out: PathBuf,
    /// Write no GitHub workflows
    #[arg(long)]
    pub no_workflows: bool,
}

fn store(text: &str) -> Result<StoreUrl, String> {
    StoreUrl::try_from(text.to_owned()).map_err(|_| "write s3://bucket/prefix or file:///absolute/dir".to_owned())
}

/// Looks, writes, and says what is next.
///
/// # Errors
/// Where no database is named (exit 64), it cannot be read, or a file is there already (exit 1).
pub fn run(context: &mut Context, args: &InitArgs) -> Result<Exit, CliError> {
    if let Some(print) = &args.print {
        return grants::run(context, print);
    }
    let (connection, variable) = database(context, args.url.as_deref())?;
    let looking = async move { server::inspect(&connection.options(), LIMIT).await };
    let found = context.block_on_reading(looking)?.map_err(|error| CliError::of(&error, Exit::Failed))?;
    let wishes = Wishes {
        url_variable: variable,
        store: args.store.clone(),
        recipients: args.recipient.clone(),
        folder: args.out.display().to_string().trim_start_matches("./").trim_end_matches('/').to_owned(),
        workflows: !args.no_workflows,
    };
    let starter = starter::starter(&found, &wishes);
    // Before a file is written: a wrong recipient is the caller's mistake, not a file to mend.
    let files = policy_files(args, &starter);
    let judged = wiring::judge(&files, context.instant());
    let findings = &judged.findings;
    context.ui.findings(findings, &judged.suppressed, &policies::sources(&files));
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(CliError::InvalidPolicies { summary: findings_summary(findings) });
    }
    let written = starter.policies.iter().map(|(name, text)| (args.out.join(name), text.clone()));
    let workflows = starter.workflows.iter().map(|(name, text)| (PathBuf::from(name), text.clone()));
    let all: Vec<(PathBuf, String)> = written.chain(workflows).collect();
    write_new(context, &all)?;
    report(context, args, &found, &starter, &all, &wishes);
    Ok(Exit::Success)
}

/// Returns how the database is reached, and the variable that policies name for it.
fn database(context: &Context, url: Option<&str>) -> Result<(Connection, String), CliError> {
    let parse = |text: &str| Connection::parse(text).map_err(|error| CliError::of(&error, Exit::Usage));
    if let Some(url) = url {
        let Some(name) = url.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
            return Ok((parse(url)?, USUAL.to_owned()));
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let named = !name.is_empty() && name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
        if !named {
            return Err(CliError::usage("--url names no variable", "write --url '${NAME}' with letters, digits and _"));
        }
        let value = context.env(name).ok_or_else(|| CliError::Setting {
            words: format!("the environment variable {name} is not set"),
            help: "set it to the database's URL".to_owned(),
        })?;
        return Ok((parse(&value)?, name.to_owned()));
    }
    if let Some(value) = context.env(USUAL) {
        return Ok((parse(&value)?, USUAL.to_owned()));
    }
    if context.env("PGHOST").is_none() && context.env("PGDATABASE").is_none() {
        return Err(CliError::NoDatabase);
    }
    let keys = [
        ("host", "PGHOST"),
        ("port", "PGPORT"),
        ("user", "PGUSER"),
        ("dbname", "PGDATABASE"),
        ("password", "PGPASSWORD"),
        ("sslmode", "PGSSLMODE"),
        ("sslrootcert", "PGSSLROOTCERT"),
        ("sslcert", "PGSSLCERT"),
        ("sslkey", "PGSSLKEY"),
    ];
    let set = keys.iter().filter_map(|(key, variable)| Some((key, context.env(variable)?)));
    let quoted = |value: String| value.replace('\\', "\\\\").replace('\'', "\\'");
    let words: Vec<String> = set.map(|(key, value)| format!("{key}='{}'", quoted(value))).collect();
    Ok((parse(&words.join(" "))?, USUAL.to_owned()))
}

fn policy_files(args: &InitArgs, starter: &Starter) -> Vec<SourceFile> {
    let files = starter.policies.iter().filter(|(name, _)| name.ends_with(".yaml"));
    files
        .map(|(name, text)| SourceFile {
            name: args.out.join(name).display().to_string(),
            bytes: text.clone().into_bytes(),
        })
        .collect()
}

fn report(
    context: &Context,
    args: &InitArgs,
    found: &Inspection,
    starter: &Starter,
    all: &[(PathBuf, String)],
    wishes: &Wishes,
) {
    let ui = &context.ui;
    let paths: Vec<String> = all.iter().map(|(path, _)| path.display().to_string()).collect();
    if ui.is_json() {
        let json = serde_json::json!({ "format_version": "1.0", "database": found.datname, "files": paths });
        return ui.print(&format!("{json:#}\n"));
    }
    let name = ui.style.name(&found.datname);
    let mut text = format!("Looked at {name}: PostgreSQL {}, {}. Wrote\n", found.version_num / 10_000, found.size);
    for path in &paths {
        text.push_str(&format!("  {path}\n"));
    }
    let mut steps = vec![
        format!(
            "export {}=... and BKUP_CATALOG_URL=...: the URLs of the database and of the catalog",
            wishes.url_variable
        ),
        "read the files: what to decide is said in comments".to_owned(),
    ];
    if args.recipient.is_empty() {
        steps.push("bkup key generate --out KEY-FILE, and put the recipient it prints into stores.yaml".to_owned());
    }
    steps.push(format!("bkup validate -p {}", wishes.folder));
    steps.push(format!("bkup plan -p {0}, then bkup apply -p {0}", wishes.folder));
    if let Some(plan) = starter.plans.first() {
        steps.push(format!("bkup drill {plan} -p {}, when there is a backup", wishes.folder));
    }
    text.push_str("Next\n");
    for (index, step) in steps.iter().enumerate() {
        text.push_str(&format!("  {}. {step}\n", index + 1));
    }
    ui.print(&text);
}
