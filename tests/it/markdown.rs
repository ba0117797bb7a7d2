//! Suite: markdown. What stands in a pull request's comment: snapshots to be read as rendered, and the promises that hold
//! for every plan and every limit: no deletion, refusal or breach is ever left out, and no name is obeyed.

use bkup::domain::{
    ActionKind, ApplyReport, BackupId, FinishedBefore, KeptBackup, ObjectiveRow, Plan, RunFailure, RunId, Scope, Since,
    Tenant,
};
use bkup::render::{Markdown, PlanMarkdown, plan_findings, plan_markdown, report_markdown, status_markdown};

use crate::render::samples::{HOSTILE, at, plan, quiet_plan, refused_plan, report, rows};

macro_rules! snapshot {
    ($name:expr, $text:expr) => {
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

/// A name that attacks a page: markup, a mention, a reference, a table's cell, a code span, a command to the runner.
const PAGE: &str =
    "`</details><img src=x onerror=a> @octocat #1 | [a](https://evil.example) ![i](x) ::error::x ##[error] ``` ~~~";

fn whole(plan: &Plan) -> Markdown {
    limited(plan, usize::MAX)
}

fn limited(plan: &Plan, limit: usize) -> Markdown {
    plan_markdown(PlanMarkdown { plan, next: Some("bkup apply plan.json"), key: "default", limit })
}

/// A plan with many of everything, and with names that attack a page.
fn large(deletions: usize) -> Plan {
    let mut plan = plan();
    let template = plan.actions.iter().find(|action| action.kind.deletes()).expect("a deletion").clone();
    plan.actions.extend((0..deletions).map(|n| {
        let mut action = template.clone();
        if let ActionKind::Tombstone(work) | ActionKind::Purge(work) = &mut action.kind {
            work.backup = BackupId::from_text(format!("20260101T{n:06}Z-nightly-{n:016x}"));
            work.scope = Scope::Tenant(if n % 7 == 0 { PAGE.to_owned() } else { format!("tenant-{}", n % 50) });
        }
        action
    }));
    let due = plan.actions.iter().find(|a| matches!(a.kind, ActionKind::BackUp(_))).expect("a backup").clone();
    plan.actions.extend((0..300).map(|n| {
        let mut action = due.clone();
        if let ActionKind::BackUp(work) = &mut action.kind {
            work.slot = at("2026-11-20T02:00:00Z") + std::time::Duration::from_secs(n * 60);
            work.scope = Scope::Tenant(PAGE.to_owned());
        }
        action
    }));
    plan.kept = (0..200)
        .map(|n| KeptBackup {
            backup: BackupId::from_text(format!("20251201T{n:06}Z-nightly-{n:016x}")),
            reasons: vec!["daily 2026-11-20".to_owned(), PAGE.to_owned()],
            until: None,
        })
        .collect();
    plan
}

/// Returns what a page takes from outside code spans and fences, in which nothing is obeyed.
fn obeyed(markdown: &str) -> String {
    let mut out = String::new();
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        let bare = line.trim_start();
        let run: String = bare.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) => {
                if bare == open {
                    fence = None;
                }
                continue;
            }
            None if run.len() >= 3 && !bare[run.len()..].contains('`') => {
                fence = Some(run);
                continue;
            }
            None => {}
        }
        let mut rest = line;
        while let Some(begin) = rest.find('`') {
            out.push_str(&rest[..begin]);
            let run = rest[begin..].chars().take_while(|c| *c == '`').count();
            let inside = &rest[begin + run..];
            let mut at = 0;
            let end = loop {
                let next = inside[at..].find('`').unwrap_or_else(|| panic!("a code span is not closed in {line}")) + at;
                let length = inside[next..].chars().take_while(|c| *c == '`').count();
                if length == run {
                    break next;
                }
                at = next + length;
            };
            rest = &inside[end + run..];
        }
        out.push_str(rest);
        out.push('\n');
    }
    assert!(fence.is_none(), "a fence is not closed");
    out
}

#[track_caller]
fn assert_harmless(text: &str) {
    let page = obeyed(text);
    for bad in ["@octocat", "<img", "evil.example", "](", "#1", "DROP", "onerror"] {
        assert!(!page.contains(bad), "{bad} is obeyed in\n{page}");
    }
    let tags = ["<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>", "<!-- bkup:"];
    let rest = tags.iter().fold(page.clone(), |page, tag| page.replace(tag, "")).replace("-->", "");
    assert!(!rest.contains(['<', '>']), "markup in\n{rest}");
    assert_eq!(page.matches("<details>").count(), page.matches("</details>").count(), "{page}");
    for line in text.lines() {
        let line = line.trim_start();
        assert!(!line.starts_with("::") && !line.contains("##["), "the runner obeys {line}");
    }
    let nested = |line: &str| ["- - ", "- + ", "- * "].iter().any(|begin| line.trim_start().starts_with(begin));
    assert!(!page.lines().any(nested), "a sign makes a list of its own in\n{page}");
    // A row has as many cells as its table's head, or a name made one of its own.
    let mut cells = None;
    for line in page.lines() {
        let count = line.strip_prefix('|').map(|row| row.replace("\\|", "").matches('|').count());
        match (count, cells) {
            (Some(count), Some(head)) => assert_eq!(count, head, "{line}"),
            (count, _) => cells = count,
        }
    }
}

#[test]
fn a_plan_reads_from_verdict_to_next_command() {
    snapshot!("markdown_plan", whole(&plan()).text);
}

#[test]
fn a_plan_with_nothing_to_do_says_so_first() {
    snapshot!("markdown_plan_quiet", whole(&quiet_plan()).text);
}

#[test]
fn a_refused_plan_says_which_guard_and_what_would_let_it_pass() {
    snapshot!("markdown_plan_refused", whole(&refused_plan()).text);
}

#[test]
fn a_plan_that_is_far_too_long_keeps_what_is_lost() {
    let made = limited(&large(40), 4_000);
    assert!(!made.fits);
    snapshot!("markdown_plan_short", made.text);
}

#[test]
fn a_report_reads_failures_first() {
    snapshot!("markdown_report", report_markdown(&report(), "default", usize::MAX).text);
}

fn since(words: &str, deletes: bool) -> Since {
    let address = "schedule.nightly".parse().expect("an address");
    Since { address, work: "back_up".to_owned(), deletes, words: words.to_owned() }
}

/// A report with all that can be said beside actions.
fn besides() -> ApplyReport {
    ApplyReport {
        failure: Some(RunFailure {
            code: "BK810".to_owned(),
            message: "the catalog cannot be reached".to_owned(),
            help: Some("start it".to_owned()),
        }),
        since: (0..14).map(|n| since(&format!("thing {n} became due"), n == 13)).collect(),
        since_unknown: Some("database.app does not answer".to_owned()),
        unrecorded: vec!["store bench: access denied".to_owned()],
        ..report()
    }
}

#[test]
fn a_report_says_what_came_since_and_what_is_not_recorded() {
    snapshot!("markdown_report_besides", report_markdown(&besides(), "default", usize::MAX).text);
}

#[test]
fn a_run_that_did_nothing_does_not_look_like_one_that_did_all() {
    let plan = plan();
    let failure = besides().failure.expect("a failure");
    for plan in [None, Some(&plan)] {
        let run = RunId::of(at("2026-11-20T09:00:00Z"), 0xfeed);
        let report = ApplyReport::not_begun(run, "0.1.0", plan, at("2026-11-20T09:00:00Z"), failure.clone());
        let text = report_markdown(&report, "default", 0).text;
        assert!(text.contains("### ✗ Not applied: nothing was begun\n"), "{text}");
        assert!(text.contains("**`BK810`** the catalog cannot be reached — help: start it\n"), "{text}");
        assert!(!text.contains('✓') && !text.contains("not reached") && !text.contains("held"), "{text}");
    }
    let before = FinishedBefore { run: "run-1".to_owned(), at: at("2026-11-20T08:00:00Z") };
    let report = ApplyReport { finished_before: Some(before), interrupted: Some("SIGTERM".to_owned()), ..report() };
    let text = report_markdown(&report, "default", usize::MAX).text;
    assert!(text.contains("### ✓ Already applied: run `run-1` finished this plan 2026-11-20 08:00"), "{text}");
    assert!(!text.contains("Went wrong") && !text.contains("held"), "{text}");
}

#[test]
fn a_status_names_what_is_breached() {
    snapshot!("markdown_status", status_markdown(&rows(), at("2026-11-20T09:00:00Z"), "default", usize::MAX).text);
}

#[test]
fn every_limit_keeps_the_verdict_every_deletion_every_refusal_and_every_breach() {
    let mut refused = large(500);
    refused.refusals = refused_plan().refusals;
    for plan in [large(500), large(0), refused] {
        let ids: Vec<&str> = plan
            .actions
            .iter()
            .filter_map(|action| match &action.kind {
                ActionKind::Tombstone(work) | ActionKind::Purge(work) => Some(work.backup.as_str()),
                _ => None,
            })
            .collect();
        let verdict = whole(&plan).text.lines().nth(1).expect("a verdict").to_owned();
        for limit in [0, 1_000, 10_000, 40_000, 60_000, 100_000, 200_000, usize::MAX] {
            let made = limited(&plan, limit);
            assert_eq!(made.text.lines().nth(1), Some(verdict.as_str()), "the verdict is first");
            for id in &ids {
                let times = ids.iter().filter(|other| *other == id).count();
                assert!(made.text.matches(&format!("`{id}`")).count() >= times, "{id} is missing at {limit}");
            }
            for refusal in &plan.refusals {
                assert!(made.text.contains(&refusal.guard), "{} is missing at {limit}", refusal.guard);
            }
            for row in plan.objectives.iter().filter(|row| row.breached == Some(true)) {
                assert!(made.text.contains(row.scope.tenant().expect("a tenant")), "{} at {limit}", row.scope);
            }
            assert!(
                made.text.contains(&plan.digest.to_string()) && made.text.contains(&plan.change_digest.to_string())
            );
            assert!(!made.fits || made.text.len() <= limit);
            assert_eq!(made.fits, !made.text.contains("This is longer than"));
            assert!(made.left_out.iter().all(|what| made.text.contains(what)), "what is left out is said");
            assert_harmless(&made.text);
        }
    }
}

#[test]
fn more_room_never_shows_less() {
    let plan = large(100);
    let left: Vec<usize> = [0, 5_000, 15_000, 30_000, 60_000, 200_000, usize::MAX]
        .iter()
        .map(|limit| limited(&plan, *limit).left_out.len())
        .collect();
    assert!(left.is_sorted_by(|a, b| a >= b), "{left:?}");
    assert_eq!(left.last(), Some(&0));
}

#[test]
fn a_change_of_sixty_thousand_bytes_fits_a_comment_with_every_deletion() {
    let made = limited(&large(1_000), 60_000);
    assert!(made.fits, "{} bytes", made.text.len());
    assert!(made.text.len() <= 60_000);
}

#[test]
fn what_is_too_long_can_be_split_at_any_line() {
    let text = limited(&large(5_000), 60_000).text;
    let open = text.lines().any(|line| line.contains("<details>") || line.trim_start().starts_with("```diff"));
    assert!(!open, "something is open across lines");
    assert!(text.lines().all(|line| line.len() < 10_000));
}

#[test]
fn names_of_every_kind_are_shown_and_not_obeyed() {
    let mut plan = large(10);
    for row in &mut plan.objectives {
        row.scope = Scope::Tenant(PAGE.to_owned());
    }
    for item in &mut plan.held {
        item.words = PAGE.to_owned();
    }
    plan.findings[0].words = PAGE.to_owned();
    for action in &mut plan.actions {
        action.reason.words = format!("it says {PAGE}");
        if let Some(at) = &mut action.reason.location {
            at.file = PAGE.to_owned();
        }
        if let ActionKind::ApplyDocument { after: Some(after), .. } = &mut action.kind {
            after["note"] = PAGE.into();
            after[PAGE] = "```".into();
        }
    }
    plan.refusals = refused_plan().refusals;
    plan.refusals[0].help = PAGE.to_owned();
    assert_harmless(&whole(&plan).text);
    plan.refusals.clear();
    assert_harmless(&whole(&plan).text);
    assert!(whole(&plan).text.contains("onerror"), "it is shown");
    let status: Vec<ObjectiveRow> = plan.objectives.clone();
    assert_harmless(&status_markdown(&status, at("2026-11-20T09:00:00Z"), "default", usize::MAX).text);
    let mut report = report();
    for outcome in &mut report.actions {
        outcome.action.reason.words = PAGE.to_owned();
        if let bkup::domain::Outcome::Failed { error, .. } = &mut outcome.outcome {
            *error = format!("{PAGE}{HOSTILE}");
        }
    }
    report.failure = besides().failure;
    report.failure.iter_mut().for_each(|failure| {
        (failure.code, failure.message, failure.help) = (PAGE.to_owned(), PAGE.to_owned(), Some(PAGE.to_owned()));
    });
    report.since = vec![since(PAGE, true)];
    report.since_unknown = Some(PAGE.to_owned());
    report.unrecorded = vec![PAGE.to_owned()];
    for limit in [0, 2_000, usize::MAX] {
        assert_harmless(&report_markdown(&report, "default", limit).text);
    }
}

#[test]
fn what_a_reviewer_must_see_is_a_finding_each() {
    let mut plan = refused_plan();
    plan.objectives = rows();
    let shown: String = plan_findings(&plan)
        .iter()
        .map(|f| {
            let place = f.span.as_ref().map(|span| format!("{}:{}", span.file, span.line)).unwrap_or_default();
            format!(
                "{:?} {} {place}: {}\n  help: {}\n",
                f.severity,
                f.code,
                f.message.escape_debug(),
                f.help.clone().unwrap_or_default()
            )
        })
        .collect();
    snapshot!("markdown_findings", shown);
}

#[test]
fn a_tenant_is_one_scope_before_and_after() {
    let mut plan = plan();
    let row = plan.objectives[3].clone();
    let Scope::Tenant(slug) = row.scope.clone() else { panic!("a tenant") };
    let mut action = plan.actions.iter().find(|a| matches!(a.kind, ActionKind::BackUp(_))).expect("a backup").clone();
    if let ActionKind::BackUp(work) = &mut action.kind {
        work.scope = Scope::Tenant(slug.clone());
        work.tenant = None::<Tenant>;
    }
    plan.actions.push(action);
    plan.objectives = vec![row];
    let text = whole(&plan).text;
    assert!(text.contains(&format!("- `app tenant={slug}`: no backup, RPO 1d; this plan takes a backup")), "{text}");
    assert!(text.contains("| `app class=standard` | 1 | 1 → 0 | none → 0s | 0 → 1 | 1d |"), "{text}");
}
