//! What can be done to the catalog in memory; each is one step, as one statement or transaction is for PostgreSQL.

use async_trait::async_trait;
use bkup::catalog::{
    AuditEvent, Begun, CatalogError, ClaimOutcome, Completed, Completion, Created, DigestKey, DocumentChange, Failure,
    Intended, Intent, Lease, Ledger, MarkOutcome, OutcomeRow, ReadLedger, Reading, ReadingEnd, ReadingKind,
    StoreRecord, TenantLink, Validation, as_recorded, newest_version,
};
use bkup::domain::{
    Action, ActionId, ActionOutcome, BackupId, Digest, DrillRecord, DrillWork, Evidence, Instant, Name, Outcome,
    Period, Plan, PruneWork, RunId, Tenant, TenantRecord, TenantWork, Verification, digest_of,
};

use super::ledger::{Answer, Claim, DrillRow, Memory, Meta, PlanRow};
use super::rows::{Row, Status};

fn refused(why: &str) -> Answer<MarkOutcome> {
    Ok(MarkOutcome::Refused(why.to_owned()))
}

#[async_trait]
impl Ledger for Memory {
    fn reader(&self) -> &dyn ReadLedger {
        self
    }

    fn telling(&self, event: AuditEvent) -> Box<dyn Ledger> {
        Box::new(self.that_tells(event))
    }

    async fn create(&self, lineage: &str, simulated: Option<Instant>) -> Answer<Created> {
        let mut tables = self.tables();
        let from_version = tables.meta.as_ref().map(|_| newest_version());
        let meta = tables.meta.get_or_insert_with(|| Meta {
            lineage: lineage.to_owned(),
            serial: 0,
            serial_run: None,
            simulated,
            head: None,
        });
        if simulated.is_some() && meta.simulated.is_none() {
            return Err(CatalogError::Conflict { reason: "it is a real catalog".to_owned() });
        }
        let lineage = meta.lineage.clone();
        Ok(Created { from_version, version: newest_version(), lineage, tenants: TenantLink::NoTable })
    }

    async fn set_clock(&self, to: Instant) -> Answer<()> {
        let mut tables = self.there()?;
        match tables.meta.as_mut().and_then(|meta| meta.simulated.as_mut()) {
            Some(now) if *now <= to => *now = as_recorded(to),
            Some(now) => return Err(CatalogError::ClockGoesBack { now: *now, wanted: to }),
            None => return Err(CatalogError::Conflict { reason: "it is a real catalog".to_owned() }),
        }
        Ok(())
    }

    async fn bump_serial(&self, run: &RunId) -> Answer<i64> {
        let mut tables = self.there()?;
        let Some(meta) = &mut tables.meta else { return Err(CatalogError::Absent) };
        if meta.serial_run.as_ref() != Some(run) {
            meta.serial += 1;
            meta.serial_run = Some(run.clone());
        }
        Ok(meta.serial)
    }

    async fn audit(&self, events: &[AuditEvent]) -> Answer<Option<Digest>> {
        let mut tables = self.there()?;
        tables.append(events);
        Ok(tables.meta.as_ref().and_then(|meta| meta.head))
    }

    async fn claim(&self, action: ActionId, runner: &str, lease: Period) -> Answer<ClaimOutcome> {
        let now = self.now();
        let mut tables = self.there()?;
        let claim =
            tables.claims.entry(action).or_insert_with(|| Claim { token: 0, runner: runner.to_owned(), until: None });
        match claim.until.filter(|until| *until >= now && claim.runner != runner) {
            Some(until) => Ok(ClaimOutcome::HeldBy { runner: claim.runner.clone(), until }),
            None => {
                *claim = Claim { token: claim.token + 1, runner: runner.to_owned(), until: Some(lease.after(now)) };
                Ok(ClaimOutcome::Claimed(Lease { action, token: claim.token }))
            }
        }
    }

    async fn claim_many(&self, actions: &[ActionId], runner: &str, lease: Period, most: u32) -> Answer<Vec<Lease>> {
        let mut mine = Vec::new();
        for action in actions {
            if mine.len() as u64 == u64::from(most) {
                break;
            }
            if let ClaimOutcome::Claimed(lease) = self.claim(*action, runner, lease).await? {
                mine.push(lease);
            }
        }
        Ok(mine)
    }

    async fn heartbeat(&self, leases: &[Lease], lease: Period) -> Answer<Vec<Lease>> {
        let until = lease.after(self.now());
        let mut tables = self.there()?;
        let mut lost = Vec::new();
        for lease in leases {
            match tables.claims.get_mut(&lease.action) {
                Some(claim) if claim.token == lease.token && claim.until.is_some() => claim.until = Some(until),
                _ => {
                    lost.push(lease.clone());
                    continue;
                }
            }
            for row in tables.rows.iter_mut().filter(|row| row.runs_under(lease)) {
                row.until = Some(until);
            }
        }
        Ok(lost)
    }

    async fn release(&self, lease: &Lease) -> Answer<()> {
        let now = self.now();
        let mut tables = self.there()?;
        match tables.claims.get_mut(&lease.action) {
            Some(claim) if claim.token == lease.token => claim.until = None,
            _ => return Ok(()),
        }
        for row in tables.rows.iter_mut().filter(|row| row.runs_under(lease)) {
            row.until = Some(now);
        }
        Ok(())
    }

    async fn begin_plan(&self, plan: &Plan, _run: &RunId, _at: Instant) -> Answer<Begun> {
        let mut tables = self.there()?;
        if let Some(known) = tables.plans.get(&plan.digest) {
            return Ok(if known.finished.is_some() { Begun::AlreadyApplied } else { Begun::Resumed });
        }
        let fresh = |action: &Action| OutcomeRow { action: action.id, outcome: None, run: None, ended_at: None };
        let rows = plan.actions.iter().map(fresh).collect();
        tables.plans.insert(plan.digest, PlanRow { finished: None, rows });
        Ok(Begun::Fresh)
    }

    async fn record_outcomes(&self, plan: &Digest, outcomes: &[ActionOutcome], run: &RunId, at: Instant) -> Answer<()> {
        let mut tables = self.there()?;
        let mut unknown = false;
        for outcome in outcomes {
            let row = tables.plans.get_mut(plan).and_then(|p| p.rows.iter_mut().find(|row| row.action == outcome.id()));
            let Some(row) = row else {
                unknown = true;
                continue;
            };
            let did = matches!(row.outcome, Some(Outcome::Done { .. } | Outcome::Violated { .. }));
            let says =
                matches!(outcome.outcome, Outcome::Done { .. } | Outcome::Violated { .. } | Outcome::Failed { .. });
            if !did || says {
                let said = Some(outcome.outcome.clone());
                *row = OutcomeRow {
                    outcome: said,
                    run: Some(run.as_str().to_owned()),
                    ended_at: Some(as_recorded(at)),
                    ..row.clone()
                };
            }
        }
        let reason = || "the action is not one of the plan's".to_owned();
        if unknown { Err(CatalogError::Unfit { reason: reason() }) } else { Ok(()) }
    }

    async fn finish_plan(&self, digest: &Digest, at: Instant) -> Answer<()> {
        if let Some(plan) = self.there()?.plans.get_mut(digest) {
            plan.finished.get_or_insert(as_recorded(at));
        }
        Ok(())
    }

    async fn apply_document_if(
        &self,
        lease: &Lease,
        change: &DocumentChange<'_>,
        expected: Option<Digest>,
    ) -> Answer<bool> {
        let mut tables = self.fenced(lease)?;
        if !tables.change_document(change, expected)? {
            return Ok(false);
        }
        self.seal(&mut tables);
        Ok(true)
    }

    async fn store_learnt(&self, lease: &Lease, record: &StoreRecord) -> Answer<()> {
        let mut tables = self.fenced(lease)?;
        if let Some(known) = tables.stores.get(&record.store)
            && known.store_id != record.store_id
        {
            let id = Some(&known.store_id);
            let holds = |row: &Row| {
                row.done.as_ref().is_some_and(|b| b.store == record.store)
                    && row.store_id.as_ref() == id
                    && !row.deleted
            };
            if tables.rows.iter().any(holds) {
                return Err(CatalogError::Conflict { reason: format!("store {} has another id", record.store) });
            }
        }
        let record = StoreRecord { probed_at: as_recorded(record.probed_at), ..record.clone() };
        tables.stores.insert(record.store.clone(), record);
        self.seal(&mut tables);
        Ok(())
    }

    async fn keep_digest_key(&self, store: &Name, database: &Name, offered: &DigestKey) -> Answer<DigestKey> {
        let mut tables = self.there()?;
        Ok(tables.keys.entry((store.clone(), database.clone())).or_insert_with(|| offered.clone()).clone())
    }

    async fn tenants_seen(&self, database: &Name, tenants: &[(Tenant, Option<Name>)], at: Instant) -> Answer<()> {
        let mut tables = self.there()?;
        for (tenant, _) in tenants {
            let key = (database.clone(), tenant.slug.clone());
            let seen = tables.tenants.get(&key).map_or(as_recorded(at), |r| r.last_seen_at.max(as_recorded(at)));
            let record = TenantRecord {
                database: database.clone(),
                slug: tenant.slug.clone(),
                schema: tenant.schema.clone(),
                last_seen_at: seen,
                offboarded_at: None,
            };
            tables.tenants.insert(key, record);
        }
        Ok(())
    }

    async fn offboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome> {
        let mut tables = self.fenced(lease)?;
        let Some(record) = tables.tenants.get_mut(&(work.database.clone(), work.slug.clone())) else {
            return refused("the catalog knows no such tenant");
        };
        if record.offboarded_at.is_some() {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if record.last_seen_at > work.last_seen_at {
            return refused("it was seen again since the plan was made");
        }
        record.offboarded_at = Some(as_recorded(at));
        self.seal(&mut tables);
        Ok(MarkOutcome::Done)
    }

    async fn onboard(&self, lease: &Lease, work: &TenantWork, at: Instant) -> Answer<MarkOutcome> {
        let mut tables = self.fenced(lease)?;
        let record = tables.tenants.get_mut(&(work.database.clone(), work.slug.clone()));
        let Some(record) = record.filter(|record| record.offboarded_at.is_some()) else {
            return Ok(MarkOutcome::AlreadyDone);
        };
        record.offboarded_at = None;
        record.schema.clone_from(&work.schema);
        record.last_seen_at = record.last_seen_at.max(as_recorded(at));
        self.seal(&mut tables);
        Ok(MarkOutcome::Done)
    }

    async fn show_next_runs(&self, _: &[(Name, Option<Instant>)]) -> Answer<()> {
        self.there().map(|_| ())
    }

    async fn settle(
        &self,
        lease: &Lease,
        schedule: &Name,
        database: Option<&Name>,
        slots: &[Instant],
        scopes: u64,
        _at: Instant,
    ) -> Answer<u64> {
        let Some(newest) = slots.iter().max() else { return Ok(0) };
        let mut tables = self.fenced(lease)?;
        let before = tables.missed.len();
        for slot in slots {
            tables.missed.entry((schedule.clone(), database.cloned(), *slot)).or_insert(scopes);
        }
        tables.advance(schedule, database, *newest);
        let recorded = tables.missed.len() - before;
        if recorded > 0 {
            self.seal(&mut tables);
        }
        Ok(recorded as u64)
    }

    async fn intend_backup(&self, lease: &Lease, intent: &Intent<'_>) -> Answer<Intended> {
        let work = intent.work;
        let mut tables = self.fenced(lease)?;
        if let Some(row) = tables.holder(&work.schedule, work.database.as_ref(), &work.scope, work.slot) {
            return Ok(Intended::SlotTaken(row.backup.clone()));
        }
        let at = as_recorded(intent.started_at);
        for row in &mut tables.rows {
            if row.action == lease.action && row.attempt < lease.token && row.status == Status::Running {
                row.abandon(at);
            }
        }
        if tables.attempt(&work.backup, lease.token).is_none() {
            let until = tables.claims.get(&lease.action).and_then(|claim| claim.until);
            tables.rows.push(Row::intended(work, lease, at, until));
        }
        Ok(Intended::Go)
    }

    async fn complete_backup(&self, lease: &Lease, done: &Completed<'_>, at: Instant) -> Answer<Completion> {
        let mut fresh = Row::completed(lease, done)?;
        let manifest = done.manifest;
        let mut tables = self.fenced(lease)?;
        let at = as_recorded(at);
        if manifest.attempt != lease.token
            && let Some(row) = tables.attempt(&fresh.backup, lease.token)
        {
            row.abandon(at);
        }
        if tables.attempt(&fresh.backup, manifest.attempt).is_some_and(|row| row.collected.is_some()) {
            let reason = format!("attempt {} of backup {} was collected", manifest.attempt, fresh.backup);
            return Err(CatalogError::Conflict { reason });
        }
        match tables.holder(&fresh.schedule, fresh.database.as_ref(), &fresh.scope, fresh.slot) {
            Some(row) if row.backup == fresh.backup && row.attempt == fresh.attempt => return Ok(Completion::Already),
            Some(_) => {
                if let Some(row) = tables.attempt(&fresh.backup, lease.token) {
                    row.abandon(at);
                }
                return Ok(Completion::SlotTaken);
            }
            None => {}
        }
        match tables.attempt(&fresh.backup, fresh.attempt) {
            Some(row) => {
                fresh.started = row.started;
                *row = fresh;
            }
            None => tables.rows.push(fresh),
        }
        self.seal(&mut tables);
        Ok(Completion::Recorded)
    }

    async fn fail_backups(&self, failures: &[Failure], at: Instant) -> Answer<()> {
        drop(self.there()?);
        for Failure { lease, backup, .. } in failures {
            let Ok(mut tables) = self.fenced(lease) else { continue };
            if let Some(row) = tables.attempt(backup, lease.token) {
                row.abandon(as_recorded(at));
            }
        }
        Ok(())
    }

    async fn condemn(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<MarkOutcome> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        let Some(row) = tables.attempt(backup, attempt) else { return refused("the catalog has no such attempt") };
        if row.collected.is_some() {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if row.status == Status::Completed {
            return refused("it is a completed backup");
        }
        let action = row.action;
        if let Some(claim) = tables.claims.get_mut(&action).filter(|claim| claim.token == attempt) {
            if claim.until.is_some_and(|until| until >= now) {
                return refused("its runner is alive");
            }
            claim.token += 1;
            claim.until = None;
        }
        if let Some(row) = tables.attempt(backup, attempt) {
            row.condemn(as_recorded(at));
        }
        Ok(MarkOutcome::Done)
    }

    async fn collected(&self, lease: &Lease, backup: &BackupId, attempt: u64, at: Instant) -> Answer<()> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        match tables.attempt(backup, attempt) {
            Some(row) if row.is_dead(now) => {
                row.status = Status::Failed;
                row.collected.get_or_insert(as_recorded(at));
                self.seal(&mut tables);
                Ok(())
            }
            _ => Err(CatalogError::Conflict { reason: format!("attempt {attempt} of backup {backup} is no garbage") }),
        }
    }

    async fn validated(&self, look: &Validation<'_>) -> Answer<()> {
        if look.depth == Verification::None {
            return Err(CatalogError::Unfit { reason: "a validation without depth".to_owned() });
        }
        let mut tables = self.there()?;
        if let Some(row) = tables.completed(look.backup).filter(|row| !row.deleted)
            && let Some(backup) = &mut row.done
        {
            if look.passed {
                backup.verified_at = backup.verified_at.max(Some(as_recorded(look.at)));
                backup.verification = backup.verification.max(look.depth);
            } else {
                backup.quarantine.get_or_insert("verification failed".to_owned());
            }
        }
        Ok(())
    }

    async fn quarantine(&self, backup: &BackupId, reason: &str, _at: Instant) -> Answer<MarkOutcome> {
        let mut tables = self.there()?;
        let Some(backup) = tables.completed(backup).filter(|row| !row.deleted).and_then(|row| row.done.as_mut()) else {
            return refused("the catalog has no such completed backup");
        };
        if backup.quarantine.is_some() {
            return Ok(MarkOutcome::AlreadyDone);
        }
        backup.quarantine = Some(reason.to_owned());
        self.seal(&mut tables);
        Ok(MarkOutcome::Done)
    }

    async fn tombstone(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        let (leased, needed) = (tables.leased_now(&work.backup, now), tables.needed(&work.backup));
        let Some(row) = tables.completed(&work.backup).cloned() else {
            return refused("the catalog has no such completed backup");
        };
        let Some(backup) = &row.done else { return refused("the catalog has no such completed backup") };
        let tombstoned = backup.tombstoned_at.is_some();
        if tombstoned && backup.marks == work.mark + 1 {
            return Ok(MarkOutcome::AlreadyDone);
        }
        let against = [
            (row.deleted, "it is purged"),
            (backup.marks != work.mark, "it was marked since the plan was made"),
            (tombstoned, "it is tombstoned already"),
            (backup.quarantine.is_some(), "it is quarantined"),
            (backup.protected, "it is protected"),
            (leased, "something reads it"),
            (needed, "a backup that is there, or being made, needs it"),
        ];
        if let Some((_, why)) = against.into_iter().find(|(holds, _)| *holds) {
            return refused(why);
        }
        if work.min_keep > 0
            && let Some(why) = tables.floor(&row, work.min_keep)
        {
            return refused(why);
        }
        if !work.newest.is_all() && !tables.newest(&row).is_some_and(|at| work.newest.has(at)) {
            return refused("its successor is of another hour, day or month than the plan counted on; plan again");
        }
        if let Some(backup) = tables.completed(&work.backup).and_then(|row| row.done.as_mut()) {
            backup.tombstoned_at = Some(as_recorded(at));
            backup.purge_after = work.purge_after.map(as_recorded);
            backup.marks += 1;
        }
        self.seal(&mut tables);
        Ok(MarkOutcome::Done)
    }

    async fn undelete(&self, backup: &BackupId, pinned_until: Option<Instant>) -> Answer<(MarkOutcome, u32)> {
        const GONE: &str = "the catalog has no such completed backup";
        let mut tables = self.there()?;
        let Some(row) = tables.completed(backup) else { return Ok((refused(GONE)?, 0)) };
        let (deleted, purging) = (row.deleted, row.purging());
        let Some(backup) = &mut row.done else { return Ok((refused(GONE)?, 0)) };
        if deleted {
            return Ok((refused("it is purged")?, 0));
        }
        if purging {
            return Ok((refused("its purge has begun")?, 0));
        }
        let was = backup.tombstoned_at.take().is_some();
        backup.marks += u32::from(was);
        backup.purge_after = None;
        backup.pinned_until = pinned_until.map(as_recorded);
        Ok((if was { MarkOutcome::Done } else { MarkOutcome::AlreadyDone }, backup.marks))
    }

    async fn intend_purge(&self, lease: &Lease, work: &PruneWork, at: Instant) -> Answer<MarkOutcome> {
        let now = self.now();
        let mut tables = self.fenced(lease)?;
        let (leased, needed) = (tables.leased_now(&work.backup, now), tables.needed(&work.backup));
        let Some(row) = tables.completed(&work.backup) else {
            return refused("the catalog has no such completed backup");
        };
        if row.deleted {
            return Ok(MarkOutcome::AlreadyDone);
        }
        let purging = row.purging();
        let Some(backup) = &mut row.done else { return refused("the catalog has no such completed backup") };
        let mut against = vec![
            (backup.tombstoned_at.is_none(), "it is not tombstoned"),
            (backup.marks != work.mark, "it was marked since the plan was made"),
        ];
        if !purging {
            against.extend([
                (leased, "something reads it"),
                (needed, "a backup that is there, or being made, needs it"),
                (backup.quarantine.is_some(), "it is quarantined"),
                (backup.protected, "it is protected"),
                (backup.purge_after.is_some_and(|after| after > at), "its grace period is not over"),
                (backup.locked_until.is_some_and(|until| until > at), "the store's lock keeps it"),
            ]);
        }
        if let Some((_, why)) = against.into_iter().find(|(holds, _)| *holds) {
            return refused(why);
        }
        backup.purging = true;
        Ok(MarkOutcome::Done)
    }

    async fn purged(&self, lease: &Lease, backup: &BackupId, _at: Instant) -> Answer<MarkOutcome> {
        let mut tables = self.fenced(lease)?;
        let Some(row) = tables.completed(backup) else { return refused("the catalog has no such completed backup") };
        if row.deleted {
            return Ok(MarkOutcome::AlreadyDone);
        }
        if !row.purging() {
            return refused("its purge was not begun");
        }
        row.deleted = true;
        if let Some(backup) = &mut row.done {
            backup.marks += 1;
        }
        self.seal(&mut tables);
        Ok(MarkOutcome::Done)
    }

    async fn begin_reading(
        &self,
        _kind: ReadingKind,
        backups: &[BackupId],
        _target: &str,
        _runner: &str,
        lease: Period,
        _at: Instant,
    ) -> Answer<Reading> {
        let until = lease.after(self.now());
        let mut tables = self.there()?;
        for id in backups {
            if tables.completed(id).is_none_or(|row| row.deleted || row.purging()) {
                return Err(CatalogError::Conflict { reason: format!("backup {id} is not there to be read") });
            }
        }
        let id = tables.readings.len().to_string();
        tables.readings.insert(id.clone(), (backups.to_vec(), Some(until)));
        Ok(Reading { id })
    }

    async fn keep_reading(&self, reading: &Reading, lease: Period) -> Answer<bool> {
        let now = self.now();
        let mut tables = self.there()?;
        let held = tables.readings.get_mut(&reading.id).filter(|(_, until)| until.is_some_and(|until| until > now));
        Ok(held.map(|(_, until)| *until = Some(lease.after(now))).is_some())
    }

    async fn end_reading(&self, reading: &Reading, _end: &ReadingEnd, _at: Instant) -> Answer<()> {
        if let Some((_, until)) = self.there()?.readings.get_mut(&reading.id) {
            *until = None;
        }
        Ok(())
    }

    async fn record_drill(&self, lease: &Lease, work: &DrillWork, evidence: &Evidence, _run: &RunId) -> Answer<()> {
        let unfit = |error: String| CatalogError::Unfit { reason: error };
        let at = as_recorded(evidence.drill_timestamp.parse().map_err(|e: jiff::Error| unfit(e.to_string()))?);
        let mut tables = self.fenced(lease)?;
        if tables.drills.iter().any(|row| row.plan == work.plan && row.attempt == work.attempt) {
            return Ok(());
        }
        let passed = evidence.status == "passed";
        let seconds = |n: u64| Period::seconds(i64::try_from(n).unwrap_or(i64::MAX));
        let record = DrillRecord {
            at,
            passed,
            plan_digest: work.plan_digest,
            restore: seconds(evidence.restore_duration_ms.div_ceil(1000)),
            backup_age: seconds(evidence.backup_age_minutes * 60),
            attempts: work.attempt + 1,
        };
        let digest = digest_of(evidence);
        let (plan, evidence) = (work.plan.clone(), evidence.clone());
        tables.drills.push(DrillRow { plan, attempt: work.attempt, record, evidence: evidence.clone(), digest });
        for row in tables.rows.iter_mut().filter(|_| passed) {
            if let Some(backup) = row.done.as_mut().filter(|b| evidence.backups.contains(&b.id.to_string()))
                && backup.drilled_at.is_none_or(|drilled| drilled < at)
            {
                (backup.drilled_at, backup.verified_at) = (Some(at), Some(at));
                backup.verification = Verification::Restore;
            }
        }
        self.seal(&mut tables);
        Ok(())
    }
}
