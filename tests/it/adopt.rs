//! Suite: backups that other scripts left are found, checked, taken over and restored, with the binary, on real servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::restore::{content, flip};
use crate::world::cluster::{Major, fresh_folder};
use crate::world::place::World;
use crate::world::run::Ran;

/// Runs a script as its author would, with PostgreSQL's programs and libpq's variables.
#[expect(clippy::disallowed_methods, reason = "other people's scripts are what is tested")]
fn sh(world: &World, major: Major, dir: &Path, script: &str) {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", major.bin().display()))
        .envs(world.cluster.connection("app").env())
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a time as scripts write it, so many hours ago, in UTC.
fn ago(hours: i64) -> String {
    #[expect(clippy::disallowed_methods, reason = "archives hold the time at which they are made")]
    let now = jiff::Timestamp::now();
    (now - jiff::SignedDuration::from_hours(hours)).strftime("%Y%m%d_%H%M%S").to_string()
}

/// A world with what scripts leave, in the forms of several of them.
async fn world(major: Major) -> (World, PathBuf, Vec<String>) {
    let world = World::new(major, &["a", "b"]).await;
    world.policy(
        "schedules.yaml",
        "version: 1\nretention:\n  keep: { within: 30d }\nschedules:\n  \
         whole: { databases: [app], backup: database, when: { on: request }, retention: keep, store: primary }\n  \
         tenants: { databases: [app], backup: tenant_data, when: { on: request }, retention: keep, store: primary }\n",
    );
    let _ = world.apply();
    let old = world.cli.path("old");
    std::fs::create_dir(&old).unwrap();
    let times: Vec<String> = (1..8).map(ago).collect();
    let [daily, full, sql, tenant, ..] = times.as_slice() else { unreachable!() };
    sh(
        &world,
        major,
        &old,
        &format!(
            "mkdir -p daily full tenants/a logs wal work
             pg_dump -Fc --no-owner --no-acl app > daily/{daily}.dump
             sha256sum daily/{daily}.dump | cut -d' ' -f1 > daily/{daily}.sha256
             pg_dump -d app --format=directory --jobs=2 --file=work/app_full_{full}
             tar -czf full/app_full_{full}.tar.gz -C work app_full_{full}; rm -r work
             pg_dump app | gzip > full/backup_{sql}.sql.gz
             printf '{{\"checksum\": \"%s\", \"size\": %s}}' $(sha256sum full/backup_{sql}.sql.gz | cut -d' ' -f1) \
                $(stat -c %s full/backup_{sql}.sql.gz) > full/backup_{sql}.sql.gz.meta
             pg_dump -d app --schema=tenant_a --format=custom --file=tenants/a/a_{tenant}.dump
             echo '{{}}' > logs/backup_report.json; echo x > wal/000000010000000000000001"
        ),
    );
    (world, old, times)
}

fn adopt(world: &World, from: &Path, more: &[&str]) -> Ran {
    world.run(&[&["adopt", "--from", from.to_str().unwrap()], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_scripts_left_is_adopted_once_and_restored() {
    for major in Major::ALL {
        let (world, old, times) = world(major).await;
        let before: Vec<_> = world.objects("").len().to_string().into_bytes();
        let ran = adopt(&world, &old, &["--dry-run"]).exits(0);
        for time in &times[..4] {
            assert!(ran.stdout.contains(time), "{time}: {}\n{}", ran.stdout, ran.stderr);
        }
        assert!(
            ran.stdout.contains("Adopt: 4 backups") && ran.stdout.contains("2 objects that are no backups"),
            "{}",
            ran.stdout
        );
        assert_eq!(world.objects("").len().to_string().into_bytes(), before, "a look writes nothing");
        let found = std::fs::read(old.join(format!("daily/{}.dump", times[0]))).unwrap();

        let _ = adopt(&world, &old, &["--auto-approve"]).exits(0);
        assert_eq!((world.backups("database").len(), world.backups("tenant=a").len()), (3, 1));
        let ran = adopt(&world, &old, &["--auto-approve"]).exits(0);
        assert!(
            ran.stdout.contains("Adopt: 0 backups") && ran.stdout.contains("4 backups adopted before"),
            "{}",
            ran.stdout
        );
        assert_eq!(world.backups("database").len(), 3);
        assert_eq!(std::fs::read(old.join(format!("daily/{}.dump", times[0]))).unwrap(), found, "what was found stays");

        // Nothing is due, and nothing is dropped, because of them.
        let plan = world.run(&["--format", "json", "plan"]).exits(0).json();
        assert_eq!(plan["actions"].as_array().unwrap().len(), 0, "{plan}");
        let list = world.run(&["--format", "json", "list"]).exits(0).json();
        let consistent =
            list["backups"][0]["consistent_at"].as_str().unwrap().replace(['-', ':'], "").replace('T', "_");
        assert!(consistent.starts_with(&times[0]), "{consistent} {}", times[0]);

        // Every form comes back as it was.
        let ids = world.backups("database");
        for (index, id) in ids.iter().enumerate() {
            let name = format!("back{index}");
            let ran = world.run(&["restore", id, "--into", &format!("new:{name}")]).exits(0);
            assert!(ran.stdout.contains("nothing was recorded to compare it with"), "{}", ran.stdout);
            for schema in ["tenant_a", "tenant_b"] {
                assert_eq!(content(&world, &name, schema).await, content(&world, "app", schema).await, "{id}");
            }
        }
        // A tenant's archive refers to what is not in it: in scratch that is told, in the live database it is there.
        let was = content(&world, "app", "tenant_a").await;
        let ran = world.run(&["restore", "--latest", "--tenant", "a"]).exits(0);
        assert!(ran.stdout.contains("left out, for want of what is not in the backup"), "{}", ran.stdout);
        world.cluster.exec("app", "DROP SCHEMA tenant_a CASCADE").await;
        let args = ["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"];
        let _ = world.run(&args).exits(0);
        assert_eq!(content(&world, "app", "tenant_a").await, was);
        let keys = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'tenant_a.orders'::regclass AND contype = 'f'";
        assert_eq!(world.cluster.ask("app", &format!("({keys})")).await.as_deref(), Some("2"));
        // And through the store alone.
        world.cluster.exec("postgres", "DROP DATABASE cat WITH (FORCE)").await;
        let _ = world.run(&["restore", "--latest", "--tenant", "a", "--store", "primary"]).exits(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_whole_is_told_and_left_alone() {
    let major = Major::V17;
    let (world, old, times) = world(major).await;
    let [daily, full, sql, tenant, five, six, seven] = times.as_slice() else { unreachable!() };
    // A flipped bit against its sum, one without a sum, a cut one, an inner cut one, and a hostile one.
    flip(&old.join(format!("daily/{daily}.dump")));
    let tar = old.join(format!("full/app_full_{full}.tar.gz"));
    flip(&tar);
    let evil = fresh_folder("e");
    sh(
        &world,
        major,
        &old,
        &format!(
            "head -c 3000 tenants/a/a_{tenant}.dump > t && mv t tenants/a/a_{tenant}.dump
             zcat full/backup_{sql}.sql.gz | head -n -20 | gzip > t && mv t full/backup_{sql}.sql.gz && rm full/*.meta
             (echo '\\! touch {evil}'; pg_dump app) | gzip > full/backup_{five}.sql.gz
             : > daily/{six}.dump
             pg_dump -Fc app > daily/20260101_030000.dump
             pg_dump -Fc --file={seven}.dump app; printf 'something else' >> {seven}.dump
             cp full/backup_{five}.sql.gz full/latest.tar.gz; echo hello > daily/20990101_000000.dump",
            evil = evil.display(),
        ),
    );
    let ran = adopt(&world, &old, &["--auto-approve"]).exits(0);
    for why in [
        "its SHA-256 is not the one in",
        "lacks the line with which pg_dump ends",
        "is a command of psql",
        "it is empty",
        "and the archive itself that it was made at",
        "its name says no time",
        "which is yet to come",
        "ends too early",
        "it is damaged at byte",
    ] {
        assert!(ran.stdout.replace('\n', " ").contains(why), "{why}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("Adopt: 0 backups"), "{}", ran.stdout);
    assert!(world.backups("database").is_empty() && world.backups("tenant=a").is_empty());
    assert!(!evil.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_read_in_the_zone_that_is_given_and_retention_is_the_schedules() {
    let major = Major::V15;
    let (world, old, times) = world(major).await;
    let ran = adopt(&world, &old, &["--dry-run"]).exits(0);
    assert!(ran.stdout.contains("times in names are read as UTC"), "{}", ran.stdout);
    // Nine hours earlier.
    let json = world
        .run(&["--format", "json", "adopt", "--from", old.to_str().unwrap(), "--timezone", "Asia/Seoul", "--dry-run"])
        .exits(0)
        .json();
    let actions = json["plan"]["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 4, "{json}");
    let daily =
        actions.iter().find(|a| a["kind"]["back_up"]["found"]["key"].as_str().unwrap().starts_with("daily")).unwrap();
    let at: jiff::Timestamp = daily["kind"]["back_up"]["found"]["at"].as_str().unwrap().parse().unwrap();
    let utc = at + jiff::SignedDuration::from_hours(9);
    assert_eq!(utc.strftime("%Y%m%d_%H%M%S").to_string(), times[0]);
    // A rule that would drop them at once adopts none.
    world.policy(
        "schedules.yaml",
        "version: 1\nretention:\n  keep: { last: 1 }\nguards: { min_keep: 1 }\nschedules:\n  \
         whole: { databases: [app], backup: database, when: { on: request }, retention: keep, store: primary }\n  \
         more: { databases: [app], backup: database, when: { on: request }, retention: keep, store: primary }\n  \
         tenants: { databases: [app], backup: tenant_data, when: { on: request }, retention: keep, store: primary }\n",
    );
    let _ = adopt(&world, &old, &["--auto-approve"]).exits(64).says("BK921").says("several schedules");
    let args = ["--auto-approve", "--schedule", "whole", "--schedule", "tenants"];
    let _ = adopt(&world, &old, &args).exits(64).says("is not applied as the policies have it");
    let _ = world.apply();
    let ran = adopt(&world, &old, &args).exits(0);
    assert!(ran.stdout.contains("the retention of schedule.whole keeps none of its time"), "{}", ran.stdout);
    assert_eq!(world.backups("database").len(), 1);
    let plan = world.run(&["--format", "json", "plan"]).exits(0).json();
    assert_eq!(plan["actions"].as_array().unwrap().len(), 0, "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_adopted_from_as_a_folder_is() {
    let major = Major::V17;
    let (world, old, times) = world(major).await;
    let server = crate::world::s3::S3Server::start();
    for folder in ["daily", "tenants/a"] {
        for item in std::fs::read_dir(old.join(folder)).unwrap().flatten() {
            let key = format!("scripts/{folder}/{}", item.file_name().to_string_lossy());
            server.set(&key, std::fs::read(item.path()).unwrap().into());
        }
    }
    let world = world
        .env("AWS_ACCESS_KEY_ID", crate::world::s3::ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", crate::world::s3::SECRET_KEY);
    let bucket = format!("s3://{}/scripts", crate::world::s3::BUCKET);
    let endpoint = server.endpoint();
    let args = ["adopt", "--from", &bucket, "--endpoint", &endpoint, "--region", "us-east-1", "--auto-approve"];
    let before = server.keys();
    let _ = world.run(&args).exits(0);
    assert_eq!((world.backups("database").len(), world.backups("tenant=a").len()), (1, 1), "{times:?}");
    assert_eq!(server.keys(), before, "nothing is written there, and nothing deleted");
    let gone =
        ["adopt", "--from", "s3://no-such-bucket/x", "--endpoint", &endpoint, "--region", "us-east-1", "--dry-run"];
    let _ = world.run(&gone).exits(1).says("BK920");
}
