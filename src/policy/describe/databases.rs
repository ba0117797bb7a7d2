//! What a database, the catalog and the guards mean. Pure.

use crate::domain::{Address, DatabaseSpec, EnvText, Guards, Name, Period, Section, TenantSelector, Use};
use crate::policy::set::PolicySet;

use super::settings::Computed;
use super::{Description, topic, words};

/// Describes a database.
pub(super) fn describe(set: &PolicySet, name: &Name, spec: &DatabaseSpec) -> Description {
    let reached = match &spec.url {
        EnvText::Variable(variable) => format!("reached by the URL in the environment variable {variable}"),
        EnvText::Literal(_) => format!("reached at {}", spec.url.shown()),
    };
    let tenants = match &spec.tenants {
        None => "it has no tenants: nothing says how they would be found".to_owned(),
        Some(TenantSelector::Schemas(pattern)) => {
            format!("each schema that matches {pattern} is a tenant; what * matches is its slug")
        }
        Some(TenantSelector::Query(query)) => format!("the query gives them: {query}"),
    };
    let mut archived = Vec::new();
    if let Some(wal) = &spec.wal {
        archived.push(format!("into store.{}; every instant of the last {} can be restored", wal.store, wal.window));
        archived.push(format!(
            "a change is safe after at most {}: {} until the server switches segments, {} to archive one",
            words::spoken(Period::seconds(wal.archive_timeout.as_seconds().saturating_add(wal.max_lag.as_seconds()))),
            wal.archive_timeout,
            wal.max_lag
        ));
    }
    let mut aside = Vec::new();
    if !spec.unmanaged.is_empty() {
        aside.push(format!("on purpose, the tables that match {}", words::joined(&spec.unmanaged, "or")));
    }
    let mut used_by = Vec::new();
    for (schedule, thing) in set.schedules.iter().filter(|(_, thing)| thing.spec.databases.contains(name)) {
        let words = format!("backs up {}, {}", words::kind(thing.spec.backup), words::when(&thing.spec.when));
        used_by.push(Use { address: Address::of(Section::Schedule, schedule.clone()), words });
    }
    let schedules = used_by.len();
    for (plan, _) in set.recovery_plans.iter().filter(|(_, thing)| thing.spec.databases.contains(name)) {
        let address = Address::of(Section::RecoveryPlan, plan.clone());
        used_by.push(Use { address, words: "brings it back".to_owned() });
    }
    let backed_up = match schedules {
        0 => "No schedule backs it up.".to_owned(),
        n => format!("{} {} it up.", words::counted(n, "schedule"), if n == 1 { "backs" } else { "back" }),
    };
    Description {
        summary: format!("A protected database, {reached}. {backed_up}"),
        topics: vec![
            topic("Its tenants", vec![tenants]),
            topic("Where its WAL goes", archived),
            topic("What is in no backup", aside),
            topic("What is promised", spec.objectives.as_ref().map(words::objectives).unwrap_or_default()),
        ],
        used_by,
        ..Description::default()
    }
}

/// Describes the guards, which have defaults where no file says them.
pub(super) fn guards(spec: Option<&Guards>) -> Description {
    let guards = spec.cloned().unwrap_or_default();
    let mut lines = vec![
        format!(
            "a plan whose changes would delete more than {} of a scope's or a store's backups or bytes is refused (exit 4)",
            guards.max_delete
        ),
        format!("the newest {} restorable backups of every scope stay, whatever retention says", guards.min_keep),
        format!("a pruned backup can be brought back for {}; then its objects are deleted", guards.grace),
        "for one change only: `bkup apply --allow-delete N%@DIGEST`".to_owned(),
    ];
    if let Some(until) = guards.until {
        lines.push(format!("the limits differ from the defaults until {}", until.strftime("%Y-%m-%d %H:%M UTC")));
    }
    if let Some(reason) = &guards.reason {
        lines.push(format!("the reason: {reason}"));
    }
    let origin = if spec.is_some() { "" } else { " No file says them: these are the defaults." };
    Description {
        summary: format!("The limits of a single apply.{origin}"),
        topics: vec![topic("What it means", lines)],
        ..Description::default()
    }
}

/// Describes the catalog, whose place has a default.
pub(super) fn catalog(url: &EnvText) -> Description {
    let reached = match url {
        EnvText::Variable(variable) => format!("Reached by the URL in the environment variable {variable}."),
        EnvText::Literal(_) => format!("Reached at {}.", url.shown()),
    };
    let lines = [
        "the schema bkup of a PostgreSQL database: what was applied, which backups exist, what drills proved",
        "`apply` makes and migrates it; restores do not need it",
    ];
    Description {
        summary: format!("bkup's own records. {reached}"),
        computed: vec![Computed::plain("url", format!("\"{}\"", url.shown()))],
        topics: vec![topic("What it holds", lines.map(str::to_owned).to_vec())],
        ..Description::default()
    }
}
