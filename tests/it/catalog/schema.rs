//! The schema: made once, by anyone, and never half; its columns are a promise.

use bkup::catalog::{CatalogError, Reader, TenantLink, Writer, newest_version};
use bkup::diag::Explain;
use bkup::domain::{CatalogState, Scope};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::build::{at, facts, take};
use super::scratch::{database, newer_database};

pub async fn rows(url: &str, sql: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap()
}

async fn run(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
}

#[tokio::test]
async fn every_column_is_written_down() {
    let (_guard, url) = database().await;
    Writer::open(&url).unwrap().create("lineage", None).await.unwrap();
    let columns = rows(
        &url,
        "SELECT format('%s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), \
                CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'bkup' \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         WHERE c.relkind IN ('r', 'v') ORDER BY c.relkind, c.relname COLLATE \"C\", a.attnum",
    )
    .await;
    let rules = rows(
        &url,
        "SELECT format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint \
         WHERE connamespace = 'bkup'::regnamespace \
         ORDER BY conrelid::regclass::text COLLATE \"C\", pg_get_constraintdef(oid) COLLATE \"C\"",
    )
    .await;
    let indexes = rows(
        &url,
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'bkup' ORDER BY tablename COLLATE \"C\", indexname COLLATE \"C\"",
    )
    .await;
    let promise = [columns.join("\n"), rules.join("\n"), indexes.join("\n")].join("\n\n");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("catalog_schema", promise));
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_keeps_the_lineage() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    assert_eq!(writer.reader().state().await.unwrap(), CatalogState::Absent);
    assert_eq!(writer.reader().meta().await.unwrap(), None);

    let first = writer.create("first", None).await.unwrap();
    let second = writer.create("second", None).await.unwrap();

    assert_eq!((first.from_version, first.version), (None, newest_version()));
    assert_eq!((second.from_version, second.version), (Some(newest_version()), newest_version()));
    assert_eq!((first.lineage.as_str(), second.lineage.as_str()), ("first", "first"));
    assert_eq!(first.tenants, TenantLink::NoTable);
    let meta = writer.reader().meta().await.unwrap().unwrap();
    assert_eq!((meta.version, meta.serial, meta.simulated), (newest_version(), 0, None));
}

#[tokio::test]
async fn makers_that_come_at_once_make_one_catalog() {
    let (_guard, url) = database().await;
    let makers = (0..6).map(|n| {
        let url = url.clone();
        tokio::spawn(async move { Writer::open(&url).unwrap().create(&format!("maker-{n}"), None).await.unwrap() })
    });
    let mut made = Vec::new();
    for maker in makers.collect::<Vec<_>>() {
        made.push(maker.await.unwrap());
    }
    assert_eq!(made.iter().filter(|created| created.from_version.is_none()).count(), 1);
    assert!(made.iter().all(|created| created.lineage == made[0].lineage));
}

#[tokio::test]
async fn a_schema_that_waits_empty_is_filled_by_its_owner_without_rights_on_the_database() {
    let (guard, _) = database().await;
    guard.admin(&format!("ALTER DATABASE {} OWNER TO postgres", guard.name)).await;
    let url = guard.url_as("owner");
    let writer = Writer::open(&url).unwrap();
    let refused = writer.create("lineage", None).await.unwrap_err();
    assert!(matches!(refused, CatalogError::PermissionDenied { .. }), "{refused:?}");
    assert_eq!(refused.explain().code.0, "BK804");

    guard.admin("CREATE SCHEMA bkup AUTHORIZATION owner").await;
    assert_eq!(writer.reader().state().await.unwrap(), CatalogState::Absent);
    writer.create("lineage", None).await.unwrap();
    assert_eq!(facts(&writer).await.lineage, "lineage");
}

#[tokio::test]
async fn a_schema_of_that_name_that_is_not_bkups_is_left_alone() {
    let (_guard, url) = database().await;
    run(&url, "CREATE SCHEMA bkup; CREATE TABLE bkup.executions (id uuid)").await;
    let writer = Writer::open(&url).unwrap();
    for error in [writer.create("l", None).await.unwrap_err(), writer.reader().state().await.unwrap_err()] {
        assert!(matches!(error, CatalogError::Foreign { tables: 1 }), "{error:?}");
    }
    assert_eq!(
        rows(&url, "SELECT relname::text FROM pg_class WHERE relnamespace = 'bkup'::regnamespace").await.len(),
        1
    );
}

#[tokio::test]
async fn a_newer_catalog_is_refused_by_readers_and_makers() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    run(&url, "INSERT INTO bkup._migrations VALUES (9000, 'later', now(), true, '', 0)").await;
    let errors = [
        writer.create("lineage", None).await.unwrap_err(),
        writer.reader().state().await.unwrap_err(),
        writer.reader().meta().await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, CatalogError::Newer { found: 9000, .. }), "{error:?}");
        assert_eq!(error.explain().code.0, "BK805");
    }
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_refused_and_nothing_moves() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    run(&url, "UPDATE bkup._migrations SET checksum = '\\x00' WHERE version = 2").await;
    let error = writer.create("lineage", None).await.unwrap_err();
    assert!(matches!(error, CatalogError::Migration { .. }), "{error:?}");
}

#[tokio::test]
async fn a_simulated_clock_only_goes_forward_and_a_real_catalog_has_none() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", Some(at("2026-03-01T00:00:00Z"))).await.unwrap();
    writer.set_clock(at("2026-03-02T00:00:00Z")).await.unwrap();
    writer.set_clock(at("2026-03-02T00:00:00Z")).await.unwrap();
    let back = writer.set_clock(at("2026-03-01T23:59:59Z")).await.unwrap_err();
    assert!(matches!(back, CatalogError::ClockGoesBack { .. }), "{back:?}");
    assert_eq!(facts(&writer).await.simulated, Some(at("2026-03-02T00:00:00Z")));

    let (_guard, url) = database().await;
    let real = Writer::open(&url).unwrap();
    real.create("lineage", None).await.unwrap();
    assert!(matches!(real.set_clock(at("2030-01-01T00:00:00Z")).await, Err(CatalogError::Conflict { .. })));
    let wrong = real.create("lineage", Some(at("2026-03-01T00:00:00Z"))).await;
    assert!(matches!(wrong, Err(CatalogError::Conflict { .. })), "{wrong:?}");
}

#[tokio::test]
async fn a_role_that_may_only_read_can_plan_and_cannot_write() {
    let (guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    take(&writer, Scope::Database, at("2026-03-01T02:00:00Z")).await;
    guard.admin("DO $$ BEGIN CREATE ROLE planner LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$").await;
    let planner = Reader::open(&guard.url_as("planner")).unwrap();
    let blind = planner.state().await.unwrap_err();
    assert!(matches!(blind, CatalogError::PermissionDenied { .. }), "a hidden catalog is not an absent one: {blind:?}");

    run(&url, "GRANT USAGE ON SCHEMA bkup TO planner; GRANT SELECT ON ALL TABLES IN SCHEMA bkup TO planner").await;
    run(&url, "REVOKE ALL ON bkup.digest_keys FROM planner").await;

    assert_eq!(planner.state().await.unwrap(), writer.reader().state().await.unwrap());
    let denied = Writer::open(&guard.url_as("planner")).unwrap().bump_serial(&super::build::run()).await.unwrap_err();
    assert!(matches!(denied, CatalogError::PermissionDenied { .. }), "{denied:?}");
}

#[tokio::test]
async fn a_question_costs_one_statement() {
    let (guard, url) = database().await;
    let reader = Reader::open(&url).unwrap();
    // Both of its connections are there.
    tokio::try_join!(reader.clock(), reader.clock()).unwrap();
    let before = guard.statements().len();
    reader.clock().await.unwrap();
    let asked = guard.statements().split_off(before);
    assert_eq!(asked.len(), 1, "{asked:#?}");
}

#[tokio::test]
async fn what_stands_in_the_way_is_said_without_the_password() {
    let (guard, url) = database().await;
    guard
        .admin(
            "DO $$ BEGIN CREATE ROLE locked LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        )
        .await;
    let locked = guard.url_as("locked").replace("locked@", "locked:geheim@");
    let cases = [
        (locked, "BK802"),
        (url.replace(&format!("/{}?", guard.name), "/nowhere?"), "BK803"),
        ("postgres://u:geheim@localhost/x?host=/nowhere".to_owned(), "BK801"),
        ("postgres://u:geheim@127.0.0.1:9/x".to_owned(), "BK801"),
    ];
    for (url, code) in cases {
        let error = Reader::open(&url).unwrap().state().await.unwrap_err();
        let finding = error.explain();
        assert_eq!(finding.code.0, code, "{error:?}");
        assert!(!format!("{error:?} {finding:?}").contains("geheim"));
    }
    let Err(error) = Reader::open("postgres//u:geheim@h") else { panic!("no URL") };
    assert_eq!(error.explain().code.0, "BK800");
}

const TENANTS: &str = "CREATE SCHEMA tnnt; CREATE TABLE tnnt.tenants (id uuid PRIMARY KEY, name text); \
     INSERT INTO tnnt.tenants VALUES ('0d9f1a52-8f0f-4a4b-9b7e-0a3f8f6f2f11', 'acme')";
const REFERENCE: &str = "SELECT concat_ws(' ', coalesce(backup_tenant_id::text, 'none'), tenant_slug, tenant_id, \
     CASE WHEN tenant_offboarded_at IS NULL THEN 'here' ELSE 'offboarded' END) FROM bkup.executions";

#[tokio::test]
async fn deleting_a_tenant_keeps_the_evidence_of_its_backups() {
    let (_guard, url) = database().await;
    run(&url, TENANTS).await;
    let writer = Writer::open(&url).unwrap();
    assert_eq!(writer.create("lineage", None).await.unwrap().tenants, TenantLink::SetNull);
    take(&writer, Scope::Tenant("acme".to_owned()), at("2026-03-01T02:00:00Z")).await;
    let id = "0d9f1a52-8f0f-4a4b-9b7e-0a3f8f6f2f11";
    assert_eq!(rows(&url, REFERENCE).await, [format!("{id} acme {id} here")]);

    run(&url, "DELETE FROM tnnt.tenants").await;

    assert_eq!(rows(&url, REFERENCE).await, [format!("none acme {id} offboarded")]);
    assert_eq!(facts(&writer).await.backups.len(), 1);
    take(&writer, Scope::Tenant("acme".to_owned()), at("2026-03-02T02:00:00Z")).await;
    assert_eq!(facts(&writer).await.backups.len(), 2, "a tenant that is gone from the table fails no backup");
}

#[tokio::test]
async fn cascade_is_a_choice_that_later_applies_leave_alone() {
    let (_guard, url) = database().await;
    run(&url, TENANTS).await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    assert_eq!(writer.set_tenant_link(true).await.unwrap(), TenantLink::Cascade);
    assert_eq!(writer.create("lineage", None).await.unwrap().tenants, TenantLink::Cascade);
    take(&writer, Scope::Tenant("acme".to_owned()), at("2026-03-01T02:00:00Z")).await;
    run(&url, "DELETE FROM tnnt.tenants").await;
    assert_eq!(facts(&writer).await.backups.len(), 0);
}

#[tokio::test]
async fn a_tenants_table_that_cannot_be_referred_to_does_not_stop_the_catalog() {
    let (_guard, url) = database().await;
    run(&url, "CREATE SCHEMA tnnt; CREATE TABLE tnnt.tenants (id bigint PRIMARY KEY)").await;
    let writer = Writer::open(&url).unwrap();
    let created = writer.create("lineage", None).await.unwrap();
    assert!(matches!(created.tenants, TenantLink::NotPossible(_)), "{created:?}");
    take(&writer, Scope::Tenant("acme".to_owned()), at("2026-03-01T02:00:00Z")).await;
}

#[tokio::test]
async fn a_newer_server_serves_the_same_catalog() {
    let Some((_guard, url)) = newer_database().await else {
        panic!("PostgreSQL 17 is missing below target/tools/pg17")
    };
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    take(&writer, Scope::Tenant("acme".to_owned()), at("2026-03-01T02:00:00Z")).await;
    assert_eq!(facts(&writer).await.backups.len(), 1);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let row =
        sqlx::query("SELECT current_setting('server_version_num')::int AS v").fetch_one(&mut connection).await.unwrap();
    assert!(row.get::<i32, _>("v") >= 170_000);
}
