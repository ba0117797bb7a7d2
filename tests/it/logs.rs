//! Suite: what runs did, as people and programs read it.

use bkup::domain::{
    AttemptLog, BackupLog, Bytes, FinishedBefore, LoggedEvent, RunFailure, RunLog, RunState, RunSummary, Since,
};
use bkup::render::{
    Style, backup_log_json, backup_log_text, canceled_json, canceled_text, report_text, run_log_json, run_log_text,
    runs_json, runs_text,
};

use crate::render::samples::{at, report};

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

const HOSTILE: &str = "host\u{1b}[2J:7";

fn run(n: u64, state: RunState) -> RunSummary {
    RunSummary {
        run: format!("20261120T0{n}0000Z-000000000000000{n}"),
        plan_digest: report().plan_digest.unwrap(),
        runner: "host-1:77:0a0b0c0d".to_owned(),
        actor: "ann".to_owned(),
        begin: at(&format!("2026-11-20T0{n}:00:00Z")),
        end: (state == RunState::Ended).then(|| at(&format!("2026-11-20T0{n}:01:04Z"))),
        elapsed_ms: (state == RunState::Ended).then_some(64_000),
        state,
        counts: [("done".to_owned(), 12), ("failed".to_owned(), n)].into(),
        canceled: (n == 3).then(|| "canceled by bob: wrong night".to_owned()),
    }
}

fn attempt(number: u64, status: &str, error: Option<&str>) -> AttemptLog {
    AttemptLog {
        execution: format!("5b3c1f0e-0000-4000-8000-00000000000{number}"),
        backup: "20261120T020000Z-nightly-0a1b2c3d4e5f6071".to_owned(),
        attempt: number,
        status: status.to_owned(),
        schedule: Some("nightly".parse().unwrap()),
        database: Some("app".parse().unwrap()),
        scope: Some("tenant=acme".to_owned()),
        slot: Some(at("2026-11-20T02:00:00Z")),
        run: Some("20261120T020000Z-0000000000000001".to_owned()),
        runner: Some(HOSTILE.to_owned()),
        begin: Some(at("2026-11-20T02:00:04Z")),
        elapsed_ms: (status == "COMPLETED").then_some(800),
        size: (status == "COMPLETED").then_some(Bytes(3 << 20)),
        error: error.map(str::to_owned),
    }
}

#[test]
fn the_list_of_runs_says_what_became_of_each() {
    let runs = [run(4, RunState::Working), run(3, RunState::Ended), run(2, RunState::Dead), run(1, RunState::Ended)];
    snapshot!("logs_runs", runs_text(&runs, &Style::plain()));
    let json: serde_json::Value = serde_json::from_str(&runs_json(&runs)).unwrap();
    assert_eq!((json["format_version"].as_str(), json["runs"].as_array().map(Vec::len)), (Some("1.0"), Some(4)));
}

#[test]
fn a_run_that_died_shows_what_it_had_done_and_what_it_was_at() {
    let actions = report().actions.into_iter().take(2).collect();
    let attempts = vec![attempt(1, "COMPLETED", None), attempt(2, "RUNNING", None)];
    let log = RunLog { run: Some(run(2, RunState::Dead)), report: None, actions, attempts };
    snapshot!("logs_run_dead", run_log_text(&log, &Style::plain()));
    let json: serde_json::Value = serde_json::from_str(&run_log_json(&log)).unwrap();
    assert_eq!((json["run"]["state"].as_str(), json["report"].is_null()), (Some("dead"), true));
}

#[test]
fn a_backup_shows_every_attempt_and_its_audit() {
    let event = |event: &str, hour: u32| LoggedEvent {
        at: at(&format!("2026-11-20T{hour:02}:00:00Z")),
        actor: "ann".to_owned(),
        run: Some("20261120T020000Z-0000000000000001".to_owned()),
        event: event.to_owned(),
        facts: serde_json::json!({ "scope": "tenant=acme" }),
    };
    let attempts = vec![
        attempt(1, "FAILED", Some("pg_dump ended with 1: no\u{1b}[2J")),
        attempt(2, "CANCELED", Some("canceled by ann: migration")),
        attempt(3, "COMPLETED", None),
    ];
    let log = BackupLog {
        backup: attempts[0].backup.clone(),
        attempts,
        events: vec![event("backup failed", 2), event("backup completed", 3)],
    };
    let text = backup_log_text(&log, &Style::plain());
    assert!(!text.contains('\u{1b}'), "names are escaped");
    snapshot!("logs_backup", text);
    let json: serde_json::Value = serde_json::from_str(&backup_log_json(&log)).unwrap();
    assert_eq!(
        (json["attempts"].as_array().map(Vec::len), json["events"].as_array().map(Vec::len)),
        (Some(3), Some(2))
    );
}

#[test]
fn canceling_says_what_happens_to_the_slot() {
    let style = Style::plain();
    let one = [attempt(1, "CANCELED", None)];
    let text = format!(
        "{}\n---\n\n{}\n---\n\n{}",
        canceled_text(None, &one, &style),
        canceled_text(Some("20261120T020000Z-0000000000000001"), &one, &style),
        canceled_text(None, &[], &style),
    );
    snapshot!("logs_canceled", text);
    let json: serde_json::Value = serde_json::from_str(&canceled_json(None, &one)).unwrap();
    assert_eq!((json["run"].is_null(), json["canceled"].as_array().map(Vec::len)), (true, Some(1)));
}

#[test]
fn reports_say_why_a_run_did_nothing_and_what_it_left_alone() {
    let failure = RunFailure {
        code: "BK881".to_owned(),
        message: "the plan is stale: retention.short was changed since the plan was made".to_owned(),
        help: Some("nothing was changed; run `bkup plan` again and look at what is different".to_owned()),
    };
    let mut stale = report();
    stale.actions.iter_mut().for_each(|action| action.outcome = bkup::domain::Outcome::NotReached);
    stale.failure = Some(failure);
    (stale.evidence, stale.audit_head) = (Vec::new(), None);
    let mut finished = report();
    finished.finished_before =
        Some(FinishedBefore { run: "20261120T020000Z-0001".to_owned(), at: at("2026-11-20T02:00:00Z") });
    (finished.evidence, finished.held) = (Vec::new(), Vec::new());
    let mut grown = report();
    let since = |n: u32, deletes: bool| Since {
        address: "schedule.nightly".parse().unwrap(),
        work: if deletes { "tombstone" } else { "back_up" }.to_owned(),
        deletes,
        words: format!("{} {n}", if deletes { "tombstone" } else { "back up" }),
    };
    grown.since = (0..14).map(|n| since(n, n == 13)).collect();
    grown.unrecorded = vec!["store.primary, runs/2026/11/x.json: no answer".to_owned()];
    grown.actions.retain(|action| matches!(action.outcome, bkup::domain::Outcome::Done { .. }));
    (grown.evidence, grown.held) = (Vec::new(), Vec::new());
    let style = Style::plain();
    let texts: Vec<String> = [stale, finished, grown].iter().map(|report| report_text(report, &style)).collect();
    snapshot!("logs_reports", texts.join("\n---\n\n"));
}
