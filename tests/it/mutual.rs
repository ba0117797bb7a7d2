//! Suite: tenants that refer to each other: whole where all of them are restored, in any order; where one is restored
//! without the other, its rows come back, and what cannot be without the other is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use bkup::domain::Manifest;
use bkup::engine::EntryFailure;
use bkup::restore::{Opened, RestoreError};
use bkup::store::MemoryStore;
use serde_json::Value;

use crate::restore::{content, only};
use crate::split::{Site, are_taken, open_of, taken};
use crate::world::cluster::Major;
use crate::world::place::{RECOVERY, World};

/// Ties without which every table can be: foreign keys both ways, a view, a function, a partition of a table with an
/// unproven check and of one that a key refers to, a materialized view with an index, and default privileges that the view was taken out of.
const LOOSE: &str = "
    CREATE ROLE everyone_here;
    CREATE TABLE tenant_a.x (id int PRIMARY KEY, y int); CREATE TABLE tenant_a.w (id int PRIMARY KEY);
    CREATE TABLE tenant_b.y (id int PRIMARY KEY); CREATE TABLE tenant_b.z (id int PRIMARY KEY, w int);
    INSERT INTO tenant_a.w VALUES (1), (2); INSERT INTO tenant_b.y VALUES (10), (20);
    INSERT INTO tenant_a.x VALUES (1, 10), (2, 20); INSERT INTO tenant_b.z VALUES (1, 1), (2, 2);
    ALTER TABLE tenant_a.x ADD CONSTRAINT x_to_b FOREIGN KEY (y) REFERENCES tenant_b.y;
    ALTER TABLE tenant_b.z ADD CONSTRAINT z_to_a FOREIGN KEY (w) REFERENCES tenant_a.w;
    ALTER DEFAULT PRIVILEGES IN SCHEMA tenant_a GRANT SELECT ON TABLES TO everyone_here;
    CREATE VIEW tenant_a.seen AS SELECT c.name FROM tenant_b.customers c;
    COMMENT ON VIEW tenant_a.seen IS 'of another';
    REVOKE SELECT ON tenant_a.seen FROM everyone_here;
    CREATE MATERIALIZED VIEW tenant_b.kept AS SELECT name FROM tenant_a.seen;
    CREATE INDEX kept_name ON tenant_b.kept (name);
    CREATE FUNCTION tenant_a.state_of(tenant_b.order_state) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
    CREATE TABLE tenant_b.log (at int) PARTITION BY RANGE (at);
    CREATE TABLE tenant_a.log_1 PARTITION OF tenant_b.log FOR VALUES FROM (0) TO (10);
    INSERT INTO tenant_b.log VALUES (3);
    ALTER TABLE tenant_b.log ADD PRIMARY KEY (at);
    CREATE TABLE tenant_b.noted (at int CONSTRAINT noted_in_log REFERENCES tenant_b.log); INSERT INTO tenant_b.noted VALUES (3);
    ALTER TABLE tenant_b.log ADD CONSTRAINT early CHECK (at < 3) NOT VALID;
    COMMENT ON CONSTRAINT early ON tenant_b.log IS 'never proven';";

/// Ties that tables hang on: a column of the other's type, and a foreign key back to that table.
const TIGHT: &str = "
    CREATE TYPE tenant_b.mood AS ENUM ('sad', 'happy');
    CREATE TABLE tenant_a.moods (id int PRIMARY KEY, mood tenant_b.mood);
    INSERT INTO tenant_a.moods VALUES (1, 'sad'), (2, 'happy');
    CREATE TABLE tenant_b.felt (mood int CONSTRAINT felt_to_a REFERENCES tenant_a.moods); INSERT INTO tenant_b.felt VALUES (2);
    CREATE VIEW public.all_moods AS SELECT mood FROM tenant_a.moods UNION ALL SELECT 'sad'::tenant_b.mood;
    CREATE VIEW tenant_a.all_of_them AS SELECT * FROM public.all_moods;";

/// Everything that could get lost on the way, as one text.
const SEEN: &str = "
    SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid) || ' ' || convalidated::text AS line
        FROM pg_constraint WHERE contype <> 'n'
        UNION ALL SELECT oid::regclass::text || ' ' || relkind::text || ' ' || coalesce(relacl, acldefault((CASE relkind WHEN 'S' THEN 's' ELSE 'r' END)::\"char\", relowner))::text || ' ' ||
            coalesce(pg_get_viewdef(oid), '') || coalesce(obj_description(oid, 'pg_class'), '') || relispopulated::text
        FROM pg_class WHERE relnamespace::regnamespace::text ~ '^(tenant|public)' AND relkind <> 't'
        UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^tenant'
        UNION ALL SELECT inhrelid::regclass::text || ' of ' || inhparent::regclass::text FROM pg_inherits
        UNION ALL SELECT conrelid::regclass::text || ' ' || obj_description(oid, 'pg_constraint') FROM pg_constraint
        UNION ALL SELECT defaclnamespace::regnamespace::text || ' ' || defaclacl::text FROM pg_default_acl
        UNION ALL SELECT 'kept ' || name FROM tenant_b.kept) lines";

/// Every backup of an instant, by its scope.
type Taken = BTreeMap<String, Opened>;

/// Takes all there is, into a store of its own.
async fn all_taken(site: &mut Site) -> Taken {
    site.store = Arc::new(MemoryStore::new("mutual"));
    let source = site.export().await;
    let ends = taken(&site.members(1), source.as_ref()).await;
    source.close().await.expect("was held");
    are_taken(&ends, &[]);
    let mut backups = Taken::new();
    for (scope, end) in &ends {
        backups.insert(scope.clone(), open_of(site, end).await);
    }
    backups
}

fn these(taken: &Taken, scopes: &[&str]) -> Vec<Opened> {
    scopes.iter().map(|scope| taken[*scope].clone()).collect()
}

fn objects(entries: &[EntryFailure]) -> Vec<String> {
    let mut names: Vec<String> = entries.iter().map(|e| format!("{} {}.{}", e.kind, e.schema, e.name)).collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn fails_with(result: Result<bkup::restore::Loaded, RestoreError>, words: &[&str]) {
    let error = result.expect_err("it must not be believed").to_string();
    words.iter().for_each(|words| assert!(error.contains(words), "{error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_tied_both_ways_come_back_whole_in_any_order() {
    for major in Major::EVERY {
        let mut site = Site::new(major, &[], &["a", "b", "c"]).await;
        site.exec(LOOSE).await;
        site.exec(TIGHT).await;
        let all = all_taken(&mut site).await;
        let there = site.cluster.ask("app", SEEN).await.expect("lines");
        assert!(there.contains("x_to_b") && there.contains("z_to_a") && there.contains("felt_to_a"), "{there}");
        for (database, order) in [("forth", ["a", "b", "c"]), ("back", ["c", "b", "a"])] {
            let scopes = order.map(|slug| format!("tenant={slug}"));
            let scopes: Vec<&str> = std::iter::once("shared").chain(scopes.iter().map(String::as_str)).collect();
            let backups = these(&all, &scopes);
            let loaded = site.load(database, &backups).await.expect("loads");
            assert_eq!((loaded.torn, loaded.deferred), (Vec::new(), Vec::new()));
            let back = site.cluster.ask(database, SEEN).await.expect("lines");
            is_the_same(&back, &there);
        }
    }
}

#[track_caller]
fn is_the_same(back: &str, there: &str) {
    let lost: Vec<&str> = there.lines().filter(|line| !back.lines().any(|other| other == *line)).collect();
    let more: Vec<&str> = back.lines().filter(|line| !there.lines().any(|other| other == *line)).collect();
    assert!(lost.is_empty() && more.is_empty(), "lost {lost:#?}, more {more:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_alone_comes_back_with_its_rows_and_what_it_lacks_is_named() {
    for major in Major::EVERY {
        let mut site = Site::new(major, &[], &["a", "b"]).await;
        site.exec(LOOSE).await;
        let all = all_taken(&mut site).await;
        let backups = these(&all, &["shared", "tenant=a"]);
        let loaded = site.load("only_a", &backups).await.expect("its rows need nobody");
        let torn = [
            "COMMENT tenant_a.VIEW seen",
            "FK CONSTRAINT tenant_a.x x_to_b",
            "FUNCTION tenant_a.state_of(tenant_b.order_state)",
            "INDEX ATTACH tenant_a.log_1_pkey",
            "TABLE ATTACH tenant_a.log_1",
            "VIEW tenant_a.seen",
        ];
        assert_eq!(objects(&loaded.torn), torn);
        assert_eq!(loaded.deferred, []);
        let defaults = site.cluster.ask("only_a", "SELECT count(*) FROM pg_default_acl").await;
        assert_eq!(defaults.as_deref(), Some("1"), "what was held back for the end came");
        let backups = these(&all, &["shared", "tenant=b"]);
        let loaded = site.load("only_b", &backups).await.expect("its rows need nobody");
        let torn = [
            "FK CONSTRAINT tenant_b.noted noted_in_log",
            "FK CONSTRAINT tenant_b.z z_to_a",
            "INDEX tenant_b.kept_name",
            "MATERIALIZED VIEW DATA tenant_b.kept",
            "MATERIALIZED VIEW tenant_b.kept",
        ];
        assert_eq!(objects(&loaded.torn), torn);
        let says = |words: &str| loaded.torn.iter().any(|entry| entry.to_string().contains(words));
        assert!(says("tenant_a") && says("violates foreign key constraint \"noted_in_log\""), "{:?}", loaded.torn);
    }
}

/// A shared table whose partitions are the tenants', with rows that a shared table refers to and a view has counted.
const PARTED: &str = "
    CREATE TABLE public.events (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE tenant_a.events PARTITION OF public.events FOR VALUES FROM (0) TO (10);
    CREATE TABLE tenant_b.events PARTITION OF public.events FOR VALUES FROM (10) TO (20);
    INSERT INTO public.events VALUES (1), (11);
    CREATE TABLE public.audit (event int CONSTRAINT of_event REFERENCES public.events); INSERT INTO public.audit VALUES (1), (11);
    CREATE MATERIALIZED VIEW public.counted AS SELECT count(*) AS n FROM public.events;
    CREATE MATERIALIZED VIEW tenant_b.counted AS SELECT id FROM public.events;
    CREATE MATERIALIZED VIEW tenant_a.counted AS SELECT count(*) AS n FROM tenant_b.counted;
    CREATE TABLE tenant_b.refers (event int REFERENCES public.events); INSERT INTO tenant_b.refers VALUES (1);
    CREATE FUNCTION tenant_a.nothing_more() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''nothing more''; END';
    CREATE EVENT TRIGGER nothing_more ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION tenant_a.nothing_more();
    COMMENT ON EVENT TRIGGER nothing_more IS 'the very last';";

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_rows_in_tenants_through_a_shared_table_comes_after_them() {
    for major in [Major::V15, Major::V18] {
        let mut site = Site::new(major, &[], &["a", "b"]).await;
        site.exec(PARTED).await;
        let all = all_taken(&mut site).await;
        let seen = "(SELECT n::text || ' ' || (SELECT count(*) FROM pg_constraint WHERE conname = 'of_event') FROM public.counted)";
        for (database, order) in [("forth", ["tenant=a", "tenant=b"]), ("back", ["tenant=b", "tenant=a"])] {
            let backups = these(&all, &["shared", order[0], order[1]]);
            let loaded = site.load(database, &backups).await.expect("loads");
            assert_eq!((loaded.torn, loaded.deferred), (Vec::new(), Vec::new()));
            assert_eq!(site.cluster.ask(database, seen).await.as_deref(), Some("2 1"));
            let of_a = site.cluster.ask(database, "(SELECT n::text FROM tenant_a.counted)").await;
            assert_eq!(of_a.as_deref(), Some("2"), "filled out of what another archive fills");
        }
        let loaded = site.load("one", &these(&all, &["shared", "tenant=a"])).await.expect("its rows need nobody");
        let torn = ["MATERIALIZED VIEW DATA tenant_a.counted", "MATERIALIZED VIEW tenant_a.counted"];
        assert_eq!(objects(&loaded.torn), torn);
        assert_eq!(objects(&loaded.deferred), ["FK CONSTRAINT public.audit of_event"]);
        assert_eq!(site.cluster.ask("one", seen).await.as_deref(), Some("1 0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_another_reason_than_an_absent_tenant_fails_the_restore() {
    let mut site = Site::new(Major::V17, &[], &["a", "b"]).await;
    site.exec(LOOSE).await;
    site.exec(TIGHT).await;
    let all = all_taken(&mut site).await;
    // A table is never left out.
    let backups = these(&all, &["shared", "tenant=a"]);
    let words = ["TABLE \"tenant_a\".\"moods\"", "tenant_b", "not restored with it"];
    fails_with(site.load("torn", &backups).await, &words);
    // A tenant that is not known to be tied to the absent one.
    site.exec("DROP VIEW tenant_a.all_of_them, public.all_moods; DROP TABLE tenant_b.felt, tenant_a.moods").await;
    let again = all_taken(&mut site).await;
    let mut backups = these(&again, &["shared", "tenant=a"]);
    backups[1].origin.manifest.mutual = vec!["public".to_owned()];
    fails_with(site.load("untied", &backups).await, &["tenant_b"]);
    // The other side was restored, and lacks what is referred to; and has it, without the rows.
    site.exec("ALTER TABLE tenant_a.x DROP CONSTRAINT x_to_b; DELETE FROM tenant_b.y WHERE id = 20").await;
    let fewer = all_taken(&mut site).await;
    site.exec("DROP TABLE tenant_b.y").await;
    let without = all_taken(&mut site).await;
    for (database, of_b, words) in [
        ("lacking", &without, "relation \"tenant_b.y\" does not exist"),
        ("fewer", &fewer, "violates foreign key constraint \"x_to_b\""),
    ] {
        for order in [["tenant=a", "tenant=b"], ["tenant=b", "tenant=a"]] {
            let mut backups = these(&again, &["shared"]);
            for scope in order {
                backups.push(if scope == "tenant=a" { &again } else { of_b }[scope].clone());
            }
            let database = format!("{database}_{}", &order[0][7..]);
            fails_with(site.load(&database, &backups).await, &["FK CONSTRAINT \"tenant_a\".\"x x_to_b\"", words]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_behind_many_rows_is_brought_without_reading_them_again() {
    let mut site = Site::new(Major::V17, &[], &["a", "b"]).await;
    site.exec(LOOSE).await;
    site.exec("CREATE TABLE tenant_a.wide (t text); INSERT INTO tenant_a.wide SELECT repeat(md5(i::text), 1000) FROM generate_series(1, 500) i").await;
    let all = all_taken(&mut site).await;
    let backups = these(&all, &["shared", "tenant=a", "tenant=b"]);
    let whole = backups[1].origin.manifest.parts[0].original_size;
    assert!(whole > 16_000_000, "{whole}");
    let loaded = site.load("wide", &backups).await.expect("loads");
    assert_eq!((loaded.torn, loaded.deferred), (Vec::new(), Vec::new()));
    let handed = backups[1].loaded().0;
    assert!(handed > whole && handed < whole + whole / 4, "{handed} of {whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_one_of_two_says_what_is_left_out_before_and_after() {
    let world = World::new(Major::V17, &["a", "b"]).await;
    world.cluster.exec("app", LOOSE).await;
    let _ = world.apply();
    let file = only(
        world.objects("backups/app/tenant=a").into_iter().filter(|path| path.ends_with("manifest.json")).collect(),
    );
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(manifest.mutual, ["public", "tenant_b"]);
    let args = ["restore", "--latest", "--tenant", "a", "--into", "new:back"];
    let ran = world.run(&[&args[..], &["--plan", "p.json"]].concat()).exits(0);
    assert!(ran.stdout.contains("what cannot be without tenant_b"), "{}", ran.stdout);
    let ran = world.run(&["restore", "p.json"]).exits(0);
    assert!(ran.stdout.contains("6 objects left out, for want of other tenants"), "{}", ran.stdout);
    assert!(ran.stdout.contains("FK CONSTRAINT") && ran.stdout.contains("x_to_b"), "{}", ran.stdout);
    assert_eq!(content(&world, "back", "tenant_a").await, content(&world, "app", "tenant_a").await);
    let json = world.run(&["--format", "json", "restore", "--latest", "--tenant", "a"]).exits(0).json();
    assert_eq!(json["left_out"].as_array().unwrap().len(), 6, "{json}");
    // What a live schema would be swapped for must not lack them.
    let gone = "DROP MATERIALIZED VIEW tenant_b.kept; ALTER TABLE tenant_b.noted DROP CONSTRAINT noted_in_log; ALTER TABLE tenant_b.log DETACH PARTITION tenant_a.log_1; \
                CREATE TABLE tenant_b.kept (name text)";
    world.cluster.exec("app", gone).await;
    let _ = world.back_up("tenants-now");
    let before = world.cluster.ask("app", SEEN).await;
    let args = ["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"];
    let ran = world.run(&args).exits(1).says("BK847");
    assert!(ran.stderr.contains("tenant_b"), "{}", ran.stderr);
    assert_eq!(world.cluster.ask("app", SEEN).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_tied_tenants_together_and_names_what_one_alone_lacks() {
    let world = World::new(Major::V15, &["a", "b"]).await;
    world.cluster.exec("app", LOOSE).await;
    world.cluster.exec("app", TIGHT).await;
    let keys = "        - sql: \"SELECT count(*) FROM pg_constraint WHERE conname IN ('x_to_b', 'z_to_a', 'felt_to_a') AND convalidated\"\n          expect: \"= 3\"\n";
    world.policy("recovery.yaml", &format!("{RECOVERY}{keys}"));
    let _ = world.apply();
    let ran = world.run(&["drill", "tenant-recovery", "--evidence", "both.json"]).exits(0);
    assert!(!ran.stdout.contains("left out"), "{}", ran.stdout);
    let both: Value = serde_json::from_str(&world.cli.read("both.json")).unwrap();
    assert_eq!((&both["tenants"].as_array().unwrap().len(), &both["left_out"]), (&2, &Value::Null));
    // One alone: a table of the other's type fails it, what holds no rows does not.
    world
        .cluster
        .exec("app", "DROP VIEW tenant_a.all_of_them, public.all_moods; DROP TABLE tenant_b.felt, tenant_a.moods")
        .await;
    let _ = world.back_up("tenants-now");
    world.policy("recovery.yaml", &RECOVERY.replace("sample_tenants: 2", "sample_tenants: 1"));
    let _ = world.apply();
    let ran = world.run(&["drill", "tenant-recovery", "--evidence", "one.json"]).exits(0);
    assert!(ran.stdout.contains("left out, for want of other tenants"), "{}", ran.stdout);
    let one: Value = serde_json::from_str(&world.cli.read("one.json")).unwrap();
    let (tenant, key) = if one["tenants"][0] == "a" { ("a", "x_to_b") } else { ("b", "z_to_a") };
    let left_out: Vec<&str> = one["left_out"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let named = left_out.iter().any(|line| line.contains(key) && line.contains("does not exist"));
    assert!(named, "of {tenant}: {left_out:#?}");
    let equal = one["checks"].as_array().unwrap().iter().find(|check| check["tenant"] == tenant).unwrap();
    assert_eq!(equal["passed"], true);
    assert!(equal["observed"].as_str().unwrap().contains("rows equal; without other tenants: "), "{equal}");
}
