//! Suite: the engine on real servers of both versions.

use std::time::Duration;

use bkup::engine::{
    ArchiveBytes, Connection, DumpRequest, DumpScope, DumpSummary, EngineError, RestoreOptions, RestoreReport,
    RestoreRequest, RowKey, compare, dump, restore, restore_shared,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::world::cluster::{Cluster, Major};

pub fn key() -> RowKey {
    RowKey::new(b"a key of the test")
}

pub fn request(cluster: &Cluster, database: &str, scope: DumpScope) -> DumpRequest {
    DumpRequest {
        programs: cluster.programs.clone(),
        connection: cluster.connection(database),
        scope,
        snapshot: None,
        lock_wait: Duration::from_secs(5),
        row_key: key(),
        encoding: "UTF8".to_owned(),
    }
}

pub async fn dumped(request: &DumpRequest) -> Result<(Vec<Bytes>, DumpSummary), EngineError> {
    let mut dump = dump(request)?;
    let mut bytes = Vec::new();
    while let Some(piece) = dump.chunks.recv().await {
        bytes.push(piece);
    }
    Ok((bytes, dump.finish().await?))
}

pub fn stream_of(bytes: &[Bytes]) -> ArchiveBytes {
    let bytes = bytes.to_vec();
    stream::iter(bytes.into_iter().map(Ok)).boxed()
}

pub fn into(cluster: &Cluster, target: Connection, bytes: &[Bytes]) -> RestoreRequest {
    RestoreRequest {
        programs: cluster.programs.clone(),
        target,
        archive: stream_of(bytes),
        options: RestoreOptions::default(),
    }
}

async fn restored(cluster: &Cluster, database: &str, bytes: &[Bytes]) -> RestoreReport {
    cluster.exec("postgres", &format!("CREATE DATABASE \"{database}\" TEMPLATE template0")).await;
    restore(into(cluster, cluster.connection(database), bytes)).await.expect("restores")
}

/// All common types, quoted names, partitions, inheritance, generated and identity columns, and odd tables.
const RICH: &str = r#"
    CREATE SCHEMA "We""ird Schema";
    CREATE EXTENSION IF NOT EXISTS plpgsql;
    CREATE TYPE mood AS ENUM ('sad', 'o''k', 'häppy');
    CREATE DOMAIN percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
    CREATE TYPE pair AS (a int, b text);
    CREATE TABLE "We""ird Schema"."T a.b" (
        "Id" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "select" text, "ü,(" mood, p percent,
        doubled numeric GENERATED ALWAYS AS (p * 2) STORED);
    INSERT INTO "We""ird Schema"."T a.b" ("select", "ü,(", p)
        SELECT CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'\\.' WHEN 3 THEN E'a\nb\tc\\d\r' ELSE '日本語 🐘' END,
               (enum_range(NULL::mood))[i % 3 + 1], i % 101 FROM generate_series(1, 300) i;
    CREATE TABLE types (
        b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, m money, c char(5), v varchar(9), t text,
        by bytea, d date, ti time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, j json, jb jsonb,
        x xml, inet inet, cidr cidr, mac macaddr, bi bit(4), vb varbit, po point, ia int[], ta text[][], r int4range,
        tsr tstzrange, mr int4multirange, tv tsvector, tq tsquery, pr pair, oid oid, rc regclass, mo mood);
    INSERT INTO types VALUES
        (true, -1, 2, 9223372036854775807, 0.1, 1e-300, 123456789012345678901234567890.123456789, 1234.56, 'ab', 'v', 't',
         '\x00ff5c0a', '2028-02-29', '12:34:56.789', '12:00+05:30', '2026-01-01 00:00', '2026-03-29 01:30+01',
         '1 year 2 mons -3 days 04:05:06', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a" :  1}', '{"a": [1, null]}',
         '<a b="c">ü</a>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', B'1010', B'101', '(1.5,-2)', '{1,NULL,3}',
         '{{a,"b c"},{"\"",NULL}}', '[1,5)', '[2026-01-01,)', '{[1,2),[5,9)}', 'a:1 b', 'a & !b', ROW(1, E'x,"y'),
         42, '"We""ird Schema"."T a.b"', 'o''k'),
        ('f', NULL, NULL, NULL, 'NaN', '-Infinity', 'NaN', '-0.01', '', '', '', '', 'infinity', '24:00', '00:00-12',
         '-infinity', 'infinity', '-1 day', NULL, 'null', 'null', NULL, '::1', '::/0', NULL, NULL, NULL, NULL, '{}', '{}',
         'empty', NULL, '{}', NULL, NULL, NULL, 0, 'pg_class', NULL);
    CREATE TABLE measurements (at timestamptz NOT NULL, value float8) PARTITION BY RANGE (at);
    CREATE TABLE measurements_a PARTITION OF measurements FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE measurements_b PARTITION OF measurements FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO measurements SELECT '2026-01-01'::timestamptz + i * interval '1 hour', random() FROM generate_series(0, 1000) i;
    CREATE TABLE parent (a int, b text);
    CREATE TABLE child (c int) INHERITS (parent);
    INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 3);
    ALTER TABLE parent ADD COLUMN d int DEFAULT 7;
    CREATE TABLE dropped (a int, gone text, z int); ALTER TABLE dropped DROP COLUMN gone; INSERT INTO dropped VALUES (1, 2);
    CREATE TABLE empty_one (a int);
    CREATE TABLE no_columns (); INSERT INTO no_columns SELECT FROM generate_series(1, 3);
    CREATE SEQUENCE lonely START 5; SELECT nextval('lonely'); CREATE SEQUENCE fresh INCREMENT -3;
    CREATE VIEW seen AS SELECT * FROM parent; CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM types;
    CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
    CREATE INDEX ON parent (twice(a));
    CREATE ROLE "re""ader"; CREATE ROLE boss; CREATE ROLE "pol icy";
    GRANT SELECT ON parent TO "re""ader"; ALTER TABLE child OWNER TO boss;
    ALTER TABLE parent ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON parent TO "pol icy" USING (b <> ' TO evil');
    SELECT lo_from_bytea(0, 'large');
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rich_database_comes_back_equal_and_a_changed_row_is_seen() {
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.exec("postgres", "CREATE DATABASE \"we'ird db = x\"").await;
        cluster.exec("we'ird db = x", RICH).await;
        // Settings of the database that would change how rows are written, on one side only.
        cluster
            .exec("postgres", "ALTER DATABASE \"we'ird db = x\" SET timezone = 'Asia/Seoul'; ALTER DATABASE \"we'ird db = x\" SET bytea_output = 'escape'; ALTER DATABASE \"we'ird db = x\" SET datestyle = 'German'; ALTER DATABASE \"we'ird db = x\" SET intervalstyle = 'iso_8601'; ALTER DATABASE \"we'ird db = x\" SET extra_float_digits = 0")
            .await;
        let (bytes, summary) = dumped(&request(&cluster, "we'ird db = x", DumpScope::Database)).await.expect("dumps");
        let report = restored(&cluster, "copy", &bytes).await;
        assert_eq!(report.entries, summary.entries);
        assert_eq!(report.bytes, summary.bytes);

        let copy = cluster.connection("copy");
        let found = compare(&copy, &summary.tables, &summary.sequences, &key()).await.expect("compares");
        assert!(found.is_equal(), "{major:?}: {found:?}");
        let source = cluster.connection("we'ird db = x");
        let found = compare(&source, &summary.tables, &summary.sequences, &key()).await.expect("compares");
        assert!(found.is_equal(), "{major:?}: {found:?}");
        assert_eq!(found.rows, 300 + 2 + 1001 + 2 + 1 + 3);

        let of = |name: &str| summary.tables.iter().find(|t| t.table == name).expect(name);
        assert_eq!(of("T a.b").columns, ["Id", "select", "ü,(", "p"]);
        assert_eq!((of("no_columns").rows, of("no_columns").bytes, of("empty_one").rows), (3, 3, 0));
        let sequences: Vec<_> =
            summary.sequences.iter().map(|s| (s.sequence.as_str(), s.last_value, s.is_called)).collect();
        assert_eq!(sequences, [("T a.b_Id_seq", 300, true), ("fresh", -1, false), ("lonely", 5, true)]);
        assert_eq!(summary.schemas, ["We\"ird Schema", "public"]);
        assert_eq!(summary.roles, ["boss", "pol icy", "postgres", "re\"ader"]);
        assert_eq!(summary.large_objects, 1);
        assert_eq!(summary.notes, ["1 large objects are inside, not digested"]);

        cluster.exec("copy", "UPDATE types SET f8 = f8 * 1.0000000000000002 WHERE b; DELETE FROM no_columns; DROP TABLE dropped; SELECT nextval('lonely'); DROP SEQUENCE fresh; INSERT INTO empty_one VALUES (NULL)").await;
        cluster
            .exec(
                "copy",
                "ALTER TABLE parent DROP COLUMN d CASCADE; UPDATE measurements SET value = 1 WHERE at = '2026-01-01'",
            )
            .await;
        let found = compare(&copy, &summary.tables, &summary.sequences, &key()).await.expect("compares");
        let mut differing: Vec<&str> = found.differences.iter().map(|d| d.table.as_str()).collect();
        differing.sort_unstable();
        assert_eq!(
            differing,
            [
                r#""public"."child""#,
                r#""public"."dropped""#,
                r#""public"."empty_one""#,
                r#""public"."measurements_a""#,
                r#""public"."no_columns""#,
                r#""public"."parent""#,
                r#""public"."types""#
            ]
        );
        let of = |name: &str| found.differences.iter().find(|d| d.table.contains(name)).expect(name);
        assert_eq!(of("dropped").restored_rows, None);
        assert_eq!(of("no_columns").restored_rows, Some(0));
        assert_eq!(found.sequences.len(), 2);
        let other = compare(&source, &summary.tables, &[], &RowKey::none()).await.expect("compares");
        assert!(other.differences.len() >= 7, "another key gives other digests");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_tenant_name_dumps_exactly_its_schema() {
    let long = "ü".repeat(28);
    let slugs = [
        "enterprise-acme",
        "\"; DROP SCHEMA public; --",
        "we%ird*",
        "we%irdest",
        "a?",
        "ab",
        "$user",
        "UPPER",
        "upper",
        "two\nlines",
        "o'b\\ack|x",
        "dot.ted",
        long.as_str(),
    ];
    for major in Major::ALL {
        let cluster = Cluster::start(major).await;
        cluster.application("app", &slugs).await;
        cluster.exec("app", "CREATE VIEW public.all_orders AS SELECT count(*) FROM \"tenant_enterprise-acme\".orders; COMMENT ON VIEW public.all_orders IS 'x'").await;
        let schemas: Vec<String> = slugs.iter().map(|slug| format!("tenant_{slug}")).collect();

        let all_but = DumpScope::AllBut(schemas.clone());
        let (shared, shared_summary) = dumped(&request(&cluster, "app", all_but)).await.expect("shared dumps");
        assert_eq!(shared_summary.schemas, ["public"]);
        cluster.exec("postgres", "CREATE DATABASE back TEMPLATE template0").await;
        let back = cluster.connection("back");
        let report = restore_shared(into(&cluster, back.clone(), &shared)).await.expect("shared restores");
        let deferred: Vec<_> = report.deferred.iter().map(|d| (d.kind.as_str(), d.name.as_str())).collect();
        assert_eq!(deferred, [("VIEW", "all_orders"), ("COMMENT", "VIEW all_orders")]);

        for schema in &schemas {
            let scope = DumpScope::Schema(schema.clone());
            let (bytes, summary) = dumped(&request(&cluster, "app", scope)).await.expect(schema);
            assert_eq!(summary.schemas, std::slice::from_ref(schema));
            let tables: Vec<_> = summary.tables.iter().map(|t| (t.schema.as_str(), t.table.as_str(), t.rows)).collect();
            assert_eq!(tables, [(schema.as_str(), "customers", 50), (schema, "orders", 200)]);
            restore(into(&cluster, back.clone(), &bytes)).await.expect(schema);
            let found = compare(&back, &summary.tables, &summary.sequences, &key()).await.expect("compares");
            assert!(found.is_equal(), "{schema}: {found:?}");
            // A second time, over the first: refused, nothing is merged.
            let again = restore(into(&cluster, back.clone(), &bytes)).await.expect_err("the schema is there");
            assert!(again.to_string().contains("already exists"), "{again}");
        }
        assert_eq!(cluster.ask("app", "SELECT count(*) FROM public.tenants").await.as_deref(), Some("13"));
        let gone = request(&cluster, "app", DumpScope::Schema("tenant_*".to_owned()));
        let error = dumped(&gone).await.expect_err("no schema has that name");
        assert!(error.to_string().contains("no matching schemas"), "{error}");
    }
}
