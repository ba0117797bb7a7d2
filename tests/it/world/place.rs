//! A whole world on this machine: an application's server and its catalog on a private cluster, a store in a folder,
//! policies that speak of them, and the binary told where all of it is.

use std::path::PathBuf;

use super::cluster::{Cluster, Major, fresh_folder};
use super::run::{Cli, Ran, cli};

/// The key pair of every world's store.
pub struct Keys {
    pub identity: String,
    pub recipient: String,
}

/// A world. Databases `app` and `cat` on one cluster; `APP_URL`, `BKUP_CATALOG_URL` and `BKUP_AGE_IDENTITY` are set.
pub struct World {
    pub cluster: Cluster,
    pub keys: Keys,
    pub store: PathBuf,
    pub cli: Cli,
}

/// A world's schedules: nightly ones, which take their first backups with the first apply, and two on request. Tests
/// may write others.
pub const SCHEDULES: &str = "version: 1
retention:
  keep: { within: 30d }
schedules:
  nightly:
    databases: [app]
    backup: database
    when: { frequency: daily, time: \"02:00\" }
    start_within: 24h
    retention: keep
    store: primary
  tenants:
    databases: [app]
    backup: tenant_data
    when: { frequency: daily, time: \"02:00\" }
    start_within: 24h
    retention: keep
    store: primary
    max_parallel_jobs: 2
  whole-now:
    databases: [app]
    backup: database
    when: { on: request }
    retention: keep
    store: primary
  tenants-now:
    databases: [app]
    backup: tenant_data
    when: { on: request }
    retention: keep
    store: primary
    max_parallel_jobs: 2
";

/// A recovery plan whose drill restores two tenants.
pub const RECOVERY: &str = "version: 1
recovery_plans:
  tenant-recovery:
    description: Bring a tenant back
    type: tenant_recovery
    scope: tenant_data
    databases: [app]
    rpo: 50h
    rto: 1h
    requires: [tenant_data]
    steps:
      - restore: { backup: tenant_data, from: ask, tenants: ask, into: scratch }
    approval: { status: pending_approval }
    contacts: { primary: ops@example.com }
    drill:
      every: 30d
      sample_tenants: 2
      checks:
        - tables: equal
        - sql: \"SELECT count(*) FROM {schema}.customers\"
          expect: \"> 0\"
";

impl World {
    /// Makes one with an application of some tenants, policies of [`SCHEDULES`], encryption, and nothing applied yet.
    pub async fn new(major: Major, slugs: &[&str]) -> Self {
        let cluster = Cluster::start(major).await;
        cluster.application("app", slugs).await;
        cluster.exec("postgres", "CREATE DATABASE cat").await;
        let made = bkup::crypto::generate_identity("2026-01-01T00:00:00Z".parse().unwrap());
        let keys = Keys {
            identity: secrecy::ExposeSecret::expose_secret(&made.text).to_owned(),
            recipient: made.recipient.to_string(),
        };
        let store = fresh_folder("s");
        std::fs::create_dir(&store).expect("a folder for the store");
        let cli = told(&cluster, &keys, major).file("policies/schedules.yaml", SCHEDULES);
        let world = Self { cluster, keys, store, cli };
        world.policy("places.yaml", &world.places());
        world
    }

    /// Returns the policy file that says where things are.
    pub fn places(&self) -> String {
        format!(
            "version: 1\ncatalog: {{ url: \"${{BKUP_CATALOG_URL}}\" }}\nstores:\n  primary:\n    url: file://{}\n    \
             encryption: {{ recipients: [{}], identity: \"${{BKUP_AGE_IDENTITY}}\" }}\ndatabases:\n  app:\n    \
             url: \"${{APP_URL}}\"\n    tenants: {{ schemas: \"tenant_*\" }}\n",
            self.store.display(),
            self.keys.recipient
        )
    }

    /// Writes a policy file, new or over the old one.
    pub fn policy(&self, name: &str, text: &str) {
        let path = self.cli.path("policies").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a policy file");
    }

    /// Sets an environment variable for the runs to come; an empty value is as good as none.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.cli.set_env(name, value);
        self
    }

    /// Lets the runs to come use another version's programs.
    pub fn tools(mut self, tools: Major) -> Self {
        self.cli.set_env("BKUP_PG_BIN", &tools.bin().display().to_string());
        self
    }

    /// Runs the binary.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.cli.run(args)
    }

    /// Applies what is due, which must succeed.
    #[track_caller]
    pub fn apply(&self) -> Ran {
        self.run(&["apply", "--auto-approve"]).exits(0)
    }

    /// Takes the backups of a schedule now, which must succeed: `whole-now`, `tenants-now`. What the policies ask for is
    /// applied before.
    #[track_caller]
    pub fn back_up(&self, schedule: &str) -> Ran {
        let _ = self.apply();
        self.run(&["backup", schedule]).exits(0)
    }

    /// Returns the ids of the backups of a scope (`tenant=a`, `database`, `shared`), newest first, as `list` has them.
    pub fn backups(&self, scope: &str) -> Vec<String> {
        let json = self.run(&["--format", "json", "list", "--all"]).exits(0).json();
        let all = json["backups"].as_array().expect("backups");
        let of_it = all.iter().filter(|backup| backup["scope"] == scope);
        of_it.map(|backup| backup["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Returns every file of the store below a folder, by its path from the store.
    pub fn objects(&self, below: &str) -> Vec<PathBuf> {
        fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
            for item in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if item.path().is_dir() { walk(&item.path(), found) } else { found.push(item.path()) }
            }
        }
        let mut found = Vec::new();
        walk(&self.store.join(below), &mut found);
        found.sort();
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _not_made = std::fs::remove_dir_all(&self.store);
        let _in_use = std::fs::remove_dir_all(self.cli.scratch());
    }
}

fn told(cluster: &Cluster, keys: &Keys, tools: Major) -> Cli {
    // Scratch servers run as another user, who cannot pass through a private folder.
    let scratch = fresh_folder("w");
    std::fs::create_dir(&scratch).expect("a folder for scratch servers");
    cli()
        .env("TMPDIR", &scratch.display().to_string())
        .env("APP_URL", &cluster.url("app"))
        .env("BKUP_CATALOG_URL", &cluster.url("cat"))
        .env("BKUP_AGE_IDENTITY", &keys.identity)
        .env("BKUP_PG_BIN", &tools.bin().display().to_string())
}
