//! With the binary, on a real catalog and a real store: files are backed up, listed, drilled, restored and pruned as
//! everything else is, by policies that name no database.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::restore::{flip, only};
use crate::world::cluster::Major;
use crate::world::place::World;

use super::below;
use super::picture::picture;

/// A world whose policies are about files alone, and the files.
struct Files {
    world: World,
    source: tempfile::TempDir,
}

async fn files(more: &str) -> Files {
    let world = World::new(Major::V17, &["a"]).await;
    let source = tempfile::tempdir().unwrap();
    std::fs::set_permissions(source.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, content) in [("uploads/a.txt", "a"), ("uploads/deep/b.txt", "b"), ("uploads/c.tmp", "c")] {
        let path = source.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    std::os::unix::fs::symlink("a.txt", source.path().join("uploads/link")).unwrap();
    world.policy(
        "places.yaml",
        &format!(
            "version: 1\ncatalog: {{ url: \"${{BKUP_CATALOG_URL}}\" }}\nstores:\n  primary:\n    url: file://{}\n    \
             encryption: {{ recipients: [{}], identity: \"${{BKUP_AGE_IDENTITY}}\" }}\n",
            world.store.display(),
            world.keys.recipient
        ),
    );
    let schedules = format!(
        "version: 1\nretention:\n  keep: {{ last: 2 }}\nguards: {{ max_delete: 100%, min_keep: 1, grace: 0s }}\nschedules:\n  \
         uploads:\n    backup: files\n    paths: [\"{0}/uploads/**\"]\n    exclude: [\"*.tmp\"]\n    when: {{ on: request }}\n    \
         retention: keep\n    store: primary\n{more}",
        source.path().display()
    );
    world.policy("schedules.yaml", &schedules);
    Files { world, source }
}

impl Files {
    fn source(&self) -> PathBuf {
        self.source.path().join("uploads")
    }

    fn restored(&self, args: &[&str], name: &str) -> PathBuf {
        let dir = self.world.cli.path(name);
        let into = format!("folder:{}", dir.display());
        let _ = self.world.run(&[&["restore", "--into", &into], args].concat()).exits(0);
        below(&dir, &self.source())
    }
}

/// A recovery plan of files alone.
const RECOVERY: &str = "recovery_plans:
  files-back:
    description: Bring the uploads back
    type: partial_recovery
    scope: specific_services
    rto: 1h
    requires: [files]
    steps:
      - restore: { backup: files, into: scratch }
    approval: { status: pending_approval }
    contacts: { primary: ops@example.com }
    drill: { every: 30d, checks: [{ tables: equal }] }
";

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_files_alone_back_up_list_restore_and_prune() {
    let files = files("").await;
    let world = &files.world;
    let ran = world.back_up("uploads");
    assert!(!ran.stdout.contains("finding"), "{}", ran.stdout);
    let ids = world.backups("files=uploads");
    assert_eq!(ids.len(), 1);
    let listed = world.run(&["list"]).exits(0).stdout;
    assert!(listed.contains("files=uploads"), "{listed}");
    let _ = world.run(&["status"]).exits(0);

    let there = files.restored(&["--latest", "--scope", "files=uploads"], "back");
    let mut expected = picture(&files.source());
    expected.retain(|path, _| path != b"c.tmp");
    assert_eq!(picture(&there), expected);
    let by_id = files.restored(&[&ids[0]], "by-id");
    assert_eq!(picture(&by_id), expected);
    let proven = world.run(&["restore", &ids[0]]).exits(0).stdout;
    let words = proven.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the files of schedule.uploads") && words.contains("2 files with 2 B, equal"), "{proven}");

    // Never over what is there.
    let dir = world.cli.path("back");
    let refused = world.run(&["restore", &ids[0], "--into", &format!("folder:{}", dir.display())]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("BK863"), "{}", refused.stderr);

    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let _ = world.back_up("uploads");
    }
    for _ in 0..3 {
        let _ = world.apply();
    }
    let left = world.backups("files=uploads");
    assert_eq!(left.len(), 2, "its rule keeps two: {left:?}");
    let manifests = world.objects("backups/_").into_iter().filter(|path| path.ends_with("manifest.json"));
    assert_eq!(manifests.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_alone_brings_files_back() {
    let files = files("").await;
    let _ = files.world.back_up("uploads");
    let world = &files.world;
    world.cluster.exec("postgres", "DROP DATABASE cat WITH (FORCE)").await;
    let there = files.restored(&["--latest", "--scope", "files=uploads"], "back");
    assert_eq!(std::fs::read_to_string(there.join("deep/b.txt")).unwrap(), "b");
    // The catalog is made again from the store, too.
    world.cluster.exec("postgres", "CREATE DATABASE cat").await;
    let _ = world.run(&["catalog", "rebuild", "--auto-approve"]).exits(0);
    assert_eq!(world.backups("files=uploads").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_proves_files_by_their_digests_and_quarantines_what_is_damaged() {
    let files = files(RECOVERY).await;
    let world = &files.world;
    let _ = world.back_up("uploads");
    let ran = world.run(&["drill", "files-back", "--evidence", "e.json"]).exits(0);
    let evidence: serde_json::Value = serde_json::from_str(&world.cli.read("e.json")).unwrap();
    assert_eq!(evidence["status"], "passed", "{}", ran.stdout);
    let check = &evidence["checks"][0];
    assert_eq!((&check["passed"], check["observed"].as_str()), (&true.into(), Some("2 files with 2 B equal")));
    let left: Vec<_> = std::fs::read_dir(world.cli.scratch()).unwrap().flatten().map(|item| item.path()).collect();
    assert!(left.is_empty(), "nothing is left of it: {left:?}");
    flip(&only(world.objects("backups/_").into_iter().filter(|p| p.to_string_lossy().contains("files.tar")).collect()));
    let ran = world.run(&["drill", "files-back"]);
    assert_eq!(ran.code, 8, "{}\n{}", ran.stdout, ran.stderr);
    let quarantined =
        world.cluster.ask("cat", "SELECT count(*) FROM bkup.executions WHERE quarantine IS NOT NULL").await;
    assert_eq!(quarantined.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_mounted_fails_the_run_and_no_backup_is_made() {
    let files = files("").await;
    let _ = files.world.back_up("uploads");
    std::fs::rename(files.source(), files.source.path().join("away")).unwrap();
    std::fs::create_dir(files.source()).unwrap();
    let ran = files.world.run(&["backup", "uploads"]);
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("BK947"), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(files.world.backups("files=uploads").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_than_root_gets_files_of_their_own_without_borrowed_rights() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let files = files("").await;
    let tool = files.source().join("tool");
    std::fs::write(&tool, "#!/bin/sh").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let _ = files.world.back_up("uploads");
    open_to_all(&files.world.store);
    let target = tempfile::tempdir().unwrap();
    std::fs::set_permissions(target.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let dir = target.path().join("back");
    let into = format!("folder:{}", dir.display());
    open_to_all(files.world.cli.work().parent().unwrap());
    let plain = files.world.cli.command(&["restore", "--latest", "--scope", "files=uploads", "--into", &into]);
    let binary = target.path().join("bkup");
    let _bytes = std::fs::copy(plain.get_program(), &binary).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = assert_cmd::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary).args(plain.get_args()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let _out = command.current_dir(files.world.cli.work()).assert().success();
    let facts = std::fs::metadata(below(&dir, &tool)).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o7777), (65534, 0o755));
}

fn open_to_all(path: &Path) {
    let folder = path.is_dir();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(if folder { 0o755 } else { 0o644 })).unwrap();
    for item in std::fs::read_dir(path).into_iter().flatten().flatten() {
        open_to_all(&item.path());
    }
}
