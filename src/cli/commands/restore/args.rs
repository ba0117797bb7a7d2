//! The arguments of `bkup restore`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::domain::{Name, Period, RestoreInto, RestorePlan, Scope};
use crate::engine::rows::RowsInto;

/// Arguments of `restore`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").args(["backup", "latest", "stop", "undo", "forget"]))]
pub struct RestoreArgs {
    /// The backup, as `bkup list` shows it, where the beginning of its id will do; or the file of a saved restore plan,
    /// which is the approval, and is carried out exactly
    #[arg(value_name = "BACKUP|PLAN")]
    pub backup: Option<String>,
    /// The newest one that can be restored; the default where none is named
    #[arg(long)]
    pub latest: bool,
    /// Of this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<Name>,
    /// Of this tenant, by slug
    #[arg(long, value_name = "SLUG")]
    pub tenant: Option<String>,
    /// Of this scope: database, configuration, files=SCHEDULE
    #[arg(long, value_name = "SCOPE", conflicts_with = "tenant")]
    pub scope: Option<Scope>,
    /// From this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<Name>,
    /// Where to: scratch, new:NAME, live or folder:DIR
    #[arg(long, value_name = "WHERE", default_value = "scratch", value_parser = into)]
    pub into: RestoreInto,
    /// Write what would be done into this file, and do nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stop", "undo", "forget", "keep"])]
    pub plan: Option<PathBuf>,
    /// Of this table, `schema.table`, alone: compare or change its live rows
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Insert the rows that the table lacks; those that differ are kept, or set back with `update`
    #[arg(long, value_name = "keep|update", num_args = 0..=1, default_missing_value = "keep", requires = "table",
          value_parser = ["keep", "update"], conflicts_with = "replace")]
    pub merge: Option<String>,
    /// Let the table hold what the backup holds, and nothing else
    #[arg(long, requires = "table")]
    pub replace: bool,
    /// Leave the scratch server running, and say how to reach and stop it
    #[arg(long)]
    pub keep: bool,
    /// Run this SQL in the copy once it is loaded, for anonymised copies
    #[arg(long, value_name = "FILE.sql")]
    pub sanitize: Option<PathBuf>,
    /// Do not ask before writing to a live database
    #[arg(long)]
    pub auto_approve: bool,
    /// How long to try for the locks of a swap; each attempt takes less than a second
    #[arg(long, value_name = "DURATION", default_value = "1m", hide_short_help = true)]
    pub lock_timeout: Period,
    /// Swap although rows of other schemas would refer to rows that are not in the backup
    #[arg(long, hide_short_help = true)]
    pub keep_orphans: bool,
    /// Swap a database although there are sessions in it, and end them
    #[arg(long, hide_short_help = true)]
    pub end_sessions: bool,
    /// Swap back what a restore into live has put aside: the newest one, or the one with this id
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "",
          conflicts_with_all = ["tenant", "scope", "store", "into", "keep"])]
    pub undo: Option<String>,
    /// Remove what a restore into live has put aside
    #[arg(long, value_name = "ID", conflicts_with_all = ["tenant", "scope", "store", "into", "keep"])]
    pub forget: Option<String>,
    /// Stop a scratch server that --keep left running, and remove its folder
    #[arg(long, value_name = "FOLDER", hide_short_help = true, conflicts_with_all = ["database", "tenant", "scope", "store", "into", "keep"])]
    pub stop: Option<PathBuf>,
}

impl RestoreArgs {
    /// Returns whether it is said which backup is wanted, or what it is of.
    pub(super) const fn says_what(&self) -> bool {
        let of = self.database.is_some() || self.tenant.is_some() || self.scope.is_some() || self.table.is_some();
        self.backup.is_some() || self.latest || of
    }

    /// Returns how a table's rows get in; `None`: they are only compared.
    pub(super) fn rows(&self) -> Option<RowsInto> {
        match self.merge.as_deref() {
            Some("update") => Some(RowsInto::Update),
            Some(_) => Some(RowsInto::Merge),
            None => self.replace.then_some(RowsInto::Replace),
        }
    }

    /// Returns the arguments that carry out a plan: what it says, and how long these here wait.
    pub(super) fn of_plan(&self, plan: &RestorePlan, target: RestoreInto, store: Name) -> Self {
        Self {
            backup: Some(plan.backup.clone()),
            latest: false,
            database: None,
            tenant: None,
            scope: None,
            store: Some(store),
            into: target,
            plan: None,
            table: plan.table.clone(),
            merge: match plan.rows.as_deref() {
                Some("merge") => Some("keep".to_owned()),
                Some("update") => Some("update".to_owned()),
                _ => None,
            },
            replace: plan.rows.as_deref() == Some("replace"),
            sanitize: self.sanitize.clone(),
            auto_approve: true,
            keep_orphans: plan.keep_orphans,
            end_sessions: plan.end_sessions,
            undo: None,
            forget: None,
            stop: None,
            ..self.clone()
        }
    }
}

impl Default for RestoreArgs {
    fn default() -> Self {
        Self {
            backup: None,
            latest: false,
            database: None,
            tenant: None,
            scope: None,
            store: None,
            into: RestoreInto::Scratch,
            plan: None,
            table: None,
            merge: None,
            replace: false,
            keep: false,
            sanitize: None,
            auto_approve: false,
            lock_timeout: Period::minutes(1),
            keep_orphans: false,
            end_sessions: false,
            undo: None,
            forget: None,
            stop: None,
        }
    }
}

pub(super) fn into(text: &str) -> Result<RestoreInto, String> {
    match text.split_once(':') {
        None if text == "scratch" => Ok(RestoreInto::Scratch),
        None if text == "live" => Ok(RestoreInto::Live),
        Some(("new", name)) if !name.is_empty() && name.len() <= 63 => Ok(RestoreInto::New(name.to_owned())),
        Some(("new", name)) if !name.is_empty() => Err("a database's name has at most 63 bytes".to_owned()),
        Some(("folder", dir)) if !dir.is_empty() => Ok(RestoreInto::Folder(dir.to_owned())),
        _ => Err("write scratch, new:NAME, live or folder:DIR".to_owned()),
    }
}
