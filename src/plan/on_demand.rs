//! Backups that somebody asks for by what they are of. They belong to the schedule `on-demand`, whether or not the
//! policies define it, so that no scheduled window ever counts or deletes one of them, nor theirs a scheduled one. Pure.

use std::collections::BTreeMap;

use super::backups::{PlannedBackup, Run};
use super::world::{View, schedule_address};
use crate::domain::{
    Address, Applied, BackupType, Compression, Digest, Engine, Held, HeldReason, Name, OnDemand, Period, Plan,
    ResolvedTenants, RetentionRule, ScheduleSpec, Scope, Section, TenantFilter, Timing, Wanted, When, ZoneName,
};
use crate::schedule::Calendar;

/// Plans what was asked for.
pub(super) fn plan(view: &View<'_>, asked: &OnDemand, draft: &mut Plan, planned: &mut Vec<PlannedBackup>) {
    let name = Name::on_demand();
    let spec = spec(view, asked);
    let address = schedule_address(&name);
    if let Wanted::Tenants(slugs) = &asked.what
        && let Some(ResolvedTenants::Known(known)) = view.desired.tenants.get(&asked.database)
    {
        for slug in slugs.iter().filter(|slug| !known.iter().any(|(tenant, _)| &tenant.slug == *slug)) {
            draft.held.push(Held {
                address: address.clone(),
                database: Some(asked.database.clone()),
                scope: Some(Scope::Tenant(slug.clone())),
                work: "back_up".to_owned(),
                reason: HeldReason::NoEligibleBackup,
                words: format!("database.{} has no tenant {slug:?}", asked.database),
            });
        }
    }
    let Ok(calendar) = Calendar::new(&spec.when) else { return };
    let run = Run {
        view,
        name: &name,
        spec: &spec,
        address: &address,
        calendar: &calendar,
        database: Some(&asked.database),
        asked: Some(asked),
    };
    run.plan(draft, planned);
}

/// Returns the schedule that would ask for the same.
fn spec(view: &View<'_>, asked: &OnDemand) -> ScheduleSpec {
    let like = view.desired.schedules.get(&Name::on_demand());
    let (backup, tenants, tables) = match &asked.what {
        Wanted::Database => (BackupType::Database, TenantFilter::All, Vec::new()),
        // Slugs are no globs: a tenant may be called `*`.
        Wanted::Tenants(slugs) => {
            let exact = slugs.iter().map(|slug| globset::escape(slug)).collect();
            (BackupType::TenantData, TenantFilter::Slugs(exact), Vec::new())
        }
        Wanted::Tables(globs) => (BackupType::Database, TenantFilter::All, globs.iter().cloned().collect()),
    };
    ScheduleSpec {
        databases: vec![asked.database.clone()],
        backup,
        engine: Engine::Logical,
        tenants,
        tables,
        when: When { timing: Timing::OnRequest, timezone: ZoneName::utc() },
        start_within: Period::default(),
        retention: view.on_demand_rules().0.clone(),
        retention_name: like.map_or_else(
            || view.desired.retentions.contains_key(&Name::on_demand()).then(Name::on_demand),
            |like| like.retention_name.clone(),
        ),
        store: asked.store.clone(),
        compression: like.map_or_else(Compression::default, |like| like.compression),
        max_parallel_jobs: asked.jobs.or_else(|| like.map(|like| like.max_parallel_jobs)).unwrap_or(1),
        base: None,
        max_chain: None,
        passwords: false,
        paths: Vec::new(),
        exclude: Vec::new(),
        notify: None,
    }
}

/// Returns the address whose document decides about the backups of an address: those that are asked for have, where no
/// schedule of that name is applied, the rule `on-demand`.
#[must_use]
pub fn ruled_by<'a>(rules: &'a BTreeMap<Address, Digest>, address: &'a Address) -> &'a Address {
    let by_rule = |(rule, _): &(&'a Address, &Digest)| rule.section() == Section::Retention;
    if rules.contains_key(address) || *address != schedule_address(&Name::on_demand()) {
        return address;
    }
    rules.iter().find(by_rule).map_or(address, |(rule, _)| rule)
}

/// Returns the address of the rule.
pub(super) fn rule_address() -> Address {
    Address::of(Section::Retention, Name::on_demand())
}

/// Returns the rule in force for backups that are asked for, and the one that was applied before: of the schedule
/// `on-demand`, else of that schedule as it was recorded, else the rule `on-demand`, else the built-in one.
pub(super) fn rules(view: &View<'_>) -> (RetentionRule, RetentionRule) {
    let schedule = schedule_address(&Name::on_demand());
    let rule = rule_address();
    let applied = |address: &Address| view.catalog.and_then(|catalog| catalog.applied.get(address));
    let recorded = applied(&schedule).and_then(|applied| applied.retention.clone());
    let live = |applied: &&Applied| applied.archived_at.is_none();
    let named = applied(&rule).filter(live).and_then(|applied| serde_json::from_value(applied.body.clone()).ok());
    let before = recorded.clone().or_else(|| named.clone()).unwrap_or_else(OnDemand::rule);
    let of_schedule = view.desired.schedules.get(&Name::on_demand()).filter(|_| view.is_applied(&schedule));
    let of_rule = view.desired.retentions.get(&Name::on_demand());
    // What leaves the policies goes on to rule until that is applied.
    let named = match of_rule {
        Some(wanted) if view.is_applied(&rule) => Some(wanted.clone()),
        None if view.wants("changes") && view.in_target(&rule) => None,
        _ => named,
    };
    let wanted = of_schedule.map(|spec| spec.retention.clone()).or(recorded).or(named);
    (wanted.unwrap_or_else(OnDemand::rule), before)
}
