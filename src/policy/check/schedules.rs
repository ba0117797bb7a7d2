//! Schedules: what they name, and keys that do not fit together. Pure.

use crate::domain::{BackupType, Section};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::raw::{RetentionRef, Schedule, TenantsRef};
use crate::policy::text::Places;

use super::Known;
use super::tenancy::refuse_bad_globs;

/// Looks at one schedule.
pub(in crate::policy) fn schedule(raw: &Schedule, places: &Places, known: &Known, cx: &mut Context<'_>) {
    known.databases(raw.databases.as_ref(), places, "a schedule", cx);
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
    if places.has("tenants") && raw.backup == Some(BackupType::Database) {
        let message = "`tenants` is for `backup: tenant_data`, and this schedule backs up the whole database";
        let help = "remove `tenants`, or write `backup: tenant_data`";
        cx.error(codes::CONFLICT, places.get("tenants"), message, "says nothing here", help)
            .and(places.get("backup"), "the whole database");
    }
    if let Some(jobs) = raw.max_parallel_jobs
        && !(1..=64).contains(&jobs)
    {
        let message = format!("`max_parallel_jobs` is {jobs}, and a schedule runs 1 to 64 programs at once");
        cx.bad_value(places.get("max_parallel_jobs"), message, "write a number from 1 to 64; the default is 1");
    }
}
