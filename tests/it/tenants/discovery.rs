//! Which tenants a database has, asked of a real one.

use std::time::Duration;

use bkup::domain::{Tenant, TenantSelector};
use bkup::engine::sql::quote_ident;
use bkup::server;

use crate::world::cluster::{Cluster, Major};
use crate::world::setup::{Place, Policy, Setup};

const LIMIT: Duration = Duration::from_secs(10);

async fn found(cluster: &Cluster, selector: TenantSelector, limit: Duration) -> Result<Vec<Tenant>, String> {
    let options = cluster.connection("app").options();
    let reading = server::read(&options, Some(&selector), limit).await.expect("the server answers");
    match (reading.facts.tenants, reading.facts.tenants_unread) {
        (Some(tenants), None) => Ok(tenants),
        (None, Some(why)) => Err(why),
        other => panic!("either they are known or not: {other:?}"),
    }
}

async fn by_schema(cluster: &Cluster, glob: &str) -> Vec<Tenant> {
    found(cluster, TenantSelector::Schemas(glob.to_owned()), LIMIT).await.expect("tenants")
}

async fn by_query(cluster: &Cluster, query: &str) -> Result<Vec<Tenant>, String> {
    found(cluster, TenantSelector::Query(query.to_owned()), LIMIT).await
}

async fn database(major: Major) -> Cluster {
    let cluster = Cluster::start(major).await;
    cluster.exec("postgres", "CREATE DATABASE app").await;
    cluster
}

#[tokio::test]
async fn schemas_are_found_whatever_they_are_called_and_system_schemas_never() {
    let long = "l".repeat(63 - "tenant_".len());
    let slugs = [
        "\"; DROP SCHEMA public CASCADE; --",
        "%",
        "Acme",
        "acme",
        "a b",
        "it's",
        "new\nline",
        "_",
        "back\\slash",
        "한글",
        "🦀",
        long.as_str(),
    ];
    for major in Major::ALL {
        let cluster = database(major).await;
        for slug in slugs {
            cluster.exec("app", &format!("CREATE SCHEMA {}", quote_ident(&format!("tenant_{slug}")))).await;
        }
        for other in ["tenant_", "tenantx", "xtenant_a", "Tenant_a", "bkup"] {
            cluster.exec("app", &format!("CREATE SCHEMA {}", quote_ident(other))).await;
        }
        let mut wanted: Vec<&str> = slugs.to_vec();
        wanted.sort_unstable();
        let tenants = by_schema(&cluster, "tenant_*").await;
        assert_eq!(tenants.iter().map(|t| t.slug.as_str()).collect::<Vec<_>>(), wanted, "{major:?}");
        assert!(tenants.iter().all(|t| t.schema == format!("tenant_{}", t.slug) && t.id.is_none()));
        let all = by_schema(&cluster, "*").await;
        let schemas: Vec<&str> = all.iter().map(|t| t.schema.as_str()).collect();
        assert!(schemas.contains(&"public") && schemas.contains(&"Tenant_a"), "{schemas:?}");
        let own = |schema: &&str| schema.starts_with("pg_") || *schema == "information_schema" || *schema == "bkup";
        assert!(!schemas.iter().any(own), "{schemas:?}");
        assert_eq!(by_schema(&cluster, "nobody_*").await, []);
    }
}

#[tokio::test]
async fn a_query_names_its_columns_and_its_order_means_nothing() {
    let cluster = database(Major::V17).await;
    let found = by_query(
        &cluster,
        "SELECT s.schema_name, true AS paid, s.slug, s.id FROM (VALUES \
             ('22222222-2222-2222-2222-222222222222'::uuid, 'b', 'sb'), (NULL, 'a''\"\n%', 'sa')) AS s (id, slug, schema_name) \
         ORDER BY 3 DESC -- a comment at the end;",
    )
    .await
    .unwrap();
    assert_eq!(
        found,
        [
            Tenant { slug: "a'\"\n%".to_owned(), schema: "sa".to_owned(), id: None },
            Tenant {
                slug: "b".to_owned(),
                schema: "sb".to_owned(),
                id: Some("22222222-2222-2222-2222-222222222222".to_owned())
            },
        ]
    );
    let without_id = by_query(&cluster, "SELECT 'a'::text AS slug, 's'::name AS schema_name;").await.unwrap();
    assert_eq!(without_id[0].id, None);
    let number = by_query(&cluster, "SELECT 7 AS id, 'a' AS slug, 's' AS schema_name").await.unwrap();
    assert_eq!(number[0].id.as_deref(), Some("7"));
    assert_eq!(by_query(&cluster, "SELECT 'a' AS slug, 's' AS schema_name WHERE false").await, Ok(Vec::new()));
    let many = "SELECT 'slug' || n AS slug, 'schema' || n AS schema_name FROM generate_series(1, 10000) AS n";
    assert_eq!(by_query(&cluster, many).await.unwrap().len(), 10_000);
}

#[tokio::test]
async fn an_answer_that_is_of_no_use_is_told_and_is_never_half_a_list() {
    let cluster = database(Major::V17).await;
    cluster.exec("app", "CREATE TABLE public.gone (n int); INSERT INTO public.gone VALUES (1)").await;
    cluster
        .exec(
            "app",
            "CREATE FUNCTION public.sweep() RETURNS text LANGUAGE plpgsql AS \
             $$ BEGIN DELETE FROM public.gone; RETURN 'x'; END $$",
        )
        .await;
    for (query, words) in [
        ("SELECT 'a' AS name, 's' AS schema_name", "column t.slug does not exist"),
        ("SELECT 'a' AS slug", "column t.schema_name does not exist"),
        ("SELECT 'a' AS slug, NULL AS schema_name", "a row of the query has no schema_name"),
        ("SELECT '' AS slug, 's' AS schema_name", "a row of the query has no slug"),
        ("SELECT 'a' AS slug, 's' || n AS schema_name FROM generate_series(1, 2) n", "two tenants have the slug \"a\""),
        ("SELECT 'a' || n AS slug, 's' AS schema_name FROM generate_series(1, 2) n", "have the same schema \"s\""),
        ("SELECT 'a' AS slug, 'pg_catalog' AS schema_name", "is no tenant's"),
        ("SELECT 'a' AS slug, 'information_schema' AS schema_name", "is no tenant's"),
        ("SELECT slug, schema_name FROM tnnt.tenants", "relation \"tnnt.tenants\" does not exist"),
        ("SELECT", "the query fails"),
        ("", "the query fails"),
        ("DELETE FROM public.gone RETURNING 'a' AS slug, 's' AS schema_name", "the query fails"),
        (
            "WITH d AS (DELETE FROM public.gone RETURNING n) SELECT 'a' AS slug, 's' AS schema_name FROM d",
            "the query fails",
        ),
        ("SELECT public.sweep() AS slug, 's' AS schema_name", "read-only transaction"),
        ("SELECT 'a' AS slug, 's' AS schema_name) AS t; DELETE FROM public.gone; SELECT (1", "the query fails"),
        (
            "SELECT 'a' || n AS slug, 's' || n AS schema_name FROM generate_series(1, 100001) n",
            "the query gives more than 100000 rows",
        ),
    ] {
        let why = by_query(&cluster, query).await.expect_err(query);
        assert!(why.contains(words), "{query}: {why}");
    }
    assert_eq!(cluster.ask("app", "SELECT count(*)::text FROM public.gone").await.as_deref(), Some("1"));
    let slow = TenantSelector::Query("SELECT 'a' AS slug, pg_sleep(60)::text AS schema_name".to_owned());
    let began = std::time::Instant::now();
    let why = found(&cluster, slow, Duration::from_secs(2)).await.expect_err("too slow");
    assert!(why.contains("statement timeout") && began.elapsed() < Duration::from_secs(20), "{why}");
}

#[tokio::test]
async fn a_query_that_fails_stops_no_backup_but_the_tenants() {
    let setup = Setup::start(Major::V17, Place::Folder, &["a", "b"]).await;
    let _ = setup.apply().exits(0);
    let text = setup.policy_text(&Policy::default());
    let broken = text.replace("{ schemas: \"tenant_*\" }", "{ query: \"SELECT slug, schema_name FROM nowhere\" }");
    assert_ne!(text, broken);
    std::fs::write(setup.path("bkup.yaml"), broken).unwrap();
    let plan = setup.run(&["--format", "json", "plan"]).json();
    let words = plan.to_string();
    assert!(!words.contains("offboard"), "{words}");
    let held: Vec<&str> = plan["held"].as_array().unwrap().iter().filter_map(|h| h["words"].as_str()).collect();
    assert!(held.iter().any(|words| words.contains("nowhere")), "{held:?}");
    let whole = setup.run(&["backup", "nightly"]);
    assert_eq!(whole.code, 0, "{}{}", whole.stdout, whole.stderr);
    let tenants = setup.run(&["backup", "tenants"]);
    assert_ne!(tenants.code, 0, "nothing was backed up, and that is no success: {}{}", tenants.stdout, tenants.stderr);
    assert_eq!(
        setup.cluster.ask("catalog", "SELECT count(*)::text FROM bkup.tenants WHERE offboarded_at IS NOT NULL").await,
        Some("0".to_owned())
    );
}
