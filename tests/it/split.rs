//! Suite: many tenants out of one dump of a real server: what is split comes back equal, what changed meanwhile is
//! found, and nobody loses the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bkup::backup::{
    Archive, Destination, Exporter, Member, MemberEnd, Order, Passing, Policies, Servers, Source, run_many,
};
use bkup::domain::{BackupId, Instant, Manifest, PartKind, RunId, Scope, sha256};
use bkup::engine::meanwhile::LockRoom;
use bkup::engine::snapshot::SnapshotFacts;
use bkup::engine::{DumpScope, EngineError, Programs, RowKey, Search};
use bkup::restore::{Loaded, Opened, Origin, RestoreError, has_bridge, load_all, open, prove_but};
use bkup::store::{MemoryStore, ReadStore, WriteStore};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::catalog::build::{action, work};
use crate::world::cluster::{Cluster, Major};
use crate::world::model::at;

const SLOT: &str = "2026-03-01T02:00:00Z";

/// A server with tenants, and a store in memory.
pub struct Site {
    pub cluster: Cluster,
    pub store: Arc<MemoryStore>,
    tenants: Vec<String>,
}

/// A source that counts the passes that are begun.
struct Counting {
    inner: Box<dyn Source>,
    passes: AtomicUsize,
}

impl Counting {
    fn new(inner: Box<dyn Source>) -> Self {
        Self { inner, passes: AtomicUsize::new(0) }
    }
}

#[async_trait::async_trait]
impl Source for Counting {
    fn facts(&self) -> &SnapshotFacts {
        self.inner.facts()
    }
    async fn references(&self) -> Result<&[(String, String)], EngineError> {
        self.inner.references().await
    }
    fn dump(&self, scope: DumpScope, row_key: RowKey) -> Result<Archive, EngineError> {
        self.inner.dump(scope, row_key)
    }
    fn pass(&self, tenants: &[String], leave_out: Option<&[String]>, row_key: RowKey) -> Result<Passing, EngineError> {
        self.passes.fetch_add(1, Ordering::SeqCst);
        self.inner.pass(tenants, leave_out, row_key)
    }
    async fn room(&self) -> Result<LockRoom, EngineError> {
        self.inner.room().await
    }
    async fn suspects(&self) -> Result<BTreeSet<String>, EngineError> {
        self.inner.suspects().await
    }
    async fn rewritten(&self) -> Result<BTreeSet<(String, String)>, EngineError> {
        self.inner.rewritten().await
    }
    async fn globals(&self) -> Result<bytes::Bytes, EngineError> {
        self.inner.globals().await
    }
    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.inner.close().await
    }
}

/// What became of each scope.
pub type Ends = BTreeMap<String, MemberEnd>;

impl Site {
    pub async fn new(major: Major, settings: &[(&str, &str)], tenants: &[&str]) -> Self {
        let cluster = Cluster::start_with(major, settings).await;
        cluster.application("app", tenants).await;
        let tenants = tenants.iter().map(|slug| (*slug).to_owned()).collect();
        Self { cluster, store: Arc::new(MemoryStore::new("split")), tenants }
    }

    pub async fn exec(&self, sql: &str) {
        self.cluster.exec("app", sql).await;
    }

    pub async fn export(&self) -> Box<dyn Source> {
        let bin = self.cluster.programs.path(bkup::engine::Program::PgDump).parent().expect("a folder").to_owned();
        let servers = Servers::new(Search { pg_bin: Some(bin.into_os_string()), ..Search::default() });
        servers.export(&self.cluster.connection("app")).await.expect("exports")
    }

    fn member(&self, scope: Scope, attempt: u64, lost: &Arc<AtomicBool>) -> Member {
        let slot = at(SLOT);
        let mut work = work(scope, slot);
        let shared = BackupId::of(slot, "nightly", action(&Scope::Shared, slot));
        if work.tenant.is_some() {
            work.shared = Some(shared);
        } else {
            work.leave_out = self.tenants.iter().map(|slug| format!("tenant_{slug}")).collect();
        }
        let lost = Arc::clone(lost);
        let now: Arc<dyn Fn() -> Instant + Send + Sync> = Arc::new(|| at("2026-03-01T02:00:05Z"));
        Member {
            order: Order {
                action: action(&work.scope, slot),
                work,
                attempt,
                policy_digest: sha256(b"policies"),
                simulated: None,
                now,
                tool_version: "0.1.0".to_owned(),
                lineage: RunId::of(slot, 7).to_string(),
                policies: Arc::new(Policies::default()),
                still_mine: Arc::new(|| async { true }.boxed()),
                notes: Vec::new(),
            },
            destination: Destination {
                store: Arc::clone(&self.store) as Arc<dyn WriteStore>,
                store_id: "store-1".to_owned(),
                recipients: Vec::new(),
                digest_key: None,
                storage_class: None,
            },
            is_lost: Arc::new(move || lost.load(Ordering::Relaxed)),
        }
    }

    pub fn members(&self, attempt: u64) -> Vec<Member> {
        let lost = Arc::default();
        let tenants = self.tenants.iter().map(|slug| Scope::Tenant(slug.clone()));
        std::iter::once(Scope::Shared).chain(tenants).map(|scope| self.member(scope, attempt, &lost)).collect()
    }

    pub async fn manifest(&self, end: &MemberEnd) -> Manifest {
        let MemberEnd::Taken(taken) = end else { panic!("it was not taken: {end:?}") };
        bkup::store::read_manifest(self.store.as_ref(), &taken.manifest_key).await.expect("a manifest")
    }

    /// Restores these backups into a fresh database and compares each with what was recorded.
    async fn comes_back(&self, database: &str, ends: &Ends, scopes: &[&str]) {
        let mut backups: Vec<Opened> = Vec::new();
        for scope in scopes {
            backups.push(open_of(self, &ends[*scope]).await);
        }
        let _ = self.load(database, &backups).await.expect("loads");
    }

    /// Loads backups into a fresh database and compares each with what was recorded. Returns what was loaded.
    pub async fn load(&self, database: &str, backups: &[Opened]) -> Result<Loaded, RestoreError> {
        let programs: &Programs = &self.cluster.programs;
        self.cluster.exec("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0")).await;
        let target = self.cluster.connection(database);
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("list");
        let loaded = load_all(backups, programs, &target, &list, &|_| ()).await?;
        let left = std::fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left, 0, "files are left");
        for backup in backups {
            let proof = prove_but(backup, &target, &loaded.deferred).await?;
            assert!(proof.comparison.is_equal(), "{}: {:?}", proof.scope, proof.comparison);
        }
        Ok(loaded)
    }
}

pub async fn taken(members: &[Member], source: &dyn Source) -> Ends {
    taken_and(members, source, &|| ()).await
}

/// Takes members, and calls someone whenever it is told of one.
async fn taken_and(members: &[Member], source: &dyn Source, hears: &(dyn Fn() + Sync)) -> Ends {
    let ends = Mutex::new(Ends::new());
    let settle = |place: usize, end: MemberEnd| -> BoxFuture<'_, bool> {
        hears();
        let there = matches!(end, MemberEnd::Taken(_));
        let scope = members[place].order.work.scope.to_string();
        let twice = ends.lock().unwrap().insert(scope, end);
        assert!(twice.is_none(), "{place} was told of twice");
        async move { there }.boxed()
    };
    run_many(members, source, &settle).await;
    let ends = std::mem::take(&mut *ends.lock().unwrap());
    assert_eq!(ends.len(), members.len(), "everyone is told of");
    ends
}

#[track_caller]
pub fn are_taken(ends: &Ends, but: &[&str]) {
    for (scope, end) in ends {
        assert_eq!(matches!(end, MemberEnd::Taken(_)), !but.contains(&scope.as_str()), "{scope}: {end:?}");
    }
}

/// What ties tenants to each other, to what they share, and what belongs to none.
const TIES: &str = "
    CREATE VIEW public.everyone AS SELECT name FROM tenant_a.customers UNION ALL SELECT name FROM tenant_b.customers;
    COMMENT ON VIEW public.everyone IS 'over two';
    CREATE TABLE public.log (at timestamptz, what text) PARTITION BY RANGE (at);
    CREATE TABLE tenant_a.log_march PARTITION OF public.log FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
    ALTER TABLE public.log ADD PRIMARY KEY (at);
    INSERT INTO public.log VALUES ('2026-03-02', 'x');
    CREATE TYPE tenant_a.mood AS ENUM ('sad', 'happy');
    CREATE FUNCTION tenant_a.mood_of(text) RETURNS tenant_a.mood IMMUTABLE LANGUAGE sql AS
        $$ SELECT CASE $1 WHEN 'x' THEN 'sad'::tenant_a.mood ELSE 'happy'::tenant_a.mood END $$;
    CREATE CAST (text AS tenant_a.mood) WITH FUNCTION tenant_a.mood_of(text);
    CREATE PUBLICATION orders FOR TABLE tenant_a.orders, tenant_b.orders;
    CREATE TABLE tenant_b.picks (customer bigint REFERENCES tenant_a.customers);
    SELECT lo_from_bytea(0, 'large');";

#[tokio::test(flavor = "multi_thread")]
async fn tenants_what_they_share_and_the_bridge_come_back_from_one_dump() {
    for major in Major::ALL {
        let site = Site::new(major, &[], &["a", "b", "c"]).await;
        site.exec(TIES).await;
        let source = site.export().await;
        // Written after the instant: in none of them.
        site.exec("INSERT INTO tenant_a.customers (name) VALUES ('late'); CREATE TABLE tenant_c.late (x int);").await;
        let ends = taken(&site.members(1), source.as_ref()).await;
        source.close().await.expect("was held");
        are_taken(&ends, &[]);
        let mut instants = BTreeSet::new();
        for end in ends.values() {
            let manifest = site.manifest(end).await;
            instants.insert((manifest.snapshot, manifest.consistent_at));
            assert!(!manifest.scope.tables.is_empty(), "digests per table");
        }
        assert_eq!(instants.len(), 1, "one instant");
        let shared = site.manifest(&ends["shared"]).await;
        let kinds: Vec<PartKind> = shared.parts.iter().map(|part| part.kind).collect();
        assert_eq!(kinds, [PartKind::Archive, PartKind::Bridge, PartKind::Globals]);
        assert_eq!(shared.scope.large_objects, 1);
        assert_eq!(site.manifest(&ends["tenant=b"]).await.mutual, ["public", "tenant_a"]);
        let all = ["shared", "tenant=a", "tenant=b", "tenant=c"];
        site.comes_back("whole", &ends, &all).await;
        let seen = "(SELECT count(*) FROM public.everyone) || ' ' || (SELECT count(*) FROM public.log) || ' ' || \
                    ('x'::text::tenant_a.mood)::text || ' ' || (SELECT count(*) FROM pg_publication_rel)";
        let there = site.cluster.ask("app", &seen.replace("everyone", "everyone WHERE name <> 'late'")).await;
        assert_eq!(site.cluster.ask("whole", seen).await, there);
        // One tenant needs no other: what stands on absent ones waits.
        site.comes_back("alone", &ends, &["shared", "tenant=c"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_meanwhile_costs_its_tenant_the_instant_and_nobody_else_anything() {
    let site = Site::new(Major::V17, &[], &["a", "b", "c", "d"]).await;
    let source = site.export().await;
    site.exec("DROP TABLE tenant_b.orders CASCADE; ALTER TABLE tenant_c.customers RENAME TO people;").await;
    let ends = taken(&site.members(1), source.as_ref()).await;
    are_taken(&ends, &["tenant=b", "tenant=c"]);
    for scope in ["tenant=b", "tenant=c"] {
        assert!(matches!(ends[scope], MemberEnd::Apart(_)), "{scope}: {:?}", ends[scope]);
    }
    // Only what is missing is done by the next run, at an instant of its own.
    source.close().await.expect("was held");
    let source = site.export().await;
    let again = taken(&site.members(2), source.as_ref()).await;
    are_taken(&again, &[]);
    for (scope, end) in &again {
        let MemberEnd::Taken(taken) = end else { panic!("{scope}") };
        assert_eq!(taken.by_this_attempt, ["tenant=b", "tenant=c"].contains(&scope.as_str()), "{scope}");
    }
    let notes = site.manifest(&again["tenant=b"]).await.notes;
    assert!(notes.iter().any(|note| note.starts_with("its instant is another one than that of")), "{notes:?}");
    assert!(site.manifest(&again["tenant=a"]).await.notes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_silently_is_found_and_fails_its_tenant_alone() {
    let site = Site::new(Major::V17, &[], &["a", "b", "c", "d", "e"]).await;
    site.exec(
        "CREATE INDEX gone ON tenant_a.orders (total);
         CREATE FUNCTION tenant_b.gone() RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE TABLE tenant_e.empty (x int);",
    )
    .await;
    let source = site.export().await;
    site.exec(
        "DROP INDEX tenant_a.gone; DROP FUNCTION tenant_b.gone(); TRUNCATE tenant_c.orders;
         ALTER TABLE tenant_d.orders ALTER COLUMN placed_at TYPE text;",
    )
    .await;
    let ends = taken(&site.members(1), source.as_ref()).await;
    are_taken(&ends, &["tenant=a", "tenant=b", "tenant=c", "tenant=d"]);
    for (scope, words) in [
        ("tenant=a", "the index \"tenant_a\".\"gone\" was dropped"),
        ("tenant=b", "the function \"tenant_b\".\"gone()\" was dropped"),
        ("tenant=c", "\"tenant_c\".\"orders\" was emptied or rewritten"),
        ("tenant=d", "\"tenant_d\".\"orders\" was emptied or rewritten"),
    ] {
        let MemberEnd::Apart(why) = &ends[scope] else { panic!("{scope}: {:?}", ends[scope]) };
        assert!(why.contains(words), "{scope}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_locks_make_more_passes_of_the_same_instant() {
    let slugs: Vec<String> = (0..24).map(|n| format!("t{n:02}")).collect();
    let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
    let settings = [("max_locks_per_transaction", "64"), ("max_connections", "10")];
    let site = Site::new(Major::V17, &settings, &slugs).await;
    // Far more than one transaction may lock.
    let mut sql = String::new();
    for slug in &slugs {
        for n in 0..20 {
            sql.push_str(&format!("CREATE TABLE tenant_{slug}.more{n} (id serial);"));
        }
        site.exec(&std::mem::take(&mut sql)).await;
    }
    let source = Counting::new(site.export().await);
    let room = source.room().await.expect("answers");
    assert!(room.budget() < room.of_all_but(&[]), "{} of {}", room.budget(), room.of_all_but(&[]));
    let (told, when_told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let hears = || {
        // The first is what is shared: nothing begins before it is there.
        if told.fetch_add(1, Ordering::SeqCst) == 1 {
            when_told.store(source.passes.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    };
    let ends = taken_and(&site.members(1), &source, &hears).await;
    assert_eq!(when_told.into_inner(), 2, "the next reads the catalog while the manifests of the first are written");
    let made = source.passes.load(Ordering::SeqCst);
    assert!((3..=slugs.len() / 3).contains(&made), "each is begun once: {made}");
    are_taken(&ends, &[]);
    for end in ends.values() {
        assert!(site.manifest(end).await.notes.is_empty(), "of one instant");
    }
    site.comes_back("back", &ends, &["shared", "tenant=t00", "tenant=t23"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_exporter_fails_all_that_is_left_and_leaves_nothing_visible() {
    let site = Site::new(Major::V17, &[], &["a", "b"]).await;
    let source = site.export().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE state = 'idle in transaction' AND datname = 'app'";
    site.cluster.exec("postgres", end).await;
    let ends = taken(&site.members(1), source.as_ref()).await;
    are_taken(&ends, &["shared", "tenant=a", "tenant=b"]);
    for end in ends.values() {
        let MemberEnd::Failed(error) = end else { panic!("{end:?}") };
        assert!(error.to_string().contains("the exported snapshot was lost"), "{error}");
    }
    assert!(site.store.keys().iter().all(|key| !key.ends_with("manifest.json")), "{:?}", site.store.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_drops_its_tenant_and_no_other() {
    let site = Site::new(Major::V17, &[], &["a", "b"]).await;
    let source = site.export().await;
    let lost = Arc::new(AtomicBool::new(false));
    let mut members = site.members(1);
    members[1] = site.member(Scope::Tenant("a".to_owned()), 1, &lost);
    // It is known while others are prepared, before the dump.
    lost.store(true, Ordering::Relaxed);
    let ends = taken(&members, source.as_ref()).await;
    are_taken(&ends, &["tenant=a"]);
    assert!(matches!(ends["tenant=a"], MemberEnd::Lost));
    // By the catalog's word alone, just before the manifest.
    let mut members = vec![site.member(Scope::Tenant("a".to_owned()), 2, &Arc::default())];
    members[0].order.still_mine = Arc::new(|| async { false }.boxed());
    let ends = taken(&members, source.as_ref()).await;
    assert!(matches!(ends["tenant=a"], MemberEnd::Lost), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_tenant_is_told_apart_from_those_that_wait_with_it() {
    let site = Site::new(Major::V17, &[], &["a", "b"]).await;
    let source = site.export().await;
    let mut session = site.cluster.connection("app").connect().await.expect("connects");
    sqlx::Executor::execute(&mut session, "BEGIN; LOCK TABLE tenant_b.orders IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("locks");
    let suspects = source.suspects().await.expect("answers");
    assert_eq!(suspects, ["tenant_b".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_read_is_a_suspect() {
    let site = Site::new(Major::V17, &[], &["a", "b"]).await;
    site.exec("CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader; CREATE TABLE tenant_b.own (x int);").await;
    site.exec("ALTER TABLE tenant_b.own ENABLE ROW LEVEL SECURITY").await;
    let connection = site.cluster.connection("app");
    let mut snapshot = bkup::engine::Snapshot::export(&connection).await.expect("exports");
    assert_eq!(snapshot.suspects(&connection).await.expect("answers"), BTreeSet::new(), "a superuser reads all");
    let url = format!("{}{}user=reader", site.cluster.url("app"), "&");
    let reader = bkup::engine::Connection::parse(&url).expect("a connection");
    assert_eq!(snapshot.suspects(&reader).await.expect("answers"), ["tenant_b".to_owned()].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_named_to_hurt_are_split_like_others() {
    let site = Site::new(Major::V17, &[], &["a"]).await;
    let names = ["we\"ird", "new\nline", "per%cent", "a|b", "*", "ünï", &"x".repeat(63), "back\\slash", "A"];
    let mut members = site.members(1);
    let mut tenants = vec!["tenant_a".to_owned()];
    for (index, schema) in names.iter().enumerate() {
        let quoted = bkup::engine::sql::quote_ident(schema);
        site.exec(&format!(
            "CREATE SCHEMA {quoted}; CREATE TABLE {quoted}.t (id int PRIMARY KEY); INSERT INTO {quoted}.t VALUES ({index});"
        ))
        .await;
        let mut member = site.member(Scope::Tenant(format!("n{index}")), 1, &Arc::default());
        if let Some(tenant) = &mut member.order.work.tenant {
            tenant.schema = (*schema).to_owned();
        }
        tenants.push((*schema).to_owned());
        members.push(member);
    }
    members[0].order.work.leave_out = tenants;
    let source = site.export().await;
    let ends = taken(&members, source.as_ref()).await;
    are_taken(&ends, &[]);
    for (index, schema) in names.iter().enumerate() {
        let manifest = site.manifest(&ends[&format!("tenant=n{index}")]).await;
        assert_eq!(manifest.scope.schemas, [(*schema).to_owned()]);
        assert_eq!(manifest.scope.tables.iter().map(|t| t.rows).collect::<Vec<_>>(), [1]);
    }
    let scopes: Vec<&str> = ends.keys().map(String::as_str).collect();
    site.comes_back("back", &ends, &scopes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_gone_fails_its_tenant_alone() {
    let site = Site::new(Major::V17, &[], &["a", "b"]).await;
    site.exec("DROP SCHEMA tenant_b CASCADE").await;
    let source = site.export().await;
    let ends = taken(&site.members(1), source.as_ref()).await;
    are_taken(&ends, &["tenant=b"]);
    let MemberEnd::Failed(error) = &ends["tenant=b"] else { panic!("{:?}", ends["tenant=b"]) };
    assert!(error.to_string().contains("the schema \"tenant_b\" is not inside"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_tenant_is_streamed_beside_small_ones() {
    let site = Site::new(Major::V17, &[], &["a", "b", "c"]).await;
    let fill = "INSERT INTO tenant_b.customers (name, email) \
                SELECT md5(g::text), repeat(md5((g * 7)::text), 40) FROM generate_series(1, 20000) g";
    site.exec(fill).await;
    site.exec("CREATE TABLE tenant_c.wide (t text); INSERT INTO tenant_c.wide VALUES (repeat('x', 30000000))").await;
    let source = site.export().await;
    let ends = tokio::time::timeout(Duration::from_secs(120), taken(&site.members(1), source.as_ref())).await;
    let ends = ends.expect("it ends");
    are_taken(&ends, &[]);
    let large = site.manifest(&ends["tenant=b"]).await;
    assert!(large.parts[0].original_size > 20_000_000, "{}", large.parts[0].original_size);
    assert!(!has_bridge(&open_of(&site, &ends["shared"]).await), "nothing stands on tenants");
    site.comes_back("back", &ends, &["shared", "tenant=a", "tenant=b", "tenant=c"]).await;
}

pub async fn open_of(site: &Site, end: &MemberEnd) -> Opened {
    let manifest = site.manifest(end).await;
    let store = Arc::clone(&site.store) as Arc<dyn ReadStore>;
    open(Origin { manifest, store, identities: Vec::new(), digest_key: None }).await.expect("opens")
}
