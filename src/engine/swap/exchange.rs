//! The swap: one short transaction. Locks first, all of them, and the whole of it within a second, or nothing.
//!
//! A rename alone would not stop a writer that has the old tables open already: its rows would go to what is put aside,
//! after the moment it was believed to be still. So every table of the schema is locked first. Names are looked up
//! again after a wait for a lock, so a writer that waited goes on with the tables that have the name then.

use std::time::{Duration, Instant as Clock};

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::super::failure::words_of;
use super::super::sql::{quote_ident, quote_literal, quote_qualified};
use super::commit::{Committed, commit};
use super::mark::Mark;
use super::review::{Published, Review, read};
use super::{close, is_busy, run, session};
use crate::engine::{Connection, EngineError};

/// How long locks are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// At one attempt: others wait behind it for as long.
    pub lock: Duration,
    /// From the first lock to the commit.
    pub locked: Duration,
    /// In all, with the pauses between the attempts.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { lock: Duration::from_millis(400), locked: Duration::from_millis(900), total: Duration::from_secs(60) }
    }
}

/// A swap to make.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    /// The database.
    pub live: &'a Connection,
    /// The name in use.
    pub schema: &'a str,
    /// What was found to hang on it; anything else ends the swap.
    pub review: &'a Review,
    /// The name of what comes in.
    pub incoming: &'a str,
    /// The comment that it gets.
    pub comment: Option<&'a str>,
    /// The name that the one in use gets.
    pub aside: &'a str,
    /// The mark of what is put aside.
    pub mark: &'a Mark,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// They have changed places.
    Done {
        /// From the first wait for a lock to the commit.
        locked: Duration,
        /// How many attempts it took.
        attempts: u32,
    },
    /// The locks were not to be had; nothing was changed.
    Busy {
        /// How many attempts were made.
        attempts: u32,
        /// Who held them: `pid 17 (app, psql), in a transaction since 3 min`.
        holders: Vec<String>,
    },
    /// What hangs on the schema is not what was reviewed; nothing was changed.
    Changed,
}

enum Attempt {
    Done(Duration),
    Busy,
    Changed,
}

/// Swaps, with as many attempts as the patience allows. `stop` is asked between them.
///
/// # Errors
/// [`EngineError::Server`]: nothing was changed.
pub async fn exchange(
    swap: &Exchange<'_>,
    patience: &Patience,
    stop: impl Fn() -> bool,
) -> Result<Exchanged, EngineError> {
    let begun = Clock::now();
    let mut pause = Duration::from_millis(100);
    for attempts in 1.. {
        match attempt(swap, patience).await? {
            Attempt::Done(locked) => return Ok(Exchanged::Done { locked, attempts }),
            Attempt::Changed => return Ok(Exchanged::Changed),
            Attempt::Busy if stop() || begun.elapsed() >= patience.total => {
                return Ok(Exchanged::Busy { attempts, holders: holders(swap).await? });
            }
            Attempt::Busy => {
                // Others get their turn between two attempts, longer each time.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
    }
    Ok(Exchanged::Changed)
}

async fn attempt(swap: &Exchange<'_>, patience: &Patience) -> Result<Attempt, EngineError> {
    let what = format!("swapping schema {}", quote_ident(swap.schema));
    let mut session = session(swap.live).await?;
    run(&mut session, &what, "BEGIN".to_owned()).await?;
    let begun = Clock::now();
    match transact(&mut session, swap, patience, begun).await {
        Ok(None) => {}
        Ok(Some(attempt)) => {
            run(&mut session, &what, "ROLLBACK".to_owned()).await?;
            close(session).await;
            return Ok(attempt);
        }
        Err(error) if is_busy(&error) => {
            run(&mut session, &what, "ROLLBACK".to_owned()).await?;
            close(session).await;
            return Ok(Attempt::Busy);
        }
        // The session is dropped, and the transaction with it.
        Err(error) => return Err(EngineError::Server { what, reason: words_of(&error) }),
    }
    let then = format!("the swap was made where there is a schema {}", quote_ident(swap.aside));
    match commit(session, swap.live, (&what, &then), patience.total).await? {
        Committed::Yes => Ok(Attempt::Done(begun.elapsed())),
        Committed::No(error) if is_busy(&error) => Ok(Attempt::Busy),
        Committed::No(error) => Err(EngineError::Server { what, reason: words_of(&error) }),
    }
}

/// Does all but the commit; an attempt that is returned is over.
async fn transact(
    session: &mut PgConnection,
    swap: &Exchange<'_>,
    patience: &Patience,
    begun: Clock,
) -> Result<Option<Attempt>, sqlx::Error> {
    // Each table's lock may take as long as `lock`; the statement's own limit bounds them together.
    let limit = patience.lock.as_millis();
    let limits = format!("SET LOCAL lock_timeout = {limit}; SET LOCAL statement_timeout = {limit}");
    session.execute(sqlx::AssertSqlSafe(limits)).await?;
    let own = swap.review.tables.iter().map(|table| quote_qualified(swap.schema, table));
    let others = swap.review.keys.iter().map(|key| quote_qualified(&key.schema, &key.table));
    let mut tables: Vec<String> = own.chain(others).map(|table| format!("ONLY {table}")).collect();
    tables.dedup();
    if !tables.is_empty() {
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "));
        match session.execute(sqlx::AssertSqlSafe(lock)).await {
            Ok(_) => {}
            Err(error) if is_gone(&error) => return Ok(Some(Attempt::Changed)),
            Err(error) => return Err(error),
        }
    }
    let left = patience.locked.saturating_sub(begun.elapsed()).as_millis().max(1);
    session.execute(sqlx::AssertSqlSafe(format!("SET LOCAL statement_timeout = {left}"))).await?;
    // Now nobody can hang anything else on them.
    if read(session, swap.schema).await?.as_ref() != Some(swap.review) {
        return Ok(Some(Attempt::Changed));
    }
    let incoming = tables_of(session, swap.incoming).await?;
    session.execute(sqlx::AssertSqlSafe(statements(swap, &incoming))).await?;
    // A transaction that took too long is not worth its locks: another attempt meets a quieter moment.
    Ok((begun.elapsed() > patience.locked).then_some(Attempt::Busy))
}

/// Returns the statements of a swap. Pure.
#[must_use]
pub fn statements(swap: &Exchange<'_>, incoming: &[String]) -> String {
    let (schema, aside) = (quote_ident(swap.schema), quote_ident(swap.aside));
    let comment = swap.comment.map_or_else(|| "NULL".to_owned(), quote_literal);
    let mut all = Vec::new();
    for key in &swap.review.keys {
        let table = quote_qualified(&key.schema, &key.table);
        all.push(format!("ALTER TABLE {table} DROP CONSTRAINT {}", quote_ident(&key.name)));
    }
    all.push(format!("ALTER SCHEMA {schema} RENAME TO {aside}"));
    all.push(format!("COMMENT ON SCHEMA {aside} IS {}", quote_literal(&swap.mark.text())));
    all.push(format!("ALTER SCHEMA {} RENAME TO {schema}", quote_ident(swap.incoming)));
    all.push(format!("COMMENT ON SCHEMA {schema} IS {comment}"));
    for key in &swap.review.keys {
        let (table, name) = (quote_qualified(&key.schema, &key.table), quote_ident(&key.name));
        all.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {} NOT VALID", key.definition));
        if let Some(comment) = &key.comment {
            all.push(format!("COMMENT ON CONSTRAINT {name} ON {table} IS {}", quote_literal(comment)));
        }
    }
    for view in &swap.review.views {
        let options =
            if view.options.is_empty() { String::new() } else { format!(" WITH ({})", options(&view.options)) };
        let query = view.query.trim_end().trim_end_matches(';');
        all.push(format!("CREATE OR REPLACE VIEW {}{options} AS {query}", quote_qualified(&view.schema, &view.name)));
    }
    all.extend(swap.review.publications.iter().flat_map(|published| publish(published, swap, incoming)));
    all.join(";\n")
}

/// `security_barrier=true` → `security_barrier='true'`: values are literals, whatever they hold.
fn options(options: &[String]) -> String {
    let one = |option: &String| match option.split_once('=') {
        Some((name, value)) => format!("{}={}", quote_ident(name), quote_literal(value)),
        None => quote_ident(option),
    };
    options.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn publish(published: &Published, swap: &Exchange<'_>, incoming: &[String]) -> Vec<String> {
    let publication = quote_ident(&published.publication);
    let Some(table) = &published.table else {
        return vec![
            format!("ALTER PUBLICATION {publication} DROP TABLES IN SCHEMA {}", quote_ident(swap.aside)),
            format!("ALTER PUBLICATION {publication} ADD TABLES IN SCHEMA {}", quote_ident(swap.schema)),
        ];
    };
    let mut all = vec![format!("ALTER PUBLICATION {publication} DROP TABLE {}", quote_qualified(swap.aside, table))];
    // What the backup does not have cannot be published; the review said so.
    if incoming.contains(table) {
        let columns: Vec<String> = published.columns.iter().map(|column| quote_ident(column)).collect();
        let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
        let filter = published.filter.as_ref().map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
        let table = quote_qualified(swap.schema, table);
        all.push(format!("ALTER PUBLICATION {publication} ADD TABLE {table}{columns}{filter}"));
    }
    all
}

async fn tables_of(session: &mut PgConnection, schema: &str) -> Result<Vec<String>, sqlx::Error> {
    let tables =
        "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname::text = $1 AND c.relkind IN ('r', 'p') ORDER BY 1";
    sqlx::query_scalar(tables).bind(schema).fetch_all(session).await
}

/// Says who holds locks on the tables.
async fn holders(swap: &Exchange<'_>) -> Result<Vec<String>, EngineError> {
    let mut session = session(swap.live).await?;
    let rows = sqlx::query(
        "SELECT DISTINCT a.pid, coalesce(a.usename::text, '') AS who, coalesce(a.application_name, '') AS what,
                coalesce(a.state, a.backend_type) AS state,
                coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::int8, 0) AS since
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
         JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
           AND c.relnamespace = $1::oid AND c.relkind IN ('r', 'p')
         ORDER BY since DESC, a.pid LIMIT 5",
    );
    let rows = rows.bind(swap.review.oid).fetch_all(&mut session).await;
    let rows = rows.map_err(|e| EngineError::server("looking who holds the locks", &e))?;
    close(session).await;
    let words = |row: &sqlx::postgres::PgRow| {
        let (pid, since): (i32, i64) = (row.try_get("pid").ok()?, row.try_get("since").ok()?);
        let (who, what, state): (String, String, String) =
            (row.try_get("who").ok()?, row.try_get("what").ok()?, row.try_get("state").ok()?);
        Some(format!("pid {pid} ({who}, {what}, {state}), its transaction open for {since} s"))
    };
    Ok(rows.iter().filter_map(words).collect())
}

/// A table that was reviewed is gone.
fn is_gone(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(e)
        if e.code().is_some_and(|code| ["42P01", "3F000", "42809"].contains(&code.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::super::mark::MarkKind;
    use super::super::review::{OutsideKey, OutsideView, Published, Review};
    use super::{Exchange, Mark, statements};
    use crate::engine::Connection;

    #[test]
    fn a_swap_drops_what_refers_renames_and_points_it_at_the_new() {
        let live = Connection::socket("/s", 5432, "u", "d");
        let key = OutsideKey {
            schema: "public".to_owned(),
            table: "fav".to_owned(),
            name: "f\"k".to_owned(),
            definition: "FOREIGN KEY (o) REFERENCES \"a b\".orders(id)".to_owned(),
            validated: true,
            comment: Some("it's".to_owned()),
            columns: vec!["o".to_owned()],
            target: "orders".to_owned(),
            target_columns: vec!["id".to_owned()],
        };
        let view = OutsideView {
            schema: "public".to_owned(),
            name: "v".to_owned(),
            query: " SELECT id FROM \"a b\".orders;".to_owned(),
            options: vec!["security_barrier=true".to_owned()],
        };
        let published = |table: &str, columns: &[&str]| Published {
            publication: "p".to_owned(),
            table: Some(table.to_owned()),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            filter: Some("(id > 1)".to_owned()),
        };
        let all = Published { publication: "s".to_owned(), table: None, columns: Vec::new(), filter: None };
        let review = Review {
            oid: 1,
            keys: vec![key],
            views: vec![view],
            publications: vec![published("orders", &["id"]), published("gone", &[]), all],
            ..Review::default()
        };
        let mark = Mark {
            kind: MarkKind::Aside,
            id: "1a2b3c4d".to_owned(),
            name: "a b".to_owned(),
            by: "b1".to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            comment: None,
            tables: Vec::new(),
            sequences: Vec::new(),
            keys: Vec::new(),
        };
        let swap = Exchange {
            live: &live,
            schema: "a b",
            review: &review,
            incoming: "a b__new_1a2b3c4d",
            comment: Some("ours"),
            aside: "a b__old_1a2b3c4d",
            mark: &mark,
        };
        let mut lines: Vec<String> =
            statements(&swap, &["orders".to_owned()]).split(";\n").map(str::to_owned).collect();
        assert!(lines.remove(2).starts_with("COMMENT ON SCHEMA \"a b__old_1a2b3c4d\" IS "));
        let wanted = [
            r#"ALTER TABLE "public"."fav" DROP CONSTRAINT "f""k""#,
            r#"ALTER SCHEMA "a b" RENAME TO "a b__old_1a2b3c4d""#,
            r#"ALTER SCHEMA "a b__new_1a2b3c4d" RENAME TO "a b""#,
            r#"COMMENT ON SCHEMA "a b" IS 'ours'"#,
            r#"ALTER TABLE "public"."fav" ADD CONSTRAINT "f""k" FOREIGN KEY (o) REFERENCES "a b".orders(id) NOT VALID"#,
            r#"COMMENT ON CONSTRAINT "f""k" ON "public"."fav" IS 'it''s'"#,
            r#"CREATE OR REPLACE VIEW "public"."v" WITH ("security_barrier"='true') AS  SELECT id FROM "a b".orders"#,
            r#"ALTER PUBLICATION "p" DROP TABLE "a b__old_1a2b3c4d"."orders""#,
            r#"ALTER PUBLICATION "p" ADD TABLE "a b"."orders" ("id") WHERE ((id > 1))"#,
            r#"ALTER PUBLICATION "p" DROP TABLE "a b__old_1a2b3c4d"."gone""#,
            r#"ALTER PUBLICATION "s" DROP TABLES IN SCHEMA "a b__old_1a2b3c4d""#,
            r#"ALTER PUBLICATION "s" ADD TABLES IN SCHEMA "a b""#,
        ];
        assert_eq!(lines, wanted);
    }
}
