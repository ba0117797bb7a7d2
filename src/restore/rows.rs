//! One table brought back into a live one: its rows from the proven scratch copy into a staging table, compared there, then
//! merged or put in the place of what is there.

use super::failure::RestoreError;
use super::job::{Job, Proven};
use super::swap::SwapError;
use crate::domain::TableDigest;
use crate::engine::compare::digests;
use crate::engine::restore::run_statement;
use crate::engine::rows::{
    LiveTable, RowsChanged, RowsDiffer, RowsInto, Staged, live_table, rows_differ, rows_into, stage,
};
use crate::engine::sql::{quote_ident, quote_literal, quote_qualified};
use crate::engine::swap::{self, Keeper, Mark, Patience, beside};
use crate::engine::{Connection, RowKey, compare};

/// A table's rows, in a staging table beside the live one.
pub struct StagedRows {
    live: LiveTable,
    columns: Vec<String>,
    staging: String,
    keeper: Keeper,
    /// How they differ from what is there.
    pub differ: RowsDiffer,
}

impl StagedRows {
    fn staged(&self) -> Staged<'_> {
        Staged { live: &self.live, staging: &self.staging, columns: &self.columns }
    }
}

const fn word(how: Option<RowsInto>) -> &'static str {
    match how {
        None => "compared",
        Some(RowsInto::Replace) => "replaced",
        Some(RowsInto::Merge | RowsInto::Update) => "merged",
    }
}

impl Job {
    /// Copies a table's rows out of the proven copy into a staging table, and compares them with those in use. What was
    /// staged stays until [`Job::bring_in`] or [`Job::unstage`].
    ///
    /// # Errors
    /// [`SwapError::Table`], where the rows cannot be put in as asked.
    pub async fn stage_table(
        &self,
        proven: &Proven,
        live: &Connection,
        (schema, table): (&str, &str),
        how: Option<RowsInto>,
        (id, at): (&str, &str),
        patience: &Patience,
    ) -> Result<StagedRows, RestoreError> {
        self.refuse_sanitized()?;
        let name = quote_qualified(schema, table);
        let refused = |why: &str, help: &str| {
            let (why, help) = (why.to_owned(), help.to_owned());
            RestoreError::from(SwapError::Table { table: name.clone(), how: word(how), why, help })
        };
        let Some(there) = live_table(live, schema, table).await? else {
            return Err(refused("it is not in the live database", "create it, or restore the tenant or the database"));
        };
        let Some(backed_up) = live_table(&proven.target, schema, table).await? else {
            return Err(refused("it is not in the backup", "`bkup list` shows what there is; look at another backup"));
        };
        let columns = backed_up.columns.clone();
        let lacking: Vec<String> =
            columns.iter().filter(|c| !there.columns.contains(c)).map(|c| quote_ident(c)).collect();
        if !lacking.is_empty() {
            let why = format!("it has no column {} any more", lacking.join(", "));
            return Err(refused(&why, "add the columns, or restore --into new:NAME and copy what is needed"));
        }
        if there.key.is_empty() && matches!(how, Some(RowsInto::Merge | RowsInto::Update)) {
            return Err(refused("it has no key to tell rows by", "use --replace, or give it a primary key"));
        }
        if there.key.iter().any(|column| !columns.contains(column)) {
            return Err(refused(
                "its key has columns that the backup lacks",
                "restore --into new:NAME, and copy what is needed",
            ));
        }
        let keeper = self.keep(live, id).await?;
        let staging = beside("bkup_staging", "new", id);
        let mut rows = StagedRows { live: there, columns, staging, keeper, differ: RowsDiffer::default() };
        let filled = self.unless_stopped(self.fill_staging(proven, live, &rows, backed_up.partitioned, (id, at))).await;
        match filled {
            Ok(differ) if how == Some(RowsInto::Replace) && differ.extra > 0 && !rows.live.cascades.is_empty() => {
                let others = rows.live.cascades.join(", ");
                let why =
                    format!("{} rows would be deleted, and rows of {others} with them or changed by it", differ.extra);
                self.unstage(live, rows, patience).await?;
                Err(refused(&why, "use --merge update, or take these rows out yourself first"))
            }
            Ok(differ) => {
                rows.differ = differ;
                Ok(rows)
            }
            Err(error) => {
                let _ = self.unstage(live, rows, patience).await;
                Err(error)
            }
        }
    }

    async fn fill_staging(
        &self,
        proven: &Proven,
        live: &Connection,
        rows: &StagedRows,
        partitioned: bool,
        (id, at): (&str, &str),
    ) -> Result<RowsDiffer, RestoreError> {
        let name = quote_qualified(&rows.live.schema, &rows.live.table);
        let mark = Mark::loading(id, &name, &self.wanted()?.origin.manifest.backup_id, at);
        let schema = quote_ident(&rows.staging);
        // One message is one transaction: there is no moment in which it is not marked.
        let make = format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS {}", quote_literal(&mark.text()));
        (self.tell)(format!("copying the rows of {} beside it", mark.name));
        run_statement(live, "making a staging schema", make).await?;
        stage(&proven.target, live, &rows.staged()).await?;
        // The rows of a partitioned table lie in its partitions.
        if !partitioned {
            let (schema, table) = (rows.live.schema.clone(), rows.live.table.clone());
            let columns = rows.columns.clone();
            let of = TableDigest { schema, table, columns, rows: 0, bytes: 0, digest: String::new() };
            let mut digested = digests(&proven.target, &[of], &RowKey::none()).await?;
            digested.iter_mut().for_each(|table| table.schema.clone_from(&rows.staging));
            if !compare(live, &digested, &[], &RowKey::none()).await?.is_equal() {
                let backup = self.wanted()?.origin.manifest.backup_id.clone();
                let what = format!("{}, whose columns have other types by now", mark.name);
                return Err(RestoreError::NotEqual { backup, what });
            }
        }
        Ok(rows_differ(live, &rows.staged()).await?)
    }

    /// Brings staged rows in, in one transaction, and removes the staging table.
    ///
    /// # Errors
    /// Where a constraint does not hold; nothing was changed then.
    pub async fn bring_in(
        &self,
        live: &Connection,
        rows: StagedRows,
        how: RowsInto,
        patience: &Patience,
    ) -> Result<RowsChanged, RestoreError> {
        let changed = rows_into(live, &rows.staged(), how, patience).await;
        let removed = self.unstage(live, rows, patience).await;
        let changed = changed?;
        if let Err(error) = removed {
            // The rows are in. What is left is marked, and the next restore removes it.
            (self.tell)(format!("the staging table is left, until the next restore into live: {error}"));
        }
        Ok(changed)
    }

    /// Removes a staging table.
    ///
    /// # Errors
    /// When the database cannot be asked; the next restore removes it then.
    pub async fn unstage(&self, live: &Connection, rows: StagedRows, patience: &Patience) -> Result<(), RestoreError> {
        swap::drop_schema(live, &rows.staging, patience).await?;
        rows.keeper.end().await;
        Ok(())
    }
}
