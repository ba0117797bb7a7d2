//! Suite: findings. What `validate` prints for programs: JSON after its published schema, SARIF after that of OASIS,
//! annotations for GitHub; and that no command prints a format that was not asked for.

use std::collections::BTreeSet;

use bkup::diag::{Code, Diagnostic, Edit, Fix, Span};
use bkup::policy::{self, SourceFile};
use bkup::render::{Findings, SarifTool, Sources, diagnostics_github, diagnostics_json, diagnostics_sarif};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::policy::{entries, files_of, findings};
use crate::render::samples::HOSTILE;
use crate::schemas::schema_of;
use crate::world::run::cli;

const BAD: &str = "version: 1\nstores:\n  main: { url: file:///srv/b, regoin: x }\n";

/// Returns a validator of the schema that OASIS publishes.
fn oasis() -> Validator {
    let schema = include_str!("../fixtures/sarif/sarif-schema-2.1.0.json");
    // One pattern of it (of languages, which bkup does not write) has a bracket that strict readers refuse.
    let schema: Value = serde_json::from_str(&schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$")).unwrap();
    jsonschema::draft7::options().should_validate_formats(true).build(&schema).unwrap()
}

#[track_caller]
fn assert_valid(validator: &Validator, value: &Value, what: &str) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{} at {}", error, error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}

fn texts(files: &[SourceFile]) -> Sources {
    files.iter().map(|file| (file.name.clone(), String::from_utf8_lossy(&file.bytes).into_owned())).collect()
}

fn sarif(found: &[Diagnostic], sources: &Sources, folder: &str) -> Value {
    let tool = SarifTool { version: "1.2.3", about: Some("https://example.com/bkup"), rules: policy::codes() };
    serde_json::from_str(&diagnostics_sarif(found, sources, folder, tool)).unwrap()
}

/// Every fixture with its findings and texts.
fn fixtures() -> impl Iterator<Item = (String, Vec<Diagnostic>, Sources)> {
    entries("invalid").into_iter().chain(entries("valid")).map(|path| {
        let files = files_of(&path);
        (path.display().to_string(), findings(&path), texts(&files))
    })
}

#[test]
fn the_json_of_every_fixture_fits_the_published_schema() {
    let validator = jsonschema::draft7::new(&schema_of::<Findings<'_>>()).unwrap();
    for (name, found, _) in fixtures() {
        assert_valid(&validator, &serde_json::from_str(&diagnostics_json(&found)).unwrap(), &name);
    }
    assert!(!validator.is_valid(&json!({ "format_version": "1.0", "errors": 0, "warnings": 0 })));
}

#[test]
fn the_log_of_every_fixture_is_sarif() {
    let validator = oasis();
    for (name, found, sources) in fixtures() {
        let log = sarif(&found, &sources, "/repo");
        assert_valid(&validator, &log, &name);
        let run = &log["runs"][0];
        assert_eq!(run["invocations"][0]["executionSuccessful"], true);
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), found.len());
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let mut prints = BTreeSet::new();
        for (result, finding) in results.iter().zip(&found) {
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!((&rule["id"], &result["ruleId"]), (&json!(finding.code), &json!(finding.code)));
            assert!(rule["shortDescription"]["text"].is_string(), "{rule}");
            let region = &result["locations"][0]["physicalLocation"]["region"];
            let span = finding.span.as_ref().unwrap();
            assert_eq!(cut(&sources[&span.file], region), &sources[&span.file][span.begin..span.end], "{name}");
            assert_eq!(result["relatedLocations"].as_array().map_or(0, Vec::len), finding.related.len());
            assert!(prints.insert(result["partialFingerprints"].to_string()), "{name}: a fingerprint twice");
        }
    }
}

/// Returns what lies in a region, as a reader of the log finds it: by lines, and columns in characters.
fn cut<'a>(text: &'a str, region: &Value) -> &'a str {
    let at = |line: &str, column: &str| {
        let (line, column) = (region[line].as_u64().unwrap(), region[column].as_u64().unwrap());
        let (line, column) = (usize::try_from(line).unwrap(), usize::try_from(column).unwrap());
        let begin: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        begin + text[begin..].char_indices().nth(column - 1).map_or(text.len() - begin, |(index, _)| index)
    };
    &text[at("startLine", "startColumn")..at("endLine", "endColumn")]
}

#[test]
fn a_fingerprint_stays_when_lines_above_it_come_or_go() {
    let prints = |text: &str| {
        let files = [SourceFile { name: "a.yaml".to_owned(), bytes: text.as_bytes().to_vec() }];
        let log = sarif(&policy::read(&files).1, &texts(&files), "/");
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["partialFingerprints"].clone()).collect::<Vec<_>>()
    };
    let before = prints(BAD);
    assert!(!before.is_empty());
    assert_eq!(before, prints(&BAD.replace("stores:", "# one\n\n# two\nguards: { min_keep: 3 }\nstores:")));
    assert_ne!(before, prints(&BAD.replace("regoin", "regoinn")));
}

#[test]
fn a_fix_becomes_the_edit_that_an_editor_makes() {
    let files = files_of(&entries("invalid").into_iter().find(|path| path.ends_with("BK113-quote-it.yaml")).unwrap());
    let (sources, found) = (texts(&files), policy::read(&files).1);
    let log = sarif(&found, &sources, "/");
    let mut fixes = 0;
    for (result, finding) in log["runs"][0]["results"].as_array().unwrap().iter().zip(&found) {
        let Some(fix) = &finding.fix else { continue };
        let change = &result["fixes"][0]["artifactChanges"][0];
        let replacement = &change["replacements"][0];
        let span = &fix.edits[0].span;
        assert_eq!(
            cut(&sources[&span.file], &replacement["deletedRegion"]),
            &sources[&span.file][span.begin..span.end]
        );
        assert_eq!(replacement["insertedContent"]["text"], fix.edits[0].text);
        assert_eq!(change["artifactLocation"]["uri"], "BK113-quote-it.yaml");
        fixes += 1;
    }
    assert!(fixes > 0);
}

#[test]
fn hostile_names_stay_text_in_a_log() {
    let file = format!("/repo/p/{HOSTILE} ü%.yaml");
    let span = Span { file: file.clone(), begin: 0, end: 4, line: 1, column: 1 };
    let mut finding =
        Diagnostic::error(Code("BK110"), "see [this](https://evil.example) {0}").at(span.clone(), HOSTILE);
    finding = finding.related(Span { file: "/etc/b.yaml".to_owned(), ..span.clone() }, HOSTILE).help(HOSTILE);
    finding.fix = Some(Fix { words: HOSTILE.to_owned(), edits: vec![Edit { span, text: "\n](\u{1b}".to_owned() }] });
    let sources = Sources::from([(file, "text".to_owned())]);
    let log = sarif(&[finding.clone()], &sources, "/repo");
    assert_valid(&oasis(), &log, "hostile");
    let result = &log["runs"][0]["results"][0];
    let artifact = &result["locations"][0]["physicalLocation"]["artifactLocation"];
    let uri = artifact["uri"].as_str().unwrap();
    assert!(uri.starts_with("p/") && uri.bytes().all(|byte| byte.is_ascii_graphic()), "{uri}");
    assert_eq!(artifact["uriBaseId"], "SRCROOT");
    let elsewhere = &result["relatedLocations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(elsewhere, &json!({ "uri": "file:///etc/b.yaml" }));
    assert!(!result["message"]["text"].as_str().unwrap().contains("]("), "{result}");
    assert_eq!(result["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"], "\n](\u{1b}");
    let lines = diagnostics_github(&[finding], &sources, "/repo");
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

#[test]
fn a_finding_without_a_place_is_still_in_the_log() {
    let log = sarif(&[Diagnostic::warning(Code("BK999"), "a code that no list has")], &Sources::new(), "/");
    assert_valid(&oasis(), &log, "no place");
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][0]["defaultConfiguration"]["level"], "warning");
}

#[test]
fn validate_prints_each_format_and_keeps_its_exit_code() {
    let cli = cli().file("policies/a.yaml", BAD);
    let log = cli.run(&["validate", "--format", "sarif"]).exits(3).json();
    assert_valid(&oasis(), &log, "the binary's log");
    assert_eq!(log["runs"][0]["tool"]["driver"]["semanticVersion"], env!("CARGO_PKG_VERSION"));
    let uri = |log: &Value| {
        log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone()
    };
    assert_eq!(uri(&log), "policies/a.yaml");
    let absolute = cli.path("policies").display().to_string();
    assert_eq!(uri(&cli.run(&["-p", &absolute, "validate", "--format", "sarif"]).exits(3).json()), "policies/a.yaml");
    let ran = cli.run(&["validate", "--format", "github"]).exits(3);
    let first = "::error file=policies/a.yaml,line=3,col=31,endLine=3,endColumn=37,title=BK110::`regoin` is not a key";
    assert!(ran.stdout.starts_with(first), "{ran:?}");
    assert!(ran.stdout.contains("::warning file=policies/a.yaml,line=3"), "{ran:?}");
    assert!(ran.stdout.ends_with("\n1 error and 1 warning\n"), "{ran:?}");
}

#[test]
fn the_log_of_a_plan_is_sarif_with_a_meaning_for_each_rule() {
    let mut plan = crate::render::samples::refused_plan();
    plan.objectives = crate::render::samples::rows();
    let rules: Vec<_> =
        policy::codes().iter().copied().chain(bkup::render::PLAN_CODES).chain(bkup::domain::DRIFT_CODES).collect();
    let tool = SarifTool { version: "1.2.3", about: None, rules: &rules };
    let log = diagnostics_sarif(&bkup::render::plan_findings(&plan), &Sources::new(), "/repo", tool);
    let log: Value = serde_json::from_str(&log).unwrap();
    assert_valid(&oasis(), &log, "a plan");
    let run = &log["runs"][0];
    for rule in run["tool"]["driver"]["rules"].as_array().unwrap() {
        assert!(rule["shortDescription"]["text"].is_string(), "{rule:#}");
    }
    let place = &run["results"].as_array().unwrap().iter().find(|r| r["locations"].is_array()).unwrap()["locations"][0];
    assert_eq!(place["physicalLocation"]["region"]["startLine"], 31);
}

#[test]
fn the_codes_of_a_plan_mean_what_their_pages_say() {
    for (code, meaning) in bkup::render::PLAN_CODES {
        assert_eq!(bkup::render::page(code.0).unwrap().title(), meaning);
    }
}

#[test]
fn warnings_fail_in_every_format_only_where_they_are_asked_to() {
    let cli = cli().file("bkup.yaml", "version: 1\nstores: { main: { url: file:///srv/b } }\n");
    for format in ["text", "json", "sarif", "github"] {
        let _ = cli.run(&["validate", "--format", format]).exits(0);
        let _ = cli.run(&["validate", "--strict", "--format", format]).exits(3);
    }
}

#[test]
fn where_nothing_could_be_judged_there_is_no_log() {
    for format in ["sarif", "github"] {
        let ran = cli().run(&["validate", "--format", format]).exits(3).says("error[BK891]: no policies found");
        assert_eq!(ran.stdout, "", "an empty log would say that all is well");
    }
}

#[test]
fn a_command_without_a_format_refuses_it_before_any_work() {
    for args in [&["apply"][..], &["status"], &["schema"], &["backup", "x"], &["key", "generate"]] {
        for format in ["sarif", "github", "markdown"] {
            if (args, format) == (&["status"], "markdown") {
                continue;
            }
            let all: Vec<&str> = args.iter().copied().chain(["--format", format]).collect();
            let ran = cli().file("bkup.yaml", BAD).run(&all).exits(64);
            assert_eq!(ran.stdout, "");
            let other = if format == "markdown" { "plan" } else { "validate" };
            let more = if args == ["status"] { " or --format markdown" } else { "" };
            let help =
                format!("write --format text or --format json{more} here, or run `bkup {other} --format {format}`");
            assert!(ran.stderr.contains("error[BK890]") && ran.stderr.contains(&help), "{ran:?}");
        }
    }
}
