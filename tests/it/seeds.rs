//! The SQL of the document that the catalog's first three tables come from runs unchanged.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::catalog::scratch::database;
use bkup::catalog::Writer;

const INSERT_SCHEDULE: &str = include_str!("../fixtures/seeds/insert-schedule.sql");
const INSERT_EXECUTION: &str = include_str!("../fixtures/seeds/insert-execution.sql");
const INSERT_PLAN: &str = include_str!("../fixtures/seeds/insert-recovery-plan.sql");
const RECENT: &str = include_str!("../fixtures/seeds/query-recent-status.sql");
const ACTIVE: &str = include_str!("../fixtures/seeds/query-active-schedules.sql");
const SUCCESS: &str = include_str!("../fixtures/seeds/query-success-rate.sql");
const PENDING: &str = include_str!("../fixtures/seeds/query-pending-approvals.sql");
const NEEDING: &str = include_str!("../fixtures/seeds/query-plans-needing-testing.sql");

#[tokio::test]
async fn the_source_documents_inserts_and_queries_run_unchanged() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("seeded", None).await.unwrap();
    let mut psql = PgConnection::connect(&url).await.unwrap();
    for insert in [INSERT_SCHEDULE, INSERT_EXECUTION, INSERT_PLAN] {
        assert_eq!(sqlx::raw_sql(insert).execute(&mut psql).await.unwrap().rows_affected(), 1, "{insert}");
    }

    let recent = sqlx::query(RECENT).fetch_all(&mut psql).await.unwrap();
    assert_eq!(recent.len(), 1);
    assert_eq!(recent[0].get::<String, _>("backup_name"), "Daily Full System Backup - 2024-10-26");
    assert_eq!(recent[0].get::<String, _>("status"), "COMPLETED");

    let active = sqlx::query(ACTIVE).fetch_all(&mut psql).await.unwrap();
    assert_eq!(active.len(), 1);
    assert_eq!(active[0].get::<String, _>("frequency"), "DAILY");

    let success = "SELECT row_to_json(q)::text FROM (".to_owned() + SUCCESS.trim_end().trim_end_matches(';') + ") q";
    let success: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(success)).fetch_all(&mut psql).await.unwrap();
    assert_eq!(success, [r#"{"backup_type":"FULL_SYSTEM","total":1,"successful":1,"success_rate":100.00}"#]);

    assert!(sqlx::query(PENDING).fetch_all(&mut psql).await.unwrap().is_empty(), "the plan is approved");

    let needing = sqlx::query(NEEDING).fetch_all(&mut psql).await.unwrap();
    assert_eq!(needing.len(), 1, "it was never tested");
    assert_eq!(needing[0].get::<i32, _>("test_frequency_days"), 90);

    for (view, rows) in [("plans_needing_test", 1), ("pending_approvals", 0), ("success_rate", 1), ("backup_status", 0)]
    {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM bkup.{view}"));
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut psql).await.unwrap(), rows, "{view}");
    }
}

#[tokio::test]
async fn rows_put_in_by_hand_are_listed_and_never_taken_for_bkups_own() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("seeded", None).await.unwrap();
    let mut psql = PgConnection::connect(&url).await.unwrap();
    for insert in [INSERT_SCHEDULE, INSERT_EXECUTION, INSERT_EXECUTION, INSERT_PLAN] {
        sqlx::raw_sql(insert).execute(&mut psql).await.unwrap();
    }

    let bkup::domain::CatalogState::Present(facts) = writer.reader().state().await.unwrap() else {
        panic!("the catalog is there")
    };

    assert!(facts.backups.is_empty() && facts.applied.is_empty() && facts.garbage.is_empty());
    let listed = writer.reader().executions(&bkup::catalog::ExecutionFilter::default()).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|row| row.backup.is_none() && row.size == Some(bkup::domain::Bytes(5_368_709_120))));
}
