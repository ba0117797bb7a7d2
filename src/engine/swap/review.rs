//! What hangs on a schema from outside: what a swap re-points, what goes by name and needs nothing, and what it cannot
//! carry over. Reads only.
//!
//! Everything in PostgreSQL but the text of functions is bound by number, not by name. After a rename, a foreign key or
//! a view of another schema would go on with the old tables, without a word. So what is not known to be re-pointed
//! safely is a refusal.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::super::sql::{quote_ident, quote_qualified};
use super::mark::{MarkKind, MarkedKey};
use super::marked::marks;
use super::{close, session};
use crate::engine::{Connection, EngineError};

/// A foreign key of another schema's table into this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideKey {
    /// Its table's schema.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// `FOREIGN KEY (a) REFERENCES schema.table(b)`, without `NOT VALID`.
    pub definition: String,
    /// Whether all rows were checked, or were to be by a swap that ended before it had done so.
    pub validated: bool,
    /// Its comment.
    pub comment: Option<String>,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table it refers to, in the schema.
    pub target: String,
    /// The columns it refers to.
    pub target_columns: Vec<String>,
}

impl OutsideKey {
    /// Returns what a mark says of it.
    #[must_use]
    pub fn marked(&self) -> MarkedKey {
        MarkedKey { schema: self.schema.clone(), table: self.table.clone(), name: self.name.clone() }
    }
}

/// A view of another schema over this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideView {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its query.
    pub query: String,
    /// Its options: `security_barrier=true`.
    pub options: Vec<String>,
}

/// What of the schema a publication names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The publication.
    pub publication: String,
    /// The table; absent where all tables of the schema are published.
    pub table: Option<String>,
    /// The columns, where they were named.
    pub columns: Vec<String>,
    /// The row filter.
    pub filter: Option<String>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// The schema's number: a rename does not change it.
    pub oid: i64,
    /// The tables to lock.
    pub tables: Vec<String>,
    /// Those of them that hold rows themselves: not the partitioned ones, whose partitions do.
    pub filled: Vec<String>,
    /// Foreign keys to re-point.
    pub keys: Vec<OutsideKey>,
    /// Views to re-point.
    pub views: Vec<OutsideView>,
    /// Publications to re-point.
    pub publications: Vec<Published>,
    /// Functions of other schemas whose text has the schema's name: they go by it, before and after.
    pub mentions: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
    /// Why it cannot be swapped: what, and what to do.
    pub refusals: Vec<String>,
}

const FOREIGN_KEYS: &str = "
    SELECT n.nspname::text AS schema, c.relname::text AS \"table\", k.conname::text AS name,
           pg_catalog.pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated,
           c.relkind = 'p' AS partitioned, pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment,
           r.relname::text AS target,
           (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.at)
            FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(attnum, at)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS columns,
           (SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.at)
            FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY u(attnum, at)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS target_columns
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
    WHERE k.contype = 'f' AND r.relnamespace = $1::oid AND c.relnamespace <> $1::oid AND k.conparentid = 0
    ORDER BY 1, 2, 3";

/// All that is inside the schema, and what outside of it was recorded to depend on that. Inside is what depends on the
/// schema itself, and what belongs to such things: row types, indexes, defaults, triggers.
const DEPENDENTS: &str = "
    WITH RECURSIVE inside(classid, objid) AS (
        SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
        WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = $1::oid AND d.deptype = 'n'
        UNION
        SELECT d.classid, d.objid FROM pg_catalog.pg_depend d
        JOIN inside i ON d.refclassid = i.classid AND d.refobjid = i.objid
        WHERE d.deptype IN ('a', 'i', 'P', 'S') AND d.classid <> 'pg_catalog.pg_publication_rel'::regclass),
    outside AS (
        SELECT DISTINCT d.classid, d.objid, d.objsubid FROM pg_catalog.pg_depend d
        JOIN inside i ON d.refclassid = i.classid AND d.refobjid = i.objid
        WHERE d.deptype IN ('n', 'x')
          AND NOT EXISTS (SELECT FROM inside o WHERE o.classid = d.classid AND o.objid = d.objid)),
    astray AS (
        SELECT i.classid, i.objid, 0 AS objsubid FROM inside i
        JOIN pg_catalog.pg_class c ON i.classid = 'pg_catalog.pg_class'::regclass AND c.oid = i.objid
        WHERE c.relnamespace NOT IN ($1::oid, 'pg_toast'::regnamespace)
        UNION ALL
        SELECT i.classid, i.objid, 0 FROM inside i
        JOIN pg_catalog.pg_statistic_ext s ON i.classid = 'pg_catalog.pg_statistic_ext'::regclass AND s.oid = i.objid
        WHERE s.stxnamespace <> $1::oid)
    SELECT 'outside' AS place, o.classid::regclass::text AS class,
           pg_catalog.pg_describe_object(o.classid, o.objid, o.objsubid) AS words,
           n.nspname::text AS schema, c.relname::text AS name, c.reloptions AS options,
           CASE WHEN c.relkind = 'v' AND r.rulename = '_RETURN' THEN pg_catalog.pg_get_viewdef(c.oid) END AS query,
           c.relkind = 'm' AS materialized
    FROM outside o
    LEFT JOIN pg_catalog.pg_rewrite r ON o.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = o.objid
    LEFT JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT (o.classid = 'pg_catalog.pg_constraint'::regclass
               AND EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.oid = o.objid AND k.contype = 'f'))
      -- For its columns and its row filter; what is published is read and re-pointed apart.
      AND o.classid <> 'pg_catalog.pg_publication_rel'::regclass
    UNION ALL
    SELECT 'astray', a.classid::regclass::text, pg_catalog.pg_describe_object(a.classid, a.objid, 0),
           NULL, NULL, NULL, NULL, NULL
    FROM astray a
    ORDER BY 1, 2, 3";

const INHERITS: &str = "
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) || CASE WHEN c.relispartition THEN ' is a partition of '
               ELSE ' inherits from ' END || pg_catalog.format('%I.%I', pn.nspname, p.relname)
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
    WHERE c.relnamespace = $1::oid AND p.relnamespace <> $1::oid AND c.relkind IN ('r', 'p', 'f') ORDER BY 1";

const PUBLISHED: &str = "
    SELECT p.pubname::text AS publication, c.relname::text AS \"table\",
           (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = m.prrelid AND a.attnum = ANY (m.prattrs)) AS columns,
           pg_catalog.pg_get_expr(m.prqual, m.prrelid) AS filter
    FROM pg_catalog.pg_publication_rel m JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid
    JOIN pg_catalog.pg_class c ON c.oid = m.prrelid WHERE c.relnamespace = $1::oid
    UNION ALL
    SELECT p.pubname::text, NULL, NULL, NULL FROM pg_catalog.pg_publication_namespace m
    JOIN pg_catalog.pg_publication p ON p.oid = m.pnpubid WHERE m.pnnspid = $1::oid
    ORDER BY 1, 2";

/// Up to 14 there are neither columns nor filters, nor publications of schemas.
const PUBLISHED_14: &str = "
    SELECT p.pubname::text AS publication, c.relname::text AS \"table\", NULL::text[] AS columns, NULL::text AS filter
    FROM pg_catalog.pg_publication_rel m JOIN pg_catalog.pg_publication p ON p.oid = m.prpubid
    JOIN pg_catalog.pg_class c ON c.oid = m.prrelid WHERE c.relnamespace = $1::oid ORDER BY 1, 2";

const MENTIONS: &str = "
    SELECT pg_catalog.format('%s %I.%I', CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, n.nspname, p.proname)
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE p.pronamespace <> $1::oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND pg_catalog.strpos(p.prosrc, $2) > 0 ORDER BY 1";

/// Reviews a schema; `None` where it does not exist.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn review(connection: &Connection, schema: &str) -> Result<Option<Review>, EngineError> {
    let mut session = session(connection).await?;
    let found = read(&mut session, schema).await;
    let found = found.map_err(|e| EngineError::server(format!("reviewing {}", quote_ident(schema)), &e))?;
    close(session).await;
    Ok(found)
}

/// Reviews within a session, or a transaction, whose search path is empty.
pub(super) async fn read(session: &mut PgConnection, schema: &str) -> Result<Option<Review>, sqlx::Error> {
    let oid = "SELECT oid::int8 FROM pg_catalog.pg_namespace WHERE nspname::text = $1";
    let Some(oid) = sqlx::query_scalar::<_, i64>(oid).bind(schema).fetch_optional(&mut *session).await? else {
        return Ok(None);
    };
    let mut review = Review { oid, ..Review::default() };
    let tables = "SELECT relname::text, relkind = 'r' FROM pg_catalog.pg_class
                  WHERE relnamespace = $1::oid AND relkind IN ('r', 'p') ORDER BY 1";
    for (table, filled) in sqlx::query_as::<_, (String, bool)>(tables).bind(oid).fetch_all(&mut *session).await? {
        review.filled.extend(filled.then(|| table.clone()));
        review.tables.push(table);
    }
    for row in sqlx::query(FOREIGN_KEYS).bind(oid).fetch_all(&mut *session).await? {
        let key = key(&row)?;
        if row.try_get::<bool, _>("partitioned")? {
            review.refusals.push(format!(
                "foreign key {} of {}, a partitioned table, cannot be re-pointed without a long lock: drop it, and add \
                 it again afterwards",
                quote_ident(&key.name),
                quote_qualified(&key.schema, &key.table)
            ));
        }
        review.keys.push(key);
    }
    if review.keys.iter().any(|key| !key.validated) {
        let unfinished = marks(session).await?.into_iter().map(|found| found.mark);
        let unfinished = unfinished.filter(|mark| mark.kind == MarkKind::Aside && mark.name == schema);
        let unfinished: Vec<MarkedKey> = unfinished.flat_map(|mark| mark.keys).collect();
        review.keys.iter_mut().for_each(|key| key.validated |= unfinished.contains(&key.marked()));
    }
    dependents(session, &mut review).await?;
    for words in sqlx::query_scalar::<_, String>(INHERITS).bind(oid).fetch_all(&mut *session).await? {
        review.refusals.push(format!("{words}: detach it, and attach it again afterwards"));
    }
    let extensions = "SELECT extname::text FROM pg_catalog.pg_extension WHERE extnamespace = $1::oid ORDER BY 1";
    for name in sqlx::query_scalar::<_, String>(extensions).bind(oid).fetch_all(&mut *session).await? {
        let name = quote_ident(&name);
        review
            .refusals
            .push(format!("extension {name} is installed in it: ALTER EXTENSION {name} SET SCHEMA another one"));
    }
    publications(session, &mut review).await?;
    review.mentions = sqlx::query_scalar(MENTIONS).bind(oid).bind(schema).fetch_all(&mut *session).await?;
    Ok(Some(review))
}

fn key(row: &PgRow) -> Result<OutsideKey, sqlx::Error> {
    let definition: String = row.try_get("definition")?;
    Ok(OutsideKey {
        schema: row.try_get("schema")?,
        table: row.try_get("table")?,
        name: row.try_get("name")?,
        definition: definition.strip_suffix(" NOT VALID").unwrap_or(&definition).to_owned(),
        validated: row.try_get("validated")?,
        comment: row.try_get("comment")?,
        columns: row.try_get::<Option<_>, _>("columns")?.unwrap_or_default(),
        target: row.try_get("target")?,
        target_columns: row.try_get::<Option<_>, _>("target_columns")?.unwrap_or_default(),
    })
}

async fn dependents(session: &mut PgConnection, review: &mut Review) -> Result<(), sqlx::Error> {
    let mut refused = BTreeSet::new();
    for row in sqlx::query(DEPENDENTS).bind(review.oid).fetch_all(&mut *session).await? {
        let words: String = row.try_get::<Option<_>, _>("words")?.unwrap_or_default();
        if row.try_get::<&str, _>("place")? == "astray" {
            refused
                .insert(format!("{words} belongs to a table in it and lies in another schema: move or drop it first"));
            continue;
        }
        let class: String = row.try_get("class")?;
        if let Some(query) = row.try_get::<Option<String>, _>("query")? {
            let view = OutsideView {
                schema: row.try_get("schema")?,
                name: row.try_get("name")?,
                query,
                options: row.try_get::<Option<_>, _>("options")?.unwrap_or_default(),
            };
            if !review.views.contains(&view) {
                review.views.push(view);
            }
            continue;
        }
        let how = match class.trim_start_matches("pg_catalog.") {
            "pg_rewrite" if row.try_get::<Option<bool>, _>("materialized")? == Some(true) => {
                "drop the materialized view, and create it again afterwards"
            }
            "pg_policy" => "drop the policy, and create it again afterwards",
            "pg_trigger" => "drop the trigger, and create it again afterwards",
            "pg_attrdef" => "ALTER COLUMN ... DROP DEFAULT, and set it again afterwards",
            "pg_class" => "it would go on with what was put aside: move what it uses out of the schema",
            _ => "drop it, and create it again afterwards",
        };
        refused.insert(format!("{words}: {how}"));
    }
    review.views.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    review.refusals.extend(refused);
    Ok(())
}

async fn publications(session: &mut PgConnection, review: &mut Review) -> Result<(), sqlx::Error> {
    let version = "SELECT pg_catalog.current_setting('server_version_num')::int4";
    let version: i32 = sqlx::query_scalar(version).fetch_one(&mut *session).await?;
    let query = if version < 150_000 { PUBLISHED_14 } else { PUBLISHED };
    for row in sqlx::query(query).bind(review.oid).fetch_all(&mut *session).await? {
        review.publications.push(Published {
            publication: row.try_get("publication")?,
            table: row.try_get("table")?,
            columns: row.try_get::<Option<_>, _>("columns")?.unwrap_or_default(),
            filter: row.try_get("filter")?,
        });
    }
    let all = "SELECT pubname::text FROM pg_catalog.pg_publication WHERE puballtables ORDER BY 1";
    let all: Vec<String> = sqlx::query_scalar(all).fetch_all(&mut *session).await?;
    let slots = "SELECT count(*) FROM pg_catalog.pg_replication_slots
                 WHERE slot_type = 'logical' AND database = pg_catalog.current_database()";
    let slots: i64 = sqlx::query_scalar(slots).fetch_one(&mut *session).await?;
    if let Some(name) = all.first().filter(|_| slots > 0) {
        review.refusals.push(format!(
            "publication {} publishes all tables, and there are subscribers: they would be sent rows of a schema they \
             lack; publish schemas by name instead",
            quote_ident(name)
        ));
    }
    if !review.publications.is_empty() {
        review.notes.push(
            "subscribers of its publications keep the rows they have: refresh and copy anew what is published"
                .to_owned(),
        );
    }
    Ok(())
}
