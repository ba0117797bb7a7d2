//! Suite: least rights. Each part of the work with the database role and the S3 identity that `init roles` and `init iam`
//! print for it, through the binary, on real servers; and what happens to whoever tries more.

use sqlx::{Connection as _, Executor as _};

use crate::world::cluster::Major;
use crate::world::run::{Ran, cli};
use crate::world::s3::{ACCESS_KEY, READER_KEY, RUNNER_KEY, S3Server};
use crate::world::setup::{APP, CATALOG, Place, Policy, Setup};

/// One of the logins, with an access key for the store.
#[derive(Clone, Copy)]
struct Who(&'static str, &'static str);

/// What is recorded under a policy's name, and no backup: a rename clears the place it carries things to.
const NAMED: [&str; 7] =
    ["moves", "removals", "policies", "schedules", "recovery_plans", "schedule_progress", "missed_slots"];
const PLANNER: Who = Who("ci_planner", READER_KEY);
const RUNNER: Who = Who("ci_runner", RUNNER_KEY);
const PRUNER: Who = Who("ci_pruner", ACCESS_KEY);
const AUDITOR: Who = Who("ci_auditor", READER_KEY);
const OWNER: Who = Who("cat_owner", READER_KEY);

fn url_as(setup: &Setup, role: &str, database: &str) -> String {
    let url = setup.cluster.url(database);
    format!("postgres://{role}@{}", url.split_once('@').expect("a user").1)
}

fn as_who(setup: &mut Setup, who: Who, args: &[&str]) -> Ran {
    let url = url_as(setup, who.0, CATALOG);
    setup.set("BKUP_CATALOG_URL", &url);
    setup.set("AWS_ACCESS_KEY_ID", who.1);
    setup.run(args)
}

/// Runs SQL as a login and returns the error's code and words, or none where it was allowed.
async fn refused(setup: &Setup, who: Who, sql: &str) -> Option<(String, String)> {
    let connection = bkup::engine::Connection::parse(&url_as(setup, who.0, CATALOG)).unwrap();
    let mut session = sqlx::PgConnection::connect_with(&connection.options()).await.unwrap();
    let done = session.execute(sqlx::AssertSqlSafe(format!("BEGIN; {sql}; ROLLBACK"))).await;
    match done {
        Ok(_) => None,
        Err(sqlx::Error::Database(error)) => {
            Some((error.code().unwrap_or_default().into_owned(), error.message().to_owned()))
        }
        Err(other) => panic!("{sql}: {other}"),
    }
}

async fn assert_refused(setup: &Setup, who: Who, sql: &str) {
    let answer = refused(setup, who, sql).await;
    assert_eq!(answer.as_ref().map(|(code, _)| code.as_str()), Some("42501"), "{} {sql}: {answer:?}", who.0);
}

/// Roles, logins, and a catalog that one of them owns and none of the others does.
async fn divided(major: Major) -> Setup {
    let mut setup = Setup::start(major, Place::S3(S3Server::start()), &["acme"]).await;
    let mut policy = Policy { retention: "  short: { last: 1 }\n".to_owned(), ..Policy::default() };
    policy.schedules +=
        "  now: { databases: [app], backup: database, when: { on: request }, retention: short, store: primary }\n";
    setup.policy(&policy);
    let logins = "CREATE ROLE cat_owner LOGIN; CREATE ROLE ci_planner LOGIN; CREATE ROLE ci_runner LOGIN; \
                  CREATE ROLE ci_pruner LOGIN; CREATE ROLE ci_auditor LOGIN; CREATE ROLE ci_backup LOGIN";
    setup.cluster.exec("postgres", logins).await;
    setup.cluster.exec("postgres", &format!("GRANT CREATE ON DATABASE {CATALOG} TO cat_owner")).await;
    let sql = setup.run(&["init", "roles", "--catalog"]).exits(0).stdout;
    let session = setup.cluster.connection(CATALOG);
    let early = session.connect().await.unwrap().execute(sqlx::AssertSqlSafe(sql.clone())).await;
    assert!(early.unwrap_err().to_string().contains("there is no catalog"), "roles come after the catalog");
    let _ = as_who(&mut setup, OWNER, &["catalog", "migrate"]).exits(0);
    let backup = setup.run(&["init", "roles", "--database", "app"]).exits(0).stdout;
    for _again in 0..2 {
        setup.cluster.exec(CATALOG, &sql).await;
        setup.cluster.exec(APP, &backup).await;
    }
    let members = "GRANT bkup_planner TO ci_planner; GRANT bkup_runner TO ci_runner; GRANT bkup_pruner TO ci_pruner; \
                   GRANT bkup_auditor TO ci_auditor; GRANT bkup_backup TO ci_backup";
    setup.cluster.exec("postgres", members).await;
    let app = url_as(&setup, "ci_backup", APP);
    setup.set("APP_URL", &app);
    setup
}

const WORK: [&str; 4] = ["apply", "--auto-approve", "--only", "changes,backups,drills"];
const RETENTION: [&str; 4] = ["apply", "--auto-approve", "--only", "retention"];

#[tokio::test]
async fn each_part_of_the_work_is_done_with_its_own_rights_on_every_version() {
    for major in Major::ALL {
        let mut setup = divided(major).await;
        let _ = as_who(&mut setup, RUNNER, &WORK).exits(0);
        let _ = as_who(&mut setup, RUNNER, &["backup", "now"]).exits(0);
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let _ = as_who(&mut setup, RUNNER, &["backup", "now"]).exits(0);
        setup.assert_whole().await;

        // Reading changes nothing, and needs nothing that could.
        let before = setup.fingerprint().await;
        let puts = |setup: &Setup| {
            setup.s3().requests().iter().filter(|r| !r.starts_with("GET") && !r.starts_with("HEAD")).count()
        };
        let written = puts(&setup);
        let plan = as_who(&mut setup, PLANNER, &["plan"]).exits(0);
        assert!(plan.stdout.contains("1 deletion"), "the older one on request has to go: {}", plan.stdout);
        for read in
            [&["status"] as &[&str], &["list", "--all"], &["validate", "--live"], &["plan", "--explain", "tenants"]]
        {
            let _ = as_who(&mut setup, PLANNER, read).exits(0);
        }
        let said = as_who(&mut setup, PLANNER, &["apply", "--auto-approve"]).exits(1);
        assert!(said.stderr.contains("BK804") && said.stderr.contains("bkup init roles"), "{}", said.stderr);
        assert_eq!((setup.fingerprint().await, puts(&setup)), (before, written));

        // A runner that tries to prune fails clearly, and loses nothing.
        let said = as_who(&mut setup, RUNNER, &["apply", "--auto-approve"]).exits(1);
        let words = said.stdout.clone() + &said.stderr;
        assert!(
            words.contains("BK916") && words.contains("\"ci_runner\"") && words.contains("--only retention"),
            "{words}"
        );
        assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE tombstoned_at IS NOT NULL").await, "0");
        let _ = as_who(&mut setup, PRUNER, &RETENTION).exits(0);
        assert_eq!(setup.catalog("SELECT count(*) FROM bkup.executions WHERE tombstoned_at IS NOT NULL").await, "1");

        // The catalog's right without the store's: it stops at the first object, and whoever has both goes on.
        let over = "UPDATE bkup.executions SET tombstoned_at = now() - interval '3 days', purge_after = now() - interval '1 h' \
                    WHERE tombstoned_at IS NOT NULL";
        setup.cluster.exec(CATALOG, over).await;
        let manifests = setup.manifests().await.len();
        let said = as_who(&mut setup, Who("ci_pruner", RUNNER_KEY), &RETENTION).exits(1);
        assert!((said.stdout.clone() + &said.stderr).contains("BK812"), "{}{}", said.stdout, said.stderr);
        assert_eq!(setup.manifests().await.len(), manifests);
        let _ = as_who(&mut setup, PRUNER, &RETENTION).exits(0);
        assert_eq!(setup.manifests().await.len(), manifests - 1);
        setup.assert_whole().await;
        let _ = as_who(&mut setup, AUDITOR, &["audit", "verify"]).exits(0);
        let _ = as_who(&mut setup, PLANNER, &["plan", "--detailed-exitcode", "--include-due"]).exits(0);
    }
}

#[tokio::test]
async fn nobody_can_do_more_in_the_catalog_than_the_role_is_for() {
    let mut setup = divided(Major::V17).await;
    let _ = as_who(&mut setup, RUNNER, &WORK).exits(0);
    let tables = setup
        .catalog("SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'bkup'::regnamespace AND relkind IN ('r', 'v')")
        .await;
    for table in tables.split(',') {
        for right in ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"] {
            for who in [PLANNER, AUDITOR] {
                let column = if matches!(right, "INSERT" | "UPDATE") {
                    "has_any_column_privilege"
                } else {
                    "has_table_privilege"
                };
                let may = format!("SELECT {column}('{}', 'bkup.{table}', '{right}')", who.0);
                assert_eq!(setup.catalog(&may).await, "false", "{} may {right} bkup.{table}", who.0);
            }
        }
        let may = format!("SELECT has_table_privilege('ci_auditor', 'bkup.{table}', 'SELECT')");
        assert_eq!(setup.catalog(&may).await, (table == "audit_log").to_string(), "the auditor and bkup.{table}");
        let may = format!("SELECT has_table_privilege('ci_planner', 'bkup.{table}', 'SELECT')");
        let secret = ["audit_log", "digest_keys"].contains(&table);
        assert_eq!(setup.catalog(&may).await, (!secret).to_string(), "the planner and bkup.{table}");
        for right in ["DELETE", "TRUNCATE"] {
            let may = format!("SELECT has_table_privilege('ci_runner', 'bkup.{table}', '{right}')");
            let expected = right == "DELETE" && NAMED.contains(&table);
            assert_eq!(setup.catalog(&may).await, expected.to_string(), "the runner may {right} bkup.{table}");
        }
    }
    for taking in [
        "UPDATE bkup.executions SET deleted = true",
        "UPDATE bkup.executions SET tombstoned_at = now()",
        "UPDATE bkup.executions SET purge_after = '2020-01-01'",
        "UPDATE bkup.executions SET purge_begun_at = now()",
        "UPDATE bkup.executions SET purged_at = now()",
        "UPDATE bkup.executions SET status = 'FAILED' WHERE status = 'COMPLETED'",
        "DELETE FROM bkup.executions",
        "TRUNCATE bkup.executions",
        "ALTER TABLE bkup.executions DISABLE TRIGGER only_pruners_mark",
        "DROP FUNCTION bkup.may_delete() CASCADE",
        "SET ROLE bkup_pruner",
        "UPDATE bkup.meta SET lineage = 'mine'",
        "UPDATE bkup.audit_log SET actor = 'nobody'",
        "DELETE FROM bkup.audit_log",
        "INSERT INTO bkup.executions_archive (id) SELECT id FROM bkup.executions",
        "CREATE TABLE bkup.mine ()",
    ] {
        assert_refused(&setup, RUNNER, taking).await;
    }
    assert_eq!(refused(&setup, RUNNER, "UPDATE bkup.executions SET quarantine = 'odd'").await, None);
    assert_eq!(refused(&setup, PRUNER, "UPDATE bkup.executions SET tombstoned_at = now()").await, None);
    for beyond in
        ["UPDATE bkup.policies SET body = '{}'", "SELECT key FROM bkup.digest_keys", "DELETE FROM bkup.audit_log"]
    {
        assert_refused(&setup, PRUNER, beyond).await;
    }
    for beyond in [
        "SELECT * FROM bkup.executions",
        "SELECT clock FROM bkup.meta",
        "INSERT INTO bkup.audit_log SELECT * FROM bkup.audit_log",
    ] {
        assert_refused(&setup, AUDITOR, beyond).await;
    }
    // What a tombstone took can be brought back by whoever takes backups.
    setup.cluster.exec(CATALOG, "UPDATE bkup.executions SET tombstoned_at = now(), purge_after = now()").await;
    assert_eq!(
        refused(&setup, RUNNER, "UPDATE bkup.executions SET tombstoned_at = NULL, purge_after = NULL").await,
        None
    );
    // A table of a later version is read by readers, written by runners, and by nobody else.
    let mut owner =
        bkup::engine::Connection::parse(&url_as(&setup, OWNER.0, CATALOG)).unwrap().connect().await.unwrap();
    owner.execute("CREATE TABLE bkup.later (n integer)").await.unwrap();
    assert_eq!(refused(&setup, PLANNER, "SELECT * FROM bkup.later").await, None);
    assert_eq!(refused(&setup, RUNNER, "INSERT INTO bkup.later VALUES (1)").await, None);
    assert_refused(&setup, PLANNER, "INSERT INTO bkup.later VALUES (1)").await;
    assert_refused(&setup, AUDITOR, "SELECT * FROM bkup.later").await;
}

const STORES: &str = "version: 1
stores:
  primary:
    url: s3://shop-backups/prod/pg
    encryption: { recipients: [age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] }
  whole: { url: s3://other-bucket }
  folder: { url: file:///var/backups/bkup }
databases: { app: { url: \"${APP_URL}\" } }
";

#[test]
fn aws_policies_are_valid_small_and_of_one_prefix() {
    let place = cli().file("bkup.yaml", STORES);
    let all = place.run(&["init", "iam"]).exits(0).json();
    assert!(all["stores"].get("folder").is_none(), "{all}");
    for (store, place) in [("primary", "shop-backups/prod/pg/"), ("whole", "other-bucket/")] {
        for (role, policy) in all["stores"][store].as_object().unwrap() {
            assert_eq!(policy["Version"], "2012-10-17");
            let size = policy.to_string().len();
            let most = if role == "bucket" { bkup::render::LARGEST_BUCKET } else { bkup::render::LARGEST_IDENTITY };
            assert!(size < most / 4, "{store} {role}: {size}");
            let mut sids = std::collections::BTreeSet::new();
            for statement in policy["Statement"].as_array().unwrap() {
                let sid = statement["Sid"].as_str().unwrap();
                assert!(sids.insert(sid) && sid.bytes().all(|b| b.is_ascii_alphanumeric()), "{sid}");
                let resources = match &statement["Resource"] {
                    serde_json::Value::Array(many) => many.clone(),
                    one => vec![one.clone()],
                };
                for resource in resources {
                    let text = resource.as_str().unwrap();
                    let bucket = format!("arn:aws:s3:::{}", place.split('/').next().unwrap());
                    assert!(
                        text == bucket || text.starts_with(&format!("arn:aws:s3:::{place}")),
                        "{store} {role}: {text}"
                    );
                }
                let deletes = statement["Action"].to_string().contains("s3:Delete");
                let deleter = ["pruner", "eraser"].contains(&role.as_str());
                let allowed = statement["Effect"] == "Deny" || deleter || (role == "runner" && sid == "Probe");
                assert!(!deletes || allowed, "{store} {role} {sid}");
                let for_good = statement["Action"].to_string().contains("s3:DeleteObjectVersion");
                assert!(!for_good || statement["Effect"] == "Deny" || role == "eraser", "{store} {role} {sid}");
            }
        }
    }
    let one = place.run(&["init", "iam", "--store", "primary", "--role", "runner"]).exits(0).stdout;
    let bucket = place.run(&["init", "iam", "--store", "primary", "--role", "bucket"]).exits(0).stdout;
    let eraser = place.run(&["init", "iam", "--store", "primary", "--role", "eraser"]).exits(0).stdout;
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("least_rights_iam_runner", one);
        insta::assert_snapshot!("least_rights_iam_bucket", bucket);
        insta::assert_snapshot!("least_rights_iam_eraser", eraser);
    });
    let _ = place.run(&["init", "iam", "--store", "folder"]).exits(64);
    let _ = place.run(&["init", "roles", "--database", "none"]).exits(64);
    let roles = place.run(&["init", "roles"]).exits(0).stdout;
    assert!(roles.contains("-- database.app:") && !roles.contains(" SUPERUSER"), "{roles}");
    // First policies are written as before.
    let _ = cli().run(&["init"]).exits(64);
}
