//! Suite: import and init. What there is becomes policy: shown as a user sees it, hostile or not, and tried on a server.

use std::collections::BTreeMap;

use bkup::diag::{Diagnostic, Severity};
use bkup::domain::{Address, Applied, ByHand, Document, Instant};
use bkup::policy::import::{self, Circumstances, Defined, Imported};
use bkup::policy::{Facts, SourceFile, judge, read};
use proptest::prelude::*;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use crate::catalog::scratch::database;
use crate::world::cluster::Major;
use crate::world::place::{RECOVERY, World};
use crate::world::run::cli;

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

fn fixture(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name);
    std::fs::read_to_string(path).expect("a fixture")
}

fn told() -> Circumstances {
    Circumstances { timezone: None, now: now() }
}

fn now() -> Instant {
    "2026-11-25T12:00:00Z".parse().expect("an instant")
}

/// Returns the errors of a policy text.
fn errors(text: &str) -> Vec<Diagnostic> {
    let files = [SourceFile { name: "imported.yaml".to_owned(), bytes: text.as_bytes().to_vec() }];
    let mut found = judge(&files, &Facts::at(now())).findings;
    found.retain(|finding| finding.severity == Severity::Error);
    found
}

#[track_caller]
fn reads_back(imported: &Imported) {
    if let Some(text) = &imported.text {
        let found = errors(text);
        assert!(found.is_empty(), "{found:?}\n{text}");
    }
}

fn shown(imported: &Imported) -> String {
    reads_back(imported);
    let lines = |lines: &[String]| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
    let text = imported.text.as_deref().unwrap_or("nothing\n");
    format!("{text}\n== imported\n{}== not imported\n{}", lines(&imported.taken), lines(&imported.left))
}

#[test]
fn a_crontab_becomes_schedules_and_says_what_it_left() {
    snapshot!("import_crontab", shown(&import::crontab(&fixture("crontab.txt"), &told())));
}

#[test]
fn a_system_crontab_has_a_user_in_each_line() {
    snapshot!("import_system_crontab", shown(&import::crontab(&fixture("system-crontab.txt"), &told())));
}

#[test]
fn cronjobs_become_schedules_and_other_manifests_are_named() {
    let files = [("cronjobs.yaml".to_owned(), fixture("cronjobs.yaml"))];
    snapshot!("import_cronjobs", shown(&import::cronjobs(&files, &told())));
}

#[test]
fn fragments_of_a_document_become_a_policy_set_with_its_contradictions_beside() {
    let imported = import::fragments("fragments.md", &fixture("fragments.md"), &told());
    snapshot!("import_fragments", shown(&imported));
}

#[test]
fn promises_that_cannot_hold_are_written_as_those_that_can() {
    let imported = import::fragments("fragments.yaml", &fixture("fragments.yaml"), &told());
    snapshot!("import_fragments_wrong", shown(&imported));
}

#[test]
fn nothing_secret_of_any_source_is_repeated() {
    let all = [
        shown(&import::crontab(&fixture("crontab.txt"), &told())),
        shown(&import::cronjobs(&[("c.yaml".to_owned(), fixture("cronjobs.yaml"))], &told())),
        shown(&import::crontab(&secrets(), &told())),
    ];
    for text in all {
        assert!(!text.to_lowercase().contains("geheim"), "{text}");
    }
}

/// Command lines with a secret in every place where people put one.
fn secrets() -> String {
    [
        "0 1 * * * PGPASSWORD=geheim pg_dump -d app > /b/x",
        "0 1 * * * PGPASSWORD=\"a geheim\" pg_dump -d app > /b/x",
        "0 1 * * * PGPASSWORD=a\\ geheim pg_dump -d app > /b/x",
        "0 1 * * * PGPASSWORD=$(echo geheim geheim) pg_dump -d app > /b/x",
        "0 1 * * * PGPASSWORD='geheim pg_dump -d app > /b/x",
        "0 1 * * * pg_dump postgres://u:geheim@h/app > /b/x",
        "0 1 * * * pg_dump 'host=h password=geheim dbname=app' > /b/x",
        "0 1 * * * pg_dump -W geheim app > /b/x",
        "0 1 * * * pg_dump --dbname=postgresql://u:geheim@h:5432/app?password=geheim > /b/x",
        "0 1 * * * curl -u user:geheim https://u:geheim@h/geheim",
        "0 1 * * * export AWS_SECRET_ACCESS_KEY=geheim; backup.sh --key geheim",
        "0 1 * * * AGE=AGE-SECRET-KEY-1GEHEIMGEHEIMGEHEIM pg_dump app | age -r x > /b/geheim.age",
        "0 1 * * * mysqldump -pgeheim shop",
        "SECRET=geheim",
        "0 1 * * geheim",
    ]
    .join("\n")
}

#[test]
fn ten_thousand_lines_end_soon_and_nothing_is_dropped() {
    let line = "0 2 * * * pg_dump app > /backup/app.sql\n*/5 * * * * /bin/true\n";
    let imported = import::crontab(&line.repeat(5100), &told());
    reads_back(&imported);
    assert_eq!((imported.taken.len(), imported.left.len()), (500, 9700));
}

#[test]
fn what_is_no_source_gives_nothing_and_says_so() {
    for text in
        ["", "# nothing\n", "{", "- a\n- b\n", "\u{0}\u{1}", "a: [b\n", &"[".repeat(100_000), &"---\n".repeat(50_000)]
    {
        for imported in [
            import::crontab(text, &told()),
            import::cronjobs(&[("x".to_owned(), text.to_owned())], &told()),
            import::fragments("x.yaml", text, &told()),
            import::fragments("x.md", &format!("```yaml\n{text}\n"), &told()),
        ] {
            assert_eq!(imported.text, None, "{text:.40}");
        }
    }
}

/// Text that looks like each source, stirred.
fn stirred() -> impl Strategy<Value = String> {
    let words = [
        "0 2 * * *",
        "*/5 * * * *",
        "@daily",
        "61 * * * *",
        "root",
        "pg_dump",
        "pg_dumpall",
        "pg_basebackup",
        "-d",
        "-n",
        "tenant_a",
        "tenant_",
        "${A}",
        "$(x",
        "'",
        "\"",
        "|",
        ">",
        "/backup/x",
        "s3://bucket-a/p",
        "s3://bucket-a",
        "aws s3 cp",
        "find /b -mtime +7 -delete",
        "find / -mmin +1",
        "\n",
        "\n",
        "TZ=UTC\n",
        "CRON_TZ=Nowhere\n",
        "backup.sh",
        ";",
        "&&",
        "%",
        "wal-g backup-push",
        "wal-g delete retain 0",
        "pgbackrest --type=incr backup",
        "bash -c",
        "docker exec",
        "bkup: ignore[BK604] x",
        "kind: CronJob\n",
        "apiVersion: batch/v1\n",
        "spec:\n  schedule: '0 1 * * *'\n",
        "---\n",
        "schedules:\n",
        "  a: { schedule: '0 1 * * *', tenants: ['*'] }\n",
        "0 3 1 * *",
        "0 3 1 1 *",
        "  tenant_backups: { scheduled: 1 }\n",
        "recovery_priorities:\n",
        "  x: { tenants: ['a*'], rpo: 1m }\n",
        "backup_retention:\n",
        "  full_backups: { daily: 1 }\n",
        "  tenant_backups: { on_demand: 1 }\n",
        "postgres://u:geheim@h/db",
    ];
    proptest::collection::vec(
        prop_oneof![8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()],
        0..30,
    )
    .prop_map(|words| words.join(" ").replace("\n ", "\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_goes_in_what_comes_out_reads_back_and_says_no_secret(text in stirred()) {
        for imported in [
            import::crontab(&text, &told()),
            import::cronjobs(&[(text.clone(), text.clone())], &told()),
            import::fragments("x.yaml", &text, &told()),
            import::fragments("x.md", &format!("```yaml\n{text}\n```\n"), &told()),
        ] {
            if let Some(policies) = &imported.text {
                let found = errors(policies);
                prop_assert!(found.is_empty(), "{found:?}\n{policies}");
            }
            let all = format!("{imported:?}");
            prop_assert!(!all.contains("geheim"), "{all}");
        }
    }
}

#[test]
fn the_command_prints_policies_and_says_beside_what_it_left() {
    let cli = cli().file("crontab", fixture("system-crontab.txt"));
    let ran = cli.run(&["import", "--crontab", "crontab"]).exits(0);
    assert!(errors(&ran.stdout).is_empty(), "{}", ran.stdout);
    assert!(ran.stderr.contains("not imported crontab line 2 (`cd`, `run-parts`)"), "{}", ran.stderr);
    let from_stdin = crate::world::run::cli().stdin(&fixture("system-crontab.txt")).run(&["import", "--crontab", "-"]);
    assert_eq!(from_stdin.exits(0).stdout, ran.stdout);
    let json = cli.run(&["--format", "json", "import", "--crontab", "crontab"]).json();
    assert_eq!(json["policies"], ran.stdout.as_str());
    assert_eq!(json["imported"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_file_is_written_once_and_never_over_another() {
    let cli = cli().file("crontab", fixture("crontab.txt")).file("policies/a.yaml", "version: 1\n");
    let args = ["import", "--crontab", "crontab", "--out", "policies"];
    let _ = cli.run(&args).exits(0).says("wrote policies/imported-crontab.yaml");
    let before = cli.read("policies/imported-crontab.yaml");
    let _ = cli.run(&args).exits(1).says("error[BK940]: a file would be overwritten: policies/imported-crontab.yaml");
    assert_eq!(cli.read("policies/imported-crontab.yaml"), before);
    let _ = cli.run(&["validate", "-p", "policies"]).exits(0);
}

#[test]
fn input_that_is_of_no_use_is_refused_with_its_reason() {
    let cli = cli()
        .file("empty", "")
        .file("binary", [0xff, 0xfe, 0x00, 0x80])
        .file("huge", vec![b'#'; (16 << 20) + 1])
        .file("other.yaml", "kind: Secret\nstringData: { password: geheim }\n");
    let _ = cli.run(&["import", "--crontab", "empty"]).exits(1).says("error[BK941]: nothing can be imported");
    let _ = cli.run(&["import", "--crontab", "gone"]).exits(1).says("error[BK893]: cannot read gone");
    let _ =
        cli.run(&["import", "--crontab", "binary"]).exits(1).says("error[BK942]: cannot read binary: it is no UTF-8");
    let _ = cli
        .run(&["import", "--fragments", "huge"])
        .exits(1)
        .says("error[BK942]: cannot read huge: it has more than 16 MiB");
    let ran = cli.run(&["import", "--cronjobs", "other.yaml", "empty"]).exits(1).says("it is a Secret");
    assert!(!ran.stderr.contains("geheim"), "{}", ran.stderr);
    let _ = cli.run(&["import"]).exits(64);
    let _ = cli.run(&["import", "--catalog", "--crontab", "empty"]).exits(64);
    let _ = cli.run(&["import", "--crontab", "empty", "--timezone", "KST"]).exits(64);
}

/// Returns what a catalog would hold after the policies of a file were applied.
fn recorded(text: &str) -> BTreeMap<Address, Applied> {
    let files = [SourceFile { name: "policies.yaml".to_owned(), bytes: text.as_bytes().to_vec() }];
    let (set, found) = read(&files);
    assert!(found.iter().all(|finding| finding.severity != Severity::Error), "{found:?}\n{text}");
    let (desired, _) = set.desired(&BTreeMap::new());
    let applied = |document: Document| Applied {
        body: document.body,
        digest: document.digest,
        since: now(),
        archived_at: None,
        retention: None,
    };
    desired.documents.into_iter().map(|(address, document)| (address, applied(document))).collect()
}

#[test]
fn every_word_of_the_language_comes_back_from_its_record() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies/valid");
    for name in ["the-contract.yaml", "everything.yaml", "minimal.yaml", "anchors-and-merge-keys.yaml"] {
        let before = recorded(&std::fs::read_to_string(root.join(name)).unwrap());
        let imported = import::applied(&before, &ByHand::default(), &Defined::default(), &told());
        assert_eq!(imported.left, [""; 0], "{name}");
        let text = imported.text.expect("policies");
        let after = recorded(&text);
        for (address, thing) in &before {
            assert_eq!(after[address].body, thing.body, "{name}: {address}\n{text}");
        }
        assert_eq!(after.len(), before.len(), "{name}");
    }
}

const SCHEDULE: &str = include_str!("../fixtures/seeds/insert-schedule.sql");
const PLAN: &str = include_str!("../fixtures/seeds/insert-recovery-plan.sql");

#[tokio::test]
async fn rows_that_people_put_into_a_catalog_become_policies() {
    let (_guard, url) = database().await;
    bkup::catalog::Writer::open(&url).unwrap().create("seeded", None).await.unwrap();
    let mut psql = PgConnection::connect(&url).await.unwrap();
    for insert in [SCHEDULE, PLAN] {
        psql.execute(insert).await.unwrap();
    }
    let hostile = "INSERT INTO bkup.schedules (schedule_name, backup_type, target_scope, target_databases, frequency, \
        schedule_time, schedule_days, timezone, retention_days, enabled, max_parallel_jobs) VALUES \
        ('\"; DROP SCHEMA bkup: ignore[BK604] ', 'TENANT_DATA', 'SPECIFIC_TENANTS', ARRAY['Shop ${X}'], 'WEEKLY', '03:30', \
         ARRAY[1, 7], 'Nowhere', NULL, true, 4), \
        ('files', 'FILES', 'SYSTEM_ONLY', NULL, 'DAILY', '03:30', NULL, 'UTC', 7, true, 1), \
        ('off', 'DATABASE', 'SYSTEM_ONLY', NULL, 'MONTHLY', '03:30', ARRAY[31], 'UTC', 0, false, 1)";
    psql.execute(hostile).await.unwrap();

    // A pause that the rows imply ends so many days after the day of the import.
    let place = cli().env("BKUP_CATALOG_URL", &url).env("BKUP_NOW", "2026-11-25T12:00:00Z");
    let ran = place.run(&["import", "--catalog"]).exits(0);

    assert!(errors(&ran.stdout).is_empty(), "{}", ran.stdout);
    let notes: String =
        ran.stderr.lines().filter(|l| l.contains("imported ") && !l.contains('[')).map(|l| format!("{l}\n")).collect();
    snapshot!("import_catalog_rows", format!("{}\n== standard error\n{notes}", ran.stdout));
}

#[tokio::test]
async fn what_was_applied_comes_back_as_the_policies_it_was() {
    let world = World::new(Major::V17, &["a"]).await;
    world.policy("recovery.yaml", RECOVERY);
    let _ = world.apply();
    let url = world.cluster.url("cat");

    // With the policies at hand there is nothing to import; without them, everything.
    let _ = world.run(&["import", "--catalog"]).exits(1).says("BK941");
    let ran = cli().env("BKUP_CATALOG_URL", &url).run(&["import", "--catalog"]).exits(0);

    assert!(errors(&ran.stdout).is_empty(), "{}", ran.stdout);
    for name in ["places.yaml", "schedules.yaml", "recovery.yaml"] {
        std::fs::remove_file(world.cli.path("policies").join(name)).unwrap();
    }
    world.policy("imported.yaml", &ran.stdout);
    let plan = world.run(&["plan"]).exits(0);
    let json = world.run(&["--format", "json", "plan"]).exits(0).json();
    let actions = json["actions"].as_array().unwrap();
    let changes: Vec<_> = actions.iter().filter(|action| action["class"] == "change").collect();
    assert!(changes.is_empty(), "the same policies change nothing\n{}\n{}", plan.stdout, ran.stdout);
}

#[test]
fn init_without_a_database_says_what_to_pass() {
    let _ = cli().run(&["init"]).exits(64).says("error[BK943]: no database is named").says("--url postgres://");
    let _ = cli().run(&["init", "--url", "${GONE}"]).exits(1).says("the environment variable GONE is not set");
    let ran = cli().run(&["init", "--url", "postgres://u:geheim@127.0.0.1:1/x"]).exits(1).says("BK830");
    assert!(!ran.stderr.contains("geheim"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_first_policies_of_a_live_database_plan_apply_and_drill() {
    let world = World::new(Major::V17, &["enterprise-a", "free-b"]).await;
    for name in ["places.yaml", "schedules.yaml"] {
        std::fs::remove_file(world.cli.path("policies").join(name)).unwrap();
    }
    let store = format!("file://{}", world.store.display());
    let args = ["init", "--url", "${APP_URL}", "--store", &store, "--recipient", &world.keys.recipient];

    let ran = world.run(&args).exits(0);

    assert!(ran.stdout.contains("policies/databases.yaml") && ran.stdout.contains("Next"), "{}", ran.stdout);
    let written = world.cli.read("policies/databases.yaml");
    assert!(written.contains("url: \"${APP_URL}\"") && written.contains("enterprise-*"), "{written}");
    assert!(written.starts_with("# yaml-language-server: $schema=.schema/policy.schema.json\n"), "{written}");
    assert_eq!(world.cli.read("policies/.schema/policy.schema.json"), cli().run(&["schema"]).success());
    assert!(world.cli.read(".github/workflows/bkup-plan.yml").contains("permissions: {}"));
    let again = world.run(&args).exits(1).says("error[BK940]: files would be overwritten: policies/stores.yaml, ");
    assert_eq!(again.stdout, "");
    let _ = world.run(&["validate"]).exits(0);
    let _ = world.run(&["plan"]).exits(0);
    let _ = world.apply();
    assert_eq!(world.backups("database").len(), 1);
    assert_eq!(world.backups("tenant=free-b").len(), 1);
    let _ = world.run(&["drill", "tenant-loss"]).exits(0);
    let _ = world.run(&["drill", "database-loss"]).exits(0);
}

#[tokio::test]
async fn init_takes_what_the_environment_says() {
    let cluster = crate::world::cluster::Cluster::start(Major::V15).await;
    cluster.application("app", &["a"]).await;
    let connection = cluster.connection("app");
    let by_parts = cli()
        .env("PGHOST", connection.host())
        .env("PGPORT", &connection.port().to_string())
        .env("PGUSER", connection.user())
        .env("PGDATABASE", "app");
    let _ = by_parts.run(&["init", "--no-workflows", "--out", "somewhere/else"]).exits(0);
    let text = by_parts.read("somewhere/else/databases.yaml");
    assert!(text.contains("url: \"${DATABASE_URL}\"") && text.contains("PostgreSQL 15"), "{text}");
    assert!(!by_parts.path(".github").exists());
    let by_url = cli().env("DATABASE_URL", &cluster.url("app"));
    let json = by_url.run(&["--format", "json", "init"]).exits(0).json();
    assert_eq!((json["database"].as_str(), json["files"].as_array().map(Vec::len)), (Some("app"), Some(9)));
}
