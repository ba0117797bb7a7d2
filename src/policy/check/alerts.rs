//! Alerts: the channels they name. Pure.

use std::collections::BTreeMap;

use crate::domain::Section;
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::PolicySet;

use super::Known;

/// Looks at who is told.
pub(in crate::policy) fn alerts(set: &PolicySet, known: &Known, cx: &mut Context<'_>) {
    let Some(thing) = &set.alerts else { return };
    let routes = &thing.spec.routes;
    for (key, names) in [("critical", &routes.critical), ("warning", &routes.warning), ("info", &routes.info)] {
        let path = format!("routes.{key}");
        known.channels(names, &path, &thing.places, cx);
        let mut seen = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let first = *seen.entry(name).or_insert(index);
            if first != index {
                let place = thing.places.get(&format!("{path}[{index}]"));
                let message = format!("the channel `{name}` is listed twice, and would be told twice");
                let first = thing.places.get(&format!("{path}[{first}]"));
                let _ = cx
                    .error(codes::LISTED_TWICE, place, message, "the second time", "remove one of them")
                    .and(first, "the first time");
            }
        }
    }
}

/// Looks at where the WAL of each database goes, and at its globs.
pub(in crate::policy) fn databases(set: &PolicySet, known: &Known, cx: &mut Context<'_>) {
    for thing in set.databases.values() {
        if let Some(wal) = &thing.spec.wal {
            known.refer(Section::Store, &wal.store, thing.places.get("wal.store"), cx);
        }
        super::tenancy::refuse_bad_globs(&thing.spec.unmanaged, "unmanaged", &thing.places, cx);
    }
}
