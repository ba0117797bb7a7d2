//! One installation under test, in this process: a catalog of its own on a real PostgreSQL behind a wire that can be
//! cut, a bucket of its own on an S3 server that can lose replies, and everything of it saved and brought back in
//! milliseconds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bkup::apply::{ApplyError, Looking, Runtime, StoreHandle, apply};
use bkup::backup::Servers;
use bkup::catalog::{Reader, Writer};
use bkup::cli::context::Context;
use bkup::crypto::Identity;
use bkup::domain::{
    ApplyReport, CameSince, Desired, EnvText, Instant, Observation, Plan, ResolvedTenants, RunId, StoreSpec,
};
use bkup::engine::{Connection, Search};
use bkup::observe::{self, Sources};
use bkup::plan::{Request, plan};
use bkup::policy::{self, LiveTenants, SourceFile};
use bkup::restore::Workshop;
use bkup::schedule::Calendar;
use bkup::store::{self, Capabilities, ReadStore, RetryPolicy, StoreConnection, WriteStore};
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use super::bin::Bin;
use crate::world::cluster::{Cluster, Major};
use crate::world::gate::Gate;
use crate::world::s3::{self, BUCKET, Contents, S3Server};
use crate::world::wire::Wire;

/// What every site of a suite stands on: one server with one application, and the programs.
pub struct Ground {
    pub cluster: Cluster,
    bin: Bin,
    recipient: String,
    identity: String,
}

/// The catalog's database and the bucket.
pub struct Site {
    pub ground: Arc<Ground>,
    pub gate: Arc<Gate>,
    pub s3: S3Server,
    pub catalog: String,
    wire: Wire,
    folder: tempfile::TempDir,
    /// Open stores, by what they are known to honour: opening one takes longer than all that is asked of it.
    stores: tokio::sync::Mutex<BTreeMap<String, Arc<dyn WriteStore>>>,
    /// The policies in force.
    pub policy: String,
    /// The simulated clock.
    pub now: Instant,
}

/// Everything a site holds: each table of the catalog as COPY writes it, and the bucket.
#[derive(Clone, PartialEq)]
pub struct State {
    tables: Option<Vec<(String, Vec<u8>)>>,
    bucket: Contents,
}

impl Ground {
    /// Starts the server and makes an application with two tenants.
    pub async fn lay() -> Arc<Self> {
        // What is thrown away needs no durability, and the wire must find its socket.
        let cluster = Cluster::start_with(Major::V17, &[("max_connections", "200")]).await;
        cluster.application("app", &["acme", "globex"]).await;
        let made = bkup::crypto::generate_identity(crate::world::model::at("2026-03-01T00:00:00Z"));
        let identity = secrecy::ExposeSecret::expose_secret(&made.text).to_owned();
        Arc::new(Self { cluster, bin: Bin::make(Major::V17).await, recipient: made.recipient.to_string(), identity })
    }
}

impl Site {
    /// Makes an empty one.
    pub async fn on(ground: &Arc<Ground>, catalog: &str, policy: &str, now: &str) -> Self {
        ground.cluster.exec("postgres", &format!("CREATE DATABASE {catalog}")).await;
        let gate = Arc::new(Gate::default());
        let s3 = S3Server::start();
        s3.behind(&gate);
        let wire = Wire::before(&ground.cluster.server().folder().join("s/.s.PGSQL.5432"), Arc::clone(&gate));
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
        Self {
            ground: Arc::clone(ground),
            gate,
            s3,
            catalog: catalog.to_owned(),
            wire,
            folder,
            stores: Default::default(),
            policy: policy.to_owned(),
            now: crate::world::model::at(now),
        }
    }

    fn value(&self, text: &EnvText) -> String {
        match text {
            EnvText::Literal(text) => text.clone(),
            EnvText::Variable(name) => match name.as_str() {
                "APP_URL" => self.ground.cluster.url("app"),
                "S3_ENDPOINT" => self.s3.endpoint(),
                "IDENTITY" => self.ground.identity.clone(),
                other => panic!("{other} is not set"),
            },
        }
    }

    fn policy_text(&self) -> String {
        format!(
            "version: 1
databases:
  app: {{ url: \"${{APP_URL}}\", tenants: {{ schemas: \"tenant_*\" }} }}
classes:
  everybody: {{ tenants: [\"*\"], priority: 9 }}
stores:
  primary:
    url: s3://{BUCKET}/deep/prefix
    region: us-east-1
    endpoint: \"${{S3_ENDPOINT}}\"
    path_style: true
    encryption: {{ recipients: [{recipient}], identity: \"${{IDENTITY}}\" }}
{more}",
            recipient = self.ground.recipient,
            more = self.policy
        )
    }

    fn connection(&self, spec: &StoreSpec) -> StoreConnection {
        let mut connection = s3::connection(&self.s3.endpoint(), "deep/prefix");
        connection.spec = spec.clone();
        connection.retry = RetryPolicy { times: 3, first: Duration::from_millis(1), longest: Duration::from_millis(5) };
        connection
    }

    async fn opened(&self, spec: &StoreSpec, capabilities: Option<Capabilities>) -> Arc<dyn WriteStore> {
        let mut stores = self.stores.lock().await;
        let kind = format!("{:?} {capabilities:?}", spec.url);
        if let Some(store) = stores.get(&kind) {
            return Arc::clone(store);
        }
        let mut connection = self.connection(spec);
        connection.capabilities = capabilities;
        let store = store::open(connection).await.unwrap();
        stores.insert(kind, Arc::clone(&store));
        store
    }

    /// Returns how the catalog is reached past the wire.
    pub fn direct(&self) -> Connection {
        self.ground.cluster.connection(&self.catalog)
    }

    /// Looks at the world and plans.
    pub async fn plan(&self) -> (Plan, Desired) {
        let files = [SourceFile { name: "bkup.yaml".to_owned(), bytes: self.policy_text().into_bytes() }];
        let (set, findings) = policy::read(&files);
        assert!(findings.is_empty(), "{findings:#?}");
        let (base, _) = set.desired(&BTreeMap::new());
        let reader = Reader::with(self.direct().options());
        let mut stores = BTreeMap::new();
        for (name, spec) in &base.stores {
            stores.insert(name.clone(), Ok(self.opened(spec, None).await as Arc<dyn ReadStore>));
        }
        let mut databases = BTreeMap::new();
        for (name, spec) in &base.databases {
            let options = Connection::parse(&self.value(&spec.url)).unwrap().options();
            databases.insert(name.clone(), Ok((options, spec.tenants.clone())));
        }
        let sources = Sources {
            catalog: Ok(Arc::new(reader.clone())),
            stores,
            databases,
            renamed: BTreeMap::new(),
            configurations: BTreeMap::new(),
            settings: true,
        };
        let observed = observe::look(&sources, &Context::clock).await;
        reader.close().await;
        let mut tenants = BTreeMap::new();
        for (name, server) in &observed.servers {
            let Observation::Known(facts) = server else { panic!("{server:?}") };
            tenants.insert(name.clone(), LiveTenants::Known(facts.tenants.clone().unwrap_or_default()));
        }
        let (desired, _) = set.desired(&tenants);
        let request = Request {
            now: self.now,
            simulated: true,
            tool_version: "0.1.0".to_owned(),
            catalog_version: bkup::catalog::newest_version(),
            identities: desired.stores.keys().cloned().collect(),
            requested: Default::default(),
            requested_drills: Default::default(),
            on_demand: None,
            asked_for: None,
            narrowing: Default::default(),
            allow_delete: None,
            with_kept: false,
        };
        let plan = plan(&desired, &observed, &request);
        assert!(plan.refusals.is_empty(), "{:#?}", plan.refusals);
        (plan, desired)
    }

    /// Opens the adapters, through the wire.
    async fn runtime(&self, plan: &Plan, desired: &Desired, catalog: Writer) -> Runtime {
        let reader = Reader::with(self.direct().options());
        let mut stores = BTreeMap::new();
        for (name, spec) in &plan.connections.stores {
            let known = if plan.lineage.is_some() { reader.capabilities(name).await.unwrap() } else { None };
            let known = known.and_then(|known| serde_json::from_value(known.capabilities).ok());
            let store = self.opened(spec, known).await;
            let identities = Identity::parse_all(&self.ground.identity).unwrap();
            stores.insert(name.clone(), Ok(StoreHandle { store, spec: spec.clone(), identities }));
        }
        reader.close().await;
        let databases = plan.connections.databases.iter();
        let databases =
            databases.map(|(name, spec)| (name.clone(), Ok(Connection::parse(&self.value(&spec.url)).unwrap())));
        let search = Search { pg_bin: Some(self.ground.bin.folder().as_os_str().to_owned()), ..Search::default() };
        let now = self.now;
        let random = Context::random().unwrap();
        let tenants = desired.tenants.iter().filter_map(|(name, tenants)| match tenants {
            ResolvedTenants::Known(tenants) => Some((name.clone(), tenants.clone())),
            _ => None,
        });
        let next = |when| Calendar::new(when).ok().and_then(|calendar| calendar.next_after(now));
        Runtime {
            catalog: Arc::new(catalog),
            stores,
            databases: databases.collect(),
            exporter: Arc::new(Servers::new(search.clone())),
            stage: Arc::new(Workshop { search, folder: self.folder.path().to_owned() }),
            now: Arc::new(move || now),
            simulated: Some(now),
            random: Arc::new(bkup::crypto::system_random),
            runner: format!("test:{random:x}"),
            actor: "test".to_owned(),
            commit: None,
            run: RunId::of(now, random),
            tool_version: "0.1.0".to_owned(),
            tenants: tenants.collect(),
            next_runs: desired.schedules.iter().map(|(name, spec)| (name.clone(), next(&spec.when))).collect(),
            since: Looking::over(CameSince::default()),
            policy_texts: BTreeMap::new(),
            adopted: None,
            lock_timeout: Duration::ZERO,
            stop: never(),
            events: mpsc::channel().0,
        }
    }

    /// Applies a plan.
    pub async fn apply(&self, plan: &Plan, desired: &Desired) -> Result<ApplyReport, ApplyError> {
        let catalog = Writer::with(Connection::parse(&self.wire.url(&self.catalog)).unwrap().options());
        let runtime = self.runtime(plan, desired, catalog.clone()).await;
        let applied = tokio::time::timeout(Duration::from_secs(300), apply(&runtime, plan)).await;
        catalog.reader().close().await;
        applied.expect("an apply ends")
    }

    /// Asks the catalog for rows of one text each.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let mut session = self.direct().connect().await.unwrap();
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut session).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}: {sql}"));
        session.close().await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Lets a minute and more pass by the catalog's own clock: every lease ends.
    pub async fn end_leases(&self) {
        if self.rows("SELECT 'there' WHERE to_regclass('bkup.claims') IS NOT NULL").await.is_empty() {
            return;
        }
        let past = "lease_until = clock_timestamp() - interval '1 hour' WHERE lease_until IS NOT NULL";
        let sql = ["claims", "executions", "restores"].map(|table| format!("UPDATE bkup.{table} SET {past};"));
        self.ground.cluster.exec(&self.catalog, &sql.concat()).await;
    }

    /// Saves everything.
    pub async fn save(&self) -> State {
        let mut session = self.direct().connect().await.unwrap();
        let mut transaction = session.begin().await.unwrap();
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let names = tables(&mut transaction).await;
        let mut saved = Vec::new();
        for name in names {
            let mut rows = Vec::new();
            let mut copy = transaction.copy_out_raw(&format!("COPY bkup.{name} TO STDOUT")).await.unwrap();
            while let Some(bytes) = copy.try_next().await.unwrap() {
                rows.extend_from_slice(&bytes);
            }
            drop(copy);
            saved.push((name, rows));
        }
        transaction.commit().await.unwrap();
        session.close().await.unwrap();
        State { tables: Some(saved).filter(|saved| !saved.is_empty()), bucket: self.s3.save() }
    }

    /// Brings back what was saved.
    pub async fn load(&self, state: &State) {
        self.s3.load(&state.bucket);
        let mut session = self.direct().connect().await.unwrap();
        let there = !tables(&mut session).await.is_empty();
        let Some(saved) = &state.tables else {
            sqlx::raw_sql("DROP SCHEMA IF EXISTS bkup CASCADE").execute(&mut session).await.unwrap();
            session.close().await.unwrap();
            return;
        };
        if !there {
            let writer = Writer::with(self.direct().options());
            let _ = writer.create("made-for-loading", Some(self.now)).await.unwrap();
            writer.reader().close().await;
        }
        // Triggers and references sleep: the audit log takes no TRUNCATE otherwise.
        sqlx::raw_sql("SET session_replication_role = replica").execute(&mut session).await.unwrap();
        let mut transaction = session.begin().await.unwrap();
        let names: Vec<String> = saved.iter().map(|(name, _)| format!("bkup.{name}")).collect();
        let truncate = format!("TRUNCATE {}", names.join(", "));
        sqlx::raw_sql(sqlx::AssertSqlSafe(truncate)).execute(&mut *transaction).await.unwrap();
        for (name, rows) in saved {
            let mut copy = transaction.copy_in_raw(&format!("COPY bkup.{name} FROM STDIN")).await.unwrap();
            copy.send(rows.as_slice()).await.unwrap();
            let _ = copy.finish().await.unwrap();
        }
        let next = "SELECT setval(pg_get_serial_sequence('bkup.drills', 'ordinal'), \
                    coalesce((SELECT max(ordinal) FROM bkup.drills), 0) + 1, false)";
        sqlx::raw_sql(next).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        session.close().await.unwrap();
    }

    /// Returns the store as a reader has it.
    pub async fn store(&self) -> Arc<dyn WriteStore> {
        self.opened(&s3::connection("", "deep/prefix").spec, None).await
    }

    /// Returns where scratch servers stand while they do.
    pub fn scratch(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.folder.path()).unwrap().flatten().map(|item| item.path()).collect()
    }
}

async fn tables(session: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('bkup') AND relkind = 'r' \
               ORDER BY relname";
    sqlx::query_scalar(sql).fetch_all(session).await.unwrap()
}

fn never() -> tokio::sync::watch::Receiver<bool> {
    tokio::sync::watch::channel(false).1
}
