//! Guards: what refuses a plan as a whole. A refusal names the numbers, the policy key and the one-off flag.

use std::collections::BTreeMap;

use super::digests::change_digest;
use super::world::View;
use super::{floors, tenancy};
use crate::domain::{
    ActionKind, Backup, BackupId, Bytes, Consent, GuardRefusal, Guards, Name, Observation, Percent, Period, Plan,
    Scope, Section,
};

/// How far a clock may be off before nothing is done by it.
const CLOCK_TOLERANCE: Period = Period::minutes(5);

/// The share of a store's backups that may be missing from its listing before the listing is not believed.
const SHORTFALL: Percent = Percent::hundredths(2000);

/// Adds every refusal.
pub fn check(view: &View<'_>, caused: &[BackupId], draft: &mut Plan) {
    empty_desired(view, draft);
    simulation(view, draft);
    clocks(view, draft);
    stores(view, draft);
    deletions(view, caused, draft);
}

fn refuse(draft: &mut Plan, guard: &str, words: impl Into<String>, help: impl Into<String>) {
    draft.refusals.push(GuardRefusal { guard: guard.to_owned(), words: words.into(), help: help.into() });
}

/// The guards in force. What `until` ends is the consent to delete more, never a floor or a grace period: a date that
/// passes must not make bkup bolder.
pub fn in_force(view: &View<'_>) -> Guards {
    let mut guards = view.desired.guards.clone();
    if guards.until.is_some_and(|until| until <= view.now()) {
        guards.max_delete = guards.max_delete.min(Guards::default().max_delete);
    }
    guards
}

fn empty_desired(view: &View<'_>, draft: &mut Plan) {
    let Some(catalog) = view.catalog else { return };
    let live = || catalog.applied.iter().filter(|(_, applied)| applied.archived_at.is_none());
    if view.desired.databases.is_empty() && view.desired.schedules.is_empty() && live().count() > 0 {
        refuse(
            draft,
            "empty_desired",
            format!("the policies ask for nothing, and the catalog holds {} applied things", live().count()),
            "check that -p points at the whole policy set; to give up a schedule, remove it while others stay",
        );
        return;
    }
    // A file that was emptied by mistake is whole policies without schedules: nothing would be backed up any more.
    let meant = |address: &crate::domain::Address| view.desired.removed.iter().any(|removed| &removed.from == address);
    let gone = live().filter(|(address, _)| address.section() == Section::Schedule && !meant(address)).count();
    if view.desired.schedules.is_empty() && gone > 0 {
        refuse(
            draft,
            "empty_desired",
            format!("the policies have no schedule left, and the catalog holds {gone} that are applied"),
            "check that -p points at the whole policy set; to give up every schedule, say so of each of them: \
             `removed: [{ from: schedule.NAME, backups: expire }]`",
        );
    }
}

/// A simulated clock and a real catalog never meet: time travel would delete what is young.
fn simulation(view: &View<'_>, draft: &mut Plan) {
    let Some(catalog) = view.catalog else { return };
    match (view.request.simulated, catalog.simulated) {
        (true, None) => refuse(
            draft,
            "clock",
            "a simulated clock is set and the catalog is a real one",
            "unset BKUP_NOW; it is honoured only with a catalog that was created as simulated",
        ),
        (true, Some(clock)) if view.now() < clock => refuse(
            draft,
            "clock",
            format!("the simulated clock would go back from {clock} to {}", view.now()),
            "set BKUP_NOW to a later instant, or leave it unset to go on from the catalog's own clock",
        ),
        _ => {}
    }
}

fn clocks(view: &View<'_>, draft: &mut Plan) {
    let newest = view.backups().iter().filter(|b| b.quarantine.is_none()).max_by_key(|b| b.consistent_at);
    if let Some(newest) = newest.filter(|b| b.consistent_at > CLOCK_TOLERANCE.after(view.now())) {
        refuse(
            draft,
            "clock",
            format!(
                "it is {}, and backup {} is of {}: this machine's clock is behind",
                view.now(),
                newest.id,
                newest.consistent_at
            ),
            "set the clock (NTP), then run again",
        );
    }
    if view.request.simulated {
        return;
    }
    for clock in &view.observed.clocks {
        if clock.ahead_seconds.abs() > CLOCK_TOLERANCE.as_seconds() {
            let side = if clock.ahead_seconds > 0 { "ahead of" } else { "behind" };
            let off = Period::seconds(clock.ahead_seconds.abs());
            refuse(
                draft,
                "clock",
                format!("the clock of the {} is {off} {side} this machine's", clock.owner),
                "set both clocks (NTP), then run again",
            );
        }
    }
}

fn stores(view: &View<'_>, draft: &mut Plan) {
    for (name, observation) in &view.observed.stores {
        let facts = match observation {
            Observation::Known(facts) => facts,
            Observation::Unreachable(_) if view.catalog.is_some() => continue,
            Observation::Unreachable(why) => {
                let words = format!(
                    "there is no catalog yet, and whether this is a first run is not known: store.{name} cannot be \
                     read: {why}"
                );
                refuse(draft, "catalog_missing", words, "make the store reachable, then plan again");
                continue;
            }
        };
        let Some(catalog) = view.catalog else {
            if facts.manifests > 0 {
                refuse(
                    draft,
                    "catalog_missing",
                    format!(
                        "store.{name} holds {} backups, and the catalog's database has no bkup schema: this is not a first run",
                        facts.manifests
                    ),
                    "if the catalog is lost, `bkup catalog rebuild` makes it again from the stores; else point its url at the one \
                     these backups were recorded in, or give this policy set a store prefix of its own; restores need no \
                     catalog (`bkup restore --store`)",
                );
            }
            continue;
        };
        let recorded = catalog.stores.get(name);
        let found = facts.marker.as_ref().map(|marker| &marker.store_id);
        if let Some(recorded) = recorded
            && found != Some(recorded)
        {
            let seen = found.map_or("has no marker".to_owned(), |id| format!("says it is {id}"));
            refuse(
                draft,
                "inventory",
                format!(
                    "store.{name} is recorded as {recorded}, and what its url points at {seen}: it is empty, another store, or a wrong mount"
                ),
                "check the store's url, bucket, prefix and mount; for a new place, give the store a new name",
            );
            continue;
        }
        if recorded.is_none() && facts.foreign > 0 {
            let words = format!(
                "store.{name} holds {} backups of another catalog, and this one has never used it",
                facts.foreign
            );
            let help = "give this policy set a store prefix of its own: two catalogs in one place would prune each \
                        other's backups";
            refuse(draft, "inventory", words, help);
            continue;
        }
        let counts = |b: &&Backup| &b.store == name && b.quarantine.is_none() && b.tombstoned_at.is_none();
        let known = catalog.backups.iter().filter(counts).count() as u64;
        let lost = facts.missing.iter().chain(damaged(view, name));
        let missing = lost.filter_map(|id| view.backup(id)).filter(counts).count() as u64;
        // One of four is more than 20 % and may still be one accident: it is quarantined, and the work goes on.
        let short = SHORTFALL.is_exceeded_by(missing, known) && (missing > 2 || missing == known);
        if short {
            refuse(
                draft,
                "inventory",
                format!(
                    "the listing of store.{name} lacks {missing} of the {known} backups that the catalog holds there, more than {SHORTFALL}"
                ),
                "look at the store before anything is changed: a truncated or denied listing looks the same as a loss",
            );
        }
    }
}

/// Returns the backups of a store whose objects are not as recorded.
fn damaged<'a>(view: &View<'a>, store: &Name) -> impl Iterator<Item = &'a BackupId> {
    let signs = view.observed.signs.stores.get(store).map(|signs| &signs.objects);
    signs.into_iter().flat_map(|objects| &objects.damaged).map(|damage| &damage.backup)
}

/// Judges the deletions that a change causes: how much of each scope and store, and what is left of each scope.
fn deletions(view: &View<'_>, caused: &[BackupId], draft: &mut Plan) {
    if caused.is_empty() && !tenancy::needs_consent(draft) {
        return;
    }
    let change = change_digest(draft);
    let asked = view.request.allow_delete.as_ref();
    let granted = asked.filter(|consent| consent.covers(&change));
    let usual = in_force(view).max_delete;
    let limit = granted.map_or(usual, |consent| usual.max(consent.share));
    let before = draft.refusals.len();
    max_delete(view, caused, limit, draft);
    floors::check(view, limit.is_all(), draft);
    tenancy::check(view, limit, &begin_of(draft), draft);
    if draft.refusals.len() > before
        && let Some(consent) = asked.filter(|_| granted.is_none())
    {
        let given = consent.change.as_deref().unwrap_or_default();
        let words =
            format!("the consent to delete {} was given for change {given}, and this is another", consent.share);
        let help = format!("look at this plan again; its change digest is {}", begin_of(draft));
        refuse(draft, "consent", words, help);
    }
    if limit.is_all() {
        // Who consents to all of it knows that nothing is left: the last look before each deletion must not refuse it.
        for action in &mut draft.actions {
            if let ActionKind::Tombstone(work) = &mut action.kind
                && work.any_schedule
            {
                work.min_keep = 0;
            }
        }
    }
    draft.consent = granted.map(|consent| Consent { share: consent.share, change: Some(change.to_string()) });
}

/// Returns what a consent names a plan's change by.
pub fn begin_of(draft: &Plan) -> String {
    change_digest(draft).to_string()[..Consent::SHORTEST].to_owned()
}

type Place<'a> = (Option<&'a Name>, Option<&'a Scope>, &'a Name);

/// Returns the places in which a backup counts: its scope and its store.
fn places(backup: &Backup) -> [Place<'_>; 2] {
    [(backup.database.as_ref(), Some(&backup.scope), &backup.store), (None, None, &backup.store)]
}

/// Compares the deletions that a change causes with what there is, scope by scope and store by store.
fn max_delete(view: &View<'_>, caused: &[BackupId], limit: Percent, draft: &mut Plan) {
    let mut totals: BTreeMap<Place<'_>, (u64, Bytes)> = BTreeMap::new();
    for backup in view.backups().iter().filter(|b| b.tombstoned_at.is_none()) {
        for place in places(backup) {
            let total = totals.entry(place).or_default();
            *total = (total.0 + 1, total.1.plus(backup.size));
        }
    }
    let mut deleted: BTreeMap<Place<'_>, (u64, Bytes)> = BTreeMap::new();
    for backup in caused.iter().filter_map(|id| view.backup(id)) {
        for place in places(backup) {
            let sum = deleted.entry(place).or_default();
            *sum = (sum.0 + 1, sum.1.plus(backup.size));
        }
    }
    let mut refusals = Vec::new();
    let mut needed = Percent::hundredths(0);
    // A scope says more than its store, and sorts behind it.
    for (place, (count, bytes)) in deleted.iter().rev() {
        let (all, all_bytes) = totals.get(place).copied().unwrap_or_default();
        if limit.is_exceeded_by(*count, all) || limit.is_exceeded_by(bytes.0, all_bytes.0) {
            let whose = match place {
                (Some(database), Some(scope), _) => format!("of database.{database} {scope}"),
                (_, _, store) => format!("in store.{store}"),
            };
            refusals.push(format!("{count} of {all} backups {whose} ({bytes} of {all_bytes})"));
            needed = needed.max(whole_percent(*count, all)).max(whole_percent(bytes.0, all_bytes.0));
        }
    }
    let Some(first) = refusals.first().cloned() else { return };
    let more =
        if refusals.len() > 1 { format!(", and the same for {} more", refusals.len() - 1) } else { String::new() };
    let help = format!(
        "if that is meant, consent to this change once with --allow-delete {needed}@{}, or in git with \
         `guards: {{ max_delete: {needed}, reason: ..., until: ... }}`",
        begin_of(draft)
    );
    refuse(draft, "max_delete", format!("this change deletes {first}{more}; `guards.max_delete` allows {limit}"), help);
}

/// Returns the smallest whole percentage that so much of a whole does not exceed.
fn whole_percent(part: u64, whole: u64) -> Percent {
    let percent = (u128::from(part) * 100).div_ceil(u128::from(whole.max(1))).min(100);
    Percent::hundredths(u32::try_from(percent).unwrap_or(100) * 100)
}
