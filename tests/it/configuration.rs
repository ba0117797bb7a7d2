//! Suite: backups of the configuration, schedules `on: change`, and restores of them, with the binary, on real servers.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::restore::{flip, only};
use crate::world::cluster::Major;
use crate::world::place::World;

/// A schedule `on: change` beside the world's own.
const ON_CHANGE: &str = "version: 1
schedules:
  config:
    databases: [app]
    backup: configuration
    when: { on: change }
    retention: keep
    store: primary
";

async fn world(major: Major) -> World {
    let world = World::new(major, &["a"]).await;
    world.policy("config.yaml", ON_CHANGE);
    // What is due by the calendar is not what is tested here.
    world.policy("schedules.yaml", "version: 1\nretention:\n  keep: { within: 30d }\n");
    world
}

/// Takes the newest configuration back into a folder, and returns it.
fn brought_back(world: &World, name: &str) -> PathBuf {
    let dir = world.cli.path(name);
    let into = format!("folder:{}", dir.display());
    let _ = world.run(&["restore", "--latest", "--scope", "configuration", "--into", &into]).exits(0);
    dir
}

fn text(dir: &Path, file: &str) -> String {
    std::fs::read_to_string(dir.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn json(dir: &Path, file: &str) -> Value {
    serde_json::from_str(&text(dir, file)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_backed_up_when_it_changes_and_then_never_again() {
    for major in Major::ALL {
        let world = world(major).await;
        let _ = world.apply();
        assert_eq!(world.backups("configuration").len(), 1);
        for _ in 0..2 {
            let plan = world.run(&["--format", "json", "plan"]).exits(0).json();
            assert_eq!(plan["actions"].as_array().unwrap().len(), 0, "{plan}");
        }
        let sql = [
            "CREATE ROLE teller LOGIN PASSWORD 'geheim'",
            "ALTER ROLE teller SET work_mem TO '12MB'",
            "ALTER DATABASE app SET search_path TO \"$user\", public",
            "CREATE ROLE boss; GRANT boss TO teller",
        ];
        for (index, sql) in sql.iter().enumerate() {
            world.cluster.exec("postgres", sql).await;
            let ran = world.run(&["plan"]).exits(0);
            let said = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains("the configuration differs from that of"), "{sql}: {}", ran.stdout);
            let _ = world.apply();
            assert_eq!(world.backups("configuration").len(), index + 2, "{sql}");
            let _ = world.apply();
            assert_eq!(world.backups("configuration").len(), index + 2, "{sql}, again");
        }
        // Data is no configuration, and neither is another database of the server.
        world.cluster.exec("app", "DELETE FROM tenant_a.orders; ANALYZE").await;
        world.cluster.exec("postgres", "CREATE DATABASE other").await;
        world.cluster.exec("postgres", "ALTER DATABASE other SET work_mem TO '1MB'").await;
        let _ = world.apply();
        assert_eq!(world.backups("configuration").len(), sql.len() + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_changes_back_is_backed_up_again() {
    let world = world(Major::V17).await;
    let _ = world.apply();
    for (count, sql) in [(2, "CREATE ROLE x"), (3, "DROP ROLE x"), (4, "CREATE ROLE x"), (5, "DROP ROLE x")] {
        world.cluster.exec("postgres", sql).await;
        let _ = world.apply();
        assert_eq!(world.backups("configuration").len(), count, "{sql}");
    }
    let digests =
        "SELECT count(DISTINCT content_digest) || ' ' || count(*) FROM bkup.executions WHERE status = 'COMPLETED'";
    assert_eq!(world.cluster.ask("cat", &format!("({digests})")).await.as_deref(), Some("2 5"));
    let slots =
        "SELECT bool_and(a.consistent_at < b.slot) FROM bkup.executions a JOIN bkup.executions b ON a.slot < b.slot";
    assert_eq!(world.cluster.ask("cat", &format!("({slots})")).await.as_deref(), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_take_one_backup_of_one_change() {
    let world = world(Major::V17).await;
    let _ = world.apply();
    for round in 0..3 {
        world.cluster.exec("postgres", &format!("CREATE ROLE r{round}")).await;
        let children: Vec<_> = (0..3).map(|_| world.cli.spawn(&["apply", "--auto-approve"])).collect();
        for child in children {
            let ran = child.finish();
            assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
        }
        assert_eq!(world.backups("configuration").len(), round + 2);
        let manifests = world.objects("backups/app/configuration").into_iter().filter(|p| p.ends_with("manifest.json"));
        assert_eq!(manifests.count(), round + 2);
    }
    let plan = world.run(&["--format", "json", "plan"]).exits(0).json();
    assert!(plan["actions"].as_array().unwrap().iter().all(|a| a["kind"].get("back_up").is_none()), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalog_row_meets_the_manifest_that_is_there() {
    let world = world(Major::V15).await;
    let _ = world.apply();
    world.cluster.exec("postgres", "CREATE ROLE x").await;
    let _ = world.apply();
    let newest = world.backups("configuration").remove(0);
    // As after a crash between the manifest and the catalog.
    world
        .cluster
        .exec(
            "cat",
            &format!(
                "DELETE FROM bkup.executions WHERE backup_id = '{newest}'; \
                 UPDATE bkup.schedule_progress SET settled = 'epoch'"
            ),
        )
        .await;
    let _ = world.apply();
    assert_eq!(world.backups("configuration"), {
        let mut all = vec![newest];
        all.extend(world.backups("configuration").into_iter().skip(1));
        all
    });
    let manifests = world.objects("backups/app/configuration").into_iter().filter(|p| p.ends_with("manifest.json"));
    assert_eq!(manifests.count(), 2, "no second manifest for one change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_backups_were_all_purged_begins_anew() {
    let world = world(Major::V15).await;
    let _ = world.apply();
    world.cluster.exec("cat", "UPDATE bkup.executions SET deleted = true").await;
    let ran = world.run(&["apply", "--auto-approve"]);
    let _ = ran.exits(0);
    assert_eq!(world.backups("configuration").len(), 1);
    let plan = world.run(&["--format", "json", "plan"]).exits(0).json();
    assert_eq!(plan["actions"].as_array().unwrap().len(), 0, "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_policies_is_one_of_the_configuration() {
    let world = world(Major::V17).await;
    let _ = world.apply();
    world.policy("config.yaml", &ON_CHANGE.replace("retention: keep", "retention: { within: 60d }"));
    let _ = world.apply();
    assert_eq!(world.backups("configuration").len(), 2);
    // Another order and a comment are not.
    world.policy(
        "config.yaml",
        &format!("# a comment\n{}", ON_CHANGE.replace("retention: keep", "retention: { within: 60d }")),
    );
    let _ = world.apply();
    assert_eq!(world.backups("configuration").len(), 2);
    let dir = brought_back(&world, "config");
    let documents = json(&dir, "policies/documents.json");
    assert_eq!(documents["schedule.config"]["retention"]["within"], "60d", "{documents}");
    let policies = std::fs::read_dir(dir.join("policies/files")).unwrap().count();
    assert!(policies > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_configuration_comes_back_into_a_folder() {
    for major in Major::ALL {
        let world = world(major).await;
        world
            .cluster
            .exec(
                "postgres",
                "CREATE ROLE teller LOGIN PASSWORD 'geheim' CONNECTION LIMIT 7; CREATE ROLE boss; GRANT boss TO teller; \
                 ALTER ROLE teller SET work_mem TO '12MB'; ALTER DATABASE app SET search_path TO \"$user\", public; \
                 ALTER ROLE teller IN DATABASE app SET statement_timeout TO '9s'; \
                 ALTER DATABASE app SET \"app.jwt_secret\" TO 'hochgeheim'; ALTER ROLE boss SET \"app.api_token\" TO 'hochgeheim'",
            )
            .await;
        world.cluster.exec("postgres", "ALTER SYSTEM SET log_min_duration_statement = '1234ms'").await;
        let _ = world.apply();
        let dir = brought_back(&world, "config");
        let contents = json(&dir, "contents.json");
        assert_eq!(contents["unread"], serde_json::json!({}));
        let globals = text(&dir, "globals.sql");
        assert!(globals.contains("CREATE ROLE teller") && globals.contains("GRANT boss TO teller"), "{globals}");
        let sql = text(&dir, "database.sql");
        assert!(sql.contains("ALTER DATABASE \"app\" SET \"search_path\" TO '$user', 'public';"), "{sql}");
        assert!(sql.contains("ALTER ROLE \"teller\" IN DATABASE \"app\" SET \"statement_timeout\" TO '9s';"), "{sql}");
        let role = json(&dir, "roles.json");
        let teller = role.as_array().unwrap().iter().find(|role| role["name"] == "teller").unwrap();
        assert_eq!((&teller["login"], &teller["connection_limit"]), (&true.into(), &7.into()));
        let files = text(&dir, "file_settings.json");
        assert!(files.contains("log_min_duration_statement") && files.contains("1234ms"), "{files}");
        assert!(json(&dir, "hba.json").as_array().unwrap().iter().any(|rule| rule["method"] == "trust"));
        assert!(text(&dir, "extensions.json").contains("plpgsql"));
        // Sums agree, and nothing secret is inside: neither passwords, nor their hashes, nor what looks like a secret.
        for file in contents["files"].as_array().unwrap() {
            let bytes = std::fs::read(dir.join(file["name"].as_str().unwrap())).unwrap();
            assert_eq!(file["sha256"], bkup::domain::sha256(&bytes).to_string());
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for secret in ["geheim", "SCRAM-SHA-256$", "AGE-SECRET-KEY"] {
                assert!(!text.contains(secret), "{}: {secret}", file["name"]);
            }
        }
        // What is there is never touched.
        let into = format!("folder:{}", dir.display());
        let again = ["restore", "--latest", "--scope", "configuration", "--into", &into];
        let _ = world.run(&again).exits(6).says("BK863");
        // It can be run again on another server.
        let other = crate::world::cluster::Cluster::start(major).await;
        other.exec("postgres", "CREATE DATABASE app").await;
        other.exec("app", &sql.lines().filter(|l| !l.starts_with("ALTER ROLE")).collect::<Vec<_>>().join("\n")).await;
        let path = "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = 'app'";
        assert!(other.ask("postgres", &format!("({path})")).await.unwrap().contains("$user"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_go_in_only_where_they_are_asked_for_and_a_changed_one_is_a_change() {
    let world = world(Major::V17).await;
    world.cluster.exec("postgres", "CREATE ROLE teller LOGIN PASSWORD 'geheim'").await;
    world.policy("config.yaml", &ON_CHANGE.replace("when:", "passwords: true\n    when:"));
    let _ = world.apply();
    let dir = brought_back(&world, "one");
    let globals = text(&dir, "globals.sql");
    assert!(globals.contains("PASSWORD 'SCRAM-SHA-256$") && !globals.contains("geheim"), "{globals}");
    world.cluster.exec("postgres", "ALTER ROLE teller PASSWORD 'anders'").await;
    let _ = world.apply();
    assert_eq!(world.backups("configuration").len(), 2);
    // A store that is not encrypted takes none.
    let plain = world.places().lines().filter(|line| !line.contains("encryption")).collect::<Vec<_>>().join("\n");
    world.policy("places.yaml", &plain);
    let ran = world.run(&["validate"]).exits(3);
    assert!(ran.stdout.contains("has no encryption"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_read_is_said_in_the_backup() {
    for major in Major::ALL {
        let world = world(major).await;
        world.cluster.exec("postgres", "CREATE ROLE backup LOGIN").await;
        let url = world.cluster.connection("app").env();
        let of = |name: &str| url.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
        let host = of("PGHOST").replace('/', "%2F");
        let world = world.env("APP_URL", &format!("postgres://backup@{host}:{}/app", of("PGPORT")));
        world.policy("config.yaml", &ON_CHANGE.replace("when:", "passwords: true\n    when:"));
        let _ = world.apply();
        let dir = brought_back(&world, "config");
        let contents = json(&dir, "contents.json");
        for part in ["hba", "file_settings", "passwords"] {
            assert!(contents["unread"][part].as_str().unwrap().contains("permission denied"), "{contents}");
        }
        assert_eq!(contents["passwords"], false);
        assert!(text(&dir, "README.txt").contains("Not read:"));
        assert!(text(&dir, "globals.sql").contains("CREATE ROLE backup"));
        let ran = world.run(&["--format", "json", "list"]).exits(0).json();
        assert_eq!(ran["backups"].as_array().unwrap().len(), 1);
        let manifest = only(
            world.objects("backups/app/configuration").into_iter().filter(|p| p.ends_with("manifest.json")).collect(),
        );
        let notes = serde_json::from_slice::<Value>(&std::fs::read(manifest).unwrap()).unwrap()["notes"].to_string();
        assert!(notes.contains("not read: hba"), "{notes}");
        // Rights that come later are seen as a change.
        world.cluster.exec("postgres", "ALTER ROLE backup SUPERUSER").await;
        let _ = world.apply();
        assert_eq!(world.backups("configuration").len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_leaves_nothing_and_a_wrong_target_is_said() {
    let world = world(Major::V15).await;
    let _ = world.apply();
    let part = only(
        world.objects("backups/app/configuration").into_iter().filter(|p| !p.ends_with("manifest.json")).collect(),
    );
    flip(&part);
    let dir = world.cli.path("out/deep");
    std::fs::create_dir_all(dir.parent().unwrap()).unwrap();
    let into = format!("folder:{}", dir.display());
    let _ = world.run(&["restore", "--latest", "--scope", "configuration", "--into", &into]).exits(1).says("BK824");
    assert_eq!(std::fs::read_dir(dir.parent().unwrap()).unwrap().count(), 0);
    let _ = world.run(&["restore", "--latest", "--scope", "configuration"]).exits(64).says("folder:DIR");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_by_the_calendar_and_on_request_is_one_too() {
    let world = world(Major::V17).await;
    world.policy("config.yaml", &ON_CHANGE.replace("{ on: change }", "{ frequency: daily, time: \"02:00\" }"));
    let _ = world.apply();
    assert_eq!(world.backups("configuration").len(), 1);
    world.policy("config.yaml", ON_CHANGE);
    let _ = world.apply();
    let before = world.backups("configuration").len();
    // What is asked for is named by the second: in that of the backup before, it would be taken for the same.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let _ = world.run(&["backup", "config"]).exits(0);
    assert_eq!(world.backups("configuration").len(), before + 1);
    let plan = world.run(&["--format", "json", "plan"]).exits(0).json();
    assert_eq!(plan["actions"].as_array().unwrap().len(), 0, "{plan}");
    let forecast = world.run(&["simulate", "--for", "30d"]).exits(0);
    assert!(forecast.stdout.contains("config"), "{}", forecast.stdout);
    let told = world.run(&["explain", "schedule.config"]).exits(0);
    assert!(told.stdout.contains("differs from that of the newest backup"), "{}", told.stdout);
}
