//! One seed: policies, a world, runners, and what happens to them, day after day, until faults stop and all must be well.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bkup::domain::{Outcome, Plan};

use super::policies::Policies;
use super::random::Random;
use super::rows::Row;
use super::weather::{Moment, Odds};
use super::world::{Ran, Runner, World};

/// What a seed came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    pub days: u64,
    pub applies: u64,
    pub backups: u64,
    pub deletions: u64,
    pub faults: u64,
    /// A digest of everything that happened: a seed that is run again has the same.
    pub trace: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { days, applies, backups, deletions, faults, trace: _ } = self;
        write!(f, "{days} days, {applies} applies, {backups} backups, {deletions} deletions, {faults} faults")
    }
}

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub violations: Vec<String>,
    pub log: Vec<String>,
}

/// Runs a seed to its end.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async move { Story::new(seed).tell().await })
}

struct Story {
    seed: u64,
    random: Random,
    policies: Policies,
    world: Arc<World>,
    runners: Vec<Arc<Runner>>,
    born: u64,
    /// Plans that were made and are applied later.
    saved: Option<Arc<Plan>>,
    damages: u64,
    summary: Summary,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let policies = Policies::new(random.apart());
        let world = World::new(policies.desired.stores.keys(), random.apart());
        let mut story = Self {
            seed,
            random,
            policies,
            world,
            runners: Vec::new(),
            born: 0,
            saved: None,
            damages: 0,
            summary: Summary::default(),
        };
        for _ in 0..=story.random.below(5) {
            let runner = story.bear();
            story.runners.push(runner);
        }
        story
    }

    fn bear(&mut self) -> Arc<Runner> {
        self.born += 1;
        Runner::new(&self.world, format!("runner-{}", self.born))
    }

    async fn tell(mut self) -> Result<Summary, Box<Failure>> {
        let ticks = 20 + self.random.below(50);
        let long = self.random.chance(150);
        for tick in 0..ticks {
            self.pass(long).await;
            self.events();
            self.act().await;
            self.world.auditor.look(&self.world.stores, tick % 10 == 9);
            if tick % 15 == 14 {
                self.quiet().await;
            }
            self.judged()?;
        }
        self.policies.wake();
        self.quiet().await;
        self.judged()?;
        let tables = self.world.catalog.tables();
        self.summary.backups = tables.rows.iter().filter(|row| row.done.is_some()).count() as u64;
        self.summary.deletions = self.world.auditor.deletions();
        self.summary.trace = bkup::domain::sha256(self.world.log(usize::MAX).join("\n").as_bytes()).to_string();
        Ok(self.summary.clone())
    }

    fn judged(&self) -> Result<(), Box<Failure>> {
        let violations = self.world.auditor.violations();
        if violations.is_empty() {
            return Ok(());
        }
        Err(Box::new(Failure { seed: self.seed, violations, log: self.world.log(400) }))
    }

    /// Time passes.
    async fn pass(&mut self, long: bool) {
        let random = &mut self.random;
        let hours = match random.below(10) {
            0 | 1 => random.range(1, 7),
            2 => random.range(48, 120),
            _ if long => random.range(120, 480),
            _ => random.range(20, 29),
        };
        let seconds = hours * 3600 + random.range(0, 3600);
        self.summary.days += u64::try_from(seconds).unwrap_or(0) / 86_400;
        tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).await;
    }

    /// What people, clocks and disks do.
    fn events(&mut self) {
        if self.random.chance(80) {
            let (words, touched) = self.policies.change(self.world.now());
            for schedule in &touched {
                self.world.auditor.rule_changes(schedule);
            }
            self.world.note(words);
        }
        if self.random.chance(80) {
            let mut tenants = self.world.tenants.lock().expect("tenants");
            let slug = format!("{}{}", self.random.pick(&["t", "g"]), self.random.below(7));
            if !tenants.remove(&slug) || tenants.is_empty() {
                tenants.insert(slug.clone());
            }
            self.world.note(format!("tenants: {tenants:?}"));
        }
        for runner in &self.runners {
            if self.random.chance(60) {
                let ahead = *self.random.pick(&[0, -240, 240, 30, -30, -4000, 4000, 90_000]);
                runner.ahead.store(ahead, Ordering::Relaxed);
                self.world.note(format!("the clock of {} is {ahead} s ahead", runner.name));
            }
        }
        if self.random.chance(25) && self.damages < 2 {
            self.damage();
        }
    }

    /// A disk forgets.
    fn damage(&mut self) {
        let rows: Vec<Row> = {
            let tables = self.world.catalog.tables();
            tables.rows.iter().filter(|row| row.done.is_some() && !row.deleted && !row.purging()).cloned().collect()
        };
        if rows.len() < 12 {
            return;
        }
        let row = self.random.pick(&rows);
        let Some(store) = self.world.stores.get(&row.store) else { return };
        let keys: Vec<String> = store.keys().into_iter().filter(|key| key.contains(row.backup.as_str())).collect();
        let data: Vec<&String> =
            keys.iter().filter(|key| key.starts_with("backups/") && !key.ends_with("manifest.json")).collect();
        if data.is_empty() {
            return;
        }
        self.damages += 1;
        self.world.auditor.damage(row.backup.clone());
        let key = *self.random.pick(&data);
        if let Some(bytes) = store.bytes(key).filter(|bytes| !bytes.is_empty()) {
            let mut bytes = bytes.to_vec();
            let place = self.random.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1;
            store.set(key, bytes.into());
            self.world.note(format!("{key} is damaged"));
        }
    }

    fn odds(&mut self) -> Odds {
        let random = &mut self.random;
        let mut odd = |chance, most| if random.chance(chance) { random.below(most) } else { 0 };
        Odds {
            busy: odd(400, 60),
            lost: odd(400, 60),
            late: odd(300, 30),
            echo: odd(300, 100),
            dropped: odd(300, 60),
            denied: odd(100, 20),
            flipped: odd(150, 60),
            truncated: odd(150, 500),
            stale: odd(200, 500),
            unasked: odd(300, 40),
            unheard: odd(400, 60),
            dumps: odd(300, 200),
            latency: odd(800, 3000),
        }
    }

    /// Runners run, each in its weather.
    async fn act(&mut self) {
        for index in 0..self.runners.len() {
            if self.runners[index].weather.is_dead() {
                self.runners[index] = self.bear();
            }
        }
        let mut fates = Vec::new();
        for runner in self.runners.clone() {
            if !self.random.chance(650) {
                continue;
            }
            let calm = self.random.chance(400);
            let odds = if calm { Odds { latency: self.random.below(500), ..Odds::default() } } else { self.odds() };
            runner.weather.set(odds);
            runner.stop.send_replace(false);
            fates.push((runner, self.random.below(120)));
        }
        let shared = self.random.chance(300);
        let later = self.random.chance(60);
        let consent = self.random.chance(300);
        let mut plan = if self.random.chance(300) { self.saved.take() } else { None };
        if plan.is_some() {
            self.world.note("a plan of before is applied");
        }
        if plan.is_none()
            && shared
            && let Some((first, _)) = fates.first()
        {
            let desired = |tenants: Option<&_>| self.policies.with(tenants);
            plan = Some(first.plan(&desired, consent).await);
        }
        let mut running = Vec::new();
        for (runner, delay) in fates {
            self.strike(&runner);
            let given = plan.clone();
            let desired = {
                let base = self.policies.with(None);
                let known = self.policies.with(Some(&self.world.tenants.lock().expect("tenants")));
                move |tenants: Option<&std::collections::BTreeSet<String>>| {
                    if tenants.is_some() { known.clone() } else { base.clone() }
                }
            };
            let world = Arc::clone(&self.world);
            running.push(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(delay)).await;
                let plan = match given {
                    Some(plan) => plan,
                    None => {
                        tokio::select! {
                            biased;
                            () = runner.weather.died.notified() => return (runner, None, Ran::Died),
                            plan = runner.plan(&desired, consent) => plan,
                        }
                    }
                };
                world.note(format!("{} has {} actions: {}", runner.name, plan.actions.len(), words(&plan)));
                if later {
                    return (runner, Some(plan), Ran::Died);
                }
                let ran = runner.apply(&plan).await;
                (runner, None, ran)
            }));
        }
        for run in running {
            let Ok(ended) = tokio::time::timeout(Duration::from_secs(12 * 3600), run).await else {
                self.world.auditor.violation("a run does not end");
                return;
            };
            let (runner, plan, ran) = ended.expect("a run does not panic");
            self.saved = plan.or(self.saved.take());
            let happened = runner.weather.happened();
            self.world.auditor.late(runner.weather.late());
            self.summary.faults += happened.len() as u64;
            for fault in happened {
                self.world.note(format!("  {}: {fault}", runner.name));
            }
            self.heard(&runner, &ran);
        }
        for runner in &self.runners {
            runner.weather.set(Odds::default());
        }
    }

    /// What else happens to a runner in this turn.
    fn strike(&mut self, runner: &Arc<Runner>) {
        let random = &mut self.random;
        let after = Duration::from_secs(random.below(240));
        let weather = Arc::clone(&runner.weather);
        let by = Duration::from_secs(20 + random.below(600));
        let words = match random.below(30) {
            0 | 1 => {
                let moment = if random.chance(500) { Moment::Before } else { Moment::After };
                weather.fall(1 + random.below(60), moment);
                return;
            }
            2 => "dies",
            3 | 4 => "stands still",
            5 => "cannot reach stores",
            6 => "cannot reach the catalog",
            7 => "is told to stop",
            _ => return,
        };
        let (world, runner) = (Arc::clone(&self.world), Arc::clone(runner));
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            world.note(format!("{} {words}, {by:?}", runner.name));
            match words {
                "dies" => weather.kill(),
                "stands still" => weather.freeze(by),
                "cannot reach stores" => weather.outage(true, false, by),
                "cannot reach the catalog" => weather.outage(false, true, by),
                _ => {
                    runner.stop.send_replace(true);
                }
            }
        });
    }

    fn heard(&mut self, runner: &Runner, ran: &Ran) {
        match ran {
            Ran::Ended(report) => {
                self.summary.applies += 1;
                for outcome in &report.actions {
                    let (action, outcome) = (&outcome.action, &outcome.outcome);
                    let words = match outcome {
                        Outcome::Done { summary } => format!("done: {summary}"),
                        Outcome::AlreadyDone { summary } => format!("was done: {summary}"),
                        Outcome::Skipped { reason } => format!("skipped: {reason}"),
                        Outcome::Failed { error, .. } => format!("failed: {error}"),
                        other => format!("{other:?}"),
                    };
                    self.world.note(format!("  {}: {} {}: {words}", runner.name, action.kind.word(), subject(action)));
                }
            }
            other => self.world.note(format!("  {}: {other:?}", runner.name)),
        }
    }

    /// Faults stop, everybody is alive: two applies later there is nothing to do, and nothing lies about.
    async fn quiet(&mut self) {
        self.world.note("all is quiet");
        tokio::time::sleep(Duration::from_secs(660)).await;
        let runner = self.bear();
        for turn in 0..4 {
            let desired = |tenants: Option<&_>| self.policies.with(tenants);
            let plan = runner.plan(&desired, true).await;
            self.world.note(format!("{} has {} actions: {}", runner.name, plan.actions.len(), words(&plan)));
            if let Some(refusal) = plan.refusals.first() {
                self.world.auditor.violation(format!("a quiet plan is refused: {}", refusal.words));
                return;
            }
            if plan.actions.is_empty() {
                break;
            }
            if turn == 3 {
                self.world.auditor.violation(format!("three quiet applies leave work: {}", words(&plan)));
                return;
            }
            let ran = runner.apply(&plan).await;
            self.heard(&runner, &ran);
        }
        let auditor = &self.world.auditor;
        auditor.look(&self.world.stores, true);
        auditor.tidy(&self.world.stores);
        auditor.covered();
    }
}

fn subject(action: &bkup::domain::Action) -> String {
    use bkup::domain::ActionKind;
    match &action.kind {
        ActionKind::BackUp(work) => format!("{} ({})", work.backup, work.scope),
        ActionKind::Tombstone(work) | ActionKind::Purge(work) => work.backup.to_string(),
        ActionKind::CollectGarbage { backup, attempt, .. } => format!("{backup}/{attempt}"),
        ActionKind::Quarantine { backup, .. } => backup.to_string(),
        _ => action.address.to_string(),
    }
}

fn words(plan: &Plan) -> String {
    let all: Vec<String> = plan.actions.iter().map(|a| format!("{} {}", a.kind.word(), subject(a))).collect();
    all.join(", ")
}
