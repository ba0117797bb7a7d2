//! What is written reads back as what was meant, whatever it was made of.

use proptest::prelude::*;

use super::{Draft, Line, Names, Part, Value, harmless, name_of};
use crate::diag::{Diagnostic, Severity};
use crate::policy::{PolicySet, SourceFile, read};

fn back(text: &str) -> (PolicySet, Vec<Diagnostic>) {
    let (set, mut found) = read(&[SourceFile { name: "written.yaml".to_owned(), bytes: text.as_bytes().to_vec() }]);
    found.retain(|finding| finding.severity == Severity::Error);
    (set, found)
}

/// Writes a plan whose one step is a text, with the text in every place where one can stand.
fn plan_of(text: &str) -> String {
    let mut draft = Draft::new([text.to_owned()]);
    draft.add(Part::Databases, text, vec![text.to_owned()], vec![Line::new("url", super::variable("URL")).note(text)]);
    let mut lines = vec![
        Line::new("type", Value::word("full_recovery")),
        Line::new("scope", Value::word("all_systems")),
        Line::new("databases", Value::words([name_of(text, "database")])),
    ];
    if !text.trim().is_empty() {
        lines.push(Line::new("description", Value::text(text)).above(text));
        lines.push(Line::new("contacts", Value::Inline(vec![("escalation", Value::globs([text, text]))])));
        lines.push(Line::new("steps", Value::Items(vec![vec![Line::new("manual", Value::text(text)).above(text)]])));
    } else {
        lines.push(Line::new("steps", Value::Items(vec![vec![Line::new("manual", Value::text("none"))]])));
    }
    draft.add(Part::RecoveryPlans, text, vec![text.to_owned()], lines);
    draft.say(text);
    draft.text()
}

#[test]
fn texts_that_yaml_or_the_language_would_read_otherwise_get_quotes() {
    for text in [
        "yes",
        "null",
        "~",
        "0x1f",
        "1e3",
        "02:00",
        "a: b",
        "a #b",
        "- a",
        "* * * * *",
        "{a}",
        "[a]",
        "&a",
        "!a",
        "%a",
        "@daily",
        "`a`",
        "a,b",
        "'a'",
        "\"a\"",
        " a",
        "a ",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "a\nb",
        "\t",
        "\u{0}",
        "대한민국",
        "#",
        "a\\",
        "?",
        "|",
        ">",
        "---",
        "...",
        "<<",
        "=",
        "true",
        "12",
        ".5",
        "${A",
        "$",
        "${A}",
    ] {
        let (set, found) = back(&plan_of(text));
        assert!(found.is_empty(), "{text:?}: {found:?}\n{}", plan_of(text));
        let plan = set.recovery_plans.values().next().expect("the plan");
        let expected = text.replace("${A}", "$(A)");
        let expected = if expected.starts_with("${A") { "$(A".to_owned() } else { expected };
        if !text.trim().is_empty() {
            assert_eq!(plan.spec.description.as_deref(), Some(expected.as_str()), "{text:?}");
        }
    }
}

#[test]
fn secrets_and_marks_are_made_harmless_in_every_place() {
    let text = "postgres://u:geheim@h/db PGPASSWORD=geheim AGE-SECRET-KEY-1GEHEIMGEHEIM # bkup: ignore[BK604] mine";
    let written = plan_of(text);
    assert!(!written.to_lowercase().contains("geheim"), "{written}");
    assert!(!harmless(text).contains("bkup:"), "an ignore comment that somebody else wrote");
    assert!(back(&written).1.is_empty(), "{written}");
}

#[test]
fn names_are_valid_and_once() {
    assert_eq!(name_of("Daily Full System Backup", "x"), "daily-full-system-backup");
    assert_eq!(name_of("\"; DROP SCHEMA", "x"), "drop-schema");
    assert_eq!(name_of("7 days", "rule"), "rule-7-days");
    assert_eq!(name_of("대한민국", "plan"), "plan");
    let mut names = Names::default();
    let given: Vec<String> = ["a", "a", "A!", "a-2", "a"].iter().map(|w| names.give(w, "x").to_string()).collect();
    assert_eq!(given, ["a", "a-2", "a-3", "a-2-2", "a-4"]);
}

proptest! {
    #[test]
    fn whatever_a_text_holds_the_file_reads_back(text in any::<String>()) {
        let written = plan_of(&text);
        let (set, found) = back(&written);
        prop_assert!(found.is_empty(), "{found:?}\n{written}");
        prop_assert_eq!(set.recovery_plans.len(), 1);
    }

    #[test]
    fn a_text_comes_back_as_it_was(text in "[ -~äß대\n\t]{1,60}") {
        prop_assume!(!text.trim().is_empty() && !text.contains("${") && !text.contains("://"));
        prop_assume!(!text.to_ascii_lowercase().contains("password"));
        let (set, _) = back(&plan_of(&text));
        let plan = set.recovery_plans.values().next().expect("the plan");
        prop_assert_eq!(plan.spec.description.as_deref(), Some(text.as_str()));
    }

    #[test]
    fn names_made_of_anything_are_names(texts in proptest::collection::vec(any::<String>(), 1..20)) {
        let mut names = Names::default();
        let given: std::collections::BTreeSet<_> = texts.iter().map(|text| names.give(text, "thing")).collect();
        prop_assert_eq!(given.len(), texts.len());
    }
}
