//! How each database and tenant stands against its objective: the newest restorable backup and its age.

use super::world::{Eligible, View};
use crate::domain::{Backup, Bytes, Name, ObjectiveRow, Objectives, Period, Scope, Verification};

/// Returns a row for every database, and one for every tenant of it.
#[must_use]
pub fn rows(view: &View<'_>) -> Vec<ObjectiveRow> {
    let mut rows = Vec::new();
    for (database, spec) in &view.desired.databases {
        let whole = restorable(view, database, &Scope::Database);
        if spec.objectives.is_some() || !whole.is_empty() || spec.tenants.is_none() {
            rows.push(row(view, database, Scope::Database, None, spec.objectives, &whole));
        }
        for (tenant, class) in view.tenants(database) {
            let scope = Scope::Tenant(tenant.slug.clone());
            // A dump of the whole database holds the tenant too: the smallest loss over all mechanisms counts.
            let mut covering = restorable(view, database, &scope);
            covering.extend(&whole);
            let objectives =
                class.as_ref().and_then(|class| view.desired.classes.get(class)).map(|class| class.objectives);
            rows.push(row(view, database, scope, class.clone(), objectives, &covering));
        }
    }
    rows
}

fn restorable<'a>(view: &View<'a>, database: &Name, scope: &Scope) -> Vec<&'a Backup> {
    view.of_scope(database, scope).iter().copied().filter(|b| view.eligible(b) == Eligible::Yes).collect()
}

fn row(
    view: &View<'_>,
    database: &Name,
    scope: Scope,
    class: Option<Name>,
    objectives: Option<Objectives>,
    covering: &[&Backup],
) -> ObjectiveRow {
    let newest = covering.iter().max_by_key(|b| (b.consistent_at, &b.id));
    let age = newest.map(|b| Period::between(b.consistent_at, view.now()));
    let rpo = objectives.and_then(|o| o.rpo);
    let own = || covering.iter().filter(|b| b.scope == scope);
    ObjectiveRow {
        database: database.clone(),
        class,
        newest: newest.map(|b| b.id.clone()),
        consistent_at: newest.map(|b| b.consistent_at),
        age,
        rpo,
        breached: rpo.map(|rpo| age.is_none_or(|age| age > rpo)),
        verified_at: newest.filter(|b| b.verification >= Verification::Checksum).and_then(|b| b.verified_at),
        drilled_at: own().filter_map(|b| b.drilled_at).max(),
        backups: own().count() as u64,
        bytes: own().map(|b| b.size).sum::<Bytes>(),
        scope,
    }
}
