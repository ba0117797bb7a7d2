//! Private PostgreSQL clusters: one per test, real, on a unix socket, gone with the value.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use bkup::engine::scratch::make_template;
use bkup::engine::sql::{quote_ident, quote_literal};
use bkup::engine::{Connection, Program, Programs, Scratch, ScratchOptions, Search};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::sync::OnceCell;

/// The major versions that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    V15 = 15,
    V16 = 16,
    V17 = 17,
    V18 = 18,
}

impl Major {
    /// The two between which most of what differs lies: what suites of many tests run on.
    pub const ALL: [Self; 2] = [Self::V15, Self::V17];
    /// Each from 15 on: for what depends on the formats of a version.
    pub const EVERY: [Self; 4] = [Self::V15, Self::V16, Self::V17, Self::V18];

    /// Returns its number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the minor version of the archives that its `pg_dump` writes.
    pub const fn archive_minor(self) -> u8 {
        match self {
            Self::V15 => 14,
            Self::V16 => 15,
            Self::V17 | Self::V18 => 16,
        }
    }

    /// Returns the folder of its programs: from `BKUP_TEST_PG15` and its kin, else where `scripts/test` puts or finds
    /// them.
    pub fn bin(self) -> PathBuf {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
        let (variable, usual) = match self {
            Self::V15 => ("BKUP_TEST_PG15", PathBuf::from("/usr/lib/postgresql/15/bin")),
            Self::V16 => ("BKUP_TEST_PG16", tools.join("pg16/bin")),
            Self::V17 => ("BKUP_TEST_PG17", tools.join("pg17/bin")),
            Self::V18 => ("BKUP_TEST_PG18", tools.join("pg18/bin")),
        };
        #[expect(clippy::disallowed_methods, reason = "tests are told by scripts/test where their tools are")]
        let dir = std::env::var_os(variable).map_or(usual, PathBuf::from);
        assert!(
            dir.join("postgres").is_file(),
            "the programs of PostgreSQL {self:?} are not in {}: run scripts/test, which installs them",
            dir.display()
        );
        dir
    }

    /// Returns its programs.
    pub async fn programs(self) -> Programs {
        let search = Search { pg_bin: Some(self.bin().into_os_string()), ..Search::default() };
        let wanted = [Program::PgDump, Program::PgDumpall, Program::PgRestore, Program::Initdb, Program::Postgres];
        search.find(&wanted, self.number()).await.expect("the programs run")
    }

    async fn template(self) -> &'static Template {
        static MADE: [OnceCell<Template>; 4] = [const { OnceCell::const_new() }; 4];
        let cell = &MADE[self as usize - Self::V15 as usize];
        cell.get_or_init(|| async {
            let folder = fresh_folder("t");
            make_template(&self.programs().await, &folder).await.expect("initdb");
            Template(folder)
        })
        .await
    }
}

/// A data folder that clusters are copied from. Statics are not dropped, so the next run sweeps what this one leaves.
struct Template(PathBuf);

/// Returns the one folder of tests, below the one that `BKUP_TEST_FOLDER` names or below `/tmp`. Short, for the sockets in
/// it, and open to the servers' user, as a `TMPDIR` may not be.
pub fn tests_folder() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are told by scripts/test where there is room in memory")]
    let above = std::env::var_os("BKUP_TEST_FOLDER").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    above.join("bkup-it")
}

/// Returns a short path that nobody has, below the one folder of tests, and sweeps what dead test runs left there.
pub fn fresh_folder(kind: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static SWEPT: std::sync::Once = std::sync::Once::new();
    let parent = tests_folder();
    std::fs::create_dir_all(&parent).expect("a folder for clusters");
    let own = std::process::id();
    SWEPT.call_once(|| {
        use std::os::unix::fs::PermissionsExt;
        // Another user may have made it; then it is open already.
        let _open = std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o1777));
        for item in std::fs::read_dir(&parent).expect("the folder lists").flatten() {
            let name = item.file_name().to_string_lossy().into_owned();
            let pid = name.split('-').nth(1).and_then(|pid| pid.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _not_ours = std::fs::remove_dir_all(item.path());
            }
        }
    });
    parent.join(format!("{kind}-{own}-{}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// A private cluster.
pub struct Cluster {
    server: Scratch,
    pub programs: Programs,
}

impl Cluster {
    /// Starts one.
    pub async fn start(major: Major) -> Self {
        Self::start_with(major, &[]).await
    }

    /// Starts one with further settings.
    pub async fn start_with(major: Major, settings: &[(&str, &str)]) -> Self {
        let programs = major.programs().await;
        let options = ScratchOptions {
            programs: programs.clone(),
            folder: fresh_folder("c"),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            template: Some(major.template().await.0.join("data")),
        };
        Self { server: Scratch::start(options).await.expect("the cluster starts"), programs }
    }

    /// Returns how a database of it is reached, as superuser.
    pub fn connection(&self, database: &str) -> Connection {
        self.server.connection(database)
    }

    /// Returns the same as a URL.
    pub fn url(&self, database: &str) -> String {
        use secrecy::ExposeSecret;
        self.connection(database).url().expose_secret().to_owned()
    }

    /// Returns the server.
    pub const fn server(&self) -> &Scratch {
        &self.server
    }

    /// Runs statements in a database.
    #[track_caller]
    pub fn exec<'a>(&'a self, database: &'a str, sql: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let mut session = self.connection(database).connect().await.expect("connects");
            if let Err(error) = session.execute(sqlx::AssertSqlSafe(sql.to_owned())).await {
                panic!("{caller}: {error}: {}", sql.chars().take(300).collect::<String>());
            }
            session.close().await.expect("closes");
        }
    }

    /// Asks for one value as text.
    pub async fn ask(&self, database: &str, sql: &str) -> Option<String> {
        let mut session = self.connection(database).connect().await.expect("connects");
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT ({sql})::text"))).fetch_one(&mut session).await;
        row.expect(sql).get(0)
    }

    /// Makes a database with an application: a shared `public` part, and one schema `tenant_<slug>` for each slug with
    /// related tables, rows that look real, sequences, an index, a view, a function and a trigger.
    pub async fn application(&self, database: &str, slugs: &[&str]) {
        self.exec("postgres", &format!("CREATE DATABASE {}", quote_ident(database))).await;
        self.exec(database, SHARED).await;
        for slug in slugs {
            self.tenant(database, slug).await;
        }
    }

    /// Adds one tenant to an application's database.
    pub async fn tenant(&self, database: &str, slug: &str) {
        let schema = quote_ident(&format!("tenant_{slug}"));
        let insert = format!(
            "INSERT INTO public.tenants (slug, schema_name) VALUES ({}, {});",
            quote_literal(slug),
            quote_literal(&format!("tenant_{slug}"))
        );
        self.exec(database, &format!("{insert}{}", TENANT.replace("{s}", &schema))).await;
    }
}

const SHARED: &str = "
    CREATE TABLE public.tenants (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text NOT NULL UNIQUE, schema_name text NOT NULL UNIQUE,
        created_at timestamptz NOT NULL DEFAULT '2026-01-02 03:04:05+00');
    CREATE TABLE public.currencies (code char(3) PRIMARY KEY, name text NOT NULL);
    INSERT INTO public.currencies VALUES ('EUR', 'Euro'), ('KRW', '대한민국 원'), ('USD', 'US dollar');
    CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$;";

const TENANT: &str = "
    CREATE SCHEMA {s};
    CREATE TYPE {s}.order_state AS ENUM ('new', 'paid', 'shipped');
    CREATE TABLE {s}.customers (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL, email text,
        profile jsonb NOT NULL DEFAULT '{}', updated_at timestamptz);
    CREATE TABLE {s}.orders (
        id bigserial PRIMARY KEY, customer_id bigint NOT NULL REFERENCES {s}.customers,
        currency char(3) NOT NULL REFERENCES public.currencies, total numeric(12,2) NOT NULL,
        state {s}.order_state NOT NULL DEFAULT 'new', placed_at timestamptz NOT NULL);
    CREATE INDEX ON {s}.orders (customer_id);
    CREATE VIEW {s}.revenue AS SELECT customer_id, sum(total) AS total FROM {s}.orders GROUP BY 1;
    INSERT INTO {s}.customers (name, email, profile, updated_at)
        SELECT 'Kunde ' || i || E' \\t''\"ü\\\\', CASE WHEN i % 7 > 0 THEN 'k' || i || '@example.com' END,
               jsonb_build_object('tags', ARRAY['a', 'b'], 'n', i), timestamptz '2026-03-01 00:00+00' + i * interval '1 hour'
        FROM generate_series(1, 50) i;
    INSERT INTO {s}.orders (customer_id, currency, total, state, placed_at)
        SELECT i % 50 + 1, (ARRAY['EUR', 'KRW', 'USD'])[i % 3 + 1], i * 1.37, (ARRAY['new', 'paid', 'shipped'])[i % 3 + 1]::{s}.order_state,
               timestamptz '2026-03-01 00:00+00' + i * interval '11 minutes'
        FROM generate_series(1, 200) i;
    CREATE TRIGGER touch BEFORE UPDATE ON {s}.customers FOR EACH ROW EXECUTE FUNCTION public.touch();";
