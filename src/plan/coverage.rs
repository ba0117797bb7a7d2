//! Who gets what: which scopes a schedule covers, what their backups are called, and what each tenant may lose at
//! worst. The planner and `plan --explain tenants` go by the same words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::domain::{
    ActionId, Address, BackupId, BackupType, CoveringSchedule, DatabaseCoverage, Desired, Instant, Name, Period,
    ResolvedTenants, ScheduleSpec, Scope, Section, Tenant, TenantCoverage, TenantFilter, Timing, WorstLoss,
};
use crate::retention::describe;
use crate::schedule::{Calendar, Losses};

/// One scope a schedule covers, with what its backup needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The scope.
    pub scope: Scope,
    /// The tenant, where the scope is one.
    pub tenant: Option<&'a Tenant>,
    /// The priority of the tenant's class: lower goes first.
    pub priority: u32,
}

/// Returns the scopes that a schedule covers in one of its databases, by priority; shared archives, which tenant
/// backups bring along, are left out. Tenants that are not known are none here: whoever asks looks at that first.
#[must_use]
pub fn covered<'a>(desired: &'a Desired, spec: &ScheduleSpec, database: &Name) -> Vec<Target<'a>> {
    if spec.backup != BackupType::TenantData {
        let scope = match spec.backup {
            BackupType::Configuration => Scope::Configuration,
            _ => Scope::Database,
        };
        return vec![Target { scope, tenant: None, priority: 0 }];
    }
    let takes = Filter::of(&spec.tenants);
    let mut targets: Vec<Target<'_>> = tenants(desired, database)
        .iter()
        .filter(|(tenant, class)| takes.takes(tenant, class.as_ref()))
        .map(|(tenant, class)| Target {
            scope: Scope::Tenant(tenant.slug.clone()),
            tenant: Some(tenant),
            priority: priority(desired, class.as_ref()),
        })
        .collect();
    targets.sort_by(|a, b| (a.priority, &a.scope).cmp(&(b.priority, &b.scope)));
    targets
}

/// Returns the ids of the work and of the backup for a slot: the same in every plan.
#[must_use]
pub fn backup_id(schedule: &Name, database: Option<&Name>, scope: &Scope, slot: Instant) -> (ActionId, BackupId) {
    backup_id_of(schedule, database, scope, slot, &slot.to_string())
}

/// Returns the ids of work that is told from other work by more than the instant of its slot.
#[must_use]
pub fn backup_id_of(
    schedule: &Name,
    database: Option<&Name>,
    scope: &Scope,
    slot: Instant,
    key: &str,
) -> (ActionId, BackupId) {
    let address = Address::of(Section::Schedule, schedule.clone());
    let database = database.map(Name::as_str);
    let action = ActionId::of("back_up", database, Some(scope), &address, Some(key));
    (action, BackupId::of(slot, schedule.as_str(), action))
}

/// Returns the table of who gets what, for every database that has tenants. `now` is the instant from which calendars
/// are walked. What this version of bkup does not make counts for nothing.
#[must_use]
pub fn coverage(desired: &Desired, now: Instant) -> Vec<DatabaseCoverage> {
    let mut worst = Worst::new(desired, now);
    let mut table = Vec::new();
    for (database, resolved) in &desired.tenants {
        let unknown = match resolved {
            ResolvedTenants::Known(_) => None,
            ResolvedTenants::Unknown(reason) => Some(reason.clone()),
        };
        let schedules: Vec<(&Name, &ScheduleSpec, Filter)> = desired
            .schedules
            .iter()
            .filter(|(_, spec)| spec.databases.contains(database) && spec.tables.is_empty())
            .map(|(name, spec)| (name, spec, Filter::of(&spec.tenants)))
            .collect();
        let mut row = |(tenant, class): &(Tenant, Option<Name>)| {
            let mut schedules: Vec<CoveringSchedule> = schedules
                .iter()
                .filter_map(|(name, spec, filter)| {
                    let own = spec.backup == BackupType::TenantData;
                    let holds = match spec.backup {
                        BackupType::TenantData => filter.takes(tenant, class.as_ref()),
                        BackupType::Database | BackupType::FullSystem => true,
                        BackupType::Files | BackupType::Configuration => false,
                    };
                    holds.then(|| CoveringSchedule {
                        schedule: (*name).clone(),
                        own,
                        on_request: matches!(spec.when.timing, Timing::OnRequest | Timing::OnChange),
                        not_served: spec.not_served().map(str::to_owned),
                        retention: kept(spec),
                    })
                })
                .collect();
            let rank = |covering: &CoveringSchedule| (Reverse(covering.own), covering.on_request);
            schedules.sort_by(|a, b| (rank(a), &a.schedule).cmp(&(rank(b), &b.schedule)));
            TenantCoverage {
                tenant: tenant.slug.clone(),
                rpo: class.as_ref().and_then(|class| desired.classes.get(class)).and_then(|c| c.objectives.rpo),
                worst: worst.of(&schedules),
                class: class.clone(),
                schedules,
            }
        };
        let mut rows: Vec<(u32, TenantCoverage)> =
            tenants(desired, database).iter().map(|known| (priority(desired, known.1.as_ref()), row(known))).collect();
        rows.sort_by(|a, b| (a.0, &a.1.class, &a.1.tenant).cmp(&(b.0, &b.1.class, &b.1.tenant)));
        let tenants = rows.into_iter().map(|(_, row)| row).collect();
        table.push(DatabaseCoverage { database: database.clone(), unknown, tenants });
    }
    table
}

/// What the schedules that cover a tenant can lose at worst. Many tenants have the same schedules, and a worst case is
/// found by walking calendars: it is remembered.
struct Worst<'a> {
    lines: BTreeMap<&'a Name, (Calendar, &'a ScheduleSpec)>,
    losses: Losses,
    found: HashMap<Vec<Name>, Option<WorstLoss>>,
}

impl<'a> Worst<'a> {
    fn new(desired: &'a Desired, now: Instant) -> Self {
        let line = |(name, spec): (&'a Name, &'a ScheduleSpec)| Some((name, (Calendar::new(&spec.when).ok()?, spec)));
        let lines = desired.schedules.iter().filter_map(line).collect();
        Self { lines, losses: Losses::new(now), found: HashMap::new() }
    }

    fn of(&mut self, covering: &[CoveringSchedule]) -> Option<WorstLoss> {
        let served = covering.iter().filter(|covering| covering.not_served.is_none());
        let key: Vec<Name> = served.map(|covering| covering.schedule.clone()).collect();
        if let Some(found) = self.found.get(&key) {
            return found.clone();
        }
        let lines: Vec<&(Calendar, &ScheduleSpec)> = key.iter().filter_map(|name| self.lines.get(name)).collect();
        let late: Vec<(&Calendar, Period)> =
            lines.iter().map(|(calendar, spec)| (calendar, spec.start_within)).collect();
        let found = self.losses.worst(&late).and_then(|worst| {
            Some(WorstLoss {
                loss: worst.length,
                begin: worst.counts.slot,
                end: worst.next.slot,
                schedule: key.get(worst.next.line)?.clone(),
                deadline: worst.deadline,
                timezone: lines.get(worst.next.line)?.1.when.timezone.clone(),
            })
        });
        self.found.insert(key, found.clone());
        found
    }
}

fn kept(spec: &ScheduleSpec) -> String {
    spec.retention_name.as_ref().map_or_else(|| describe(&spec.retention), ToString::to_string)
}

fn tenants<'a>(desired: &'a Desired, database: &Name) -> &'a [(Tenant, Option<Name>)] {
    match desired.tenants.get(database) {
        Some(ResolvedTenants::Known(tenants)) => tenants,
        _ => &[],
    }
}

fn priority(desired: &Desired, class: Option<&Name>) -> u32 {
    class.and_then(|class| desired.classes.get(class)).map_or(u32::MAX, |class| class.priority)
}

/// Which tenants a schedule takes, its globs made ready once.
enum Filter<'a> {
    All,
    Classes(&'a [Name]),
    Slugs(Vec<globset::GlobMatcher>),
}

impl<'a> Filter<'a> {
    fn of(filter: &'a TenantFilter) -> Self {
        match filter {
            TenantFilter::All => Self::All,
            TenantFilter::Classes(classes) => Self::Classes(classes),
            TenantFilter::Slugs(globs) => Self::Slugs(
                globs.iter().filter_map(|g| globset::Glob::new(g).ok()).map(|g| g.compile_matcher()).collect(),
            ),
        }
    }

    fn takes(&self, tenant: &Tenant, class: Option<&Name>) -> bool {
        match self {
            Self::All => true,
            Self::Classes(classes) => class.is_some_and(|class| classes.contains(class)),
            Self::Slugs(globs) => globs.iter().any(|glob| glob.is_match(&tenant.slug)),
        }
    }
}
