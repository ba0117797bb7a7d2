//! How a server is reached: one text, read once, handed to the programs by environment and to the driver as options;
//! and the session settings that both must share so that the same row is the same text everywhere.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Executor as _};

use super::EngineError;
use super::sql::quote_literal;

/// The settings that change how a row is written as text, and those that could cut a long read short. Set on every
/// session whose rows are digested, on both sides: leaving one out makes equal content look different. The server's probes
/// keep firewalls and address translators from forgetting a session that holds a snapshot and says nothing for hours, and
/// free its locks where bkup's machine is gone. On a unix socket they do nothing.
pub const PINNED: [(&str, &str); 14] = [
    ("datestyle", "ISO"),
    ("intervalstyle", "postgres"),
    ("timezone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "3"),
    ("lc_monetary", "C"),
    ("xmlbinary", "base64"),
    ("quote_all_identifiers", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "15"),
    ("tcp_keepalives_count", "4"),
];

/// The same from the client's side, for the programs: a server that lost its power says nothing more, and they would wait
/// for it for two hours. A part of a connection text, since none of these has a variable.
pub(super) const PROBED: &str = "keepalives_idle=60 keepalives_interval=15 keepalives_count=4";

/// Limits that only newer servers have, and that could end an exporting session just as well. The programs lift them by
/// themselves.
const NEWER_LIMITS: [&str; 2] = ["transaction_timeout", "idle_session_timeout"];

/// How many seconds connecting may take where the connection text does not say.
const CONNECT_LIMIT: u64 = 30;

/// A server, a database on it, and who asks.
#[derive(Clone)]
pub struct Connection {
    host: String,
    port: u16,
    user: String,
    password: Option<SecretString>,
    database: String,
    ssl_mode: Option<String>,
    /// Further libpq parameters by name.
    rest: BTreeMap<String, String>,
}

/// libpq parameters that are handed to programs and have a variable.
const VARIABLES: [(&str, &str); 13] = [
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("gssencmode", "PGGSSENCMODE"),
    ("hostaddr", "PGHOSTADDR"),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("passfile", "PGPASSFILE"),
    ("requirepeer", "PGREQUIREPEER"),
    ("require_auth", "PGREQUIREAUTH"),
    ("sslcert", "PGSSLCERT"),
    ("sslcrl", "PGSSLCRL"),
    ("sslkey", "PGSSLKEY"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

impl Connection {
    /// Reads `postgres://user:password@host:port/database?sslmode=...` or libpq keywords (`host=... dbname=...`).
    /// A missing host is the usual socket folder, a missing user `postgres`, a missing database the user's name.
    ///
    /// # Errors
    /// [`EngineError::Connection`], without any part of the text that may be secret.
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let text = text.trim();
        let scheme = ["postgres://", "postgresql://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        let mut parts = match scheme {
            Some(rest) => of_url(rest)?,
            None => of_keywords(text)?,
        };
        let mut take = |name: &str| parts.remove(name).filter(|value| !value.is_empty());
        let host = take("host").unwrap_or_else(|| "/var/run/postgresql".to_owned());
        if host.contains(',') {
            return Err(bad("names several hosts; name one"));
        }
        let port = match take("port") {
            None => 5432,
            Some(port) => port.parse().map_err(|_| bad("has a port that is no number from 1 to 65535"))?,
        };
        let user = take("user").unwrap_or_else(|| "postgres".to_owned());
        let database = take("dbname").unwrap_or_else(|| user.clone());
        let password = take("password").map(SecretString::from);
        let ssl_mode = take("sslmode");
        if let Some(mode) = &ssl_mode {
            mode.parse::<PgSslMode>().map_err(|_| bad("has an sslmode that does not exist"))?;
        }
        for own in ["application_name", "fallback_application_name", "client_encoding", "options"] {
            parts.remove(own);
        }
        if let Some(name) = parts.keys().find(|name| !VARIABLES.iter().any(|(known, _)| known == name)) {
            return Err(bad(&format!("has the parameter {name:?}, which bkup does not know")));
        }
        Ok(Self { host, port, user, password, database, ssl_mode, rest: parts })
    }

    /// Makes a connection to a server on a unix socket, without a password.
    #[must_use]
    pub fn socket(folder: impl Into<String>, port: u16, user: &str, database: &str) -> Self {
        Self {
            host: folder.into(),
            port,
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            ssl_mode: None,
            rest: BTreeMap::new(),
        }
    }

    /// Returns the same server with another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Returns the database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Returns the user's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the host or the socket's folder.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the connection as a URL with the password in it: for files that only the user can read.
    #[must_use]
    pub fn url(&self) -> SecretString {
        let secret = self.password.as_ref().map(|p| format!(":{}", encode(p.expose_secret()))).unwrap_or_default();
        let ssl = self.ssl_mode.as_ref().map(|mode| format!("&sslmode={mode}")).unwrap_or_default();
        let rest: String = self.rest.iter().map(|(name, value)| format!("&{name}={}", encode(value))).collect();
        SecretString::from(format!(
            "postgres://{}{secret}@/{}?host={}&port={}{ssl}{rest}",
            encode(&self.user),
            encode(&self.database),
            encode(&self.host),
            self.port
        ))
    }

    /// Takes the password from a password file where the text has none: the file that the text names, else this one
    /// (`PGPASSFILE`, or `.pgpass` in the home folder). A file that cannot be read, or that others can read, is as good
    /// as none, as for libpq.
    #[must_use]
    pub fn with_passfile(mut self, file: Option<&std::path::Path>) -> Self {
        let named = self.rest.remove("passfile").map(std::path::PathBuf::from);
        let file = named.or_else(|| file.map(std::path::Path::to_owned));
        if self.password.is_none()
            && let Some(file) = file
        {
            let host = if self.host.starts_with('/') { "localhost" } else { &self.host };
            let port = self.port.to_string();
            self.password = super::passfile::password(&file, [host, &port, &self.database, &self.user]);
        }
        self
    }

    fn connect_limit(&self) -> u64 {
        let given = self.rest.get("connect_timeout").and_then(|seconds| seconds.parse().ok());
        given.filter(|seconds| *seconds > 0).unwrap_or(CONNECT_LIMIT)
    }

    /// Returns libpq's variables for a program, with the pinned settings. The values hold the password.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let mut env = vec![
            ("PGHOST".to_owned(), self.host.clone()),
            ("PGPORT".to_owned(), self.port.to_string()),
            ("PGUSER".to_owned(), self.user.clone()),
            ("PGDATABASE".to_owned(), self.database.clone()),
            ("PGAPPNAME".to_owned(), "bkup".to_owned()),
            ("PGOPTIONS".to_owned(), pgoptions()),
            ("PGCONNECT_TIMEOUT".to_owned(), self.connect_limit().to_string()),
            ("LC_ALL".to_owned(), "C".to_owned()),
        ];
        if let Some(password) = &self.password {
            env.push(("PGPASSWORD".to_owned(), password.expose_secret().to_owned()));
        }
        if let Some(mode) = &self.ssl_mode {
            env.push(("PGSSLMODE".to_owned(), mode.clone()));
        }
        for (name, value) in &self.rest {
            if let Some((_, variable)) = VARIABLES.iter().find(|(known, _)| known == name) {
                env.push(((*variable).to_owned(), value.clone()));
            }
        }
        env
    }

    /// Returns the driver's options.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        // An explicit empty password keeps the driver from taking one out of the process's environment.
        let password = self.password.as_ref().map_or("", |p| p.expose_secret());
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(self.rest.get("hostaddr").unwrap_or(&self.host))
            .port(self.port)
            .username(&self.user)
            .password(password)
            .database(&self.database)
            .application_name("bkup")
            .ssl_mode(self.ssl_mode.as_deref().and_then(|mode| mode.parse().ok()).unwrap_or(PgSslMode::Prefer));
        if self.host.starts_with('/') {
            options = options.socket(&self.host);
        }
        if let Some(file) = self.rest.get("sslrootcert") {
            options = options.ssl_root_cert(file);
        }
        if let Some(file) = self.rest.get("sslcert") {
            options = options.ssl_client_cert(file);
        }
        if let Some(file) = self.rest.get("sslkey") {
            options = options.ssl_client_key(file);
        }
        options
    }

    /// Connects and pins the session's settings.
    ///
    /// # Errors
    /// [`EngineError::Server`].
    pub async fn connect(&self) -> Result<PgConnection, EngineError> {
        let failed = |e: &sqlx::Error| EngineError::server(format!("connecting to {self}"), e);
        let limit = std::time::Duration::from_secs(self.connect_limit());
        let connecting = tokio::time::timeout(limit, PgConnection::connect_with(&self.options())).await;
        let mut connection = match connecting {
            Ok(connected) => connected.map_err(|e| failed(&e))?,
            Err(_) => return Err(failed(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
        };
        let settings: String =
            PINNED.iter().map(|(name, value)| format!("SET {name} = {};", quote_literal(value))).collect();
        // Not out of pg_settings: to list all settings takes a server longer than everything else here.
        let settings = settings + &NEWER_LIMITS.map(lift).concat();
        connection.execute(sqlx::AssertSqlSafe(settings)).await.map_err(|e| failed(&e))?;
        Ok(connection)
    }
}

/// Sets a limit to nothing on servers that have it.
fn lift(name: &str) -> String {
    let name = quote_literal(name);
    format!(
        "SELECT pg_catalog.set_config({name}, '0', false) WHERE pg_catalog.current_setting({name}, true) IS NOT NULL;"
    )
}

/// The value of `PGOPTIONS` that pins the settings. None of the values needs escaping.
fn pgoptions() -> String {
    let settings: Vec<String> = PINNED.iter().map(|(name, value)| format!("-c {name}={value}")).collect();
    settings.join(" ")
}

/// Shows where and who; never the password.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database.escape_debug())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({self})")
    }
}

fn bad(words: &str) -> EngineError {
    EngineError::Connection(words.to_owned())
}

fn of_url(rest: &str) -> Result<BTreeMap<String, String>, EngineError> {
    let mut parts = BTreeMap::new();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, place) = authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
    let mut put = |name: &str, value: &str| -> Result<(), EngineError> {
        let value = decode(value)?;
        if !value.is_empty() {
            parts.insert(name.to_owned(), value);
        }
        Ok(())
    };
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        put("user", user)?;
        put("password", password)?;
    }
    let (host, port) = match place.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((v6, port)) => (v6, port.trim_start_matches(':')),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    put("host", host)?;
    put("port", port)?;
    put("dbname", database)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("has a parameter without a value"))?;
        put(if name == "ssl-mode" { "sslmode" } else { name }, value)?;
    }
    Ok(parts)
}

fn of_keywords(text: &str) -> Result<BTreeMap<String, String>, EngineError> {
    if text.contains("://") || !text.contains('=') {
        return Err(bad("is neither a postgres:// URL nor libpq keywords"));
    }
    let mut parts = BTreeMap::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(parts);
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=') {
            name.push(c);
        }
        chars.next().ok_or_else(|| bad("has a keyword without a value"))?;
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\\') => value.extend(chars.next()),
                Some('\'') if quoted => break,
                None if quoted => return Err(bad("has a quote that does not end")),
                None => break,
                Some(c) if c.is_whitespace() && !quoted => break,
                Some(c) => value.push(c),
            }
        }
        parts.insert(name.trim().to_owned(), value);
    }
}

fn decode(text: &str) -> Result<String, EngineError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap_or(b'-'), rest.next().unwrap_or(b'-')];
        let hex = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(hex.filter(|byte| *byte != 0).ok_or_else(|| bad("has a % that is not followed by two hex digits"))?);
    }
    String::from_utf8(bytes).map_err(|_| bad("is not UTF-8 once its % codes are read"))
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::Connection;
    use secrecy::ExposeSecret;

    fn env_of(text: &str) -> String {
        let connection = Connection::parse(text).expect(text);
        let wanted = ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT"];
        let env: Vec<String> =
            connection.env().into_iter().filter(|(n, _)| wanted.contains(&n.as_str())).map(|(_, v)| v).collect();
        env.join(" ")
    }

    #[test]
    fn urls_and_keywords_become_variables() {
        assert_eq!(env_of("postgres://u:p%40ss@h:5433/db?sslmode=require"), "h 5433 u db p@ss require");
        assert_eq!(env_of("postgresql://u@/db?host=/tmp/s&port=5439"), "/tmp/s 5439 u db");
        assert_eq!(env_of("postgres://u@[::1]:5433/a%2Fb"), "::1 5433 u a/b");
        assert_eq!(env_of("host=h user='a b' password='it\\'s' dbname = x"), "h 5432 a b x it's");
        assert_eq!(env_of("postgres://u@h/db?sslrootcert=/c.pem"), "h 5432 u db /c.pem");
    }

    #[test]
    fn a_written_url_reads_as_the_same_connection() {
        let text = "postgres://o'b:p%20%26%3F@/we%22ird%20db?host=/tmp/x%20y&port=6000&sslmode=disable";
        let first = Connection::parse(text).expect("first");
        let second = Connection::parse(first.url().expose_secret()).expect("second");
        assert_eq!(first.env(), second.env());
    }

    #[test]
    fn nothing_shows_the_password() {
        let connection = Connection::parse("postgres://u:geheim@h/db").expect("parses");
        assert!(!format!("{connection:?} {connection}").contains("geheim"));
        for bad in ["postgres://u:geheim@h:port/db", "postgres://u:geheim%zz@h/db", "geheim", "password='geheim"] {
            let error = Connection::parse(bad).expect_err(bad);
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error}");
        }
    }
}
