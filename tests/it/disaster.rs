//! Suite: the commands of `docs/disaster.md`, exactly as they stand there, on backups that bkup made, without bkup.

use std::path::Path;
use std::process::{Command, Output};

use crate::restore::content;
use crate::world::cluster::Major;
use crate::world::place::World;

/// Returns the commands of the page: its blocks marked `sh disaster`, in their order.
fn commands() -> String {
    let out = blocks("```sh disaster").concat();
    assert!(out.contains("pg_restore") && out.contains("age --decrypt"), "the blocks are there:\n{out}");
    out
}

/// Returns the blocks of the page that begin with a mark.
fn blocks(mark: &str) -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/disaster.md")).unwrap();
    let mut out: Vec<String> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.trim_end() {
            line if line == mark => {
                inside = true;
                out.push(String::new());
            }
            "```" => inside = false,
            line if inside => out.last_mut().unwrap().push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    out
}

/// Runs the page's commands with nothing but the programs it names.
fn follow(world: &World, major: Major, dir: &Path, database: &str) -> Output {
    follow_with(world, major, dir, database, &commands())
}

/// Runs commands with nothing but the programs they name.
#[expect(clippy::disallowed_methods, reason = "a person at a shell is what is tested")]
fn follow_with(world: &World, major: Major, dir: &Path, database: &str, commands: &str) -> Output {
    use secrecy::ExposeSecret;
    let work = world.cli.path(&format!("work-{database}"));
    std::fs::create_dir(&work).unwrap();
    let identity = world.cli.path("identity.txt");
    std::fs::write(&identity, &world.keys.identity).unwrap();
    let output = Command::new("bash")
        .arg("-c")
        .arg(commands)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", major.bin().display()))
        .env("LC_ALL", "C.UTF-8")
        .env("STORE", &world.store)
        .env("BACKUP_DIR", dir)
        .env("IDENTITY", &identity)
        .env("TARGET", world.cluster.connection(database).url().expose_secret())
        .env("WORK", &work)
        .current_dir("/")
        .output()
        .unwrap();
    let left: Vec<_> = std::fs::read_dir(&work).unwrap().flatten().map(|item| item.file_name()).collect();
    let fine = ["globals.sql", "configuration", "files", "files.jsonl"];
    assert!(left.iter().all(|name| fine.iter().any(|fine| name == fine)), "no key stays behind: {left:?}");
    output
}

#[track_caller]
fn must(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// Returns the folders of a scope's backups, from the store's.
fn dirs(world: &World, scope: &str) -> Vec<std::path::PathBuf> {
    let manifests = world.objects("backups/app").into_iter().filter(|path| path.ends_with("manifest.json"));
    let dirs = manifests.map(|path| path.parent().unwrap().strip_prefix(&world.store).unwrap().to_owned());
    dirs.filter(|dir| dir.starts_with(Path::new("backups/app").join(scope))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_and_a_database_come_back_by_hand() {
    for major in Major::ALL {
        let world = World::new(major, &["a", "été 1"]).await;
        world.cluster.exec("app", "CREATE ROLE teller; GRANT USAGE ON SCHEMA tenant_a TO teller; GRANT SELECT ON public.currencies TO teller").await;
        let _ = world.apply();
        for (index, (scope, schemas)) in [
            ("tenant=a", &["tenant_a"][..]),
            ("tenant=%c3%a9t%c3%a9%201", &["tenant_été 1"]),
            ("database", &["tenant_a", "tenant_été 1"]),
        ]
        .into_iter()
        .enumerate()
        {
            let database = format!("back_{index}");
            world.cluster.exec("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0")).await;
            let found = dirs(&world, scope);
            assert_eq!(found.len(), 1, "{scope}: {found:?}");
            must(&follow(&world, major, &found[0], &database));
            for schema in schemas {
                assert_eq!(content(&world, &database, schema).await, content(&world, "app", schema).await, "{scope}");
            }
            let rows = "SELECT count(*) FROM public.currencies";
            assert_eq!(world.cluster.ask(&database, rows).await.as_deref(), Some("3"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_stops_at_damage_and_at_a_wrong_key() {
    let world = World::new(Major::V15, &["a"]).await;
    let _ = world.apply();
    let dir = dirs(&world, "tenant=a").remove(0);
    world.cluster.exec("postgres", "CREATE DATABASE back_0 TEMPLATE template0").await;
    let part = world
        .objects(dir.to_str().unwrap())
        .into_iter()
        .find(|path| path.to_string_lossy().contains("archive"))
        .unwrap();
    let whole = std::fs::read(&part).unwrap();
    crate::restore::flip(&part);
    let output = follow(&world, Major::V15, &dir, "back_0");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED"), "sha256sum names the object");
    std::fs::write(&part, whole).unwrap();
    let mut world = world;
    let other = bkup::crypto::generate_identity("2026-01-01T00:00:00Z".parse().unwrap());
    world.keys.identity = secrecy::ExposeSecret::expose_secret(&other.text).to_owned();
    std::fs::remove_dir_all(world.cli.path("work-back_0")).unwrap();
    let output = follow(&world, Major::V15, &dir, "back_0");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && stderr.contains("opens none of the backup's keys"), "{stderr}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'tenant_a'";
    assert_eq!(world.cluster.ask("back_0", &format!("({schemas})")).await.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_encryption_needs_no_key() {
    let world = World::new(Major::V15, &["a"]).await;
    let plain = world
        .places()
        .lines()
        .filter(|line| !line.contains("encryption"))
        .fold(String::new(), |text, line| text + line + "\n");
    world.policy("places.yaml", &plain);
    let _ = world.apply();
    world.cluster.exec("postgres", "CREATE DATABASE back_0 TEMPLATE template0").await;
    must(&follow(&world, Major::V15, &dirs(&world, "tenant=a").remove(0), "back_0"));
    assert_eq!(content(&world, "back_0", "tenant_a").await, content(&world, "app", "tenant_a").await);
    // And bkup itself needs none either.
    let world = world.env("BKUP_AGE_IDENTITY", "");
    let _ = world.run(&["restore", "--latest", "--tenant", "a"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_comes_back_by_hand() {
    let world = World::new(Major::V17, &["a"]).await;
    world.cluster.exec("postgres", "CREATE ROLE teller").await;
    let schedule = "databases: [app], backup: configuration, when: { on: change }, retention: keep, store: primary";
    world.policy("config.yaml", &format!("version: 1\nschedules:\n  config: {{ {schedule} }}\n"));
    let _ = world.apply();
    let dir = dirs(&world, "configuration").remove(0);
    let commands = format!("{}{}", blocks("```sh disaster")[0], blocks("```sh configuration").concat());
    must(&follow_with(&world, Major::V17, &dir, "by-hand", &commands));
    let globals = world.cli.path("work-by-hand").join("configuration/globals.sql");
    assert!(std::fs::read_to_string(globals).unwrap().contains("CREATE ROLE teller"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_without_bkup() {
    let world = World::new(Major::V17, &["a"]).await;
    let source = tempfile::tempdir().unwrap();
    std::fs::write(source.path().join("b\\s"), "content").unwrap();
    let (_pipe, holes) = (
        rustix::fs::mkfifoat(rustix::fs::CWD, source.path().join("pipe"), rustix::fs::Mode::from_raw_mode(0o600)),
        std::fs::File::create(source.path().join("holes")).unwrap(),
    );
    holes.set_len(3 << 20).unwrap();
    let schedule = format!(
        "version: 1\nretention:\n  keep: {{ within: 30d }}\nschedules:\n  uploads: {{ backup: files, paths: [\"{}\"], when: \
         {{ on: request }}, retention: keep, store: primary }}\n",
        source.path().display()
    );
    world.policy("schedules.yaml", &schedule);
    let _ = world.back_up("uploads");
    let manifest = world.objects("backups/_").into_iter().find(|path| path.ends_with("manifest.json")).unwrap();
    let dir = manifest.parent().unwrap().strip_prefix(&world.store).unwrap().to_owned();
    let commands = format!("{}{}", blocks("```sh disaster")[0], blocks("```sh files").concat());
    let output = follow_with(&world, Major::V17, &dir, "app", &commands);
    must(&output);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("left out:") && said.contains("pipe: a pipe"), "{said}");
    let there = world.cli.path("work-app/files").join(source.path().strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(there.join("b\\s")).unwrap(), "content");
    assert_eq!(std::fs::metadata(there.join("holes")).unwrap().len(), 3 << 20);
}
