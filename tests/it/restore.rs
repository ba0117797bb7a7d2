//! Suite: bringing databases and tenants back, with the binary, on real servers.

use crate::world::cluster::Major;
use crate::world::setup::World;

/// What stands in the application's database, as one text: every row of every table in a schema, and its sequences.
async fn content(world: &World, database: &str, schema: &str) -> Option<String> {
    let q = bkup::engine::sql::quote_ident(schema);
    let rows = |table: &str| {
        format!("(SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM {q}.{table} t)")
    };
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
        let ran = world.run(&args).exits(0);
        assert_eq!(content(&world, "app", "tenant_a").await, before);
        let facts = "SELECT (SELECT count(*) FROM pg_constraint WHERE conrelid = 'tenant_a.orders'::regclass AND \
                     contype = 'f' AND confrelid = 'public.currencies'::regclass) || ' ' || \
                     (SELECT tableowner FROM pg_tables WHERE schemaname = 'tenant_a' AND tablename = 'orders') || ' ' || \
                     has_table_privilege('reader', 'tenant_a.customers', 'SELECT') || ' ' || \
                     has_table_privilege('reader', 'tenant_a.orders', 'SELECT')";
        assert_eq!(world.cluster.ask("app", facts).await.as_deref(), Some("1 app_owner true false"));
        // Once it is there again, nothing touches it.
        world.cluster.exec("app", "DELETE FROM tenant_a.orders WHERE id = 7").await;
        let changed = content(&world, "app", "tenant_a").await;
        let ran = world.run(&args).exits(6).says("BK863").says("schema \"tenant_a\" exists already");
        assert!(!ran.stderr.contains("scratch"), "said before anything is fetched: {}", ran.stderr);
        assert_eq!(content(&world, "app", "tenant_a").await, changed);
    }
}
