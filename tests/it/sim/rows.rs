//! The rows of executions of the catalog in memory: one for each attempt.

use bkup::catalog::{CatalogError, Completed, Lease, as_recorded};
use bkup::domain::{
    ActionId, Backup, BackupId, BackupType, BackupWork, Bytes, Garbage, Instant, Name, Period, Scope, Verification,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Running,
    Failed,
    Completed,
}

/// One attempt at a backup.
#[derive(Debug, Clone)]
pub struct Row {
    pub backup: BackupId,
    pub attempt: u64,
    pub action: ActionId,
    pub status: Status,
    pub schedule: Name,
    pub database: Option<Name>,
    pub scope: Scope,
    pub slot: Instant,
    pub store: Name,
    pub store_id: Option<String>,
    pub shared: Option<BackupId>,
    pub parent: Option<BackupId>,
    pub started: Instant,
    pub until: Option<Instant>,
    pub abandoned: Option<Instant>,
    pub collected: Option<Instant>,
    pub manifest_key: Option<String>,
    pub done: Option<Backup>,
    pub deleted: bool,
}

/// How long after its lease a silent attempt is garbage.
pub const fn garbage_delay() -> Period {
    Period::minutes(5)
}

impl Row {
    /// The row of an attempt that begins.
    pub fn intended(work: &BackupWork, lease: &Lease, at: Instant, until: Option<Instant>) -> Self {
        Self {
            backup: work.backup.clone(),
            attempt: lease.token,
            action: lease.action,
            status: Status::Running,
            schedule: work.schedule.clone(),
            database: work.database.clone(),
            scope: work.scope.clone(),
            slot: work.slot,
            store: work.store.clone(),
            store_id: None,
            shared: work.shared.clone(),
            parent: None,
            started: at,
            until,
            abandoned: None,
            collected: None,
            manifest_key: None,
            done: None,
            deleted: false,
        }
    }

    /// The row of a manifest.
    pub fn completed(lease: &Lease, done: &Completed<'_>) -> Result<Self, CatalogError> {
        let manifest = done.manifest;
        let unfit = |what: &str| CatalogError::Unfit { reason: format!("manifest field {what}") };
        let at = |what: &str, text: &str| text.parse::<Instant>().map(as_recorded).map_err(|_| unfit(what));
        let started = at("started_at", &manifest.started_at)?;
        let completed = at("completed_at", &manifest.completed_at)?;
        let took = completed.duration_since(started).as_millis();
        let id = BackupId::from_text(manifest.backup_id.clone());
        let scope: Scope = manifest.scope.scope.parse().map_err(|_| unfit("scope"))?;
        let schedule: Name = manifest.schedule.parse().map_err(|_| unfit("schedule"))?;
        let database: Option<Name> =
            manifest.database.as_ref().map(|name| name.parse().map_err(|_| unfit("database"))).transpose()?;
        let slot = at("slot", &manifest.slot)?;
        let shared = manifest.shared.clone().map(BackupId::from_text);
        let (verification, verified_at) = done.verified.unzip();
        let backup = Backup {
            id: id.clone(),
            database: database.clone(),
            filed_under: None,
            scope: scope.clone(),
            backup_type: BackupType::from_sql(&manifest.backup_type.to_ascii_uppercase())
                .ok_or_else(|| unfit("backup_type"))?,
            schedule: schedule.clone(),
            slot,
            store: done.store.clone(),
            consistent_at: at("consistent_at", &manifest.consistent_at)?,
            completed_at: completed,
            size: manifest.parts.iter().map(|part| Bytes(part.size)).sum(),
            original_size: manifest.parts.iter().map(|part| Bytes(part.original_size)).sum(),
            verification: verification.unwrap_or(Verification::None),
            verified_at: verified_at.map(as_recorded),
            drilled_at: None,
            quarantine: None,
            tombstoned_at: None,
            purge_after: None,
            purging: false,
            marks: 0,
            content: manifest.content_digest.as_ref().and_then(|text| text.parse().ok()),
            shared: shared.clone(),
            parent: manifest.parent.clone().map(BackupId::from_text),
            protected: manifest.protect,
            asked_for: manifest.asked_for.clone().map(Box::new),
            pinned_until: None,
            locked_until: manifest.locked_until.as_deref().map(|text| at("locked_until", text)).transpose()?,
            duration_ms: u64::try_from(took.max(0)).unwrap_or(u64::MAX),
        };
        Ok(Self {
            backup: id,
            attempt: manifest.attempt,
            action: lease.action,
            status: Status::Completed,
            schedule,
            database,
            scope,
            slot,
            store: done.store.clone(),
            store_id: Some(manifest.store_id.clone()),
            shared,
            parent: backup.parent.clone(),
            started,
            until: None,
            abandoned: None,
            collected: None,
            manifest_key: Some(done.manifest_key.to_owned()),
            done: Some(backup),
            deleted: false,
        })
    }

    /// Whether its purge has begun.
    pub fn purging(&self) -> bool {
        self.done.as_ref().is_some_and(|backup| backup.purging)
    }

    pub fn runs_under(&self, lease: &Lease) -> bool {
        self.status == Status::Running && self.action == lease.action && self.attempt == lease.token
    }

    /// Says that nobody works at it any longer.
    pub fn abandon(&mut self, at: Instant) {
        if self.status == Status::Running {
            (self.status, self.abandoned, self.until) = (Status::Failed, Some(at), None);
        }
    }

    /// Says that nobody may work at it any longer.
    pub fn condemn(&mut self, at: Instant) {
        self.status = Status::Failed;
        self.abandoned.get_or_insert(at);
        self.until = None;
    }

    pub fn is_dead(&self, now: Instant) -> bool {
        match self.status {
            Status::Failed => true,
            Status::Running => self.until.is_none_or(|until| until < now),
            Status::Completed => false,
        }
    }

    /// What of it is garbage, if anything is.
    pub fn garbage(&self, now: Instant, simulated: bool) -> Option<Garbage> {
        let silent = self.until.is_none_or(|until| until < garbage_delay().before(now));
        let dead = match self.status {
            Status::Failed => true,
            Status::Running => silent,
            Status::Completed => false,
        };
        if !dead || self.collected.is_some() {
            return None;
        }
        let by_lease = if simulated { Some(self.started) } else { self.until };
        Some(Garbage {
            store: self.store.clone(),
            backup: self.backup.clone(),
            database: self.database.clone(),
            scope: self.scope.clone(),
            attempt: self.attempt,
            abandoned_at: self.abandoned.or(by_lease)?,
        })
    }
}
