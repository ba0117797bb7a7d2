//! The documents of the catalog in memory: what was applied, and how a change replaces it.

use bkup::catalog::{CatalogError, DocumentChange, as_recorded};
use bkup::domain::{Applied, Digest, DocumentOp, ScheduleSpec, Section, digest_of};

use super::ledger::{Answer, Tables};

impl Tables {
    /// Writes a change where the document still is what was expected; false: it was written before.
    pub(super) fn change_document(&mut self, change: &DocumentChange<'_>, expected: Option<Digest>) -> Answer<bool> {
        let there = self.applied.get(change.address).cloned();
        let archived = there.as_ref().is_some_and(|applied| applied.archived_at.is_some());
        let done = match change.body {
            Some(body) => there.as_ref().map(|applied| applied.digest) == Some(digest_of(body)) && !archived,
            None => archived,
        };
        if done {
            return Ok(false);
        }
        if there.as_ref().map(|applied| applied.digest) != expected {
            let reason = format!("{} was changed since the plan was made", change.address);
            return Err(CatalogError::Conflict { reason });
        }
        let at = as_recorded(change.at);
        match (change.op, change.body) {
            (DocumentOp::Archive, _) => match self.applied.get_mut(change.address) {
                Some(applied) => applied.archived_at = Some(applied.archived_at.unwrap_or(at)),
                None => return Err(CatalogError::Conflict { reason: format!("{} is not applied", change.address) }),
            },
            (_, Some(body)) => {
                let unfit = |error: serde_json::Error| CatalogError::Unfit { reason: error.to_string() };
                let retention = match change.address.section() {
                    Section::Schedule => {
                        Some(serde_json::from_value::<ScheduleSpec>(body.clone()).map_err(unfit)?.retention)
                    }
                    _ => None,
                };
                let since = there.filter(|_| !archived).map_or(at, |applied| applied.since);
                let applied =
                    Applied { body: body.clone(), digest: digest_of(body), since, archived_at: None, retention };
                self.applied.insert(change.address.clone(), applied);
            }
            (_, None) => return Err(CatalogError::Unfit { reason: "a document without a body".to_owned() }),
        }
        Ok(true)
    }
}
