//! Roles and other things of the whole cluster, as SQL without passwords, and what a restore takes of it.
//!
//! A restore never runs the file: it would give attributes, memberships and settings to roles of a server that has its
//! own. It takes the roles' names, so that owners, grants and row policies of an archive find them.

use bytes::Bytes;
use sqlx::{Connection as _, Executor as _};

use super::sql::{Token, quote_ident, tokens};
use super::{Connection, EngineError, Invocation, Program, Programs};

/// Returns the program that writes the globals.
#[must_use]
pub fn globals_invocation(programs: &Programs, connection: &Connection) -> Invocation {
    Invocation::new(programs.path(Program::PgDumpall))
        .args(["--globals-only", "--no-role-passwords", "--no-password", "--encoding=UTF8"])
        .arg(format!("--database={}", keyword(connection.database())))
        .envs(connection.env())
}

/// Writes a database's name as a libpq keyword, since `--database` also takes whole connection strings: a database
/// called `host=evil` must stay a name.
pub(super) fn keyword(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Returns roles, memberships, tablespaces and their grants as SQL, without passwords.
///
/// # Errors
/// [`EngineError::Program`].
pub async fn dump_globals(programs: &Programs, connection: &Connection) -> Result<Bytes, EngineError> {
    let globals = globals_invocation(programs, connection).run().await?;
    // The program ends its file so; a file that lacks it was cut although the exit code is 0.
    if !String::from_utf8_lossy(&globals).contains("PostgreSQL database cluster dump complete") {
        return Err(EngineError::WrongContent("pg_dumpall's output has no end line".to_owned()));
    }
    Ok(Bytes::from(globals))
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
    use super::role_names;

    #[test]
    fn only_names_are_taken_and_hostile_ones_stay_names() {
        let globals =
            b"--\n-- CREATE ROLE comment;\n\\restrict abc\nCREATE ROLE app;\nALTER ROLE app WITH NOSUPERUSER;\n\
            CREATE ROLE \"x\"\"; DROP ROLE app; --\";\nCREATE ROLE \"two\nlines\";\nCREATE ROLE pg_evil;\n\
            CREATE TABLESPACE t LOCATION '/x';\nGRANT app TO boss GRANTED BY postgres;\n\\unrestrict abc\n";
        assert_eq!(role_names(globals), ["app", "x\"; DROP ROLE app; --", "two\nlines"]);
    }
}
