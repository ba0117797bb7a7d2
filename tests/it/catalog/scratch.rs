//! A throw-away PostgreSQL server for the catalog's tests, shared by those that run at the same time, and a database in
//! it for each test, owned by a role that is no superuser. Stopped and removed with its last user.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// Keeps the server alive for as long as a test uses its database.
pub struct Guard {
    cluster: Arc<Cluster>,
    /// The database's name.
    pub name: String,
}

struct Cluster {
    server: Mutex<Child>,
    folder: tempfile::TempDir,
}

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[expect(clippy::disallowed_methods, reason = "the tests' server is not bkup's to start")]
fn program(bin: &Path, name: &str) -> Command {
    let mut command = Command::new(bin.join(name));
    command.env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").current_dir("/tmp").stdin(Stdio::null());
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Cluster {
    fn start(bin: &Path) -> Arc<Self> {
        let folder = tempfile::Builder::new().prefix("bkup-catalog-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let made = program(bin, "initdb")
            .args(["-N", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let rules = "local all locked scram-sha-256\nlocal all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let server = program(bin, "postgres")
            .args(["-D"])
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"])
            .args(["-c", "log_statement=all", "-c", "log_line_prefix=<%d> "])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Arc::new(Self { server: Mutex::new(server), folder })
    }

    fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.folder.path().display())
    }

    async fn admin(&self) -> PgConnection {
        for _ in 0..600 {
            if let Ok(connection) = PgConnection::connect(&self.url("postgres", "postgres")).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("the server did not start: {log}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = server.kill();
        let _ = server.wait();
    }
}

impl Guard {
    /// Returns a connection string for another role of the server.
    pub fn url_as(&self, user: &str) -> String {
        self.cluster.url(user, &self.name)
    }

    /// Runs SQL as the superuser.
    pub async fn admin(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url_as("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Returns the statements the server has run in the database so far.
    pub fn statements(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.cluster.folder.path().join("log")).unwrap();
        let begin = format!("<{}> LOG:  ", self.name);
        log.lines()
            .filter_map(|line| line.strip_prefix(&begin))
            .filter(|line| line.starts_with("execute") || line.starts_with("statement"))
            .map(str::to_owned)
            .collect()
    }
}

async fn database_on(bin: PathBuf, running: &Mutex<Weak<Cluster>>) -> (Guard, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let cluster = {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let fresh = Cluster::start(&bin);
            *running = Arc::downgrade(&fresh);
            fresh
        })
    };
    let mut admin = cluster.admin().await;
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let role = "DO $$ BEGIN PERFORM pg_advisory_xact_lock(1); \
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'owner') THEN CREATE ROLE owner LOGIN; END IF; \
                END $$";
    admin.execute(role).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} OWNER owner"))).await.unwrap();
    let url = cluster.url("owner", &name);
    (Guard { cluster, name }, url)
}

/// Returns an empty database and a connection string for its owner.
pub async fn database() -> (Guard, String) {
    static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    database_on(PathBuf::from("/usr/lib/postgresql/15/bin"), &RUNNING).await
}

/// Returns the same on a newer server, where the checks' tools hold one.
pub async fn newer_database() -> Option<(Guard, String)> {
    static RUNNING: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/pg17/bin");
    if bin.join("postgres").exists() { Some(database_on(bin, &RUNNING).await) } else { None }
}
