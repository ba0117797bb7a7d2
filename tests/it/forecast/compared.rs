//! A change as a reviewer sees it: through the binary, on the fixture pair, against a folder and against a commit.

use std::path::{Path, PathBuf};

use bkup::domain::ForecastReport;

use crate::world::run::{Cli, cli};

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

const NOW: &str = "2026-11-25T12:00:00Z";

fn fixture(side: &str) -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies/change").join(side).join("bkup.yaml");
    std::fs::read_to_string(path).unwrap()
}

/// The fixture pair in the folders that a reviewer would name.
fn pair() -> Cli {
    let mut cli = cli().at(NOW).file("before/bkup.yaml", fixture("before")).file("after/bkup.yaml", fixture("after"));
    cli.set_env("COLUMNS", "140");
    cli
}

const COMPARE: [&str; 11] = [
    "simulate",
    "-p",
    "after",
    "--against-policies",
    "before",
    "--tenants",
    "40",
    "--tenants",
    "enterprise=6",
    "--size",
    "helpdesk=40GiB",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    COMPARE.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn a_shorter_retention_says_what_it_loses_and_until_when_it_can_be_undone() {
    let text = pair().run(&with(&["--for", "120d", "--search-faults"])).exits(0).stdout;
    snapshot!("forecast_change_text", text);
}

#[test]
fn the_report_is_json_that_fits_its_schema_and_reads_back() {
    let ran = pair().run(&with(&["--for", "3d", "--format", "json"])).exits(0);
    let value = ran.json();
    let schema = crate::schemas::schema_of::<ForecastReport>();
    crate::schemas::assert_fits(&schema, &schema, &value, "forecast");
    let report: ForecastReport = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&report).unwrap(), value);
    let change = report.change.unwrap();
    assert!(
        change.lost_at_once > 0 && change.irreversible_after.is_none(),
        "three days are less than the grace period"
    );
    snapshot!("forecast_change_json", ran.stdout);
}

#[test]
fn the_chart_is_one_svg_without_anything_from_elsewhere() {
    let cli = pair();
    let _ = cli.run(&with(&["--for", "60d", "--chart", "c.svg"])).success();
    let svg = cli.read("c.svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
    for outside in ["<script", "href", "@import", "url("] {
        assert!(!svg.contains(outside), "{outside}");
    }
    snapshot!("forecast_change_svg", svg);
    let _ = cli.run(&with(&["--from-nothing", "--for", "20d", "--chart", "c.html"])).success();
    let page = cli.read("c.html");
    assert!(page.contains("<svg ") && page.contains("default-src 'none'") && !page.contains("<script"));
    let wrong = cli.run(&with(&["--chart", "c.png"])).exits(64);
    assert!(wrong.stderr.contains("neither a .svg nor a .html"), "{}", wrong.stderr);
}

#[test]
fn a_change_that_loses_nothing_says_so() {
    let text = pair()
        .run(&["simulate", "-p", "before", "--against-policies", "after", "--from-nothing", "--for", "30d"])
        .success();
    assert!(text.contains("none of the") && text.contains("is lost because of it"), "{text}");
    assert!(!text.contains("cannot be undone"), "{text}");
}

#[test]
fn a_broken_objective_is_exit_8_and_faults_say_how_many_misses_it_takes() {
    let cli = pair().file("tight/bkup.yaml", fixture("after").replace("rpo: 8h", "rpo: 5h"));
    let text = cli.run(&["simulate", "-p", "tight", "--from-nothing", "--for", "30d"]).exits(8).stdout;
    assert!(text.contains("class.enterprise in helpdesk: RPO 5h is exceeded on"), "{text}");
    let faulty = cli
        .run(&["simulate", "-p", "after", "--from-nothing", "--for", "90d", "--faults", "outage:3d@2026-12-10"])
        .exits(8)
        .stdout;
    snapshot!("forecast_outage_text", faulty);
    let lucky = ["simulate", "-p", "after", "--from-nothing", "--for", "60d", "--faults", "drop:2%", "--seed"];
    let run = |seed: &str| {
        let args: Vec<&str> = lucky.iter().copied().chain([seed]).collect();
        cli.run(&args).stdout
    };
    assert_eq!(run("7"), run("7"));
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would() {
    for (args, code, words) in [
        (&["--for", "30y"][..], 64, "BK960"),
        (&["--faults", "gremlins"], 64, "BK962"),
        (&["--growth", "much"], 64, "BK963"),
        (&["--tenants", "nobody=3"], 64, "the classes are: enterprise, standard"),
        (&["--size", "other=3GiB"], 64, "there is no database.other"),
        (&["--at", "soon"], 64, "no instant"),
        (&["--against", "HEAD"], 64, "cannot be used with"),
        (&["--prices", "after/bkup.yaml"], 1, "BK967"),
    ] {
        let ran = pair().run(&with(args)).exits(code);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
    let bad = cli().file("bad.yaml", "version: 1\nstores: 3\n").run(&["simulate", "-p", "bad.yaml"]).exits(3);
    assert!(bad.stderr.contains("BK112"), "{}", bad.stderr);
}

#[test]
fn prices_make_costs_and_nothing_else_does() {
    let prices = "currency: USD\nstorage: { standard: 0.023 }\nrequests: { put: 0.005, get: 0.0004 }\n";
    let cli = pair().file("prices.yaml", prices);
    let text = cli.run(&with(&["--from-nothing", "--for", "40d", "--prices", "prices.yaml"])).success();
    assert!(text.contains("COST SO FAR") && text.contains(" USD"), "{text}");
    let without = cli.run(&with(&["--from-nothing", "--for", "40d"])).success();
    assert!(!without.contains("USD") && !without.contains("COST"), "{without}");
}

/// Runs git in a folder, with an identity and nothing of the machine's settings.
#[expect(clippy::disallowed_methods, reason = "the test makes a repository as people do")]
fn git(folder: &Path, args: &[&str]) {
    let ran = std::process::Command::new("git")
        .current_dir(folder)
        .env_clear()
        .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("GIT_CONFIG_NOSYSTEM", "1"), ("HOME", "/nonexistent")])
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(args)
        .output()
        .expect("git runs");
    assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A repository with the policies in a subfolder, changed in its second commit.
fn repository() -> (Cli, PathBuf) {
    let mut cli =
        cli().at(NOW).file("repo/ops/policies/bkup.yaml", fixture("before")).file("repo/README.md", "no policy");
    cli.set_env("PATH", "/usr/local/bin:/usr/bin:/bin");
    cli.set_env("COLUMNS", "140");
    let top = cli.path("repo");
    git(&top, &["init", "-q"]);
    git(&top, &["add", "-A"]);
    git(&top, &["commit", "-q", "-m", "one"]);
    std::fs::write(top.join("ops/policies/bkup.yaml"), fixture("after")).unwrap();
    git(&top, &["commit", "-q", "-a", "-m", "two"]);
    (cli, top)
}

#[test]
fn the_policies_of_a_commit_are_compared_with_wherever_they_lie_in_the_repository() {
    let (cli, _top) = repository();
    let args = [
        "simulate",
        "-p",
        "repo/ops/policies",
        "--against",
        "HEAD~1",
        "--from-nothing",
        "--for",
        "20d",
        "--format",
        "json",
    ];
    let by_commit: ForecastReport = serde_json::from_value(cli.run(&args).exits(0).json()).unwrap();
    let folder = pair();
    let args = [
        "simulate",
        "-p",
        "after",
        "--against-policies",
        "before",
        "--from-nothing",
        "--for",
        "20d",
        "--format",
        "json",
    ];
    let by_folder: ForecastReport = serde_json::from_value(folder.run(&args).exits(0).json()).unwrap();
    assert_eq!(by_commit.change, by_folder.change);
    assert_eq!(by_commit.before.unwrap().policies, "HEAD~1");
    let file =
        ["simulate", "-p", "repo/ops/policies/bkup.yaml", "--against", "HEAD~1", "--from-nothing", "--for", "20d"];
    assert!(cli.run(&file).success().contains("HEAD~1"));
}

#[test]
fn what_git_cannot_answer_is_said_with_a_way_out() {
    let (cli, top) = repository();
    let run = |reference: &str| {
        cli.run(&["simulate", "-p", "repo/ops/policies", "--against", reference, "--from-nothing", "--for", "2d"])
    };
    for reference in ["no-such-branch", "--output=x", "HEAD~9", ""] {
        let args = format!("--against={reference}");
        let ran = cli.run(&["simulate", "-p", "repo/ops/policies", &args]).exits(1);
        assert!(ran.stderr.contains("BK965"), "{reference:?}: {}", ran.stderr);
    }
    assert!(!top.join("x").exists() && !cli.path("x").exists());
    let mut outside = pair();
    outside.set_env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let ran = outside.run(&["simulate", "-p", "after", "--against", "HEAD"]).exits(1);
    assert!(ran.stderr.contains("BK964"), "{}", ran.stderr);
    std::os::unix::fs::symlink("bkup.yaml", top.join("ops/policies/link.yaml")).unwrap();
    git(&top, &["add", "-A"]);
    git(&top, &["commit", "-q", "-m", "three"]);
    let link = run("HEAD").exits(1);
    assert!(link.stderr.contains("link.yaml is no plain file"), "{}", link.stderr);
}
