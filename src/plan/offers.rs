//! Renames that nobody said: a name that vanished beside a new one that is the same thing. Offered, never assumed: a
//! wrong guess would give one thing the history of another. Pure.

use std::collections::BTreeMap;

use super::world::View;
use crate::domain::{Address, Applied, DatabaseSpec, Moved, Name, Plan, ScheduleSpec, Section, StoreSpec};

/// Adds what looks like a rename. Stores and databases come first: schedules are compared as if those were accepted.
pub fn plan(view: &View<'_>, draft: &mut Plan) {
    let Some(catalog) = view.catalog else { return };
    if !view.wants("changes") {
        return;
    }
    let documents = &view.desired.documents;
    let gone: Vec<(&Address, &Applied)> = catalog
        .applied
        .iter()
        .filter(|(address, applied)| applied.archived_at.is_none() && !documents.contains_key(*address))
        .filter(|(address, _)| !is_spoken_for(view, address))
        .collect();
    let new: Vec<&Address> = documents.keys().filter(|address| !catalog.applied.contains_key(*address)).collect();
    if gone.is_empty() || new.is_empty() {
        return;
    }
    let mut offers: Vec<Moved> = Vec::new();
    for section in [
        Section::Store,
        Section::Database,
        Section::Retention,
        Section::Class,
        Section::Channel,
        Section::Schedule,
        Section::RecoveryPlan,
    ] {
        let names: BTreeMap<(Section, Name), Name> = offers
            .iter()
            .filter_map(|o| Some(((o.from.section(), o.from.name()?.clone()), o.to.name()?.clone())))
            .collect();
        let same = |from: &Address, applied: &Applied, to: &Address| is_same(view, &names, from, applied, to);
        let old: Vec<&(&Address, &Applied)> = gone.iter().filter(|(a, _)| a.section() == section).collect();
        let candidates: Vec<&&Address> = new.iter().filter(|a| a.section() == section).collect();
        let mut found = Vec::new();
        for (from, applied) in &old {
            // Two candidates are none: a guess would be as likely wrong as right.
            if let [to] = candidates.iter().filter(|to| same(from, applied, to)).collect::<Vec<_>>()[..] {
                found.push(Moved { from: (*from).clone(), to: (**to).clone() });
            }
        }
        let unique = |m: &Moved| found.iter().filter(|other| other.to == m.to).count() == 1;
        offers.extend(found.iter().filter(|m| unique(m)).cloned());
    }
    offers.retain(|offer| view.in_target(&offer.to));
    draft.offers = offers;
}

/// Returns whether the policies say already what becomes of it.
fn is_spoken_for(view: &View<'_>, address: &Address) -> bool {
    view.desired.removed.iter().any(|removed| &removed.from == address)
        || view.desired.moved.iter().any(|moved| &moved.from == address)
}

fn is_same(
    view: &View<'_>,
    names: &BTreeMap<(Section, Name), Name>,
    from: &Address,
    applied: &Applied,
    to: &Address,
) -> bool {
    let (Some(old), Some(new)) = (from.name(), to.name()) else { return false };
    let same_body = || view.desired.documents.get(to).is_some_and(|document| document.body == applied.body);
    match from.section() {
        Section::Store => {
            let recorded = view.catalog.and_then(|catalog| catalog.stores.get(old));
            let found = view.store(new).ok().and_then(|facts| facts.marker.as_ref()).map(|marker| &marker.store_id);
            let urls = serde_json::from_value::<StoreSpec>(applied.body.clone()).ok().map(|spec| spec.url);
            recorded.is_some() && recorded == found
                || urls.is_some() && urls == view.desired.stores.get(new).map(|spec| spec.url.clone())
        }
        Section::Database => {
            let before = serde_json::from_value::<DatabaseSpec>(applied.body.clone()).ok().map(|spec| spec.url);
            before.is_some() && before == view.desired.databases.get(new).map(|spec| spec.url.clone())
        }
        Section::Schedule => {
            let Ok(mut spec) = serde_json::from_value::<ScheduleSpec>(applied.body.clone()) else { return false };
            let renamed = |section, name: &Name| names.get(&(section, name.clone())).unwrap_or(name).clone();
            spec.databases = spec.databases.iter().map(|name| renamed(Section::Database, name)).collect();
            spec.store = renamed(Section::Store, &spec.store);
            spec.retention_name = spec.retention_name.as_ref().map(|name| renamed(Section::Retention, name));
            view.desired.schedules.get(new).is_some_and(|wanted| wanted == &spec) || same_body()
        }
        _ => same_body(),
    }
}
