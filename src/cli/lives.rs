//! What `explain BACKUP`, `orphans` and `undelete` look at: the policies, the world, and the plan they make together.

use super::context::Context;
use super::exit::Exit;
use super::failure::CliError;
use super::session::{Facts, Session, Wish};
use super::survey::Survey;
use crate::catalog::{ErasureRow, Reader};
use crate::diag::{Code, Diagnostic};
use crate::domain::{Backup, BackupId, CatalogFacts, CatalogState, Instant, Observation, Plan};
use crate::plan::{Lives, Request, after_renames};

/// How many ids a help line names.
const MOST_NAMED: usize = 5;

/// Policies and world, planned over as a whole.
pub struct Looked {
    /// The session.
    pub session: Session,
    survey: Survey,
    request: Request,
    facts: CatalogFacts,
    plan: Plan,
}

impl Looked {
    /// Looks, and plans.
    ///
    /// # Errors
    /// Where the policies are invalid, or the catalog cannot be read.
    pub fn at(context: &mut Context) -> Result<Self, CliError> {
        let session = Session::open(context)?;
        let facts = Facts::of(context);
        let survey = context.block_on_reading(session.survey(&facts, false))??;
        let wish = Wish { with_kept: true, ..Wish::default() };
        let plan = session.plan(&survey, &wish)?;
        let request = session.request(&survey, &wish);
        let facts = match &survey.observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => after_renames(&survey.desired, facts, &request),
            Observation::Known(CatalogState::Absent) => {
                return Err(no_backup(
                    "there is no catalog yet, and so no backup",
                    "`bkup plan` shows what an apply would do",
                ));
            }
            Observation::Unreachable(why) => {
                return Err(CliError::Setting {
                    words: format!("the catalog could not be read: {why}"),
                    help: "what keeps a backup stands there; `bkup restore --store` needs no catalog".to_owned(),
                });
            }
        };
        Ok(Self { session, survey, request, facts, plan })
    }

    /// Returns the instant of the look.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.survey.now
    }

    /// Returns whether that instant is of a simulated clock.
    #[must_use]
    pub const fn simulated(&self) -> bool {
        self.survey.simulated
    }

    /// Returns what can be asked about backups.
    #[must_use]
    pub fn lives(&self) -> Lives<'_> {
        Lives::new(&self.survey.desired, &self.survey.observed, &self.facts, &self.request, &self.plan)
    }

    /// Finds a backup by its id, or by the begin of it.
    ///
    /// # Errors
    /// Where there is none, more than one, or where it is purged.
    pub fn find(&self, context: &mut Context, wanted: &str) -> Result<&Backup, CliError> {
        let like: Vec<&Backup> = self.facts.backups.iter().filter(|b| b.id.as_str().starts_with(wanted)).collect();
        match (like.iter().find(|b| b.id.as_str() == wanted), like.as_slice()) {
            (Some(backup), _) | (None, [backup]) => Ok(backup),
            (None, []) => Err(self.missing(context, wanted)),
            (None, many) => {
                let named: Vec<&str> = many.iter().take(MOST_NAMED).map(|b| b.id.as_str()).collect();
                let more = many.len().saturating_sub(MOST_NAMED);
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                Err(no_backup(
                    format!("{} backups begin with {wanted}", many.len()),
                    format!("give more of the id: {}{more}", named.join(", ")),
                ))
            }
        }
    }

    fn missing(&self, context: &mut Context, wanted: &str) -> CliError {
        if let Ok(Some((id, row))) = self.erased(context, wanted) {
            return erased(&id, &row);
        }
        match self.purged(context, wanted) {
            Ok(Some((id, at))) => no_backup(
                format!("backup {id} was purged at {}: its objects are gone", at.strftime("%Y-%m-%d %H:%M UTC")),
                "nothing brings it back; `bkup list` shows what there is",
            ),
            Ok(None) => no_backup(
                format!("the catalog has no backup whose id begins with {wanted}"),
                "`bkup list --all` shows every id, also tombstoned ones",
            ),
            Err(error) => error,
        }
    }

    fn erased(&self, context: &mut Context, wanted: &str) -> Result<Option<(BackupId, ErasureRow)>, CliError> {
        let options = self.session.catalog()?.options();
        let asked = context.block_on_reading(async { Reader::with(options).erasure_that_took(wanted).await })?;
        asked.map_err(|error| CliError::of(&error, Exit::Failed))
    }

    fn purged(&self, context: &mut Context, wanted: &str) -> Result<Option<(BackupId, Instant)>, CliError> {
        let options = self.session.catalog()?.options();
        let asked = context.block_on_reading(async { Reader::with(options).purged(wanted).await })?;
        asked.map_err(|error| CliError::of(&error, Exit::Failed))
    }
}

/// Makes the error of a backup that was erased with its tenant.
#[must_use]
pub fn erased(backup: &BackupId, row: &ErasureRow) -> CliError {
    let words = format!(
        "backup {backup} was erased with its tenant {:?} at {}, as {} asked: its keys are destroyed",
        row.slug,
        row.begun_at.strftime("%Y-%m-%d %H:%M UTC"),
        row.by
    );
    erased_as(words)
}

/// Makes the error of a tenant that was erased.
#[must_use]
pub fn tenant_erased(row: &ErasureRow) -> CliError {
    let words = format!(
        "tenant {:?} of {} was erased at {}, as {} asked: the keys of its backups are destroyed",
        row.slug,
        row.database,
        row.begun_at.strftime("%Y-%m-%d %H:%M UTC"),
        row.by
    );
    erased_as(words)
}

fn erased_as(words: String) -> CliError {
    let help = "nothing brings it back, and that was meant; `bkup erase tenant SLUG` shows what else held its data";
    let finding = Diagnostic::error(Code("BK946"), words).help(help);
    CliError::Failed { finding: Box::new(finding), exit: Exit::Failed }
}

fn no_backup(words: impl Into<String>, help: impl Into<String>) -> CliError {
    CliError::NoBackup { words: words.into(), help: help.into() }
}
