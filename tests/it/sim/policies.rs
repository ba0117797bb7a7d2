//! Policies from a seed, and how they change over the years.

use std::collections::{BTreeMap, BTreeSet};

use bkup::domain::{
    Address, Approval, ApprovalStatus, BackupType, Check, ClassSpec, Compression, DatabaseSpec, Desired, Document,
    DrillInto, DrillSpec, DrillTarget, Engine, EnvText, Guards, Instant, Method, Name, Objectives, Percent, Period,
    Pick, PlanScope, PlanType, RecoveryPlanSpec, ResolvedTenants, RetentionRule, ScheduleSpec, Section, SourceLocation,
    StoreSpec, StoreUrl, Suspension, Tenant, TenantFilter, TenantSelector, Timing, When, ZoneName, digest_of,
};

use super::random::Random;
use crate::world::model::name;

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"];

/// The policies of a world, and what is drawn for them.
pub struct Policies {
    random: Random,
    pub desired: Desired,
    next: u64,
}

impl Policies {
    pub fn new(mut random: Random) -> Self {
        let mut desired = Desired::default();
        let stores: &[&str] = if random.chance(300) { &["primary", "second"] } else { &["primary"] };
        for store in stores {
            desired.stores.insert(name(store), StoreSpec::at(StoreUrl::Folder(format!("/srv/{store}"))));
        }
        desired.databases.insert(
            name("app"),
            DatabaseSpec {
                url: EnvText::Variable("APP_URL".to_owned()),
                objectives: None,
                tenants: Some(TenantSelector::Schemas("tenant_*".to_owned())),
                wal: None,
                unmanaged: Vec::new(),
                manage_settings: false,
            },
        );
        let class = |tenants: &str, priority| ClassSpec {
            tenants: vec![tenants.to_owned()],
            priority,
            objectives: Objectives { rpo: Some(Period::hours(27)), rto: None, method: Method::ColdBackup },
        };
        desired.classes.insert(name("gold"), class("g*", 1));
        desired.classes.insert(name("standard"), class("*", 9));
        let mut policies = Self { random, desired, next: 0 };
        policies.desired.guards = policies.guards();
        for _ in 0..=policies.random.below(3) {
            policies.add_schedule();
        }
        if policies.random.chance(600) {
            let plan = policies.recovery_plan();
            policies.desired.recovery_plans.insert(name("back"), plan);
        }
        policies.document();
        policies
    }

    fn guards(&mut self) -> Guards {
        let random = &mut self.random;
        Guards {
            max_delete: Percent::hundredths(*random.pick(&[1000, 2000, 5000, 10_000])),
            min_keep: *random.pick(&[1, 1, 2, 2, 3]),
            grace: Period::hours(*random.pick(&[0, 1, 24, 72, 168, 336])),
            reason: None,
            until: None,
        }
    }

    fn retention(&mut self) -> RetentionRule {
        let random = &mut self.random;
        let mut rule = RetentionRule {
            pick: if random.chance(300) { Pick::Last } else { Pick::First },
            timezone: ZoneName::try_from((*random.pick(&ZONES)).to_owned()).expect("a zone"),
            ..RetentionRule::default()
        };
        while rule.keeps_nothing() {
            let mut draw = |odds, most| if random.chance(odds) { Some(1 + random.below(most) as u32) } else { None };
            rule.last = draw(300, 6);
            rule.hourly = draw(150, 24);
            rule.daily = draw(500, 14);
            rule.weekly = draw(350, 6);
            rule.monthly = draw(250, 6);
            rule.quarterly = draw(100, 3);
            rule.yearly = draw(150, 3);
            rule.within = draw(250, 20).map(|days| Period::days(i64::from(days)));
            rule.max_age = draw(100, 60).map(|days| Period::days(i64::from(days) + 5));
        }
        rule
    }

    fn timing(&mut self) -> Timing {
        let random = &mut self.random;
        let cron = |text: String| Timing::Cron { expression: text };
        match random.below(6) {
            0 => cron(format!("{} {} * * *", random.below(60), random.below(24))),
            1 => cron(format!("0 {} * * 0", random.below(24))),
            2 => cron(format!("30 {} 1 * *", random.below(24))),
            3 => Timing::Every { period: Period::hours(*random.pick(&[6, 8, 12])) },
            _ => cron(format!("0 {} * * *", random.below(24))),
        }
    }

    fn schedule(&mut self) -> ScheduleSpec {
        let stores: Vec<Name> = self.desired.stores.keys().cloned().collect();
        let retention = self.retention();
        let timing = self.timing();
        let random = &mut self.random;
        let tenants = match random.below(5) {
            0 => TenantFilter::Classes(vec![name("gold")]),
            1 => TenantFilter::Slugs(vec!["t*".to_owned(), "g1".to_owned()]),
            _ => TenantFilter::All,
        };
        let backup = if random.chance(600) { BackupType::TenantData } else { BackupType::Database };
        ScheduleSpec {
            databases: vec![name("app")],
            backup,
            engine: Engine::Logical,
            tenants: if backup == BackupType::TenantData { tenants } else { TenantFilter::All },
            tables: Vec::new(),
            when: When { timing, timezone: ZoneName::try_from((*random.pick(&ZONES)).to_owned()).expect("a zone") },
            start_within: Period::hours(*random.pick(&[1, 6, 24, 36])),
            retention,
            retention_name: None,
            store: random.pick(&stores).clone(),
            compression: *random.pick(&[Compression::None, Compression::Lz4, Compression::Zstd(1)]),
            max_parallel_jobs: 1 + random.below(3) as u32,
            base: None,
            max_chain: None,
            paths: Vec::new(),
            exclude: Vec::new(),
            notify: None,
        }
    }

    fn add_schedule(&mut self) -> Name {
        self.next += 1;
        let key = name(&format!("s{}", self.next));
        let spec = self.schedule();
        self.desired.schedules.insert(key.clone(), spec);
        key
    }

    fn recovery_plan(&mut self) -> RecoveryPlanSpec {
        let random = &mut self.random;
        let tenants = random.chance(600);
        RecoveryPlanSpec {
            description: None,
            plan_type: if tenants { PlanType::TenantRecovery } else { PlanType::FullRecovery },
            scope: PlanScope::TenantData,
            severity: None,
            databases: vec![name("app")],
            rto: Some(Period::hours(4)),
            rpo: None,
            requires: Vec::new(),
            minimum_backup_age: None,
            steps: Vec::new(),
            approval: Approval { status: ApprovalStatus::Approved, by: None, at: None },
            primary_contact: None,
            escalation_contacts: Vec::new(),
            drill: Some(DrillSpec {
                every: Some(Period::days(random.range(3, 40))),
                when: None,
                target: DrillTarget::Latest,
                into: DrillInto::Scratch,
                sample_tenants: 2,
                checks: vec![Check::TablesEqual],
            }),
        }
    }

    /// Changes something, and says what. Schedules whose rule or slots are others now come with it.
    pub fn change(&mut self, now: Instant) -> (String, BTreeSet<Name>) {
        let names: Vec<Name> = self.desired.schedules.keys().cloned().collect();
        let one = |random: &mut Random| names[random.below(names.len() as u64) as usize].clone();
        let mut touched = BTreeSet::new();
        let words = match self.random.below(8) {
            0 | 1 => {
                let key = one(&mut self.random);
                let rule = self.retention();
                touched.insert(key.clone());
                self.desired.schedules.get_mut(&key).expect("a schedule").retention = rule;
                format!("{key} has another retention")
            }
            2 => {
                let key = one(&mut self.random);
                let timing = self.timing();
                self.desired.schedules.get_mut(&key).expect("a schedule").when.timing = timing;
                format!("{key} runs at other times")
            }
            3 if names.len() < 4 => format!("{} is new", self.add_schedule()),
            4 if names.len() > 1 => {
                let key = one(&mut self.random);
                touched.insert(key.clone());
                self.desired.schedules.remove(&key);
                self.desired.protected.remove(&Address::of(Section::Schedule, key.clone()));
                format!("{key} is gone")
            }
            5 => {
                self.desired.guards = self.guards();
                touched.extend(names.iter().cloned());
                format!("guards are {:?}", self.desired.guards)
            }
            6 => {
                let address = Address::of(Section::Schedule, one(&mut self.random));
                if !self.desired.protected.remove(&address) {
                    self.desired.protected.insert(address.clone());
                }
                format!("the protection of {address} is another one")
            }
            _ => {
                let address = Address::of(Section::Schedule, one(&mut self.random));
                let until = Period::days(self.random.range(1, 6)).after(now);
                self.desired.suspended.insert(address.clone(), Suspension { until, reason: None });
                format!("{address} pauses until {until}")
            }
        };
        self.document();
        (words, touched)
    }

    /// Forgets pauses: for the end, when all is to be done.
    pub fn wake(&mut self) {
        self.desired.suspended.clear();
        self.document();
    }

    /// Derives the documents anew from what is desired.
    pub fn document(&mut self) {
        let mut documents = BTreeMap::new();
        let protected = self.desired.protected.clone();
        let mut add = |address: Address, mut body: serde_json::Value| {
            if protected.contains(&address) {
                body["protect"] = true.into();
            }
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

    /// The same with tenants as a runner sees them.
    pub fn with(&self, tenants: Option<&BTreeSet<String>>) -> Desired {
        let mut desired = self.desired.clone();
        let resolved = match tenants {
            None => ResolvedTenants::Unknown("nobody answers".to_owned()),
            Some(slugs) => ResolvedTenants::Known(
                slugs
                    .iter()
                    .map(|slug| {
                        let class = if slug.starts_with('g') { "gold" } else { "standard" };
                        let tenant = Tenant { slug: slug.clone(), schema: format!("tenant_{slug}"), id: None };
                        (tenant, Some(name(class)))
                    })
                    .collect(),
            ),
        };
        desired.tenants.insert(name("app"), resolved);
        desired
    }
}
