//! Suite: bringing databases and tenants back, with the binary, on real servers.

use std::path::{Path, PathBuf};

use bkup::engine::sql::quote_ident;

use crate::world::cluster::{Cluster, Major};
use crate::world::place::World;

/// Returns what a restore leaves behind when it does not clean up: folders and lists of scratch servers, databases.
async fn left_behind(world: &World) -> Vec<String> {
    let sql = "SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'bkup%' OR datname LIKE 'back%'";
    let mut left: Vec<String> = world.cluster.ask("postgres", &format!("({sql})")).await.into_iter().collect();
    let folder = world.cli.scratch();
    left.extend(
        std::fs::read_dir(folder).unwrap().flatten().map(|item| item.file_name().to_string_lossy().into_owned()),
    );
    left
}

pub fn only(mut paths: Vec<PathBuf>) -> PathBuf {
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

/// Flips one bit in the middle of a file.
pub fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// What stands in the application's database, as one text: every row of every table in a schema, and its sequences.
pub async fn content(world: &World, database: &str, schema: &str) -> Option<String> {
    let q = quote_ident(schema);
    let rows = |table: &str| format!("(SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {q}.{table} t)");
    let sql = format!(
        "concat_ws('|', {}, {}, (SELECT last_value FROM {q}.orders_id_seq))",
        rows("customers"),
        rows("orders")
    );
    world.cluster.ask(database, &sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_tenant_comes_back_into_the_live_database_as_it_was() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "b"]).await;
        world.cluster.exec("postgres", "CREATE ROLE app_owner NOLOGIN; CREATE ROLE reader NOLOGIN").await;
        world
            .cluster
            .exec(
                "app",
                "ALTER TABLE tenant_a.orders OWNER TO app_owner; GRANT USAGE ON SCHEMA tenant_a TO reader; \
                 GRANT SELECT ON tenant_a.customers TO reader",
            )
            .await;
        let _ = world.apply();
        let before = content(&world, "app", "tenant_a").await;
        world.cluster.exec("app", "DROP SCHEMA tenant_a CASCADE").await;
        let args = ["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"];
        let _ = world.run(&args).exits(0);
        assert_eq!(content(&world, "app", "tenant_a").await, before);
        let facts = "SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = 'tenant_a.orders'::regclass AND \
                     contype = 'f' AND confrelid = 'public.currencies'::regclass) || ' ' || \
                     (SELECT tableowner FROM pg_tables WHERE schemaname = 'tenant_a' AND tablename = 'orders') || ' ' || \
                     has_table_privilege('reader', 'tenant_a.customers', 'SELECT') || ' ' || \
                     has_table_privilege('reader', 'tenant_a.orders', 'SELECT')";
        assert_eq!(world.cluster.ask("app", facts).await.as_deref(), Some("1 app_owner true false"));
        // Once it is there again, it is swapped, and what it held stays beside it.
        world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id = 7").await;
        let _ = world.run(&args).exits(0).says("tenant_a is in use");
        assert_eq!(content(&world, "app", "tenant_a").await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_in_scratch_says_its_numbers_and_leaves_nothing() {
    let world = World::new(Major::V15, &["a", "b"]).await;
    let _ = world.apply();
    let ran = world.run(&["restore", "--latest", "--tenant", "b"]).exits(0);
    assert!(
        ran.stdout.contains("tenant=b in scratch: 2 tables with 250 rows, and 2 sequences, equal"),
        "{}",
        ran.stdout
    );
    let json = world.run(&["--format", "json", "restore", "--latest", "--database", "app"]).exits(0).json();
    assert_eq!(json["format_version"], "1.0");
    assert_eq!(
        (&json["into"], &json["scope"], &json["catalog"]),
        (&"scratch".into(), &"database".into(), &true.into())
    );
    assert_eq!((&json["proofs"][0]["tables"], &json["proofs"][0]["rows"]), (&6.into(), &505.into()));
    assert_eq!(json["backups"].as_array().unwrap().len(), 1);
    assert!(json["bytes_fetched"].as_u64().unwrap() > 1000 && json["kept"].is_null());
    let reads = "SELECT string_agg(kind || ' ' || status || ' ' || target || ' ' || (bytes_fetched > 0), ',') FROM bkup.restores";
    let read = world.cluster.ask("cat", &format!("({reads})")).await;
    assert_eq!(read.as_deref(), Some("RESTORE COMPLETED scratch true,RESTORE COMPLETED scratch true"));
    assert_eq!(left_behind(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_scratch_server_can_be_reached_and_stopped_with_what_was_printed() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let json = world.run(&["--format", "json", "restore", "--latest", "--tenant", "a", "--keep"]).exits(0).json();
    let kept = &json["kept"];
    let connection = bkup::engine::Connection::parse(kept["connection"].as_str().unwrap()).unwrap();
    let mut session = connection.connect().await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM tenant_a.orders").fetch_one(&mut session).await.unwrap();
    assert_eq!(rows, 200);
    drop(session);
    let folder = kept["folder"].as_str().unwrap();
    assert_eq!(kept["stop"], format!("bkup restore --stop {folder}"));
    let _ = world.run(&["restore", "--stop", folder]).exits(0);
    assert!(!Path::new(folder).exists() && connection.connect().await.is_err());
    let _ = world.run(&["restore", "--stop", folder]).exits(1).says("BK848");
    // One whose time is over goes with the next restore.
    let json = world.run(&["--format", "json", "restore", "--latest", "--tenant", "a", "--keep"]).exits(0).json();
    let folder = Path::new(json["kept"]["folder"].as_str().unwrap());
    let mark = folder.join("bkup-scratch.json");
    let until = json["kept"]["until"].as_str().unwrap();
    let text = std::fs::read_to_string(&mark).unwrap().replace(&until[..4], "2020");
    std::fs::write(&mark, text).unwrap();
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(0).says("whose time was over");
    assert_eq!(left_behind(&world).await, Vec::<String>::new());
    // A folder that is no scratch server's is not touched.
    let home = world.cli.path("policies");
    let _ = world.run(&["restore", "--stop", home.to_str().unwrap()]).exits(1).says("holds no mark");
    assert!(home.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_gets_its_name_only_when_it_is_proven() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "b"]).await;
        let _ = world.apply();
        let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", "new:back up"]).exits(0);
        assert!(ran.stdout.contains("Restored tenant a of app into back up"), "{}", ran.stdout);
        assert_eq!(content(&world, "back up", "tenant_a").await, content(&world, "app", "tenant_a").await);
        let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", "new:back up"]).exits(6);
        let _ = ran.says("BK863").says("database \"back up\" exists already");
        let _ = world.run(&["restore", "--latest", "--into", "new:all"]).exits(0);
        for schema in ["tenant_a", "tenant_b"] {
            assert_eq!(content(&world, "all", schema).await, content(&world, "app", schema).await);
        }
        assert_eq!(left_behind(&world).await, ["back up"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_comes_back_under_its_own_name() {
    let world = World::new(Major::V17, &["a", "b"]).await;
    let _ = world.apply();
    let before = content(&world, "app", "tenant_b").await;
    let args = ["restore", "--latest", "--into", "live", "--auto-approve"];
    world.cluster.exec("postgres", "DROP DATABASE app WITH (FORCE)").await;
    let ran = world.run(&args).exits(0);
    assert!(ran.stdout.contains("database in live: 6 tables with 505 rows"), "{}", ran.stdout);
    assert_eq!(content(&world, "app", "tenant_b").await, before);
    assert_eq!(left_behind(&world).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_live_without_an_approval() {
    let world = World::new(Major::V15, &["a"]).await;
    let _ = world.apply();
    world.cluster.exec("app", "DROP SCHEMA tenant_a CASCADE").await;
    let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", "live"]).exits(64).says("BK895");
    assert!(!ran.stderr.contains("scratch"), "{}", ran.stderr);
    assert_eq!(content_is_there(&world, "tenant_a").await, "0");
}

async fn content_is_there(world: &World, schema: &str) -> String {
    let sql = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{schema}'");
    world.cluster.ask("app", &format!("({sql})")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_store_is_named_and_nothing_of_it_reaches_a_database() {
    let world = World::new(Major::V15, &["a", "b"]).await;
    let _ = world.apply();
    let part = only(
        world.objects("backups/app/tenant=a").into_iter().filter(|p| p.ends_with("archive.dump.zst.age")).collect(),
    );
    let whole = std::fs::read(&part).unwrap();
    world.cluster.exec("app", "DROP SCHEMA tenant_a CASCADE").await;
    let key = part.strip_prefix(&world.store).unwrap().display().to_string();
    for into in ["scratch", "new:back", "live"] {
        flip(&part);
        let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", into, "--auto-approve"]).exits(1);
        let _ = ran.says("BK824").says(&format!("{key} is damaged"));
        assert_eq!(left_behind(&world).await, Vec::<String>::new(), "{into}");
        assert_eq!(content_is_there(&world, "tenant_a").await, "0");
        std::fs::write(&part, &whole).unwrap();
    }
    // Cut short, and gone.
    std::fs::write(&part, &whole[..whole.len() - 20]).unwrap();
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(1).says(&key);
    std::fs::remove_file(&part).unwrap();
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(1).says(&key);
    let reads = "SELECT string_agg(DISTINCT status, ',') FROM bkup.restores";
    assert_eq!(world.cluster.ask("cat", &format!("({reads})")).await.as_deref(), Some("FAILED"));
    let _ = world.run(&["restore", "--latest", "--tenant", "b"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_the_stores_is_told_by_its_recipient() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let recipient = world.keys.recipient.clone();
    let other = bkup::crypto::generate_identity("2026-01-01T00:00:00Z".parse().unwrap());
    let mut world = world.env("BKUP_AGE_IDENTITY", secrecy::ExposeSecret::expose_secret(&other.text));
    let ran = world.run(&["restore", "--latest", "--tenant", "a"]).exits(1).says("BK861").says(&recipient);
    assert!(!ran.stderr.contains("AGE-SECRET") && !ran.stderr.contains("starting"), "{}", ran.stderr);
    world = world.env("BKUP_AGE_IDENTITY", "");
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(1).says("BK861").says(&recipient);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_alone_is_enough() {
    let world = World::new(Major::V15, &["a", "b"]).await;
    let _ = world.apply();
    let id = world.backups("tenant=a").remove(0);
    let before = content(&world, "app", "tenant_a").await;
    world.cluster.exec("app", "DROP SCHEMA tenant_a CASCADE").await;
    world.cluster.exec("postgres", "DROP DATABASE cat WITH (FORCE)").await;
    let args = ["restore", "--latest", "--tenant", "a", "--store", "primary", "--into", "live", "--auto-approve"];
    let ran = world.run(&args).exits(0).says("without the catalog");
    assert!(ran.stdout.contains("the catalog was not used"), "{}", ran.stdout);
    assert_eq!(content(&world, "app", "tenant_a").await, before);
    // By the beginning of its id, and without the variable.
    let world = world.env("BKUP_CATALOG_URL", "");
    let json = world.run(&["--format", "json", "restore", &id[..id.len() - 3]]).exits(0).json();
    assert_eq!((&json["backup"], &json["catalog"]), (&id.clone().into(), &false.into()));
    let _ = world.run(&["restore", &id[..9]]).exits(64).says("BK866").says(&id);
    let _ = world.run(&["restore", "--latest", "--tenant", "c"]).exits(64).says("BK860").says("tenant \"b\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_open_is_said_with_what_there_is() {
    let world = World::new(Major::V15, &["a", "b"]).await;
    let _ = world.apply();
    let both = world.places().replace("databases:\n", "databases:\n  spare: { url: \"${APP_URL}\" }\n");
    let _ = world.run(&["restore", "--latest", "--tenant", "nobody"]).exits(64).says("tenant \"a\", tenant \"b\"");
    let _ = world.run(&["restore", "--latest", "--database", "nope"]).exits(64).says("the databases are app");
    let _ = world.run(&["restore", "--latest", "--store", "nope"]).exits(64).says("the stores are primary");
    let _ = world
        .run(&["restore", "--latest", "--into", "folder:/tmp/x"])
        .exits(64)
        .says("a folder is for a configuration");
    let _ = world.run(&["restore", "zzz"]).exits(64).says("BK860").says("there is no backup zzz");
    let prefix = &world.backups("database")[0][..8].to_owned();
    let _ = world.run(&["restore", prefix]).exits(64).says("BK866").says(&world.backups("database")[0]);
    world.policy("places.yaml", &both);
    let _ = world.run(&["restore", "--latest"]).exits(64).says("app, spare");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_tenants_come_back_and_nothing_else_happens() {
    let slugs = ["\"; DROP SCHEMA public; --", "été 🦀", "plain"];
    let world = World::new(Major::V17, &slugs).await;
    let _ = world.apply();
    for slug in &slugs[..2] {
        let schema = format!("tenant_{slug}");
        let before = content(&world, "app", &schema).await;
        world.cluster.exec("app", &format!("DROP SCHEMA {} CASCADE", quote_ident(&schema))).await;
        let _ = world.run(&["restore", "--latest", "--tenant", slug, "--into", "live", "--auto-approve"]).exits(0);
        assert_eq!(content(&world, "app", &schema).await, before);
    }
    assert_eq!(world.cluster.ask("app", "SELECT count(*) FROM public.tenants").await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_and_tombstoned_backups_are_restored_by_their_id_alone() {
    let world = World::new(Major::V15, &["a"]).await;
    let _ = world.back_up("tenants-now");
    let ids = world.backups("tenant=a");
    let (newest, older) = (&ids[0], &ids[1]);
    let mark = |id: &str, what: &str| format!("UPDATE bkup.executions SET {what} WHERE backup_id = '{id}'");
    world.cluster.exec("cat", &mark(newest, "quarantine = 'looks odd', quarantined_at = now()")).await;
    let json = world.run(&["--format", "json", "restore", "--latest", "--tenant", "a"]).exits(0).json();
    assert_eq!(json["backup"], **older);
    assert!(json["notes"].to_string().contains("looks odd"), "{}", json["notes"]);
    world.cluster.exec("cat", &mark(older, "tombstoned_at = now()")).await;
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(64).says("BK860");
    for (id, word) in [(newest, "quarantined"), (older, "tombstoned")] {
        let ran = world.run(&["restore", id]).exits(0);
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
    // What is being purged is not read.
    world.cluster.exec("cat", &mark(older, "purge_begun_at = now()")).await;
    let _ = world.run(&["restore", older]).exits(1).says("is not there to be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_servers_backup_is_proven_with_the_newer_programs_that_are_there() {
    let world = World::new(Major::V15, &["a"]).await;
    let _ = world.apply();
    let world = world.tools(Major::V17);
    let json = world.run(&["--format", "json", "restore", "--latest", "--tenant", "a"]).exits(0).json();
    assert!(json["phases"][0]["subject"].as_str().unwrap().contains(" 17."), "{}", json["phases"][0]);
    // The older server itself would refuse what they write.
    world.cluster.exec("app", "DROP SCHEMA tenant_a CASCADE").await;
    let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"]).exits(1);
    let ran = ran.says("BK868").says("pg_restore 17").says("postgresql-client-15");
    assert!(!ran.stderr.contains("loading"), "said before anything is fetched: {}", ran.stderr);
    let newer = Cluster::start(Major::V17).await;
    let world = world.env("APP_URL", &newer.url("app"));
    let _ = world.run(&["restore", "--latest", "--into", "live", "--auto-approve"]).exits(0);
    assert_eq!(newer.ask("app", "SELECT count(*) FROM tenant_a.orders").await.as_deref(), Some("200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_objects_that_need_a_tenant_come_back_with_it_and_the_rest_is_reported() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "b"]).await;
        world
            .cluster
            .exec(
                "app",
                "CREATE VIEW public.of_a AS SELECT * FROM tenant_a.orders; \
                 CREATE TABLE public.states_a (s tenant_a.order_state PRIMARY KEY); \
                 INSERT INTO public.states_a VALUES ('new'), ('paid'); \
                 CREATE TABLE public.states_b (s tenant_b.order_state); INSERT INTO public.states_b VALUES ('new')",
            )
            .await;
        let _ = world.apply();
        let json = world
            .run(&["--format", "json", "restore", "--latest", "--tenant", "a", "--into", "new:back"])
            .exits(0)
            .json();
        let left_out = json["left_out"].to_string();
        assert!(left_out.contains("states_b") && !left_out.contains("states_a"), "{left_out}");
        let sql = "SELECT (SELECT count(*) FROM public.of_a) + (SELECT count(*) FROM public.states_a)";
        assert_eq!(world.cluster.ask("back", sql).await.as_deref(), Some("202"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_takes_its_server_and_its_database_with_it() {
    let world = World::new(Major::V15, &["a"]).await;
    world
        .cluster
        .exec(
            "app",
            "INSERT INTO tenant_a.customers (name) SELECT repeat(md5(i::text), 8) FROM generate_series(1, 300000) i",
        )
        .await;
    let _ = world.apply();
    for (into, sign) in [("scratch", "loading"), ("new:back", "loading")] {
        let mut child = world.cli.spawn(&["restore", "--latest", "--tenant", "a", "--into", into]);
        child.wait_for(sign);
        std::thread::sleep(std::time::Duration::from_millis(400));
        child.interrupt();
        let ran = child.finish();
        assert_eq!(ran.code, 130, "{into}: {}\n{}", ran.stdout, ran.stderr);
        assert_eq!(left_behind(&world).await, Vec::<String>::new(), "{into}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_killed_restore_left_half_loaded_goes_with_the_next_and_no_other_does() {
    let world = World::new(Major::V17, &["a"]).await;
    let rows = "INSERT INTO tenant_a.customers (name) SELECT repeat(md5(i::text), 8) FROM generate_series(1, 300000) i";
    world.cluster.exec("app", rows).await;
    let _ = world.apply();
    let mut child = world.cli.spawn(&["restore", "--latest", "--into", "new:back"]);
    let marked = "(SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'back%' \
                  AND shobj_description(oid, 'pg_database') LIKE 'bkup: %')";
    while world.cluster.ask("postgres", marked).await.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    child.kill();
    let _ = child.finish();
    let left = world.cluster.ask("postgres", marked).await.unwrap();
    assert!(left.starts_with("back__new_"), "{left}");
    // Of such a name, too, but with something inside, or with a name that somebody has given it since.
    world.cluster.exec("postgres", "CREATE DATABASE back__new_0123abcd").await;
    world.cluster.exec("back__new_0123abcd", "CREATE TABLE ours (id int)").await;
    world.cluster.exec("postgres", "CREATE DATABASE back__new_1123abcd").await;
    world.cluster.exec("postgres", "CREATE DATABASE kept").await;
    let mark = format!(
        "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE kept IS %L', (SELECT shobj_description(oid, 'pg_database') \
         FROM pg_database WHERE datname = '{left}')); END $$"
    );
    world.cluster.exec("postgres", &mark).await;
    let ran = world.run(&["restore", "--latest", "--into", "new:back"]).exits(0);
    let _ = ran.says(&format!("removed {left}, which")).says("removed back__new_1123abcd, which");
    let all = "(SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE 'back%' OR datname = 'kept')";
    assert_eq!(world.cluster.ask("postgres", all).await.as_deref(), Some("back,back__new_0123abcd,kept"));
    assert_eq!(world.cluster.ask("postgres", &marked.replace("back%", "back")).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_live_before_it_was_compared_stays_and_that_is_said() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.apply();
    let quick = "DROP SCHEMA tenant_a CASCADE;
        CREATE FUNCTION public.quick() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            IF to_regclass('tenant_a.orders') IS NOT NULL THEN EXECUTE 'DELETE FROM tenant_a.orders WHERE id = 1'; END IF;
        END $$;
        CREATE EVENT TRIGGER quick ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION public.quick()";
    world.cluster.exec("app", quick).await;
    let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"]).exits(1);
    let ran = ran.says("BK862").says("orders").says("\"tenant_a\" stays as it was loaded");
    assert!(!ran.stderr.contains("nothing was put in place"), "{}", ran.stderr);
    assert_eq!(content_is_there(&world, "tenant_a").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_into_live_that_fails_half_way_leaves_nothing() {
    for major in Major::ALL {
        let world = World::new(major, &["a"]).await;
        let _ = world.apply();
        // The proof in scratch holds; what the tenant refers to is gone from the live database alone.
        world
            .cluster
            .exec("app", "DROP SCHEMA tenant_a CASCADE; DELETE FROM public.currencies WHERE code = 'KRW'")
            .await;
        let ran = world.run(&["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"]).exits(1);
        let _ = ran.says("BK847").says("orders_currency_fkey").says("into the live database");
        assert_eq!(content_is_there(&world, "tenant_a").await, "0");
        assert_eq!(left_behind(&world).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_transaction_stops_at_its_first_error() {
    let programs = Major::V15.programs().await;
    let target = bkup::engine::Connection::socket("/tmp", 5432, "u", "d");
    let options = bkup::engine::RestoreOptions { single_transaction: true, ..Default::default() };
    let arguments = bkup::engine::restore::restore_invocation(&programs, &target, options, false).arguments();
    for wanted in ["--single-transaction", "--exit-on-error"] {
        assert!(arguments.iter().any(|argument| argument == wanted), "{wanted}: {arguments:?}");
    }
}
