//! Claims and fences, slots and attempts, plans: many runners, one piece of work each.

use std::collections::BTreeSet;

use bkup::catalog::{Begun, CatalogError, ClaimOutcome, Completion, Failure, Intended, Intent, LEASE, Lease, Writer};
use bkup::domain::{
    Action, ActionClass, ActionId, ActionKind, ActionOutcome, Address, BackupId, Outcome, PLAN_FORMAT, Period, Plan,
    Precondition, Reason, ReasonCode, Scope, Section, digest_of,
};

use super::build::{action, at, claim, complete, facts, manifest, name, other_action, prune, run, take, work};
use super::schema::rows;
use super::scratch::{Guard, database};

const SLOT: &str = "2026-03-01T02:00:00Z";

async fn made() -> (Guard, String, Writer) {
    let (guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", None).await.unwrap();
    (guard, url, writer)
}

async fn end_lease(guard: &Guard) {
    guard.admin("UPDATE bkup.claims SET lease_until = clock_timestamp() - interval '1 hour'").await;
    guard
        .admin(
            "UPDATE bkup.executions SET lease_until = clock_timestamp() - interval '1 hour' WHERE status = 'RUNNING'",
        )
        .await;
}

#[tokio::test]
async fn of_runners_that_ask_at_once_one_gets_the_work() {
    let (_guard, url, writer) = made().await;
    let wanted = other_action("drill", "1");
    let runners: Vec<_> = (0..8)
        .map(|n| {
            let writer = Writer::open(&url).unwrap();
            tokio::spawn(async move { writer.claim(wanted, &format!("runner-{n}"), LEASE).await.unwrap() })
        })
        .collect();
    let mut claimed = 0;
    let mut holders = BTreeSet::new();
    for runner in runners {
        match runner.await.unwrap() {
            ClaimOutcome::Claimed(lease) => {
                assert_eq!(lease.token, 1);
                claimed += 1;
            }
            ClaimOutcome::HeldBy { runner, until } => {
                holders.insert(runner);
                assert!(until > writer.reader().clock().await.unwrap());
            }
        }
    }
    assert_eq!((claimed, holders.len()), (1, 1));
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_the_runner_that_lost_it_is_fenced() {
    let (guard, _url, writer) = made().await;
    let slot = at(SLOT);
    let work = work(Scope::Database, slot);
    let run = run();
    let intent = Intent { work: &work, run: &run, started_at: slot };
    let dead = claim(&writer, action(&work.scope, slot)).await;
    writer.intend_backup(&dead, &intent).await.unwrap();
    assert!(facts(&writer).await.garbage.is_empty(), "an attempt with a lease is at work");
    assert!(writer.heartbeat(std::slice::from_ref(&dead), LEASE).await.unwrap().is_empty());

    end_lease(&guard).await;
    assert_eq!(facts(&writer).await.garbage.len(), 1, "nobody is at work");
    let alive = claim(&writer, action(&work.scope, slot)).await;
    assert!(alive.token > dead.token);
    writer.intend_backup(&alive, &intent).await.unwrap();

    let lost = writer.heartbeat(&[dead.clone(), alive.clone()], LEASE).await.unwrap();
    assert_eq!(lost, std::slice::from_ref(&dead));
    let refusals = [
        writer.intend_backup(&dead, &intent).await.err(),
        writer.tombstone(&dead, &prune(&work, 0, None), slot).await.err(),
        writer.settle(&dead, &name("nightly"), None, &[slot], 1, slot).await.err(),
        writer.collected(&dead, &work.backup, 1, slot).await.err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(CatalogError::Fenced { token: 1, .. })), "{refusal:?}");
    }
    let late = Failure { lease: dead.clone(), backup: work.backup.clone(), error: "late".to_owned() };
    writer.fail_backups(&[late], slot).await.unwrap();
    writer.release(&dead).await.unwrap();
    assert_eq!(complete(&writer, &alive, &manifest(&work, alive.token)).await, Completion::Recorded);
    let state = facts(&writer).await;
    assert_eq!(state.backups.len(), 1);
    assert_eq!(state.garbage.iter().map(|g| g.attempt).collect::<Vec<_>>(), [dead.token]);

    writer.release(&alive).await.unwrap();
    let released = writer.settle(&alive, &name("nightly"), None, &[slot], 1, slot).await;
    assert!(matches!(released, Err(CatalogError::Fenced { .. })), "a released lease writes no more");
}

#[tokio::test]
async fn attempts_that_fail_together_are_recorded_each_under_its_own_lease() {
    let (guard, url, writer) = made().await;
    let (slot, run) = (at(SLOT), run());
    let mut failures = Vec::new();
    for (tenant, error) in [("a", "disk full\0"), ("b", "late")] {
        let work = work(Scope::Tenant(tenant.to_owned()), slot);
        let lease = claim(&writer, action(&work.scope, slot)).await;
        writer.intend_backup(&lease, &Intent { work: &work, run: &run, started_at: slot }).await.unwrap();
        failures.push(Failure { lease, backup: work.backup, error: error.to_owned() });
    }
    guard
        .admin(&format!("UPDATE bkup.claims SET token = token + 1 WHERE action_id = '{}'", failures[1].lease.action))
        .await;
    writer.fail_backups(&failures, slot).await.unwrap();
    writer.fail_backups(&[], slot).await.unwrap();
    let recorded = "SELECT scope || ' ' || status || ' ' || coalesce(error_message, '') || ' ' || (abandoned_at IS NOT NULL) \
                    FROM bkup.executions ORDER BY scope";
    assert_eq!(rows(&url, recorded).await, ["tenant=a FAILED disk full\u{fffd} true", "tenant=b RUNNING  false"]);
}

#[tokio::test]
async fn a_batch_is_claimed_in_order_and_passes_over_what_others_hold() {
    let (_guard, url, writer) = made().await;
    let all: Vec<ActionId> = (0..40).map(|n| other_action("back_up", &n.to_string())).collect();
    let before = claim(&writer, all[1]).await;
    let first = writer.claim_many(&all, "runner-b", LEASE, 3).await.unwrap();
    assert_eq!(first.iter().map(|lease| lease.action).collect::<Vec<_>>(), [all[0], all[2], all[3]]);
    writer.release(&before).await.unwrap();
    let second = writer.claim_many(&all, "runner-c", LEASE, 2).await.unwrap();
    assert_eq!(second[0], Lease { action: all[1], token: before.token + 1 });

    let runners: Vec<_> = (0..4)
        .map(|n| {
            let (writer, mut wanted) = (Writer::open(&url).unwrap(), all.clone());
            if n % 2 == 0 {
                wanted.reverse();
            }
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for _ in 0..20 {
                    let got = writer.claim_many(&wanted, &format!("r{n}"), LEASE, 5).await.unwrap();
                    // A runner asks for no work that it is at.
                    wanted.retain(|action| got.iter().all(|lease| lease.action != *action));
                    mine.extend(got);
                }
                mine
            })
        })
        .collect();
    let mut claimed: Vec<ActionId> = first.iter().chain(&second).map(|lease| lease.action).collect();
    for runner in runners {
        claimed.extend(runner.await.unwrap().iter().map(|lease| lease.action));
    }
    assert_eq!(claimed.len(), all.len(), "each once");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), all.into_iter().collect());
}

#[tokio::test]
async fn a_runner_that_never_saw_its_claim_is_given_it_again() {
    let (_guard, _url, writer) = made().await;
    let work = other_action("drill", "lost");
    let unseen = writer.claim_many(&[work], "mine", LEASE, 1).await.unwrap();
    let again = writer.claim_many(&[work], "mine", LEASE, 1).await.unwrap();
    let third = writer.claim(work, "mine", LEASE).await.unwrap();

    assert_eq!(again, [Lease { action: work, token: unseen[0].token + 1 }]);
    assert_eq!(third, ClaimOutcome::Claimed(Lease { action: work, token: 3 }));
    assert_eq!(writer.heartbeat(&unseen, LEASE).await.unwrap(), unseen, "the first one is no one's");
    assert_eq!(writer.claim_many(&[work], "other", LEASE, 1).await.unwrap(), []);
    assert!(matches!(writer.claim(work, "other", LEASE).await.unwrap(), ClaimOutcome::HeldBy { .. }));
}

#[tokio::test]
async fn a_slot_has_one_completed_backup_whoever_writes_it() {
    let (_guard, _url, writer) = made().await;
    let slot = at(SLOT);
    let kept = take(&writer, Scope::Database, slot).await;
    let mut rival = work(Scope::Database, slot);
    rival.backup = BackupId::from_text("20260301T020000Z-nightly-rival".to_owned());
    let lease = claim(&writer, other_action("back_up", "rival")).await;

    assert_eq!(complete(&writer, &lease, &manifest(&rival, lease.token)).await, Completion::SlotTaken);

    assert_eq!(facts(&writer).await.backups.len(), 1);
    let again = claim(&writer, action(&Scope::Database, slot)).await;
    assert_eq!(complete(&writer, &again, &manifest(&kept, 1)).await, Completion::Already);
    let run = run();
    let intent = Intent { work: &kept, run: &run, started_at: slot };
    assert_eq!(writer.intend_backup(&again, &intent).await.unwrap(), Intended::SlotTaken(kept.backup.clone()));
    assert!(facts(&writer).await.garbage.is_empty());
}

#[tokio::test]
async fn of_two_actions_that_complete_one_slot_at_once_one_is_recorded() {
    for round in 0..5 {
        let (_guard, url, writer) = made().await;
        let slot = at(SLOT);
        let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        let runners: Vec<_> = ["a", "b"]
            .map(|rival| {
                let (writer, both) = (Writer::open(&url).unwrap(), both.clone());
                tokio::spawn(async move {
                    let mut work = work(Scope::Database, slot);
                    work.backup = BackupId::from_text(format!("20260301T020000Z-nightly-{rival}"));
                    let lease = claim(&writer, other_action("back_up", rival)).await;
                    let run = run();
                    let intent = Intent { work: &work, run: &run, started_at: slot };
                    assert_eq!(writer.intend_backup(&lease, &intent).await.unwrap(), Intended::Go);
                    both.wait().await;
                    complete(&writer, &lease, &manifest(&work, lease.token)).await
                })
            })
            .into();
        let mut ends = Vec::new();
        for runner in runners {
            ends.push(runner.await.unwrap());
        }
        assert!(ends.contains(&Completion::Recorded), "round {round}: {ends:?}");
        assert!(ends.contains(&Completion::SlotTaken), "round {round}: {ends:?}");
        let state = facts(&writer).await;
        assert_eq!((state.backups.len(), state.garbage.len()), (1, 1));
    }
}

#[tokio::test]
async fn the_unique_index_stands_behind_it() {
    let (guard, _url, writer) = made().await;
    take(&writer, Scope::Database, at(SLOT)).await;
    let copy = "DO $$ BEGIN INSERT INTO bkup.executions (backup_type, backup_name, status, schedule, slot, database, scope) \
         SELECT backup_type, 'twin', status, schedule, slot, database, scope FROM bkup.executions; \
         RAISE EXCEPTION 'a second completed row went in'; EXCEPTION WHEN unique_violation THEN NULL; END $$";
    guard.admin(copy).await;
    guard.admin("UPDATE bkup.executions SET deleted = true").await;
    guard.admin(copy).await;
    assert!(facts(&writer).await.backups.is_empty());
}

#[tokio::test]
async fn a_manifest_whose_runner_died_before_the_catalog_heard_is_the_backup() {
    let (guard, _url, writer) = made().await;
    let slot = at(SLOT);
    let work = work(Scope::Database, slot);
    let run = run();
    let intent = Intent { work: &work, run: &run, started_at: slot };
    let dead = claim(&writer, action(&work.scope, slot)).await;
    writer.intend_backup(&dead, &intent).await.unwrap();
    end_lease(&guard).await;
    let alive = claim(&writer, action(&work.scope, slot)).await;
    writer.intend_backup(&alive, &intent).await.unwrap();

    assert_eq!(complete(&writer, &alive, &manifest(&work, dead.token)).await, Completion::Recorded);

    let state = facts(&writer).await;
    assert_eq!(state.backups.iter().map(|b| &b.id).collect::<Vec<_>>(), [&work.backup]);
    assert_eq!(state.garbage.iter().map(|g| g.attempt).collect::<Vec<_>>(), [alive.token]);
    let collect = claim(&writer, other_action("collect_garbage", "1")).await;
    writer.collected(&collect, &work.backup, alive.token, slot).await.unwrap();
    assert!(facts(&writer).await.garbage.is_empty());
    let wrong = writer.collected(&collect, &work.backup, dead.token, slot).await;
    assert!(matches!(wrong, Err(CatalogError::Conflict { .. })), "a completed attempt is no garbage: {wrong:?}");
}

fn settle_action(preconditions: Vec<Precondition>, kind: ActionKind) -> Action {
    Action {
        id: other_action("x", "1"),
        address: Address::of(Section::Schedule, name("nightly")),
        class: ActionClass::Due,
        kind,
        reason: Reason { code: ReasonCode::SlotDue, words: "due".to_owned(), location: None },
        preconditions,
        after: Vec::new(),
        bytes: None,
    }
}

#[tokio::test]
async fn preconditions_are_asked_again() {
    let (_guard, _url, writer) = made().await;
    let slot = at(SLOT);
    let reader = writer.reader();
    let free = work(Scope::Shared, slot);
    let kept = take(&writer, Scope::Database, slot).await;
    let holds = [
        settle_action(vec![Precondition::Lineage("lineage".to_owned())], ActionKind::BackUp(free.clone())),
        settle_action(vec![Precondition::DocumentDigest(None)], ActionKind::BackUp(free.clone())),
        settle_action(vec![Precondition::SlotFree], ActionKind::BackUp(free.clone())),
        settle_action(vec![Precondition::Prunable], ActionKind::Tombstone(prune(&kept, 0, None))),
    ];
    for action in holds {
        assert_eq!(reader.unmet(&action, slot).await.unwrap(), None, "{:?}", action.preconditions);
    }
    let digest = Precondition::DocumentDigest(Some(digest_of(&1)));
    let fails = [
        settle_action(vec![Precondition::Lineage("other".to_owned())], ActionKind::BackUp(free.clone())),
        settle_action(vec![digest], ActionKind::BackUp(free.clone())),
        settle_action(vec![Precondition::SlotFree], ActionKind::BackUp(kept.clone())),
        settle_action(vec![Precondition::Purgeable], ActionKind::Purge(prune(&kept, 0, None))),
        settle_action(vec![Precondition::Prunable], ActionKind::Tombstone(prune(&free, 0, None))),
        settle_action(vec![Precondition::DrillAttempts(0)], ActionKind::BackUp(free)),
    ];
    for action in fails {
        assert!(reader.unmet(&action, slot).await.unwrap().is_some(), "{:?}", action.preconditions);
    }
}

fn plan(actions: Vec<Action>) -> Plan {
    Plan {
        format_version: PLAN_FORMAT.to_owned(),
        tool_version: "0.1.0".to_owned(),
        as_of: at(SLOT),
        simulated: false,
        lineage: Some("lineage".to_owned()),
        serial: 0,
        policy_digest: digest_of(&"policy"),
        connections: bkup::domain::Connections::default(),
        findings: Vec::new(),
        rules: std::collections::BTreeMap::default(),
        actions,
        held: Vec::new(),
        kept: Vec::new(),
        objectives: Vec::new(),
        offers: Vec::new(),
        refusals: Vec::new(),
        consent: None,
        narrowing: None,
        digest: digest_of(&"plan"),
        change_digest: digest_of(&"change"),
    }
}

#[tokio::test]
async fn a_plan_is_begun_once_joined_and_finished_once() {
    let (_guard, _url, writer) = made().await;
    let act = settle_action(Vec::new(), ActionKind::BackUp(work(Scope::Database, at(SLOT))));
    let plan = plan(vec![act.clone()]);
    let run = run();
    assert_eq!(writer.begin_plan(&plan, &run, at(SLOT)).await.unwrap(), Begun::Fresh);
    assert_eq!(writer.begin_plan(&plan, &run, at(SLOT)).await.unwrap(), Begun::Resumed);
    assert_eq!(writer.reader().finished_plan(&plan.digest).await.unwrap(), None);

    let outcome = |outcome| ActionOutcome { action: act.clone(), outcome, elapsed_ms: 5, retries: 1 };
    let done = outcome(Outcome::Done { summary: "1 KiB".to_owned() });
    writer.record_outcomes(&plan.digest, std::slice::from_ref(&done), &run, at(SLOT)).await.unwrap();
    let dead = Outcome::Failed { code: "BK850".to_owned(), error: "\0".to_owned() };
    writer.record_outcomes(&plan.digest, &[outcome(dead)], &run, at(SLOT)).await.unwrap();
    writer.record_outcomes(&plan.digest, std::slice::from_ref(&done), &run, at(SLOT)).await.unwrap();
    let held = outcome(Outcome::Claimed { by: "b".to_owned() });
    writer.record_outcomes(&plan.digest, std::slice::from_ref(&held), &run, at(SLOT)).await.unwrap();
    let rows = writer.reader().outcomes(&plan.digest).await.unwrap();
    assert_eq!(rows[0].outcome, Some(Outcome::Done { summary: "1 KiB".to_owned() }), "what was done stays");
    let mut stranger = done.clone();
    stranger.action.id = other_action("stranger", "1");
    let refused = writer.record_outcomes(&plan.digest, std::slice::from_ref(&stranger), &run, at(SLOT)).await;
    assert!(matches!(refused, Err(CatalogError::Unfit { .. })), "{refused:?}");

    writer.finish_plan(&plan.digest, at("2026-03-01T03:00:00Z")).await.unwrap();
    writer.finish_plan(&plan.digest, at("2026-03-01T04:00:00Z")).await.unwrap();
    let finished = writer.reader().finished_plan(&plan.digest).await.unwrap();
    assert_eq!(finished, Some(at("2026-03-01T03:00:00Z")));
    assert_eq!(writer.begin_plan(&plan, &run, at(SLOT)).await.unwrap(), Begun::AlreadyApplied);
}

#[tokio::test]
async fn a_simulated_catalog_dates_garbage_by_its_own_clock() {
    let (guard, url) = database().await;
    let writer = Writer::open(&url).unwrap();
    writer.create("lineage", Some(at(SLOT))).await.unwrap();
    let work = work(Scope::Database, at(SLOT));
    let run = run();
    let lease = claim(&writer, action(&work.scope, work.slot)).await;
    let intent = Intent { work: &work, run: &run, started_at: at("2026-03-01T02:00:01Z") };
    writer.intend_backup(&lease, &intent).await.unwrap();
    writer.release(&lease).await.unwrap();
    assert!(facts(&writer).await.garbage.is_empty(), "a last request may still be under way");
    end_lease(&guard).await;
    let garbage = facts(&writer).await.garbage;
    assert_eq!(garbage[0].abandoned_at, at("2026-03-01T02:00:01Z"));
    assert_eq!(LEASE, Period::minutes(1));
}
