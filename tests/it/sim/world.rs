//! A world in memory: stores, a catalog, a server, runners, and one clock that everything goes by. Nothing in it is left
//! to the machine: it runs on one thread, and its time passes when nobody has anything to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bkup::apply::{ApplyError, Runtime, StoreHandle, apply};
use bkup::artifact::read_back;
use bkup::backup::{Archive, Exporter, Passing, Source};
use bkup::catalog::{Ledger, ReadLedger};
use bkup::domain::{
    ApplyReport, Bytes, Clock, ConfigurationSeen, Consent, Desired, Event, Evidence, Instant, Name, Narrowing,
    Observation, Observed, Percent, Plan, ResolvedTenants, RunId, ServerFacts,
};
use bkup::drill::{Drill, Finding, Stage};
use bkup::engine::archive::Home;
use bkup::engine::meanwhile::LockRoom;
use bkup::engine::snapshot::SnapshotFacts;
use bkup::engine::{self, DumpScope, DumpSummary, EngineError, PassEnd, PassFailure, Passed, RowKey};
use bkup::observe::{self, Sources};
use bkup::plan::{Request, plan};
use bkup::store::faults::Faulty;
use bkup::store::{MemoryStore, ReadStore, WriteStore};
use futures_util::FutureExt;
use tokio::sync::watch;

use super::auditor::Auditor;
use super::ledger::{Memory, Tables};
use super::line::Connection;
use super::random::Random;
use super::weather::{Still, Weather};
use crate::world::model::at;

/// When every world begins.
const BEGIN: &str = "2026-01-05T00:00:00Z";

/// The true time: an instant, and what has passed since.
#[derive(Clone, Copy)]
struct Time {
    origin: Instant,
    begin: tokio::time::Instant,
}

impl Time {
    fn now(self) -> Instant {
        let passed = jiff::SignedDuration::try_from(self.begin.elapsed()).expect("a duration");
        self.origin.checked_add(passed).expect("an instant")
    }
}

/// Everything that is.
pub struct World {
    time: Time,
    pub stores: BTreeMap<Name, Arc<MemoryStore>>,
    pub catalog: Arc<Memory>,
    pub auditor: Arc<Auditor>,
    pub tenants: Mutex<BTreeSet<String>>,
    pub random: Mutex<Random>,
    log: Mutex<Vec<String>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// An empty world with these stores.
    pub fn new<'a>(names: impl Iterator<Item = &'a Name>, mut random: Random) -> Arc<Self> {
        let stores = names.map(|name| (name.clone(), Arc::new(MemoryStore::new(name.as_str())))).collect();
        let tenants = (0..=random.below(4)).map(|n| if n % 3 == 2 { format!("g{n}") } else { format!("t{n}") });
        let tenants = tenants.collect();
        Self::of(at(BEGIN), stores, Tables::default(), tenants, random)
    }

    /// A world that holds this, and begins at an instant.
    pub fn of(
        origin: Instant,
        stores: BTreeMap<Name, Arc<MemoryStore>>,
        tables: Tables,
        tenants: BTreeSet<String>,
        random: Random,
    ) -> Arc<Self> {
        let time = Time { origin, begin: tokio::time::Instant::now() };
        let clock: Arc<dyn Fn() -> Instant + Send + Sync> = Arc::new(move || time.now());
        let catalog = Arc::new(Memory::with(Arc::clone(&clock), tables));
        let auditor = Auditor::new(Arc::clone(&catalog), clock);
        let (tenants, random, log) = (Mutex::new(tenants), Mutex::new(random), Mutex::default());
        Arc::new(Self { time, stores, catalog, auditor, tenants, random, log })
    }

    /// The true time.
    pub fn now(&self) -> Instant {
        self.time.now()
    }

    /// Writes down what happens, for the one who reads why a seed fails.
    pub fn note(&self, words: impl AsRef<str>) {
        held(&self.log).push(format!("{} {}", self.now().strftime("%Y-%m-%dT%H:%M:%S"), words.as_ref()));
    }

    /// The last of what happened.
    pub fn log(&self, most: usize) -> Vec<String> {
        let log = held(&self.log);
        log[log.len().saturating_sub(most)..].to_vec()
    }

    pub fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut held(&self.random))
    }

    /// A copy of everything that lasts: objects and tables.
    pub fn copy(&self) -> (BTreeMap<Name, Arc<MemoryStore>>, Tables) {
        let copy = |(name, store): (&Name, &Arc<MemoryStore>)| {
            let fresh = MemoryStore::new(name.as_str());
            for key in store.keys() {
                fresh.set(&key, store.bytes(&key).expect("it is there"));
            }
            (name.clone(), Arc::new(fresh))
        };
        (self.stores.iter().map(copy).collect(), self.catalog.tables().clone())
    }
}

/// A runner: a process somewhere, with its own clock and its own connections.
pub struct Runner {
    pub name: String,
    pub weather: Arc<Weather>,
    /// How far its clock is ahead, in seconds.
    pub ahead: Arc<AtomicI64>,
    pub stop: watch::Sender<bool>,
    world: Arc<World>,
}

/// What came of a run.
#[derive(Debug)]
pub enum Ran {
    Ended(Box<ApplyReport>),
    Refused(#[expect(dead_code, reason = "it is printed")] String),
    Failed(#[expect(dead_code, reason = "it is printed")] String),
    Died,
}

impl Runner {
    pub fn new(world: &Arc<World>, name: String) -> Arc<Self> {
        let weather = Weather::new(world.draw(Random::apart));
        let (stop, _) = watch::channel(false);
        Arc::new(Self { name, weather, ahead: Arc::default(), stop, world: Arc::clone(world) })
    }

    fn clock(&self) -> Arc<dyn Fn() -> Instant + Send + Sync> {
        let (time, ahead) = (self.world.time, Arc::clone(&self.ahead));
        Arc::new(move || {
            let off = jiff::SignedDuration::from_secs(ahead.load(Ordering::Relaxed));
            time.now().checked_add(off).expect("an instant")
        })
    }

    fn connection(&self) -> Arc<Connection> {
        Arc::new(Connection {
            catalog: Arc::clone(&self.world.catalog),
            weather: Arc::clone(&self.weather),
            auditor: Arc::clone(&self.world.auditor),
            runner: self.name.clone(),
        })
    }

    fn store(&self, name: &Name) -> Option<Arc<Faulty>> {
        let inner = Arc::clone(self.world.stores.get(name)?) as Arc<dyn WriteStore>;
        Some(Arc::new(Faulty::judged(inner, self.weather.judge(name.as_str()))))
    }

    /// Looks at the world and plans.
    pub async fn plan(
        &self,
        policies: &(dyn Fn(Option<&BTreeSet<String>>) -> Desired + Sync),
        consent: bool,
    ) -> Arc<Plan> {
        let now = self.clock();
        let answers = !self.weather.chance(self.weather.odds().dumps);
        let desired = policies(Some(&*held(&self.world.tenants)).filter(|_| answers));
        let stores = desired.stores.keys().map(|name| {
            let opened = self.store(name).map(|store| store as Arc<dyn ReadStore>);
            (name.clone(), opened.ok_or_else(|| "there is no such store".to_owned()))
        });
        let catalog: Arc<dyn ReadLedger> = self.connection();
        let sources = Sources {
            catalog: Ok(catalog),
            stores: stores.collect(),
            databases: BTreeMap::new(),
            renamed: BTreeMap::new(),
            configurations: BTreeMap::new(),
            settings: true,
        };
        let mut observed: Observed = observe::look(&sources, now.as_ref()).await;
        for database in desired.databases.keys() {
            let facts = ServerFacts {
                version_num: 170_011,
                datname: "app".to_owned(),
                size: Bytes(1000),
                tenants: None,
                tenants_unread: None,
                configuration: ConfigurationSeen::NotAsked,
            };
            let seen = match desired.tenants.get(database) {
                Some(ResolvedTenants::Known(_)) => Observation::Known(facts),
                _ => Observation::Unreachable("nobody answers".to_owned()),
            };
            if answers {
                let ahead_seconds = self.world.now().duration_since(now()).as_secs();
                observed.clocks.push(Clock { owner: format!("database {database}"), ahead_seconds });
            }
            observed.servers.insert(database.clone(), seen);
        }
        let request = Request {
            now: now(),
            simulated: false,
            tool_version: "0.1.0".to_owned(),
            catalog_version: bkup::catalog::newest_version(),
            identities: BTreeSet::new(),
            requested: BTreeSet::new(),
            requested_drills: BTreeSet::new(),
            on_demand: None,
            asked_for: None,
            narrowing: Narrowing::default(),
            allow_delete: consent.then(|| Consent { share: Percent::hundredths(10_000), change: None }),
            with_kept: true,
        };
        let plan = Arc::new(plan(&desired, &observed, &request));
        self.world.auditor.planned(&self.name, &observed, &plan);
        plan
    }

    /// Applies a plan, somebody else's perhaps.
    pub async fn apply(&self, plan: &Arc<Plan>) -> Ran {
        self.world.auditor.holds(&self.name, plan);
        let runtime = self.runtime(plan);
        let work = Still::new(&self.weather, apply(&runtime, plan));
        let ended = tokio::select! {
            biased;
            () = self.weather.died.notified() => None,
            ended = work => Some(ended),
        };
        match ended {
            None => Ran::Died,
            Some(Ok(report)) => Ran::Ended(Box::new(report)),
            Some(Err(ApplyError::Refused(why))) => Ran::Refused(why),
            Some(Err(error)) => Ran::Failed(error.to_string()),
        }
    }

    fn runtime(&self, plan: &Plan) -> Runtime {
        let stores = plan.connections.stores.iter().map(|(name, spec)| {
            let opened = self.store(name).map(|store| StoreHandle {
                store: store as Arc<dyn WriteStore>,
                spec: spec.clone(),
                identities: Vec::new(),
            });
            (name.clone(), opened.ok_or_else(|| "there is no such store".to_owned()))
        });
        let connection = engine::Connection::parse("postgres://app@server.example/app").expect("a connection");
        let databases = plan.connections.databases.keys().map(|name| (name.clone(), Ok(connection.clone())));
        let catalog: Arc<dyn Ledger> = self.connection();
        let random = Mutex::new(self.world.draw(Random::apart));
        let server = Arc::new(Server { world: Arc::clone(&self.world), weather: Arc::clone(&self.weather) });
        let (events, _) = std::sync::mpsc::channel::<Event>();
        Runtime {
            catalog,
            stores: stores.collect(),
            databases: databases.collect(),
            exporter: Arc::clone(&server) as Arc<dyn Exporter>,
            stage: server,
            now: self.clock(),
            simulated: None,
            random: Arc::new(move |bytes| {
                bytes.fill_with(|| held(&random).next() as u8);
                Ok(())
            }),
            runner: self.name.clone(),
            actor: "simulation".to_owned(),
            commit: None,
            run: RunId::of(self.world.now(), self.world.draw(Random::next)),
            tool_version: "0.1.0".to_owned(),
            tenants: BTreeMap::new(),
            policy_texts: BTreeMap::new(),
            adopted: None,
            next_runs: Vec::new(),
            since: bkup::apply::Looking::over(bkup::domain::CameSince::default()),
            lock_timeout: Duration::from_secs(self.world.draw(|random| *random.pick(&[0, 5, 90]))),
            stop: self.stop.subscribe(),
            events,
        }
    }
}

/// The server of the world, as one runner sees it: it exports instants, and drills are run on it.
struct Server {
    world: Arc<World>,
    weather: Arc<Weather>,
}

struct Held {
    facts: SnapshotFacts,
    weather: Arc<Weather>,
    /// Schemas that someone changed since the instant.
    changed: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Exporter for Server {
    async fn export(&self, _: &engine::Connection) -> Result<Box<dyn Source>, EngineError> {
        if self.weather.chance(self.weather.odds().dumps) {
            return Err(EngineError::SnapshotLost("nobody answers".to_owned()));
        }
        let now = self.world.now();
        let facts = SnapshotFacts {
            id: format!("00000003-{:08X}-1", now.as_second()),
            consistent_at: now,
            server_clock: now,
            lsn: None,
            system_identifier: Some("7301234567890123456".to_owned()),
            server_version: "17.11".to_owned(),
            version_num: 170_011,
            datname: "app".to_owned(),
            encoding: "UTF8".to_owned(),
        };
        Ok(Box::new(Held { facts, weather: Arc::clone(&self.weather), changed: Mutex::default() }))
    }
}

#[async_trait]
impl Source for Held {
    fn facts(&self) -> &SnapshotFacts {
        &self.facts
    }

    async fn references(&self) -> Result<&[(String, String)], EngineError> {
        Ok(&[])
    }

    fn dump(&self, scope: DumpScope, _: RowKey) -> Result<Archive, EngineError> {
        let (sender, chunks) = tokio::sync::mpsc::channel(4);
        let text = format!("{scope:?} as of {}", self.facts.consistent_at);
        let length = usize::try_from(self.weather.below(200)).expect("a length");
        let _room_for_both = sender.try_send(bytes::Bytes::from(text));
        let _room_for_both = sender.try_send(bytes::Bytes::from(vec![b'x'; length]));
        let odds = self.weather.odds();
        let takes = Duration::from_millis(self.weather.below(odds.latency * 20 + 1));
        let fails = self.weather.chance(odds.dumps);
        let end = async move {
            tokio::time::sleep(takes).await;
            if fails {
                return Err(EngineError::SnapshotLost("the server went away".to_owned()));
            }
            Ok(DumpSummary { dump_version: "pg_dump (PostgreSQL) 17.11".to_owned(), ..DumpSummary::default() })
        };
        Ok(Archive { chunks, end: end.boxed() })
    }

    fn pass(&self, tenants: &[String], leave_out: Option<&[String]>, _: RowKey) -> Result<Passing, EngineError> {
        let homes = (0..tenants.len()).map(Home::Tenant).chain(leave_out.map(|_| Home::Shared));
        let (sender, portions) = tokio::sync::mpsc::channel(2 * tenants.len() + 2);
        let mut touched = 0;
        let odds = self.weather.odds();
        let fails = self.weather.chance(odds.dumps);
        for home in homes {
            // It may break before the first byte or anywhere on the way.
            if fails && self.weather.chance(200) {
                break;
            }
            touched += 1;
            let text = format!("{home:?} of {tenants:?} as of {}", self.facts.consistent_at);
            let _room_for_all = sender.try_send(Passed::Bytes { home, bytes: text.into() });
            let inside =
                DumpSummary { dump_version: "pg_dump (PostgreSQL) 17.11".to_owned(), ..DumpSummary::default() };
            let inside = match self.weather.chance(odds.dumps) {
                true => Err(EngineError::Changed("an index was dropped".to_owned())),
                false => Ok(Box::new(inside)),
            };
            let _room_for_all = sender.try_send(Passed::End { home, inside });
        }
        let error = if fails && self.weather.chance(500) {
            EngineError::SnapshotLost("the server went away".to_owned())
        } else {
            if fails && self.weather.chance(700) && !tenants.is_empty() {
                let one = usize::try_from(self.weather.below(tenants.len() as u64)).expect("an index");
                held(&self.changed).insert(tenants[one].clone());
            }
            let stderr = "relation does not exist".to_owned();
            EngineError::Program { program: "pg_dump".to_owned(), how: "exited with code 1".to_owned(), stderr }
        };
        let at = (touched > 0 && self.weather.chance(300)).then_some(Home::Tenant(0));
        let takes = Duration::from_millis(self.weather.below(odds.latency * 20 + 1));
        let end = async move {
            tokio::time::sleep(takes).await;
            if fails { Err(PassFailure { error, at }) } else { Ok(PassEnd::default()) }
        };
        Ok(Passing { portions, end: end.boxed() })
    }

    async fn room(&self) -> Result<LockRoom, EngineError> {
        // Sometimes so little that everyone has a pass of its own.
        Ok(LockRoom { slots: self.weather.below(2) * 6400, ..LockRoom::default() })
    }

    async fn suspects(&self) -> Result<BTreeSet<String>, EngineError> {
        if self.weather.chance(self.weather.odds().dumps) {
            return Err(EngineError::SnapshotLost("nobody answers".to_owned()));
        }
        Ok(held(&self.changed).clone())
    }

    async fn rewritten(&self) -> Result<BTreeSet<(String, String)>, EngineError> {
        Ok(BTreeSet::new())
    }

    async fn globals(&self) -> Result<bytes::Bytes, EngineError> {
        Ok(bytes::Bytes::from_static(b"CREATE ROLE app;\n"))
    }

    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        Ok(())
    }
}

#[async_trait]
impl Stage for Server {
    async fn run(&self, drill: &Drill) -> Finding {
        let begin = (drill.now)();
        tokio::time::sleep(Duration::from_secs(self.weather.below(60))).await;
        let (mut damaged, mut failure) = (None, None);
        for subject in &drill.subjects {
            for part in &subject.origin.manifest.parts {
                if let Err(error) = read_back(Arc::clone(&subject.origin.store), part).await {
                    if matches!(error, bkup::artifact::ArtifactError::Damaged { .. }) {
                        damaged = Some((subject.part.clone(), error.to_string()));
                    }
                    failure = Some(error.to_string());
                }
            }
        }
        let work = &drill.work;
        let evidence = Evidence {
            format_version: "1.0".to_owned(),
            drill_id: work.drill.clone(),
            plan: work.plan.to_string(),
            plan_digest: work.plan_digest.to_string(),
            drill_timestamp: begin.to_string(),
            status: if failure.is_none() { "passed" } else { "failed" }.to_owned(),
            backups: work.backups.iter().map(|b| b.backup.to_string()).collect(),
            backup_age_minutes: 0,
            restore_duration_minutes: 1,
            restore_duration_ms: 1000,
            rpo_compliant: None,
            rto_compliant: None,
            rpo_minutes: None,
            rto_minutes: None,
            tenants: Vec::new(),
            phases: Vec::new(),
            checks: Vec::new(),
            left_out: Vec::new(),
            bytes_fetched: 1,
            server_version: "17.11".to_owned(),
            tool_version: drill.tool_version.clone(),
            failure,
            previous: drill.previous.clone(),
            simulated: false,
        };
        Finding { evidence, damaged }
    }
}
