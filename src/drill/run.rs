//! One drill: a scratch server, the backups restored into it, the checks made, the times taken, everything removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant as Monotonic;

use super::{checks, files};
use crate::domain::{Bytes, CheckResult, DrillBackup, DrillWork, Evidence, Instant, Period, Phase};
use crate::engine::restore::create_database;
use crate::engine::{Connection, EntryFailure, RestoreOptions};
use crate::restore::{self, Beside, Loaded, Opened, Origin, Place, RestoreError, ScratchSpec, Workshop};

/// A backup that a drill restores.
#[derive(Clone)]
pub struct Subject {
    /// As planned.
    pub part: DrillBackup,
    /// Where it lies.
    pub origin: Origin,
}

/// A drill to run.
pub struct Drill {
    /// The work.
    pub work: DrillWork,
    /// Its backups, in the order in which they are restored.
    pub subjects: Vec<Subject>,
    /// What tells this drill's server from others.
    pub tag: String,
    /// The clock.
    pub now: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// Whether that clock is simulated.
    pub simulated: bool,
    /// bkup's version.
    pub tool_version: String,
    /// The digest of the evidence before this one.
    pub previous: Option<String>,
}

/// A backup that was restored, with the database it went into.
pub(super) struct Restored {
    pub part: DrillBackup,
    pub opened: Opened,
    pub target: Connection,
    /// What of it could not be restored without tenants that are not in the drill.
    pub deferred: Vec<EntryFailure>,
}

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The evidence.
    pub evidence: Evidence,
    /// A backup whose own objects are damaged, and how.
    pub damaged: Option<(DrillBackup, String)>,
}

/// Where drills are run. An interface, so that the executor can be run without a server; the only one that ships makes
/// scratch servers.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Runs a drill. It always gives evidence: what does not work is what it is for.
    async fn run(&self, drill: &Drill) -> Finding;
}

#[async_trait]
impl Stage for Workshop {
    async fn run(&self, drill: &Drill) -> Finding {
        let begin = (drill.now)();
        let clock = Monotonic::now();
        let mut seen = Seen::default();
        let failure = attempt(self, drill, &mut seen).await.err().map(|error| error.to_string());
        let elapsed = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let damaged = seen.damaged.take();
        Finding { evidence: evidence(drill, begin, elapsed, seen, failure), damaged }
    }
}

#[derive(Default)]
pub(super) struct Seen {
    pub phases: Vec<Phase>,
    pub checks: Vec<CheckResult>,
    pub fetched: Bytes,
    /// What could not be restored without tenants that are not in the drill.
    left_out: Vec<String>,
    server_version: String,
    damaged: Option<(DrillBackup, String)>,
}

impl Seen {
    /// Remembers whose damage an error is.
    pub fn blame<T>(&mut self, part: &DrillBackup, result: Result<T, RestoreError>) -> Result<T, RestoreError> {
        if let Err(error) = &result
            && error.is_damage()
        {
            self.damaged = Some((part.clone(), error.to_string()));
        }
        result
    }
}

async fn attempt(workshop: &Workshop, drill: &Drill, seen: &mut Seen) -> Result<(), RestoreError> {
    let (of_files, subjects): (Vec<&Subject>, Vec<&Subject>) =
        drill.subjects.iter().partition(|subject| matches!(subject.part.scope, crate::domain::Scope::Files(_)));
    for (number, subject) in of_files.into_iter().enumerate() {
        files::attempt(workshop, drill, subject, number, seen).await?;
    }
    if subjects.is_empty() {
        return Ok(());
    }
    let begun = Monotonic::now();
    let manifests = subjects.iter().map(|subject| &subject.origin.manifest);
    let major = manifests.clone().map(restore::major_of).max().unwrap_or(0);
    let expected = manifests.flat_map(|manifest| &manifest.parts).map(|part| Bytes(part.original_size)).sum();
    let spec = ScratchSpec { major, tag: drill.tag.clone(), expected };
    let (scratch, programs) = workshop.start(&spec).await?;
    seen.server_version = format!("{}.{}", programs.major, programs.minor);
    seen.phases.push(phase("start server", &drill.work.drill, begun));

    // A shared archive and the tenants that name it have a database of their own, and so has each whole one. A sample can
    // be of several slots and schedules, each with its shared archive: in one database these would meet each other's tables.
    let mut databases: BTreeMap<String, Connection> = BTreeMap::new();
    let mut restored = Vec::new();
    for subject in subjects {
        let manifest = &subject.origin.manifest;
        let key = manifest.shared.clone().unwrap_or_else(|| subject.part.backup.to_string());
        let target = match databases.get(&key) {
            Some(target) => target.clone(),
            None => {
                let name = format!("drill_{}", databases.len());
                create_database(&scratch.connection("postgres"), &name).await?;
                let target = scratch.connection(&name);
                databases.insert(key, target.clone());
                target
            }
        };
        let begun = Monotonic::now();
        let opened = seen.blame(&subject.part, restore::open(subject.origin.clone()).await)?;
        let opened = opened.with_room(workshop.folder.join(format!("bkup-{}.definitions", drill.tag)));
        seen.phases.push(phase("open key", subject.part.backup.as_str(), begun));
        let loaded = restore::load(&opened, &programs, &target, RestoreOptions::default()).await;
        let loaded = seen.blame(&subject.part, loaded)?;
        seen.fetched = seen.fetched.plus(loaded.fetched);
        seen.phases.extend(loaded.phases);
        restored.push(Restored { part: subject.part.clone(), opened, target, deferred: loaded.deferred });
    }
    let list = workshop.folder.join(format!("bkup-{}.list", drill.tag));
    for target in databases.values() {
        let place = Place { programs: &programs, target, list: &list, tell: &|_| () };
        settle(&mut restored, place, seen).await?;
    }
    for one in &restored {
        seen.left_out.extend(one.deferred.iter().map(ToString::to_string));
    }
    for check in &drill.work.checks {
        let begun = Monotonic::now();
        seen.checks.extend(checks::perform(check, &restored).await?);
        seen.phases.push(phase("check", &checks::word(check), begun));
    }
    let begun = Monotonic::now();
    scratch.stop().await?;
    seen.phases.push(phase("remove server", &drill.work.drill, begun));
    Ok(())
}

/// Brings what waited for others in one database, and keeps of each backup what is left out.
async fn settle(restored: &mut [Restored], place: Place<'_>, seen: &mut Seen) -> Result<(), RestoreError> {
    let inside = |one: &Restored| one.target.database() == place.target.database();
    let places: Vec<usize> = (0..restored.len()).filter(|index| inside(&restored[*index])).collect();
    let mut members: Vec<Beside<'_>> =
        places.iter().map(|index| Beside::new(&restored[*index].opened, restored[*index].deferred.clone())).collect();
    let mut loaded = Loaded::default();
    let settled = restore::settle(&mut members, place, &mut loaded).await;
    let left_out: Vec<Vec<EntryFailure>> = members.into_iter().map(Beside::left_out).collect();
    seen.phases.extend(loaded.phases);
    seen.fetched = seen.fetched.plus(loaded.fetched);
    if let Err((index, error)) = settled {
        return seen.blame(&restored[places[index]].part, Err(error));
    }
    for (index, left_out) in places.into_iter().zip(left_out) {
        restored[index].deferred = left_out;
    }
    Ok(())
}

pub(super) fn phase(name: &str, subject: &str, begun: Monotonic) -> Phase {
    Phase {
        phase: name.to_owned(),
        subject: subject.to_owned(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn evidence(drill: &Drill, begin: Instant, elapsed: u64, seen: Seen, failure: Option<String>) -> Evidence {
    let work = &drill.work;
    let instants = drill.subjects.iter().filter_map(|s| s.origin.manifest.consistent_at.parse::<Instant>().ok());
    let age = instants.min().map_or(Period::default(), |oldest| Period::between(oldest, begin));
    let minutes = |period: Period| u64::try_from(period.as_seconds() / 60).unwrap_or(0);
    let rpo_compliant = work.rpo.map(|rpo| age <= rpo);
    // What comes after the last check is tidying up, not recovery.
    let tidying: u64 = seen
        .phases
        .iter()
        .filter(|p| ["remove server", "remove files"].contains(&p.phase.as_str()))
        .map(|p| p.milliseconds)
        .sum();
    let restore_ms = elapsed.saturating_sub(tidying);
    let rto_compliant =
        work.rto.map(|rto| restore_ms <= u64::try_from(rto.as_seconds()).unwrap_or(0).saturating_mul(1000));
    let failed_check = seen.checks.iter().find(|check| !check.passed).map(|check| {
        let of = check.tenant.as_ref().map(|tenant| format!(" of tenant {tenant:?}")).unwrap_or_default();
        format!("check {:?}{of} did not hold: expected {}, saw {}", check.check, check.expected, check.observed)
    });
    let objective = || match (rpo_compliant, rto_compliant) {
        (Some(false), _) => {
            Some(format!("the backup is {age} old, and the plan allows a loss of {}", work.rpo.unwrap_or_default()))
        }
        (_, Some(false)) => {
            Some(format!("the restore took {restore_ms} ms, and the plan allows {}", work.rto.unwrap_or_default()))
        }
        _ => None,
    };
    let failure = failure.or(failed_check).or_else(objective);
    let mut tenants: Vec<String> = work.backups.iter().filter_map(|b| b.scope.tenant().map(str::to_owned)).collect();
    tenants.dedup();
    Evidence {
        format_version: "1.0".to_owned(),
        drill_id: work.drill.clone(),
        plan: work.plan.to_string(),
        plan_digest: work.plan_digest.to_string(),
        drill_timestamp: begin.to_string(),
        status: if failure.is_none() { "passed" } else { "failed" }.to_owned(),
        backups: work.backups.iter().map(|b| b.backup.to_string()).collect(),
        backup_age_minutes: minutes(age),
        restore_duration_minutes: restore_ms.div_ceil(60_000),
        restore_duration_ms: restore_ms,
        rpo_compliant,
        rto_compliant,
        rpo_minutes: work.rpo.map(minutes),
        rto_minutes: work.rto.map(minutes),
        tenants,
        phases: seen.phases,
        checks: seen.checks,
        left_out: seen.left_out,
        bytes_fetched: seen.fetched.0,
        server_version: seen.server_version,
        tool_version: drill.tool_version.clone(),
        failure,
        previous: drill.previous.clone(),
        simulated: drill.simulated,
    }
}
