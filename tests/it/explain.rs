//! Suite: explain. Every code has its page, every page shows what bkup really says, and `bkup explain` prints pages and
//! the meaning of policy things.
//!
//! `BKUP_BLESS=1` writes the index of the pages anew; `INSTA_UPDATE=always` the snapshots.

mod pages;

use bkup::domain::Address;

use crate::world::run::{Cli, cli};

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

const POLICIES: &str = r#"version: 1
stores:
  primary:
    url: s3://clinicx-backups/prod
    region: us-east-1
    endpoint: "${S3_ENDPOINT}"
  folder: { url: "file:///srv/backups", encryption: { recipients: [age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] } }
databases:
  clinicx:
    url: "postgres://bkup:correct-horse@db.example.com/clinicx"
    objectives: { rpo: 27h }
    tenants: { schemas: "tenant_*" }
classes:
  critical: { tenants: ["enterprise-*", "premium-*"], priority: 1, rpo: 12h, rto: 1h }
  standard: { tenants: ["*"], priority: 9, rpo: 48h }
retention:
  gfs: { daily: 7, weekly: 4, monthly: 12, timezone: Europe/Berlin }
  unused: { last: 3, within: 2w, max_age: 30d }
schedules:
  nightly:
    databases: [clinicx]
    backup: database
    when: { frequency: daily, time: "02:00", timezone: Europe/Berlin }
    retention: gfs
    store: primary
  tenants:
    databases: [clinicx]
    backup: tenant_data
    tenants: { class: [critical] }
    when: { cron: "0 */6 * * *" }
    retention: { within: 90d }
    store: folder
    max_parallel_jobs: 2
  before:
    databases: [clinicx]
    backup: database
    when: { on: request }
    retention: { forever: true }
    store: primary
recovery_plans:
  tenant-back:
    description: Bring a tenant back
    type: tenant_recovery
    scope: tenant_data
    databases: [clinicx]
    rpo: 12h
    rto: 1h
    requires: [tenant_data]
    minimum_backup_age: 30d
    steps:
      - manual: Stop the writes of the tenant
      - run: ["./runbooks/stop.sh", "--now"]
        timeout: 5m
      - restore: { backup: tenant_data, schedule: tenants, from: ask, tenants: ask, into: scratch }
      - check: [tables, "SELECT true"]
      - restore: { from: ask, tenants: ask, into: live }
    contacts: { primary: ops@example.com, escalation: [cto@example.com] }
    drill:
      when: { frequency: monthly, days: ["sun#1"], time: "04:00", timezone: America/New_York }
"#;

fn policies() -> Cli {
    cli().at("2026-10-20T12:00:00Z").file("policies/all.yaml", POLICIES)
}

#[test]
fn a_code_prints_its_page_in_every_spelling() {
    let text = cli().run(&["explain", "BK206"]).success();
    for spelling in ["bk206", "206", "Bk206", " BK206 "] {
        assert_eq!(cli().run(&["explain", spelling]).success(), text, "{spelling}");
    }
    snapshot!("explain_code", text);
}

#[test]
fn a_page_is_json_where_json_was_asked_for() {
    let json = cli().run(&["explain", "BK206", "--format", "json"]).exits(0).json();
    assert_eq!((json["format_version"].as_str(), json["code"].as_str()), (Some("1.0"), Some("BK206")));
    let headings: Vec<&str> =
        json["sections"].as_array().unwrap().iter().map(|section| section["heading"].as_str().unwrap()).collect();
    assert_eq!(headings, ["Why it matters", "Example", "What to do"]);
    assert!(json["sections"][1]["text"].as_str().unwrap().contains("```yaml\nversion: 1\n"), "{json:#}");
    assert!(json["title"].as_str().unwrap().starts_with("two classes of equal priority"));
}

#[test]
fn headings_are_painted_and_a_narrow_terminal_is_obeyed() {
    let text = cli().run(&["explain", "BK206", "--color", "always"]).success();
    assert!(text.contains("\u{1b}[1mWhy it matters\u{1b}[0m"), "{text}");
    let narrow = cli().env("COLUMNS", "60").run(&["explain", "BK891"]).success();
    let prose = narrow.lines().filter(|line| !line.starts_with("      "));
    assert!(prose.clone().count() > 10 && prose.clone().all(|line| line.chars().count() <= 60), "{narrow}");
}

#[test]
fn a_code_that_is_none_names_its_neighbours() {
    let ran = cli().run(&["explain", "BK198"]).exits(64).says("error[BK971]: there is no code BK198");
    assert_eq!(ran.stdout, "");
    for code in ["BK1", "bk99999999999999", "0"] {
        let _ = cli().run(&["explain", code]).exits(64).says("error[BK971]").says("the nearest ones are BK");
    }
}

#[test]
fn every_kind_of_thing_is_explained() {
    for address in [
        "schedule.nightly",
        "schedule.tenants",
        "schedule.before",
        "class.critical",
        "retention.gfs",
        "retention.unused",
        "store.primary",
        "database.clinicx",
        "recovery-plan.tenant-back",
        "guards",
    ] {
        snapshot!(format!("explain_{}", address.replace('.', "_")), policies().run(&["explain", address]).success());
    }
}

/// The set that says everything the language has.
fn contract() -> Cli {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/policies/valid/the-contract.yaml");
    cli().at("2026-10-20T12:00:00Z").file("policies/all.yaml", std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_whole_language_is_explained() {
    let mut all = String::new();
    for address in [
        "catalog",
        "alerts",
        "channel.oncall",
        "channel.mail",
        "database.clinicx",
        "store.primary",
        "store.dr",
        "retention.cold-year",
        "schedule.nightly-system",
        "schedule.incremental",
        "schedule.tickets",
        "schedule.uploads",
        "schedule.config",
    ] {
        all.push_str(&format!("$ bkup explain {address}\n{}\n", contract().run(&["explain", address]).success()));
    }
    snapshot!("explain_the_whole_language", all);
}

#[test]
fn what_is_paused_protected_or_renamed_is_said() {
    let marked = POLICIES.replace(
        "    store: folder\n",
        "    store: folder\n    protect: true\n    suspend: { until: 2026-12-01, reason: a migration }\n",
    ) + "moved: [{ from: schedule.customers, to: schedule.tenants }]\n";
    let at = |now: &str| {
        let cli = cli().at(now).file("policies/all.yaml", &marked);
        cli.run(&["explain", "schedule.tenants"]).success()
    };
    let text = at("2026-10-20T12:00:00Z");
    for words in [
        "Its state\n  - paused until 2026-12-01 00:00 UTC: a migration\n",
        "  - protected: nothing of it is ever deleted\n",
        "  - it was schedule.customers before\n",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert!(at("2026-12-20T12:00:00Z").contains("was paused until 2026-12-01"));
}

#[test]
fn a_secret_that_stands_in_the_file_is_not_shown() {
    let secret = "channels:\n  ops: { slack: \"https://hooks.slack.com/services/T0/B0/geheim\" }\n  \
                  pager: { webhook: \"https://pager.example.com/\", secret: geheim }\n";
    let cli = cli().at("2026-10-20T12:00:00Z").file("policies/all.yaml", format!("{POLICIES}{secret}"));
    for format in ["text", "json"] {
        let ran = cli.run(&["explain", "channel.*", "--format", format]).exits(0);
        assert!(!ran.stdout.contains("geheim") && ran.stdout.contains("BK605"), "{}", ran.stdout);
    }
}

#[test]
fn a_thing_is_json_where_json_was_asked_for() {
    let json = policies().run(&["explain", "schedule.nightly", "--format", "json"]).exits(0).json();
    snapshot!("explain_json", format!("{json:#}"));
}

#[test]
fn a_pattern_explains_everything_that_it_matches() {
    let json = policies().run(&["explain", "schedule.*", "--format", "json"]).exits(0).json();
    let addresses: Vec<&str> =
        json["explanations"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["schedule.before", "schedule.nightly", "schedule.tenants"]);
    let all = policies().run(&["explain", "*"]).success();
    for address in ["store.folder", "retention.unused", "recovery-plan.tenant-back", "guards"] {
        assert!(all.contains(&format!("{address}  ")), "{address}");
    }
}

#[test]
fn every_address_has_words_without_gaps() {
    let bytes = contract().read("policies/all.yaml").into_bytes();
    let (set, _) = bkup::policy::read(&[bkup::policy::SourceFile { name: "all.yaml".to_owned(), bytes }]);
    let (schema, now) = (bkup::policy::schema(), "2026-10-20T12:00:00Z".parse().unwrap());
    for address in set.addresses() {
        let explanation = set.describe(&address, now, &[], &schema).unwrap();
        let words = std::iter::once(&explanation.summary)
            .chain(explanation.topics.iter().flat_map(|topic| &topic.lines))
            .chain(explanation.used_by.iter().map(|user| &user.words));
        for line in words {
            assert!(!line.is_empty() && line.is_ascii() && !line.contains("  "), "{address}: {line:?}");
        }
    }
    let unknown: Address = "store.gone".parse().unwrap();
    assert_eq!(set.describe(&unknown, now, &[], &schema), None);
}

#[test]
fn no_explanation_shows_a_password() {
    for format in ["text", "json"] {
        let ran = policies().run(&["explain", "*", "--format", format]).exits(0);
        assert!(!(ran.stdout.clone() + &ran.stderr).contains("correct-horse"), "{}", ran.stdout);
        assert!(ran.stdout.contains("BK601"), "the finding about it is there");
    }
}

#[test]
fn an_address_that_is_none_names_what_there_is() {
    let _ = policies()
        .run(&["explain", "schedule.nigthly"])
        .exits(64)
        .says("error[BK972]: the policies define no schedule.nigthly")
        .says("did you mean schedule.nightly?");
    let _ =
        policies().run(&["explain", "class.other-than-all"]).exits(64).says("there are class.critical, class.standard");
    let _ = policies().run(&["explain", "store.eu-*"]).exits(64).says("error[BK973]: no address matches store.eu-*");
    let _ = policies().run(&["explain", "store.["]).exits(64).says("error[BK973]");
}

#[test]
fn what_is_neither_code_nor_address_is_told_what_explain_takes() {
    for (what, guess) in [
        ("nightly", "did you mean schedule.nightly?"),
        ("schedules", "did you mean 'schedule.*'?"),
        ("schedule", "did you mean 'schedule.*'?"),
        ("classes", "did you mean 'class.*'?"),
        ("recovery_plans", "did you mean 'recovery-plan.*'?"),
        ("schedules.nightly", "did you mean schedule.nightly?"),
        ("01JD4XYZ", "give a code (BK402), an address (schedule.nightly, guards), a pattern"),
    ] {
        let _ = policies().run(&["explain", what]).exits(64).says("error[BK970]").says(guess);
    }
    let _ = cli().run(&["explain", "nightly"]).exits(64).says("error[BK970]").says("give a code");
    let _ = cli().run(&["explain"]).exits(64).says("Usage: bkup explain");
    let _ = cli().run(&["explain", "schedule.nightly"]).exits(3).says("error[BK891]");
}

#[test]
fn a_thing_that_is_wrong_is_not_explained_and_its_neighbours_are() {
    let broken = POLICIES.replace("frequency: daily", "frequency: dayly");
    let cli = cli().at("2026-10-20T12:00:00Z").file("policies/all.yaml", broken);
    let _ = cli
        .run(&["explain", "schedule.nightly"])
        .exits(3)
        .says("error[BK974]: schedule.nightly cannot be explained: the policies have 1 error");
    let text = cli.run(&["explain", "schedule.tenants"]).success();
    assert!(text.contains("every 6") || text.contains("cron 0 */6 * * * UTC"), "{text}");
}

#[test]
fn a_schedule_of_every_second_is_explained_at_once() {
    let often = POLICIES.replace("cron: \"0 */6 * * *\"", "every: 1s");
    let cli = cli().at("2026-10-20T12:00:00Z").file("policies/all.yaml", often);
    let text = cli.run(&["explain", "schedule.tenants"]).success();
    assert!(text.contains("2026-10-20 12:00:01 UTC"), "{text}");
}
