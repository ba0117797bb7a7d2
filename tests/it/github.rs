//! Suite: github. What the binary says to a workflow on GitHub beside its output, over a real server: masks first, outputs
//! that nothing can forge, a summary that is never too long; and the action's steps with the real binary in them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::world::cluster::Major;
use crate::world::github::{BOT, GitHub, REPOSITORY, TOKEN};
use crate::world::place::World;
use crate::world::run::{Ran, cli};

/// Names that would steer a runner, a page and a terminal.
const HOSTILE: [&str; 3] = ["::set-output name=digest::x", "##[set-output name=digest;]y", "`@octocat <b>\u{1b}[2J"];
const PASSWORD: &str = "canary%40pass-4711";

/// A world on a runner of GitHub.
async fn on_runner() -> World {
    let world = World::new(Major::ALL[0], &HOSTILE).await;
    let (output, summary) = (world.cli.path("output"), world.cli.path("summary"));
    let url = |name: &str| {
        world.cluster.url(name).replacen("postgres://postgres@", &format!("postgres://postgres:{PASSWORD}@"), 1)
    };
    let (app, catalog) = (url("app"), url("cat"));
    assert!(app.contains(PASSWORD), "{app}");
    world
        .env("APP_URL", &app)
        .env("BKUP_CATALOG_URL", &catalog)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_OUTPUT", &output.display().to_string())
        .env("GITHUB_STEP_SUMMARY", &summary.display().to_string())
}

/// Reads the file of outputs as the runner does.
fn outputs(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut out = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, word) = line.split_once("<<").unwrap_or_else(|| panic!("{line:?} begins no output"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != word).collect();
        out.insert(name.to_owned(), value.join("\n"));
    }
    out
}

/// Asserts that a run gives the runner no order but those that bkup means.
#[track_caller]
fn assert_obeyed_only_as_meant(ran: &Ran) {
    for line in ran.stdout.lines().chain(ran.stderr.lines()) {
        let line = line.trim_start();
        let order = line.strip_prefix("::").and_then(|rest| rest.split([' ', ':']).next());
        let meant = ["add-mask", "error", "warning", "notice"];
        assert!(order.is_none_or(|order| meant.contains(&order)), "the runner obeys {line}");
        assert!(!line.contains("##["), "the runner obeys {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_and_its_apply_tell_the_step_what_they_did() {
    let world = on_runner().await;
    let ran = world.run(&["plan", "--out", "plan.json", "--md-out", "plan.md"]).exits(0);
    assert_obeyed_only_as_meant(&ran);
    let shown = world.cli.read("plan.md");
    assert!(shown.contains("set-output name=digest::x"), "the hostile tenants are shown: {shown}");
    let plan: serde_json::Value = serde_json::from_str(&world.cli.read("plan.json")).unwrap();
    let told = outputs(&world.cli.path("output"));
    assert_eq!(told["digest"], plan["digest"].as_str().unwrap());
    assert_eq!(told["change_digest"], plan["change_digest"].as_str().unwrap());
    assert_eq!((told["has_changes"].as_str(), told["deletes"].as_str()), ("true", "0"));
    assert_eq!(told["exit_reason"], "success");
    let names = ["change_digest", "changes", "deletes", "digest", "drift", "due", "exit_reason", "has_changes"];
    assert_eq!(told.keys().collect::<Vec<_>>(), names);
    let without_marker = |text: &str| text.split_once('\n').unwrap().1.trim_end().to_owned();
    assert_eq!(without_marker(&world.cli.read("summary")), without_marker(&world.cli.read("plan.md")));

    let ran = world.run(&["apply", "plan.json", "--md-out", "report.md"]).exits(0);
    assert_obeyed_only_as_meant(&ran);
    assert!(world.cli.read("report.md").starts_with("<!-- bkup:report:default -->\n### ✓ Applied: "));
    assert!(world.cli.read("summary").contains("### ✓ Applied: "), "the summary is added to");
    assert_eq!(outputs(&world.cli.path("output"))["digest"], plan["digest"].as_str().unwrap());

    std::fs::remove_file(world.cli.path("output")).unwrap();
    let _ = world.run(&["plan", "--format", "markdown"]).exits(0);
    let told = outputs(&world.cli.path("output"));
    assert_eq!((told["has_changes"].as_str(), told["due"].as_str()), ("false", "0"), "{told:?}");
    let ran = world.run(&["status", "--format", "markdown"]).exits(0);
    assert!(ran.stdout.starts_with("<!-- bkup:status:default -->\n"), "{}", ran.stdout);
    assert_obeyed_only_as_meant(&ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_hidden_before_anything_is_said_and_never_said() {
    let world = on_runner().await;
    // A finding, so that there is something to say.
    world.policy("more.yaml", "version: 1\nclasses: { gold: { tenants: [\"gold-*\"], priority: 1 } }\n");
    for args in [&["plan"][..], &["apply", "--auto-approve"], &["status"], &["plan", "--format", "json"]] {
        let ran = world.run(args);
        let (masks, rest): (Vec<&str>, Vec<&str>) =
            ran.stderr.lines().partition(|line| line.starts_with("::add-mask::"));
        assert!(ran.stderr.starts_with("::add-mask::"), "{args:?}: {}", ran.stderr);
        let masks: Vec<String> = masks.iter().map(|line| line["::add-mask::".len()..].replace("%25", "%")).collect();
        for secret in [PASSWORD, "canary@pass-4711", &world.keys.identity] {
            for line in secret.lines().filter(|line| !line.is_empty()) {
                assert!(masks.iter().any(|mask| mask == line), "{line} is not hidden by {masks:?}");
            }
        }
        assert!(!rest.join("\n").contains("canary"), "{args:?}: {}", ran.stderr);
        assert!(!ran.stdout.contains("canary") && !ran.stdout.contains("::add-mask::"), "{args:?}: {}", ran.stdout);
    }
    for file in ["output", "summary"] {
        assert!(!world.cli.read(file).contains("canary"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_a_file_gets_no_secret() {
    let world = on_runner().await;
    let log = std::fs::File::create(world.cli.path("log")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "standard error is a file")]
    let status = {
        let plain = world.cli.command(&["plan"]);
        let mut command = std::process::Command::new(plain.get_program());
        command.args(plain.get_args()).env_clear().current_dir(world.cli.work());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdout(std::process::Stdio::null()).stderr(log).status().unwrap()
    };
    assert!(status.success());
    let log = world.cli.read("log");
    assert!(!log.contains("canary") && !log.contains("add-mask"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_where_it_is_switched_off_or_nobody_asks() {
    for (name, value) in [("BKUP_GITHUB", "off"), ("GITHUB_ACTIONS", "")] {
        let world = on_runner().await.env(name, value);
        let ran = world.run(&["plan"]).exits(0);
        assert!(!ran.stderr.contains("::"), "{name}: {}", ran.stderr);
        assert!(!world.cli.path("output").exists() && !world.cli.path("summary").exists(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_said_and_fails_nothing() {
    let world =
        on_runner().await.env("GITHUB_OUTPUT", "/nowhere/output").env("GITHUB_STEP_SUMMARY", "/nowhere/summary");
    let ran =
        world.run(&["plan"]).exits(0).says("GITHUB_OUTPUT could not be written").says("GITHUB_STEP_SUMMARY could not");
    assert!(ran.stdout.contains("Plan: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_never_longer_than_github_takes() {
    let world = on_runner().await;
    for taken in [0, (1 << 20) - 3_000, (1 << 20) - 400, 1 << 20] {
        std::fs::write(world.cli.path("summary"), "x".repeat(taken)).unwrap();
        let ran = world.run(&["plan"]).exits(0);
        let summary = world.cli.read("summary");
        assert!(summary.len() <= 1 << 20, "{taken}: {}", summary.len());
        assert!(summary.len() > taken || ran.stderr.contains("summary is full"), "{taken}");
    }
}

#[test]
fn invalid_policies_are_annotated_and_told() {
    let at = |cli: crate::world::run::Cli| {
        let output = cli.path("output").display().to_string();
        cli.env("GITHUB_ACTIONS", "true")
            .env("GITHUB_OUTPUT", &output)
            .file("policies/a.yaml", "version: 1\nstoers: {}\n")
    };
    for args in [&["validate"][..], &["plan"]] {
        let cli = at(cli());
        let ran = cli.run(args).exits(3);
        assert!(ran.stderr.contains("::error file=policies/a.yaml,line=2,"), "{args:?}: {}", ran.stderr);
        assert_eq!(outputs(&cli.path("output"))["exit_reason"], "invalid_policies");
    }
    let cli = at(cli());
    let ran = cli.run(&["validate", "--format", "github"]).exits(3);
    assert!(!ran.stderr.contains("::error"), "that format is annotations already: {}", ran.stderr);
    let _ = cli.run(&["schema"]).exits(0);
    assert_eq!(
        outputs(&cli.path("output"))["exit_reason"],
        "invalid_policies",
        "a command that decides nothing says nothing"
    );
}

#[test]
fn why_a_command_failed_is_annotated() {
    let cli = cli().env("GITHUB_ACTIONS", "true");
    let ran = cli.run(&["plan"]).exits(3);
    assert!(ran.stderr.contains("\n::error title=BK891::no policies found: "), "{}", ran.stderr);
}

#[test]
fn an_apply_that_came_to_nothing_says_so_in_the_summary_and_the_markdown() {
    let cli = cli().env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "summary");
    let ran = cli.run(&["apply", "--auto-approve", "--md-out", "report.md"]).exits(3);
    assert!(ran.stderr.contains("::error title=BK891::"), "{}", ran.stderr);
    for file in ["summary", "report.md"] {
        let text = std::fs::read_to_string(cli.path(file)).expect("it is written");
        assert!(text.contains("### ✗ Not applied: nothing was begun\n"), "{file}: {text}");
        assert!(text.contains("**`BK891`** no policies found"), "{file}: {text}");
    }
}

/// Runs a step's script in a world, as GitHub does.
#[expect(clippy::disallowed_methods, reason = "a step's shell, which is what is tested")]
fn step(world: &World, script: &str, env: &[(&str, &str)]) -> Ran {
    let bkup = assert_cmd::cargo::cargo_bin!("bkup");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bkup.parent().unwrap().display());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plain = world.cli.command(&[]);
    let mut command = std::process::Command::new("bash");
    command.args(["--noprofile", "--norc", "-e", "-o", "pipefail"]).arg(root.join("scripts/github").join(script));
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let out = world.cli.path("out").display().to_string();
    command.env("PATH", path).env("BKUP_OUT", out).env("BKUP_KEY", "default").env("BKUP_POLICIES", "policies");
    let output = command.envs(env.iter().copied()).current_dir(world.cli.work()).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_the_action_plan_comment_and_apply_exactly_that() {
    let world = on_runner().await;
    let github = GitHub::start();
    let ran = step(&world, "run.sh", &[("BKUP_COMMAND", "plan"), ("BKUP_ARGS", "--detailed-exitcode")]).exits(2);
    assert_obeyed_only_as_meant(&ran);
    let told = outputs(&world.cli.path("output"));
    assert_eq!(told["exit_reason"], "differences");

    std::fs::write(world.cli.path("event.json"), "{\"pull_request\":{\"number\":7}}").unwrap();
    let (md, event) = (world.cli.path("out/plan.md"), world.cli.path("event.json"));
    let comment = step(
        &world,
        "comment.sh",
        &[
            ("BKUP_MD", &md.display().to_string()),
            ("BKUP_COMMENT", "on-change"),
            ("BKUP_CHANGES", &told["has_changes"]),
            ("BKUP_DELETES", &told["deletes"]),
            ("BKUP_TOKEN", TOKEN),
            ("GITHUB_API_URL", &github.url()),
            ("GITHUB_REPOSITORY", REPOSITORY),
            ("GITHUB_EVENT_PATH", &event.display().to_string()),
        ],
    );
    assert_obeyed_only_as_meant(&comment.exits(0));
    let [made] = github.comments().try_into().unwrap();
    assert_eq!((made.author.as_str(), made.body.as_str()), (BOT, world.cli.read("out/plan.md").as_str()));
    assert!(made.body.contains(&told["digest"]), "{}", made.body);

    let plan = world.cli.path("out/plan.json").display().to_string();
    let other = "0".repeat(64);
    let wrong = step(&world, "run.sh", &[("BKUP_COMMAND", "apply"), ("BKUP_PLAN", &plan), ("BKUP_DIGEST", &other)]);
    assert!(wrong.exits(64).stdout.contains("not the one that was reviewed"));
    let apply = [("BKUP_COMMAND", "apply"), ("BKUP_PLAN", plan.as_str()), ("BKUP_DIGEST", told["digest"].as_str())];
    let ran = step(&world, "run.sh", &apply).exits(0);
    assert_obeyed_only_as_meant(&ran);
    assert!(world.cli.read("out/report.md").contains("### ✓ Applied: "));
    let report: serde_json::Value = serde_json::from_str(&world.cli.read("out/report.json")).unwrap();
    assert_eq!(report["plan_digest"], told["digest"].as_str());
    let _ = world.run(&["plan", "--detailed-exitcode", "--include-due"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_has_every_format_it_is_asked_for_in_one_run() {
    let world = on_runner().await;
    let ran = world
        .run(&["plan", "--out", "p.json", "--json-out", "q.json", "--md-out", "p.md", "--md-key", "eu.prod"])
        .exits(0);
    assert!(ran.stdout.contains("Plan: "));
    assert_eq!(world.cli.read("p.json"), world.cli.read("q.json"));
    assert!(world.cli.read("p.md").starts_with("<!-- bkup:plan:eu.prod -->\n### Plan: "));
    let sarif = world.run(&["plan", "--format", "sarif"]).exits(0).json();
    assert_eq!(sarif["version"], "2.1.0");
    let ran = world.run(&["plan", "--format", "github"]).exits(0);
    assert_obeyed_only_as_meant(&ran);
    let shown = world.run(&["show", "p.json", "--format", "markdown"]).exits(0).stdout;
    assert!(shown.starts_with("<!-- bkup:plan:default -->\n### Plan: "), "{shown}");
    let ran = world.run(&["show", "p.json", "--format", "markdown", "--md-max-bytes", "10"]).exits(0);
    assert!(ran.stderr.contains("more than --md-max-bytes 10"), "{}", ran.stderr);
    let _ = world.run(&["plan", "--md-key", "--> x"]).exits(64);
    let _ = world.run(&["plan", "--md-out", "no/such/folder.md"]).exits(1).says("error[BK897]");
}
