//! Tenants that went and tenants that came back: what discovery shows now beside what the catalog remembers. A tenant is
//! taken for gone only where its database answered in whole; a short answer is a guard's business. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::world::View;
use crate::domain::{
    Action, ActionClass, ActionId, ActionKind, Address, CatalogFacts, Desired, GuardRefusal, Held, HeldReason, Name,
    Percent, Plan, Reason, ReasonCode, ResolvedTenants, Scope, Section, TenantRecord, TenantWork,
};
use crate::retention::Tenure;

/// The share of a database's tenants that may be missing from one answer before the answer is not believed.
const SHORTFALL: Percent = Percent::hundredths(2000);

/// The tenants that were offboarded, by database and slug.
pub type Tenures<'a> = HashMap<(&'a Name, &'a str), Tenure>;

/// Says of each tenant that was offboarded whether its clock runs. One that is seen again lives; where nobody could look,
/// nothing is sure.
pub fn tenures<'a>(desired: &Desired, catalog: Option<&'a CatalogFacts>) -> Tenures<'a> {
    let mut all = Tenures::new();
    let mut living: BTreeMap<&Name, HashSet<&str>> = BTreeMap::new();
    for record in catalog.into_iter().flat_map(|catalog| &catalog.tenants) {
        let Some(at) = record.offboarded_at else { continue };
        let tenure = match desired.tenants.get(&record.database) {
            Some(ResolvedTenants::Known(_)) => {
                let live =
                    living.entry(&record.database).or_insert_with_key(|database| slugs(desired, database).collect());
                if live.contains(record.slug.as_str()) { Tenure::Lives } else { Tenure::Ended(at) }
            }
            Some(ResolvedTenants::Unknown(_)) => Tenure::Unsure(at),
            // Its database, or how its tenants are found, left the policies: nobody can look any more.
            None => Tenure::Ended(at),
        };
        if tenure != Tenure::Lives {
            all.insert((&record.database, record.slug.as_str()), tenure);
        }
    }
    all
}

fn slugs<'d>(desired: &'d Desired, database: &Name) -> impl Iterator<Item = &'d str> + use<'d> {
    let known = match desired.tenants.get(database) {
        Some(ResolvedTenants::Known(tenants)) => tenants.as_slice(),
        _ => &[],
    };
    known.iter().map(|(tenant, _)| tenant.slug.as_str())
}

/// The tenants of one database that the catalog knows and discovery does not show, and the other way round.
struct Difference<'a> {
    gone: Vec<&'a TenantRecord>,
    back: Vec<&'a TenantRecord>,
    known: u64,
}

impl<'a> Difference<'a> {
    fn of(view: &View<'a>, database: &Name) -> Self {
        let live: HashSet<&str> = slugs(view.desired, database).collect();
        let mut difference = Self { gone: Vec::new(), back: Vec::new(), known: 0 };
        let records = view.catalog.into_iter().flat_map(|catalog| &catalog.tenants);
        for record in records.filter(|record| &record.database == database) {
            let there = live.contains(record.slug.as_str());
            match (record.offboarded_at, there) {
                (None, _) => {
                    difference.known += 1;
                    if !there {
                        difference.gone.push(record);
                    }
                }
                (Some(_), true) => difference.back.push(record),
                (Some(_), false) => {}
            }
        }
        difference
    }

    /// Whether so many are gone that the answer may be wrong. One of four is more than 20 % and still an ordinary day;
    /// all of them never is.
    fn is_doubtful(&self) -> bool {
        let gone = self.gone.len() as u64;
        SHORTFALL.is_exceeded_by(gone, self.known) && (gone > 2 || gone == self.known)
    }
}

/// Plans what is recorded of tenants that went or came back.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    if !view.wants("retention") {
        return;
    }
    for (database, resolved) in &view.desired.tenants {
        let address = Address::of(Section::Database, database.clone());
        if !matches!(resolved, ResolvedTenants::Known(_)) || !view.in_target(&address) {
            continue;
        }
        let difference = Difference::of(view, database);
        if difference.gone.is_empty() && difference.back.is_empty() {
            continue;
        }
        if let Some(words) = view.pause([&address]) {
            // While a database is worked at its tenants may be anywhere.
            draft.held.push(Held {
                address,
                database: Some(database.clone()),
                scope: None,
                work: "offboard".to_owned(),
                reason: HeldReason::Suspended,
                words,
            });
            continue;
        }
        let class = if difference.is_doubtful() { ActionClass::Change } else { ActionClass::Drift };
        for record in &difference.gone {
            offboard(view, &address, record, class, draft);
        }
        for record in &difference.back {
            onboard(view, &address, record, draft);
        }
    }
}

fn work(view: &View<'_>, record: &TenantRecord) -> TenantWork {
    let scope = Scope::Tenant(record.slug.clone());
    TenantWork {
        database: record.database.clone(),
        slug: record.slug.clone(),
        schema: record.schema.clone(),
        last_seen_at: record.last_seen_at,
        offboarded_at: record.offboarded_at,
        backups: view.of_scope(&record.database, &scope).len() as u64,
    }
}

fn offboard(view: &View<'_>, address: &Address, record: &TenantRecord, class: ActionClass, draft: &mut Plan) {
    let heir = view.tenants(&record.database).iter().find(|(tenant, _)| tenant.schema == record.schema);
    let words = match heir {
        Some((heir, _)) => format!(
            "discovery no longer shows it, and its schema is now that of the tenant {:?}: a slug that changes is a new tenant",
            heir.slug
        ),
        None => "discovery no longer shows it; its backups are kept by the clock that begins now".to_owned(),
    };
    let work = work(view, record);
    // A tenant that comes back and goes again is other work.
    let slot = record.last_seen_at.to_string();
    draft.actions.push(action("offboard", address, work, class, (ReasonCode::TenantGone, words), &slot));
}

fn onboard(view: &View<'_>, address: &Address, record: &TenantRecord, draft: &mut Plan) {
    let mut work = work(view, record);
    if let Some((tenant, _)) = view.tenants(&record.database).iter().find(|(tenant, _)| tenant.slug == record.slug) {
        work.schema.clone_from(&tenant.schema);
    }
    let words = "discovery shows it again: the clock of its offboarding stops".to_owned();
    let slot = record.offboarded_at.map(|at| at.to_string()).unwrap_or_default();
    let why = (ReasonCode::TenantBack, words);
    draft.actions.push(action("onboard", address, work, ActionClass::Drift, why, &slot));
}

fn action(
    word: &str,
    address: &Address,
    work: TenantWork,
    class: ActionClass,
    (code, words): (ReasonCode, String),
    slot: &str,
) -> Action {
    let scope = Scope::Tenant(work.slug.clone());
    let id = ActionId::of(word, Some(work.database.as_str()), Some(&scope), address, Some(slot));
    let kind = if code == ReasonCode::TenantBack { ActionKind::Onboard(work) } else { ActionKind::Offboard(work) };
    Action {
        id,
        address: address.clone(),
        class,
        kind,
        reason: Reason { code, words, location: None },
        preconditions: Vec::new(),
        after: Vec::new(),
        bytes: None,
    }
}

/// Returns whether a plan offboards so many tenants of a database that somebody has to consent to it.
pub fn needs_consent(draft: &Plan) -> bool {
    draft.actions.iter().any(is_doubted)
}

fn is_doubted(action: &Action) -> bool {
    matches!(action.kind, ActionKind::Offboard(_)) && action.class == ActionClass::Change
}

/// Refuses to take more tenants for gone than `limit`, or the shortfall that is believed anyway, allows. `begin` is what
/// a consent names this change by.
pub fn check(view: &View<'_>, limit: Percent, begin: &str, draft: &mut Plan) {
    let databases: Vec<&Name> = view.desired.tenants.keys().collect();
    let mut refusals = Vec::new();
    for database in databases {
        let of_it = |action: &&Action| {
            is_doubted(action) && matches!(&action.kind, ActionKind::Offboard(work) if &work.database == database)
        };
        let gone = draft.actions.iter().filter(of_it).count() as u64;
        let known = Difference::of(view, database).known;
        if gone == 0 || !limit.max(SHORTFALL).is_exceeded_by(gone, known) {
            continue;
        }
        let share = whole_percent(gone, known);
        let shown = if gone == known { "none".to_owned() } else { (known - gone).to_string() };
        refusals.push(GuardRefusal {
            guard: "tenants".to_owned(),
            words: format!(
                "the discovery of database.{database} shows {shown} of the {known} tenants that the catalog knows: {gone} \
                 would be taken for gone, more than {SHORTFALL}"
            ),
            help: format!(
                "look at `tenants` of database.{database} and at the database itself; `bkup apply --only backups` goes on \
                 meanwhile with the tenants that are there. If they are gone, consent to it once with --allow-delete \
                 {share}@{begin}, or in git with `guards: {{ max_delete: {share}, reason: ..., until: ... }}`"
            ),
        });
    }
    draft.refusals.extend(refusals);
}

/// Returns the smallest whole percentage that so much of a whole does not exceed.
fn whole_percent(part: u64, whole: u64) -> Percent {
    let percent = (u128::from(part) * 100).div_ceil(u128::from(whole.max(1))).min(100);
    Percent::hundredths(u32::try_from(percent).unwrap_or(100) * 100)
}
