//! Suite: the edits that findings carry. Each removes its finding and brings no new error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bkup::diag::{Diagnostic, Severity};
use bkup::policy::{self, Facts, SourceFile, mend};

fn judge(files: &[SourceFile]) -> Vec<Diagnostic> {
    policy::judge(files, &Facts::at("2026-01-15T00:00:00Z".parse().unwrap())).findings
}

fn file(text: &str) -> Vec<SourceFile> {
    vec![SourceFile { name: "policy.yaml".to_owned(), bytes: text.as_bytes().to_vec() }]
}

fn text(files: &[SourceFile]) -> String {
    files.iter().map(|file| String::from_utf8_lossy(&file.bytes)).collect::<Vec<_>>().join("---\n")
}

/// Every invalid fixture as a set of files.
fn fixtures() -> Vec<(String, Vec<SourceFile>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/policies/invalid");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut paths = vec![path.clone()];
        if path.is_dir() {
            paths = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
            paths.sort();
        }
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let files = paths.iter().map(|path| SourceFile { name: name(path), bytes: std::fs::read(path).unwrap() });
        all.push((name(&path), files.collect()));
    }
    all.sort_by(|a: &(String, _), b| a.0.cmp(&b.0));
    all
}

/// Counts errors by code and message.
fn errors(findings: &[Diagnostic]) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
        *counts.entry((finding.code.0, finding.message.as_str())).or_insert(0) += 1;
    }
    counts
}

#[test]
fn each_fix_of_each_fixture_removes_its_finding_and_brings_no_new_error() {
    let mut tried = 0;
    for (name, files) in fixtures() {
        let before = judge(&files);
        for (index, finding) in before.iter().enumerate().filter(|(_, finding)| finding.fix.is_some()) {
            tried += 1;
            let mended = mend(&files, std::slice::from_ref(finding));
            assert_eq!(mended.done, [0], "{name}: {finding:?}");
            let after = judge(&mended.files);
            let same = |other: &&Diagnostic| (other.code, &other.message) == (finding.code, &finding.message);
            let (had, has) = (before.iter().filter(same).count(), after.iter().filter(same).count());
            assert!(has < had, "{name}, finding {index} is still there: {finding:?}\n{}", text(&mended.files));
            // Behind where YAML gave up, and below a key that nobody knew, things are seen for the first time.
            let syntax = ["BK101", "BK102", "BK110", "BK119"].contains(&finding.code.0);
            let known = errors(&before);
            for (error, count) in errors(&after) {
                let new = count > known.get(&error).copied().unwrap_or(0);
                assert!(syntax || !new, "{name}: the fix of {finding:?} brings {error:?}\n{}", text(&mended.files));
            }
        }
    }
    assert!(tried > 25, "only {tried} fixes");
}

/// Mends a text until nothing more can be, as `validate --fix` does.
fn mended(before: &str) -> String {
    let mut files = file(before);
    for _ in 0..5 {
        files = mend(&files, &judge(&files)).files;
    }
    text(&files)
}

#[test]
fn what_is_surely_meant_is_written() {
    for (before, after) in [
        ("version: \"1\"\n", "version: 1\n"),
        ("retention: { r: { daily: 7 } }\n", "version: 1\nretention: { r: { daily: 7 } }\n"),
        ("version: 1\nretention: { r: { daly: \"7\" } }\n", "version: 1\nretention: { r: { daily: 7 } }\n"),
        (
            "version: 1\nretention: { r: { daily: 07, forever: Yes } }\n",
            "version: 1\nretention: { r: { daily: 7, forever: true } }\n",
        ),
        ("version: 1\nretention:\n\tr:\n\t\tdaily: 7\n", "version: 1\nretention:\n  r:\n    daily: 7\n"),
        ("version: 1\ncatalog: { url: ${A_B} }\n", "version: 1\ncatalog: { url: \"${A_B}\" }\n"),
        ("version: 1\ncatalog:\n  url: ${A_B}\n", "version: 1\ncatalog:\n  url: \"${A_B}\"\n"),
        (
            "version: 1\nschedules: { s: { databases: app, when: { frequncy: Daily, time: 2:00, timezone: UTC } } }\n",
            "version: 1\nschedules: { s: { databases: [app], when: { frequency: daily, time: \"02:00\", timezone: UTC } } }\n",
        ),
        (
            "version: 1\nschedules:\n  s:\n    databases:\n      - app\n      - app # again\n      - b\n",
            "version: 1\nschedules:\n  s:\n    databases:\n      - app # again\n      - b\n",
        ),
    ] {
        assert_eq!(mended(before), after);
    }
}

#[test]
fn what_somebody_has_to_decide_is_left() {
    for text in [
        // A number without a unit, a reference, a name that others refer to, a key that is there already.
        "version: 1\nretention: { r: { within: 30 } }\n",
        "version: 1\nretention: { daily: { daily: 7 } }\nschedules: { s: { retention: daly } }\n",
        "version: 1\nretention: { Daily: { daily: 7 } }\n",
        "version: 1\nretention: { r: { daily: 7, daly: 8 } }\n",
        // A zero, which would keep nothing.
        "version: 1\nretention: { r: { daily: 00 } }\n",
        // Tabs beside spaces, a text that brackets would read otherwise.
        "version: 1\nretention:\n  r:\n\tdaily: 7\n",
        "version: 1\nschedules: { s: { databases: a&b } }\n",
        "version: 1\nguards: { max_delete: 10 }\n",
        "version: 1\nstores: { s: { url: file:///srv/x } }\n",
    ] {
        assert_eq!(mended(text), text);
    }
}
