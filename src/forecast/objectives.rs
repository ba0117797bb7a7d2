//! How each objective fares over what a simulation took: classes, databases, recovery plans. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::coverage::{Runs, Worst, misses, worst};
use super::population::{Population, tenants};
use super::record::{Covered, Record};
use super::sizes::{Sizes, Stream};
use super::world::World;
use crate::domain::{
    Backup, BackupType, Instant, MissForecast, Name, ObjectiveForecast, ObjectiveKind, Period, PlanType, ScheduleSpec,
    Scope, TenantFilter,
};
use crate::schedule::Calendar;

/// What objectives are judged over.
pub(super) struct Judge<'a> {
    /// The world at the begin, before anything was done.
    pub world: &'a World,
    pub record: &'a Record,
    pub population: &'a Population,
    pub sizes: &'a Sizes,
    /// Databases whose WAL is archived, and what can be lost of it.
    pub wal: &'a BTreeMap<Name, Period>,
    pub begin: Instant,
    pub end: Instant,
}

/// The scopes an objective is for, in one database.
struct Subject<'a> {
    address: String,
    database: &'a Name,
    limit: Period,
    kind: ObjectiveKind,
    scopes: Vec<Scope>,
}

impl Judge<'_> {
    /// Returns how every objective fares.
    pub fn all(&self) -> Vec<ObjectiveForecast> {
        self.subjects().iter().map(|subject| self.judge(subject)).collect()
    }

    fn subjects(&self) -> Vec<Subject<'_>> {
        let desired = &self.world.desired;
        let mut classes: BTreeMap<(&Name, &Name), Vec<Scope>> = BTreeMap::new();
        let mut everybody: BTreeMap<&Name, Vec<Scope>> = BTreeMap::new();
        for (database, tenant, class) in tenants(desired) {
            let scope = Scope::Tenant(tenant.slug.clone());
            everybody.entry(database).or_default().push(scope.clone());
            if let Some(class) = class {
                classes.entry((class, database)).or_default().push(scope);
            }
        }
        let mut subjects = Vec::new();
        for (database, spec) in &desired.databases {
            if let Some(limit) = spec.objectives.and_then(|objectives| objectives.rpo) {
                let address = format!("database.{database}");
                let scopes = vec![Scope::Database];
                subjects.push(Subject { address, database, limit, kind: ObjectiveKind::Rpo, scopes });
            }
        }
        for ((class, database), scopes) in classes {
            if let Some(limit) = desired.classes.get(class).and_then(|spec| spec.objectives.rpo) {
                let address = format!("class.{class}");
                subjects.push(Subject { address, database, limit, kind: ObjectiveKind::Rpo, scopes });
            }
        }
        for (name, plan) in &desired.recovery_plans {
            for database in plan.databases.iter().filter(|database| desired.databases.contains_key(*database)) {
                let whole = desired
                    .schedules
                    .values()
                    .any(|spec| spec.databases.contains(database) && spec.backup != BackupType::TenantData);
                let by_tenant = plan.plan_type == PlanType::TenantRecovery || !whole;
                let scopes = everybody.get(database).filter(|_| by_tenant).cloned();
                let scopes = scopes.unwrap_or_else(|| vec![Scope::Database]);
                let limits = [(ObjectiveKind::Rpo, plan.rpo), (ObjectiveKind::History, plan.minimum_backup_age)];
                for (kind, limit) in limits.into_iter().filter_map(|(kind, limit)| Some((kind, limit?))) {
                    let address = format!("recovery-plan.{name}");
                    subjects.push(Subject { address, database, limit, kind, scopes: scopes.clone() });
                }
            }
        }
        subjects
    }

    fn judge(&self, subject: &Subject<'_>) -> ObjectiveForecast {
        let weight = |scope: &Scope| self.population.weight(Some(subject.database), scope);
        let scopes = subject.scopes.iter().map(weight).sum();
        let (found, misses) = match subject.kind {
            ObjectiveKind::Rpo => self.rpo(subject),
            ObjectiveKind::History => (self.history(subject), Vec::new()),
        };
        ObjectiveForecast {
            address: subject.address.clone(),
            database: subject.database.clone(),
            kind: subject.kind,
            scopes,
            limit: subject.limit,
            worst: found.loss,
            worst_begin: found.begin,
            worst_end: found.end,
            violated_at: found.violated_at,
            violations: found.violations,
            worst_before: None,
            misses,
        }
    }

    /// The worst of all its scopes, and the fewest misses for any of them.
    fn rpo(&self, subject: &Subject<'_>) -> (Worst, Vec<MissForecast>) {
        // WAL loses the same at every instant, whatever slots are missed; where that keeps the objective, nothing else
        // has to. It holds while there is a base to start from.
        if let Some(most) = self.wal.get(subject.database).copied().filter(|most| *most <= subject.limit) {
            return (Worst { loss: Some(most), ..Worst::default() }, Vec::new());
        }
        let mut all: Option<Worst> = None;
        let mut rows: BTreeMap<Option<Name>, MissForecast> = BTreeMap::new();
        let mut looked: BTreeSet<Vec<Name>> = BTreeSet::new();
        for scope in &subject.scopes {
            let covered = self.covered(subject.database, scope);
            let found = worst(&covered, self.begin, self.end, subject.limit);
            all = Some(match all {
                None => found,
                Some(known) => worse(known, found),
            });
            // Scopes that the same schedules cover miss the same slots.
            let runs = self.runs(subject.database, scope);
            if !looked.insert(runs.iter().map(|runs| runs.schedule.clone()).collect()) {
                continue;
            }
            let before =
                covered.iter().filter(|(_, done)| *done <= self.begin).map(|(consistent, _)| *consistent).max();
            for row in misses(&runs, before.unwrap_or(self.begin), self.end, subject.limit) {
                let known = rows.entry(row.schedule.clone()).or_insert_with(|| row.clone());
                let rank = |row: &MissForecast| (row.slots.unwrap_or(u64::MAX), row.broken_at);
                if rank(&row) < rank(known) {
                    *known = row;
                }
            }
        }
        // The schedules by name first, all of them together last.
        let mut rows: Vec<MissForecast> = rows.into_values().collect();
        rows.sort_by_key(|row| (row.schedule.is_none(), row.schedule.clone()));
        (all.unwrap_or_default(), rows)
    }

    /// What covers a scope: its own backups, and those of the whole database, which hold it too.
    fn covered(&self, database: &Name, scope: &Scope) -> Vec<Covered> {
        let covers = |of: Option<&Name>, what: &Scope| {
            of == Some(database) && (what == scope || matches!(what, Scope::Database | Scope::System))
        };
        let usable = |b: &&Backup| b.quarantine.is_none() && b.tombstoned_at.is_none();
        let there = self.world.backups().iter().filter(usable);
        let there = there.filter(|b| covers(b.database.as_ref(), &b.scope)).map(|b| (b.consistent_at, b.completed_at));
        let taken = self.record.covered.iter();
        let taken = taken.filter(|((_, of, what), _)| covers(of.as_ref(), what));
        let mut all: Vec<Covered> = taken.flat_map(|(_, covered)| covered.iter().copied()).collect();
        // Of what was there, only the newest can still matter.
        all.extend(there.max());
        all
    }

    /// The slots of every schedule that covers a scope, as if each ran in time.
    fn runs(&self, database: &Name, scope: &Scope) -> Vec<Runs> {
        let desired = &self.world.desired;
        let class = tenants(desired)
            .find(|(of, tenant, _)| *of == database && Some(tenant.slug.as_str()) == scope.tenant())
            .and_then(|(_, _, class)| class);
        let covering = desired
            .schedules
            .iter()
            .filter(|(_, spec)| spec.databases.contains(database) && covers(spec, scope, class));
        let runs = covering.filter_map(|(name, spec)| {
            let calendar = Calendar::new(&spec.when).ok()?;
            let own = if spec.backup == BackupType::TenantData { scope.clone() } else { Scope::Database };
            let stream: Stream = (name.clone(), Some(database.clone()), own);
            let duration = self.sizes.duration(&stream);
            let runs: Vec<Covered> =
                calendar.between(self.begin, self.end).map(|slot| (slot, duration.after(slot))).collect();
            (!runs.is_empty()).then(|| Runs { schedule: name.clone(), runs })
        });
        runs.collect()
    }

    /// How far back a restore can go, over the days: the shortest once the limit was reached. A history that is still
    /// growing is no violation; one that never reaches the limit, or shrinks below it again, is.
    fn history(&self, subject: &Subject<'_>) -> Worst {
        let days = &self.record.days;
        let depth_on = |day: usize| {
            // Any schedule's history will do for a scope; the kind of scope with the shortest one counts.
            let mut whole: Option<Period> = None;
            let mut by_kind: BTreeMap<&str, Option<Period>> = BTreeMap::new();
            for ((_, of, words), line) in &self.record.lines {
                if of.as_ref() != Some(subject.database) {
                    continue;
                }
                let depth = line.depth.get(day).copied().flatten();
                let has = |scope: &Scope| line.streams.iter().any(|(_, _, what)| what == scope);
                if has(&Scope::Database) || has(&Scope::System) {
                    whole = whole.max(depth);
                } else if subject.scopes.iter().any(has) {
                    let known = by_kind.entry(words).or_default();
                    *known = (*known).max(depth);
                }
            }
            by_kind.into_values().map(|depth| depth.max(whole)).min().unwrap_or(whole)
        };
        let mut found = Worst::default();
        let mut reached = false;
        let mut below = false;
        for (day, at) in days.iter().enumerate() {
            let depth = depth_on(day);
            let enough = depth.is_some_and(|depth| depth >= subject.limit);
            reached |= enough;
            if reached && depth.is_some() && (found.loss.is_none() || depth < found.loss) {
                let begin = depth.map(|depth| depth.before(*at));
                found = Worst { loss: depth, begin, end: Some(*at), ..found };
            }
            if reached && !enough && !below {
                found.violated_at = found.violated_at.or(Some(*at));
                found.violations += 1;
            }
            below = reached && !enough;
        }
        if !reached {
            found.violated_at = days.last().copied();
            found.violations = 1;
        }
        found
    }
}

fn covers(spec: &ScheduleSpec, scope: &Scope, class: Option<&Name>) -> bool {
    match spec.backup {
        BackupType::Database => spec.tables.is_empty(),
        BackupType::FullSystem => true,
        BackupType::TenantData => match (&spec.tenants, scope.tenant()) {
            (_, None) => false,
            (TenantFilter::All, _) => true,
            (TenantFilter::Classes(classes), _) => class.is_some_and(|class| classes.contains(class)),
            (TenantFilter::Slugs(globs), Some(slug)) => globs
                .iter()
                .any(|glob| globset::Glob::new(glob).is_ok_and(|glob| glob.compile_matcher().is_match(slug))),
        },
        BackupType::Files | BackupType::Configuration => false,
    }
}

/// Returns the worse of two: none at all, then the longest loss; the first violation and the most of them.
fn worse(a: Worst, b: Worst) -> Worst {
    let rank = |worst: &Worst| worst.loss.map_or((1, Period::seconds(0)), |loss| (0, loss));
    let (worst, other) = if rank(&b) > rank(&a) { (b, a) } else { (a, b) };
    let violated_at = [worst.violated_at, other.violated_at].into_iter().flatten().min();
    Worst { violated_at, violations: worst.violations.max(other.violations), ..worst }
}
