//! Suite: one table brought back into a live one, and a whole database swapped for the one in use. With the binary, on
//! real servers.

use sqlx::Executor as _;

use crate::restore::content;
use crate::world::cluster::Major;
use crate::world::place::World;

/// Tables that are hard to merge, in `public` and so in backups of the whole database.
const TABLES: &str = "
    CREATE TABLE public.\"Odd \"\" one\" (
        id int GENERATED ALWAYS AS IDENTITY, region text, doc json, at timestamptz, up text GENERATED ALWAYS AS (upper(region)) STORED,
        PRIMARY KEY (region, id));
    INSERT INTO public.\"Odd \"\" one\" (region, doc, at) SELECT 'r' || i % 3, '{\"a\": 1}', '2026-01-01' FROM generate_series(1, 30) i;
    CREATE FUNCTION public.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
    CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON public.\"Odd \"\" one\" FOR EACH ROW EXECUTE FUNCTION public.noted();
    CREATE TABLE public.log (line text); INSERT INTO public.log VALUES ('a'), ('a'), ('b');
    CREATE TABLE public.parent (id serial PRIMARY KEY, n text); INSERT INTO public.parent (n) VALUES ('x'), ('y');
    CREATE TABLE public.child (parent int REFERENCES public.parent ON DELETE CASCADE); INSERT INTO public.child VALUES (1);
    CREATE TABLE public.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (100);
    INSERT INTO public.parts SELECT i, 'v' FROM generate_series(1, 20) i";

const ODD: &str = "public.\"Odd \"\" one\"";

async fn fingerprint(world: &World, table: &str) -> Option<String> {
    world.cluster.ask("app", &format!("(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t)")).await
}

fn args<'a>(table: &'a str, how: &[&'a str]) -> Vec<&'a str> {
    let all = ["--format", "json", "restore", "--latest", "--into", "live", "--table", table];
    all.into_iter().chain(how.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_compared_merged_set_back_and_replaced() {
    for major in Major::ALL {
        let world = World::new(major, &["a"]).await;
        world.cluster.exec("app", TABLES).await;
        let _ = world.apply();
        let before = fingerprint(&world, ODD).await;
        let damage = format!(
            "ALTER TABLE {ODD} DISABLE TRIGGER noted; DELETE FROM {ODD} WHERE id <= 5; UPDATE {ODD} SET doc = '{{}}' WHERE id IN (6, 7); \
             INSERT INTO {ODD} (region, doc) VALUES ('new', '1'), ('new', '2'), ('new', '3'); ALTER TABLE {ODD} ENABLE TRIGGER noted"
        );
        world.cluster.exec("app", &damage).await;
        let damaged = fingerprint(&world, ODD).await;
        let json = world.run(&args(ODD, &[])).exits(0).json();
        let table = &json["table"];
        let counts = |keys: [&str; 4]| keys.map(|key| table[key].as_u64().unwrap());
        assert_eq!(counts(["missing", "different", "extra", "same"]), [5, 2, 3, 23], "{table}");
        assert_eq!(fingerprint(&world, ODD).await, damaged, "only compared");
        let _ = world.run(&args(ODD, &["--merge"])).exits(64).says("BK895");
        let table = &world.run(&args(ODD, &["--merge", "--auto-approve"])).exits(0).json()["table"];
        let done =
            |table: &serde_json::Value| ["inserted", "updated", "deleted"].map(|key| table[key].as_u64().unwrap());
        assert_eq!(done(table), [5, 0, 0]);
        let table = &world.run(&args(ODD, &["--merge", "update", "--auto-approve"])).exits(0).json()["table"];
        assert_eq!(done(table), [0, 2, 0]);
        assert_eq!(world.cluster.ask("app", &format!("SELECT count(*) FROM {ODD}")).await.as_deref(), Some("33"));
        let table = &world.run(&args(ODD, &["--replace", "--auto-approve"])).exits(0).json()["table"];
        assert_eq!(done(table), [0, 0, 3]);
        assert_eq!(fingerprint(&world, ODD).await, before, "as it was: its trigger has not touched the rows");
        let enabled = "(SELECT string_agg(tgenabled::text, '') FROM pg_trigger WHERE tgname = 'noted')";
        assert_eq!(world.cluster.ask("app", enabled).await.as_deref(), Some("O"));
        let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bkup%'";
        assert_eq!(world.cluster.ask("app", left).await.as_deref(), Some("0"));
        // Without a key, and partitioned.
        world
            .cluster
            .exec("app", "DELETE FROM public.log WHERE line = 'a'; DELETE FROM public.parts WHERE id > 10")
            .await;
        let _ = world.run(&args("public.log", &["--merge", "--auto-approve"])).exits(4).says("BK986").says("no key");
        let _ = world.run(&args("public.log", &["--replace", "--auto-approve"])).exits(0);
        assert_eq!(world.cluster.ask("app", "SELECT count(*) FROM public.log").await.as_deref(), Some("3"));
        let _ = world.run(&args("public.parts", &["--merge", "--auto-approve"])).exits(0);
        assert_eq!(world.cluster.ask("app", "SELECT count(*) FROM public.parts").await.as_deref(), Some("20"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_not_replaced_where_rows_of_others_would_go_or_a_constraint_does_not_hold() {
    let world = World::new(Major::V17, &["a"]).await;
    world.cluster.exec("app", TABLES).await;
    let _ = world.apply();
    world.cluster.exec("app", "INSERT INTO public.parent (n) VALUES ('z'); INSERT INTO public.child VALUES (3)").await;
    let replace = args("public.parent", &["--replace", "--auto-approve"]);
    let _ = world.run(&replace).exits(4).says("BK986").says("public.child");
    // A sequence goes on behind what came in.
    world
        .cluster
        .exec("app", "DELETE FROM public.child; DELETE FROM public.parent; ALTER SEQUENCE public.parent_id_seq RESTART")
        .await;
    let _ = world.run(&args("public.parent", &["--merge", "--auto-approve"])).exits(0);
    world.cluster.exec("app", "INSERT INTO public.parent (n) VALUES ('after')").await;
    assert_eq!(world.cluster.ask("app", "SELECT max(id) FROM public.parent").await.as_deref(), Some("3"));
    // What does not fit any more changes nothing.
    world
        .cluster
        .exec("app", "DELETE FROM public.parent WHERE id = 1; ALTER TABLE public.parent ADD CHECK (n <> 'x')")
        .await;
    let before = fingerprint(&world, "public.parent").await;
    let _ = world.run(&args("public.parent", &["--merge", "--auto-approve"])).exits(1).says("parent_n_check");
    assert_eq!(fingerprint(&world, "public.parent").await, before);
    world.cluster.exec("app", "ALTER TABLE public.parent DROP COLUMN n").await;
    let _ = world.run(&args("public.parent", &["--merge", "--auto-approve"])).exits(4).says("any more");
    let _ = world.run(&args("public.nothing", &[])).exits(4).says("it is not in the live database");
    let _ = world.run(&args("nothing", &[])).exits(64).says("schema.table");
    let _ = world.run(&["restore", "--latest", "--table", "public.log"]).exits(64).says("--into live");
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'bkup%'";
    assert_eq!(world.cluster.ask("app", left).await.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_of_the_table_is_not_waited_for_longer_than_was_said() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id > 50").await;
    let mut writer = world.cluster.connection("app").connect().await.unwrap();
    writer.execute("BEGIN; LOCK TABLE tenant_a.orders IN ROW EXCLUSIVE MODE").await.unwrap();
    let merge =
        |timeout| args("tenant_a.orders", &["--tenant", "a", "--merge", "--auto-approve", "--lock-timeout", timeout]);
    for timeout in ["0s", "2s"] {
        let begun = std::time::Instant::now();
        let _ = world.run(&merge(timeout)).exits(1).says("lock timeout");
        assert!(begun.elapsed().as_secs() < 50, "{timeout}: {:?}", begun.elapsed());
    }
    assert_eq!(world.cluster.ask("app", "SELECT count(*) FROM tenant_a.orders").await.as_deref(), Some("50"));
    writer.execute("COMMIT").await.unwrap();
    let _ = world.run(&merge("0s")).exits(0);
    assert_eq!(world.cluster.ask("app", "SELECT count(*) FROM tenant_a.orders").await.as_deref(), Some("200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_tenant_needs_no_schema_in_its_name_and_can_be_planned() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let before = content(&world, "app", "tenant_a").await;
    world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id % 3 = 0").await;
    let plan =
        ["restore", "--latest", "--tenant", "a", "--into", "live", "--table", "orders", "--merge", "--plan", "p.json"];
    let ran = world.run(&plan).exits(0);
    assert!(
        ran.stdout.contains("table \"tenant_a\".\"orders\"") && ran.stdout.contains("rows: merge"),
        "{}",
        ran.stdout
    );
    let _ = world.run(&["restore", "p.json"]).exits(0);
    assert_eq!(content(&world, "app", "tenant_a").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_database_is_swapped_for_the_one_in_use_and_back() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "b"]).await;
        world
            .cluster
            .exec(
                "postgres",
                "CREATE ROLE owner NOLOGIN; CREATE ROLE guest NOLOGIN; ALTER DATABASE app OWNER TO owner; \
                 REVOKE CONNECT ON DATABASE app FROM PUBLIC; GRANT CONNECT ON DATABASE app TO guest WITH GRANT OPTION; \
                 ALTER DATABASE app SET search_path TO \"$user\", public, \"we ird\"; \
                 ALTER ROLE guest IN DATABASE app SET work_mem = '5MB'; COMMENT ON DATABASE app IS 'ours'",
            )
            .await;
        let _ = world.apply();
        let facts = "(SELECT concat_ws(' ', pg_get_userbyid(datdba), (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), \
                     shobj_description(oid, 'pg_database'), datcollate, \
                     (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)) \
                     FROM pg_database d WHERE datname = 'app')";
        let before = (content(&world, "app", "tenant_a").await, world.cluster.ask("postgres", facts).await);
        world.cluster.exec("app", "DROP SCHEMA tenant_b CASCADE; DELETE FROM tenant_a.orders WHERE id > 50").await;
        world.cluster.exec("app", "CREATE TABLE public.since (id int)").await;
        let live = ["restore", "--latest", "--into", "live", "--auto-approve"];
        let mut application = world.cluster.connection("app").connect().await.unwrap();
        let ran = world.run(&live).exits(4).says("BK980").says("--end-sessions");
        assert!(!ran.stderr.contains("scratch"), "{}", ran.stderr);
        let forced: Vec<&str> = live.into_iter().chain(["--end-sessions"]).collect();
        let ran = world.run(&forced).exits(0);
        let ran = ran.says("\"tenant_a\".\"orders\": 50 rows now, 200 in the backup");
        let _ = ran.says("\"public\".\"since\": was not there in the backup");
        assert!(application.execute("SELECT 1").await.is_err(), "its session was ended");
        assert_eq!((content(&world, "app", "tenant_a").await, world.cluster.ask("postgres", facts).await), before);
        world.cluster.exec("app", "INSERT INTO tenant_b.customers (name) VALUES ('since')").await;
        let ran = world.run(&["restore", "--undo", "--auto-approve", "--end-sessions"]).exits(0);
        let _ = ran.says("\"tenant_b\".\"customers\": 51 rows now, 50 at the swap");
        assert_eq!(world.cluster.ask("app", "SELECT count(*) FROM tenant_a.orders").await.as_deref(), Some("50"));
        let names = "(SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'app\\_\\_%')";
        let aside = world.cluster.ask("postgres", names).await.unwrap();
        assert!(aside.starts_with("app__old_") && !aside.contains(','), "{aside}");
        let _ = world.run(&["restore", "--forget", &aside[9..], "--auto-approve"]).exits(0);
        assert_eq!(world.cluster.ask("postgres", names).await, None);
    }
}
