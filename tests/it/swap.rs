//! Suite: a tenant swapped in a live database that goes on being used, and swapped back. With the binary, on real servers.

mod full;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bkup::engine::Connection;
use bkup::engine::sql::quote_ident;
use sqlx::Executor as _;

use crate::restore::content;
use crate::world::cluster::Major;
use crate::world::place::World;

const INTO_LIVE: [&str; 7] = ["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"];

/// Lets the server log every wait for a lock that takes a second.
async fn watch_locks(world: &World) {
    for set in
        ["ALTER SYSTEM SET log_lock_waits = on", "ALTER SYSTEM SET deadlock_timeout = '1s'", "SELECT pg_reload_conf()"]
    {
        world.cluster.exec("postgres", set).await;
    }
}

/// Asserts that nobody waited for a lock for a second. The server's own clock says so: a statement may take longer on a
/// machine that is busy with other tests.
#[track_caller]
fn assert_nobody_waited(world: &World) {
    let log = std::fs::read_to_string(world.cluster.server().folder().join("server.log")).unwrap();
    let waited: Vec<&str> = log.lines().filter(|line| line.contains("still waiting for")).collect();
    assert!(waited.is_empty(), "{waited:#?}");
}

/// Starts an application that inserts orders of one tenant as fast as it can, with one prepared statement, and counts
/// those that were committed. Every insert must succeed: a swap is not to be noticed but by waiting.
fn application(live: Connection, schema: &str, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<i64> {
    let insert = format!(
        "INSERT INTO {}.orders (customer_id, currency, total, placed_at) VALUES ($1, 'EUR', 1, now())",
        quote_ident(schema)
    );
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut session = live.connect().await.unwrap();
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            let done = sqlx::query(sqlx::AssertSqlSafe(insert.clone())).bind(1_i64).execute(&mut session).await;
            done.unwrap();
            written += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        written
    })
}

async fn number(world: &World, sql: &str) -> i64 {
    world.cluster.ask("app", sql).await.unwrap().parse().unwrap()
}

async fn orders(world: &World, schema: &str) -> i64 {
    number(world, &format!("SELECT count(*) FROM {}.orders", quote_ident(schema))).await
}

/// Returns the schemas that swaps have made, sorted.
async fn beside(world: &World) -> Vec<String> {
    let sql =
        "SELECT string_agg(nspname, '|' ORDER BY nspname) FROM pg_namespace WHERE nspname ~ '__(old|new)_[0-9a-f]{8}$'";
    let all = world.cluster.ask("app", &format!("({sql})")).await;
    all.map(|all| all.split('|').map(str::to_owned).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tenant_is_swapped_while_an_application_writes_to_all_tenants_and_swapped_back() {
    let world = World::new(Major::V17, &["a", "b", "c"]).await;
    let _ = world.apply();
    watch_locks(&world).await;
    let before = content(&world, "app", "tenant_a").await;
    let stop = Arc::new(AtomicBool::new(false));
    let live = world.cluster.connection("app");
    let applications: Vec<_> =
        ["tenant_a", "tenant_a", "tenant_b", "tenant_c"].map(|schema| application(live.clone(), schema, &stop)).into();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ran =
        world.run(&["--format", "json", "restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut written = Vec::new();
    for application in applications {
        written.push(application.await.unwrap());
    }
    let json = ran.exits(0).json();
    let swap = &json["swap"];
    assert!(swap["locked_ms"].as_u64().unwrap() < 1000, "{swap}");
    assert_nobody_waited(&world);
    // What was committed is in one of the two, and nothing is in both or in none.
    let aside = swap["plan"]["aside"].as_str().unwrap();
    let (now, old) = (orders(&world, "tenant_a").await, orders(&world, aside).await);
    assert_eq!(now + old, 400 + written[0] + written[1], "{now} {old}");
    assert!(now > 200 && old > 200, "it wrote before and after: {now} {old}");
    for (tenant, written) in [("tenant_b", &written[2]), ("tenant_c", &written[3])] {
        assert_eq!(orders(&world, tenant).await, 200 + written);
    }
    let places: Vec<&str> = json["proofs"].as_array().unwrap().iter().map(|p| p["place"].as_str().unwrap()).collect();
    assert_eq!(places.last(), Some(&"live"), "proven in live, too, before the swap: {places:?}");
    let changed = swap["changes"].to_string();
    assert!(changed.contains("orders"), "what the swap put aside was shown: {changed}");
    // The way back: first what it would discard, then the question.
    let ran = world.run(&["restore", "--undo"]).exits(64).says("BK895");
    assert!(!ran.stderr.contains("swap back"), "{}", ran.stderr);
    let ran = world.run(&["restore", "--undo", "--auto-approve"]).exits(0);
    let ran = ran.says(&format!("\"tenant_a\".\"orders\": {now} rows now, 200 at the swap"));
    assert!(ran.stdout.contains("tenant_a is what it was before the swap"), "{}", ran.stdout);
    assert_eq!(orders(&world, "tenant_a").await, old);
    // Nothing was lost by that either, and it can be taken back itself.
    let kept = beside(&world).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(orders(&world, &kept[0]).await, now);
    let id = &kept[0][kept[0].len() - 8..];
    let _ = world.run(&["restore", "--undo", id, "--auto-approve"]).exits(0);
    assert_eq!(orders(&world, "tenant_a").await, now);
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id > 200").await;
    world.cluster.exec("app", "SELECT setval('tenant_a.orders_id_seq', 200)").await;
    assert_eq!(content(&world, "app", "tenant_a").await, before);
}

/// What hangs on a tenant from outside, and what is special inside.
const CONNECTED: &str = "
    CREATE ROLE reader NOLOGIN; CREATE ROLE app_owner NOLOGIN;
    COMMENT ON SCHEMA tenant_a IS 'ours; it''s';
    GRANT USAGE ON SCHEMA tenant_a TO reader, app_owner; ALTER TABLE tenant_a.orders OWNER TO app_owner;
    ALTER DEFAULT PRIVILEGES IN SCHEMA tenant_a GRANT SELECT ON TABLES TO reader;
    ALTER TABLE tenant_a.customers ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON tenant_a.customers TO reader USING (id % 2 = 0);
    CREATE TABLE public.favourites (id int PRIMARY KEY, of_order bigint CONSTRAINT \"to it\" REFERENCES tenant_a.orders);
    COMMENT ON CONSTRAINT \"to it\" ON public.favourites IS 'kept';
    INSERT INTO public.favourites VALUES (1, 7), (2, NULL);
    CREATE VIEW public.of_a WITH (security_barrier) AS SELECT o.id, r.total FROM tenant_a.orders o
        JOIN tenant_a.revenue r USING (customer_id);
    CREATE VIEW public.above AS SELECT count(*) AS n FROM public.of_a;
    CREATE FUNCTION public.says() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM tenant_a.orders';
    CREATE PUBLICATION picked FOR TABLE tenant_a.orders (id, total) WHERE (id > 3);
    CREATE PUBLICATION whole FOR TABLES IN SCHEMA tenant_a;";

/// Everything that is to be the same before and after, as one text.
const FACTS: &str = "(SELECT concat_ws(' | ', (SELECT count(*) FROM public.of_a), (SELECT n FROM public.above), public.says(),
    (SELECT string_agg(pg_get_constraintdef(oid) || convalidated || obj_description(oid), ',') FROM pg_constraint WHERE conname = 'to it'),
    (SELECT string_agg(reloptions::text, ',') FROM pg_class WHERE relname = 'of_a'),
    (SELECT string_agg(concat_ws(' ', pubname, schemaname, tablename, rowfilter, attnames), ',' ORDER BY pubname, tablename)
     FROM pg_publication_tables),
    obj_description('tenant_a'::regnamespace), has_schema_privilege('reader', 'tenant_a', 'USAGE'),
    (SELECT tableowner FROM pg_tables WHERE schemaname = 'tenant_a' AND tablename = 'orders'),
    (SELECT string_agg(policyname || qual, ',') FROM pg_policies WHERE schemaname = 'tenant_a'),
    (SELECT defaclacl::text FROM pg_default_acl WHERE defaclnamespace = 'tenant_a'::regnamespace),
    (SELECT string_agg(pg_get_constraintdef(oid) || convalidated, ',' ORDER BY conname) FROM pg_constraint
     WHERE connamespace = 'tenant_a'::regnamespace AND contype = 'f')))";

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_a_tenant_is_pointed_at_what_comes_in_and_back_again() {
    for major in Major::ALL {
        let world = World::new(major, &["a"]).await;
        world.cluster.exec("app", CONNECTED).await;
        let _ = world.apply();
        let before = content(&world, "app", "tenant_a").await;
        let facts = world.cluster.ask("app", FACTS).await;
        world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id > 100").await;
        let ran = world.run(&INTO_LIVE).exits(0);
        let ran = ran
            .says("foreign key re-pointed: \"to it\" of \"public\".\"favourites\" to \"orders\"")
            .says("view re-pointed: \"public\".\"of_a\"")
            .says("published again: \"orders\" in \"picked\"")
            .says("goes by its name, before and after: function public.says")
            .says("\"tenant_a\".\"orders\": 100 rows now, 200 in the backup");
        assert!(!ran.stderr.contains("above"), "it hangs on the view, which is the same: {}", ran.stderr);
        assert_eq!(content(&world, "app", "tenant_a").await, before);
        assert_eq!(world.cluster.ask("app", FACTS).await, facts);
        let insert = "INSERT INTO public.favourites VALUES (3, 150)";
        world.cluster.exec("app", insert).await;
        // Back, the row that refers to what is not there is in the way.
        let ran = world.run(&["restore", "--undo", "--auto-approve"]).exits(4).says("BK983").says("1 by \"to it\"");
        assert!(ran.stdout.is_empty());
        world.cluster.exec("app", "DELETE FROM public.favourites WHERE id = 3").await;
        let _ = world.run(&["restore", "--undo", "--auto-approve"]).exits(0);
        assert_eq!(orders(&world, "tenant_a").await, 100);
        let back =
            "(SELECT obj_description('tenant_a'::regnamespace) || public.says() || (SELECT n FROM public.above))";
        assert_eq!(world.cluster.ask("app", back).await.as_deref(), Some("ours; it's100100"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_would_refer_to_nothing_stop_a_swap_unless_they_may_stay() {
    let world = World::new(Major::V17, &["a"]).await;
    world.cluster.exec("app", CONNECTED).await;
    let _ = world.apply();
    world
        .cluster
        .exec(
            "app",
            "INSERT INTO tenant_a.orders (id, customer_id, currency, total, placed_at) VALUES (900, 1, 'EUR', 1, now()); \
             INSERT INTO public.favourites VALUES (3, 900)",
        )
        .await;
    let _ = world.run(&INTO_LIVE).exits(4).says("BK983").says("1 by \"to it\" of \"public\".\"favourites\"");
    assert_eq!((orders(&world, "tenant_a").await, beside(&world).await), (201, Vec::new()));
    let args: Vec<&str> = INTO_LIVE.into_iter().chain(["--keep-orphans"]).collect();
    let ran = world.run(&args).exits(5);
    assert!(ran.stdout.contains("holds for new rows alone: \"to it\""), "{}", ran.stdout);
    assert_eq!(orders(&world, "tenant_a").await, 200);
    let refused = "INSERT INTO public.favourites VALUES (4, 901)";
    let mut session = world.cluster.connection("app").connect().await.unwrap();
    assert!(session.execute(refused).await.is_err(), "new rows are checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_over_is_refused_before_anything_is_fetched() {
    let world = World::new(Major::V17, &["a"]).await;
    world
        .cluster
        .exec(
            "app",
            "CREATE MATERIALIZED VIEW public.sums AS SELECT sum(total) FROM tenant_a.orders; \
             CREATE TABLE public.states (s tenant_a.order_state); \
             CREATE TABLE public.next (n bigint DEFAULT nextval('tenant_a.orders_id_seq')); \
             CREATE TABLE public.seen (id bigint); ALTER TABLE public.seen ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY own ON public.seen USING (id IN (SELECT id FROM tenant_a.customers)); \
             CREATE TABLE public.events (day date) PARTITION BY RANGE (day); \
             CREATE TABLE tenant_a.events_26 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); \
             CREATE TABLE public.kinds (LIKE public.states) PARTITION BY LIST (s)",
        )
        .await;
    let before = content(&world, "app", "tenant_a").await;
    let _ = world.apply();
    let ran = world.run(&INTO_LIVE).exits(4).says("BK980");
    for words in [
        "materialized view public.sums",
        "column s of table public.states",
        "default value for column n of table public.next",
        "policy own on table public.seen",
        "tenant_a.events_26 is a partition of public.events: detach it",
        "create it again afterwards",
    ] {
        assert!(ran.stderr.contains(words), "{words:?} is not in:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("scratch"), "{}", ran.stderr);
    assert_eq!(content(&world, "app", "tenant_a").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_waits_is_tried_again_and_named_and_nothing_is_changed() {
    let world = World::new(Major::V15, &["a"]).await;
    let _ = world.apply();
    watch_locks(&world).await;
    let mut reader = world.cluster.connection("app").connect().await.unwrap();
    reader
        .execute("SET application_name = 'a long report'; BEGIN; SELECT count(*) FROM tenant_a.orders")
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = application(world.cluster.connection("app"), "tenant_a", &stop);
    let args: Vec<&str> = INTO_LIVE.into_iter().chain(["--lock-timeout", "4s"]).collect();
    let ran = world.run(&args).exits(7).says("BK981").says("a long report").says("attempts");
    assert!(ran.stdout.is_empty());
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    assert_nobody_waited(&world);
    assert_eq!(beside(&world).await, Vec::<String>::new());
    reader.execute("COMMIT").await.unwrap();
    let _ = world.run(&args).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_long_names_are_swapped_and_swapped_back() {
    let long = "é".repeat(28);
    let slugs = ["\"; DROP SCHEMA public; --", "été 🦀 100%s", "two\nlines", long.as_str()];
    let world = World::new(Major::V17, &slugs).await;
    let _ = world.apply();
    for slug in slugs {
        let schema = format!("tenant_{slug}");
        let before = content(&world, "app", &schema).await;
        world.cluster.exec("app", &format!("DELETE FROM {}.orders WHERE id > 9", quote_ident(&schema))).await;
        let ran = world.run(&[
            "--format",
            "json",
            "restore",
            "--latest",
            "--tenant",
            slug,
            "--into",
            "live",
            "--auto-approve",
        ]);
        let json = ran.exits(0).json();
        assert_eq!(content(&world, "app", &schema).await, before, "{slug}");
        let (aside, id) =
            (json["swap"]["plan"]["aside"].as_str().unwrap(), json["swap"]["plan"]["id"].as_str().unwrap());
        assert!(aside.len() <= 63 && aside.ends_with(&format!("__old_{id}")), "{aside}");
        let _ = world.run(&["restore", "--undo", id, "--auto-approve"]).exits(0);
        assert_eq!(orders(&world, &schema).await, 9, "{slug}");
    }
    assert_eq!(number(&world, "SELECT count(*) FROM public.tenants").await, 4);
    // What is beside the tenants is none itself, although its name fits the glob.
    let _ = world.apply();
    let json = world.run(&["--format", "json", "list", "--all"]).exits(0).json();
    assert!(!json.to_string().contains("__old_"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_restore_left_is_removed_by_the_next_and_what_runs_is_not() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    // Whoever holds this table keeps the restore from adding its foreign key, when all rows are there.
    let mut holder = world.cluster.connection("app").connect().await.unwrap();
    holder.execute("BEGIN; LOCK TABLE public.currencies IN ROW EXCLUSIVE MODE").await.unwrap();
    let mut child = world.cli.spawn(&INTO_LIVE);
    child.wait_for("loading it beside");
    let loaded = "(SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%ADD CONSTRAINT%')";
    while number(&world, loaded).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(beside(&world).await.len(), 1);
    // A second one meanwhile leaves it alone.
    let other = world.run(&[
        "restore",
        "--latest",
        "--tenant",
        "a",
        "--into",
        "live",
        "--auto-approve",
        "--lock-timeout",
        "1s",
    ]);
    let other = other.exits(1).says("adding foreign key");
    assert!(!other.stderr.contains("removed"), "{}", other.stderr);
    assert_eq!(beside(&world).await.len(), 1);
    child.kill();
    let _ = child.finish();
    holder.execute("COMMIT").await.unwrap();
    let left = beside(&world).await;
    assert!(left.len() == 1 && left[0].starts_with("tenant_a__new_"), "{left:?}");
    // PostgreSQL notices that the session is gone when it reads from it next; the lock is what tells.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _ = world.run(&INTO_LIVE).exits(0).says(&format!("removed {}", left[0]));
    assert!(beside(&world).await.iter().all(|name| name.contains("__old_")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_or_failed_load_leaves_nothing_beside_the_schema_in_use() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let before = content(&world, "app", "tenant_a").await;
    let mut holder = world.cluster.connection("app").connect().await.unwrap();
    holder.execute("BEGIN; LOCK TABLE public.currencies IN ROW EXCLUSIVE MODE").await.unwrap();
    let mut child = world.cli.spawn(&INTO_LIVE);
    child.wait_for("loading it beside");
    std::thread::sleep(Duration::from_millis(300));
    child.interrupt();
    let ran = child.finish();
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    holder.execute("COMMIT").await.unwrap();
    assert_eq!(beside(&world).await, Vec::<String>::new());
    // What the tenant refers to is gone from the live database alone: checked before the swap, not after.
    world
        .cluster
        .exec("app", "UPDATE tenant_a.orders SET currency = 'EUR'; DELETE FROM public.currencies WHERE code = 'KRW'")
        .await;
    let _ = world.run(&INTO_LIVE).exits(1).says("BK847").says("orders_currency_fkey");
    assert_eq!(beside(&world).await, Vec::<String>::new());
    assert_eq!(orders(&world, "tenant_a").await, 200);
    assert_ne!(content(&world, "app", "tenant_a").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_aside_goes_when_it_is_forgotten_and_not_while_others_use_it() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let _ = world.run(&["restore", "--undo", "--auto-approve"]).exits(64).says("BK984");
    let json =
        world.run(&["--format", "json", "restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"]);
    let json = json.exits(0).json();
    let id = json["swap"]["plan"]["id"].as_str().unwrap().to_owned();
    let aside = beside(&world).await.remove(0);
    world.cluster.exec("app", &format!("CREATE VIEW public.clings AS SELECT * FROM {aside}.orders")).await;
    let _ = world.run(&["restore", "--forget", &id, "--auto-approve"]).exits(4).says("BK985").says("\"clings\"");
    world.cluster.exec("app", "DROP VIEW public.clings").await;
    let _ = world.run(&["restore", "--forget", "00000000", "--auto-approve"]).exits(64).says("BK984").says(&id);
    let _ = world.run(&["restore", "--forget", &id]).exits(64).says("BK895");
    // Rows of the shared part that it refers to are in use: their writers do not wait for the removal.
    let _ = world.run(&["restore", "--forget", &id, "--auto-approve"]).exits(0).says(&format!("removed {aside}"));
    assert_eq!(beside(&world).await, Vec::<String>::new());
    assert_eq!(orders(&world, "tenant_a").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_partitioned_table_are_told_of_where_they_lie() {
    let world = World::new(Major::V17, &["a"]).await;
    let partitioned = "CREATE TABLE tenant_a.log (at date NOT NULL) PARTITION BY RANGE (at); \
                       CREATE TABLE tenant_a.log_26 PARTITION OF tenant_a.log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); \
                       INSERT INTO tenant_a.log VALUES ('2026-03-01')";
    world.cluster.exec("app", partitioned).await;
    let _ = world.apply();
    let _ = world.run(&INTO_LIVE).exits(0).says("its tables hold what the backup holds");
    world.cluster.exec("app", "INSERT INTO tenant_a.log VALUES ('2026-03-02')").await;
    let ran = world.run(&["restore", "--undo", "--auto-approve"]).exits(0);
    let ran = ran.says("1 table changed since the swap").says("\"tenant_a\".\"log_26\": 2 rows now, 1 at the swap");
    assert!(!ran.stderr.contains("\"log\":") && !ran.stdout.contains("\"log\":"), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_restore_does_what_the_file_says_or_nothing() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id > 9").await;
    let plan = ["restore", "--latest", "--tenant", "a", "--into", "live", "--plan", "restore.json"];
    let ran = world.run(&plan).exits(0).says("nothing was done");
    assert!(ran.stdout.contains("tenant_a is in use") && ran.stdout.contains("into postgres@"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("starting a scratch server"), "{}", ran.stderr);
    let saved: serde_json::Value = serde_json::from_str(&world.cli.read("restore.json")).unwrap();
    assert_eq!((&saved["kind"], &saved["into"]), (&"restore".into(), &"live".into()));
    let _ = world.run(&["show", "restore.json"]).exits(0);
    // Edited, it is refused; so it is when something hangs on the tenant that was not there.
    let text = world.cli.read("restore.json").replace("\"into\": \"live\"", "\"into\": \"scratch\"");
    std::fs::write(world.cli.path("edited.json"), text).unwrap();
    let _ = world.run(&["restore", "edited.json"]).exits(1).says("BK894");
    world.cluster.exec("app", "CREATE VIEW public.later AS SELECT id, total FROM tenant_a.orders").await;
    let _ = world.run(&["restore", "restore.json"]).exits(6).says("BK987").says("swap");
    world.cluster.exec("app", "DROP VIEW public.later").await;
    assert_eq!((orders(&world, "tenant_a").await, beside(&world).await.len()), (9, 0));
    let kept = world.run(&["restore", "restore.json", "--keep"]).exits(64);
    let _ = kept.says("--keep is for a scratch server");
    // The store alone is enough, and the names are those of the plan.
    let world = world.env("BKUP_CATALOG_URL", "");
    let refused = world.run(&["apply", "restore.json", "--report", "report.json"]).exits(64);
    let _ = refused.says("the plan is of a restore, which has no report");
    let report = world.cli.read("report.json");
    assert!(report.contains("the plan is of a restore"), "{report}");
    let _ = world.run(&["apply", "restore.json"]).exits(0);
    assert_eq!(orders(&world, "tenant_a").await, 200);
    assert_eq!(beside(&world).await, [saved["swap"]["aside"].as_str().unwrap()]);
    // Once is enough: the schema in use is another one by now.
    let _ = world.run(&["restore", "restore.json"]).exits(6).says("BK863").says("was carried out before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_restore_run_twice_at_once_waits_with_a_word_and_is_done_once() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id > 9").await;
    let plan = ["restore", "--latest", "--tenant", "a", "--into", "live", "--plan", "restore.json"];
    let _ = world.run(&plan).exits(0);
    let mut holder = world.cluster.connection("app").connect().await.unwrap();
    holder.execute("BEGIN; LOCK TABLE public.currencies IN ROW EXCLUSIVE MODE").await.unwrap();
    let mut first = world.cli.spawn(&["restore", "restore.json"]);
    first.wait_for("loading it beside");
    let mut stopped = world.cli.spawn(&["restore", "restore.json"]);
    stopped.wait_for("is running elsewhere");
    stopped.interrupt();
    let _ = stopped.finish().exits(130).says("interrupted");
    let mut second = world.cli.spawn(&["restore", "restore.json"]);
    second.wait_for("is running elsewhere");
    holder.execute("COMMIT").await.unwrap();
    let _ = first.finish().exits(0);
    assert_eq!(orders(&world, "tenant_a").await, 200);
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id = 10").await;
    let _ = second.finish().exits(6);
    assert_eq!(orders(&world, "tenant_a").await, 199);
    let beside = beside(&world).await;
    assert!(beside.len() == 1 && beside[0].starts_with("tenant_a__old_"), "{beside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sanitised_copy_says_so_and_never_goes_into_live() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let write = |sql: &str| std::fs::write(world.cli.path("anonymous.sql"), sql).unwrap();
    write("UPDATE tenant_a.customers SET name = 'x', email = NULL; DO $$ BEGIN PERFORM 1; END $$;");
    let args = ["restore", "--latest", "--tenant", "a", "--sanitize", "anonymous.sql", "--into"];
    let into = |place: &'static str| args.into_iter().chain([place]).collect::<Vec<_>>();
    let ran = world.run(&into("new:copy")).exits(0);
    assert!(ran.stdout.contains("proven equal, then sanitised") && ran.stdout.contains("no proof"), "{}", ran.stdout);
    let names = "SELECT count(DISTINCT name) FROM tenant_a.customers";
    assert_eq!(world.cluster.ask("copy", names).await.as_deref(), Some("1"));
    let comment = "(SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'copy')";
    assert!(world.cluster.ask("postgres", comment).await.unwrap().starts_with("bkup: sanitised copy"));
    let _ = world.run(&into("live")).exits(64).says("never for live");
    for (sql, words) in [
        ("UPDATE tenant_a.nothing SET x = 1", "tenant_a.nothing"),
        ("UPDATE tenant_a.customers SET name = 'x'; COMMIT; SELECT 1", "ended its transaction"),
        ("\\! touch /tmp/never", "syntax error"),
    ] {
        write(sql);
        let _ = world.run(&into("new:other")).exits(1).says("BK988").says(words);
        let there = "SELECT count(*) FROM pg_database WHERE datname = 'other' OR datname LIKE 'bkup_restore%'";
        assert_eq!(world.cluster.ask("postgres", there).await.as_deref(), Some("0"));
    }
}
