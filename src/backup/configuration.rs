//! What a backup of the configuration holds: one tar file of SQL and JSON that a person reads and applies without bkup.
//! What could not be read is told inside it and in the manifest; what may be a secret is left out, and told too.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::BackupError;
use super::logical::{Destination, Order};
use super::source::Source;
use crate::artifact::TarWriter;
use crate::domain::{Address, Digest, MASKED, ServerConfiguration, is_secret, sha256};
use crate::engine::sql::{quote_ident, quote_literal};
use crate::engine::{
    Connection, DumpSummary, EngineError, Programs, dump_globals, dump_globals_with_passwords, without_secret_settings,
};
use crate::server::{self, ServerError};

/// How long the server may take for each question.
const LIMIT: Duration = Duration::from_secs(30);
/// Settings that hold lists of names: each is quoted by itself.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The policies as they are applied.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// Each thing's document and its digest.
    pub documents: BTreeMap<Address, (Value, Digest)>,
    /// The files' texts, secrets masked, where they are at hand.
    pub texts: BTreeMap<String, String>,
}

/// The content of a backup.
pub(super) struct Content {
    /// The tar file.
    pub tar: Bytes,
    /// The digest of the configuration, as a planner would see it.
    pub digest: Digest,
    /// What the manifest says of it.
    pub summary: DumpSummary,
}

/// Reads the configuration and makes the file of it.
pub(super) async fn content(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
) -> Result<Content, BackupError> {
    let asked = order.work.configuration.as_ref().is_some_and(|work| work.passwords);
    // Hashes of passwords never lie open, whatever a policy says.
    let passwords = asked && !destination.recipients.is_empty();
    let Some(server) = source.server() else {
        return Err(BackupError::NotServed("configuration".to_owned()));
    };
    let options = server.0.options();
    let mut read = server::configuration(&options, asked, LIMIT).await?;
    let policies: BTreeMap<Address, Digest> =
        order.policies.documents.iter().map(|(address, (_, digest))| (address.clone(), *digest)).collect();
    let digest = read.digests().whole(asked, &policies);
    if asked && !passwords {
        let why = "the store is not encrypted";
        read.unread.insert("passwords".to_owned(), why.to_owned());
    }
    let globals = globals(server, passwords, &mut read).await?;
    let extensions = names(&read, "extensions");
    let mut notes: Vec<String> = read.unread.iter().map(|(what, why)| format!("not read: {what} ({why})")).collect();
    let (globals, secrets) = if passwords { (globals, 0) } else { without_secret_settings(&globals) };
    if secrets > 0 {
        notes.push(format!("{secrets} settings of roles that may be secrets are left out of globals.sql"));
    }
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    files.insert("globals.sql".to_owned(), globals.into_bytes());
    files.insert("database.sql".to_owned(), database_sql(&read).into_bytes());
    for (part, value) in &read.parts {
        files.insert(format!("{part}.json"), pretty(value));
    }
    let documents: BTreeMap<String, &Value> =
        order.policies.documents.iter().map(|(address, (body, _))| (address.to_string(), body)).collect();
    files.insert("policies/documents.json".to_owned(), pretty(&documents));
    for (name, text) in &order.policies.texts {
        files.insert(format!("policies/files/{}", inside(name)), text.clone().into_bytes());
    }
    files.insert("README.txt".to_owned(), readme(&read).into_bytes());
    let listed: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| json!({ "name": name, "size": bytes.len(), "sha256": sha256(bytes) }))
        .collect();
    let contents = json!({
        "format_version": "1.0",
        "database": order.work.database,
        "content_digest": digest,
        "passwords": passwords && !read.unread.contains_key("passwords"),
        "unread": read.unread,
        "files": listed,
    });
    let modified = order.simulated.unwrap_or(source.facts().consistent_at).as_second();
    let mut tar = TarWriter::new();
    tar.file("contents.json", &pretty(&contents), modified);
    for (name, bytes) in &files {
        tar.file(name, bytes, modified);
    }
    let summary = DumpSummary {
        extensions,
        roles: names(&read, "roles"),
        dump_version: server.1.line.clone(),
        notes,
        ..DumpSummary::default()
    };
    Ok(Content { tar: Bytes::from(tar.finish()), digest, summary })
}

/// Reads the roles as SQL. A role that may not see passwords gets them without.
async fn globals(
    (connection, programs): (&Connection, &Programs),
    passwords: bool,
    read: &mut ServerConfiguration,
) -> Result<String, BackupError> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
    if passwords && !read.unread.contains_key("passwords") {
        match dump_globals_with_passwords(programs, connection).await {
            Ok(bytes) => return Ok(text(bytes)),
            Err(EngineError::Program { stderr, .. }) if stderr.contains("permission denied") => {
                read.unread.insert("passwords".to_owned(), "permission denied".to_owned());
            }
            Err(error) => return Err(error.into()),
        }
    }
    match dump_globals(programs, connection).await {
        Ok(bytes) => Ok(text(bytes)),
        Err(EngineError::Program { stderr, .. }) if stderr.contains("permission denied") => {
            read.unread.insert("globals.sql".to_owned(), "permission denied".to_owned());
            Ok("-- pg_dumpall may not read the roles; roles.json holds what can be read\n".to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

fn pretty<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text.into_bytes()
}

fn rows<'a>(read: &'a ServerConfiguration, part: &str) -> impl Iterator<Item = &'a Value> {
    read.parts.get(part).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(row: &'a Value, key: &str) -> Option<&'a str> {
    row.get(key).and_then(Value::as_str)
}

fn names(read: &ServerConfiguration, part: &str) -> Vec<String> {
    rows(read, part).filter_map(|row| text(row, "name").map(str::to_owned)).collect()
}

/// Writes what belongs to the database alone as SQL; settings of roles for every database are among the globals.
fn database_sql(read: &ServerConfiguration) -> String {
    let mut out = String::from(
        "-- Settings of this database, and its extensions. Run it as a superuser, connected to the database.\n",
    );
    for row in rows(read, "overrides") {
        let (Some(database), Some(name)) = (text(row, "database"), text(row, "name")) else { continue };
        let of = match text(row, "role") {
            Some(role) => format!("ALTER ROLE {} IN DATABASE {}", quote_ident(role), quote_ident(database)),
            None => format!("ALTER DATABASE {}", quote_ident(database)),
        };
        let setting = text(row, "setting").unwrap_or_default();
        let name_sql: Vec<String> = name.split('.').map(quote_ident).collect();
        if setting == MASKED || is_secret(name, setting) {
            let _ = writeln!(out, "-- {of} SET {}: {MASKED}", name_sql.join(".").replace('\n', " "));
        } else {
            let _ = writeln!(out, "{of} SET {} TO {};", name_sql.join("."), value(name, setting));
        }
    }
    for row in rows(read, "extensions") {
        let (Some(name), Some(version), Some(schema)) = (text(row, "name"), text(row, "version"), text(row, "schema"))
        else {
            continue;
        };
        if name != "plpgsql" {
            let _ = writeln!(
                out,
                "CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} VERSION {};",
                quote_ident(name),
                quote_ident(schema),
                quote_literal(version)
            );
        }
    }
    out
}

/// Writes a setting's value: a list of names one by one, everything else as one text.
fn value(name: &str, setting: &str) -> String {
    if !LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        return quote_literal(setting);
    }
    let (mut items, mut item, mut quoted) = (Vec::new(), String::new(), false);
    for c in setting.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            ' ' if !quoted => {}
            c => item.push(c),
        }
    }
    items.push(item);
    let items: Vec<String> = items.iter().map(|item| quote_literal(item)).collect();
    items.join(", ")
}

/// Returns a policy file's name as a path inside the archive.
fn inside(name: &str) -> String {
    let normal = |component: Component<'_>| match component {
        Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
        _ => None,
    };
    let parts: Vec<String> = Path::new(name).components().filter_map(normal).collect();
    if parts.is_empty() { "policies.yaml".to_owned() } else { parts.join("/") }
}

fn readme(read: &ServerConfiguration) -> String {
    let mut out = String::from(
        "The configuration of a PostgreSQL database's server, and of what backs it up.\n\n\
         contents.json          what is in here, with SHA-256 sums, and what could not be read\n\
         globals.sql            roles, memberships, settings of roles, tablespaces: psql -d postgres -f globals.sql\n\
         database.sql           settings of the database, and its extensions: psql -d DATABASE -f database.sql\n\
         settings.json          settings of the server that are not its defaults; set them with ALTER SYSTEM SET\n\
         file_settings.json     what its configuration files say\n\
         hba.json               the rules of pg_hba.conf, in their order\n\
         extensions.json        extensions with their versions\n\
         roles.json, memberships.json, overrides.json, tablespaces.json, database.json, server.json\n\
                                the same facts for programs\n\
         policies/documents.json   the policies as they were applied, with every default filled in\n\
         policies/files/           the policy files they came from\n\n\
         Roles that exist already are complaints of psql and no more. Look at globals.sql before you run it on a server\n\
         that is used for something else. Where a setting may be a secret, its value is left out.\n",
    );
    if !read.unread.is_empty() {
        out.push_str("\nNot read:\n");
        for (what, why) in &read.unread {
            let _ = writeln!(out, "  {what}: {}", why.replace(['\n', '\r'], " "));
        }
    }
    out
}

impl From<ServerError> for BackupError {
    fn from(error: ServerError) -> Self {
        Self::Configuration(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_quoted_one_by_one() {
        assert_eq!(value("search_path", "\"$user\", public"), "'$user', 'public'");
        assert_eq!(value("search_path", "\"a, b\""), "'a, b'");
        assert_eq!(value("work_mem", "64MB"), "'64MB'");
    }

    #[test]
    fn hostile_names_stay_names() {
        let overrides = json!([
            { "role": null, "database": "a\"; DROP DATABASE b; --", "name": "work_mem", "setting": "'; SELECT 1; --" },
            { "role": "x", "database": "d", "name": "app.secret", "setting": "geheim" },
            { "role": "x", "database": null, "name": "work_mem", "setting": "1" },
        ]);
        let read = ServerConfiguration {
            parts: BTreeMap::from([("overrides".to_owned(), overrides)]),
            ..ServerConfiguration::default()
        };
        let sql = database_sql(&read);
        let lines: Vec<&str> = sql.lines().skip(1).collect();
        assert_eq!(lines[0], "ALTER DATABASE \"a\"\"; DROP DATABASE b; --\" SET \"work_mem\" TO '''; SELECT 1; --';");
        assert!(lines[1].starts_with("-- ALTER ROLE \"x\" IN DATABASE \"d\"") && !sql.contains("geheim"), "{sql}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn names_of_files_stay_inside() {
        assert_eq!(inside("/srv/../policies/a.yaml"), "srv/policies/a.yaml");
        assert_eq!(inside(".."), "policies.yaml");
    }
}
