//! The command line as data. What the options mean is decided in the commands; nothing here reads the environment.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::commands;

/// PostgreSQL backup and disaster recovery from policies in git.
#[derive(Debug, Parser)]
#[command(name = "bkup", version = super::version::SHORT, long_version = super::version::long(), max_term_width = 100)]
#[command(disable_help_subcommand = true, after_long_help = super::exit::table())]
#[command(about = "PostgreSQL backup and disaster recovery from policies in git")]
#[command(
    long_about = "PostgreSQL backup and disaster recovery from policies in git: validate what they promise, plan the \
    difference to the world, apply it, and prove by drills that it comes back."
)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Policy file or folder; repeatable [default: BKUP_POLICIES, ./policies, ./bkup.yaml]
    #[arg(short, long, global = true, value_name = "PATH")]
    pub policies: Vec<PathBuf>,
    /// How results are printed; not every command has all of them
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
    /// When to colour; NO_COLOR, FORCE_COLOR and CLICOLOR_FORCE count too
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub color: Colour,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines are printed; BKUP_LOG filters them
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Folder of PostgreSQL's programs; repeatable [default: BKUP_PG_BIN, then the usual places]
    #[arg(long, global = true, value_name = "DIR")]
    pub pg_bin: Vec<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[value(help = None::<&str>)]
    Text,
    /// For programs.
    #[value(help = None::<&str>)]
    Json,
    /// Findings for code scanning, SARIF 2.1.0.
    #[value(help = None::<&str>)]
    Sarif,
    /// Findings as annotations of GitHub's workflows.
    #[value(help = None::<&str>)]
    Github,
    /// For a pull request's comment.
    #[value(help = None::<&str>)]
    Markdown,
}

impl Format {
    /// Returns the word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Sarif => "sarif",
            Self::Github => "github",
            Self::Markdown => "markdown",
        }
    }
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal that can.
    #[value(help = None::<&str>)]
    Auto,
    /// Always.
    #[value(help = None::<&str>)]
    Always,
    /// Never.
    #[value(help = None::<&str>)]
    Never,
}

/// How log lines are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[value(help = None::<&str>)]
    Text,
    /// One JSON object a line.
    #[value(help = None::<&str>)]
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the policies, offline
    Validate(commands::validate::ValidateArgs),
    /// Run the tests beside the policies, offline
    Test(commands::test::TestArgs),
    /// Say what a code or a thing of the policies means, offline, or what keeps a backup
    Explain(commands::explain::ExplainArgs),
    /// Write the first policies for a live database, and workflows
    Init(commands::init::InitArgs),
    /// Write policies from a crontab, CronJobs, YAML fragments or a catalog
    Import(commands::import::ImportArgs),
    /// Format policy files, comments kept
    Fmt(commands::fmt::FmtArgs),
    /// Print the JSON Schema of policy files, or of their tests
    Schema(commands::schema::SchemaArgs),
    /// Show what an apply would do; changes nothing
    Plan(commands::plan::PlanArgs),
    /// Show how the world differs from what bkup knows; changes nothing
    Drift(commands::drift::DriftArgs),
    /// Do what the policies ask for
    Apply(commands::apply::ApplyArgs),
    /// Take over backups that other scripts left in a bucket or folder
    Adopt(commands::adopt::AdoptArgs),
    /// Show every class and tenant against its objectives
    Status(commands::status::StatusArgs),
    /// List backups
    List(commands::list::ListArgs),
    /// Show what runs did, or what happened to a backup
    Logs(commands::logs::LogsArgs),
    /// Stop a backup that is being taken, or a run
    Cancel(commands::cancel::CancelArgs),
    /// List backups of what is gone from the policies, and of tenants that are gone, and what would release them
    Orphans(commands::orphans::OrphansArgs),
    /// Bring a tombstoned backup back, and keep it for a while
    Undelete(commands::undelete::UndeleteArgs),
    /// Destroy every backup of one tenant for good, its keys first
    Erase(commands::erase::EraseArgs),
    /// Bring a database or a tenant back
    Restore(commands::restore::RestoreArgs),
    /// Take a backup now, of a schedule or of what is named
    Backup(commands::backup::BackupArgs),
    /// Run a recovery plan's drill now
    Drill(commands::drill::DrillArgs),
    /// Look ahead: what the policies keep, cost and guarantee, and what a change loses
    Simulate(commands::simulate::SimulateArgs),
    /// Show a saved plan, also a stale or applied one
    Show(commands::show::ShowArgs),
    /// Print the policies as CronJobs, workflows or timers
    Export(commands::export::ExportArgs),
    /// Make a lost catalog again from the stores, or migrate it
    Catalog(commands::catalog::CatalogArgs),
    /// Prove the audit log
    Audit(commands::audit::AuditArgs),
    /// Make keys, and destroy those of a tenant
    Key(commands::key::KeyArgs),
    /// See the whole promise on this machine, with a server of its own
    Demo(commands::demo::DemoArgs),
    /// Print a completion script
    Completions(commands::completions::CompletionsArgs),
    /// Write man pages
    Man(commands::man::ManArgs),
}

impl Command {
    /// Returns whether a workflow's step learns how the command ended: those that a workflow decides by.
    #[must_use]
    pub const fn tells_how_it_ended(&self) -> bool {
        matches!(
            self,
            Self::Validate(_)
                | Self::Test(_)
                | Self::Plan(_)
                | Self::Apply(_)
                | Self::Status(_)
                | Self::Restore(_)
                | Self::Backup(_)
                | Self::Drill(_)
                | Self::Simulate(_)
        )
    }
}
