//! Whether the steps of recovery plans can do what the plans promise, and do no harm on the way. Pure.

use crate::domain::{
    BackupType, DrillInto, Engine, PlanStep, RecoveryPlanSpec, RestoreInto, RestoreStep, ScheduleSpec,
};
use crate::policy::codes;
use crate::policy::decode::Context;
use crate::policy::set::{PolicySet, Thing};

use super::view::View;
use super::words;

/// Looks at the steps of every plan.
pub(super) fn prove(view: &mut View<'_>, cx: &mut Context<'_>) {
    let set = view.set;
    for thing in set.recovery_plans.values() {
        let mut proven = false;
        for (index, step) in thing.spec.steps.iter().enumerate() {
            match step {
                PlanStep::Run { command, .. } => harmful(command, proven, index, thing, cx),
                PlanStep::Check(_) => proven = true,
                PlanStep::Restore(restore) => {
                    whole_cluster(restore, index, thing, cx);
                    elsewhere(set, restore, index, thing, cx);
                }
                PlanStep::Manual(_) => {}
            }
        }
        drill_on_live(set, thing, cx);
        promised_by_wal(view, thing, cx);
    }
}

/// Programs and words that destroy data, with what they destroy.
const DESTROYS: &[(&str, &str)] = &[
    ("dropdb", "drops a database"),
    ("drop database", "drops a database"),
    ("drop schema", "drops a schema"),
    ("drop table", "drops a table"),
    ("truncate", "empties tables, and with CASCADE those that refer to them"),
    ("rm -rf", "deletes files"),
    ("rm -fr", "deletes files"),
    ("pg_restore --clean", "drops what it restores over"),
    ("pg_restore -c", "drops what it restores over"),
];

/// Words of programs that PostgreSQL no longer has, with what took their place.
const GONE: &[(&str, &str)] = &[
    (
        "recovery.conf",
        "PostgreSQL 12 and newer refuse to start with it: recovery settings stand in postgresql.conf beside recovery.signal",
    ),
    ("pg_start_backup", "PostgreSQL 15 removed it: pg_backup_start took its place"),
    ("pg_stop_backup", "PostgreSQL 15 removed it: pg_backup_stop took its place"),
    (
        "--write-recovery-conf",
        "recovery settings stand in postgresql.auto.conf since PostgreSQL 12, and restore_command is not among them",
    ),
];

/// Refuses programs that destroy before anything was proven, or that no server has any longer.
fn harmful(command: &[String], proven: bool, index: usize, thing: &Thing<RecoveryPlanSpec>, cx: &mut Context<'_>) {
    let line = command.join(" ").to_lowercase();
    let squeezed = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = thing.places.get(&format!("steps[{index}].run"));
    if let Some((word, why)) = GONE.iter().find(|(word, _)| squeezed.contains(word)) {
        let message = format!("this step uses `{word}`, which current servers do not have");
        let help = format!("{why}; a `restore` step does it for every version");
        cx.error(codes::RUNS_WHAT_IS_GONE, place, message, "cannot work", help);
    }
    if !proven && let Some((word, what)) = DESTROYS.iter().find(|(word, _)| squeezed.contains(word)) {
        let message = format!("this step {what} (`{word}`) before any restore was proven");
        let help = "restore `into: scratch` and `check` it first; `restore: { into: live }` then swaps without a moment in which nothing is there";
        cx.error(codes::DESTROYS_BEFORE_PROVEN, place, message, "destroys the only copy", help);
    }
}

/// Refuses restores of a cluster to where only a database can go, and the other way round.
fn whole_cluster(restore: &RestoreStep, index: usize, thing: &Thing<RecoveryPlanSpec>, cx: &mut Context<'_>) {
    let cluster = restore.backup == Some(BackupType::FullSystem);
    let known = restore.backup.is_some();
    let place = thing.places.get(&format!("steps[{index}].restore.into"));
    let (message, help) = match &restore.into {
        RestoreInto::Live | RestoreInto::New(_) if cluster => (
            "a whole cluster cannot be restored into a server that runs",
            "write `into: { folder: \"/empty/data/dir\" }`, and cut over to it by `run` and manual steps",
        ),
        RestoreInto::Folder(_) if restore.backup == Some(BackupType::Files) => return,
        RestoreInto::Live | RestoreInto::New(_) if restore.backup == Some(BackupType::Files) => (
            "files are restored into a folder, and no server is one",
            "write `into: scratch` or `into: { folder: \"/empty/dir\" }`, and move them by `run` and manual steps",
        ),
        RestoreInto::Folder(_) if known && !cluster => (
            "a data folder is restored from a backup of the whole cluster",
            "write `backup: full_system`, or restore `into: scratch`, `into: { new: NAME }` or `into: live`",
        ),
        _ => return,
    };
    let _ = cx
        .error(codes::CLUSTER_INTO_DATABASE, place, message, "does not fit", help)
        .and(thing.places.get(&format!("steps[{index}].restore.backup")), "this kind of backup");
}

/// Refuses a restore from a store that never gets the backups it asks for.
fn elsewhere(
    set: &PolicySet,
    restore: &RestoreStep,
    index: usize,
    thing: &Thing<RecoveryPlanSpec>,
    cx: &mut Context<'_>,
) {
    let Some(store) = &restore.store else { return };
    let makes = |spec: &&Thing<ScheduleSpec>| {
        let kind = restore.backup.is_none_or(|kind| kind == spec.spec.backup);
        let of_files = spec.spec.backup == BackupType::Files && restore.backup == Some(BackupType::Files);
        kind && (of_files || spec.spec.databases.iter().any(|database| thing.spec.databases.contains(database)))
    };
    let mut made = match &restore.schedule {
        Some(name) => set.schedules.get(name).into_iter().collect::<Vec<_>>(),
        None => set.schedules.values().filter(makes).collect(),
    }
    .into_iter()
    .map(|schedule| &schedule.spec.store)
    .peekable();
    if made.peek().is_none() {
        return;
    }
    let mut reached: Vec<_> = made.collect();
    let mut at = 0;
    while let Some(name) = reached.get(at).copied() {
        for replica in set.stores.get(name).into_iter().flat_map(|thing| &thing.spec.replicate_to) {
            if !reached.contains(&&replica.store) {
                reached.push(&replica.store);
            }
        }
        at += 1;
    }
    if !reached.contains(&store) {
        let mut names: Vec<String> = reached.iter().map(|name| format!("`{name}`")).collect();
        names.sort();
        names.dedup();
        let message = format!("no backup that this step asks for gets to `{store}`: they lie in {}", names.join(", "));
        let place = thing.places.get(&format!("steps[{index}].restore.store"));
        let help = format!("name one of these, or copy there with `replicate_to: [{store}]`");
        cx.error(codes::NOT_IN_STORE, place, message, "never there", help);
    }
}

/// Refuses drills on a server that is protected: a drill writes what it restores.
fn drill_on_live(set: &PolicySet, thing: &Thing<RecoveryPlanSpec>, cx: &mut Context<'_>) {
    let Some(DrillInto::Server(url)) = thing.spec.drill.as_ref().map(|drill| &drill.into) else { return };
    for (name, database) in set.databases.iter().filter(|(_, database)| &database.spec.url == url) {
        let message = format!("the drill would restore into the server of `{name}` itself");
        let help = "name a server that is for drills only, or write `into: scratch`";
        let _ = cx
            .error(codes::DRILL_ON_LIVE, thing.places.get("drill.into"), message, "a protected server", help)
            .and(database.places.get("url"), "the same server");
    }
}

/// Refuses a plan that promises what only WAL can give, and restores from dumps.
fn promised_by_wal<'a>(view: &mut View<'a>, thing: &'a Thing<RecoveryPlanSpec>, cx: &mut Context<'_>) {
    let Some(rpo) = thing.spec.rpo else { return };
    let restores: Vec<(usize, BackupType)> = thing
        .spec
        .steps
        .iter()
        .enumerate()
        .filter_map(|(index, step)| match step {
            PlanStep::Restore(restore) => Some((index, restore.backup?)),
            _ => None,
        })
        .collect();
    let replays = |kind: &BackupType| *kind == BackupType::FullSystem;
    if restores.is_empty() || restores.iter().any(|(_, kind)| replays(kind)) {
        return;
    }
    for database in &thing.spec.databases {
        let archived = view.set.databases.get(database).is_some_and(|thing| thing.spec.wal.is_some());
        let Some((index, kind)) = restores.first().copied().filter(|_| archived) else { continue };
        let lines: Vec<usize> = view
            .of(database)
            .iter()
            .copied()
            .filter(|line| {
                let spec = &view.lines[*line].thing.spec;
                restores.iter().any(|(_, kind)| *kind == spec.backup) && spec.engine == Engine::Logical
            })
            .collect();
        let Some(worst) = view.worst(database, lines).filter(|worst| worst.length > rpo) else { continue };
        let message = format!(
            "the plan promises an `rpo` of {}, which only the WAL archive can keep, and its steps restore dumps that can be {} old",
            words::length(rpo),
            words::length(worst.length)
        );
        let help = "restore `backup: full_system` into scratch, which replays WAL, and take the tenant or database from there; a tenant then takes as long as the whole cluster";
        let place = thing.places.get(&format!("steps[{index}].restore.backup"));
        let _ = cx
            .error(codes::PROMISED_BY_WAL, place, message, format!("`{}` replays no WAL", kind.word()), help)
            .and(thing.places.get("rpo"), "promised here");
        return;
    }
}
