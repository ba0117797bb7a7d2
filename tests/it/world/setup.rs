//! A whole installation: a server with an application and a catalog, a store, policies, and the binary.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bkup::engine::sql::quote_ident;
use futures_util::TryStreamExt;

use super::cluster::{Cluster, Major};
use super::moto::Moto;
use super::run::Ran;
use super::s3::{ACCESS_KEY, BUCKET, Rclone, S3Server, SECRET_KEY};

/// The database of the application, the one that policies call `app`.
pub const APP: &str = "app";
/// The database of the catalog.
pub const CATALOG: &str = "catalog";
/// When simulated catalogs begin.
pub const BEGIN: &str = "2026-03-02T10:00:00Z";

/// Where backups go.
pub enum Place {
    /// A folder below the installation's own.
    Folder,
    /// The S3 server in this process.
    S3(S3Server),
    /// rclone.
    Rclone(Rclone),
    /// moto, with a bucket that keeps versions or not.
    Moto(Moto),
}

/// An installation, gone with the value.
pub struct Setup {
    pub cluster: Cluster,
    pub place: Place,
    pub env: BTreeMap<String, String>,
    dir: tempfile::TempDir,
}

/// The parts of a policy file that tests change. Everything else is the same in all of them.
#[derive(Clone)]
pub struct Policy {
    /// The lines below `schedules:`, each indented by two.
    pub schedules: String,
    /// The lines below `retention:`, each indented by two.
    pub retention: String,
    /// The value of `guards:`.
    pub guards: String,
    /// What follows.
    pub more: String,
    /// Whether the store is encrypted.
    pub encrypted: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            schedules: "  nightly: { databases: [app], backup: database, when: { frequency: daily, time: \"02:30\" }, \
                        retention: short, store: primary }
  tenants: { databases: [app], backup: tenant_data, when: { frequency: daily, time: \"03:00\" }, retention: short, \
                        store: primary, max_parallel_jobs: 2 }
"
            .to_owned(),
            retention: "  short: { last: 3 }\n".to_owned(),
            guards: "{ max_delete: 50%, min_keep: 1, grace: 2d }".to_owned(),
            more: String::new(),
            encrypted: true,
        }
    }
}

impl Setup {
    /// Starts a server with an application of some tenants, an empty catalog database, and an empty store; writes the
    /// usual policies.
    pub async fn start(major: Major, place: Place, slugs: &[&str]) -> Self {
        Self::start_with(major, place, slugs, &[]).await
    }

    /// The same, with settings of the server.
    pub async fn start_with(major: Major, place: Place, slugs: &[&str], settings: &[(&str, &str)]) -> Self {
        let cluster = Cluster::start_with(major, settings).await;
        cluster.application(APP, slugs).await;
        cluster.exec("postgres", &format!("CREATE DATABASE {}", quote_ident(CATALOG))).await;
        let dir = tempfile::tempdir().expect("a temporary folder");
        // Scratch servers of drills run below it as another user.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
        for folder in ["home", "work", "store", "tmp"] {
            std::fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        std::fs::set_permissions(dir.path().join("tmp"), std::fs::Permissions::from_mode(0o1777)).expect("permissions");
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        for (name, value) in
            [("TZ", "UTC"), ("COLUMNS", "100"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1"), ("PATH", "/usr/bin:/bin")]
        {
            set(name, value);
        }
        set("HOME", &dir.path().join("home").display().to_string());
        set("TMPDIR", &dir.path().join("tmp").display().to_string());
        set("BKUP_PG_BIN", &major.bin().display().to_string());
        set("BKUP_CATALOG_URL", &cluster.url(CATALOG));
        set("APP_URL", &cluster.url(APP));
        let endpoint = match &place {
            Place::Folder => None,
            Place::S3(server) => Some(server.endpoint()),
            Place::Rclone(server) => server.connection("").endpoint,
            Place::Moto(server) => server.connection("").endpoint,
        };
        if let Some(endpoint) = endpoint {
            set("S3_ENDPOINT", &endpoint);
            set("AWS_ACCESS_KEY_ID", ACCESS_KEY);
            set("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        }
        let mut setup = Self { cluster, place, env, dir };
        let keys = setup.run(&["key", "generate"]).success();
        let word = |begin: &str| {
            let found = keys.split_whitespace().find(|word| word.starts_with(begin));
            found.unwrap_or_else(|| panic!("no {begin} in the keys")).to_owned()
        };
        setup.env.insert("RECIPIENT".to_owned(), word("age1"));
        setup.env.insert("BKUP_AGE_IDENTITY".to_owned(), word("AGE-SECRET-KEY-"));
        setup.policy(&Policy::default());
        setup
    }

    /// Sets an environment variable of the runs to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Moves the simulated clock of the runs to come.
    pub fn now(&mut self, now: &str) {
        self.set("BKUP_NOW", now);
    }

    /// Writes the policies.
    pub fn policy(&self, policy: &Policy) {
        std::fs::write(self.path("bkup.yaml"), self.policy_text(policy)).expect("a file");
    }

    /// Returns the text of the policies.
    pub fn policy_text(&self, policy: &Policy) -> String {
        let encryption = if policy.encrypted {
            format!(
                "\n    encryption: {{ recipients: [{}], identity: \"${{BKUP_AGE_IDENTITY}}\" }}",
                self.env["RECIPIENT"]
            )
        } else {
            String::new()
        };
        let store = match &self.place {
            Place::Folder => format!("    url: \"file://{}\"", self.folder().display()),
            Place::S3(_) | Place::Rclone(_) | Place::Moto(_) => format!(
                "    url: s3://{BUCKET}/deep/prefix\n    region: us-east-1\n    endpoint: \"${{S3_ENDPOINT}}\"\n    path_style: true"
            ),
        };
        format!(
            "version: 1
catalog: {{ url: \"${{BKUP_CATALOG_URL}}\" }}
databases:
  app:
    url: \"${{APP_URL}}\"
    tenants: {{ schemas: \"tenant_*\" }}
classes:
  everybody: {{ tenants: [\"*\"], priority: 9 }}
stores:
  primary:
{store}{encryption}
guards: {guards}
retention:
{retention}schedules:
{schedules}{more}",
            guards = policy.guards,
            retention = policy.retention,
            schedules = policy.schedules,
            more = policy.more,
        )
    }

    /// Returns a path in the folder that commands run in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    /// Reads a file of that folder.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Returns the folder of a store in a folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Returns the S3 server in this process.
    pub fn s3(&self) -> &S3Server {
        let Place::S3(server) = &self.place else { panic!("the store is not on the S3 server in process") };
        server
    }

    /// Returns moto.
    pub fn moto(&self) -> &Moto {
        let Place::Moto(server) = &self.place else { panic!("the store is not on moto") };
        server
    }

    /// Returns a command as it would be run.
    #[expect(clippy::disallowed_methods, reason = "tests run the binary under test")]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("bkup"));
        command.env_clear().envs(&self.env).current_dir(self.dir.path().join("work")).args(args);
        command
    }

    /// Starts the binary and does not wait for it.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = assert_cmd::Command::from_std(self.command(args));
        ran(command.timeout(Duration::from_secs(120)).output().expect("the binary runs"))
    }

    /// Applies the policies.
    pub fn apply(&self) -> Ran {
        self.run(&["apply", "--auto-approve"])
    }

    /// Makes a simulated catalog at [`BEGIN`] with the first apply.
    #[track_caller]
    pub fn first(&mut self) -> Ran {
        self.now(BEGIN);
        self.run(&["apply", "--auto-approve", "--init-simulated"]).exits(0)
    }

    /// Asserts that there is nothing left to do, and that doing it again has no effect anywhere.
    #[track_caller]
    pub fn assert_converges(&self) -> impl Future<Output = ()> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let plan = self.run(&["plan", "--detailed-exitcode", "--include-due"]);
            assert_eq!(plan.code, 0, "{caller}: something is left to do:\n{}{}", plan.stdout, plan.stderr);
            let before = self.fingerprint().await;
            let again = self.apply();
            assert_eq!(again.code, 0, "{caller}: the second apply:\n{}{}", again.stdout, again.stderr);
            let after = self.fingerprint().await;
            assert_eq!(before, after, "{caller}: the second apply had an effect:\n{}{}", again.stdout, again.stderr);
        }
    }

    /// Returns everything there is: each table of the catalog, each key of the store, the application's objects.
    pub async fn fingerprint(&self) -> Vec<String> {
        let mut all = Vec::new();
        let tables = self
            .cluster
            .ask(
                CATALOG,
                "SELECT string_agg(c.relname, ',' ORDER BY c.relname) FROM pg_class c \
                 WHERE c.relnamespace = to_regnamespace('bkup') AND c.relkind = 'r'",
            )
            .await;
        for table in tables.iter().flat_map(|tables| tables.split(',')) {
            let rows = format!(
                "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM bkup.{table} t"
            );
            all.push(format!("{table}: {}", self.cluster.ask(CATALOG, &rows).await.unwrap_or_default()));
        }
        all.extend(self.keys().await);
        let objects =
            "SELECT md5(string_agg(c.oid::text || c.relname || c.xmin::text, ',' ORDER BY c.oid)) FROM pg_class c";
        all.push(format!("application: {}", self.cluster.ask(APP, objects).await.unwrap_or_default()));
        all
    }

    /// Returns every key of the store, also of files that no listing of it shows.
    pub async fn keys(&self) -> Vec<String> {
        let connection = match &self.place {
            Place::Folder => {
                let mut keys = Vec::new();
                walk(&self.folder(), &self.folder(), &mut keys);
                keys.sort();
                return keys;
            }
            Place::S3(server) => server.connection("deep/prefix"),
            Place::Rclone(server) => server.connection("deep/prefix"),
            Place::Moto(server) => server.connection("deep/prefix"),
        };
        let store = bkup::store::open(connection).await.expect("the store opens");
        let found: Vec<_> =
            bkup::store::list(Arc::clone(&store) as _, "").try_collect().await.expect("the store lists");
        found.into_iter().map(|facts| facts.key).collect()
    }

    /// Returns the keys of all manifests.
    pub async fn manifests(&self) -> Vec<String> {
        self.keys().await.into_iter().filter(|key| key.ends_with("/manifest.json")).collect()
    }

    /// Asks the catalog for one value as text; empty for NULL.
    pub async fn catalog(&self, sql: &str) -> String {
        self.cluster.ask(CATALOG, sql).await.unwrap_or_default()
    }

    /// Lets the leases of dead runners end now instead of within a minute.
    pub async fn end_leases(&self) {
        let sql = "UPDATE bkup.claims SET lease_until = clock_timestamp() - interval '1 h' WHERE lease_until IS NOT NULL;
                   UPDATE bkup.executions SET lease_until = clock_timestamp() - interval '1 h' WHERE status = 'RUNNING'";
        self.cluster.exec(CATALOG, sql).await;
    }

    /// Asserts what must hold whatever happened before: one completed row for each slot and scope, each manifest with
    /// its row and each row with its manifest, and nothing in the store that belongs to neither.
    pub async fn assert_whole(&self) {
        let twice = self
            .catalog(
                "SELECT count(*) FROM (SELECT FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted \
                 GROUP BY schedule, database, scope, slot HAVING count(*) > 1) twice",
            )
            .await;
        assert_eq!(twice, "0", "slots with more than one completed backup");
        let rows = self
            .catalog(
                "SELECT string_agg(manifest_key || ' a-' || attempt, E'\\n' ORDER BY manifest_key COLLATE \"C\") \
                 FROM bkup.executions WHERE status = 'COMPLETED' AND NOT deleted",
            )
            .await;
        let rows: BTreeMap<&str, &str> = rows.lines().filter_map(|line| line.split_once(' ')).collect();
        let keys = self.keys().await;
        for key in &keys {
            if key.ends_with("/manifest.json") {
                assert!(rows.contains_key(key.as_str()), "a manifest without a row: {key}");
            } else if key.contains("/.bkup-tmp-") && !key.contains("/a-") {
                // A manifest that was half written. It is deleted with the backup, or once it is too old to be another's.
            } else if key.starts_with("backups/") || key.starts_with("keys/") {
                let (folder, attempt) = key.split_once("/a-").unwrap_or_else(|| panic!("a stray object: {key}"));
                let manifest = format!("backups/{}/manifest.json", folder.split_once('/').unwrap().1);
                let attempt = format!("a-{}", attempt.split('/').next().unwrap());
                let kept = rows.get(manifest.as_str());
                assert_eq!(kept, Some(&attempt.as_str()), "an object of no completed attempt: {key}");
            }
        }
        for manifest in rows.keys() {
            assert!(keys.iter().any(|key| key == manifest), "a row without its manifest: {manifest}");
        }
        if let Place::S3(server) = &self.place {
            assert_eq!(server.unfinished(), 0, "unfinished uploads");
        }
        assert_eq!(self.catalog("SELECT count(*) FROM bkup.executions WHERE status = 'RUNNING'").await, "0");
        let leases = "SELECT count(*) FROM bkup.claims WHERE lease_until > clock_timestamp()";
        assert_eq!(self.catalog(leases).await, "0", "leases that nobody gave back");
    }
}

/// Reads a finished process.
pub fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    }
}

fn walk(root: &Path, folder: &Path, keys: &mut Vec<String>) {
    for item in std::fs::read_dir(folder).expect("the folder lists").flatten() {
        let path = item.path();
        if path.is_dir() {
            walk(root, &path, keys);
        } else {
            keys.push(path.strip_prefix(root).expect("below the root").display().to_string());
        }
    }
}
