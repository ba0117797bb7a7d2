//! Cuts a world into parts that have nothing to do with each other: what a schedule keeps depends on no other schedule,
//! unless a drill restores backups of both. Each part is planned by itself, so that an hourly schedule does not make the
//! planner look at everybody's years. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::world::World;
use crate::domain::{
    Address, ApprovalStatus, BackupType, CatalogFacts, Desired, Name, RecoveryPlanSpec, ResolvedTenants, Section,
};
use crate::plan::drill_wants;

/// The schedules of one part.
pub(super) type Part = BTreeSet<Name>;

/// What a schedule makes: of a database, or of none, which are files.
type Made<'a> = (BackupType, Option<&'a Name>);

/// Divides the schedules of policies and catalog.
pub(super) fn split(desired: &Desired, facts: Option<&CatalogFacts>) -> Vec<Part> {
    let mut makes: BTreeMap<&Name, BTreeSet<Made<'_>>> = BTreeMap::new();
    for (name, spec) in &desired.schedules {
        let made = makes.entry(name).or_default();
        made.extend(spec.databases.iter().map(|database| (spec.backup, Some(database))));
        if spec.backup == BackupType::Files {
            made.insert((spec.backup, None));
        }
    }
    for backup in facts.into_iter().flat_map(|facts| &facts.backups) {
        let made = makes.entry(&backup.schedule).or_default();
        made.insert((backup.backup_type, backup.database.as_ref()));
    }
    let mut parts: Vec<BTreeSet<Name>> = makes.keys().map(|name| BTreeSet::from([(*name).clone()])).collect();
    for plan in desired.recovery_plans.values().filter(|plan| is_drilled(plan)) {
        let wanted = drill_wants(plan);
        let restores = |(name, made): (&&Name, &BTreeSet<Made<'_>>)| {
            wanted.iter().any(|(kind, schedule)| {
                schedule.is_none_or(|schedule| schedule == *name)
                    && (made.contains(&(*kind, None))
                        || plan.databases.iter().any(|database| made.contains(&(*kind, Some(database)))))
            })
        };
        let joined: BTreeSet<Name> =
            makes.iter().filter(|(name, made)| restores((name, made))).map(|(name, _)| (*name).clone()).collect();
        let (touched, others): (Vec<Part>, Vec<Part>) =
            parts.into_iter().partition(|part| part.iter().any(|name| joined.contains(name)));
        parts = others;
        if !touched.is_empty() {
            parts.push(touched.into_iter().flatten().collect());
        }
    }
    parts.sort();
    parts
}

/// Returns whether a plan is drilled by itself.
pub(super) fn is_drilled(plan: &RecoveryPlanSpec) -> bool {
    let approved = matches!(plan.approval.status, ApprovalStatus::Approved | ApprovalStatus::PendingApproval);
    plan.drill.is_some() && approved
}

/// Returns the world with the schedules of one part alone. What everybody shares (guards, stores, databases) stays.
pub(super) fn restrict(world: &World, part: &Part) -> World {
    let desired = restricted(&world.desired, part);
    let now = world.now();
    let mut small = World::new(desired, now, &world.request.tool_version, world.request.catalog_version);
    if let Some(facts) = world.facts() {
        let stays = |address: &Address| is_of(address, part, &small.desired);
        let facts = CatalogFacts {
            applied: facts.applied.iter().filter(|(a, _)| stays(a)).map(|(a, d)| (a.clone(), d.clone())).collect(),
            backups: facts.backups.iter().filter(|b| part.contains(&b.schedule)).cloned().collect(),
            progress: facts.progress.iter().filter(|p| part.contains(&p.schedule)).cloned().collect(),
            ..World::frame(facts)
        };
        small.put_catalog(facts);
    }
    small
}

fn restricted(desired: &Desired, part: &Part) -> Desired {
    let mut small = desired.clone();
    small.schedules.retain(|name, _| part.contains(name));
    let databases: BTreeSet<Name> = small.schedules.values().flat_map(|spec| spec.databases.clone()).collect();
    small.recovery_plans.retain(|_, plan| {
        is_drilled(plan)
            && drill_wants(plan).iter().any(|(kind, schedule)| {
                small.schedules.iter().any(|(name, spec)| {
                    spec.backup == *kind
                        && schedule.is_none_or(|schedule| schedule == name)
                        && spec.databases.iter().any(|database| plan.databases.contains(database))
                })
            })
    });
    // Objectives are judged by what was taken, over all parts; here they would only cost time.
    small.tenants.retain(|database, _| databases.contains(database));
    if !small.schedules.values().any(|spec| spec.backup == BackupType::TenantData) {
        small.tenants.values_mut().for_each(|tenants| *tenants = ResolvedTenants::Known(Vec::new()));
    }
    let kept = small.clone();
    small.documents.retain(|address, _| is_of(address, part, &kept));
    small
}

/// Returns whether a thing belongs to a part: its own schedules and plans, and what everybody shares.
fn is_of(address: &Address, part: &Part, desired: &Desired) -> bool {
    match (address.section(), address.name()) {
        (Section::Schedule, Some(name)) => part.contains(name),
        (Section::RecoveryPlan, Some(name)) => desired.recovery_plans.contains_key(name),
        (Section::Store, Some(name)) => desired.stores.contains_key(name),
        // What is protected may be said of a retention rule.
        (Section::Retention, Some(name)) => desired.retentions.contains_key(name),
        (Section::Database, Some(name)) => desired.databases.contains_key(name),
        (Section::Guards, _) => true,
        _ => false,
    }
}
