//! Brings a tombstoned backup back: first the catalog, which decides, then the mark in the store, which is a hint for
//! a catalog that is ever rebuilt. A run that dies between the two is finished by running it again.

use bytes::Bytes;
use serde_json::json;

use super::runtime::Runtime;
use crate::catalog::{AuditEvent, MarkOutcome};
use crate::diag::{Diagnostic, Explain};
use crate::domain::{Backup, Instant, canonical_json};
use crate::store::layout::{self, MarkKind};
use crate::store::{self, StoreError};

/// What came of bringing a backup back.
#[derive(Debug)]
pub enum Undeleted {
    /// It is kept as was asked.
    Done {
        /// Whether it had been tombstoned.
        back: bool,
    },
    /// It cannot be brought back.
    Refused {
        /// Why.
        words: String,
        /// What can be done.
        help: &'static str,
    },
    /// Something failed on the way.
    Failed(Box<Diagnostic>),
}

/// Brings a backup back and keeps it until `until`; one that is not tombstoned is only kept.
pub async fn undelete(runtime: &Runtime, backup: &Backup, until: Option<Instant>) -> Undeleted {
    match perform(runtime, backup, until).await {
        Ok(undeleted) => undeleted,
        Err(finding) => Undeleted::Failed(finding),
    }
}

fn failed(error: &dyn Explain) -> Box<Diagnostic> {
    Box::new(error.explain())
}

async fn perform(runtime: &Runtime, backup: &Backup, until: Option<Instant>) -> Result<Undeleted, Box<Diagnostic>> {
    let refused = |words: String, help| Ok(Undeleted::Refused { words, help });
    let store = match runtime.store(&backup.store) {
        Ok(handle) => &handle.store,
        Err(reason) => {
            return refused(reason, "its store must be in the policies and reachable, to see that it is whole");
        }
    };
    // A backup whose manifest is gone is none: the catalog must not say that it is back.
    let key = layout::manifest(backup.key_database(), &backup.scope, &backup.id);
    match store::read_manifest(store.as_ref(), &key).await {
        Ok(_) => {}
        Err(StoreError::NotFound { .. }) => {
            return refused(
                format!("its manifest is gone from store.{}", backup.store),
                "its purge has begun, or somebody deleted it: restore another one (`bkup list`)",
            );
        }
        Err(error) => return Err(failed(&error)),
    }
    let (outcome, marks) = runtime.catalog.undelete(&backup.id, until).await.map_err(|error| failed(&error))?;
    let back = match outcome {
        MarkOutcome::Done => true,
        MarkOutcome::AlreadyDone => false,
        MarkOutcome::Refused(words) => {
            return refused(words, "nothing brings it back; `bkup list` shows what there is");
        }
    };
    let now = (runtime.now)();
    // Marks alternate: of one that is not tombstoned the last is the taking back, which an earlier try may have left out.
    if let Some(ordinal) = marks.checked_sub(1) {
        let key = layout::mark(backup.key_database(), &backup.scope, &backup.id, ordinal, MarkKind::Undelete);
        let body = json!({
            "format_version": "1.0", "backup_id": backup.id, "mark": MarkKind::Undelete.word(), "at": now,
            "pinned_until": until, "run": runtime.run,
        });
        match store::put_once(store.as_ref(), &key, Bytes::from(canonical_json(&body))).await {
            Ok(_) | Err(StoreError::Overwritten { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    let event = AuditEvent {
        at: now,
        actor: runtime.actor.clone(),
        run: None,
        event: if back { "backup undeleted" } else { "backup pinned" }.to_owned(),
        subject: backup.id.to_string(),
        facts: json!({ "pinned_until": until, "scope": backup.scope }),
    };
    runtime.catalog.audit(&[event]).await.map_err(|error| failed(&error))?;
    Ok(Undeleted::Done { back })
}
