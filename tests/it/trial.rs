//! Suite: trial. Tests of policies, and who gets what: what passes, what a failure says, which files are refused, and
//! that a history is what the calendar and the planner make of it.

use std::collections::BTreeMap;
use std::path::Path;

use bkup::diag::Diagnostic;
use bkup::domain::{Desired, Instant, Period, Tenant, TrialReport, When, ZoneName};
use bkup::policy::{self, LiveTenants, PolicySet, SourceFile};
use bkup::render::{
    Sources, Style, coverage_json, coverage_text, diagnostics_text, trial_json, trial_junit, trial_text,
};
use bkup::schedule::Calendar;
use bkup::trial;
use proptest::prelude::*;

use crate::world::model::{at, cron, name};
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
    url: s3://shop-backups/prod
    encryption: { recipients: [age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] }
databases:
  app:
    url: "${APP_URL}"
    objectives: { rpo: 27h }
    tenants: { schemas: "tenant_*" }
classes:
  critical: { tenants: ["enterprise-*"], priority: 1, rpo: 7h }
  standard: { tenants: ["*"], priority: 9, rpo: 27h }
retention:
  gfs: { daily: 7, weekly: 4, monthly: 12 }
schedules:
  nightly: { databases: [app], backup: database, when: { frequency: daily, time: "02:00", timezone: Europe/Berlin }, retention: gfs, store: primary }
  critical: { databases: [app], backup: tenant_data, tenants: { class: critical }, when: { cron: "0 */6 * * *" }, retention: { within: 30d }, store: primary }
  by-hand: { databases: [app], backup: database, when: { on: request }, retention: gfs, store: primary }
recovery_plans:
  full:
    type: full_recovery
    scope: all_systems
    databases: [app]
    steps: [{ restore: { backup: database, from: latest, into: scratch } }]
    approval: { status: pending_approval }
    drill: { every: 30d }
guards: { grace: 7d }
"#;

fn source(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), bytes: text.as_bytes().to_vec() }
}

#[track_caller]
fn policies(text: &str) -> PolicySet {
    let (set, found) = policy::read(&[source("shop.yaml", text)]);
    assert!(found.is_empty(), "{found:#?}");
    set
}

/// Reads tests against [`POLICIES`].
fn read(text: &str) -> (trial::Suite, Vec<Diagnostic>) {
    trial::read(&[source("shop.bkup-test.yaml", text)], &policies(POLICIES))
}

fn texts(text: &str) -> Sources {
    BTreeMap::from([("shop.bkup-test.yaml".to_owned(), text.to_owned())])
}

/// Runs tests against a set.
#[track_caller]
fn run_with(set: &PolicySet, text: &str) -> TrialReport {
    let (suite, found) = trial::read(&[source("shop.bkup-test.yaml", text)], set);
    assert!(found.is_empty(), "{}", diagnostics_text(&found, &texts(text), &Style::plain()));
    trial::run(&suite, set, &[])
}

#[track_caller]
fn run(text: &str) -> TrialReport {
    run_with(&policies(POLICIES), text)
}

/// Writes a file with one test of this body.
fn one(body: &str) -> String {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    format!("version: 1\ntests:\n  - name: it\n{body}")
}

#[track_caller]
fn passes(body: &str) {
    let text = one(body);
    let report = run(&text);
    assert_eq!(report.counts(), (1, 0), "{}", trial_text(&report, &texts(&text), &Style::plain()));
}

/// Returns the code of the one failure of a test.
#[track_caller]
fn fails(body: &str) -> &'static str {
    let text = one(body);
    let report = run(&text);
    let failures = &report.tests[0].failures;
    assert_eq!(failures.len(), 1, "{}", trial_text(&report, &texts(&text), &Style::plain()));
    failures[0].finding.code.0
}

const FAILING: &str = include_str!("../fixtures/trial/failing.yaml");

#[test]
fn a_failure_says_what_was_expected_where_and_what_there_is_instead() {
    let report = run(FAILING);
    snapshot!("trial_failing", trial_text(&report, &texts(FAILING), &Style::plain()));
    let codes: Vec<&str> =
        report.tests.iter().flat_map(|test| &test.failures).map(|failure| failure.finding.code.0).collect();
    for (code, _) in trial::codes().iter().filter(|(code, _)| code.0 < "BK958") {
        assert!(codes.contains(&code.0), "no fixture fails with {code}");
    }
}

#[test]
fn a_failure_is_told_to_programs_and_pipelines_too() {
    let report = run(FAILING);
    let json: serde_json::Value = serde_json::from_str(&trial_json(&report)).unwrap();
    assert_eq!((&json["format_version"], &json["passed"]), (&"1.0".into(), &1.into()));
    let (_, failed) = report.counts();
    assert_eq!(json["failed"], failed);
    assert_eq!(json["tests"][1]["failures"][0]["finding"]["code"], "BK950");
    snapshot!("trial_junit", trial_junit(&report));
}

const INVALID: &str = include_str!("../fixtures/trial/invalid.yaml");

#[test]
fn every_mistake_of_a_test_file_comes_in_one_run_with_its_place() {
    let (_, found) = read(INVALID);
    snapshot!("trial_invalid", diagnostics_text(&found, &texts(INVALID), &Style::plain()));
    for finding in &found {
        assert!(finding.span.is_some() && finding.label.is_some() && finding.help.is_some(), "{finding:?}");
    }
    for code in ["BK958", "BK959"] {
        assert!(found.iter().any(|finding| finding.code.0 == code), "{code}");
    }
}

#[test]
fn a_file_that_is_no_test_file_is_told_so() {
    for (text, code) in [
        ("", "BK105"),
        ("- a\n", "BK105"),
        ("tests: []\n", "BK106"),
        ("version: 2\ntests: []\n", "BK107"),
        ("version: 1\n", "BK111"),
        ("version: 1\ntests: []\n", "BK208"),
        ("version: 1\ntests: {}\n", "BK112"),
        ("version: 1\ntests: [a]\n", "BK112"),
        ("version: 1\ntests: [\n", "BK101"),
        ("version: 1\nschedules: {}\ntests: []\n", "BK110"),
    ] {
        let (suite, found) = read(text);
        assert!(suite.is_empty(), "{text}");
        assert!(found.iter().any(|finding| finding.code.0 == code), "{text}: {found:#?}");
    }
}

#[test]
fn a_whole_history_leaves_nothing_to_do() {
    passes(
        "at: 2026-12-15T03:00:00Z\ntenants: { app: [enterprise-acme] }\nhistory:\n  - { schedule: nightly, from: \
         2026-12-10 }\n  - { schedule: critical, from: 2026-12-01 }\ndrills: [{ plan: full, at: 2026-12-01T00:00:00Z \
         }]\nexpect: { actions: [], held: [], refused: false }",
    );
}

#[test]
fn days_are_those_of_the_schedules_zone() {
    // Two in the night of Berlin is one o'clock UTC in winter and midnight in summer: the slot of 29 June is of 29 June.
    passes(
        "at: 2026-06-30T12:00:00Z\nhistory: [{ schedule: nightly, from: 2026-06-01, to: 2026-06-30, except: \
         [2026-06-29] }]\nexpect:\n  verdicts: [{ schedule: nightly, slot: 2026-06-30T00:00:00Z, keep: true }, { \
         schedule: nightly, slot: \"2026-06-28T02:00[Europe/Berlin]\", keep: true, by: daily }]",
    );
    let text = one(
        "at: 2026-06-30T12:00:00Z\nhistory: [{ schedule: nightly, from: 2026-06-01, except: [2026-06-29] }]\nexpect: { \
         verdicts: [{ schedule: nightly, slot: 2026-06-29T00:00:00Z, keep: true }] }",
    );
    assert_eq!(read(&text).1[0].code.0, "BK958");
}

#[test]
fn a_slot_that_spring_swallows_is_where_the_planner_has_it() {
    // 02:00 does not come on 29 March in Berlin; the slot is at the end of the gap, 03:00 there and 01:00 UTC.
    passes(
        "at: \"2026-03-29T03:30[Europe/Berlin]\"\nhistory: [{ schedule: nightly, from: 2026-03-01, to: 2026-03-28 \
         }]\nexpect: { actions: [{ kind: back_up, schedule: nightly, slot: 2026-03-29T01:00:00Z }] }",
    );
}

#[test]
fn a_missed_night_is_recorded_and_not_run_late() {
    passes(
        "at: 2026-12-15T12:00:00Z\nhistory: [{ schedule: nightly, from: 2026-12-01, except: [2026-12-14, \
         2026-12-15] }]\nexpect:\n  actions: [{ kind: record_missed, schedule: nightly, slot: 2026-12-14T01:00:00Z, count: \
         1 }, { kind: record_missed, slot: 2026-12-15T01:00:00Z }]\n  no_actions: [{ kind: back_up }]",
    );
}

#[test]
fn a_tenant_without_a_backup_gets_its_first_one_at_once() {
    passes(
        "at: 2026-12-15T05:59:00Z\ntenants: { app: [enterprise-acme, enterprise-new] }\nhistory: [{ schedule: critical, \
         from: 2026-12-14, tenants: [enterprise-acme] }]\nexpect:\n  actions: [{ kind: back_up, schedule: critical, \
         scope: tenant=enterprise-new }]\n  no_actions: [{ kind: back_up, scope: tenant=enterprise-acme }, { kind: \
         back_up, scope: shared }]",
    );
}

#[test]
fn what_cannot_be_read_holds_work_and_deletes_nothing() {
    let body = |what: &str, expect: &str| {
        format!(
            "at: 2026-12-15T01:30:00Z\ntenants: {{ app: [enterprise-acme] }}\nhistory: [{{ schedule: nightly, from: \
             2026-01-01, to: 2026-12-14 }}]\nunreachable: [{what}]\nexpect: {{ held: [{expect}], no_actions: [{{ kind: \
             tombstone }}] }}"
        )
    };
    passes(&body("store.primary", "{ address: store.primary, reason: store_unreachable }"));
    passes(&body("catalog", "{ reason: catalog_unreachable }"));
    let text = one(
        "at: 2026-12-15T01:30:00Z\ntenants: { app: [enterprise-acme] }\nunreachable: [database.app]\nexpect: { held: [{ \
         address: schedule.critical, reason: database_unreachable }] }",
    );
    assert_eq!(run(&text).counts(), (1, 0));
}

#[test]
fn marks_of_a_later_entry_win() {
    passes(
        "at: 2026-12-15T03:00:00Z\nhistory:\n  - { schedule: nightly, from: 2026-12-01 }\n  - { schedule: nightly, slot: \
         2026-12-15T01:00:00Z, verified: false }\n  - { schedule: nightly, slot: 2026-12-02T01:00:00Z, quarantined: true \
         }\n  - { schedule: nightly, slot: 2026-12-03T01:00:00Z, protected: true }\n  - { schedule: nightly, slot: \
         2026-12-04T01:00:00Z, drilled: 2026-12-05T00:00:00Z }\n  - { schedule: nightly, slot: 2026-12-05T01:00:00Z, \
         tombstoned: 2026-12-08T03:00:00Z }\nexpect:\n  verdicts:\n    - { schedule: nightly, slot: \
         2026-12-14T01:00:00Z, keep: true, by: [daily, newest_verified] }\n    - { schedule: nightly, slot: \
         2026-12-02T01:00:00Z, keep: true, by: quarantined }\n    - { schedule: nightly, slot: 2026-12-03T01:00:00Z, keep: \
         true, by: protected }\n    - { schedule: nightly, slot: 2026-12-05T01:00:00Z, keep: false }\n  actions: [{ kind: \
         purge, count: 1 }, { kind: drill, plan: full }]",
    );
}

#[test]
fn a_first_run_makes_what_is_not_there() {
    passes(
        "at: 2026-12-15T03:00:00Z\ntenants: { app: [{ slug: enterprise-acme, schema: Odd }] }\napplied: false\nexpect:\n  \
         actions: [{ kind: ensure_catalog }, { kind: ensure_store, store: primary }, { kind: apply_document, address: \
         schedule.nightly, class: change }]\n  classes: { enterprise-acme: critical }\n  objectives: [{ database: app, \
         tenant: enterprise-acme, met: false }]",
    );
}

#[test]
fn an_empty_list_says_that_there_is_none() {
    let history = "at: 2026-12-15T01:30:00Z\nhistory: [{ schedule: nightly, from: 2026-12-01, to: 2026-12-14 }]\n";
    assert_eq!(fails(&format!("{history}expect: {{ actions: [] }}")), "BK950");
    let held = "at: 2026-12-15T01:30:00Z\nunreachable: [catalog]\nexpect: { held: [] }";
    assert_eq!(fails(held), "BK952");
}

#[test]
fn findings_are_those_of_the_tenants_and_of_the_policies_at_that_instant() {
    let with = |slugs: &str, expect: &str| {
        format!("at: 2026-12-15T01:30:00Z\ntenants: {{ app: [{slugs}] }}\nexpect: {{ {expect} }}")
    };
    passes(&with("enterprise-acme", "no_findings: [BK211, BK213]"));
    passes(&with("river-yoga", "findings: [BK213]"));
    // In March the clocks of Berlin skip the very time of the nightly slot.
    passes(&with("river-yoga", "findings: [BK306, BK213]"));
    assert_eq!(fails(&with("river-yoga", "findings: []")), "BK954");
    assert_eq!(fails(&with("river-yoga", "no_findings: [BK213]")), "BK954");
    assert_eq!(fails(&with("enterprise-acme", "findings: [BK211]")), "BK954");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_demos_tests_pass_and_its_policies_do_not_read_them() {
    let demo = root().join("examples/policies/demo");
    let ran = cli().run(&["test", "-p", demo.to_str().unwrap()]).success();
    assert!(ran.ends_with("6 passed\n"), "{ran}");
    assert!(cli().run(&["validate", "-p", demo.to_str().unwrap()]).success().contains("4 files"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "whether to write the file is the developer's choice, not bkup's")]
fn the_schema_is_the_committed_one() {
    let path = root().join("schemas/test.schema.json");
    let mut text = serde_json::to_string_pretty(&trial::schema()).unwrap();
    text.push('\n');
    if std::env::var_os("BKUP_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "run the test with BKUP_BLESS=1 and commit the file");
    let printed: serde_json::Value = serde_json::from_str(&cli().run(&["schema", "tests"]).success()).unwrap();
    assert_eq!(printed, trial::schema());
}

#[test]
fn codes_are_sorted_and_none_is_a_policys() {
    let codes: Vec<&str> = trial::codes().iter().map(|(code, _)| code.0).collect();
    assert!(codes.is_sorted() && codes.iter().all(|code| code.starts_with("BK95")), "{codes:?}");
    assert!(policy::codes().iter().all(|(code, _)| !codes.contains(&code.0)));
}

const PASSING: &str = "version: 1\ntests:\n  - name: A first run makes a catalog\n    at: 2026-12-15T03:00:00Z\n    \
                       applied: false\n    expect: { actions: [{ kind: ensure_catalog }] }\n";

fn shop() -> Cli {
    cli().file("policies/shop.yaml", POLICIES).file("policies/deep/a.bkup-test.yaml", PASSING)
}

#[test]
fn tests_are_found_below_the_policies_and_never_read_as_policies() {
    assert_eq!(shop().run(&["test"]).success(), "✓ A first run makes a catalog\n1 passed\n");
    let said = shop().run(&["validate", "-v"]).exits(0).stderr;
    assert!(said.contains("read policies/shop.yaml") && !said.contains("bkup-test"), "{said}");
    // Beside a policy file that is named itself, too, and by name wherever they are.
    let beside = cli().file("bkup.yaml", POLICIES).file("b.bkup-test.yml", PASSING).file("c/d.yaml", PASSING);
    assert!(beside.run(&["test"]).success().ends_with("1 passed\n"));
    assert!(beside.run(&["test", "c/d.yaml", "b.bkup-test.yml"]).success().ends_with("2 passed\n"));
}

#[test]
fn a_failed_test_is_exit_1_and_written_for_the_pipeline() {
    let cli = shop().file("policies/b.bkup-test.yaml", FAILING);
    let ran = cli.run(&["test", "--junit", "out.xml"]).exits(1);
    assert!(ran.stdout.contains("policies/deep/a.bkup-test.yaml\n✓ A first run"), "{}", ran.stdout);
    assert!(cli.read("out.xml").contains("<testsuite name=\"policies/b.bkup-test.yaml\""));
    assert_eq!(cli.run(&["test", "--format", "json"]).exits(1).json()["passed"], 2);
    assert_eq!(cli.run(&["test", "--filter", "FIRST run"]).success().lines().count(), 2);
    let _ = cli.run(&["test", "--junit", "no/out.xml"]).exits(1).says("BK897");
}

#[test]
fn no_test_and_wrong_files_are_exit_3() {
    let none = cli().file("policies/shop.yaml", POLICIES);
    let _ = none.run(&["test"]).exits(3).says("no tests found: policies holds no .bkup-test.yaml file");
    let _ = none.run(&["test", "gone"]).exits(3).says("no tests found: cannot read gone: no such file");
    let _ = shop().run(&["test", "--filter", "zzz"]).exits(3).says("none of 1 has \"zzz\" in its name");
    let broken = shop().file("policies/c.bkup-test.yaml", INVALID).run(&["test"]).exits(3);
    assert_eq!(broken.stdout, "");
    let _ = broken.says("the test files are invalid");
    let policies = shop().file("policies/b.yaml", "version: 1\nschedulse: {}\n");
    let _ = policies.run(&["test"]).exits(3).says("BK110").says("the policies are invalid");
}

fn desired(live: LiveTenants) -> Desired {
    policies(POLICIES).desired(&BTreeMap::from([(name("app"), live)])).0
}

#[test]
fn who_gets_what_is_a_table_by_priority() {
    let tenant = |slug: &str| Tenant { slug: slug.to_owned(), schema: format!("tenant_{slug}"), id: None };
    let live = ["zoe", "enterprise-acme", "\u{1b}[2J\"; DROP SCHEMA", "adam"].map(tenant).to_vec();
    let table = bkup::plan::coverage(&desired(LiveTenants::Known(live)), at("2026-01-01T00:00:00Z"));
    snapshot!("coverage_text", coverage_text(&table, &Style::plain()));
    let json: serde_json::Value = serde_json::from_str(&coverage_json(&table)).unwrap();
    let acme = &json["databases"][0]["tenants"][0];
    // Six hours between slots, and an hour by which each may start late.
    assert_eq!((&acme["tenant"], &acme["worst"]["loss"]), (&"enterprise-acme".into(), &"7h".into()));
    // The night in which Berlin's clocks go back has an hour more.
    let zoe = &json["databases"][0]["tenants"][3];
    assert_eq!((&zoe["tenant"], &zoe["worst"]["loss"]), (&"zoe".into(), &"1d2h".into()));
    assert!(!coverage_text(&table, &Style::plain()).contains('\u{1b}'));
}

#[test]
fn tenants_that_are_not_known_are_never_none() {
    let table = bkup::plan::coverage(
        &desired(LiveTenants::Unknown("connection refused".to_owned())),
        at("2026-01-01T00:00:00Z"),
    );
    let text = coverage_text(&table, &Style::plain());
    assert_eq!(text, "! database.app: its tenants are not known: connection refused\n");
    let none = bkup::plan::coverage(&desired(LiveTenants::Known(Vec::new())), at("2026-01-01T00:00:00Z"));
    assert_eq!(coverage_text(&none, &Style::plain()), "database.app: no tenant lives in it\n");
}

#[test]
fn explaining_tenants_needs_no_plan_file() {
    let _ = shop().run(&["plan", "--explain", "tenants", "--out", "x.json"]).exits(64);
    let _ = shop().run(&["plan", "--explain", "everything"]).exits(64);
}

/// A rule as it is written in a policy and as data.
fn rules() -> impl Strategy<Value = (&'static str, When)> {
    let zone = |name: &str| ZoneName::try_from(name.to_owned()).unwrap();
    let of = |expression, timezone| When { timing: cron(expression), timezone };
    prop_oneof![
        Just(("{ cron: \"0 2 * * *\", timezone: Europe/Berlin }", of("0 2 * * *", zone("Europe/Berlin")))),
        Just(("{ cron: \"30 */6 * * *\" }", of("30 */6 * * *", ZoneName::utc()))),
        Just((
            "{ cron: \"0 9-18 * * mon-fri\", timezone: America/New_York }",
            of("0 9-18 * * mon-fri", zone("America/New_York"))
        )),
        Just(("{ cron: \"0 4 1,15 * *\", timezone: Asia/Seoul }", of("0 4 1,15 * *", zone("Asia/Seoul")))),
        Just(("{ cron: \"15 0 * * sun\", timezone: Pacific/Apia }", of("15 0 * * sun", zone("Pacific/Apia")))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A history up to some instant, and the planner asked later: what is due and what was missed is what the calendar
    /// says, no more and no less.
    #[test]
    fn what_is_due_after_a_history_is_what_the_calendar_says(
        (written, when) in rules(),
        days in 1_i64..40,
        begin in 1_767_225_600_i64..1_798_761_600,
        later in 0_i64..400_000,
        within in prop_oneof![Just(5_i64), Just(60), Just(600)],
    ) {
        let calendar = Calendar::new(&when).unwrap();
        let begin = Instant::from_second(begin).unwrap();
        let end = Period::days(days).after(begin);
        let now = Period::seconds(later).after(end);
        let taken: Vec<Instant> = calendar.between(Period::seconds(1).before(begin), end).collect();
        prop_assume!(!taken.is_empty());
        let newest = *taken.last().unwrap();
        let open: Vec<Instant> = calendar.between(newest, now).collect();
        let over = |slot: &Instant| Period::minutes(within).after(*slot) < now;
        let due = open.last().filter(|slot| !over(slot));
        // What is due now is not missed; what passed before it is, although a backup comes now.
        let missed: Vec<&Instant> = open.iter().filter(|slot| over(slot)).collect();

        let start = POLICIES.find("  nightly:").unwrap();
        let policies_text = format!(
            "{}  it: {{ databases: [app], backup: database, when: {written}, start_within: {within}m, retention: {{ \
             forever: true }}, store: primary }}\n",
            &POLICIES[..start]
        );
        let mut expect = String::new();
        let list: Vec<String> = missed
            .iter()
            .map(|slot| format!("{{ kind: record_missed, slot: {slot}, count: 1 }}"))
            .chain(due.map(|slot| format!("{{ kind: back_up, schedule: it, database: app, slot: {slot}, count: 1 }}")))
            .collect();
        if list.is_empty() {
            expect.push_str("actions: []");
        } else {
            expect.push_str(&format!("actions: [{}]", list.join(", ")));
        }
        let ruled_out = [(missed.is_empty(), "record_missed"), (due.is_none(), "back_up")];
        let ruled_out: Vec<String> =
            ruled_out.iter().filter(|(out, _)| *out).map(|(_, kind)| format!("{{ kind: {kind} }}")).collect();
        if !ruled_out.is_empty() {
            expect.push_str(&format!(", no_actions: [{}]", ruled_out.join(", ")));
        }
        let body = format!(
            "at: {now}\nhistory: [{{ schedule: it, from: {begin}, to: {end} }}]\nexpect: {{ {expect}, held: [] }}"
        );
        let text = one(&body);
        let report = run_with(&policies(&policies_text), &text);
        prop_assert_eq!(report.counts(), (1, 0), "{}", trial_text(&report, &texts(&text), &Style::plain()));
    }

    #[test]
    fn any_text_in_a_test_file_ends_in_findings_that_have_a_place(
        text in "(version: 1\n)?(tests:\n)?( {0,4}(- )?(name|at|history|expect|schedule|slot|from|actions|kind)(: )?[a-z0-9\\[\\]{},: -]{0,12}\n){0,8}"
    ) {
        let (_, found) = read(&text);
        for finding in &found {
            let span = finding.span.as_ref().expect("a place");
            prop_assert!(span.end <= text.len() && span.begin <= span.end, "{finding:?}");
        }
    }
}
