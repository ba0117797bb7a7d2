//! Why a command fails, its exit code, and what to do about it. Rendered once, in `cli::run`.

use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::Meant;
use crate::render::PlanFormatError;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments or the environment do not make sense.
    #[error("{words}")]
    Usage {
        /// What does not.
        words: String,
        /// What would.
        help: String,
    },
    /// There are no policies.
    #[error("no policies found: {looked}")]
    NoPolicies {
        /// Where they were looked for.
        looked: String,
    },
    /// The policies have errors; the findings were shown.
    #[error("the policies are invalid: {summary}")]
    InvalidPolicies {
        /// How many findings of which kind.
        summary: String,
    },
    /// There are no tests.
    #[error("no tests found: {looked}")]
    NoTests {
        /// Where they were looked for.
        looked: String,
        /// Where there would be some.
        help: &'static str,
    },
    /// The test files have errors; the findings were shown.
    #[error("the test files are invalid: {summary}")]
    InvalidTests {
        /// How many findings of which kind.
        summary: String,
    },
    /// A setting is missing or of no use.
    #[error("{words}")]
    Setting {
        /// Which, and why.
        words: String,
        /// What would do.
        help: String,
    },
    /// A policy file or folder is there and cannot be read.
    #[error("cannot read policies from {path}: {why}")]
    PolicyUnreadable {
        /// Which.
        path: String,
        /// Why not.
        why: String,
    },
    /// The policies are larger than anybody's.
    #[error("the policies are too large: {words}")]
    PoliciesTooLarge {
        /// What, and the limit.
        words: String,
    },
    /// A file that was named cannot be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why not.
        why: String,
    },
    /// A plan's text is no plan for this version.
    #[error("cannot use the plan {path}")]
    Plan {
        /// Which file.
        path: String,
        /// Why not.
        source: PlanFormatError,
    },
    /// A plan's digest is not that of its content.
    #[error("the plan {path} was altered after it was made: its digest does not agree with its content")]
    PlanAltered {
        /// Which file.
        path: String,
    },
    /// A saved plan is too old to be its own approval.
    #[error("the plan is {age} old; --max-age is {limit}")]
    TooOld {
        /// Its age.
        age: String,
        /// The limit.
        limit: String,
    },
    /// An approval is needed and nobody can be asked.
    #[error("approval is needed, and there is no terminal to ask at")]
    NoTerminal,
    /// Someone was asked and did not say yes.
    #[error("not approved; nothing was changed")]
    Declined,
    /// A file would be overwritten.
    #[error("{path} exists; it is never overwritten")]
    Exists {
        /// Which.
        path: String,
    },
    /// Files would be overwritten.
    #[error("{} would be overwritten: {}", if paths.len() == 1 { "a file" } else { "files" }, paths.join(", "))]
    WouldOverwrite {
        /// Which.
        paths: Vec<String>,
    },
    /// Nothing of what was read can be imported.
    #[error("nothing can be imported: {left} {} looked at", if *left == 1 { "thing was" } else { "things were" })]
    NothingToImport {
        /// How many things were left.
        left: usize,
    },
    /// A file that was named is no text that can be read.
    #[error("cannot read {path}: {why}")]
    NotText {
        /// Which.
        path: String,
        /// Why not.
        why: String,
    },
    /// No database was named.
    #[error("no database is named: there is neither --url, nor DATABASE_URL, nor PGHOST or PGDATABASE")]
    NoDatabase,
    /// Something cannot be written.
    #[error("cannot write {path}: {why}")]
    Unwritable {
        /// What.
        path: String,
        /// Why not.
        why: String,
    },
    /// The asynchronous runtime or the signal handlers cannot be set up.
    #[error("cannot start: {0}")]
    NoRuntime(String),
    /// A signal came while something was only being read.
    #[error("interrupted; nothing was changed")]
    Interrupted(Exit),
    /// The demo cannot go on.
    #[error("{words}")]
    Story {
        /// Where it ended.
        words: String,
    },
    /// What `explain` was given is nothing that it knows.
    #[error("{words}")]
    Unexplained {
        /// Which kind of argument it was.
        code: &'static str,
        /// What was given, and why it is none.
        words: String,
        /// What there is instead.
        help: String,
    },
    /// A backup was named, and there is none or more than one.
    #[error("{words}")]
    NoBackup {
        /// What was named.
        words: String,
        /// What there is instead.
        help: String,
    },
    /// A backup cannot be brought back.
    #[error("backup {backup} cannot be brought back: {words}")]
    NotUndeleted {
        /// Which.
        backup: String,
        /// Why not.
        words: String,
        /// What can be done.
        help: &'static str,
    },
    /// A thing is written and cannot be made of what is written.
    #[error("{address} cannot be explained: the policies have {summary}")]
    NotWhole {
        /// Which.
        address: String,
        /// How many findings of which kind.
        summary: String,
    },
    /// A backup was asked for, and every part of it is held.
    #[error("no backup was taken of schedule.{schedule}, which is held: {words}")]
    Held {
        /// Whose backup.
        schedule: String,
        /// Why, each reason once.
        words: String,
    },
    /// A backup was asked for by what it is of, and some of it is not there.
    #[error("not everything that was asked for was backed up: {words}")]
    NotTaken {
        /// Why, each reason once.
        words: String,
    },
    /// An id means nothing, or more than one thing.
    #[error("{words}")]
    UnknownId {
        /// What was given, and why it is none.
        words: String,
        /// What there is instead.
        help: String,
    },
    /// There is nothing to cancel.
    #[error("there is nothing to cancel: {what} {state}")]
    NotRunning {
        /// What was meant.
        what: String,
        /// How it stands.
        state: String,
    },
    /// No run is known anywhere.
    #[error("there is no catalog, and no store at hand holds a report of a run")]
    NoRuns,
    /// A plan's changes are not those that were approved.
    #[error("the changes are not those that were approved: {expected} was expected, and the plan has {found}")]
    OtherChanges {
        /// The digest that was given.
        expected: String,
        /// The plan's.
        found: String,
        /// What is different, and what to do.
        help: String,
    },
    /// bkup itself has a fault.
    #[error("the command broke off at a fault of bkup's own: {0}")]
    Fault(String),
    /// This build does not do it.
    #[error("`bkup {0}` is not served by this version yet")]
    NotServed(&'static str),
    /// Another module failed.
    #[error("{}", finding.message)]
    Failed {
        /// What it said.
        finding: Box<Diagnostic>,
        /// How bkup ends.
        exit: Exit,
    },
}

impl CliError {
    /// Takes over another module's error, with the exit code it means here.
    #[must_use]
    pub fn of(error: &dyn Explain, exit: Exit) -> Self {
        Self::Failed { finding: Box::new(error.explain()), exit }
    }

    /// Makes the error of an id, or the begin of one, that stands for nothing, or for more than one thing.
    pub(super) fn unknown_id(id: &str, meant: &[Meant]) -> Self {
        let name = |meant: &Meant| match meant {
            Meant::Run(id) => format!("run {id}"),
            Meant::Backup(id) => format!("backup {id}"),
            Meant::Execution(id) => format!("execution {id}"),
        };
        if meant.is_empty() {
            let words = format!("nothing has an id that begins with {id:?}");
            let help = "`bkup logs` lists runs, `bkup list --all` lists backups".to_owned();
            return Self::UnknownId { words, help };
        }
        let more = if meant.len() > 6 { ", and more" } else { "" };
        let names: Vec<String> = meant.iter().take(6).map(name).collect();
        Self::UnknownId {
            words: format!("{id:?} begins more than one id"),
            help: format!("write more of it: {}{more}", names.join(", ")),
        }
    }

    /// Makes a usage error.
    pub(super) fn usage(words: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { words: words.into(), help: help.into() }
    }

    /// Makes the error of a write that failed.
    pub(super) fn unwritable(path: &std::path::Path, why: &std::io::Error) -> Self {
        Self::Unwritable { path: path.display().to_string(), why: reason(why) }
    }

    /// Returns the exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. } | Self::NoTerminal | Self::NoDatabase | Self::Unexplained { .. } => Exit::Usage,
            Self::InvalidPolicies { .. }
            | Self::NotWhole { .. }
            | Self::NoPolicies { .. }
            | Self::NoTests { .. }
            | Self::InvalidTests { .. }
            | Self::PolicyUnreadable { .. }
            | Self::PoliciesTooLarge { .. } => Exit::InvalidPolicies,
            Self::TooOld { .. } | Self::OtherChanges { .. } => Exit::Stale,
            Self::Failed { exit, .. } | Self::Interrupted(exit) => *exit,
            _ => Exit::Failed,
        }
    }
}

impl Explain for CliError {
    fn explain(&self) -> Diagnostic {
        let finding = |code, help: &str| Diagnostic::error(Code(code), self.to_string()).help(help);
        match self {
            Self::Usage { help, .. } => finding("BK890", help),
            Self::Unexplained { code, help, .. } => finding(code, help),
            Self::NoBackup { help, .. } => finding("BK905", help),
            Self::NotUndeleted { help, .. } => finding("BK906", help),
            Self::NotWhole { .. } => finding("BK974", "correct what `bkup validate` shows"),
            Self::Setting { help, .. } => finding("BK888", help),
            Self::NoPolicies { .. } => finding("BK891", "name a file or folder with --policies PATH or BKUP_POLICIES"),
            Self::InvalidPolicies { .. } => {
                finding("BK891", "correct what `bkup validate` shows; nothing was planned or changed")
            }
            Self::NoTests { help, .. } => finding("BK891", help),
            Self::InvalidTests { .. } => finding("BK891", "correct what is shown above; no test was run"),
            Self::PolicyUnreadable { .. } => {
                finding("BK892", "a file that is there must be readable: it could hold what keeps a backup")
            }
            Self::PoliciesTooLarge { .. } => finding("BK892", "name the policies themselves, not a folder above them"),
            Self::Plan { source, .. } => {
                let mut cause = source.explain();
                cause.message = format!("{self}: {}", cause.message);
                cause
            }
            Self::Unreadable { .. } => finding("BK893", "check the path and its permissions"),
            Self::PlanAltered { .. } => {
                finding("BK894", "make the plan anew with `bkup plan --out FILE`; a plan is not for editing")
            }
            Self::TooOld { .. } => finding("BK894", "make the plan anew, or allow its age with --max-age"),
            Self::NoTerminal => finding(
                "BK895",
                "review with `bkup plan --out plan.json`, then run `bkup apply plan.json`, or add --auto-approve",
            ),
            Self::Exists { .. } => finding("BK896", "choose another name, or move the file away yourself"),
            Self::WouldOverwrite { .. } => {
                finding("BK940", "nothing was written; move them away yourself, or choose another place with --out")
            }
            Self::NothingToImport { .. } => {
                finding("BK941", "the reasons are above; `bkup init` writes policies for a live database")
            }
            Self::NotText { .. } => finding("BK942", "name a text file"),
            Self::NoDatabase => finding(
                "BK943",
                "pass --url postgres://user@host/database, or --url '${NAME}' for a variable that holds it; only reading is done",
            ),
            Self::Unwritable { .. } => finding("BK897", "check that the folder exists, is writable and not full"),
            Self::Held { .. } => finding(
                "BK979",
                "do not rely on this backup: take one that can be made, and look at `bkup plan` for what else is held",
            ),
            Self::NotTaken { .. } => {
                finding("BK935", "do not rely on this backup, and do not begin what it was to be taken before")
            }
            Self::UnknownId { help, .. } => finding("BK911", help),
            Self::NoRuns => {
                finding("BK911", "`bkup apply` makes the catalog; every run that does something is kept there")
            }
            Self::NotRunning { .. } => finding("BK912", "`bkup logs` shows what runs are at"),
            Self::OtherChanges { help, .. } => finding("BK914", help),
            Self::Fault(_) => {
                finding("BK913", "what was done is recorded, and the next apply goes on from there; please report it")
            }
            Self::Declined => finding("BK898", "answer `yes` to approve"),
            Self::Story { .. } => Diagnostic::error(Code("BK889"), self.to_string()),
            Self::NotServed(_) | Self::NoRuntime(_) | Self::Interrupted(_) => {
                Diagnostic::error(Code("BK899"), self.to_string())
            }
            Self::Failed { finding, .. } => (**finding).clone(),
        }
    }
}

/// Returns why an input or output failed, in words without the operating system's number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split_once(" (os error").map_or(words.as_str(), |(head, _)| head).to_lowercase()
}
