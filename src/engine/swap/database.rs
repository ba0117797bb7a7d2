//! Two databases that change places by their names, in one transaction. Nobody may be connected to either: sessions are
//! ended, where that was asked for. What a dump does not hold of a database (its locale, owner, grants, settings) is
//! taken over from the one in use.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Executor as _, Row as _};

use super::super::failure::words_of;
use super::super::sql::{quote_ident, quote_literal};
use super::commit::{Committed, commit};
use super::mark::{Mark, beside, id_of};
use super::marked::{Marked, newest_first};
use super::{close, run, session};
use crate::engine::{Connection, EngineError};

/// How often the sessions are ended, and the swap tried: applications connect again at once.
const ATTEMPTS: u32 = 20;
/// How long a commit is asked after whose answer was lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatabaseInUse {
    /// Its number.
    pub oid: i64,
    /// Its comment.
    pub comment: Option<String>,
    /// Who is connected: `pid 17 (app, web)`.
    pub sessions: Vec<String>,
    /// Why it cannot be swapped.
    pub refusals: Vec<String>,
}

/// Looks at a database; `None` where it is not there. `server` is another database of the same server.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn database_in_use(server: &Connection, name: &str) -> Result<Option<DatabaseInUse>, EngineError> {
    let failed = |e: &sqlx::Error| EngineError::server(format!("looking at the database {}", quote_ident(name)), e);
    let mut session = session(server).await?;
    let found = look(&mut session, name).await.map_err(|e| failed(&e))?;
    close(session).await;
    Ok(found)
}

async fn look(session: &mut PgConnection, name: &str) -> Result<Option<DatabaseInUse>, sqlx::Error> {
    let query = "SELECT oid::int8 AS oid, pg_catalog.shobj_description(oid, 'pg_database') AS comment
                 FROM pg_catalog.pg_database WHERE datname::text = $1";
    let Some(row) = sqlx::query(query).bind(name).fetch_optional(&mut *session).await? else { return Ok(None) };
    let mut found =
        DatabaseInUse { oid: row.try_get("oid")?, comment: row.try_get("comment")?, ..DatabaseInUse::default() };
    let sessions = "SELECT 'pid ' || pid || ' (' || coalesce(usename::text, '') || ', ' || coalesce(application_name, '') || ')'
                    FROM pg_catalog.pg_stat_activity WHERE datid = $1::oid AND backend_type = 'client backend' ORDER BY pid";
    found.sessions = sqlx::query_scalar(sessions).bind(found.oid).fetch_all(&mut *session).await?;
    let refusals = "
        SELECT 'logical replication slot ' || slot_name || ' reads it: drop it, and set it up anew afterwards'
        FROM pg_catalog.pg_replication_slots WHERE database = $1 AND slot_type = 'logical'
        UNION ALL SELECT 'subscription ' || subname || ' writes to it: drop it, and set it up anew afterwards'
        FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1
        UNION ALL SELECT 'prepared transaction ' || pg_catalog.quote_literal(gid) || ' is open in it: end it'
        FROM pg_catalog.pg_prepared_xacts WHERE database = $1 ORDER BY 1";
    // Not every role may read what subscriptions there are; then the rename itself says whether it can be done.
    if let Ok(refusals) = sqlx::query_scalar(refusals).bind(name).fetch_all(&mut *session).await {
        found.refusals = refusals;
    }
    Ok(Some(found))
}

/// Creates an empty database with the encoding, locale, tablespace and limits of another.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn create_like(server: &Connection, name: &str, like: &str) -> Result<(), EngineError> {
    let what = format!("creating the database {}", quote_ident(name));
    let failed = |e: &sqlx::Error| EngineError::server(what.clone(), e);
    let mut session = session(server).await?;
    let row = sqlx::query(
        "SELECT pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS collate,
                d.datctype::text AS ctype, d.datconnlimit AS connections, t.spcname::text AS space,
                coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') AS provider,
                coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale') AS locale
         FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
         WHERE d.datname::text = $1",
    );
    let row = row.bind(like).fetch_one(&mut session).await.map_err(|e| failed(&e))?;
    let text =
        |name: &str| row.try_get::<Option<String>, _>(name).map(Option::unwrap_or_default).map_err(|e| failed(&e));
    let limit: i32 = row.try_get("connections").map_err(|e| failed(&e))?;
    let (provider, locale) = (text("provider")?, quote_literal(&text("locale")?));
    let locale = match provider.as_str() {
        "i" => format!(" LOCALE_PROVIDER icu ICU_LOCALE {locale}"),
        "b" => format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}"),
        _ => String::new(),
    };
    let make = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}{locale} TABLESPACE {} CONNECTION LIMIT {limit}",
        quote_ident(name),
        quote_literal(&text("encoding")?),
        quote_literal(&text("collate")?),
        quote_literal(&text("ctype")?),
        quote_ident(&text("space")?),
    );
    run(&mut session, &what, make).await?;
    close(session).await;
    Ok(())
}

/// Marks a database.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn mark_database(server: &Connection, name: &str, mark: &Mark) -> Result<(), EngineError> {
    let name = quote_ident(name);
    let mut session = session(server).await?;
    let comment = format!("COMMENT ON DATABASE {name} IS {}", quote_literal(&mark.text()));
    run(&mut session, &format!("marking the database {name}"), comment).await?;
    close(session).await;
    Ok(())
}

/// Gives what was loaded under a name of its own, and marked, the name that nobody has. Another comment than its mark
/// stays.
///
/// # Errors
/// [`EngineError::Server`]: it still has its own name, and its mark, unless the error says that this is not known.
pub async fn put_in_place(server: &Connection, own: &str, name: &str) -> Result<(), EngineError> {
    let mut session = session(server).await?;
    let comment =
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname::text = $1";
    let comment = sqlx::query_scalar::<_, Option<String>>(comment).bind(own).fetch_optional(&mut session).await;
    let comment = comment.map_err(|e| EngineError::server("reading a database's comment", &e))?.flatten();
    let marked = comment.is_some_and(|comment| Mark::read(&comment).is_some());
    let (own, name) = (quote_ident(own), quote_ident(name));
    let what = format!("renaming the database {own}");
    // Under its name with a mark, the next restore would take it for a leftover; without it, under its own, for none.
    let comment = if marked { format!("COMMENT ON DATABASE {own} IS NULL; ") } else { String::new() };
    let both = format!("BEGIN; {comment}ALTER DATABASE {own} RENAME TO {name}");
    run(&mut session, &what, both).await?;
    match commit(session, server, (&what, &format!("it was where there is a database {name}")), PATIENCE).await? {
        Committed::Yes => Ok(()),
        Committed::No(error) => Err(EngineError::Server { what, reason: words_of(&error) }),
    }
}

/// Gives a database the owner, grants and settings of another.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn take_over(server: &Connection, name: &str, from: &str) -> Result<(), EngineError> {
    let what = format!("taking over the settings of {}", quote_ident(from));
    let mut session = session(server).await?;
    let statements = properties(&mut session, name, from).await.map_err(|e| EngineError::server(what.clone(), &e))?;
    for statement in statements {
        // One message is one transaction, so that what is set for a moment, to be taken over, is gone after it.
        run(&mut session, &what, statement).await?;
    }
    close(session).await;
    Ok(())
}

async fn properties(session: &mut PgConnection, name: &str, from: &str) -> Result<Vec<String>, sqlx::Error> {
    let target = quote_ident(name);
    let owner = "SELECT pg_catalog.pg_get_userbyid(datdba)::text FROM pg_catalog.pg_database WHERE datname::text = $1";
    let owner: String = sqlx::query_scalar(owner).bind(from).fetch_one(&mut *session).await?;
    let mut all = vec![format!("ALTER DATABASE {target} OWNER TO {}", quote_ident(&owner))];
    let grants = sqlx::query(
        "SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END AS grantee,
                a.privilege_type AS privilege, a.is_grantable AS grantable
         FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a WHERE d.datname::text = $1",
    );
    let grants = grants.bind(from).fetch_all(&mut *session).await?;
    if !grants.is_empty() {
        all.push(format!("REVOKE ALL ON DATABASE {target} FROM PUBLIC"));
    }
    for row in grants {
        let grantee: Option<String> = row.try_get("grantee")?;
        let (privilege, grantable): (String, bool) = (row.try_get("privilege")?, row.try_get("grantable")?);
        let to = grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), quote_ident);
        let option = if grantable { " WITH GRANT OPTION" } else { "" };
        all.push(format!("GRANT {privilege} ON DATABASE {target} TO {to}{option}"));
    }
    let settings = sqlx::query(
        "SELECT r.rolname::text AS role, pg_catalog.split_part(c, '=', 1) AS name,
                pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) AS value
         FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) c
         WHERE d.datname::text = $1",
    );
    for row in settings.bind(from).fetch_all(&mut *session).await? {
        let role: Option<String> = row.try_get("role")?;
        let (name, value): (String, String) = (row.try_get("name")?, row.try_get("value")?);
        let whose = match role {
            Some(role) => format!("ALTER ROLE {} IN DATABASE {target}", quote_ident(&role)),
            None => format!("ALTER DATABASE {target}"),
        };
        // Lists (search_path) are written in a form of their own, which only the server itself gets right.
        all.push(format!(
            "SELECT pg_catalog.set_config({}, {}, true); {whose} SET {} FROM CURRENT",
            quote_literal(&name),
            quote_literal(&value),
            name.split('.').map(quote_ident).collect::<Vec<_>>().join("."),
        ));
    }
    Ok(all)
}

/// A swap of databases.
#[derive(Debug, Clone)]
pub struct DatabaseExchange<'a> {
    /// Another database of the server.
    pub server: &'a Connection,
    /// The one in use.
    pub name: &'a str,
    /// Its number: another one by that name ends the swap.
    pub oid: i64,
    /// What comes in.
    pub incoming: &'a str,
    /// The comment that it gets.
    pub comment: Option<&'a str>,
    /// The name that the one in use gets.
    pub aside: &'a str,
    /// The mark that it gets.
    pub mark: &'a Mark,
    /// Whether sessions are ended.
    pub end_sessions: bool,
}

/// Swaps two databases; returns the number of attempts, `None` where sessions came again and again, or were there and
/// may not be ended.
///
/// # Errors
/// [`EngineError::Server`]; nothing was changed then.
pub async fn exchange_databases(swap: &DatabaseExchange<'_>) -> Result<Option<u32>, EngineError> {
    let what = format!("swapping the database {}", quote_ident(swap.name));
    let comment = swap.comment.map_or_else(|| "NULL".to_owned(), quote_literal);
    let (name, aside, incoming) = (quote_ident(swap.name), quote_ident(swap.aside), quote_ident(swap.incoming));
    let statements = format!(
        "BEGIN; ALTER DATABASE {name} RENAME TO {aside}; COMMENT ON DATABASE {aside} IS {};
         ALTER DATABASE {incoming} RENAME TO {name}; COMMENT ON DATABASE {name} IS {comment}",
        quote_literal(&swap.mark.text())
    );
    let mut session = session(swap.server).await?;
    for attempt in 1..=ATTEMPTS {
        let now = look(&mut session, swap.name).await.map_err(|e| EngineError::server(what.clone(), &e))?;
        let Some(now) = now.filter(|now| now.oid == swap.oid) else {
            return Err(EngineError::Server { what, reason: "it is another one by now".to_owned() });
        };
        if swap.end_sessions {
            let end = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
                       WHERE datid IN (SELECT oid FROM pg_catalog.pg_database WHERE datname::text IN ($1, $2))
                         AND pid <> pg_catalog.pg_backend_pid()";
            let ended = sqlx::query(end).bind(swap.name).bind(swap.incoming).execute(&mut session).await;
            ended.map_err(|e| EngineError::server(what.clone(), &e))?;
        } else if !now.sessions.is_empty() {
            return Ok(None);
        }
        match session.execute(sqlx::AssertSqlSafe(statements.clone())).await {
            Ok(_) => {
                let then = format!("the swap was made where there is a database {aside}");
                return match commit(session, swap.server, (&what, &then), PATIENCE).await? {
                    Committed::Yes => Ok(Some(attempt)),
                    Committed::No(error) => Err(EngineError::Server { what, reason: words_of(&error) }),
                };
            }
            // object_in_use: somebody connected in between.
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("55006") => {
                run(&mut session, &what, "ROLLBACK".to_owned()).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => return Err(EngineError::Server { what, reason: words_of(&error) }),
        }
    }
    Ok(None)
}

/// Returns the databases that swaps have put aside, the newest first.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn marked_databases(server: &Connection) -> Result<Vec<Marked>, EngineError> {
    let mut session = session(server).await?;
    let rows = sqlx::query(
        "SELECT datname::text AS name, pg_catalog.shobj_description(oid, 'pg_database') AS comment
         FROM pg_catalog.pg_database WHERE pg_catalog.shobj_description(oid, 'pg_database') LIKE 'bkup: %'",
    );
    let rows = rows.fetch_all(&mut session).await;
    let rows = rows.map_err(|e| EngineError::server("looking for databases that were put aside", &e))?;
    close(session).await;
    Ok(newest_first(&rows))
}

/// Returns the databases that a restore of `name` had made and not yet marked when it ended: with such a name, no comment
/// and nothing inside.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn unmarked_databases(server: &Connection, name: &str) -> Result<Vec<String>, EngineError> {
    let what = "looking for databases that a restore has left";
    let mut asking = session(server).await?;
    let names = sqlx::query_scalar::<_, String>(
        "SELECT datname::text FROM pg_catalog.pg_database
         WHERE datname ~ '__new_[0-9a-f]{8}$' AND pg_catalog.shobj_description(oid, 'pg_database') IS NULL",
    );
    let names = names.fetch_all(&mut asking).await.map_err(|e| EngineError::server(what, &e))?;
    close(asking).await;
    let mut found = Vec::new();
    for database in names.into_iter().filter(|found| beside(name, "new", id_of(found)) == *found) {
        let mut inside = session(&server.with_database(&database)).await?;
        // What came with the database itself has the smaller numbers.
        let empty = sqlx::query_scalar::<_, bool>(
            "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid >= 16384)
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid >= 16384)
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE oid >= 16384)",
        );
        let empty = empty.fetch_one(&mut inside).await.map_err(|e| EngineError::server(what, &e))?;
        close(inside).await;
        found.extend(empty.then_some(database));
    }
    Ok(found)
}

/// Returns the tables of these schemas that hold rows themselves, as schema and name.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn tables(connection: &Connection) -> Result<Vec<(String, String)>, EngineError> {
    let mut session = session(connection).await?;
    let names = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind = 'r' ORDER BY 1, 2";
    let names = sqlx::query_as(names).fetch_all(&mut session).await;
    let names = names.map_err(|e| EngineError::server("reading the tables", &e))?;
    close(session).await;
    Ok(names)
}

/// Returns the schemas of a database that are no system's.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn schemas(connection: &Connection) -> Result<Vec<String>, EngineError> {
    let mut session = session(connection).await?;
    let names = "SELECT nspname::text FROM pg_catalog.pg_namespace
                 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1";
    let names = sqlx::query_scalar(names).fetch_all(&mut session).await;
    let names = names.map_err(|e| EngineError::server("reading the schemas", &e))?;
    close(session).await;
    Ok(names)
}
