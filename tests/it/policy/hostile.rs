//! What holds of any input at all: it ends, quickly, in findings that lie in the file.

use std::collections::BTreeSet;

use bkup::diag::{Diagnostic, Severity};
use bkup::policy::{self, SourceFile};
use proptest::prelude::*;

use super::{entries, file, files_of, judge, live, root};

#[test]
fn hostile_shapes_end_quickly() {
    let begin = processor_seconds();
    let bomb = (1..30).fold("version: 1\na0: &a0 [x, x]\n".to_owned(), |text, n| {
        let before = n - 1;
        format!("{text}a{n}: &a{n} [*a{before}, *a{before}, *a{before}, *a{before}]\n")
    });
    let all: String = (0..20_000).map(|n| format!("k{n}: v, ")).collect();
    let copies = format!("version: 1\na: &a {{ {all} }}\nb: [{}]\n", "{<<: *a}, ".repeat(2000));
    let merges = (1..60).fold("version: 1\na0: &a0 {k: v}\n".to_owned(), |text, n| {
        let before = n - 1;
        format!("{text}a{n}: &a{n} {{ <<: [*a{before}, *a{before}], k{n}: *a{before} }}\n")
    });
    let texts = [
        ("brackets", "[".repeat(100_000)),
        ("braces", "{a: ".repeat(100_000)),
        ("dashes", "- ".repeat(100_000)),
        ("indents", (0..3000).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("aliases", bomb),
        ("merges", merges),
        ("copies", copies),
        ("mistakes", format!("version: 1\nretention: {{ a: {{ {all} }} }}\n")),
    ];
    for (what, text) in texts {
        let found = policy::read(&file(&text)).1;
        assert!(found.iter().any(|finding| finding.code.0 == "BK109"), "{what}: {found:?}");
    }
    let long = format!("version: 1\nstores: {{ {} }}\n", "a".repeat(300_000));
    assert!(!policy::read(&file(&long)).1.is_empty());
    let taken = processor_seconds() - begin;
    assert!(taken < 10.0, "{taken} s");
}

#[test]
fn warnings_without_number_are_no_error_and_hide_none() {
    let databases: String =
        (0..1_100).map(|n| format!("  d{n}: {{ url: \"postgres://app:hunter2@db/d{n}\" }}\n")).collect();
    let text = format!("version: 1\ndatabases:\n{databases}");
    let (warnings, errors): (Vec<_>, Vec<_>) =
        policy::read(&file(&text)).1.into_iter().partition(|found| found.severity == Severity::Warning);
    assert!(errors.is_empty(), "{:?}", errors.first());
    let left_out = warnings.last().unwrap();
    assert!(left_out.message.contains("more warnings than anybody reads"), "{left_out:?}");
    assert_eq!(warnings.len(), 1_001);
    let found = policy::read(&file(&format!("{text}  last: {{ url: 7 }}\n"))).1;
    let errors: Vec<_> = found.iter().filter(|found| found.severity == Severity::Error).collect();
    assert!(!errors.is_empty() && errors.iter().all(|found| found.code.0 != "BK109"), "{errors:?}");
}

/// What a file says is repeated to people only as far as they can read it, wherever in the language it stands.
#[test]
fn long_words_make_no_long_findings() {
    let long = "long".repeat(500);
    let words = [
        long.clone(),
        format!("\"{long}*\""),
        format!("${{{long}}}"),
        format!("\"${{{long}}}\""),
        format!("${{{long} ]}}"),
        format!("{{{long}}}"),
        format!("[{long}, {long}]"),
        format!("{{ {long}: {long} }}"),
        "9".repeat(2_000),
        format!("*{long}"),
        format!("!{long} a"),
    ];
    let mut too_long = BTreeSet::new();
    for seed in seeds_of(&["valid"]) {
        let text = String::from_utf8_lossy(&seed).into_owned();
        for (at, sign) in text.match_indices(": ").chain(text.match_indices("- ")) {
            let (before, after) = text.split_at(at);
            let value = after.find('\n').unwrap_or(after.len());
            for word in &words {
                let files = file(&format!("{before}{sign}{word}{}", &after[value..]));
                for finding in judge(&files).findings {
                    let related = finding.related.iter().map(|related| related.words.as_str());
                    let said = [Some(finding.message.as_str()), finding.label.as_deref(), finding.help.as_deref()];
                    for said in said.into_iter().flatten().chain(related) {
                        if said.len() > 1_000 {
                            let shorter = said.replace(&long, "<long>").replace(&words[8], "<digits>");
                            too_long.insert(format!(
                                "{}: {}",
                                finding.code.0,
                                shorter.chars().take(300).collect::<String>()
                            ));
                        }
                    }
                }
            }
        }
    }
    assert!(too_long.is_empty(), "{too_long:#?}");
}

/// Returns how long this thread has had a processor: a busy machine makes everything late, and nothing slow.
fn processor_seconds() -> f64 {
    let said = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let after_name = said.rsplit_once(')').unwrap().1;
    // User and system time, in hundredths of a second.
    let ticks = |index: usize| after_name.split_whitespace().nth(index).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Every fixture's text, to be cut and stirred.
fn seeds() -> Vec<Vec<u8>> {
    seeds_of(&["invalid", "valid"])
}

/// The texts of some folders of fixtures, and of the demo.
fn seeds_of(folders: &[&str]) -> Vec<Vec<u8>> {
    let paths = folders.iter().flat_map(|folder| entries(folder));
    let mut seeds: Vec<Vec<u8>> = paths.flat_map(|path| files_of(&path)).map(|file| file.bytes).collect();
    seeds.extend(files_of(&root().join("examples/policies/demo")).into_iter().map(|file| file.bytes));
    seeds
}

/// What must hold of any input at all.
fn ends_well(bytes: &[u8]) {
    let files = [SourceFile { name: "any.yaml".to_owned(), bytes: bytes.to_vec() }];
    let (set, found) = policy::read(&files);
    let text = String::from_utf8_lossy(bytes);
    for finding in &found {
        let span = finding.span.as_ref().unwrap();
        assert!(text.get(span.begin..span.end).is_some(), "{finding:?}");
    }
    assert_eq!(policy::masked(&text).len(), text.len());
    let _ = set.desired(&live(&["a", "enterprise-acme"]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_in_findings_that_lie_in_the_file(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        ends_well(&bytes);
    }

    #[test]
    fn any_yaml_like_text_ends_in_findings_that_lie_in_the_file(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "version: 1", "\n", "  ", "- ", "stores:", "a", ": ", "{", "}", "[", "]", ",", "&x ", "*x", "<<: ", "\"", "'",
                "${A}", "|\n", "ä", "\t", "#", "schedules: {s: {", "when: ", "every", "010", "null", "~", "\r\n", "---\n", "!t ", "? ",
            ]),
            0..60,
        ),
    ) {
        ends_well(words.concat().as_bytes());
    }

    #[test]
    fn a_stirred_fixture_ends_in_findings_that_lie_in_the_file(
        pick in any::<proptest::sample::Index>(),
        cut in any::<proptest::sample::Index>(),
        length in 0usize..40,
        insert in proptest::sample::select(vec!["", "{", "]", "\n", ":", "\"", "&a ", "*a", "ü", "\u{feff}", "0", "- "]),
    ) {
        let seeds = seeds();
        let mut bytes = pick.get(&seeds).clone();
        let begin = cut.index(bytes.len() + 1);
        let end = (begin + length).min(bytes.len());
        bytes.splice(begin..end, insert.bytes());
        ends_well(&bytes);
    }

    #[test]
    fn a_valid_sibling_removes_no_finding(pick in any::<proptest::sample::Index>()) {
        let fixtures = entries("invalid");
        let fixture = pick.get(&fixtures);
        let files = files_of(fixture);
        let before = policy::read(&files).1;
        let sibling = "version: 1\nstores: { zz-sibling: { url: file:///srv/zz-sibling, encryption: { recipients: [\
                       age1gs94g7crza4ev9g4c2rzkpm2wtajz8l4f3mr588v3c03r0s0cukqfxuych] } } }\nretention: { zz-sibling: { daily: 1 } }\n";
        let mut more = files.clone();
        more.push(SourceFile { name: "zz-sibling.yaml".to_owned(), bytes: sibling.as_bytes().to_vec() });
        let key = |finding: &Diagnostic| (finding.code, finding.span.clone());
        let after: Vec<_> = policy::read(&more).1.iter().map(key).collect();
        for finding in before.iter().filter(|finding| finding.severity != Severity::Note) {
            prop_assert!(after.contains(&key(finding)), "{finding:?}");
        }
    }
}
