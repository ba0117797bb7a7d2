//! Suite: archives that `pg_dump` of each version writes, read and written again; what their contents tell.

use bkup::engine::archive::{ArchiveError, ArchiveReader, Event, encode_block, encode_entry, encode_header};
use bkup::engine::restore::{create_database, database_exists, drop_database, restore_file, schema_exists};
use bkup::engine::{
    Awaited, DumpScope, Invocation, RestoreOptions, Snapshot, compare, dump, restore, restore_deferred, restore_shared,
};

use crate::engine::{dumped, into, key, request};
use crate::world::cluster::{Cluster, Major, fresh_folder};

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_written_again_is_the_same_to_the_byte() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &["a", "enterprise-acme"]).await;
        let (pieces, summary) = dumped(&request(&cluster, "app", DumpScope::Database)).await.expect("dumps");
        let original = pieces.concat();
        let mut reader = ArchiveReader::new();
        let mut again = Vec::new();
        let mut rows: Vec<Vec<u8>> = Vec::new();
        // Fed in one piece, each data event is one piece of the format.
        let mut sink = |event: Event<'_>| {
            match event {
                Event::Toc(toc) => {
                    encode_header(&toc.header, &mut again);
                    toc.entries.iter().for_each(|entry| encode_entry(&toc.header, entry, &mut again));
                }
                Event::BlockBegin { .. } => rows.clear(),
                Event::Piece { .. } => {}
                Event::Data(bytes) => rows.push(bytes.to_vec()),
                Event::BlockEnd { id } => {
                    let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
                    encode_block(id, &rows, &mut again);
                }
                Event::ObjectBegin { .. } | Event::ObjectEnd => panic!("no large objects here"),
            }
            Ok::<(), ArchiveError>(())
        };
        reader.feed(&original, &mut sink).expect("reads");
        let toc = reader.finish().expect("is whole");
        assert_eq!(toc.entries.len() as u64, summary.entries);
        assert_eq!(toc.header.minor, major.archive_minor());
        assert!(original == again, "{major:?}: {} bytes became {}", original.len(), again.len());
        let names: Vec<String> = toc.entries.iter().filter(|e| e.kind() == "TABLE DATA").map(|e| e.tag()).collect();
        assert_eq!(names, summary.tables.iter().map(|t| t.table.clone()).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_between_snapshot_and_locks_is_noted() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &["a"]).await;
        cluster.exec("app", "CREATE FUNCTION tenant_a.gone(i int) RETURNS int LANGUAGE sql AS 'SELECT 1'").await;
        let snapshot = Snapshot::export(&cluster.connection("app")).await.expect("exports");
        cluster.exec("app", "DROP INDEX tenant_a.orders_customer_id_idx; DROP TRIGGER touch ON tenant_a.customers; DROP FUNCTION tenant_a.gone(int)").await;
        let mut wanted = request(&cluster, "app", DumpScope::Schema("tenant_a".to_owned()));
        wanted.snapshot = Some(snapshot.facts().id.clone());
        let (_, summary) = dumped(&wanted).await.expect("pg_dump itself sees nothing wrong");
        let mut kinds: Vec<&str> = summary.notes.iter().filter_map(|note| note.split(' ').nth(1)).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["function", "index", "trigger"], "{:?}", summary.notes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_by_glob_are_dumped_and_no_others() {
    let cluster = Cluster::start(Major::V17).await;
    cluster
        .exec("postgres", "CREATE TABLE tickets (a int); CREATE TABLE ticket_log (a int); CREATE TABLE \"ticket_UP\" (a int); CREATE TABLE ticketx (a int); CREATE TABLE other (a int)")
        .await;
    let globs = vec!["public.tickets".to_owned(), "public.ticket_*".to_owned()];
    let (_, summary) = dumped(&request(&cluster, "postgres", DumpScope::Tables(globs))).await.expect("dumps");
    let tables: Vec<&str> = summary.tables.iter().map(|table| table.table.as_str()).collect();
    assert_eq!(tables, ["ticket_UP", "ticket_log", "tickets"]);
    let globs = vec!["public.tickets".to_owned(), "public.nothing_*".to_owned()];
    let error = dumped(&request(&cluster, "postgres", DumpScope::Tables(globs))).await.expect_err("no match");
    assert!(error.to_string().contains("no matching tables"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_is_told_from_a_failed_one() {
    let cluster = Cluster::start(Major::V17).await;
    cluster
        .exec("postgres", "CREATE TABLE bulk AS SELECT i, repeat(md5(i::text), 9) FROM generate_series(1, 90000) i")
        .await;
    let mut running = dump(&request(&cluster, "postgres", DumpScope::Database)).expect("starts");
    let _first = running.chunks.recv().await.expect("something comes");
    let pid = running.pid().expect("runs").to_string();
    Invocation::new("/bin/kill").args(["-9", pid.as_str()]).run().await.expect("kills");
    let error = running.finish().await.expect_err("half a dump is none");
    assert_eq!(error.to_string(), "pg_dump was killed by signal 9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_restored_in_parallel_and_only_when_whole() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &["a", "b"]).await;
        let (pieces, summary) = dumped(&request(&cluster, "app", DumpScope::Database)).await.expect("dumps");
        let folder = fresh_folder("f");
        std::fs::create_dir(&folder).expect("a folder");
        let path = folder.join("archive");
        let bytes = pieces.concat();
        let server = cluster.connection("postgres");
        let odd = "new \"db\" = 'x'";
        create_database(&server, odd).await.expect("creates");
        assert!(create_database(&server, odd).await.is_err());
        assert!(database_exists(&server, odd).await.expect("asks"));
        let back = cluster.connection(odd);

        std::fs::write(&path, &bytes[..bytes.len() - 20]).expect("writes");
        let options = RestoreOptions::default();
        restore_file(&cluster.programs, &back, &path, 2, options).await.expect_err("it is cut");
        assert!(!schema_exists(&back, "tenant_a").await.expect("asks"), "nothing was restored of it");

        std::fs::write(&path, &bytes).expect("writes");
        let report = restore_file(&cluster.programs, &back, &path, 2, options).await.expect("restores");
        assert_eq!((report.bytes, report.entries), (summary.bytes, summary.entries));
        assert!(schema_exists(&back, "tenant_a").await.expect("asks"));
        let found = compare(&back, &summary.tables, &summary.sequences, &key()).await.expect("compares");
        assert!(found.is_equal(), "{found:?}");
        drop_database(&server, odd).await.expect("drops");
        assert!(!database_exists(&server, odd).await.expect("asks"));
        std::fs::remove_dir_all(&folder).expect("goes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_schemas_can_be_left_out_at_once() {
    let cluster = Cluster::start(Major::V17).await;
    let mut sql = String::new();
    let schemas: Vec<String> = (0..600).map(|i| format!("tenant_Some-Long.Name|({i})")).collect();
    for schema in &schemas {
        sql.push_str(&format!("CREATE SCHEMA \"{schema}\"; CREATE TABLE \"{schema}\".t (a int);"));
    }
    cluster.exec("postgres", &sql).await;
    cluster.exec("postgres", "CREATE TABLE shared (a int)").await;
    let (_, summary) = dumped(&request(&cluster, "postgres", DumpScope::AllBut(schemas))).await.expect("dumps");
    assert_eq!(summary.tables.len(), 1);
    assert_eq!(summary.schemas, ["public"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_entries_that_need_a_tenant_come_back_after_it() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &["a", "b"]).await;
        cluster
            .exec("app", "CREATE TABLE public.states (s tenant_a.order_state PRIMARY KEY); INSERT INTO public.states VALUES ('new'), ('paid'); CREATE VIEW public.paid AS SELECT * FROM public.states JOIN tenant_b.orders o ON o.total > 1; CREATE TABLE public.refs (id bigint REFERENCES tenant_a.orders); INSERT INTO public.refs VALUES (3)")
            .await;
        let tenants = ["tenant_a".to_owned(), "tenant_b".to_owned()];
        let all_but = DumpScope::AllBut(tenants.to_vec());
        let (shared, summary) = dumped(&request(&cluster, "app", all_but)).await.expect("dumps");
        cluster.exec("postgres", "CREATE DATABASE back TEMPLATE template0").await;
        let back = cluster.connection("back");
        let report = restore_shared(into(&cluster, back.clone(), &shared)).await.expect("the rest is restored");
        let mut kinds: Vec<_> = report.deferred.iter().map(|d| format!("{} {}", d.kind, d.name)).collect();
        kinds.sort_unstable();
        assert_eq!(
            kinds,
            [
                "CONSTRAINT states states_pkey",
                "FK CONSTRAINT refs refs_id_fkey",
                "TABLE DATA states",
                "TABLE states",
                "VIEW paid"
            ]
        );
        for schema in tenants {
            let (bytes, _) = dumped(&request(&cluster, "app", DumpScope::Schema(schema))).await.expect("dumps");
            restore(into(&cluster, back.clone(), &bytes)).await.expect("restores");
        }
        let list = fresh_folder("l");
        let (again, awaited) = (into(&cluster, back.clone(), &shared), Awaited::default());
        let report = restore_deferred(again, &report.deferred, &awaited, &list).await.expect("now it can");
        assert_eq!(report.deferred, []);
        assert!(!list.exists());
        let found = compare(&back, &summary.tables, &summary.sequences, &key()).await.expect("compares");
        assert!(found.is_equal(), "{found:?}");
        let seen = "SELECT (SELECT count(*) > 0 FROM public.paid) AND (SELECT count(*) = 1 FROM pg_constraint WHERE conname = 'refs_id_fkey')";
        assert_eq!(cluster.ask("back", seen).await.as_deref(), Some("true"));
    }
}
