//! Roles and other things of the whole cluster, as SQL without passwords, and what a restore takes of it.
//!
//! A restore never runs the file: it would give attributes, memberships and settings to roles of a server that has its
//! own. It takes the roles' names, so that owners, grants and row policies of an archive find them.

use bytes::Bytes;
use sqlx::{Connection as _, Executor as _};

use super::connection::PROBED;
use super::sql::{Token, quote_ident, tokens};
use super::{Connection, EngineError, Invocation, Program, Programs};
use crate::domain::{MASKED, is_secret};

/// Returns the program that writes the globals, without passwords.
#[must_use]
pub fn globals_invocation(programs: &Programs, connection: &Connection) -> Invocation {
    invocation(programs, connection, false)
}

fn invocation(programs: &Programs, connection: &Connection, passwords: bool) -> Invocation {
    let without: &[&str] = if passwords { &[] } else { &["--no-role-passwords"] };
    Invocation::new(programs.path(Program::PgDumpall))
        .args(["--globals-only"])
        .args(without.iter().copied())
        .args(["--no-password", "--encoding=UTF8"])
        .arg(format!("--database={}", keyword(connection.database())))
        .envs(connection.env())
}

/// Writes a database's name as a libpq keyword, since `--database` also takes whole connection strings: a database
/// called `host=evil` must stay a name.
pub(super) fn keyword(database: &str) -> String {
    format!("{PROBED} dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Returns roles, memberships, tablespaces and their grants as SQL, without passwords.
///
/// # Errors
/// [`EngineError::Program`].
pub async fn dump_globals(programs: &Programs, connection: &Connection) -> Result<Bytes, EngineError> {
    dump(globals_invocation(programs, connection)).await
}

/// Returns the same with the hashes of the roles' passwords; only a superuser may.
///
/// # Errors
/// [`EngineError::Program`].
pub async fn dump_globals_with_passwords(programs: &Programs, connection: &Connection) -> Result<Bytes, EngineError> {
    dump(invocation(programs, connection, true)).await
}

async fn dump(invocation: Invocation) -> Result<Bytes, EngineError> {
    let globals = invocation.run().await?;
    // The program ends its file so; a file that lacks it was cut although the exit code is 0.
    if !String::from_utf8_lossy(&globals).contains("PostgreSQL database cluster dump complete") {
        return Err(EngineError::WrongContent("pg_dumpall's output has no end line".to_owned()));
    }
    Ok(Bytes::from(globals))
}

/// Returns a globals file with those settings of roles taken out that may be secrets, and how many these are. A
/// statement may go on over several lines where its value does.
#[must_use]
pub fn without_secret_settings(globals: &str) -> (String, usize) {
    let mut out = String::with_capacity(globals.len());
    let mut left_out = 0;
    let mut lines = globals.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let mut statement = line.to_owned();
        if !line.starts_with("ALTER ROLE ") && !line.starts_with("ALTER DATABASE ") {
            out.push_str(line);
            continue;
        }
        // Inside a literal or a quoted name a line end is a part of it.
        while open_quote(&statement)
            && let Some(more) = lines.next()
        {
            statement.push_str(more);
        }
        match statement.split_once(" SET ").and_then(|(_, set)| set.split_once(" TO ")) {
            Some((name, value)) if is_secret(name.trim_matches('"'), value) => {
                out.push_str(&format!("-- {} of a role or database: {MASKED}\n", name.replace('\n', " ")));
                left_out += 1;
            }
            _ => out.push_str(&statement),
        }
    }
    (out, left_out)
}

/// Returns whether a text ends inside quotes: doubled ones inside close and open again, which comes to the same.
fn open_quote(text: &str) -> bool {
    let mut open: Option<char> = None;
    for c in text.chars().filter(|c| matches!(c, '\'' | '"')) {
        open = match open {
            None => Some(c),
            Some(quote) if quote == c => None,
            other => other,
        };
    }
    open.is_some()
}

/// Returns the names of the roles that a globals file creates; names with line ends inside are read too.
#[must_use]
pub fn role_names(globals: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(globals);
    // psql's own commands (\restrict, \connect) are no SQL; a quoted name cannot begin a line with a backslash unless
    // it holds a line end, and then it only loses that line of the name, which no statement is made of unquoted.
    let sql: String = text.lines().filter(|line| !line.starts_with('\\')).fold(String::new(), |mut sql, line| {
        sql.push_str(line);
        sql.push('\n');
        sql
    });
    let tokens = tokens(&sql);
    let mut names: Vec<String> = tokens
        .split(|token| *token == Token::Sign(';'))
        .filter_map(|statement| match statement {
            [create, role, name] if create.is("create") && role.is("role") => name.name().map(str::to_owned),
            _ => None,
        })
        .filter(|name| !name.starts_with("pg_"))
        .collect();
    names.dedup();
    names
}

/// Creates those roles that do not exist yet, without the right to log in and without privileges.
/// Returns the names of those it made.
///
/// # Errors
/// [`EngineError::Server`].
pub async fn create_roles(connection: &Connection, roles: &[String]) -> Result<Vec<String>, EngineError> {
    let mut session = connection.connect().await?;
    let mut made = Vec::new();
    for role in roles {
        let known = sqlx::query("SELECT FROM pg_catalog.pg_roles WHERE rolname = $1").bind(role);
        let known =
            known.fetch_optional(&mut session).await.map_err(|e| EngineError::server("reading the roles", &e))?;
        if known.is_some() {
            continue;
        }
        let statement = format!("CREATE ROLE {} NOLOGIN", quote_ident(role));
        match session.execute(sqlx::AssertSqlSafe(statement)).await {
            Ok(_) => made.push(role.clone()),
            // Someone else made it just now.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42710") => {}
            Err(error) => return Err(EngineError::server(format!("creating the role {}", quote_ident(role)), &error)),
        }
    }
    let _closed = session.close().await;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::{role_names, without_secret_settings};

    #[test]
    fn secret_settings_are_left_out_whole() {
        let globals = "CREATE ROLE app;\nALTER ROLE app SET work_mem TO '64MB';\n\
            ALTER ROLE app SET \"app.jwt_secret\" TO 'ge\nhe''im';\nALTER ROLE \"a SET x\" WITH LOGIN;\n\
            ALTER ROLE app SET search_path TO 'a', 'b';\n";
        let (kept, left_out) = without_secret_settings(globals);
        assert_eq!(left_out, 1);
        assert!(!kept.contains("im';") && kept.contains("64MB") && kept.contains("WITH LOGIN"), "{kept}");
        assert!(kept.contains("-- \"app.jwt_secret\" of a role"), "{kept}");
        assert_eq!(without_secret_settings("no end").0, "no end");
    }

    #[test]
    fn only_names_are_taken_and_hostile_ones_stay_names() {
        let globals =
            b"--\n-- CREATE ROLE comment;\n\\restrict abc\nCREATE ROLE app;\nALTER ROLE app WITH NOSUPERUSER;\n\
            CREATE ROLE \"x\"\"; DROP ROLE app; --\";\nCREATE ROLE \"two\nlines\";\nCREATE ROLE pg_evil;\n\
            CREATE TABLESPACE t LOCATION '/x';\nGRANT app TO boss GRANTED BY postgres;\n\\unrestrict abc\n";
        assert_eq!(role_names(globals), ["app", "x\"; DROP ROLE app; --", "two\nlines"]);
    }
}
