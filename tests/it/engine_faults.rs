//! Suite: what the engine says and leaves behind when things go wrong.

use std::time::Duration;

use bkup::diag::Explain;
use bkup::domain::{Observation, Tenant, TenantSelector};
use bkup::engine::programs::Program;
use bkup::engine::restore::restore_invocation;
use bkup::engine::{
    Connection, DumpScope, EngineError, Invocation, RestoreOptions, Scratch, ScratchOptions, Search, Snapshot, compare,
    create_roles, dump, dump_globals, restore, role_names, scratch,
};
use bkup::server;
use bytes::Bytes;
use sqlx::Executor as _;

use crate::engine::{dumped, into, key, request};
use crate::world::cluster::{Cluster, Major, fresh_folder};
use crate::world::freezing::Freezing;

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the mode is set");
}

const BULK: &str = "CREATE TABLE bulk AS SELECT i, md5(i::text) AS a, repeat(md5((i * 7)::text), 8) AS b FROM generate_series(1, 120000) i";

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_killed_half_way_is_an_error() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.exec("postgres", BULK).await;
        let mut running = dump(&request(&cluster, "postgres", DumpScope::Database)).expect("starts");
        let first = running.chunks.recv().await.expect("something comes");
        assert!(!first.is_empty());
        cluster
            .exec("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'")
            .await;
        let error = running.finish().await.expect_err("half a dump is none");
        assert_eq!(error.explain().code.0, "BK842", "{error}");
        assert!(error.to_string().contains("pg_dump exited with code 1"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_dump_leaves_no_program_behind() {
    let cluster = Cluster::start(Major::V17).await;
    cluster.exec("postgres", BULK).await;
    let mut running = dump(&request(&cluster, "postgres", DumpScope::Database)).expect("starts");
    let _first = running.chunks.recv().await.expect("something comes");
    drop(running);
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pg_dump%' OR query LIKE 'COPY%TO stdout;'";
    for _ in 0..100 {
        if cluster.ask("postgres", sessions).await.as_deref() == Some("0") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("pg_dump still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_process_is_killed_with_its_children() {
    let mut process = Invocation::new("/bin/sh").args(["-c", "sleep 1000 & echo $!; wait"]).spawn().expect("starts");
    let id = process.id().expect("runs");
    let mut stdout = process.take_stdout().expect("piped");
    let mut line = [0; 32];
    let count = tokio::io::AsyncReadExt::read(&mut stdout, &mut line).await.expect("the child's id");
    let child: u32 = String::from_utf8_lossy(&line[..count]).trim().parse().expect("a number");
    drop(process);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists(), "it is reaped, not a zombie");
    for _ in 0..100 {
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the child still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_fail_say_why() {
    let missing = Invocation::new("/nowhere/pg_dump").spawn().expect_err("is not there");
    assert_eq!(missing.to_string(), "/nowhere/pg_dump could not be started: it was not found");
    let failed = Invocation::new("/bin/sh").args(["-c", "echo first >&2; echo last >&2; exit 7"]).run().await;
    assert_eq!(failed.expect_err("fails").to_string(), "sh exited with code 7: first\nlast");
    let killed = Invocation::new("/bin/sh").args(["-c", "kill -9 $$"]).run().await;
    assert_eq!(killed.expect_err("dies").to_string(), "sh was killed by signal 9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_too_old_is_refused_with_the_reason() {
    let search = Search { pg_bin: Some(Major::V15.bin().into_os_string()), ..Search::default() };
    let error = search.find(&[Program::PgDump], 17).await.expect_err("15 cannot dump 17");
    assert_eq!(error.explain().code.0, "BK840");
    let words = error.to_string();
    assert!(words.starts_with("no pg_dump of PostgreSQL 17 or newer was found (pg_dump 15."), "{words}");
    assert!(words.contains("is too old"), "{words}");
    let both = std::env::join_paths([Major::V17.bin(), Major::V15.bin()]).expect("joins");
    let search = Search { pg_bin: Some(both), ..Search::default() };
    assert_eq!(search.find(&[Program::PgDump], 15).await.expect("both").major, 15, "the server's own version first");
    assert_eq!(search.find(&[Program::PgDump], 16).await.expect("newer").major, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_arguments_or_errors() {
    let cluster = Cluster::start(Major::V17).await;
    let mut wanted = request(&cluster, "postgres", DumpScope::Schema("tenant_\"x".to_owned()));
    wanted.connection = Connection::parse("postgres://u:geheim@127.0.0.1:1/db?sslmode=disable").expect("parses");
    wanted.snapshot = Some("00000003-0000001B-1".to_owned());
    insta::assert_snapshot!(wanted.invocation().arguments().join("\n"), @r#"
    --format=custom
    --compress=0
    --no-password
    --encoding=UTF8
    --lock-wait-timeout=5000
    --dbname=keepalives_idle=60 keepalives_interval=15 keepalives_count=4 dbname='db'
    --snapshot=00000003-0000001B-1
    --strict-names
    --schema="tenant_""x"
    "#);
    let with = |scope| {
        bkup::engine::DumpRequest { scope, snapshot: None, ..wanted.clone() }.invocation().arguments()[6..].join(" ")
    };
    let all_but = DumpScope::AllBut(vec!["a*".to_owned(), "B|\"c".to_owned()]);
    insta::assert_snapshot!(with(all_but), @r#"--exclude-schema="a*"|"B|""c""#);
    let tables = DumpScope::Tables(vec!["public.tickets".to_owned(), "Public.ticket_*".to_owned()]);
    insta::assert_snapshot!(with(tables), @r#"--strict-names --table="public"."tickets" --table="Public"."ticket_"*"#);
    let restoring = restore_invocation(&cluster.programs, &wanted.connection, RestoreOptions::default(), true);
    insta::assert_snapshot!(restoring.arguments().join(" "), @"--format=custom --no-password --verbose --dbname=keepalives_idle=60 keepalives_interval=15 keepalives_count=4 dbname='db' --exit-on-error");
    for shown in [format!("{:?}", wanted.invocation()), format!("{restoring} {wanted:?}")] {
        assert!(!shown.contains("geheim"), "{shown}");
    }
    let error = dumped(&wanted).await.expect_err("nobody listens on port 1");
    assert!(error.to_string().contains("Connection refused") && !error.to_string().contains("geheim"), "{error}");
    let error = Snapshot::export(&wanted.connection).await.expect_err("nobody listens");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dumps_on_one_snapshot_agree_while_rows_change() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &["a", "b"]).await;
        cluster.exec("app", "CREATE VIEW tenant_a.x AS SELECT * FROM tenant_b.orders; CREATE FUNCTION public.f(tenant_b.order_state) RETURNS int LANGUAGE sql AS 'SELECT 1'").await;
        let mut snapshot = Snapshot::export(&cluster.connection("app")).await.expect("exports");
        let facts = snapshot.facts().clone();
        assert_eq!(facts.major(), cluster.programs.major);
        assert_eq!((facts.datname.as_str(), facts.encoding.as_str()), ("app", "UTF8"));
        assert!(facts.lsn.is_some() && facts.system_identifier.is_some() && facts.consistent_at <= facts.server_clock);
        let pairs = snapshot.references().await.expect("reads");
        let pairs: Vec<_> = pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        assert_eq!(
            pairs,
            [("public", "tenant_b"), ("tenant_a", "public"), ("tenant_a", "tenant_b"), ("tenant_b", "public")]
        );

        let on = |scope| {
            let mut wanted = request(&cluster, "app", scope);
            wanted.snapshot = Some(facts.id.clone());
            wanted
        };
        let (_, first) = dumped(&on(DumpScope::Schema("tenant_a".to_owned()))).await.expect("dumps");
        cluster.exec("app", "UPDATE tenant_a.orders SET total = 0; DELETE FROM tenant_a.orders WHERE id < 20; INSERT INTO tenant_a.customers (name) VALUES ('late')").await;
        let (_, second) = dumped(&on(DumpScope::Schema("tenant_a".to_owned()))).await.expect("dumps");
        assert_eq!(first.tables, second.tables);
        let (_, whole) = dumped(&on(DumpScope::Database)).await.expect("dumps");
        assert!(first.tables.iter().all(|table| whole.tables.contains(table)));
        snapshot.check().await.expect("is held");
        snapshot.close().await.expect("was held to the end");
        let late = dumped(&on(DumpScope::Database)).await.expect_err("the snapshot is over");
        assert!(late.to_string().contains("snapshot"), "{late}");

        let (_, now) =
            dumped(&request(&cluster, "app", DumpScope::Schema("tenant_a".to_owned()))).await.expect("dumps");
        assert_ne!(first.tables, now.tables);
        let mut lost = Snapshot::export(&cluster.connection("app")).await.expect("exports");
        cluster
            .exec("app", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
            .await;
        assert!(matches!(lost.check().await, Err(EngineError::SnapshotLost(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_of_the_database_do_not_end_the_snapshot() {
    let cluster = Cluster::start(Major::V17).await;
    let limits = ["idle_in_transaction_session_timeout", "transaction_timeout", "statement_timeout"];
    for limit in limits {
        cluster.exec("postgres", &format!("ALTER DATABASE postgres SET {limit} = '300ms'")).await;
    }
    let mut snapshot = Snapshot::export(&cluster.connection("postgres")).await.expect("exports");
    tokio::time::sleep(Duration::from_millis(900)).await;
    snapshot.check().await.expect("is held");
    let mut wanted = request(&cluster, "postgres", DumpScope::Database);
    wanted.snapshot = Some(snapshot.facts().id.clone());
    dumped(&wanted).await.expect("dumps");
    // Nor a session that waits outside of a transaction.
    cluster.exec("postgres", "ALTER DATABASE postgres SET idle_session_timeout = '300ms'").await;
    let mut session = cluster.connection("postgres").connect().await.expect("connects");
    tokio::time::sleep(Duration::from_millis(900)).await;
    session.execute("SELECT 1").await.expect("still answers");
}

/// Returns in how many seconds the kernel probes each connection to a port whose other end is silent.
fn probes(port: u16) -> Vec<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a Linux machine");
    let to = format!(":{port:04X}");
    let connections = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The third field is the other end; `02:` in the sixth a timer of probes, in hundredths of a second.
    let due = connections.filter(|fields| fields.get(2).is_some_and(|end| end.ends_with(&to)));
    let due = due.filter_map(|fields| u64::from_str_radix(fields.get(5)?.strip_prefix("02:")?, 16).ok());
    due.map(|ticks| ticks / 100).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_its_power_is_not_waited_for_for_hours() {
    let cluster = Cluster::start(Major::V17).await;
    cluster.exec("postgres", "CREATE TABLE locked (i int)").await;
    let mut holder = cluster.connection("postgres").connect().await.expect("connects");
    let lock = sqlx::Executor::execute(&mut holder, "BEGIN; LOCK TABLE locked").await;
    lock.expect("is locked");
    let way = Freezing::at(&cluster, "never said");
    let mut wanted = request(&cluster, "postgres", DumpScope::Database);
    wanted.connection = Connection::parse(&way.url("postgres")).expect("parses");
    let _waiting = dump(&wanted).expect("starts");
    for _ in 0..200 {
        if let [due, ..] = probes(wanted.connection.port()).as_slice() {
            assert!(*due <= 60, "{due} s");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("pg_dump does not look whether its server is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_or_broken_stream_is_never_a_restore() {
    let cluster = Cluster::start(Major::V17).await;
    cluster.application("app", &["a", "b"]).await;
    let (pieces, _) = dumped(&request(&cluster, "app", DumpScope::Database)).await.expect("dumps");
    let whole: Vec<u8> = pieces.concat();
    // Ends where the last block begins: to pg_restore that looks like an end.
    let last = whole.windows(2).rposition(|pair| pair == [1, 0]).expect("a block");
    for cut in [whole.len() / 3, last, whole.len() - 1] {
        cluster.exec("postgres", "DROP DATABASE IF EXISTS back").await;
        cluster.exec("postgres", "CREATE DATABASE back TEMPLATE template0").await;
        let part = [Bytes::copy_from_slice(&whole[..cut])];
        let error = restore(into(&cluster, cluster.connection("back"), &part)).await.expect_err("it is cut");
        assert!(matches!(error, EngineError::Archive(_) | EngineError::Restore(_)), "{error}");
    }
    let mut broken = into(&cluster, cluster.connection("back"), &pieces);
    let failing =
        futures_util::stream::iter([Ok(pieces[0].clone()), Err(std::io::Error::other("the digest is wrong"))]);
    broken.archive = Box::pin(failing);
    let error = restore(broken).await.expect_err("the source failed");
    assert!(error.to_string().contains("the digest is wrong"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_a_newer_version_needs_newer_programs() {
    let (old, new) = (Cluster::start(Major::V15).await, Cluster::start(Major::V17).await);
    new.application("app", &["a"]).await;
    old.application("app", &["a"]).await;
    let (pieces, _) = dumped(&request(&new, "app", DumpScope::Database)).await.expect("dumps");
    old.exec("postgres", "CREATE DATABASE back TEMPLATE template0").await;
    let error = restore(into(&old, old.connection("back"), &pieces)).await.expect_err("15 cannot read it");
    assert!(error.to_string().contains("unsupported version (1.16)"), "{error}");
    let (pieces, summary) = dumped(&request(&old, "app", DumpScope::Database)).await.expect("dumps");
    new.exec("postgres", "CREATE DATABASE back TEMPLATE template0").await;
    let back = new.connection("back");
    restore(into(&new, back.clone(), &pieces)).await.expect("17 reads 15's");
    let found = compare(&back, &summary.tables, &summary.sequences, &key()).await.expect("compares");
    assert!(found.is_equal(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_the_globals_come_back_without_rights() {
    for major in Major::ALL {
        let (from, to) = (Cluster::start(major).await, Cluster::start(major).await);
        let odd = "x\"; DROP ROLE app; --";
        from.exec("postgres", "CREATE ROLE app LOGIN SUPERUSER PASSWORD 'geheim'; CREATE ROLE \"x\"\"; DROP ROLE app; --\"; CREATE ROLE \"two\nlines\"").await;
        from.exec("postgres", "CREATE DATABASE \"host=evil\"").await;
        let globals = dump_globals(&from.programs, &from.connection("host=evil")).await.expect("dumps");
        let text = String::from_utf8_lossy(&globals);
        assert!(!text.contains("PASSWORD") && !text.contains("SCRAM"), "{text}");
        let names = role_names(&globals);
        assert_eq!(names, ["app", "postgres", "two\nlines", odd]);
        let back = to.connection("postgres");
        assert_eq!(create_roles(&back, &names).await.expect("creates"), ["app", "two\nlines", odd]);
        assert_eq!(create_roles(&back, &names).await.expect("again"), Vec::<String>::new());
        let rights = "SELECT bool_or(rolcanlogin OR rolsuper) FROM pg_roles WHERE rolname = 'app'";
        assert_eq!(to.ask("postgres", rights).await.as_deref(), Some("false"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scratch_server_leaves_nothing_and_a_kept_one_until_its_time() {
    let programs = Major::V15.programs().await;
    let options = |folder: &std::path::Path| ScratchOptions {
        programs: programs.clone(),
        folder: folder.to_owned(),
        settings: Vec::new(),
        template: None,
    };
    let parent = fresh_folder("p");
    std::fs::create_dir(&parent).expect("a folder");
    use std::os::unix::fs::PermissionsExt;
    set_mode(&parent, 0o755);

    let first = Scratch::start(options(&parent.join("a"))).await.expect("starts");
    let pid = first.pid().expect("runs");
    assert_eq!(std::fs::metadata(parent.join("a")).expect("is there").permissions().mode() & 0o777, 0o700);
    drop(first);
    assert!(!parent.join("a").exists() && !std::path::Path::new(&format!("/proc/{pid}")).exists());

    let second = Scratch::start(options(&parent.join("b"))).await.expect("starts");
    let pid = second.pid().expect("runs");
    let connection = second.connection("postgres");
    let until = "2026-01-02T00:00:00Z".parse().expect("an instant");
    assert_eq!(second.keep(until).expect("keeps"), parent.join("b"));
    connection.connect().await.expect("still answers");
    let early = "2026-01-01T00:00:00Z".parse().expect("an instant");
    assert_eq!(scratch::sweep(&parent, early).await.expect("sweeps"), Vec::<std::path::PathBuf>::new());
    assert_eq!(scratch::sweep(&parent, until).await.expect("sweeps"), [parent.join("b")]);
    assert!(!parent.join("b").exists());
    assert!(!std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("postgres")));

    let mut bad = options(&parent.join("c"));
    bad.settings.push(("no_such_setting".to_owned(), "1".to_owned()));
    let error = Scratch::start(bad).await.expect_err("does not start");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    assert!(!parent.join("c").exists());
    assert!(scratch::free_bytes(&parent).expect("a disk") > 0);
    std::fs::remove_dir(&parent).expect("empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_facts_and_tenants_are_read_as_they_are() {
    let limit = Duration::from_secs(10);
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &["enterprise-acme", "\"; DROP SCHEMA x; --", "b"]).await;
        let options = cluster.connection("app").options();
        let read = |selector: TenantSelector| {
            let options = options.clone();
            async move { server::read(&options, Some(&selector), limit).await }
        };
        let reading = read(TenantSelector::Schemas("tenant_*".to_owned())).await.expect("reads");
        assert_eq!(reading.facts.version_num / 10_000, cluster.programs.major);
        assert_eq!(reading.facts.datname, "app");
        assert!(reading.facts.size.0 > 1_000_000);
        assert_eq!((reading.locks.tables, reading.locks.per_transaction), (2 + 3 * 2, 1024));
        let slugs: Vec<_> = reading.facts.tenants.expect("tenants").into_iter().map(|t| t.slug).collect();
        assert_eq!(slugs, ["\"; DROP SCHEMA x; --", "b", "enterprise-acme"]);
        let query = "SELECT id, slug, schema_name FROM public.tenants WHERE slug = 'b'; -- a comment";
        let tenants =
            read(TenantSelector::Query(query.trim_end_matches("; -- a comment").to_owned() + " -- a comment"))
                .await
                .expect("reads")
                .facts
                .tenants
                .expect("tenants");
        let expected = Tenant { slug: "b".to_owned(), schema: "tenant_b".to_owned(), id: tenants[0].id.clone() };
        assert_eq!(tenants, [expected]);
        assert_eq!(tenants[0].id.as_deref().map(str::len), Some(36));
        for (query, words) in [
            ("SELECT slug FROM public.tenants", "the query fails: column t.schema_name does not exist"),
            ("SELECT NULL AS slug, 'x' AS schema_name", "a row of the query has no slug"),
            ("SELECT 'a' AS slug, unnest(ARRAY['x', 'y']) AS schema_name", "two tenants have the slug \"a\""),
            ("DELETE FROM public.tenants RETURNING slug, schema_name", "the query fails:"),
        ] {
            // The server's own facts are known all the same.
            let facts = read(TenantSelector::Query(query.to_owned())).await.expect(query).facts;
            let why = facts.tenants_unread.expect(query);
            assert!(why.starts_with(&format!("tenants cannot be read: {words}")) && facts.tenants.is_none(), "{why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_told_apart_and_show_no_password() {
    let cluster = Cluster::start(Major::V17).await;
    cluster.exec("postgres", "CREATE DATABASE locked").await;
    cluster
        .exec("postgres", "CREATE ROLE app LOGIN PASSWORD 'richtig'; REVOKE CONNECT ON DATABASE locked FROM public")
        .await;
    let hba = cluster.server().folder().join("data/pg_hba.conf");
    std::fs::write(&hba, "local all postgres trust\nlocal all all scram-sha-256\n").expect("writes");
    cluster.exec("postgres", "SELECT pg_reload_conf()").await;
    let place = cluster.server().folder().join("s");
    let url = |user: &str, database: &str, rest: &str| {
        format!("postgres://{user}@/{database}?host={}{rest}", place.display())
    };
    for (url, code) in [
        ("postgres://app:geheim@127.0.0.1:1/app?sslmode=disable".to_owned(), "BK830"),
        (url("app:geheim", "postgres", ""), "BK831"),
        (url("postgres", "no_such", ""), "BK832"),
        (url("app:richtig", "locked", ""), "BK833"),
    ] {
        for _ in 0..20 {
            let connection = Connection::parse(&url).expect("parses");
            let error = server::read(&connection.options(), None, Duration::from_secs(5)).await.expect_err("fails");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
            // The reload takes a moment.
            if error.explain().code.0 == code {
                break;
            }
            assert_eq!(code, "BK831", "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let written = Connection::parse(&cluster.url("postgres")).expect("the written URL parses");
    server::read(&written.options(), None, Duration::from_secs(5)).await.expect("the written URL works");
    let passwords = cluster.server().folder().join("passwords");
    std::fs::write(&passwords, "localhost:*:*:app:richtig\n").expect("writes");
    let by_file = Connection::parse(&url("app", "postgres", "")).expect("parses");
    set_mode(&passwords, 0o644);
    let open = by_file.clone().with_passfile(Some(&passwords));
    server::read(&open.options(), None, Duration::from_secs(5)).await.expect_err("a file that all can read is none");
    set_mode(&passwords, 0o600);
    let closed = by_file.with_passfile(Some(&passwords));
    server::read(&closed.options(), None, Duration::from_secs(5)).await.expect("the file's password works");
    let plain = Connection::parse(&url("app:richtig", "postgres", "")).expect("parses");
    server::read(&plain.options(), None, Duration::from_secs(5)).await.expect("the right password works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_freezes_in_the_middle_of_a_look_is_not_waited_for_for_ever() {
    let limit = Duration::from_millis(700);
    let cluster = Cluster::start(Major::V17).await;
    let look = async |words: &'static str| {
        let frozen = Freezing::at(&cluster, words);
        let options = Connection::parse(&frozen.url("postgres")).expect("parses").options();
        let seen = server::Surveyed::default();
        let tenants = TenantSelector::Schemas("t_*".to_owned());
        let looks = async {
            let found = server::read_with_signs(&options, Some(&tenants), Some(&seen), limit).await;
            (found, server::configuration(&options, false, limit).await, server::inspect(&options, limit).await)
        };
        tokio::time::timeout(Duration::from_secs(60), looks).await.expect("it ends")
    };
    let silent = |error: server::ServerError| {
        assert!(
            matches!(&error, server::ServerError::Unreachable(why) if why.contains("stopped answering")),
            "{error}"
        );
    };
    // What was known before it froze stays known.
    let (found, ..) = look("FROM pg_catalog.pg_stat_replication").await;
    let (reading, signs) = found.expect("the facts are read");
    assert_eq!((reading.facts.datname.as_str(), reading.facts.tenants), ("postgres", Some(Vec::new())));
    let standbys = signs.expect("asked for").standbys;
    assert!(matches!(&standbys, Observation::Unreachable(why) if why.contains("stopped answering")), "{standbys:?}");
    for words in ["AS per_transaction", "SELECT nspname::text FROM"] {
        let (found, configuration, inspected) = look(words).await;
        silent(found.expect_err("it froze"));
        configuration.expect("nothing like that is asked");
        inspected.expect("nothing like that is asked");
    }
    let (found, configuration, inspected) = look("server_version_num").await;
    silent(found.expect_err("it froze"));
    silent(configuration.expect_err("it froze"));
    silent(inspected.expect_err("it froze"));
}
