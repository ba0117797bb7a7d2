//! Suite: every effect of an apply can be its last. Whole applies over real adapters are written down as the numbered
//! list of what they change outside: each request that writes to the store, each commit in the catalog. For every one of
//! them the runner dies before it and dies after it; some of each kind lose their reply, or find their connection broken
//! (all of them with `BKUP_CRASH_ALL`, every night). Then a fresh apply runs, and the end is that of an apply that nothing
//! happened to.

mod bin;
mod end;
mod scenes;
mod site;
mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant as Monotonic;

use bkup::domain::Outcome;
use tokio::sync::mpsc;

use crate::world::asked::say;
use crate::world::gate::{Mode, Reached};
use site::{Ground, Site, State};

/// How many sites work at once: a site waits for its programs most of the time.
const WORKERS: usize = 4;
/// How many effects of a kind lose their reply, besides the last one, where nobody asks for all with `BKUP_CRASH_ALL`: what
/// the same statement does for the tenth backup is what it did for the first one. The runner dies after every one of them.
const REPLIES: usize = 2;
/// A recovery may need one more apply than the one that does the work: to collect what that found too young.
const APPLIES: usize = 2;

/// A world, and the apply that is to be disturbed in it.
struct Scene {
    name: &'static str,
    policy: String,
    now: &'static str,
    begin: State,
    /// Which lines of the end must be those of the undisturbed apply.
    same: fn(&str) -> bool,
    /// How many effects it has at least: one that loses its work must not pass.
    least: usize,
}

/// What an undisturbed apply did.
struct Record {
    labels: Vec<String>,
    /// The state before the first effect, and after each.
    states: Vec<State>,
    end: Vec<String>,
    /// The end of the next day's apply: what a run only shows to people, or files once more, may wait for it.
    next_day: Vec<String>,
}

/// Applies until nothing is left to do; returns how many applies that took.
async fn settle(site: &Site) -> Result<usize, String> {
    for round in 0..=APPLIES {
        let (plan, desired) = site.plan().await;
        if plan.actions.is_empty() {
            return Ok(round);
        }
        if round == APPLIES {
            let left: Vec<String> = plan.actions.iter().map(|a| format!("{} {}", a.address, a.kind.word())).collect();
            return Err(format!("after {APPLIES} applies there is something to do: {left:?}"));
        }
        let report = site.apply(&plan, &desired).await.map_err(|error| format!("apply {round}: {error}"))?;
        let bad: Vec<String> = report
            .actions
            .iter()
            .filter(|a| {
                use bkup::domain::ActionKind::{CollectGarbage, Drill, Tombstone};
                use bkup::domain::Outcome::{AlreadyDone, Done, Skipped, Violated};
                match (&a.action.kind, &a.outcome) {
                    // What looked like garbage turned out to be the backup; a drill that finds damage does its work.
                    (CollectGarbage { .. }, Skipped { .. }) | (Drill(_), Violated { .. }) => false,
                    // A shared archive that such a backup may name waits for the next apply.
                    (Tombstone(_), Skipped { reason }) => !reason.ends_with("collect_garbage"),
                    (_, outcome) => !matches!(outcome, Done { .. } | AlreadyDone { .. }),
                }
            })
            .map(|a| format!("{} {}: {:?}", a.action.address, a.action.kind.word(), a.outcome))
            .collect();
        if !bad.is_empty() {
            return Err(format!("apply {round} did not do all: {bad:#?}"));
        }
    }
    unreachable!("the last round returns")
}

/// Applies the scene once, watched: the state is saved before and after every effect. One at a time: an apply that stands
/// still for too long loses its leases, rightly, and is not undisturbed any more.
async fn record(ground: &Arc<Ground>, scene: &Scene) -> Record {
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one = ONE.lock().await;
    let mut site = Site::on(ground, &format!("{}_0", scene.name), &scene.policy, scene.now).await;
    site.load(&scene.begin).await;
    let (plan, desired) = site.plan().await;
    let (watcher, mut reached) = mpsc::unbounded_channel();
    site.gate.set(Mode::Watched(watcher));
    let (mut labels, mut states) = (Vec::new(), vec![site.save().await]);
    let unsaid: Vec<_>;
    {
        let apply = site.apply(&plan, &desired);
        tokio::pin!(apply);
        loop {
            let Reached { label, happened, go_on } = tokio::select! {
                report = &mut apply => {
                    let done = |outcome: &Outcome| matches!(outcome, Outcome::Done { .. });
                    let all = report.unwrap().actions.into_iter().filter(|a| !done(&a.outcome));
                    unsaid = all.map(|a| (a.action.kind, a.outcome)).collect();
                    break;
                }
                Some(reached) = reached.recv() => reached,
            };
            let state = site.save().await;
            if happened {
                states.push(state);
            } else {
                labels.push(label);
                // Nothing passes beside the gate: what an effect left is what the next one finds.
                assert!(states.last() == Some(&state), "{} changed without an effect before {labels:#?}", scene.name);
            }
            let _ = go_on.send(());
        }
    }
    site.gate.set(Mode::Open);
    assert_eq!(states.len(), labels.len() + 1);
    assert!(states.last() == Some(&site.save().await), "{}: an effect after the last one", scene.name);
    site.end_leases().await;
    let left: Vec<_> = site.plan().await.0.actions.into_iter().map(|a| (a.address, a.kind, a.reason)).collect();
    let name = scene.name;
    assert!(left.is_empty(), "an undisturbed apply of {name} leaves something to do: {left:?}; it said: {unsaid:?}");
    assert_eq!(end::wrong(&site).await, Vec::<String>::new());
    let end = end::end(&site).await;
    tomorrow(&mut site).await.unwrap();
    Record { labels, states, end, next_day: end::end(&site).await }
}

/// Lets the next day's apply run.
async fn tomorrow(site: &mut Site) -> Result<(), String> {
    let today = site.now;
    site.now = bkup::domain::Period::hours(24).after(today);
    site.end_leases().await;
    let settled = settle(site).await;
    let wrong = end::wrong(site).await;
    settled?;
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:#?}")) }
}

/// How the apply is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It dies when so many effects have happened. Dying before an effect is dying after the one before it.
    DiesAfter(usize),
    /// It loses the reply of an effect, and lives on.
    LosesReplyOf(usize),
    /// The connection breaks before an effect, and it lives on.
    BreaksBefore(usize),
}

async fn disturbed(site: &mut Site, scene: &Scene, record: &Record, fate: Fate) -> Result<(), String> {
    let mode = match fate {
        Fate::DiesAfter(count) => {
            site.load(&record.states[count]).await;
            None
        }
        Fate::LosesReplyOf(number) => Some(Mode::LosesReply(number)),
        Fate::BreaksBefore(number) => Some(Mode::Breaks(number)),
    };
    let mut said = String::new();
    if let Some(mode) = mode {
        site.load(&scene.begin).await;
        let (plan, desired) = site.plan().await;
        site.gate.set(mode);
        said = match site.apply(&plan, &desired).await {
            Ok(report) => report.actions.iter().map(|a| format!("  {} {:?}\n", a.action.address, a.outcome)).collect(),
            Err(error) => error.to_string(),
        };
        site.gate.set(Mode::Open);
    }
    site.end_leases().await;
    let told = |why: String| format!("{why}\nthe disturbed apply said:\n{said}");
    settle(site).await.map_err(told)?;
    let wrong = end::wrong(site).await;
    if !wrong.is_empty() {
        return Err(told(format!("{wrong:#?}")));
    }
    let first = difference(scene, &record.end, &end::end(site).await);
    if first.is_none() {
        return Ok(());
    }
    let today = site.now;
    let settled = tomorrow(site).await;
    site.now = today;
    settled.map_err(told)?;
    match difference(scene, &record.next_day, &end::end(site).await) {
        None => Ok(()),
        Some(second) => Err(told(format!("{second}\nthe day before {}", first.unwrap_or_default()))),
    }
}

fn difference(scene: &Scene, wanted: &[String], found: &[String]) -> Option<String> {
    let beyond = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| (scene.same)(line) && !those.contains(line)).cloned().collect()
    };
    let (lacks, more) = (beyond(wanted, found), beyond(found, wanted));
    (!lacks.is_empty() || !more.is_empty()).then(|| format!("it lacks {lacks:#?}, it has {more:#?}"))
}

/// Returns the numbers of the first so many effects of each kind, and of its last one. A kind is a statement in the
/// catalog; in the store it is a method and the end of a name, without what tells one backup from another.
fn of_each_kind(labels: &[String], first: usize) -> BTreeSet<usize> {
    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (label, number) in labels.iter().zip(1..) {
        let kind = label.split_once(" /").map_or_else(
            || label.clone(),
            |(method, target)| format!("{method} {}", target.rsplit('/').next().unwrap_or_default()),
        );
        let kind = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
        kinds.entry(kind).or_default().push(number);
    }
    kinds.into_values().flat_map(|all| all.iter().take(first).chain(all.last()).copied().collect::<Vec<_>>()).collect()
}

/// Disturbs the scene at every point, and says how it went.
async fn every_point(ground: &Arc<Ground>, scene: Scene) {
    let begun = Monotonic::now();
    let record = record(ground, &scene).await;
    let count = record.labels.len();
    assert!(count >= scene.least, "{} has only {count} effects: {:#?}", scene.name, record.labels);
    let mut fates: Vec<Fate> = (0..=count).map(Fate::DiesAfter).collect();
    let all = chosen("BKUP_CRASH_ALL").is_some();
    let few = |each| if all { (1..=count).collect() } else { of_each_kind(&record.labels, each) };
    fates.extend(few(REPLIES).into_iter().map(Fate::LosesReplyOf));
    // A connection that breaks is met by what a death and a lost reply are met by.
    fates.extend(few(0).into_iter().map(Fate::BreaksBefore));
    if let Some(only) = chosen(&format!("BKUP_CRASH_{}", scene.name.to_uppercase())) {
        fates.retain(|fate| format!("{fate:?}") == only);
    }
    let (recorded, next) = (begun.elapsed(), AtomicUsize::new(0));
    let workers = (1..=WORKERS).map(|number| {
        let (scene, record, fates, next) = (&scene, &record, &fates, &next);
        async move {
            let mut site = Site::on(ground, &format!("{}_{number}", scene.name), &scene.policy, scene.now).await;
            let mut failures = Vec::new();
            while let Some(fate) = fates.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(why) = disturbed(&mut site, scene, record, *fate).await {
                    let (Fate::DiesAfter(at) | Fate::LosesReplyOf(at) | Fate::BreaksBefore(at)) = *fate;
                    let label = at.checked_sub(1).map_or("the begin", |index| &record.labels[index]);
                    failures.push(format!("{fate:?} ({label}): {why}"));
                }
            }
            failures
        }
    });
    let failures: Vec<String> = futures_util::future::join_all(workers).await.into_iter().flatten().collect();
    let catalog = record.labels.iter().filter(|label| !label.contains("/deep/prefix")).count();
    say(&format!(
        "crash points of {}: {count} effects ({catalog} in the catalog, {} in the store), {} disturbed applies, {} wrong, \
         {:.0} s of which {:.0} s to write them down",
        scene.name,
        count - catalog,
        fates.len(),
        failures.len(),
        begun.elapsed().as_secs_f64(),
        recorded.as_secs_f64(),
    ));
    assert!(failures.is_empty(), "{} of {}: {}", failures.len(), fates.len(), failures.join("\n\n"));
}

/// Returns what an environment variable chooses, for going after one point.
#[expect(clippy::disallowed_methods, reason = "a person who looks at one point names it so")]
fn chosen(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_of_a_first_apply_can_be_the_last() {
    let ground = Ground::lay().await;
    every_point(&ground, scenes::first(&ground).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_of_a_later_apply_can_be_the_last() {
    let ground = Ground::lay().await;
    every_point(&ground, scenes::later(&ground).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_of_a_drill_can_be_the_last() {
    let ground = Ground::lay().await;
    every_point(&ground, scenes::drilled(&ground).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_a_drill_finds_is_known_whatever_effect_was_the_last() {
    let ground = Ground::lay().await;
    every_point(&ground, scenes::damaged(&ground).await).await;
}
