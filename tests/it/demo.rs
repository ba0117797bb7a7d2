//! Suite: the demo. The real binary tells its whole story on a real server, and nothing of it stays behind.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bkup::engine::Invocation;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::world::cluster::Major;
use crate::world::run::{Cli, Ran, cli};

/// A machine that is busy with the other suites takes its time.
const PATIENCE: Duration = Duration::from_secs(400);

fn place(major: Major) -> Cli {
    cli().env("BKUP_PG_BIN", major.bin().to_str().unwrap())
}

fn demo(place: &Cli, args: &[&str]) -> Ran {
    let output = place.command(args).timeout(PATIENCE).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Returns the folder that a demo said it uses.
#[track_caller]
fn folder(stdout: &str) -> PathBuf {
    let line = stdout.lines().find_map(|line| line.strip_prefix("$ cd ")).unwrap_or_else(|| panic!("{stdout}"));
    PathBuf::from(line.strip_suffix(" && . ./env").unwrap())
}

/// Returns the command lines of processes that work in a folder.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(folder)).collect()
}

#[track_caller]
fn assert_nothing_is_left(folder: &Path) {
    assert!(folder.file_name().unwrap().to_str().unwrap().starts_with("bkup-demo-"), "{}", folder.display());
    assert!(!folder.exists(), "{} is still there", folder.display());
    assert_eq!(processes(folder), Vec::<String>::new());
}

/// Asserts that the lines come in this order, other lines between them.
#[track_caller]
fn assert_told(stdout: &str, wanted: &[&str]) {
    let mut lines = stdout.lines();
    for words in wanted {
        assert!(lines.any(|line| line.contains(words)), "{words:?} does not come in its turn in:\n{stdout}");
    }
}

#[test]
fn the_whole_story_is_told_and_nothing_stays_behind() {
    let ran = demo(&place(Major::V17), &["demo", "--days", "14"]).exits(0);
    assert_eq!(ran.stderr, "");
    assert_told(
        &ran.stdout,
        &[
            "with an application of 12 tenants",
            "$ bkup validate",
            "valid: 4 files, no findings",
            "bkup plan --init-simulated --out plan.json",
            "+ class.critical  tenants: [enterprise-*, premium-*], priority: 1, ",
            "deletions · 0 held",
            "bkup apply plan.json",
            "✓ Applied: ",
            "✓ Nothing to do: no changes, no drift, nothing due.",
            "2 weeks pass",
            "Sun  8 Mar  backed up 1 database and 12 tenants",
            "Tue 10 Mar  backed up 1 database and  3 tenants, marked 4",
            "Mon 16 Mar  backed up 1 database and  3 tenants",
            "tombstones that can be brought back",
            "because its grace period is over  policies/schedules.yaml:",
            "because no rule keeps it any longer  policies/schedules.yaml:",
            "✓ Applied: ",
            "DROP SCHEMA \"tenant_enterprise-acme\" CASCADE",
            "4 tables with ",
            "bkup restore --latest --database app --tenant enterprise-acme --into live --auto-approve",
            "Restored tenant enterprise-acme of app into the live server, proven equal",
            "✓ enterprise-acme is what it was.",
            "bkup drill tenant-recovery",
            "✓ Drill of tenant-recovery passed",
            "bkup status",
            "✓ All 13 objectives are met.",
            "✓ Nothing to do: no changes, no drift, nothing due.",
        ],
    );
    let nights = ran.stdout.lines().filter(|line| line.contains("  backed up 1 database and ")).count();
    assert_eq!(nights, 14, "one line a night:\n{}", ran.stdout);
    assert!(!ran.stdout.contains("missed"), "{}", ran.stdout);
    assert_nothing_is_left(&folder(&ran.stdout));
}

#[test]
fn a_kept_demo_has_nothing_due_in_its_environment_until_it_is_stopped() {
    let place = place(Major::V15);
    let ran = demo(&place, &["demo", "--keep", "--days", "9"]).exits(0);
    let folder = folder(&ran.stdout);
    let env = folder.join("env").display().to_string();
    let stop = folder.join("stop.sh").display().to_string();
    assert_told(&ran.stdout, &[&format!("$ . {env}"), &format!("$ {stop}")]);
    let mode = |name: &str| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(folder.join(name)).unwrap().permissions()) & 0o777
    };
    assert_eq!((mode("key.txt"), mode("env")), (0o600, 0o600));

    let mut shell = assert_cmd::Command::new("sh");
    let script = format!(". {env}; bkup plan --detailed-exitcode --include-due");
    shell.env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").current_dir(place.work());
    let planned = shell.args(["-c", &script]).timeout(PATIENCE).output().unwrap();
    let said = String::from_utf8_lossy(&planned.stdout).into_owned() + &String::from_utf8_lossy(&planned.stderr);
    assert_eq!(planned.status.code(), Some(0), "{said}");
    assert!(said.contains("Nothing to do: no changes, no drift, nothing due."), "{said}");

    assert!(!processes(&folder).is_empty(), "the server is to run on");
    let mut stopping = assert_cmd::Command::new(&stop);
    stopping.env_clear().env("PATH", "/usr/bin:/bin").timeout(PATIENCE).assert().success();
    assert_nothing_is_left(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_interrupted_takes_everything_away() {
    let place = place(Major::V17);
    // Once between the commands and the application, and once while a command of its own has a server running.
    for words in ["an application of 12 tenants", "Tue  3 Mar", "bkup apply plan.json"] {
        let mut demo = Invocation::new(assert_cmd::cargo::cargo_bin!("bkup"))
            .args(["demo", "--days", "9"])
            .clean_env()
            .envs([("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("BKUP_PG_BIN", Major::V17.bin().to_str().unwrap())])
            .cwd(place.work())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.take_stdout().unwrap()).lines();
        let mut told = String::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                told.push_str(&format!("{line}\n"));
                let seen = told.contains(words) && told.contains("$ cd ");
                if seen {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap();
        let folder = folder(&told);
        assert!(folder.exists() && !processes(&folder).is_empty());
        // Let a command that was announced get to its work.
        tokio::time::sleep(Duration::from_millis(700)).await;
        demo.signal(Signal::INT);
        let rest = async { while lines.next_line().await.unwrap().is_some() {} };
        tokio::time::timeout(PATIENCE, rest).await.unwrap();
        let ended = demo.wait().await.unwrap();
        assert_eq!(ended.status.code(), Some(130), "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
        assert_nothing_is_left(&folder);
    }
}

#[test]
fn a_machine_without_postgresql_is_told_what_to_install() {
    let place = cli().env("BKUP_PG_BIN", "/nonexistent");
    let _ = place
        .run(&["demo"])
        .exits(1)
        .says("the demo needs a PostgreSQL server of its own to start")
        .says("/nonexistent has no postgres")
        .says("apt-get install postgresql");
}

#[test]
fn a_demo_that_fails_half_way_shows_why_and_takes_everything_away() {
    // Nothing is pruned on the first nights, and the story says so instead of going on.
    let ran = demo(&place(Major::V17), &["demo", "--days", "2"]).exits(1).says("nothing was pruned");
    assert_nothing_is_left(&folder(&ran.stdout));
}
