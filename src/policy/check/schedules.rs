//! Schedules: what they name, and keys that do not fit together. Pure.

use std::collections::BTreeMap;

use crate::domain::{BackupType, Engine, Name, ScheduleSpec, Section, StoreSpec, Timing};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::raw::{RetentionRef, Schedule, TenantsRef};
use crate::policy::set::Thing;
use crate::policy::text::Places;
use crate::policy::values::texts;

use super::Known;
use super::tenancy::refuse_bad_globs;

/// Looks at one schedule.
pub(in crate::policy) fn schedule(raw: &Schedule, places: &Places, known: &Known, cx: &mut Context<'_>) {
    if raw.backup != Some(BackupType::Files) {
        known.databases(raw.databases.as_ref(), places, "a schedule", cx);
    }
    if let Some(store) = &raw.store {
        known.refer(Section::Store, store, places.get("store"), cx);
    }
    if let Some(RetentionRef::Name(name)) = &raw.retention {
        known.refer(Section::Retention, name, places.get("retention"), cx);
    }
    match &raw.tenants {
        Some(TenantsRef::Classes(of)) => {
            for (index, name) in
                of.class.clone().into_iter().flat_map(super::super::values::OneOrMany::list).enumerate()
            {
                known.refer(Section::Class, &name, places.get(&format!("tenants.class[{index}]")), cx);
            }
        }
        Some(TenantsRef::Slugs(globs)) => {
            let globs: Vec<String> = globs.iter().map(|glob| glob.0.clone()).collect();
            refuse_bad_globs(&globs, "tenants", places, cx);
        }
        Some(TenantsRef::All(_)) | None => {}
    }
    if let Some(base) = &raw.base {
        known.refer(Section::Schedule, base, places.get("base"), cx);
    }
    for (key, names) in
        raw.notify.iter().flat_map(|notify| [("success", &notify.success), ("failure", &notify.failure)])
    {
        known.channels(names.as_deref().unwrap_or_default(), &format!("notify.{key}"), places, cx);
    }
    for (key, list) in [("tables", &raw.tables), ("paths", &raw.paths), ("exclude", &raw.exclude)] {
        refuse_bad_globs(&texts(list.as_ref()), key, places, cx);
    }
    if raw.max_chain == Some(0) {
        let help = format!("write 1 or more; the default is {}", ScheduleSpec::MAX_CHAIN);
        cx.bad_value(places.get("max_chain"), "a chain of no incremental backups is none", help);
    }
    if let Some(jobs) = raw.max_parallel_jobs
        && !(1..=64).contains(&jobs)
    {
        let message = format!("`max_parallel_jobs` is {jobs}, and a schedule runs 1 to 64 programs at once");
        cx.bad_value(places.get("max_parallel_jobs"), message, "write a number from 1 to 64; the default is 1");
    }
}

/// Refuses passwords of roles in a store that anybody can read who reaches it.
pub(in crate::policy) fn passwords(
    schedules: &BTreeMap<Name, Thing<ScheduleSpec>>,
    stores: &BTreeMap<Name, Thing<StoreSpec>>,
    cx: &mut Context<'_>,
) {
    for thing in schedules.values().filter(|thing| thing.spec.passwords) {
        let Some(store) = stores.get(&thing.spec.store).filter(|store| store.spec.encryption.is_none()) else {
            continue;
        };
        let message = format!(
            "`passwords` puts the hashes of roles' passwords into the store `{}`, which has no encryption",
            thing.spec.store
        );
        let help = "give the store `encryption: { recipients: [...] }`, or remove `passwords`";
        let _ = cx
            .error(codes::CONFLICT, thing.places.get("passwords"), message, "not into an open store", help)
            .and(store.place, "this store");
    }
}

/// Refuses incremental schedules whose base is no base of theirs.
pub(in crate::policy) fn bases(schedules: &BTreeMap<Name, Thing<ScheduleSpec>>, cx: &mut Context<'_>) {
    for thing in schedules.values() {
        let Some((name, base)) = thing.spec.base.as_ref().and_then(|name| Some((name, schedules.get(name)?))) else {
            continue;
        };
        let missing = thing.spec.databases.iter().find(|database| !base.spec.databases.contains(database));
        let (message, help) = if base.spec.engine != Engine::Physical {
            (
                format!("`{name}` makes no base backups, which an incremental one builds on"),
                "name a schedule with `backup: full_system` and `engine: physical`".to_owned(),
            )
        } else if let Some(missing) = missing {
            (
                format!("`{name}` makes no base backups of `{missing}`"),
                format!("add `{missing}` to the databases of `{name}`, or name another schedule"),
            )
        } else if base.spec.store != thing.spec.store {
            (
                format!("`{name}` puts its base backups into another store, `{}`", base.spec.store),
                "give both schedules the same `store`: a chain lies in one place".to_owned(),
            )
        } else {
            continue;
        };
        let _ = cx
            .error(codes::BAD_BASE, thing.places.get("base"), message, "no base for this", help)
            .and(base.place, "this schedule");
    }
}

/// Refuses a calendar for the schedule that backups belong to which somebody asks for by what they are of: a window that
/// counts both would let either delete the other.
pub(in crate::policy) fn on_demand(schedules: &BTreeMap<Name, Thing<ScheduleSpec>>, cx: &mut Context<'_>) {
    let Some(thing) = schedules.get(&Name::on_demand()) else { return };
    if thing.spec.when.timing != Timing::OnRequest {
        let message = "`on-demand` is the schedule of what `bkup backup` is asked for, and has no calendar";
        let help = "write `when: { on: request }`, or give the schedule another name";
        let _ = cx
            .error(codes::CONFLICT, thing.places.get("when"), message, "a calendar", help)
            .and(thing.place, "this schedule");
    }
}
