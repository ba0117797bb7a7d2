//! What is exported is the same for the same policies, meets every slot, and holds no secret.

use std::collections::BTreeMap;

use super::{Ask, Target, export};
use crate::domain::{Desired, EnvText};
use crate::policy::{SourceFile, read};

fn desired(schedules: &str) -> Desired {
    let text = format!(
        "version: 1\ncatalog: {{ url: \"${{BKUP_CATALOG_URL}}\" }}\nstores:\n  primary: {{ url: \"file:///srv/a b\" }}\n\
         databases:\n  app: {{ url: \"${{APP_URL}}\" }}\nretention: {{ keep: {{ within: 30d }} }}\nschedules:\n{schedules}"
    );
    let (set, findings) = read(&[SourceFile { name: "a.yaml".to_owned(), bytes: text.into_bytes() }]);
    assert!(findings.iter().all(|finding| finding.severity != crate::diag::Severity::Error), "{findings:?}");
    set.desired(&BTreeMap::new()).0
}

fn schedule(name: &str, when: &str) -> String {
    format!("  {name}: {{ databases: [app], backup: database, when: {{ {when} }}, retention: keep, store: primary }}\n")
}

fn ask() -> Ask {
    Ask {
        folder: "policies".to_owned(),
        image: "registry.example/bkup:1".to_owned(),
        program: "/usr/local/bin/bkup".to_owned(),
        action: None,
    }
}

fn of(desired: &Desired, target: Target) -> String {
    let catalog = EnvText::Variable("BKUP_CATALOG_URL".to_owned());
    export(desired, &catalog, target, &ask()).iter().map(|(name, text)| format!("== {name}\n{text}")).collect()
}

#[test]
fn jobs_come_at_every_minute_that_has_a_slot() {
    let daily = schedule("a", "frequency: daily, time: \"02:00\", timezone: Europe/Berlin");
    for (schedules, field) in [
        (daily.clone(), "0 * * * *"),
        (daily.clone() + &schedule("b", "frequency: daily, time: \"03:30\""), "0,30 * * * *"),
        (schedule("a", "frequency: daily, time: \"02:00\", timezone: Asia/Kathmandu"), "15 * * * *"),
        (schedule("a", "every: 5m"), "*/5 * * * *"),
        (schedule("a", "every: 1m"), "* * * * *"),
        (schedule("a", "on: request"), "0 * * * *"),
    ] {
        let text = of(&desired(&schedules), Target::Kubernetes);
        assert!(text.contains(&format!("schedule: \"{field}\"\n  timeZone: \"Etc/UTC\"")), "{field} is not in\n{text}");
    }
}

#[test]
fn a_timer_counts_its_steps_from_a_begin() {
    let text = of(&desired(&schedule("a", "every: 5m")), Target::Systemd);
    assert!(text.contains("OnCalendar=*-*-* *:0/5:00 UTC\n"), "{text}");
}

#[test]
fn a_clock_that_is_too_slow_for_the_policies_says_so() {
    let slow = "do not leave them to it";
    let of = |when: &str| of(&desired(&schedule("a", when)), Target::GithubActions);
    assert!(of("every: 15m").contains(slow));
    assert!(!of("frequency: daily, time: \"02:00\"").contains(slow));
}

#[test]
fn what_most_schedules_follow_is_the_night_that_pruning_waits_for() {
    let schedules: String = [("a", "Asia/Seoul"), ("b", "Europe/Berlin"), ("c", "Asia/Seoul")]
        .map(|(name, zone)| schedule(name, &format!("frequency: daily, time: \"02:00\", timezone: {zone}")))
        .concat();
    let text = of(&desired(&schedules), Target::Kubernetes);
    assert!(text.contains("schedule: \"41 5 * * *\"\n  timeZone: \"Asia/Seoul\""), "{text}");
}

#[test]
fn a_path_with_a_space_is_one_word_everywhere() {
    let desired = desired(&schedule("a", "frequency: daily, time: \"02:00\""));
    assert!(of(&desired, Target::Systemd).contains("ReadWritePaths=\"/srv/a b\"\n"));
    assert!(of(&desired, Target::Kubernetes).contains("mountPath: \"/srv/a b\"\n"));
}

#[test]
fn there_is_a_drill_only_where_one_is_asked_for() {
    let desired = desired(&schedule("a", "frequency: daily, time: \"02:00\""));
    for target in [Target::Kubernetes, Target::GithubActions, Target::Systemd] {
        assert!(!of(&desired, target).contains("drill"), "{target:?}");
    }
}
