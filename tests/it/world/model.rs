//! A world that exists in memory only: it does what a plan says, so that the planner can be run over years of days and
//! asked again after every step. It is no mock of an adapter; the adapters' own suites use the real thing.

use std::collections::BTreeMap;

use bkup::domain::{
    ActionKind, Address, Applied, Approval, ApprovalStatus, Backup, BackupType, Bytes, CatalogFacts, CatalogState,
    Check, ClassSpec, Compression, ConfigurationSeen, DatabaseSpec, Desired, Document, DocumentOp, DrillInto,
    DrillRecord, DrillSpec, DrillTarget, Engine, EnvText, Instant, Method, Moved, Name, Narrowing, Objectives,
    Observation, Observed, Period, Plan, PlanScope, PlanType, Progress, RecoveryPlanSpec, ResolvedTenants,
    RetentionRule, ScheduleSpec, Scope, Section, ServerFacts, Signs, SourceLocation, StoreFacts, StoreMarker,
    StoreSpec, StoreUrl, Tenant, TenantFilter, TenantRecord, TenantSelector, Timing, Verification, When, ZoneName,
    digest_of,
};
use bkup::plan::{Request, carry, plan};

/// Reads a name.
pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Reads an instant.
pub fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

/// A schedule over the database `app` into the store `primary`.
pub fn schedule(backup: BackupType, timing: Timing, retention: RetentionRule) -> ScheduleSpec {
    ScheduleSpec {
        databases: vec![name("app")],
        backup,
        engine: Engine::Logical,
        tenants: TenantFilter::All,
        tables: Vec::new(),
        when: When { timing, timezone: ZoneName::utc() },
        start_within: Period::hours(1),
        retention,
        retention_name: None,
        store: name("primary"),
        compression: Compression::default(),
        max_parallel_jobs: 1,
        base: None,
        max_chain: None,
        passwords: false,
        paths: Vec::new(),
        exclude: Vec::new(),
        notify: None,
    }
}

/// A cron rule in UTC.
pub fn cron(expression: &str) -> Timing {
    Timing::Cron { expression: expression.to_owned() }
}

/// A recovery plan over `app` that is drilled every so often.
pub fn recovery_plan(plan_type: PlanType, every: Period) -> RecoveryPlanSpec {
    RecoveryPlanSpec {
        description: None,
        plan_type,
        scope: PlanScope::TenantData,
        severity: None,
        databases: vec![name("app")],
        rto: Some(Period::hours(1)),
        rpo: Some(Period::hours(27)),
        requires: Vec::new(),
        minimum_backup_age: None,
        steps: Vec::new(),
        approval: Approval { status: ApprovalStatus::Approved, by: Some("cto@example.com".to_owned()), at: None },
        primary_contact: None,
        escalation_contacts: Vec::new(),
        drill: Some(DrillSpec {
            every: Some(every),
            when: None,
            target: DrillTarget::Latest,
            into: DrillInto::Scratch,
            sample_tenants: 2,
            checks: vec![Check::TablesEqual],
        }),
    }
}

/// Policies, world and clock.
#[derive(Clone)]
pub struct Model {
    /// What the policies ask for.
    pub desired: Desired,
    /// What there is.
    pub observed: Observed,
    /// What the planner is asked with.
    pub request: Request,
}

impl Model {
    /// Makes a world with a database `app` of these tenants, an empty store `primary` and no catalog.
    pub fn new(now: &str, tenants: &[&str]) -> Self {
        let mut desired = Desired::default();
        desired.stores.insert(name("primary"), StoreSpec::at(StoreUrl::Folder("/srv/backups".to_owned())));
        desired.databases.insert(
            name("app"),
            DatabaseSpec {
                url: EnvText::Variable("APP_URL".to_owned()),
                objectives: Some(Objectives { rpo: Some(Period::hours(27)), rto: None, method: Method::ColdBackup }),
                tenants: Some(TenantSelector::Schemas("tenant_*".to_owned())),
                wal: None,
                unmanaged: Vec::new(),
                manage_settings: false,
            },
        );
        desired.classes.insert(
            name("standard"),
            ClassSpec {
                tenants: vec!["*".to_owned()],
                priority: 9,
                objectives: Objectives { rpo: Some(Period::hours(27)), rto: None, method: Method::ColdBackup },
            },
        );
        let facts = ServerFacts {
            version_num: 170_011,
            datname: "app".to_owned(),
            size: Bytes(1 << 30),
            tenants: None,
            tenants_unread: None,
            configuration: ConfigurationSeen::NotAsked,
        };
        let mut model = Self {
            desired,
            observed: Observed {
                catalog: Observation::Known(CatalogState::Absent),
                stores: BTreeMap::from([(name("primary"), Observation::Known(StoreFacts::default()))]),
                servers: BTreeMap::from([(name("app"), Observation::Known(facts))]),
                clocks: Vec::new(),
                signs: Signs::default(),
            },
            request: Request {
                now: at(now),
                simulated: false,
                tool_version: "0.1.0".to_owned(),
                catalog_version: 1,
                identities: Default::default(),
                requested: Default::default(),
                requested_drills: Default::default(),
                on_demand: None,
                asked_for: None,
                narrowing: Narrowing::default(),
                allow_delete: None,
                with_kept: true,
            },
        };
        model.set_tenants(tenants);
        model
    }

    /// Says which tenants there are.
    pub fn set_tenants(&mut self, slugs: &[&str]) {
        let tenant = |slug: &&str| Tenant { slug: (*slug).to_owned(), schema: format!("tenant_{slug}"), id: None };
        let tenants = slugs.iter().map(|s| (tenant(s), Some(name("standard")))).collect();
        self.desired.tenants.insert(name("app"), ResolvedTenants::Known(tenants));
    }

    /// Adds or replaces a schedule.
    pub fn schedule(mut self, key: &str, spec: ScheduleSpec) -> Self {
        self.desired.schedules.insert(name(key), spec);
        self.document();
        self
    }

    /// Adds or replaces a recovery plan.
    pub fn recovery_plan(mut self, key: &str, spec: RecoveryPlanSpec) -> Self {
        self.desired.recovery_plans.insert(name(key), spec);
        self.document();
        self
    }

    /// Derives the documents anew from what is desired.
    pub fn document(&mut self) {
        let mut documents = BTreeMap::new();
        let mut add = |address: Address, body: serde_json::Value| {
            let digest = digest_of(&body);
            let location = SourceLocation { file: "bkup.yaml".to_owned(), line: 1 };
            documents.insert(address, Document { body, digest, location });
        };
        for (key, spec) in &self.desired.schedules {
            add(Address::of(Section::Schedule, key.clone()), serde_json::to_value(spec).expect("JSON"));
        }
        for (key, spec) in &self.desired.recovery_plans {
            add(Address::of(Section::RecoveryPlan, key.clone()), serde_json::to_value(spec).expect("JSON"));
        }
        for (key, spec) in &self.desired.stores {
            add(Address::of(Section::Store, key.clone()), serde_json::to_value(spec).expect("JSON"));
        }
        add(Address::once(Section::Guards), serde_json::to_value(&self.desired.guards).expect("JSON"));
        self.desired.documents = documents;
    }

    /// Moves the clock forward.
    pub fn pass(&mut self, period: Period) {
        self.request.now = period.after(self.request.now);
    }

    /// Plans.
    pub fn plan(&self) -> Plan {
        let plan = plan(&self.desired, &self.observed, &self.request);
        let mut whole = serde_json::to_value(&plan).expect("a plan is JSON");
        whole
            .as_object_mut()
            .expect("an object")
            .retain(|name, _| !["digest", "change_digest", "kept"].contains(&name.as_str()));
        assert_eq!(plan.digest, digest_of(&whole), "the digest is of all of it");
        plan
    }

    /// Returns the catalog's facts.
    pub fn facts(&mut self) -> &mut CatalogFacts {
        match &mut self.observed.catalog {
            Observation::Known(CatalogState::Present(facts)) => facts,
            other => panic!("there is no catalog: {other:?}"),
        }
    }

    /// Returns the store's facts.
    pub fn store(&mut self) -> &mut StoreFacts {
        match self.observed.stores.get_mut(&name("primary")) {
            Some(Observation::Known(facts)) => facts,
            other => panic!("there is no store: {other:?}"),
        }
    }

    /// Plans, does everything, and checks that a second plan has nothing to do.
    #[track_caller]
    pub fn run(&mut self) {
        let _ = self.step();
    }

    /// The same, giving the plan.
    #[track_caller]
    pub fn step(&mut self) -> Plan {
        let plan = self.plan();
        assert!(plan.refusals.is_empty(), "refused: {:?}", plan.refusals);
        self.apply(&plan);
        self.assert_converges();
        plan
    }

    /// Checks that there is nothing to do.
    #[track_caller]
    pub fn assert_converges(&self) {
        let again = self.plan();
        assert!(again.refusals.is_empty(), "refused: {:?}", again.refusals);
        let left: Vec<String> =
            again.actions.iter().map(|a| format!("{} {} {}", a.address, a.kind.word(), a.reason.words)).collect();
        assert!(left.is_empty(), "a second plan still wants: {left:#?}");
    }

    /// Does what a plan says, in order, all of it.
    pub fn apply(&mut self, plan: &Plan) {
        for action in &plan.actions {
            self.perform(&action.address, &action.kind);
        }
        if !plan.actions.is_empty() {
            self.facts().serial += 1;
            self.remember_tenants();
        }
    }

    /// Remembers the tenants that are there, as the end of a run does.
    fn remember_tenants(&mut self) {
        let now = self.request.now;
        for (database, tenants) in self.desired.tenants.clone() {
            let ResolvedTenants::Known(tenants) = tenants else { continue };
            for (tenant, _) in tenants {
                let records = &mut self.facts().tenants;
                records.retain(|r| (&r.database, &r.slug) != (&database, &tenant.slug));
                records.push(TenantRecord {
                    database: database.clone(),
                    slug: tenant.slug,
                    schema: tenant.schema,
                    last_seen_at: now,
                    offboarded_at: None,
                });
                records.sort();
            }
        }
    }

    /// Returns what is remembered of a tenant.
    pub fn record(&mut self, slug: &str) -> &mut TenantRecord {
        self.facts().tenants.iter_mut().find(|record| record.slug == slug).expect("a tenant that was seen")
    }

    fn perform(&mut self, address: &Address, kind: &ActionKind) {
        let now = self.request.now;
        match kind {
            ActionKind::EnsureCatalog { to_version, simulated, .. } => {
                self.observed.catalog = Observation::Known(CatalogState::Present(Box::new(CatalogFacts {
                    version: *to_version,
                    lineage: "lineage".to_owned(),
                    serial: 0,
                    simulated: simulated.then_some(now),
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
                })));
            }
            ActionKind::EnsureStore { store, .. } => {
                self.store().marker = Some(StoreMarker { format_version: "1.0".to_owned(), store_id: "id".to_owned() });
                self.facts().stores.insert(store.clone(), "id".to_owned());
            }
            ActionKind::ApplyDocument { op: DocumentOp::Restore, after, .. } => {
                let body = after.clone().expect("what is restored");
                let applied = self.facts().applied.get_mut(address).expect("applied");
                (applied.digest, applied.body) = (digest_of(&body), body);
                if let Some(Observation::Known(signs)) = &mut self.observed.signs.catalog {
                    signs.documents.remove(address);
                }
            }
            ActionKind::ApplyDocument { op: DocumentOp::Archive, .. } => {
                self.facts().applied.get_mut(address).expect("applied").archived_at = Some(now);
            }
            ActionKind::ApplyDocument { .. } => {
                let document = self.desired.documents[address].clone();
                let retention = address.name().and_then(|n| self.desired.schedules.get(n)).map(|s| s.retention.clone());
                let since = self.facts().applied.get(address).map_or(now, |applied| applied.since);
                let applied =
                    Applied { body: document.body, digest: document.digest, since, archived_at: None, retention };
                self.facts().applied.insert(address.clone(), applied);
                self.facts().removals.remove(address);
            }
            ActionKind::BackUp(work) => {
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
                    completed_at: now,
                    size: Bytes(1000),
                    original_size: Bytes(4000),
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
                    content: work.configuration.as_ref().and_then(|c| c.digest),
                    protected: false,
                    asked_for: work.asked_for.clone().map(Box::new),
                    pinned_until: None,
                    locked_until: None,
                    duration_ms: 10,
                };
                assert!(self.facts().backups.iter().all(|b| b.id != backup.id), "{} is taken twice", backup.id);
                self.facts().backups.push(backup);
                self.store().manifests += 1;
            }
            ActionKind::RecordMissed { schedule, database, slots, .. } => {
                let settled = *slots.last().expect("a slot");
                let progress = &mut self.facts().progress;
                progress.retain(|p| (&p.schedule, &p.database) != (schedule, database));
                progress.push(Progress { schedule: schedule.clone(), database: database.clone(), settled });
            }
            ActionKind::Drill(work) => {
                let record = DrillRecord {
                    at: now,
                    passed: true,
                    plan_digest: work.plan_digest,
                    restore: Period::seconds(5),
                    backup_age: Period::seconds(0),
                    attempts: work.attempt + 1,
                };
                self.facts().drills.insert(work.plan.clone(), record);
                for part in &work.backups {
                    let backup = self.facts().backups.iter_mut().find(|b| b.id == part.backup);
                    backup.expect("a drilled backup exists").drilled_at = Some(now);
                }
            }
            ActionKind::Quarantine { backup, words, .. } => {
                self.backup(backup.as_str()).quarantine = Some(words.clone())
            }
            ActionKind::Move { from, .. } => {
                let moved = Moved { from: from.clone(), to: address.clone() };
                carry(self.facts(), &moved);
            }
            ActionKind::Release { after, .. } => {
                self.facts().removals.insert(address.clone(), *after);
            }
            ActionKind::Offboard(work) => {
                let record = self.record(&work.slug);
                assert!(record.offboarded_at.is_none(), "{} is offboarded twice", work.slug);
                record.offboarded_at = Some(now);
            }
            ActionKind::Onboard(work) => {
                let record = self.record(&work.slug);
                assert!(record.offboarded_at.is_some(), "{} was not offboarded", work.slug);
                record.offboarded_at = None;
            }
            ActionKind::Tombstone(work) => {
                let backup = self.backup(work.backup.as_str());
                backup.tombstoned_at = Some(now);
                backup.purge_after = work.purge_after;
                backup.marks += 1;
            }
            ActionKind::Purge(work) => {
                self.facts().backups.retain(|b| b.id != work.backup);
                self.store().manifests -= 1;
            }
            ActionKind::AbortUploads { store, .. } => {
                if let Some(signs) = self.observed.signs.stores.get_mut(store)
                    && let Observation::Known(Some(uploads)) = &mut signs.uploads
                {
                    uploads.retain(|upload| upload.owner != bkup::domain::UploadOwner::Dead);
                }
            }
            ActionKind::CollectGarbage { backup, attempt, .. } => {
                self.facts().garbage.retain(|g| (&g.backup, g.attempt) != (backup, *attempt));
            }
        }
    }

    /// Returns a backup.
    pub fn backup(&mut self, id: &str) -> &mut Backup {
        self.facts().backups.iter_mut().find(|b| b.id.as_str() == id).expect("a backup")
    }

    /// Returns the backups of a scope that are not tombstoned.
    pub fn live(&mut self, scope: &Scope) -> Vec<Backup> {
        self.facts().backups.iter().filter(|b| &b.scope == scope && b.tombstoned_at.is_none()).cloned().collect()
    }
}
