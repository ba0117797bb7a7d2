//! Policies from bytes to findings and to what is desired: every fixture with its snapshot, what holds for any input,
//! the example set, and the schema.
//!
//! A fixture is a file, or a folder that is one set. Its name begins with the code that it must trigger; it is read and
//! proven as of 15 January 2026. A folder may hold `measured.txt`, what a catalog would have measured, and `tenants.txt`,
//! one `database slug` per line: the set is then resolved with these live tenants too.
//! `BKUP_BLESS=1` writes the schema anew; `INSTA_UPDATE=always` the snapshots.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail loudly, as tests do")]

mod hostile;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bkup::diag::{Diagnostic, Severity, Span};
use bkup::domain::{
    Address, Desired, DrillRecord, EnvText, Name, Period, ResolvedTenants, ScheduleSpec, Tenant, TenantFilter,
    digest_of,
};
use bkup::policy::{self, Facts, Judged, LiveTenants, Measured, PolicySet, SourceFile};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a fixture: a file, or every YAML file of a folder.
pub fn files_of(path: &Path) -> Vec<SourceFile> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        paths = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        paths.retain(|path| !path.to_string_lossy().ends_with(".bkup-test.yaml"));
        paths.sort();
    }
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| SourceFile { name: name(path), bytes: std::fs::read(path).unwrap() }).collect()
}

/// Reads and proves a set.
fn judge(files: &[SourceFile]) -> Judged {
    policy::judge(files, &facts(Path::new("-")))
}

fn file(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { name: "policy.yaml".to_owned(), bytes: text.as_bytes().to_vec() }]
}

pub fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/fixtures/policies").join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

/// Reads `tenants.txt` of a fixture.
fn live_tenants(path: &Path) -> Option<BTreeMap<Name, LiveTenants>> {
    let text = std::fs::read_to_string(path.join("tenants.txt")).ok()?;
    let mut live: BTreeMap<Name, Vec<Tenant>> = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let (database, slug) = line.split_once(' ').unwrap();
        let tenant = Tenant { slug: slug.to_owned(), schema: format!("tenant_{index}"), id: None };
        live.entry(database.parse().unwrap()).or_default().push(tenant);
    }
    Some(live.into_iter().map(|(name, tenants)| (name, LiveTenants::Known(tenants))).collect())
}

/// What proofs count on in every test of this suite: a Thursday in winter, and what `measured.txt` of a fixture says,
/// in lines such as `duration SCHEDULE DATABASE 2h` and `drill PLAN 3h`.
fn facts(path: &Path) -> Facts {
    let now = "2026-01-15T00:00:00Z".parse().unwrap();
    let Ok(text) = std::fs::read_to_string(path.join("measured.txt")) else { return Facts::at(now) };
    let mut measured = Measured::default();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["duration", schedule, database, period] => {
                measured.durations.insert((name(schedule), name(database)), period.parse().unwrap());
            }
            ["drill", plan, period] => {
                let drill = DrillRecord {
                    at: now - jiff::SignedDuration::from_hours(240),
                    passed: true,
                    plan_digest: digest_of(&"plan"),
                    restore: period.parse().unwrap(),
                    backup_age: Period::hours(1),
                    attempts: 1,
                };
                measured.drills.insert(name(plan), drill);
            }
            other => panic!("{other:?}"),
        }
    }
    Facts { measured: Some(measured), ..Facts::at(now) }
}

/// Every finding of a fixture, of reading, of proving and of resolving.
pub fn findings(path: &Path) -> Vec<Diagnostic> {
    let Judged { set, findings: mut found, .. } = policy::judge(&files_of(path), &facts(path));
    if let Some(live) = live_tenants(path) {
        found.extend(set.desired(&live).1);
    }
    found
}

fn render(files: &[SourceFile], found: &[Diagnostic]) -> String {
    let excerpt = |span: &Span| {
        let file = files.iter().find(|file| file.name == span.file).unwrap();
        String::from_utf8_lossy(&file.bytes).get(span.begin..span.end).unwrap().escape_debug().to_string()
    };
    let place = |span: &Span| format!("{}:{}:{} `{}`", span.file, span.line, span.column, excerpt(span));
    let mut out = String::new();
    for finding in found {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        writeln!(out, "{severity}[{}]: {}", finding.code, finding.message).unwrap();
        if let Some(span) = &finding.span {
            writeln!(out, "  at {}: {}", place(span), finding.label.as_deref().unwrap()).unwrap();
        }
        for related in &finding.related {
            writeln!(out, "  and {}: {}", place(&related.span), related.words).unwrap();
        }
        writeln!(out, "  help: {}\n", finding.help.as_deref().unwrap()).unwrap();
    }
    out
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[track_caller]
fn read_well(files: &[SourceFile]) -> PolicySet {
    let (set, found) = policy::read(files);
    assert_eq!(render(files, &found), "");
    set
}

#[test]
fn every_invalid_fixture_triggers_its_code_and_says_so_in_words() {
    for path in entries("invalid") {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        // The one fixture that is named for what people look for rather than for its code.
        let code = if stem == "rpo-impossible" { "BK402" } else { stem.split('-').next().unwrap() };
        let found = findings(&path);
        assert!(found.iter().any(|finding| finding.code.0 == code), "{stem} triggers {found:?}");
        settings().bind(|| insta::assert_snapshot!(format!("policy-{stem}"), render(&files_of(&path), &found)));
    }
}

#[test]
fn every_code_has_a_fixture_and_a_meaning() {
    let codes = policy::codes();
    assert!(codes.is_sorted_by(|a, b| a.0 < b.0), "sorted, each once");
    let fixtures: BTreeSet<String> =
        entries("invalid").iter().map(|path| path.file_name().unwrap().to_str().unwrap()[..5].to_owned()).collect();
    for (code, meaning) in codes {
        assert!(!meaning.is_empty());
        assert!(fixtures.contains(code.0), "{code} has no fixture");
    }
}

#[test]
fn every_finding_has_a_place_a_label_and_help_and_a_listed_code() {
    for path in entries("invalid") {
        for finding in findings(&path) {
            assert!(finding.span.is_some() && finding.label.is_some() && finding.help.is_some(), "{finding:?}");
            assert!(policy::codes().iter().any(|(code, _)| *code == finding.code), "{finding:?}");
            let ends_well = |text: &str| !text.is_empty() && !text.ends_with(['.', ' ']);
            assert!(ends_well(&finding.message), "{finding:?}");
        }
    }
}

#[test]
fn no_finding_repeats_a_secret() {
    for path in entries("invalid") {
        for finding in findings(&path) {
            let shown = format!("{finding:?}").to_lowercase();
            assert!(!shown.contains("geheim") && !shown.contains("age-secret-key-1"), "{finding:?}");
        }
    }
}

#[test]
fn what_is_shown_beside_a_finding_holds_no_secret_and_keeps_every_place() {
    for (text, shown) in [
        ("url: postgres://u:ge/h@im@h:5432/db", "url: postgres://u:*******@h:5432/db"),
        ("a: \"postgres://u:gehäim@h\" # x@y", "a: \"postgres://u:*******@h\" # x@y"),
        ("host=h password=geheim user=u", "host=h password=****** user=u"),
        ("host=h password='ge heim' user=u", "host=h password='*******' user=u"),
        ("?PassWord=geheim&x=1", "?PassWord=******&x=1"),
        ("age-secret-key-1ABC, b", "age-secret-key-****, b"),
        ("endpoint: https://minio:9000/a", "endpoint: https://minio:9000/a"),
        ("nothing: here", "nothing: here"),
    ] {
        assert_eq!(policy::masked(text), shown);
        assert_eq!(shown.len(), text.len());
    }
    for file in entries("invalid").iter().flat_map(|path| files_of(path)) {
        let Ok(text) = String::from_utf8(file.bytes) else { continue };
        let shown = policy::masked(&text).to_lowercase();
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains("geheim") && !shown.contains("age-secret-key-1"), "{}", file.name);
    }
}

#[test]
fn valid_fixtures_have_no_findings_and_proofs_no_errors() {
    for path in entries("valid") {
        let files = files_of(&path);
        assert_eq!(render(&files, &policy::read(&files).1), "", "{}", path.display());
        let errors: Vec<Diagnostic> =
            findings(&path).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
        assert_eq!(render(&files, &errors), "", "{}", path.display());
    }
}

#[test]
fn what_a_comment_ignores_is_taken_out_and_counted() {
    let judged = judge(&files_of(&root().join("tests/fixtures/policies/ignored.yaml")));
    assert_eq!(judged.findings, []);
    let suppressed: Vec<(&str, u32)> =
        judged.suppressed.iter().map(|f| (f.code.0, f.span.as_ref().unwrap().line)).collect();
    assert_eq!(suppressed, [("BK604", 5), ("BK604", 8)]);
}

#[test]
fn a_comment_ignores_nothing_on_other_lines_and_nothing_inside_texts() {
    let store = "{ url: file:///srv/a }";
    for text in [
        format!("stores:\n  # bkup: ignore[BK604] test data\n\n  a: {store}\n"),
        format!("stores:\n  a: {store}\n  # bkup: ignore[BK604] test data\n"),
        format!("stores:\n  a: {store}\nguards: {{ reason: \"# bkup: ignore[BK604] x\" }}\n"),
        "guards: { reason: \"\n  # bkup: ignore[BK604] x\n\" }\nstores: { a: { url: file:///srv/a } }\n".to_owned(),
    ] {
        let judged = judge(&file(&format!("version: 1\n{text}")));
        assert!(judged.findings.iter().any(|finding| finding.code.0 == "BK604"), "{text}");
        assert_eq!(judged.suppressed, [], "{text}");
    }
}

#[test]
fn what_a_proof_finds_can_be_ignored_where_it_points() {
    let mut tried = 0;
    for path in entries("invalid").into_iter().chain(entries("valid")).filter(|path| path.is_file()) {
        let files = files_of(&path);
        let judged = judge(&files);
        let Some(finding) = judged.findings.iter().find(|finding| finding.code.0 == "BK402") else { continue };
        tried += 1;
        let span = finding.span.as_ref().unwrap();
        let mut lines: Vec<String> = String::from_utf8_lossy(&files[0].bytes).lines().map(str::to_owned).collect();
        lines.insert(span.line as usize - 1, "# bkup: ignore[BK402] a standby covers it".to_owned());
        let again = judge(&[SourceFile { name: files[0].name.clone(), bytes: (lines.join("\n") + "\n").into_bytes() }]);
        let at = |found: &[Diagnostic]| {
            found.iter().any(|f| f.code.0 == "BK402" && f.span.as_ref().is_some_and(|s| s.line == span.line + 1))
        };
        assert!(at(&again.suppressed) && !at(&again.findings), "{}", path.display());
    }
    assert!(tried > 0);
}

#[test]
fn the_proofs_hold_on_the_demo_set() {
    let path = root().join("examples/policies/demo");
    let errors: Vec<Diagnostic> =
        findings(&path).into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(render(&files_of(&path), &errors), "");
}

fn demo() -> PolicySet {
    read_well(&files_of(&root().join("examples/policies/demo")))
}

fn live(slugs: &[&str]) -> BTreeMap<Name, LiveTenants> {
    let tenant = |slug: &&str| Tenant { slug: (*slug).to_owned(), schema: format!("tenant_{slug}"), id: None };
    BTreeMap::from([(name("app"), LiveTenants::Known(slugs.iter().map(tenant).collect()))])
}

#[test]
fn the_demo_set_is_valid_and_its_tenants_get_their_classes() {
    let set = demo();
    let slugs = ["standard-a", "enterprise-acme", "premium-x", "corner-shop", "\"; DROP SCHEMA", "ümläut-✓"];
    let (desired, found) = set.desired(&live(&slugs));
    assert_eq!(found, []);
    let ResolvedTenants::Known(tenants) = &desired.tenants[&name("app")] else { panic!("known") };
    let classes: Vec<(&str, &str)> =
        tenants.iter().map(|(tenant, class)| (tenant.slug.as_str(), class.as_ref().unwrap().as_str())).collect();
    assert_eq!(
        classes,
        [
            ("\"; DROP SCHEMA", "standard"),
            ("corner-shop", "standard"),
            ("enterprise-acme", "critical"),
            ("premium-x", "critical"),
            ("standard-a", "high"),
            ("ümläut-✓", "standard"),
        ]
    );
    assert_eq!(set.catalog_url(), EnvText::Variable("BKUP_CATALOG_URL".to_owned()));
}

#[test]
fn the_documents_of_the_demo_set_stay_what_they_are() {
    let (desired, _) = demo().desired(&live(&["enterprise-acme"]));
    let documents: BTreeMap<String, serde_json::Value> =
        desired.documents.iter().map(|(address, document)| (address.to_string(), document.body.clone())).collect();
    settings().bind(|| insta::assert_json_snapshot!("policy-demo-documents", documents));
}

#[test]
fn every_value_of_the_language_is_read_as_it_is_meant() {
    let set = read_well(&files_of(&root().join("tests/fixtures/policies/valid/everything.yaml")));
    let (desired, _) = set.desired(&BTreeMap::new());
    let documents: BTreeMap<String, serde_json::Value> =
        desired.documents.iter().map(|(address, document)| (address.to_string(), document.body.clone())).collect();
    settings().bind(|| insta::assert_json_snapshot!("policy-everything-documents", documents));
}

#[test]
fn a_merge_key_brings_what_is_not_written_out() {
    let set = read_well(&files_of(&root().join("tests/fixtures/policies/valid/anchors-and-merge-keys.yaml")));
    let (desired, _) = set.desired(&BTreeMap::new());
    let (one, two) = (&desired.schedules[&name("one")], &desired.schedules[&name("two")]);
    assert_eq!((&two.databases, &two.store), (&one.databases, &one.store));
    assert_ne!(two.when, one.when);
    assert_eq!((two.retention.daily, two.retention.weekly, two.retention.forever), (Some(7), Some(4), true));
    assert_eq!(one.retention, desired.retentions[&name("base")]);
    assert_eq!(desired.retentions[&name("more")].monthly, Some(12));
    assert_eq!(desired.retentions[&name("more")].timezone.as_str(), "Europe/Berlin");
    assert_eq!(desired.stores[&name("second")].encryption, desired.stores[&name("primary")].encryption);
}

#[test]
fn a_literal_password_reaches_no_document() {
    let text = "version: 1\ndatabases: { app: { url: 'postgres://u:geheim@h/app' } }\n";
    let (desired, _) = policy::read(&file(text)).0.desired(&BTreeMap::new());
    assert!(!format!("{desired:?}").contains("geheim"));
    assert_eq!(desired.documents[&"database.app".parse().unwrap()].body["url"], "postgres://u:***@h/app");
    let EnvText::Literal(url) = &desired.databases[&name("app")].url else { panic!("a literal") };
    assert_eq!(url, "postgres://u:geheim@h/app", "what connects still has it");
}

#[test]
fn a_document_changes_with_its_policy_and_not_with_its_place() {
    let digest = |text: &str| {
        let (desired, _) = read_well(&file(text)).desired(&BTreeMap::new());
        desired.documents[&"retention.r".parse().unwrap()].digest
    };
    let first = digest("version: 1\nretention: { r: { daily: 7 } }\n");
    assert_eq!(first, digest("version: 1\n# moved\nretention:\n  r:\n    daily: 7\n    pick: first\n"));
    assert_ne!(first, digest("version: 1\nretention: { r: { daily: 8 } }\n"));
}

#[test]
fn a_document_reads_back_as_what_it_was_made_of() {
    let (desired, _) = demo().desired(&BTreeMap::new());
    for (schedule, spec) in &desired.schedules {
        let address: Address = format!("schedule.{schedule}").parse().unwrap();
        let document = &desired.documents[&address];
        assert_eq!(&serde_json::from_value::<ScheduleSpec>(document.body.clone()).unwrap(), spec);
        assert_eq!(document.digest, digest_of(spec));
        assert_eq!(document.location.file, "schedules.yaml");
    }
}

#[test]
fn defaults_are_those_of_the_language() {
    let text = std::fs::read_to_string(root().join("tests/fixtures/policies/valid/minimal.yaml")).unwrap();
    let (desired, _) = read_well(&file(&text)).desired(&BTreeMap::new());
    let Desired { schedules, guards, recovery_plans, .. } = desired;
    let daily = &schedules[&name("daily")];
    assert_eq!(daily.compression.to_string(), "zstd:3");
    assert_eq!(daily.max_parallel_jobs, 1);
    assert_eq!(daily.tenants, TenantFilter::All);
    assert_eq!(daily.start_within, Period::hours(1));
    assert_eq!(daily.when.timezone.as_str(), "UTC");
    assert_eq!(schedules[&name("often")].start_within, Period::minutes(15), "half the gap of 30 minutes");
    assert_eq!((guards.max_delete.to_string(), guards.min_keep, guards.grace), ("10%".to_owned(), 2, Period::days(7)));
    let plan = &recovery_plans[&name("back")];
    let drill = plan.drill.as_ref().unwrap();
    assert_eq!((drill.sample_tenants, drill.checks.len()), (3, 1));
    assert_eq!(plan.approval, bkup::domain::Approval::default());
}

#[test]
fn unknown_tenants_are_never_taken_for_none() {
    let set = demo();
    for given in
        [BTreeMap::new(), BTreeMap::from([(name("app"), LiveTenants::Unknown("connection refused".to_owned()))])]
    {
        let (desired, found) = set.desired(&given);
        assert!(matches!(desired.tenants[&name("app")], ResolvedTenants::Unknown(_)));
        assert_eq!(found, [], "a pattern that matches nobody is only known where tenants are");
    }
}

#[test]
fn a_place_is_found_again_by_address_and_path() {
    let set = demo();
    let span = |address: &str, path: &str| set.span(&address.parse().unwrap(), path).unwrap();
    let text = std::fs::read_to_string(root().join("examples/policies/demo/schedules.yaml")).unwrap();
    let at = span("schedule.tenants-critical", "when.cron");
    assert_eq!(&text[at.begin..at.end], "\"15 2 * * *\"");
    let nearest = span("schedule.tenants-critical", "when.timezone");
    assert_eq!(&text[nearest.begin..nearest.end], "{ cron: \"15 2 * * *\" }");
    assert_eq!(span("schedule.tenants-critical", "start_within"), span("schedule.tenants-critical", ""));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "whether to write the file is the developer's choice, not bkup's")]
fn the_schema_is_the_committed_one() {
    let path = root().join("schemas/policy.schema.json");
    let mut text = serde_json::to_string_pretty(&policy::schema()).unwrap();
    text.push('\n');
    if std::env::var_os("BKUP_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "run the test with BKUP_BLESS=1 and commit the file");
}

#[test]
fn the_schema_describes_every_key_and_knows_no_null() {
    fn walk(value: &serde_json::Value, path: &str) {
        if let Some(map) = value.as_object() {
            if let Some(properties) = map.get("properties").and_then(|p| p.as_object()) {
                assert_eq!(map["additionalProperties"], false, "{path}");
                for (key, property) in properties {
                    assert!(property.get("description").is_some(), "{path}.{key} is not described");
                }
            }
            assert_ne!(map.get("type"), Some(&serde_json::json!("null")), "{path}");
            // What stands in conditions says which values of keys are meant, not which keys there are.
            let conditions = ["allOf", "if", "then"];
            let inner = map.iter().filter(|(key, _)| !conditions.contains(&key.as_str()));
            inner.for_each(|(key, value)| walk(value, &format!("{path}/{key}")));
        } else if let Some(items) = value.as_array() {
            assert!(!items.contains(&serde_json::json!("null")), "{path}");
            items.iter().for_each(|value| walk(value, path));
        }
    }
    let schema = policy::schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    walk(&schema, "");
}

#[test]
fn every_problem_of_every_file_comes_in_one_run_in_order() {
    let files = [
        SourceFile {
            name: "b.yaml".to_owned(),
            bytes: b"version: 1\nretention: { a: { daily: x, weakly: 1 }, b: {} }\n".to_vec(),
        },
        SourceFile { name: "a.yaml".to_owned(), bytes: b"version: 1\nstores: { s: [ }\n".to_vec() },
        SourceFile { name: "c.yaml".to_owned(), bytes: b"version: 1\nguards: { min_keep: 0 }\n".to_vec() },
    ];
    let found = policy::read(&files).1;
    let codes: Vec<(&str, &str)> =
        found.iter().map(|finding| (finding.span.as_ref().unwrap().file.as_str(), finding.code.0)).collect();
    assert_eq!(
        codes,
        [("b.yaml", "BK114"), ("b.yaml", "BK110"), ("b.yaml", "BK501"), ("a.yaml", "BK101"), ("c.yaml", "BK502")]
    );
}

#[test]
fn a_file_that_cannot_be_read_hides_no_reference_behind_a_false_finding() {
    let schedule = "version: 1\nretention: { r: { daily: 1 } }\nschedules: { s: { databases: [app], backup: database, \
                    when: { every: 1h }, retention: r, store: main } }\n";
    let files = [
        SourceFile { name: "a.yaml".to_owned(), bytes: schedule.as_bytes().to_vec() },
        SourceFile { name: "b.yaml".to_owned(), bytes: b"stores: {{{".to_vec() },
    ];
    let unknown =
        |files: &[SourceFile]| policy::read(files).1.iter().filter(|finding| finding.code.0 == "BK201").count();
    assert_eq!(unknown(&files[..1]), 2);
    assert_eq!(unknown(&files), 0, "the names may stand in the file that could not be read");
}

#[test]
fn a_misspelt_key_is_guessed() {
    let found = policy::read(&file("version: 1\nstores: { s: { url: 's3://abc/d', object_lok: {} } }\n")).1;
    assert!(found.iter().any(|f| f.code.0 == "BK110" && f.help.as_deref() == Some("did you mean `object_lock`?")));
}
