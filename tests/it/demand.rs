//! Suite: backups that are asked for by what they are of, single tables, CSV files, and databases read by several
//! programs, with the binary, on real servers and stores.

use std::path::Path;

use crate::world::cluster::Major;
use crate::world::place::World;
use crate::world::run::Ran;
use crate::world::s3::S3Server;
use crate::world::setup::{CATALOG, Place, Setup};

/// Tables that stand alone with difficulty: a type, a domain, a function and a sequence of the schema, partitions, a
/// generated column, a reference to a table that is not asked for, a name that hurts.
const TICKETS: &str = r#"
    CREATE SCHEMA desk;
    CREATE TYPE desk.state AS ENUM ('open', 'done');
    CREATE DOMAIN desk.short AS text CHECK (length(VALUE) < 40);
    CREATE SEQUENCE desk.numbers START 1000;
    CREATE FUNCTION desk.code(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'T' || n $$;
    CREATE TABLE desk.agents (id int PRIMARY KEY, name text);
    INSERT INTO desk.agents VALUES (1, 'ann');
    CREATE FUNCTION desk.of(a desk.agents) RETURNS text LANGUAGE sql AS $$ SELECT a.name $$;
    CREATE TABLE desk.tickets (
        id bigint NOT NULL DEFAULT nextval('desk.numbers'), at date NOT NULL, title desk.short, state desk.state,
        agent int REFERENCES desk.agents, code text GENERATED ALWAYS AS (desk.code(id)) STORED,
        PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE desk.tickets_a PARTITION OF desk.tickets FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE desk.tickets_b PARTITION OF desk.tickets FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO desk.tickets (at, title, state, agent)
        SELECT date '2026-01-15' + (i % 40), E'a "quoted", \n line ' || i, 'open', 1 FROM generate_series(1, 200) i;
    CREATE TABLE desk."ticket""; DROP x%" (id serial PRIMARY KEY, "no, comma" text);
    INSERT INTO desk."ticket""; DROP x%" ("no, comma") VALUES ('x,"y"'), (NULL), ('');
    CREATE VIEW desk.ticket_titles AS SELECT title FROM desk.tickets;
    CREATE TABLE desk.other (a int);
"#;

async fn desk(major: Major) -> World {
    let world = World::new(major, &["a"]).await.env("GITHUB_ACTOR", "ann");
    world.cluster.exec("app", TICKETS).await;
    let _ = world.apply();
    world
}

/// Returns the id that a run printed.
#[track_caller]
fn id(ran: &Ran) -> String {
    let line = ran.stdout.lines().rev().find_map(|line| line.strip_prefix("backup "));
    line.unwrap_or_else(|| panic!("no id:\n{}\n{}", ran.stdout, ran.stderr)).to_owned()
}

fn manifest(world: &World, id: &str) -> serde_json::Value {
    let found = world.objects("backups").into_iter().find(|path| path.ends_with(Path::new(id).join("manifest.json")));
    serde_json::from_slice(&std::fs::read(found.expect("a manifest")).expect("reads")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_asked_for_is_recorded_with_who_and_why_and_was_listed() {
    for major in Major::ALL {
        let world = World::new(major, &["a"]).await.env("GITHUB_ACTOR", "ann");
        let _ = world.apply();
        let ran = world.run(&["backup", "--database", "app", "--reason", "pre-migration"]).exits(0);
        let id = id(&ran);
        let manifest = manifest(&world, &id);
        assert_eq!(manifest["asked_for"], serde_json::json!({ "by": "ann", "reason": "pre-migration" }));
        assert_eq!((&manifest["schedule"], &manifest["method"]), (&"on-demand".into(), &"MANUAL".into()));
        assert_eq!(manifest["retention"]["within"], "30d");
        let phases: Vec<&str> =
            manifest["timings"].as_array().unwrap().iter().filter_map(|phase| phase["phase"].as_str()).collect();
        assert_eq!(phases, ["dump", "read back", "list"]);
        let row = "SELECT requested_by || ' ' || request_reason || ' ' || backup_method FROM bkup.executions \
                   WHERE schedule = 'on-demand'";
        assert_eq!(world.cluster.ask("cat", row).await.as_deref(), Some("ann pre-migration MANUAL"));
        let list = world.run(&["list", "--schedule", "on-demand"]).exits(0);
        let words = list.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&id) && words.contains("asked for: pre-migration"), "{}", list.stdout);
        let json = world.run(&["--format", "json", "list", "--schedule", "on-demand"]).exits(0).json();
        assert_eq!(json["backups"][0]["asked_for"]["by"], "ann");
        let ran = world.run(&["explain", &id]).exits(0);
        assert!(ran.stdout.contains("within 30d"), "{}", ran.stdout);
        let ran = world.run(&["orphans"]).exits(0);
        assert!(!ran.stdout.contains("on-demand"), "nothing of it is gone from the policies: {}", ran.stdout);
        let ran = world.run(&["restore", &id]).exits(0);
        assert!(ran.stdout.contains("database in scratch") && ran.stdout.contains("equal"), "{}", ran.stdout);
        let plan = world.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(0);
        assert!(!plan.stdout.contains("on-demand"), "{}", plan.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_are_asked_for_come_back_with_what_they_share_whatever_they_are_called() {
    let hurt = "x\"; DROP SCHEMA %'*";
    let world = World::new(Major::V15, &["a", "b"]).await;
    world.cluster.tenant("app", hurt).await;
    let _ = world.apply();
    let ran = world.run(&["backup", "--tenant", hurt, "--tenant", "b", "--reason", "before the rename"]).exits(0);
    assert_eq!(ran.stdout.lines().filter(|line| line.starts_with("backup ")).count(), 3, "{}", ran.stdout);
    let ids = world.backups(&format!("tenant={hurt}"));
    let newest = ids.iter().find(|id| id.contains("-on-demand-")).expect("its backup");
    let ran = world.run(&["restore", newest]).exits(0);
    assert!(ran.stdout.contains("shared in scratch"), "{}", ran.stdout);
    assert!(!world.backups("tenant=a").iter().any(|id| id.contains("-on-demand-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn single_tables_stand_alone_where_nothing_is_and_are_equal() {
    for major in Major::ALL {
        let world = desk(major).await;
        let ran = world.run(&["backup", "--tables", "desk.tickets", "desk.ticket\"*", "--reason", "cleanup"]).exits(0);
        let id = id(&ran);
        let manifest = manifest(&world, &id);
        assert_eq!(manifest["asked_for"]["tables"], serde_json::json!(["desk.ticket\"*", "desk.tickets"]));
        let tables: Vec<&str> =
            manifest["scope"]["tables"].as_array().unwrap().iter().filter_map(|t| t["table"].as_str()).collect();
        assert_eq!(tables, ["ticket\"; DROP x%", "tickets_a", "tickets_b"], "partitions come along");
        let kinds: Vec<&str> =
            manifest["parts"].as_array().unwrap().iter().filter_map(|p| p["kind"].as_str()).collect();
        assert_eq!(kinds, ["prelude", "archive"]);
        let ran = world.run(&["restore", &id, "--into", "new:desk"]).exits(0);
        assert!(ran.stdout.contains("3 tables with 203 rows, and 2 sequences, equal"), "{}", ran.stdout);
        let count = "SELECT count(*) || ' ' || min(code) || ' ' || nextval('desk.numbers') FROM desk.tickets";
        assert_eq!(world.cluster.ask("desk", count).await.as_deref(), Some("200 T1000 1200"));
        let absent = "SELECT to_regclass('desk.other') IS NULL AND to_regclass('desk.agents') IS NULL";
        assert_eq!(world.cluster.ask("desk", absent).await.as_deref(), Some("true"));
        let json = world.run(&["--format", "json", "restore", &id]).exits(0).json();
        let left_out = json["left_out"].as_array().unwrap();
        assert!(
            left_out.iter().any(|words| words.as_str().unwrap().contains("agent")),
            "what lacks is said: {left_out:?}"
        );
        let list = world.run(&["list"]).exits(0);
        assert!(list.stdout.contains("tables desk.ticket\"*, desk.tickets"), "{}", list.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_that_means_no_table_is_an_error_and_no_empty_backup() {
    let world = desk(Major::V17).await;
    let before = world.objects("backups").len();
    for (globs, why) in [
        (&["desk.tickets", "desk.nothing_*"][..], "no table matches \"desk.nothing_*\": nothing is called so"),
        (&["public.other"], "there is \"desk\".\"other\""),
        (&["desk.numbers"], "is a sequence"),
        (&["Desk.tickets"], "no table matches"),
    ] {
        let args: Vec<&str> = ["backup", "--tables"].iter().chain(globs).copied().collect();
        let ran = world.run(&args);
        assert_ne!(ran.code, 0, "{globs:?}");
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(why), "{globs:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("BK936") || ran.stderr.contains("BK936"), "{}", ran.stdout);
    }
    let manifests = world.objects("backups").into_iter().filter(|path| path.ends_with("manifest.json")).count();
    assert!(manifests <= before && world.backups("database").len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_vanishes_while_the_dump_begins_is_told_of_and_loses_no_other() {
    let world = desk(Major::V17).await;
    let mut session = world.cluster.connection("app").connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE desk.ticket_gone AS SELECT 1 AS a").execute(&mut session).await.unwrap();
    // Not a partition: to drop one locks what it is of, which the dump has by then.
    sqlx::raw_sql("BEGIN; LOCK TABLE desk.ticket_gone IN ACCESS EXCLUSIVE MODE").execute(&mut session).await.unwrap();
    let running = world.cli.spawn(&["backup", "--tables", "desk.ticket*"]);
    let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
    while world.cluster.ask("app", &format!("({waiting})")).await.as_deref() != Some("true") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    sqlx::raw_sql("DROP TABLE desk.ticket_gone; COMMIT").execute(&mut session).await.unwrap();
    let ran = running.finish().exits(0);
    let manifest = manifest(&world, &id(&ran));
    let notes = manifest["notes"].to_string();
    assert!(notes.contains("dropped while the dump began") && notes.contains("ticket_gone"), "{notes}");
    let tables = manifest["scope"]["tables"].to_string();
    assert!(tables.contains("tickets_a") && !tables.contains("ticket_gone"), "{tables}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_as_csv_lie_beside_the_archive_and_come_back_as_files() {
    let world = desk(Major::V15).await;
    let ran = world.run(&["backup", "--csv", "--tables", "desk.ticket*"]).exits(0);
    let id = id(&ran);
    let into = format!("folder:{}", world.cli.path("csv").display());
    let _ = world.run(&["restore", &id, "--into", &into]).exits(0);
    let mut files: Vec<String> = std::fs::read_dir(world.cli.path("csv"))
        .unwrap()
        .map(|item| item.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "desk.ticket%22%3b%20%44%52%4f%50%20x%25.csv",
            "desk.ticket_titles.csv",
            "desk.tickets.csv",
            "desk.tickets_a.csv",
            "desk.tickets_b.csv"
        ]
    );
    let odd = std::fs::read_to_string(world.cli.path(&format!("csv/{}", files[0]))).unwrap();
    assert_eq!(odd, "id,\"no, comma\"\n1,\"x,\"\"y\"\"\"\n2,\n3,\"\"\n");
    let whole = std::fs::read_to_string(world.cli.path("csv/desk.tickets.csv")).unwrap();
    assert!(whole.starts_with("id,at,title,state,agent,code\n"), "generated columns come, too: {}", &whole[..80]);
    // The file loads again, as the server reads CSV.
    let path = world.cli.path("csv/desk.tickets_a.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut session = world.cluster.connection("app").connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE desk.again (id bigint, at date, title text, state text, agent int, code text)")
        .execute(&mut session)
        .await
        .unwrap();
    let mut copy = session.copy_in_raw("COPY desk.again FROM STDIN (FORMAT csv, HEADER)").await.unwrap();
    copy.send(text.as_bytes()).await.unwrap();
    let _rows = copy.finish().await.unwrap();
    let same = "SELECT NOT EXISTS (SELECT id, title, code FROM desk.again EXCEPT SELECT id, title, code FROM desk.tickets_a) \
                AND (SELECT count(*) FROM desk.again) = (SELECT count(*) FROM desk.tickets_a)";
    assert_eq!(world.cluster.ask("app", &format!("({same})")).await.as_deref(), Some("true"));
    let _ = world.run(&["restore", &id, "--into", &into]).exits(6).says("BK863");
    // A backup without files says so.
    let newest = world.backups("database").remove(0);
    let _ = world.run(&["restore", &newest, "--into", "folder:nothing"]).exits(64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_of_tables_is_taken_and_drilled() {
    let world = World::new(Major::V17, &["a"]).await;
    world.cluster.exec("app", TICKETS).await;
    world.policy(
        "tickets.yaml",
        "version: 1\nschedules:\n  tickets:\n    databases: [app]\n    backup: database\n    \
         tables: [\"desk.tickets\", \"desk.agents\"]\n    when: { frequency: daily, time: \"02:00\" }\n    \
         start_within: 24h\n    retention: keep\n    store: primary\nrecovery_plans:\n  tickets:\n    \
         description: Bring the tickets back\n    type: partial_recovery\n    scope: specific_services\n    databases: [app]\n    \
         rpo: 50h\n    rto: 1h\n    steps:\n      - restore: { backup: database, schedule: tickets, from: latest, into: scratch }\n    \
         approval: { status: pending_approval }\n    contacts: { primary: ops@example.com }\n    drill:\n      every: 30d\n      \
         checks: [{ tables: equal }]\n",
    );
    let ran = world.apply();
    assert!(ran.stdout.contains("tables=tickets"), "{}", ran.stdout);
    let list = world.run(&["--format", "json", "list", "--schedule", "tickets"]).exits(0).json();
    assert_eq!(list["backups"][0]["scope"], "tables=tickets");
    let evidence = "SELECT evidence::text FROM bkup.drills WHERE plan = 'tickets' AND passed";
    let evidence = world.cluster.ask("cat", &format!("({evidence})")).await.expect("the drill passed");
    assert!(evidence.contains("3 tables and 201 rows equal"), "{evidence}");
    let _ = world.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(0);
}

/// A database whose tables hang on each other across any cut: keys, a view, a materialized one, sequences, objects.
const BULK: &str = "
    CREATE TABLE public.big_a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pad text);
    CREATE TABLE public.big_b (id serial PRIMARY KEY, a int NOT NULL REFERENCES public.big_a, pad text);
    CREATE TABLE public.big_c (id bigserial PRIMARY KEY, b int REFERENCES public.big_b, pad text);
    INSERT INTO public.big_a (pad) SELECT repeat(md5(i::text), 8) FROM generate_series(1, 9000) i;
    INSERT INTO public.big_b (a, pad) SELECT i, repeat(md5(i::text), 7) FROM generate_series(1, 9000) i;
    INSERT INTO public.big_c (b, pad) SELECT i, repeat(md5(i::text), 6) FROM generate_series(1, 9000) i;
    CREATE MATERIALIZED VIEW public.sums AS SELECT count(*) AS n FROM public.big_c;
    CREATE INDEX ON public.big_c (b); CREATE UNIQUE INDEX ON public.sums (n);
    SELECT lo_from_bytea(0, 'bytes');";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_read_by_several_programs_comes_back_equal() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "b"]).await;
        world.cluster.exec("app", BULK).await;
        let _ = world.apply();
        let ran = world.run(&["backup", "--database", "app", "--jobs", "3"]).exits(0);
        let id = id(&ran);
        let manifest = manifest(&world, &id);
        let kinds: Vec<&str> =
            manifest["parts"].as_array().unwrap().iter().filter_map(|p| p["kind"].as_str()).collect();
        assert_eq!(kinds, ["definitions", "rows", "rows", "rows", "globals"]);
        assert_eq!(manifest["scope"]["large_objects"], 1);
        let one = world.backups("database").into_iter().find(|id| id.contains("-nightly-")).expect("the nightly one");
        let one = self::manifest(&world, &one);
        let sorted = |manifest: &serde_json::Value, what: &str| {
            let mut all: Vec<String> =
                manifest["scope"][what].as_array().unwrap().iter().map(ToString::to_string).collect();
            all.sort();
            all
        };
        for what in ["tables", "sequences", "extensions", "roles", "schemas"] {
            assert_eq!(sorted(&manifest, what), sorted(&one, what), "{what} are those of the single dump");
        }
        let ran = world.run(&["restore", &id, "--into", "new:again"]).exits(0);
        assert!(ran.stdout.contains("9 tables with 27305 rows") || ran.stdout.contains("equal"), "{}", ran.stdout);
        let facts = "SELECT (SELECT n FROM public.sums) || ' ' || (SELECT count(*) FROM pg_constraint WHERE contype = 'f') || ' ' || \
                     (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') || ' ' || \
                     (SELECT count(*) FROM pg_largeobject_metadata)";
        let facts = format!("({facts})");
        assert_eq!(world.cluster.ask("again", &facts).await, world.cluster.ask("app", &facts).await);
        let ran = world.run(&["restore", &id]).exits(0);
        assert!(ran.stdout.contains("database in scratch"), "{}", ran.stdout);
        let left: Vec<_> =
            std::fs::read_dir(world.cli.scratch()).unwrap().flatten().map(|item| item.file_name()).collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_request_is_applied_once_however_often() {
    let setup = Setup::start(Major::V17, Place::S3(S3Server::start()), &["a"]).await;
    let _ = setup.apply().success();
    setup.cluster.exec("app", TICKETS).await;
    let _ = setup.run(&["backup", "--tables", "desk.tickets", "--csv", "--reason", "x", "--out", "plan.json"]).exits(0);
    let before = setup.manifests().await.len();
    let _ = setup.run(&["apply", "plan.json"]).exits(0);
    let _ = setup.run(&["apply", "plan.json"]).exits(0);
    assert_eq!(setup.manifests().await.len(), before + 1);
    let newest = setup.catalog("SELECT backup_id FROM bkup.executions WHERE schedule = 'on-demand'").await;
    let ran = setup.run(&["restore", &newest]).exits(0);
    assert!(ran.stdout.contains("2 tables with 200 rows"), "{}", ran.stdout);
    let _ = setup.run(&["restore", &newest, "--into", "folder:files"]).exits(0);
    assert!(setup.read("files/desk.tickets.csv").contains("a \"\"quoted\"\""));
    let _ = setup.run(&["backup", "--database", "app", "--jobs", "2"]).exits(0);
    setup.assert_converges().await;
    setup.assert_whole().await;
    // A catalog that is lost knows again who asked, and why: the manifests say it.
    let asked = "SELECT string_agg(concat_ws('|', backup_id, requested_by, request_reason, request_tables), ',' ORDER BY backup_id) \
                 FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted";
    let before = setup.catalog(asked).await;
    assert!(before.contains("|x|{desk.tickets}"), "{before}");
    setup.cluster.exec(CATALOG, "DROP SCHEMA bkup CASCADE").await;
    let _ = setup.run(&["catalog", "rebuild", "--auto-approve"]).exits(0);
    assert_eq!(setup.catalog(asked).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_open_or_does_not_fit_is_said_before_anything_is_done() {
    let world = World::new(Major::V17, &["a"]).await;
    let _ = world.run(&["backup", "--database", "app"]).exits(1).says("BK935").says("run `bkup apply` first");
    let _ = world.apply();
    let objects = world.objects("backups");
    for (args, words) in [
        (&["backup"][..], "required"),
        (&["backup", "nightly", "--database", "app"], "cannot be used with"),
        (&["backup", "--tenant", "a", "--tables", "public.x"], "cannot be used with"),
        (&["backup", "--database", "app", "--csv"], "--tables"),
        (&["backup", "--database", "shop"], "there is no database shop"),
        (&["backup", "--database", "app", "--store", "far"], "there is no store far"),
        (&["backup", "--tenant", "nobody"], "has no tenant \"nobody\""),
        (&["backup", "--database", "app", "--reason", "two\nlines"], "no reason"),
        (&["backup", "--database", "app", "--jobs", "65"], "65"),
    ] {
        let ran = world.run(args).exits(64);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(world.objects("backups"), objects);
    let second = "version: 1\nstores:\n  second: { url: \"file:///var/tmp/bkup-second\" }\n";
    world.policy("second.yaml", second);
    let ran = world.run(&["backup", "--database", "app"]).exits(64);
    assert!(ran.stderr.contains("into which store?") && ran.stderr.contains("primary, second"), "{}", ran.stderr);
    world.policy("second.yaml", "version: 1\nschedules:\n  on-demand: { databases: [app], backup: database, when: { cron: \"0 1 * * *\" }, retention: keep, store: primary }\n");
    let ran = world.run(&["validate"]).exits(3);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("has no calendar"), "{}{}", ran.stdout, ran.stderr);
}
