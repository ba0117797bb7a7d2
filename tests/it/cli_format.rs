//! Suite: `bkup fmt` and `bkup validate --fix` as people and pipelines meet them: what is written, what is not, exit
//! codes.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::world::run::{Cli, cli};

const UGLY: &str = "#who\nversion:   1\nretention: {week: {daily: 7}}\n";
const NEAT: &str = "# who\nversion: 1\nretention: { week: { daily: 7 } }\n";

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

fn ugly() -> Cli {
    cli().file("policies/a.yaml", UGLY).file("policies/b.yaml", NEAT).file("policies/c.bkup-test.yaml", "a:   1\n")
}

/// Returns every name in a folder.
fn names(cli: &Cli, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(cli.path(folder)).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_are_formatted_in_place_and_what_is_neat_is_not_touched() {
    let cli = ugly();
    std::fs::set_permissions(cli.path("policies/a.yaml"), std::fs::Permissions::from_mode(0o640)).expect("permissions");
    let inode = |name: &str| std::fs::metadata(cli.path(name)).expect("a file").ino();
    let before = inode("policies/b.yaml");
    let said = cli.run(&["fmt"]).success();
    assert_eq!(cli.read("policies/a.yaml"), NEAT);
    assert_eq!(cli.read("policies/c.bkup-test.yaml"), "a: 1\n");
    assert_eq!(inode("policies/b.yaml"), before);
    assert_eq!(std::fs::metadata(cli.path("policies/a.yaml")).expect("a file").permissions().mode() & 0o777, 0o640);
    assert_eq!(names(&cli, "policies"), ["a.yaml", "b.yaml", "c.bkup-test.yaml"]);
    snapshot!("cli_fmt", said);
    assert_eq!(cli.run(&["fmt"]).success(), "✓ formatted: 3 files\n");
}

#[test]
fn a_check_writes_nothing_and_shows_what_would_change() {
    let cli = ugly();
    let ran = cli.run(&["fmt", "--check", "policies/a.yaml"]).exits(2);
    assert_eq!(cli.read("policies/a.yaml"), UGLY);
    snapshot!("cli_fmt_check", ran.stdout);
    let json = cli.run(&["--format", "json", "fmt", "--check"]).exits(2).json();
    assert_eq!(json["format_version"], "1.0");
    assert_eq!((&json["files"][0]["state"], &json["files"][1]["state"]), (&"differs".into(), &"unchanged".into()));
    assert!(json["files"][0]["diff"].as_str().expect("a text").contains("+# who"));
    let _ = cli.run(&["fmt", "policies/b.yaml", "--check"]).exits(0);
}

#[test]
fn a_check_shows_no_password() {
    let text = "version: 1\ndatabases: {a: {url: \"postgres://u:geheim@h/a\"}}\n";
    let ran = cli().file("bkup.yaml", text).run(&["fmt", "--check"]).exits(2);
    assert!(ran.stdout.contains("+databases:") && !ran.stdout.contains("geheim"), "{}", ran.stdout);
}

#[test]
fn standard_input_is_formatted_to_standard_output() {
    assert_eq!(cli().stdin(UGLY).run(&["fmt", "-"]).success(), NEAT);
    let _ = cli().stdin(UGLY).run(&["fmt", "-", "--check"]).exits(2);
    assert_eq!(cli().stdin(NEAT).run(&["fmt", "-", "--check"]).success(), "✓ formatted: 1 file\n");
    let ran = cli().stdin("a: [1\n").run(&["fmt", "-"]).exits(3).says("error[BK101]");
    assert_eq!(ran.stdout, "");
    let _ = cli().run(&["fmt", "-", "a.yaml"]).exits(64);
}

#[test]
fn a_file_that_is_no_yaml_is_left_alone_and_the_others_are_formatted() {
    let cli = ugly().file("policies/0.yaml", "a: [1\n");
    let ran = cli.run(&["fmt"]).exits(3).says("error[BK101]");
    assert!(ran.stdout.contains("✗ not all formatted: 4 files, 2 formatted, 1 left alone: 1 error"), "{}", ran.stdout);
    assert_eq!((cli.read("policies/0.yaml"), cli.read("policies/a.yaml")), ("a: [1\n".to_owned(), NEAT.to_owned()));
    let _ = cli.run(&["fmt", "--check"]).exits(3);
}

#[test]
fn a_link_stays_a_link_and_what_it_leads_to_is_formatted() {
    let cli = cli().file("elsewhere/real.yaml", UGLY);
    std::fs::create_dir(cli.path("policies")).expect("a folder");
    symlink("../elsewhere/real.yaml", cli.path("policies/a.yaml")).expect("a link");
    let _ = cli.run(&["fmt"]).success();
    assert!(std::fs::symlink_metadata(cli.path("policies/a.yaml")).expect("a link").is_symlink());
    assert_eq!(cli.read("elsewhere/real.yaml"), NEAT);
}

#[test]
fn what_is_no_regular_file_is_not_written() {
    let cli = cli().file("a.yaml", UGLY);
    let script = |command: &str| {
        let line = format!("{} {command} < a.yaml", env!("CARGO_BIN_EXE_bkup"));
        let output =
            assert_cmd::Command::new("bash").args(["-c", &line]).current_dir(cli.work()).output().expect("bash");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = script("fmt <(cat a.yaml)");
    assert!(code == Some(1) && said.contains("error[BK976]"), "{code:?}: {said}");
    let (_, said) = script("validate --fix -p <(echo 'version: \"1\"')");
    assert!(said.contains("error[BK976]"), "{said}");
}

#[test]
fn safe_fixes_are_made_and_what_remains_is_shown() {
    let cli = cli().file("bkup.yaml", "version: \"1\"\nretention:\n  week: { daly: 07 } # why\n  none: { last: 0 }\n");
    let ran = cli.run(&["validate", "--fix"]).exits(3);
    assert_eq!(cli.read("bkup.yaml"), "version: 1\nretention:\n  week: { daily: 7 } # why\n  none: { last: 0 }\n");
    snapshot!("cli_validate_fix", ran.stdout);
    let json = cli.run(&["validate", "--fix", "--format", "json"]).exits(3).json();
    assert_eq!((json["fixed"].as_array().map(Vec::len), &json["errors"]), (Some(0), &1.into()));
    assert_eq!(names(&cli, "."), ["bkup.yaml"]);
}

#[test]
fn without_fix_nothing_is_written() {
    let text = "version: \"1\"\n";
    let cli = cli().file("bkup.yaml", text);
    let _ = cli.run(&["validate"]).exits(3);
    assert_eq!(cli.read("bkup.yaml"), text);
}

#[test]
fn what_comments_ignore_is_counted_wherever_findings_are_shown() {
    let cli = cli()
        .file("bkup.yaml", "version: 1\nstores:\n  # bkup: ignore[BK604] test data\n  s: { url: file:///srv/x }\n");
    assert_eq!(cli.run(&["validate"]).success(), "✓ valid: 1 file, no findings; 1 finding ignored: BK604\n");
    let json = cli.run(&["validate", "--format", "json"]).exits(0).json();
    assert_eq!((&json["suppressed"][0]["code"], &json["warnings"]), (&"BK604".into(), &0.into()));
    let _ = cli.run(&["validate", "--strict"]).exits(0);
}
