//! From a schedule as it is written to what it asks for: defaults, the rule it names, and which keys fit which kind of
//! backup. Pure.

use std::collections::BTreeMap;

use crate::domain::{BackupType, Engine, Name, NotifySpec, RetentionRule, ScheduleSpec, TenantFilter, Timing};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::text::Places;
use crate::policy::values::texts;

use super::{RetentionRef, Schedule};

impl Schedule {
    /// Fills in the defaults and the rule; `None` where something needed is missing.
    pub fn spec(
        &self,
        places: &Places,
        retentions: &BTreeMap<Name, RetentionRule>,
        cx: &mut Context<'_>,
    ) -> Option<ScheduleSpec> {
        let when = self.when.as_ref().and_then(|when| when.spec("when", places, cx));
        let tenants = match &self.tenants {
            None => Some(TenantFilter::All),
            Some(tenants) => tenants.spec("tenants", places, cx),
        };
        let (retention, retention_name) = match self.retention.as_ref()? {
            RetentionRef::Name(name) => (retentions.get(name).cloned(), Some(name.clone())),
            RetentionRef::Rule(rule) => (Some(rule.spec("retention.", places, cx)), None),
        };
        let fits = self.keys_fit(places, cx);
        let (when, start_within) = when?;
        let backup = self.backup?;
        if when.timing == Timing::OnChange && backup != BackupType::Configuration {
            let message = "`on: change` is for `backup: configuration`: nobody knows when data changes";
            let help = "give `when` a frequency or a cron expression, or write `backup: configuration`";
            let _ = cx
                .error(codes::CONFLICT, places.get("when.on"), message, "never comes", help)
                .and(places.get("backup"), "not the configuration");
            return None;
        }
        let engine = self.engine.unwrap_or_else(|| default_engine(backup));
        if !fits || self.base.is_none() && engine == Engine::Incremental {
            return None;
        }
        Some(ScheduleSpec {
            databases: if backup == BackupType::Files { Vec::new() } else { self.databases.clone()? },
            backup,
            engine,
            tenants: tenants?,
            tables: texts(self.tables.as_ref()),
            when,
            start_within: self.start_within.unwrap_or(start_within),
            retention: retention?,
            retention_name,
            store: self.store.clone()?,
            compression: self.compression.unwrap_or_default(),
            max_parallel_jobs: self.max_parallel_jobs.unwrap_or(1),
            base: self.base.clone(),
            max_chain: (engine == Engine::Incremental).then(|| self.max_chain.unwrap_or(ScheduleSpec::MAX_CHAIN)),
            passwords: self.passwords.unwrap_or_default(),
            paths: texts(self.paths.as_ref()),
            exclude: texts(self.exclude.as_ref()),
            notify: self.notify.as_ref().map(|notify| NotifySpec {
                success: notify.success.clone().unwrap_or_default(),
                failure: notify.failure.clone(),
            }),
        })
    }

    /// Looks at which keys say something for this kind of backup, and which it needs; false where one is missing.
    fn keys_fit(&self, places: &Places, cx: &mut Context<'_>) -> bool {
        let Some(backup) = self.backup else { return false };
        let engine = self.engine.unwrap_or_else(|| default_engine(backup));
        let is = |kind: BackupType| backup == kind;
        let incremental = engine == Engine::Incremental;
        let rows = [
            ("databases", !is(BackupType::Files), "`databases` is for every kind but files"),
            (
                "engine",
                !is(BackupType::Files) && !is(BackupType::Configuration),
                "`engine` is for clusters, databases and tenants",
            ),
            ("tenants", is(BackupType::TenantData), "`tenants` is for `backup: tenant_data`"),
            ("tables", is(BackupType::Database), "`tables` is for `backup: database`"),
            ("passwords", is(BackupType::Configuration), "`passwords` is for `backup: configuration`"),
            ("paths", is(BackupType::Files), "`paths` is for `backup: files`"),
            ("exclude", is(BackupType::Files), "`exclude` is for `backup: files`"),
            ("base", incremental, "`base` is for `engine: incremental`"),
            ("max_chain", incremental, "`max_chain` is for `engine: incremental`"),
        ];
        for (key, _, why) in rows.into_iter().filter(|(key, fits, _)| !fits && places.has(key)) {
            let message = match why.contains("`engine: ") {
                true => format!("{why}, and this schedule is not"),
                false => format!("{why}, and this schedule has `backup: {}`", backup.word()),
            };
            let help = format!("remove `{key}`, or change what is backed up");
            let _ = cx
                .error(codes::CONFLICT, places.get(key), message, "says nothing here", help)
                .and(places.get("backup"), "this kind of backup");
        }
        if engine != Engine::Logical && matches!(backup, BackupType::Database | BackupType::TenantData) {
            let kind = if incremental { "an incremental" } else { "a physical" };
            let word = backup.word();
            let message = format!("{kind} backup is one of the whole cluster, and this schedule backs up `{word}`");
            let help = "write `backup: full_system`, or remove `engine` for a logical backup";
            let _ = cx
                .error(codes::CONFLICT, places.get("engine"), message, "not for this kind", help)
                .and(places.get("backup"), "a part of the cluster");
            return false;
        }
        let needed = [
            ("databases", !is(BackupType::Files), "a schedule"),
            ("paths", is(BackupType::Files), "a backup of files"),
            ("base", incremental, "an incremental backup"),
        ];
        let mut whole = true;
        for (key, _, what) in needed.into_iter().filter(|(key, needed, _)| *needed && !places.has(key)) {
            cx.missing(places.get("backup"), key, what);
            whole = false;
        }
        if self.paths.as_ref().is_some_and(Vec::is_empty) || self.tables.as_ref().is_some_and(Vec::is_empty) {
            let key = if self.paths.is_some() { "paths" } else { "tables" };
            let help = "name at least one glob, or remove the key";
            cx.error(codes::EMPTY_LIST, places.get(key), format!("`{key}` names nothing"), "empty", help);
            whole = false;
        }
        let relative = |path: &String| !path.starts_with('/');
        if let Some(index) = texts(self.paths.as_ref()).iter().position(relative) {
            let place = places.get(&format!("paths[{index}]"));
            cx.bad_value(place, "a path of files is absolute", "begin it with `/`, as in \"/srv/uploads/**\"");
            whole = false;
        }
        let climbs = |path: &String| {
            let mut steps = path.trim_matches('/').split('/');
            path.starts_with('/') && path.len() > 1 && steps.any(|step| matches!(step, "" | "." | ".."))
        };
        if let Some(index) = texts(self.paths.as_ref()).iter().position(climbs) {
            let place = places.get(&format!("paths[{index}]"));
            cx.bad_value(place, "a path of files goes straight down", "take out `.`, `..` and `//`");
            whole = false;
        }
        whole
    }
}

/// Returns the engine of a schedule that does not name one.
const fn default_engine(backup: BackupType) -> Engine {
    match backup {
        BackupType::FullSystem => Engine::Physical,
        _ => Engine::Logical,
    }
}
