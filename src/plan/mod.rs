//! `plan(desired, observed, request) -> Plan`: the difference between the policies and the world at one instant. Pure
//! and total: no clock, no environment, no network, no randomness, no logger. What could not be seen holds work back;
//! it never deletes and never looks like a first run.

mod adoption;
mod backups;
mod configuration;
mod coverage;
mod digests;
mod drift;
mod drills;
mod ensure;
mod erasure;
mod floors;
mod guards;
mod life;
mod moved;
mod narrow;
mod objectives;
mod offers;
mod on_demand;
mod pruning;
mod removed;
mod tenancy;
mod unserved;
mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::{
    Action, ActionId, Address, AskedFor, CatalogFacts, CatalogState, Connections, Consent, Desired, Digest, Held,
    HeldReason, Instant, Name, Narrowing, Observation, Observed, OnDemand, PLAN_FORMAT, Plan, PlanPhase, Section,
};

pub use adoption::{Adoption, AdoptionPlan, adoption};
pub use coverage::{Target, backup_id, backup_id_of, coverage, covered};
pub use digests::{change_digest, digest, policy_digest, seal};
pub use drills::{draw as drill_draw, wanted as drill_wants};
pub use erasure::ErasureRefusal;
pub use life::{Lives, after_renames};
pub use moved::{carry, planned as planned_moves};
pub use narrow::{NarrowError, check as check_narrowing};
pub use objectives::rows as objective_rows;
pub use on_demand::ruled_by;
pub use world::Eligible;

/// What a plan is made for, beside policies and world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The instant it is made for.
    pub now: Instant,
    /// Whether that instant is of a simulated clock.
    pub simulated: bool,
    /// bkup's version.
    pub tool_version: String,
    /// The newest catalog version this program knows.
    pub catalog_version: i64,
    /// Stores whose private key is at hand.
    pub identities: BTreeSet<Name>,
    /// Schedules that somebody asks for now.
    pub requested: BTreeSet<Name>,
    /// A backup that somebody asks for now by what it is of.
    pub on_demand: Option<OnDemand>,
    /// Who asks for `requested` or `on_demand`, and why.
    pub asked_for: Option<AskedFor>,
    /// Recovery plans whose drill somebody asks for now.
    pub requested_drills: BTreeSet<Name>,
    /// How the plan is narrowed.
    pub narrowing: Narrowing,
    /// Consent to more deletions than `guards.max_delete` allows.
    pub allow_delete: Option<Consent>,
    /// Whether the plan says of every backup that stays why it does: for whoever asks, a million lines else.
    pub with_kept: bool,
}

/// Plans.
pub fn plan(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    seal(outline(desired, observed, request))
}

/// Plans, and leaves the two digests out. They cost more than the decisions of a small plan, and whoever looks at
/// thousands of instants approves none of them. Everything else is that of [`plan`].
pub fn outline(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    let mut draft = blank(desired, request, None);
    let catalog = match &observed.catalog {
        Observation::Unreachable(reason) => {
            draft.held.push(Held {
                address: crate::domain::Address::once(Section::Catalog),
                database: None,
                scope: None,
                work: "everything".to_owned(),
                reason: HeldReason::CatalogUnreachable,
                words: format!("the catalog could not be read: {reason}"),
            });
            return draft;
        }
        Observation::Known(CatalogState::Absent) => None,
        Observation::Known(CatalogState::Present(facts)) => Some(facts.as_ref()),
    };
    draft.lineage = catalog.map(|facts| facts.lineage.clone());
    draft.serial = catalog.map_or(0, |facts| facts.serial);

    let pending = catalog.map(|facts| moved::pending(desired, facts, request));
    let view = world::View::new(desired, observed, pending.as_ref().map(|pending| pending.facts.as_ref()), request);
    draft.rules = rules(&view);
    ensure::catalog(&view, &mut draft);
    if let Some(pending) = &pending {
        pending.plan(&view, &mut draft);
    }
    ensure::plan(&view, &mut draft);
    drift::plan(&view, &mut draft);
    removed::plan(&view, &mut draft);
    tenancy::plan(&view, &mut draft);
    offers::plan(&view, &mut draft);
    unserved::plan(&view, &mut draft);
    let planned = backups::plan(&view, &mut draft);
    let drilled = drills::plan(&view, &planned, &mut draft);
    let caused = pruning::plan(&view, &planned, &drilled, &mut draft);
    draft.objectives = objectives::rows(&view);
    if let Some(pending) = &pending {
        pending.put_first(&mut draft);
    }
    order(&mut draft);
    guards::check(&view, &caused, &mut draft);
    draft
}

/// Returns a plan of nothing.
fn blank(desired: &Desired, request: &Request, catalog: Option<&CatalogFacts>) -> Plan {
    Plan {
        format_version: PLAN_FORMAT.to_owned(),
        tool_version: request.tool_version.clone(),
        as_of: request.now,
        simulated: request.simulated,
        lineage: catalog.map(|facts| facts.lineage.clone()),
        serial: catalog.map_or(0, |facts| facts.serial),
        policy_digest: digests::policy_digest(desired),
        connections: Connections { stores: desired.stores.clone(), databases: desired.databases.clone() },
        rules: BTreeMap::new(),
        actions: Vec::new(),
        held: Vec::new(),
        kept: Vec::new(),
        objectives: Vec::new(),
        findings: Vec::new(),
        offers: Vec::new(),
        refusals: Vec::new(),
        consent: None,
        narrowing: (request.narrowing != Narrowing::default()).then(|| request.narrowing.clone()),
        digest: crate::domain::sha256(b""),
        change_digest: crate::domain::sha256(b""),
    }
}

/// Returns the digests under which deletions are decided: the policies' own where this plan applies them, else what is
/// applied already.
fn rules(view: &world::View<'_>) -> BTreeMap<Address, Digest> {
    let applied = view.catalog.into_iter().flat_map(|catalog| &catalog.applied);
    let mut rules: BTreeMap<Address, Digest> = applied.map(|(address, a)| (address.clone(), a.digest)).collect();
    for (address, document) in &view.desired.documents {
        if view.is_applied(address) {
            rules.insert(address.clone(), document.digest);
        }
    }
    // The rule `on-demand` decides about backups that no schedule of the policies asked for.
    let on_demand = view.groups().keys().any(|(schedule, ..)| schedule.is_on_demand());
    let decides = |address: &Address| on_demand && *address == on_demand::rule_address();
    rules.retain(|address, _| address.section() == Section::Schedule || decides(address));
    rules
}

/// Puts actions in the order in which they are done: by phase, except that nothing comes before what it waits for, then
/// as planned. A shared archive's tombstone waits for the purges of the last backups that name it, a later phase; done
/// before them, it would be skipped, and the next plan not be empty.
fn order(draft: &mut Plan) {
    draft.actions.sort_by_key(|action| action.kind.phase());
    draft.actions = after_what_they_wait_for(std::mem::take(&mut draft.actions));
    debug_assert!(
        draft.actions.iter().all(|a| a.kind.phase() >= PlanPhase::Tombstone || !a.kind.deletes()),
        "a deletion outside the deleting phases"
    );
    draft.held.sort_by(|a, b| (&a.address, &a.database, &a.scope).cmp(&(&b.address, &b.database, &b.scope)));
}

/// Moves actions behind what they wait for, and leaves the rest as it is.
fn after_what_they_wait_for(actions: Vec<Action>) -> Vec<Action> {
    let at: HashMap<ActionId, usize> = actions.iter().enumerate().map(|(index, action)| (action.id, index)).collect();
    let mut waits: Vec<usize> = vec![0; actions.len()];
    let mut frees: Vec<Vec<usize>> = vec![Vec::new(); actions.len()];
    for (index, action) in actions.iter().enumerate() {
        for before in action.after.iter().filter_map(|id| at.get(id)) {
            frees[*before].push(index);
            waits[index] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = (0..actions.len()).filter(|index| waits[*index] == 0).collect();
    let mut slots: Vec<Option<Action>> = actions.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(slots.len());
    while let Some(index) = ready.pop_first() {
        ordered.extend(slots[index].take());
        for next in &frees[index] {
            waits[*next] -= 1;
            if waits[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    // None is left: actions wait for what was planned before them, which cannot be a circle.
    ordered.extend(slots.into_iter().flatten());
    ordered
}
