//! Which tenants drills will sample, and what happens where nobody can say. Pure.

use std::collections::BTreeSet;

use super::parts::is_drilled;
use super::population::{Who, tenants};
use crate::domain::{BackupType, CatalogFacts, Desired, Instant, Name, Period, Scope};
use crate::plan::{drill_draw, drill_wants};
use crate::schedule::Calendar;

/// How many tenants are followed one by one. Each is planned for on every day.
const MOST_ALONE: usize = 48;

/// What is done about drills that sample tenants.
#[derive(Debug, Default)]
pub(super) struct Drilled {
    /// Tenants that will be sampled, and so are simulated by themselves.
    pub alone: BTreeSet<Who>,
    /// Recovery plans whose drills are left out, because there are too many or nobody knows the tenants.
    pub left_out: BTreeSet<Name>,
}

/// Finds the tenants that the drills of both sides will sample. Where tenants are placeholders for numbers somebody
/// named, nothing can be drawn.
pub(super) fn find(
    sides: &[&Desired],
    facts: Option<&CatalogFacts>,
    placeholders: bool,
    begin: Instant,
    end: Instant,
) -> Drilled {
    let mut found = Drilled::default();
    for side in sides {
        for (name, plan) in side.recovery_plans.iter().filter(|(_, plan)| is_drilled(plan)) {
            let samples = drill_wants(plan).iter().any(|(kind, _)| *kind == BackupType::TenantData);
            let Some(drill) = plan.drill.as_ref().filter(|_| samples) else { continue };
            let everybody: BTreeSet<Who> = tenants(side)
                .filter(|(database, ..)| plan.databases.contains(database))
                .map(|(database, tenant, _)| (database.clone(), tenant.slug.clone()))
                .collect();
            let whole = usize::try_from(drill.sample_tenants).unwrap_or(usize::MAX).max(1);
            if everybody.len() <= whole && !placeholders {
                found.alone.extend(everybody);
                continue;
            }
            if placeholders {
                found.left_out.insert(name.clone());
                continue;
            }
            let record = facts.and_then(|facts| facts.drills.get(name));
            let first = record.map_or(0, |record| record.attempts);
            let length = Period::between(begin, end);
            let attempts = match (drill.every, &drill.when) {
                (Some(every), _) => length.as_seconds() / every.as_seconds().max(1) + 2,
                (None, Some(when)) => Calendar::new(when).map_or(0, |calendar| {
                    i64::try_from(calendar.between(begin, end).take(1000).count()).unwrap_or(0) + 2
                }),
                (None, None) => 0,
            };
            let mut mine: BTreeSet<Who> = BTreeSet::new();
            for attempt in first..first.saturating_add(attempts.unsigned_abs()) {
                for database in &plan.databases {
                    mine.extend(sample(&everybody, database, name, attempt, whole));
                }
                if mine.len() + found.alone.len() > MOST_ALONE {
                    break;
                }
            }
            if mine.len() + found.alone.len() > MOST_ALONE {
                found.left_out.insert(name.clone());
            } else {
                found.alone.extend(mine);
            }
        }
    }
    found
}

/// Returns the tenants that one attempt samples of a database.
fn sample(everybody: &BTreeSet<Who>, database: &Name, plan: &Name, attempt: u64, size: usize) -> Vec<Who> {
    let mine = everybody.iter().filter(|(of, _)| of == database);
    let mut drawn: Vec<_> = mine.map(|who| (drill_draw(plan, attempt, &Scope::Tenant(who.1.clone())), who)).collect();
    drawn.sort_unstable();
    drawn.into_iter().take(size).map(|(_, who)| who.clone()).collect()
}
