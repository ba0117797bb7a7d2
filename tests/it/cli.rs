//! Suite: cli. The binary as pipelines see it: exit codes, streams, files, and what it never says.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use bkup::cli::args::{Arguments, Command};
use bkup::cli::commands::{apply, plan::PlanArgs};
use bkup::cli::exit::Exit;
use bkup::domain::{ActionClass, Outcome, Period, Plan};
use bkup::render::{PlanView, Style, plan_json, plan_text};

use clap::Parser;

use crate::render::samples;
use crate::world::run::{Cli, cli};

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

const COMMANDS: [&str; 30] = [
    "validate",
    "explain",
    "init",
    "import",
    "fmt",
    "test",
    "schema",
    "plan",
    "apply",
    "status",
    "list",
    "logs",
    "cancel",
    "orphans",
    "undelete",
    "erase",
    "restore",
    "backup",
    "drill",
    "simulate",
    "show",
    "drift",
    "adopt",
    "export",
    "catalog",
    "audit",
    "key",
    "demo",
    "completions",
    "man",
];

const NEED_POLICIES: [&[&str]; 9] = [
    &["validate"],
    &["test"],
    &["plan"],
    &["apply", "--auto-approve"],
    &["status"],
    &["list"],
    &["restore", "--latest"],
    &["backup", "nightly"],
    &["drill", "tenant-loss"],
];

#[test]
fn help_shows_every_command_and_every_exit_code() {
    let help = cli().run(&["--help"]).success();
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing from\n{help}");
    }
    snapshot!("cli_help", help);
}

#[test]
fn every_command_explains_itself_in_a_screen() {
    let mut all = String::new();
    for command in COMMANDS {
        let help = cli().run(&[command, "-h"]).success();
        assert!(help.lines().count() <= 40, "{command} -h has {} lines", help.lines().count());
        let own = help.split("\nGlobal options:").next().unwrap_or_default().trim_end().to_owned();
        all.push_str(&format!("$ bkup {command} -h\n{own}\n\n"));
    }
    snapshot!("cli_commands", all);
}

#[test]
fn the_hidden_flag_stays_hidden() {
    assert!(!cli().run(&["apply", "--help"]).success().contains("simulated"));
}

#[test]
fn wrong_usage_is_64_and_says_nothing_on_standard_output() {
    let wrong: [&[&str]; 12] = [
        &[],
        &["no-such-command"],
        &["--no-such-option"],
        &["plan", "--only", "everything"],
        &["plan", "--allow-delete", "101%"],
        &["plan", "--include-due"],
        &["apply", "plan.json", "--only", "backups"],
        &["apply", "--max-age", "soon"],
        &["restore"],
        &["restore", "--latest", "some-backup"],
        &["restore", "--latest", "--into", "the-moon"],
        &["validate", "--format", "yaml"],
    ];
    for args in wrong {
        let ran = cli().run(args).exits(64);
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(!ran.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn an_environment_that_makes_no_sense_is_wrong_usage() {
    let _ = cli().at("yesterday").run(&["validate"]).exits(64).says("error[BK890]: BKUP_NOW is \"yesterday\"");
    let _ = cli().env("BKUP_LOG", "bkup=loud").run(&["validate"]).exits(64).says("BKUP_LOG");
}

#[test]
fn a_clock_may_be_given_as_instant_or_on_a_wall() {
    for now in ["2026-11-20T02:00:00Z", "2026-03-29T01:30[Europe/Berlin]", ""] {
        let _ = cli().at(now).run(&["validate"]).exits(3);
    }
}

#[test]
fn no_policies_is_3_with_where_they_were_looked_for() {
    for args in NEED_POLICIES {
        let ran = cli()
            .run(args)
            .exits(3)
            .says("error[BK891]: no policies found: there is neither ./policies nor ./bkup.yaml");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    let empty = cli().file("policies/README.md", "none");
    let _ = empty.run(&["validate"]).exits(3).says("policies holds no .yaml or .yml file");
    let _ = cli().run(&["-p", "nowhere", "validate"]).exits(3).says("cannot read policies from nowhere");
    let _ = cli().env("BKUP_POLICIES", "gone").run(&["validate"]).exits(3).says("cannot read policies from gone");
}

#[test]
fn a_failure_is_json_where_json_was_asked_for() {
    let ran = cli().run(&["--format", "json", "plan"]).exits(3);
    let json: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!(json["findings"][0]["code"], "BK891");
}

/// Returns the files that `validate -v` says it read, in order.
fn files_read(cli: &Cli, args: &[&str]) -> Vec<String> {
    let all: Vec<&str> = args.iter().copied().chain(["validate", "-v"]).collect();
    let ran = cli.run(&all);
    ran.stderr
        .lines()
        .filter_map(|line| line.strip_prefix("read ")?.rsplit_once(" ("))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn with_files(names: &[&str]) -> Cli {
    names.iter().fold(cli(), |cli, name| cli.file(name, "version: 1\n"))
}

#[test]
fn a_folder_is_read_recursively_and_sorted() {
    let cli = with_files(&[
        "policies/z.yaml",
        "policies/a/b.yml",
        "policies/a.yaml",
        "policies/notes.txt",
        "policies/.git/x.yaml",
    ]);
    assert_eq!(files_read(&cli, &[]), ["policies/a/b.yml", "policies/a.yaml", "policies/z.yaml"]);
}

#[test]
fn options_win_over_the_environment_and_that_over_the_folder() {
    let files = ["policies/a.yaml", "bkup.yaml", "env/e.yaml", "env2/f.yaml", "opt/o.yaml"];
    assert_eq!(files_read(&with_files(&files), &[]), ["policies/a.yaml"]);
    assert_eq!(files_read(&with_files(&files[1..]), &[]), ["bkup.yaml"]);
    let cli = with_files(&files).env("BKUP_POLICIES", "env:env2/f.yaml");
    assert_eq!(files_read(&cli, &[]), ["env/e.yaml", "env2/f.yaml"]);
    assert_eq!(files_read(&cli, &["-p", "opt", "--policies", "bkup.yaml"]), ["bkup.yaml", "opt/o.yaml"]);
}

#[test]
fn a_file_that_is_named_twice_or_linked_is_read_once() {
    let cli = with_files(&["policies/a.yaml"]);
    symlink("a.yaml", cli.path("policies/b.yaml")).expect("a link");
    symlink("..", cli.path("policies/circle")).expect("a link");
    assert_eq!(files_read(&cli, &["-p", "policies", "-p", "policies/a.yaml", "-p", "./policies"]), ["policies/a.yaml"]);
}

#[test]
fn a_mounted_config_map_is_read_through_its_links() {
    let cli = with_files(&["policies/..2026/a.yaml"]);
    symlink("..2026", cli.path("policies/..data")).expect("a link");
    symlink("..data/a.yaml", cli.path("policies/a.yaml")).expect("a link");
    assert_eq!(files_read(&cli, &[]), ["policies/a.yaml"]);
}

#[test]
fn a_policy_that_is_there_and_cannot_be_read_is_an_error() {
    let dangling = with_files(&["policies/a.yaml"]);
    symlink("gone", dangling.path("policies/b.yaml")).expect("a link");
    let _ = dangling.run(&["validate"]).exits(3).says("cannot read policies from policies/b.yaml: no such file");

    let socket = with_files(&["policies/a.yaml"]);
    let _held = UnixListener::bind(socket.path("policies/s.yml")).expect("a socket");
    let _ = socket.run(&["validate"]).exits(3).says("policies/s.yml: it is no regular file");

    let huge = cli().file("policies/a.yaml", vec![b'#'; (4 << 20) + 1]);
    let _ = huge.run(&["validate"]).exits(3).says("policies/a.yaml has more than 4 MiB");
}

#[test]
fn an_apply_without_a_terminal_needs_its_approval_before_anything_else() {
    // No policies either: the missing approval is said first.
    let _ = cli().stdin("yes\n").run(&["apply"]).exits(64).says("error[BK895]: approval is needed");
    let _ = cli().stdin("yes\n").run(&["restore", "--latest", "--into", "live"]).exits(64).says("BK895");
}

#[test]
fn only_a_scratch_server_can_be_kept() {
    let _ = cli()
        .run(&["restore", "--latest", "--into", "new:copy", "--keep"])
        .exits(64)
        .says("--keep is for a scratch server");
}

fn saved(plan: &Plan) -> Cli {
    cli().file("plan.json", plan_json(plan))
}

#[test]
fn show_prints_any_plan_as_text_or_json() {
    let plan = samples::plan();
    let text = plan_text(PlanView { plan: &plan, next: None, full: false }, &Style::plain());
    assert_eq!(saved(&plan).run(&["show", "plan.json"]).success(), text);
    assert_eq!(saved(&plan).run(&["show", "plan.json", "--format", "json"]).success(), plan_json(&plan));
    assert_eq!(saved(&plan).run(&["--format", "json", "show", "plan.json"]).json()["serial"], 12);
    assert_eq!(cli().stdin(&plan_json(&plan)).run(&["show", "-"]).success(), text);
}

#[test]
fn a_plan_that_cannot_be_used_is_refused_with_its_reason() {
    for command in ["show", "apply"] {
        let _ = cli().run(&[command, "gone.json"]).exits(1).says("cannot read gone.json: no such file");
        let _ = cli()
            .file("p.json", "{")
            .run(&[command, "p.json"])
            .exits(1)
            .says("error[BK893]: cannot use the plan p.json");
        let newer = cli().file("p.json", "{\"format_version\": \"2.0\"}");
        let _ = newer.run(&[command, "p.json"]).exits(1).says("the plan has format 2.0; this version reads format 1.x");
    }
}

#[test]
fn colour_is_asked_for_in_the_usual_ways() {
    let coloured = |cli: Cli, args: &[&str]| {
        let all: Vec<&str> = args.iter().copied().chain(["show", "plan.json"]).collect();
        cli.run(&all).success().contains('\u{1b}')
    };
    let saved = || saved(&samples::quiet_plan());
    assert!(!coloured(saved(), &[]));
    assert!(!coloured(saved().env("NO_COLOR", ""), &[]), "no terminal, no colour");
    assert!(coloured(saved(), &["--color", "always"]), "the option wins over NO_COLOR");
    assert!(!coloured(saved().env("FORCE_COLOR", "1"), &[]), "NO_COLOR wins over FORCE_COLOR");
    for name in ["FORCE_COLOR", "CLICOLOR_FORCE"] {
        assert!(coloured(saved().env("NO_COLOR", "").env(name, "1"), &[]), "{name}");
        assert!(!coloured(saved().env("NO_COLOR", "").env(name, "0"), &[]), "{name}=0");
        assert!(!coloured(saved().env("NO_COLOR", "").env(name, "1"), &["--color", "never"]), "{name} and never");
    }
}

#[test]
fn a_locale_without_unicode_gets_ascii() {
    for (name, value) in [("LANG", "C"), ("LC_ALL", "POSIX"), ("LC_CTYPE", "en_US.ISO-8859-1")] {
        let text = saved(&samples::plan()).env(name, value).run(&["show", "plan.json"]).success();
        assert!(text.is_ascii() && text.contains("8< tombstone"), "{name}={value}:\n{text}");
    }
    assert!(saved(&samples::plan()).run(&["show", "plan.json"]).success().contains('✂'));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut plan = samples::plan();
    plan.actions = std::iter::repeat_n(plan.actions, 50).flatten().collect();
    let plan = bkup::plan::seal(plan);
    let cli = saved(&plan);
    let script = format!("set -o pipefail; {} show plan.json --format json | head -c 1", env!("CARGO_BIN_EXE_bkup"));
    let output = assert_cmd::Command::new("bash").args(["-c", &script]).current_dir(cli.work()).output().expect("bash");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn output_that_is_lost_is_a_failure() {
    let cli = saved(&samples::plan());
    let script = format!("{} show plan.json > /dev/full", env!("CARGO_BIN_EXE_bkup"));
    let output = assert_cmd::Command::new("bash").args(["-c", &script]).current_dir(cli.work()).output().expect("bash");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error[BK897]: cannot write standard output: no space left"), "{stderr}");
}

#[test]
fn completions_know_the_commands_of_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = cli().run(&["completions", shell]).success();
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
}

#[test]
fn man_pages_are_written_for_every_command() {
    let cli = cli();
    assert!(cli.run(&["man"]).success().contains("Exit codes"));
    assert_eq!(cli.run(&["man", "pages/man1"]).success(), "");
    for command in COMMANDS {
        assert!(cli.read(&format!("pages/man1/bkup-{command}.1")).contains(".TH"), "{command}");
    }
    let _ = cli.run(&["man", "/dev/null/x"]).without(&cli.work()).exits(1).says("cannot write /dev/null/x");
}

#[test]
fn the_version_says_how_it_was_built() {
    let short = cli().run(&["-V"]).success();
    assert_eq!(short, format!("bkup {}\n", env!("CARGO_PKG_VERSION")));
    let long = cli().run(&["--version"]).success();
    assert!(
        long.starts_with(short.trim()) && long.contains("commit: ") && long.contains("formats: plan 1.0"),
        "{long}"
    );
}

#[test]
fn no_command_says_a_secret_of_its_environment() {
    for args in NEED_POLICIES.into_iter().chain([["show", "plan.json"].as_slice(), &["--help"], &["demo", "-h"]]) {
        for format in ["text", "json"] {
            let cli = with_files(&["policies/a.yaml"])
                .env("BKUP_CATALOG_URL", "postgres://u:geheim-1@127.0.0.1:1/none")
                .env("BKUP_AGE_IDENTITY", "AGE-SECRET-KEY-1GEHEIM2")
                .env("BKUP_LOG", "trace");
            let all: Vec<&str> = ["-vvv", "--format", format].into_iter().chain(args.iter().copied()).collect();
            let ran = cli.run(&all);
            for secret in ["geheim-1", "GEHEIM2"] {
                assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{all:?}: {ran:?}");
            }
        }
    }
}

fn plan_args(detailed_exitcode: bool, include_due: bool) -> PlanArgs {
    let asked = [(detailed_exitcode, "--detailed-exitcode"), (include_due, "--include-due")];
    let words = ["bkup", "plan"].into_iter().chain(asked.into_iter().filter(|(is, _)| *is).map(|(_, word)| word));
    let Command::Plan(args) = Arguments::parse_from(words).command else { panic!("plan is plan") };
    args
}

#[test]
fn a_plan_exits_2_only_for_what_was_asked() {
    let exit = bkup::cli::commands::plan::exit;
    let of = |class: Option<ActionClass>| {
        let mut plan = samples::plan();
        plan.actions.retain(|action| Some(action.class) == class);
        plan.findings.clear();
        plan
    };
    let cases = [
        (None, [Exit::Success, Exit::Success, Exit::Success]),
        (Some(ActionClass::Due), [Exit::Success, Exit::Success, Exit::Differences]),
        (Some(ActionClass::Change), [Exit::Success, Exit::Differences, Exit::Differences]),
        (Some(ActionClass::Drift), [Exit::Success, Exit::Differences, Exit::Differences]),
    ];
    for (class, expected) in cases {
        let seen = [(false, false), (true, false), (true, true)].map(|(d, i)| exit(&plan_args(d, i), &of(class)));
        assert_eq!(seen, expected, "{class:?}");
    }
    let mut found = of(None);
    found.findings = samples::plan().findings;
    assert_eq!(exit(&plan_args(true, false), &found), Exit::Differences, "what nobody mends is drift all the same");
    assert_eq!(exit(&plan_args(true, true), &samples::refused_plan()), Exit::Refused);
}

#[test]
fn an_apply_exits_by_what_became_of_its_actions() {
    let done = || Outcome::Done { summary: String::new() };
    let failed = || Outcome::Failed { code: "BK850".to_owned(), error: String::new() };
    let violated = || Outcome::Violated { reason: String::new() };
    let claimed = || Outcome::Claimed { by: "another".to_owned() };
    let skipped = || Outcome::Skipped { reason: String::new() };
    let cases = [
        (vec![], Exit::Success),
        (vec![done(), skipped()], Exit::Success),
        (vec![done(), failed()], Exit::PartlyApplied),
        (vec![failed(), skipped()], Exit::Failed),
        (vec![done(), Outcome::NotReached], Exit::PartlyApplied),
        (vec![done(), violated()], Exit::Violated),
        (vec![violated(), failed()], Exit::PartlyApplied),
        (vec![claimed(), done()], Exit::Locked),
    ];
    for (outcomes, exit) in cases {
        let mut report = samples::report();
        let action = report.actions[0].clone();
        report.actions = outcomes
            .iter()
            .map(|outcome| bkup::domain::ActionOutcome { outcome: outcome.clone(), ..action.clone() })
            .collect();
        assert_eq!(apply::exit(&report), exit, "{outcomes:?}");
    }
}

#[test]
fn a_saved_plan_is_an_approval_for_as_long_as_it_may_be() {
    let Command::Apply(args) = Arguments::parse_from(["bkup", "apply", "plan.json", "--max-age", "2h"]).command else {
        panic!("apply is apply")
    };
    let plan = samples::plan();
    let at = |hours: i64| apply::check_age(&args, &plan, Period::hours(hours).after(plan.as_of));
    assert!(at(0).is_ok() && at(2).is_ok());
    let error = at(3).expect_err("too old");
    assert_eq!((error.to_string().as_str(), error.exit()), ("the plan is 3h old; --max-age is 2h", Exit::Stale));
}

#[test]
fn exit_codes_are_the_promised_numbers() {
    use Exit::*;
    let codes = [
        Success,
        Failed,
        Differences,
        InvalidPolicies,
        Refused,
        PartlyApplied,
        Stale,
        Locked,
        Violated,
        Usage,
        Interrupted,
        Terminated,
    ]
    .map(Exit::code);
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 64, 130, 143]);
}

const POLICIES: &str = r#"version: 1
stores:
  primary: { url: "file:///srv/backups" }
databases:
  app: { url: "${APP_URL}" }
schedules:
  nightly:
    databases: [app]
    backup: database
    when: { frequency: daily, time: "02:00" }
    retention: { daily: 7 }
    store: primary
"#;

#[test]
fn valid_policies_are_said_to_be_valid() {
    let ran = cli().file("bkup.yaml", POLICIES).run(&["validate"]).exits(0);
    assert!(ran.stdout.contains("✓ valid: 1 file, "), "{ran:?}");
    assert!(ran.stdout.contains("warning[BK"), "a store without encryption is worth a warning: {ran:?}");
    let _ = cli().file("bkup.yaml", POLICIES).run(&["validate", "--strict"]).exits(3);
    let json = cli().file("bkup.yaml", POLICIES).run(&["validate", "--format", "json"]).exits(0).json();
    assert_eq!((&json["format_version"], &json["errors"]), (&"1.0".into(), &0.into()));
}

#[test]
fn every_mistake_of_every_file_is_shown_at_its_place() {
    let bad = POLICIES.replace("store: primary", "store: primry");
    let cli = cli().file("policies/a.yaml", bad).file("policies/b.yaml", "version: 1\nstors: {}\n");
    let ran = cli.run(&["validate"]).exits(3);
    for words in ["error[BK", "policies/a.yaml:12:", "primry", "policies/b.yaml:2:1", "stors", "invalid: 2 files, "] {
        assert!(ran.stdout.contains(words), "{words:?} is not in\n{}", ran.stdout);
    }
    let json = cli.run(&["validate", "--format", "json"]).exits(3).json();
    assert!(json["findings"].as_array().is_some_and(|findings| findings.len() >= 2), "{json:#}");
}

#[test]
fn no_command_works_with_invalid_policies() {
    let bad = POLICIES.replace("store: primary", "store: primry");
    for args in NEED_POLICIES {
        let ran = cli().file("bkup.yaml", &bad).run(args).exits(3);
        assert!((ran.stdout + &ran.stderr).contains("primry"), "{args:?}");
    }
}

#[test]
fn the_schema_is_json() {
    assert_eq!(cli().run(&["schema"]).exits(0).json()["$schema"], "http://json-schema.org/draft-07/schema#");
}

#[test]
fn a_key_goes_to_one_private_file_and_is_never_overwritten() {
    let cli = cli();
    let ran = cli.run(&["key", "generate", "--out", "key.txt"]).exits(0);
    let (text, recipient) = (cli.read("key.txt"), ran.stdout.trim().to_owned());
    assert!(recipient.starts_with("age1") && text.contains(&format!("# public key: {recipient}")), "{recipient}");
    assert!(text.contains("\nAGE-SECRET-KEY-1"));
    assert!(!(ran.stdout + &ran.stderr).contains("AGE-SECRET-KEY"));
    let mode = std::fs::metadata(cli.path("key.txt")).map(|kind| kind.permissions().mode() & 0o777).expect("the file");
    assert_eq!(mode, 0o600);
    let _ = cli.run(&["key", "generate", "--out", "key.txt"]).exits(1).says("it is never overwritten");
    assert_eq!(cli.read("key.txt"), text);
    let _ = cli.run(&["key", "generate", "--out", "no/such/key.txt"]).exits(1).says("error[BK897]: cannot write");
}

#[test]
fn keys_on_standard_output_are_identity_files_and_differ() {
    let one = cli().run(&["key", "generate"]).success();
    assert!(one.starts_with("# created: ") && one.trim_end().lines().count() == 3, "three lines");
    assert_ne!(one, cli().run(&["key", "generate"]).success());
}
