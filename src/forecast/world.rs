//! A world that exists as a value only: policies, what there is, and a clock. It does what a plan says, so that the
//! planner can be run over years and asked again after every step. Pure; it decides nothing the planner decides.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::domain::{
    ActionKind, Address, Applied, Backup, BackupId, BackupWork, Bytes, CatalogFacts, CatalogState, ConfigurationSeen,
    Consent, Desired, DocumentOp, DrillRecord, Instant, Moved, Name, Narrowing, Observation, Observed, Percent, Period,
    Plan, Progress, PruneWork, Section, ServerFacts, Signs, StoreFacts, StoreMarker, TenantRecord, Verification,
};
use crate::plan::{self, Request};

/// The server that stands for one nobody looked at: PostgreSQL 17.
const SOME_SERVER: u32 = 170_000;

/// What one backup comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Size in the store.
    pub size: Bytes,
    /// Size before compression.
    pub original: Bytes,
    /// How long it takes.
    pub duration: Period,
}

/// Policies, what there is, and a clock.
#[derive(Debug, Clone)]
pub struct World {
    /// What the policies ask for.
    pub desired: Desired,
    /// What there is.
    pub observed: Observed,
    /// What the planner is asked with; its `now` is the world's clock.
    pub request: Request,
}

impl World {
    /// Makes a world in which nothing was done yet: no catalog, empty stores, servers that answer. Deletions by a
    /// change are consented to, and every private key is at hand: what a guard refuses is for the caller to judge.
    #[must_use]
    pub fn new(desired: Desired, now: Instant, tool_version: &str, catalog_version: i64) -> Self {
        let stores = desired.stores.keys().map(|name| (name.clone(), Observation::Known(StoreFacts::default())));
        let servers = desired.databases.keys().map(|name| {
            let size = Bytes(0);
            let facts = ServerFacts {
                version_num: SOME_SERVER,
                datname: name.as_str().to_owned(),
                size,
                tenants: None,
                tenants_unread: None,
                configuration: ConfigurationSeen::Assumed,
            };
            (name.clone(), Observation::Known(facts))
        });
        let observed = Observed {
            catalog: Observation::Known(CatalogState::Absent),
            stores: stores.collect(),
            servers: servers.collect(),
            clocks: Vec::new(),
            signs: Signs::default(),
        };
        let request = Request {
            now,
            simulated: false,
            tool_version: tool_version.to_owned(),
            catalog_version,
            identities: desired.stores.keys().cloned().collect(),
            requested: BTreeSet::new(),
            on_demand: None,
            asked_for: None,
            requested_drills: BTreeSet::new(),
            narrowing: Narrowing::default(),
            allow_delete: Some(Consent { share: Percent::hundredths(10_000), change: None }),
            with_kept: true,
        };
        Self { desired, observed, request }
    }

    /// Makes a world that holds a catalog. Stores and servers are as if all of them could be reached and held what the
    /// catalog says: a forecast is of the policies, not of today's network.
    #[must_use]
    pub fn with_catalog(desired: Desired, facts: CatalogFacts, now: Instant, tool_version: &str) -> Self {
        let mut world = Self::new(desired, now, tool_version, facts.version);
        world.put_catalog(facts);
        world
    }

    /// Puts a catalog into the world, and its stores' markers where it says they are.
    pub fn put_catalog(&mut self, mut facts: CatalogFacts) {
        // Parts of a world are looked at by their names: a rename that is still to be done must not hide a history.
        if !self.desired.moved.is_empty() {
            facts = plan::after_renames(&self.desired, &facts, &self.request);
        }
        // Only what the policies name is ever looked at.
        for (name, id) in facts.stores.iter().filter(|(name, _)| self.desired.stores.contains_key(*name)) {
            let manifests = facts.backups.iter().filter(|backup| &backup.store == name).count() as u64;
            let marker = Some(StoreMarker { format_version: "1.0".to_owned(), store_id: id.clone() });
            let seen = StoreFacts { marker, manifests, ..StoreFacts::default() };
            self.observed.stores.insert(name.clone(), Observation::Known(seen));
        }
        self.observed.catalog = Observation::Known(CatalogState::Present(Box::new(facts)));
    }

    /// Returns what is the same for every part and group of a catalog's forecast: all but documents, backups and how far
    /// schedules are.
    #[must_use]
    pub fn frame(facts: &CatalogFacts) -> CatalogFacts {
        CatalogFacts {
            lineage: facts.lineage.clone(),
            serial: facts.serial,
            simulated: facts.simulated,
            drills: facts.drills.clone(),
            canceled: facts.canceled.clone(),
            leased: facts.leased.clone(),
            stores: facts.stores.clone(),
            removals: facts.removals.clone(),
            // Those that are there are the policies' to say: placeholders and groups stand for them.
            tenants: facts.tenants.iter().filter(|record| record.offboarded_at.is_some()).cloned().collect(),
            ..Self::empty_catalog(facts.version)
        }
    }

    /// Returns an empty catalog of this version.
    #[must_use]
    pub fn empty_catalog(version: i64) -> CatalogFacts {
        CatalogFacts {
            version,
            lineage: "forecast".to_owned(),
            serial: 0,
            simulated: None,
            applied: BTreeMap::new(),
            backups: Vec::new(),
            drills: BTreeMap::new(),
            progress: Vec::new(),
            garbage: Vec::new(),
            canceled: Vec::new(),
            leased: Vec::new(),
            stores: BTreeMap::new(),
            removals: BTreeMap::new(),
            tenants: Vec::new(),
        }
    }

    /// Returns the world's clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.request.now
    }

    /// Sets the clock.
    pub const fn set_now(&mut self, now: Instant) {
        self.request.now = now;
    }

    /// Plans, without digests.
    pub fn plan(&self) -> Plan {
        plan::outline(&self.desired, &self.observed, &self.request)
    }

    /// Returns what the catalog holds; `None` where there is none.
    #[must_use]
    pub fn facts(&self) -> Option<&CatalogFacts> {
        match &self.observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => Some(facts),
            _ => None,
        }
    }

    /// Returns every backup.
    #[must_use]
    pub fn backups(&self) -> &[Backup] {
        self.facts().map_or(&[], |facts| &facts.backups)
    }

    fn facts_mut(&mut self) -> Option<&mut CatalogFacts> {
        match &mut self.observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => Some(facts),
            _ => None,
        }
    }

    fn store_mut(&mut self, name: &Name) -> Option<&mut StoreFacts> {
        match self.observed.stores.get_mut(name) {
            Some(Observation::Known(facts)) => Some(facts),
            _ => None,
        }
    }

    /// Does all of what a plan says at the world's clock, as if every action succeeded. `amount` says what a backup
    /// comes to.
    pub fn fold(&mut self, plan: &Plan, amount: &mut dyn FnMut(&BackupWork, Instant) -> Amount) {
        let mut tombstoned: HashMap<&BackupId, &PruneWork> = HashMap::new();
        let mut purged: HashMap<&BackupId, &Name> = HashMap::new();
        for action in &plan.actions {
            match &action.kind {
                ActionKind::BackUp(work) => self.back_up(work, amount),
                ActionKind::Tombstone(work) => {
                    tombstoned.insert(&work.backup, work);
                }
                ActionKind::Purge(work) => {
                    purged.insert(&work.backup, &work.store);
                }
                kind => self.perform(&action.address, kind),
            }
        }
        self.prune(&tombstoned, &purged);
        if !plan.actions.is_empty()
            && let Some(facts) = self.facts_mut()
        {
            facts.serial += 1;
        }
    }

    fn back_up(&mut self, work: &BackupWork, amount: &mut dyn FnMut(&BackupWork, Instant) -> Amount) {
        let now = self.now();
        let amount = amount(work, now);
        let backup = Backup {
            id: work.backup.clone(),
            database: work.database.clone(),
            filed_under: None,
            scope: work.scope.clone(),
            backup_type: work.backup_type,
            schedule: work.schedule.clone(),
            slot: work.slot,
            store: work.store.clone(),
            consistent_at: now,
            completed_at: amount.duration.after(now),
            size: amount.size,
            original_size: amount.original,
            verification: Verification::Checksum,
            verified_at: Some(now),
            drilled_at: None,
            quarantine: None,
            tombstoned_at: None,
            purge_after: None,
            purging: false,
            marks: 0,
            shared: work.shared.clone(),
            parent: None,
            content: work.configuration.as_ref().and_then(|configuration| configuration.digest),
            protected: false,
            asked_for: work.asked_for.clone().map(Box::new),
            pinned_until: None,
            locked_until: None,
            duration_ms: u64::try_from(amount.duration.as_seconds()).unwrap_or(0).saturating_mul(1000),
        };
        if let Some(facts) = self.facts_mut() {
            facts.backups.push(backup);
        }
        if let Some(store) = self.store_mut(&work.store) {
            store.manifests += 1;
        }
    }

    /// Tombstones and purges in one pass: a world has thousands of backups, and a night may end hundreds.
    fn prune(&mut self, tombstoned: &HashMap<&BackupId, &PruneWork>, purged: &HashMap<&BackupId, &Name>) {
        if tombstoned.is_empty() && purged.is_empty() {
            return;
        }
        let now = self.now();
        if let Some(facts) = self.facts_mut() {
            for backup in &mut facts.backups {
                if let Some(work) = tombstoned.get(&backup.id) {
                    backup.tombstoned_at = Some(now);
                    backup.purge_after = work.purge_after;
                    backup.marks += 1;
                }
            }
            facts.backups.retain(|backup| !purged.contains_key(&backup.id));
        }
        for store in purged.values() {
            if let Some(store) = self.store_mut(store) {
                store.manifests = store.manifests.saturating_sub(1);
            }
        }
    }

    fn perform(&mut self, address: &Address, kind: &ActionKind) {
        let now = self.now();
        match kind {
            ActionKind::EnsureCatalog { to_version, .. } => match self.facts_mut() {
                Some(facts) => facts.version = *to_version,
                None => self.put_catalog(Self::empty_catalog(*to_version)),
            },
            ActionKind::EnsureStore { store, .. } => {
                let id = store.as_str().to_owned();
                if let Some(facts) = self.store_mut(store) {
                    facts.marker = Some(StoreMarker { format_version: "1.0".to_owned(), store_id: id.clone() });
                }
                if let Some(facts) = self.facts_mut() {
                    facts.stores.insert(store.clone(), id);
                }
            }
            ActionKind::ApplyDocument { op, .. } => self.apply_document(address, *op),
            ActionKind::RecordMissed { schedule, database, slots, .. } => {
                if let (Some(facts), Some(settled)) = (self.facts_mut(), slots.last().copied()) {
                    facts.progress.retain(|p| (&p.schedule, &p.database) != (schedule, database));
                    facts.progress.push(Progress { schedule: schedule.clone(), database: database.clone(), settled });
                }
            }
            ActionKind::Drill(work) => {
                let drilled: HashSet<&BackupId> = work.backups.iter().map(|part| &part.backup).collect();
                let Some(facts) = self.facts_mut() else { return };
                let mut oldest = now;
                for backup in facts.backups.iter_mut().filter(|backup| drilled.contains(&backup.id)) {
                    backup.drilled_at = Some(now);
                    oldest = oldest.min(backup.consistent_at);
                }
                let record = DrillRecord {
                    at: now,
                    passed: true,
                    plan_digest: work.plan_digest,
                    restore: Period::seconds(0),
                    backup_age: Period::between(oldest, now),
                    attempts: work.attempt + 1,
                };
                facts.drills.insert(work.plan.clone(), record);
            }
            ActionKind::Quarantine { backup, words, .. } => {
                let backups = self.facts_mut().map(|facts| &mut facts.backups);
                if let Some(backup) = backups.into_iter().flatten().find(|b| &b.id == backup) {
                    backup.quarantine = Some(words.clone());
                }
            }
            ActionKind::CollectGarbage { backup, attempt, .. } => {
                if let Some(facts) = self.facts_mut() {
                    facts.garbage.retain(|g| (&g.backup, g.attempt) != (backup, *attempt));
                }
            }
            ActionKind::Move { from, .. } => {
                let moved = Moved { from: from.clone(), to: address.clone() };
                if let Some(facts) = self.facts_mut() {
                    plan::carry(facts, &moved);
                }
            }
            ActionKind::Release { after, .. } => {
                if let Some(facts) = self.facts_mut() {
                    facts.removals.insert(address.clone(), *after);
                }
            }
            ActionKind::Offboard(work) | ActionKind::Onboard(work) => {
                let of_it = |r: &&mut TenantRecord| r.database == work.database && r.slug == work.slug;
                if let Some(record) = self.facts_mut().and_then(|facts| facts.tenants.iter_mut().find(of_it)) {
                    record.offboarded_at = matches!(kind, ActionKind::Offboard(_)).then_some(now);
                }
            }
            // Uploads do not exist here; the rest is done by `fold` itself, in one pass.
            ActionKind::AbortUploads { .. }
            | ActionKind::BackUp(_)
            | ActionKind::Tombstone(_)
            | ActionKind::Purge(_) => {}
        }
    }

    fn apply_document(&mut self, address: &Address, op: DocumentOp) {
        let now = self.now();
        let document = self.desired.documents.get(address).cloned();
        let schedule = address.name().filter(|_| address.section() == Section::Schedule);
        let retention = schedule.and_then(|name| self.desired.schedules.get(name)).map(|s| s.retention.clone());
        let Some(facts) = self.facts_mut() else { return };
        if op == DocumentOp::Archive {
            if let Some(applied) = facts.applied.get_mut(address) {
                applied.archived_at = Some(now);
            }
        } else if let Some(document) = document {
            let since = facts.applied.get(address).map_or(now, |applied| applied.since);
            let applied = Applied { body: document.body, digest: document.digest, since, archived_at: None, retention };
            facts.applied.insert(address.clone(), applied);
        }
    }
}
