//! One action in words, the same in plans, reports and progress. Pure.

use super::moment::moment;
use super::style::{Style, Symbol};
use crate::domain::{Action, ActionKind, DocumentOp, Name, RemovedBackups, Scope};

/// Returns what an action does, on one line and escaped: `back up app tenant=acme for slot 2026-11-20 02:00 UTC`.
#[must_use]
pub fn action_title(action: &Action, style: &Style) -> String {
    let address = action.address.to_string();
    match &action.kind {
        ActionKind::EnsureCatalog { from_version: None, to_version, simulated } => {
            let clock = if *simulated { ", with a simulated clock" } else { "" };
            format!("catalog: make it, version {to_version}{clock}")
        }
        ActionKind::EnsureCatalog { from_version: Some(from), to_version, .. } => {
            format!("catalog: migrate version {from} {} {to_version}", style.symbol(Symbol::Arrow))
        }
        ActionKind::EnsureStore { store, url } => {
            format!("store.{store}: mark {} as a store and learn what it can do", style.name(url))
        }
        ActionKind::ApplyDocument { op: DocumentOp::Archive, .. } => {
            format!("{address}: archive")
        }
        ActionKind::ApplyDocument { op: DocumentOp::Revive, .. } => format!("{address}: back from the archive"),
        ActionKind::ApplyDocument { op: DocumentOp::Restore, .. } => {
            format!("{address}: write its row again as it was applied")
        }
        ActionKind::ApplyDocument { .. } => address,
        ActionKind::Move { from, .. } => {
            format!("rename {from} {} {address}", style.symbol(Symbol::Arrow))
        }
        ActionKind::Release { after, backups, .. } => {
            let what = count64(*backups, "backup");
            match after {
                RemovedBackups::Keep => format!("{address}: keep its {what} for good"),
                RemovedBackups::Expire => format!("{address}: let its {what} expire"),
                RemovedBackups::Delete => format!("{address}: give up its {what}"),
            }
        }
        ActionKind::Offboard(work) => {
            let scope = Scope::Tenant(work.slug.clone());
            let what = count64(work.backups, "backup");
            format!("offboard {}, which has {what}", place(Some(&work.database), &scope, style))
        }
        ActionKind::Onboard(work) => {
            let scope = Scope::Tenant(work.slug.clone());
            format!("take {} up again", place(Some(&work.database), &scope, style))
        }
        ActionKind::BackUp(work) if let Some(found) = &work.found => format!(
            "adopt {} as a backup of {}, for {}",
            style.name(&found.key),
            place(work.database.as_ref(), &work.scope, style),
            work.schedule
        ),
        ActionKind::BackUp(work) => format!(
            "back up {} for {}, slot {}",
            place(work.database.as_ref(), &work.scope, style),
            work.schedule,
            moment(work.slot)
        ),
        ActionKind::RecordMissed { schedule, slots, scopes, .. } => {
            format!("record {} of {schedule} as missed, {}", count(slots.len(), "slot"), count64(*scopes, "scope"))
        }
        ActionKind::Drill(work) => format!("drill {}, restoring {}", work.plan, count(work.backups.len(), "backup")),
        ActionKind::Tombstone(work) => {
            format!(
                "tombstone {} of {}",
                style.name(work.backup.as_str()),
                place(work.database.as_ref(), &work.scope, style)
            )
        }
        ActionKind::Purge(work) => {
            format!(
                "purge {} of {}",
                style.name(work.backup.as_str()),
                place(work.database.as_ref(), &work.scope, style)
            )
        }
        ActionKind::Quarantine { backup, words, .. } => {
            format!("quarantine {}: {}", style.name(backup.as_str()), style.name(words))
        }
        ActionKind::AbortUploads { store, uploads } => {
            format!("abort {} in {store} that nobody will complete", count(uploads.len(), "upload"))
        }
        ActionKind::CollectGarbage { store, database, scope, backup, attempt } => format!(
            "collect what attempt {attempt} at {} of {} left in {store}",
            style.name(backup.as_str()),
            place(database.as_ref(), scope, style)
        ),
    }
}

/// Returns the sign of an action.
pub(super) const fn action_symbol(kind: &ActionKind) -> Symbol {
    match kind {
        ActionKind::EnsureCatalog { from_version: None, .. } | ActionKind::EnsureStore { .. } => Symbol::Create,
        ActionKind::EnsureCatalog { .. } => Symbol::Update,
        ActionKind::ApplyDocument { op, .. } => match op {
            DocumentOp::Create => Symbol::Create,
            DocumentOp::Update => Symbol::Update,
            DocumentOp::Archive => Symbol::Remove,
            DocumentOp::Revive | DocumentOp::Restore => Symbol::Replace,
        },
        ActionKind::Move { .. } => Symbol::Arrow,
        ActionKind::Release { after: RemovedBackups::Delete, .. } => Symbol::Remove,
        ActionKind::Release { .. } => Symbol::Update,
        ActionKind::Offboard(_) => Symbol::Remove,
        ActionKind::Onboard(_) => Symbol::Create,
        ActionKind::BackUp(_) | ActionKind::Drill(_) => Symbol::Run,
        ActionKind::RecordMissed { .. } | ActionKind::Quarantine { .. } => Symbol::Attention,
        ActionKind::Tombstone(_) => Symbol::Prune,
        ActionKind::Purge(_) | ActionKind::AbortUploads { .. } | ActionKind::CollectGarbage { .. } => Symbol::Remove,
    }
}

/// Returns a database and a scope in it, escaped: `app tenant=acme`.
pub(super) fn place(database: Option<&Name>, scope: &Scope, style: &Style) -> String {
    let scope = style.name(&scope.to_string());
    database.map_or_else(|| scope.clone(), |database| format!("{database} {scope}"))
}

/// Returns a number and its noun: `1 backup`, `12 backups`.
pub(super) fn count(number: usize, noun: &str) -> String {
    count64(number as u64, noun)
}

/// Returns a number and its noun: `1 backup`, `12 backups`.
pub(super) fn count64(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
