//! The audit chain: what was written stays, and what was changed shows.

use bkup::catalog::{AuditEvent, AuditVerdict, Writer};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::build::{at, run};
use super::scratch::database;

pub(super) fn event(subject: &str) -> AuditEvent {
    AuditEvent {
        at: at("2026-03-01T02:00:00.123456789Z"),
        actor: "owner@example.com".to_owned(),
        run: Some(run()),
        event: "backup completed".to_owned(),
        subject: subject.to_owned(),
        facts: serde_json::json!({"bytes": 18_446_744_073_709_551_615_u64, "tenant": "\"; DROP SCHEMA bkup; -- ☠"}),
    }
}

#[tokio::test]
async fn each_row_carries_the_hash_of_the_one_before() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    assert_eq!(writer.reader().verify_audit().await.unwrap(), AuditVerdict::Whole { rows: 0, base: 0, head: None });

    let first = writer.audit(&[event("a"), event("b")]).await.unwrap();
    let second = writer.audit(&[event("c")]).await.unwrap();

    assert_ne!(first, second);
    assert_eq!(writer.audit(&[]).await.unwrap(), second);
    assert_eq!(writer.reader().audit_head().await.unwrap(), second);
    assert_eq!(writer.reader().verify_audit().await.unwrap(), AuditVerdict::Whole { rows: 3, base: 0, head: second });
}

#[tokio::test]
async fn writers_at_once_append_one_chain() {
    let (_guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let writer = Writer::open(&url).unwrap();
            tokio::spawn(async move {
                for m in 0..10 {
                    writer.audit(&[event(&format!("{n}-{m}")), event("twin")]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let verdict = writer.reader().verify_audit().await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Whole { rows: 80, head: Some(_), .. }), "{verdict:?}");
}

#[tokio::test]
async fn every_kind_of_tampering_is_refused_and_where_forced_it_shows() {
    for (tampering, row) in [
        ("UPDATE bkup.audit_log SET actor = 'nobody' WHERE seq = 2", 2),
        ("UPDATE bkup.audit_log SET facts = '{}' WHERE seq = 3", 3),
        ("UPDATE bkup.audit_log SET at = at + interval '1 microsecond' WHERE seq = 1", 1),
        ("DELETE FROM bkup.audit_log WHERE seq = 2", 2),
        ("DELETE FROM bkup.audit_log WHERE seq = 4", 4),
        ("TRUNCATE bkup.audit_log", 1),
    ] {
        let (_guard, url) = database().await;
        let writer = Writer::open(&url).unwrap();
        writer.create("lineage", None).await.unwrap();
        writer.audit(&[event("a"), event("b"), event("c"), event("d")]).await.unwrap();
        let mut owner = PgConnection::connect(&url).await.unwrap();

        let refused = owner.execute(AssertSqlSafe(tampering.to_owned())).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
        assert!(matches!(writer.reader().verify_audit().await.unwrap(), AuditVerdict::Whole { rows: 4, .. }));

        owner.execute("ALTER TABLE bkup.audit_log DISABLE TRIGGER USER").await.unwrap();
        owner.execute(AssertSqlSafe(tampering.to_owned())).await.unwrap();
        let verdict = writer.reader().verify_audit().await.unwrap();
        assert!(
            matches!(verdict, AuditVerdict::Broken { row: broken, .. } if broken == row),
            "{tampering}: {verdict:?}"
        );
    }
}
