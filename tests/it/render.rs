//! Suite: render. What people and programs are shown, from values built by hand: snapshots in Unicode and ASCII, and
//! the promises that hold for every plan: deletions are never left out, and no name can steer the terminal.

pub mod samples;

use bkup::diag::{Code, Diagnostic, Span};
use bkup::domain::{ActionClass, ActionKind, Event, Outcome, Scope};
use bkup::render::{
    PlanFormatError, PlanView, Sources, Style, backups_json, backups_text, diagnostics_json, diagnostics_text,
    event_line, evidence_text, is_breached, plan_json, plan_text, read_plan, report_json, report_text, status_json,
    status_text,
};

use samples::{HOSTILE, at, backup, evidence, plan, quiet_plan, refused_plan, report, rows};

const ASCII: Style = Style { unicode: false, colour: false, width: 100 };
const COLOUR: Style = Style { unicode: true, colour: true, width: 100 };

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

fn shown(plan: &bkup::domain::Plan, style: &Style) -> String {
    plan_text(PlanView { plan, next: Some("bkup apply plan.json"), full: false }, style)
}

#[test]
fn a_plan_reads_from_verdict_to_next_command() {
    snapshot!("render_plan", shown(&plan(), &Style::plain()));
}

#[test]
fn a_plan_reads_the_same_in_ascii() {
    let text = shown(&plan(), &ASCII);
    assert!(text.is_ascii());
    snapshot!("render_plan_ascii", text);
}

#[test]
fn a_plan_with_nothing_to_do_says_so_first() {
    snapshot!("render_plan_quiet", shown(&quiet_plan(), &Style::plain()));
}

#[test]
fn a_refused_plan_says_which_guard_and_what_would_let_it_pass() {
    let text = shown(&refused_plan(), &Style::plain());
    assert!(text.starts_with("⛨ Refused by 2 guards"), "{text}");
    snapshot!("render_plan_refused", text);
}

#[test]
fn colour_says_nothing_that_words_do_not() {
    let coloured = shown(&plan(), &COLOUR);
    assert_ne!(coloured, shown(&plan(), &Style::plain()));
    assert_eq!(without_colour(&coloured), shown(&plan(), &Style::plain()));
    let status = status_text(&rows(), at("2026-11-20T09:00:00Z"), &COLOUR);
    assert_eq!(without_colour(&status), status_text(&rows(), at("2026-11-20T09:00:00Z"), &Style::plain()));
}

#[test]
fn every_one_of_five_hundred_deletions_is_shown() {
    let mut plan = plan();
    let template = plan.actions.iter().find(|action| action.kind.deletes()).expect("a deletion").clone();
    let ids: Vec<String> = (0..500).map(|n| format!("20260101T{n:06}Z-nightly-{n:016x}")).collect();
    plan.actions = ids
        .iter()
        .map(|id| {
            let mut action = template.clone();
            if let ActionKind::Tombstone(work) | ActionKind::Purge(work) = &mut action.kind {
                work.backup = bkup::domain::BackupId::from_text(id.clone());
            }
            action
        })
        .collect();
    for style in [Style::plain(), ASCII, Style { width: 60, ..Style::plain() }] {
        let text = shown(&plan, &style);
        for id in &ids {
            assert_eq!(text.matches(id.as_str()).count(), 1, "{id}");
        }
    }
}

#[test]
fn deletions_stand_before_all_other_work() {
    let text = shown(&plan(), &Style::plain());
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words} is not in\n{text}"));
    let order = ["Deletions:", "Changes:", "Drift:", "Due:", "Held:", "Objectives", "digest ", "Next: "];
    assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{text}");
}

#[test]
fn a_deletion_caused_by_drift_or_change_is_not_repeated_as_work() {
    let mut plan = plan();
    plan.actions.retain(|action| action.kind.deletes());
    for class in [ActionClass::Change, ActionClass::Drift, ActionClass::Due] {
        plan.actions.iter_mut().for_each(|action| action.class = class);
        let text = shown(&plan, &Style::plain());
        assert!(text.contains("Deletions:") && !text.contains("Due: ") && !text.contains("Drift: "), "{text}");
    }
}

#[test]
fn no_hostile_name_reaches_the_terminal() {
    let now = at("2026-11-20T09:00:00Z");
    for style in [Style::plain(), ASCII, COLOUR] {
        for text in [
            shown(&plan(), &style),
            shown(&refused_plan(), &style),
            report_text(&report(), &style),
            status_text(&rows(), now, &style),
            backups_text(&[backup(Scope::Tenant(HOSTILE.to_owned()))], now, &style),
            evidence_text(&evidence(), &style),
            diagnostics_text(&[finding()], &sources(), &style),
        ] {
            assert!(text.contains("DROP"), "the hostile name is missing from\n{text}");
            let clean = if style.colour { without_colour(&text) } else { text };
            for c in clean.chars() {
                let bad = c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{200b}');
                assert!(!bad, "{c:?} in\n{clean:?}");
            }
            assert!(!clean.lines().any(|line| line.starts_with("Deletions (0)")), "a name forged a line:\n{clean}");
        }
    }
}

#[test]
fn json_on_a_terminal_cannot_steer_it_either() {
    let now = at("2026-11-20T09:00:00Z");
    let tenant = format!("{HOSTILE}\u{9b}31m\u{7f}");
    let started = Event::ActionStarted { action: Box::new(plan().actions[2].clone()) };
    for json in [
        plan_json(&plan()),
        report_json(&report()),
        status_json(&rows(), now),
        backups_json(&[backup(Scope::Tenant(tenant))], now),
        diagnostics_json(&[finding()]),
        event_line(&started),
    ] {
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        assert!(!json.chars().any(|c| c != '\n' && c.is_control() || u32::from(c) == 0x202e), "{json}");
    }
}

#[test]
fn backups_of_one_slot_share_a_row_and_name_the_first() {
    let text = shown(&plan(), &Style::plain());
    let due = text.split("Due:").nth(1).expect("a due section");
    // Two slots of one schedule: the twelve tenants' and the shared archive's.
    assert_eq!(due.matches("back up, nightly").count(), 2, "{due}");
    assert!(due.contains("12 tenants") && due.contains("tenant-03 and 9") && !due.contains("tenant-04"), "{due}");
}

#[test]
fn a_saved_plan_comes_back_equal() {
    let plan = plan();
    assert_eq!(read_plan(&plan_json(&plan)).expect("a plan"), plan);
}

#[test]
fn a_plan_of_a_newer_minor_version_is_read_without_what_is_new() {
    let mut value = serde_json::to_value(plan()).expect("a value");
    value["format_version"] = "1.7".into();
    value["invented_later"] = serde_json::json!({"a": 1});
    value["actions"][0]["also_new"] = true.into();
    let read = read_plan(&value.to_string()).expect("a plan");
    assert_eq!(read.actions, plan().actions);
}

#[test]
fn a_plan_of_another_major_version_is_refused_by_its_version() {
    for (version, found) in [("2.0", "2.0"), ("0.9", "0.9"), ("10.0", "10.0")] {
        let text = format!("{{\"format_version\": \"{version}\", \"everything\": \"else\"}}");
        assert_eq!(read_plan(&text), Err(PlanFormatError::OtherMajor { found: found.to_owned() }));
    }
    for text in ["", "{}", "[]", "null", "{\"format_version\": 1}", "{\"format_version\": \"1.0\"}"] {
        assert!(matches!(read_plan(text), Err(PlanFormatError::NotAPlan(_))), "{text}");
    }
}

#[test]
fn a_report_shows_what_went_wrong_first() {
    let text = report_text(&report(), &Style::plain());
    assert!(text.find("Went wrong").expect("failures") < text.find("Deletions").expect("deletions"));
    snapshot!("render_report", text);
}

#[test]
fn a_report_comes_back_equal_from_its_json() {
    let back: bkup::domain::ApplyReport = serde_json::from_str(&report_json(&report())).expect("a report");
    assert_eq!(back, report());
}

#[test]
fn a_status_names_the_breached_in_words() {
    let now = at("2026-11-20T09:00:00Z");
    assert!(is_breached(&rows()));
    let text = status_text(&rows(), now, &Style::plain());
    assert!(text.contains("! breached") && text.contains("! no backup"), "{text}");
    snapshot!("render_status", text);
    snapshot!("render_status_ascii", status_text(&rows(), now, &ASCII));
    snapshot!("render_status_json", status_json(&rows(), now));
}

#[test]
fn a_status_without_objectives_does_not_claim_that_they_are_met() {
    let rows: Vec<_> = rows().into_iter().filter(|row| row.breached.is_none()).collect();
    assert!(!rows.is_empty() && !is_breached(&rows));
    let text = status_text(&rows, at("2026-11-20T09:00:00Z"), &Style::plain());
    assert!(text.starts_with("! Nothing has an objective."), "{text}");
}

#[test]
fn a_list_shows_age_size_and_state() {
    let now = at("2026-11-20T09:00:00Z");
    let mut pinned = backup(Scope::Database);
    pinned.protected = true;
    let mut bad = backup(Scope::Tenant("acme".to_owned()));
    bad.quarantine = Some("part 3 does not agree with its digest".to_owned());
    let backups = [pinned, bad, backup(Scope::Tenant(HOSTILE.to_owned()))];
    snapshot!("render_list", backups_text(&backups, now, &Style::plain()));
    let json: serde_json::Value = serde_json::from_str(&backups_json(&backups, now)).expect("JSON");
    assert_eq!(json["format_version"], "1.0");
    assert_eq!(json["backups"].as_array().map(Vec::len), Some(3));
    assert_eq!(backups_text(&[], now, &Style::plain()), "No backups.\n");
}

#[test]
fn the_evidence_of_a_drill_shows_every_check() {
    snapshot!("render_evidence", evidence_text(&evidence(), &Style::plain()));
}

#[test]
fn an_event_is_one_line_whatever_its_names_hold() {
    let report = report();
    let mut events = vec![Event::Started {
        format_version: bkup::domain::EVENT_FORMAT.to_owned(),
        run: report.run.clone(),
        plan_digest: report.plan_digest.unwrap(),
        at: report.begin,
        actions: 3,
        bytes: None,
    }];
    for outcome in &report.actions {
        events.push(Event::ActionStarted { action: Box::new(outcome.action.clone()) });
        events.push(Event::Progress { id: outcome.id(), bytes: bkup::domain::Bytes(1024) });
        let failed = Outcome::Failed { code: "BK850".to_owned(), error: HOSTILE.to_owned() };
        events.push(Event::ActionFinished { id: outcome.id(), outcome: failed, elapsed_ms: 1, retries: 0 });
    }
    events.push(Event::Finished { report: Box::new(report) });
    for event in events {
        let line = event_line(&event);
        assert_eq!(line.lines().count(), 1);
        assert!(line.ends_with('\n') && line.starts_with("{\"event\":\""), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).expect("an event"), event);
    }
}

const POLICY: &str = "schedules:\n  nightly:\n    databases: [app]\n    retention: gfs-lnog\n    store: primary\nretention:\n  gfs-long: { daily: 7 }\n";

fn sources() -> Sources {
    Sources::from([
        ("policies/app.yaml".to_owned(), POLICY.to_owned()),
        ("policies/evil.yaml".to_owned(), "name: \"\u{1b}[2J\u{202e}x\"\n".to_owned()),
    ])
}

fn span(file: &str, text: &str, words: &str) -> Span {
    let begin = text.find(words).expect("the words");
    let line = text[..begin].matches('\n').count() as u32 + 1;
    let column = (begin - text[..begin].rfind('\n').map_or(0, |at| at + 1)) as u32 + 1;
    Span { file: file.to_owned(), begin, end: begin + words.len(), line, column }
}

fn finding() -> Diagnostic {
    Diagnostic::error(Code("BK204"), format!("there is no retention rule for {HOSTILE}"))
        .at(span("policies/app.yaml", POLICY, "gfs-lnog"), "not defined in any file")
        .related(span("policies/app.yaml", POLICY, "gfs-long"), "did you mean this one?")
        .related(Span { file: "policies/evil.yaml".to_owned(), begin: 6, end: 17, line: 1, column: 7 }, "seen here")
        .help("write `retention: gfs-long`")
}

#[test]
fn a_finding_shows_its_place_its_cause_and_the_edit() {
    let warning = Diagnostic::warning(Code("BK402"), "the objective of 6h cannot be met by a schedule every 24h")
        .at(Span { file: "policies/gone.yaml".to_owned(), begin: 0, end: 1, line: 12, column: 5 }, "asks for 6h")
        .help("add a schedule every 6h\nor set `rpo: 24h`");
    let findings = [finding(), warning];
    snapshot!("render_findings", diagnostics_text(&findings, &sources(), &Style::plain()));
    let ascii = diagnostics_text(&findings, &sources(), &ASCII);
    assert!(ascii.is_ascii());
    snapshot!("render_findings_ascii", ascii);
    let json: serde_json::Value = serde_json::from_str(&diagnostics_json(&findings)).expect("JSON");
    assert_eq!((&json["format_version"], &json["errors"], &json["warnings"]), (&"1.0".into(), &1.into(), &1.into()));
    assert_eq!(json["findings"][0]["span"]["line"], 4);
}

#[test]
fn a_span_that_does_not_fit_its_text_is_still_placed() {
    for (begin, end) in [(3, 1), (0, 9_999), (9_999, 10_000), (7, 8)] {
        let sources = Sources::from([("a.yaml".to_owned(), "name: é\n".to_owned())]);
        let span = Span { file: "a.yaml".to_owned(), begin, end, line: 1, column: 7 };
        let text =
            diagnostics_text(&[Diagnostic::error(Code("BK100"), "x").at(span, "here")], &sources, &Style::plain());
        assert!(text.contains("--> a.yaml:1:7: here"), "{begin}..{end}:\n{text}");
    }
}

#[test]
fn an_empty_span_at_the_end_of_a_file_is_shown() {
    let sources = Sources::from([("a.yaml".to_owned(), "name: x\n".to_owned())]);
    for at in [7, 8] {
        let span = Span { file: "a.yaml".to_owned(), begin: at, end: at, line: 1, column: 8 };
        let text =
            diagnostics_text(&[Diagnostic::error(Code("BK100"), "x").at(span, "here")], &sources, &Style::plain());
        assert!(text.contains("here"), "{text}");
    }
}

#[test]
fn a_file_of_one_endless_line_does_not_flood_the_terminal() {
    let sources = Sources::from([("a.yaml".to_owned(), "x".repeat(1 << 20))]);
    let span = Span { file: "a.yaml".to_owned(), begin: 5, end: 6, line: 1, column: 6 };
    let text = diagnostics_text(&[Diagnostic::error(Code("BK100"), "x").at(span, "here")], &sources, &Style::plain());
    assert!(text.len() < 500, "{} bytes", text.len());
}

fn without_colour(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find('\u{1b}') {
        out.push_str(&rest[..begin]);
        let end = rest[begin..].find('m').expect("only colours are escapes");
        assert!(rest[begin + 1..begin + end].chars().all(|c| c.is_ascii_digit() || c == '[' || c == ';'));
        rest = &rest[begin + end + 1..];
    }
    out + rest
}
