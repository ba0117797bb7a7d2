//! Every effect of a swap in a live server can be its last: each statement that writes there by itself, each commit.
//! The connection breaks before it, its reply is lost, or bkup is killed after it; the same command is run again then.
//! Rows that were written since the backup are in exactly one place after either, and nothing half loaded is left.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use tokio::sync::mpsc;

use super::bin::Bin;
use super::chosen;
use crate::restore::content;
use crate::world::asked::say;
use crate::world::cluster::Major;
use crate::world::gate::{Gate, Mode, Reached};
use crate::world::place::World;
use crate::world::run::Ran;
use crate::world::wire::Wire;

/// Of what makes and loads the copy beside, the first so many effects are looked at in each way, and so many of the rest
/// in one way each.
const MADE: usize = 2;
const LOADED: usize = 3;
/// The last so many effects are the swap's own and what follows it: all of them are looked at in each way.
const SWAP: usize = 4;

const CONNECTED: &str = "
    CREATE TABLE public.favourites (id int PRIMARY KEY, of_order bigint CONSTRAINT \"to it\" REFERENCES tenant_a.orders);
    INSERT INTO public.favourites VALUES (1, 7), (2, NULL);
    CREATE VIEW public.of_a AS SELECT id, total FROM tenant_a.orders;
    CREATE PUBLICATION picked FOR TABLE tenant_a.orders;";

/// What hangs on the tenant from outside.
const OUTSIDE: &str = "(SELECT concat_ws(' | ', (SELECT count(*) FROM public.of_a),
    (SELECT string_agg(pg_get_constraintdef(oid), ',') FROM pg_constraint WHERE conname = 'to it'),
    (SELECT string_agg(schemaname || tablename, ',') FROM pg_publication_tables)))";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    BreaksBefore(usize),
    LosesReplyOf(usize),
    KilledAfter(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Tenant,
    Database,
}

impl What {
    const fn restore(self) -> &'static [&'static str] {
        match self {
            Self::Tenant => &["restore", "--latest", "--tenant", "a", "--into", "live", "--auto-approve"],
            Self::Database => &["restore", "--latest", "--into", "live", "--auto-approve"],
        }
    }

    /// Asks for the names beside the one in use.
    const fn beside(self) -> &'static str {
        match self {
            Self::Tenant => "SELECT string_agg(nspname, '|') FROM pg_namespace WHERE nspname LIKE 'tenant\\_a\\_\\_%'",
            Self::Database => "SELECT string_agg(datname, '|') FROM pg_database WHERE datname LIKE 'app\\_\\_%'",
        }
    }

    const fn in_use(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_a",
            Self::Database => "app",
        }
    }

    /// The database and the table of orders of what has a name.
    fn orders(self, name: &str) -> (String, String) {
        match self {
            Self::Tenant => ("app".to_owned(), format!("{name}.orders")),
            Self::Database => (name.to_owned(), "tenant_a.orders".to_owned()),
        }
    }
}

struct Stage {
    what: What,
    world: World,
    wire: Wire,
    gate: Arc<Gate>,
    /// What the backup holds.
    backup: Option<String>,
    outside: Option<String>,
    _bin: Bin,
}

impl Stage {
    async fn set(what: What) -> Self {
        let bin = Bin::make(Major::V17).await;
        let world = World::new(Major::V17, &["a", "b"]).await.env("BKUP_PG_BIN", &bin.folder().display().to_string());
        world.cluster.exec("app", CONNECTED).await;
        let _ = world.apply();
        let gate = Arc::new(Gate::default());
        let wire = Wire::before(&world.cluster.server().folder().join("s/.s.PGSQL.5432"), Arc::clone(&gate));
        let backup = content(&world, "app", "tenant_a").await;
        let outside = world.cluster.ask("app", OUTSIDE).await;
        Self { what, world, wire, gate, backup, outside, _bin: bin }
    }

    /// The names beside, and of these and the one in use those with a row that no backup has.
    async fn places(&self, row: usize) -> (Vec<String>, Vec<String>) {
        let beside = self.world.cluster.ask("app", &format!("({})", self.what.beside())).await.unwrap_or_default();
        let beside: Vec<String> = beside.split('|').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let mut with = Vec::new();
        for name in beside.iter().map(String::as_str).chain([self.what.in_use()]) {
            let (database, orders) = self.what.orders(name);
            let there = format!("SELECT to_regclass('{orders}') IS NOT NULL");
            if self.world.cluster.ask(&database, &there).await.as_deref() != Some("true") {
                continue;
            }
            let rows = format!("(SELECT count(*) FROM {orders} WHERE total = {row})");
            if self.world.cluster.ask(&database, &rows).await.as_deref() == Some("1") {
                with.push(name.to_owned());
            }
        }
        (beside, with)
    }

    async fn drop_beside(&self) {
        for name in self.places(0).await.0 {
            let drop = match self.what {
                What::Tenant => format!("DROP SCHEMA \"{name}\" CASCADE"),
                What::Database => format!("DROP DATABASE \"{name}\""),
            };
            self.world.cluster.exec("app", &drop).await;
        }
    }

    /// Runs the restore through the wire.
    async fn run(&mut self, fate: Option<Fate>) -> Ran {
        self.world.cli.set_env("APP_URL", &self.wire.url("app"));
        let (watcher, mut reached) = mpsc::unbounded_channel();
        self.gate.set(match fate {
            None => Mode::Open,
            Some(Fate::BreaksBefore(at)) => Mode::Breaks(at),
            Some(Fate::LosesReplyOf(at)) => Mode::LosesReply(at),
            Some(Fate::KilledAfter(_)) => Mode::Watched(watcher),
        });
        let mut child = self.world.cli.spawn(self.what.restore());
        if let Some(Fate::KilledAfter(at)) = fate {
            let mut done = 0;
            while let Ok(Some(Reached { happened, go_on, .. })) =
                tokio::time::timeout(Duration::from_secs(60), reached.recv()).await
            {
                done += usize::from(happened);
                if done == at {
                    child.kill();
                    break;
                }
                let _ = go_on.send(());
            }
            assert_eq!(done, at, "{fate:?} was not reached");
        }
        let ran = tokio::task::spawn_blocking(move || child.finish()).await.unwrap();
        let url = self.world.cluster.url("app");
        self.world.cli.set_env("APP_URL", &url);
        ran
    }

    /// Ends the sessions that nobody is behind any more, as the server does by itself sooner or later.
    async fn settle(&self) {
        let behind = "(SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'app%' AND pid <> pg_backend_pid())";
        for _ in 0..400 {
            if self.world.cluster.ask("postgres", behind).await.as_deref() == Some("0") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("sessions stay open");
    }

    async fn disturbed(&mut self, fate: Fate, row: usize) -> Result<(), String> {
        let insert = format!(
            "INSERT INTO tenant_a.orders (customer_id, currency, total, placed_at) VALUES (1, 'EUR', {row}, now())"
        );
        self.world.cluster.exec("app", &insert).await;
        let ran = self.run(Some(fate)).await;
        self.settle().await;
        let said = format!("exit {}\n{}{}", ran.code, ran.stdout, ran.stderr);
        let (beside, with) = self.places(row).await;
        if with.len() != 1 {
            return Err(format!("the row is in {with:?} of {beside:?}; {said}"));
        }
        let swapped = with != [self.what.in_use()];
        // It knows what it did, whatever it lost: 0 and 5 are said of a swap alone, all else of none.
        if ran.code != -1 && swapped != [0, 5].contains(&ran.code) {
            return Err(format!("swapped: {swapped}; {said}"));
        }
        let again = tokio::task::block_in_place(|| self.world.run(self.what.restore()));
        if again.code != 0 {
            return Err(format!("again: {}{}\nbefore: {said}", again.stdout, again.stderr));
        }
        let (beside, with) = self.places(row).await;
        let half: Vec<&String> = beside.iter().filter(|name| !name.contains("__old_")).collect();
        if !half.is_empty() || with.len() != 1 || with == [self.what.in_use()] {
            return Err(format!("after the second: the row is in {with:?} of {beside:?}; {said}"));
        }
        if content(&self.world, "app", "tenant_a").await != self.backup {
            return Err(format!("what is in use is not the backup; {said}"));
        }
        let outside = self.world.cluster.ask("app", OUTSIDE).await;
        if outside != self.outside {
            return Err(format!("outside was {:?} and is {outside:?}; {said}", self.outside));
        }
        self.drop_beside().await;
        Ok(())
    }
}

fn fates(count: usize) -> Vec<Fate> {
    let ways = [Fate::BreaksBefore, Fate::LosesReplyOf, Fate::KilledAfter];
    let all = chosen("BKUP_CRASH_ALL").is_some();
    let stride = (count - MADE - SWAP) / LOADED;
    let mut fates = Vec::new();
    for at in 1..=count {
        if all || at <= MADE || at + SWAP > count {
            fates.extend(ways.map(|way| way(at)));
        } else if at % stride == 0 {
            fates.push(ways[at / stride % ways.len()](at));
        }
    }
    if let Some(only) = chosen("BKUP_CRASH_SWAP") {
        fates.retain(|fate| format!("{fate:?}") == only);
    }
    fates
}

async fn every_point(what: What) {
    let begun = Monotonic::now();
    let mut stage = Stage::set(what).await;
    let _ = stage.run(None).await.exits(0);
    let count = stage.gate.count();
    assert!(count > 20, "a swap has only {count} effects");
    stage.drop_beside().await;
    let fates = fates(count);
    let mut failures = Vec::new();
    for (index, fate) in fates.iter().enumerate() {
        if let Err(why) = stage.disturbed(*fate, 900_000 + index).await {
            failures.push(format!("{fate:?} of {count}: {why}"));
            stage = Stage::set(what).await;
        }
    }
    say(&format!(
        "crash points of a swap of a {what:?}: {count} effects in the live server, {} disturbed restores, {} wrong, {:.0} s",
        fates.len(),
        failures.len(),
        begun.elapsed().as_secs_f64()
    ));
    assert!(failures.is_empty(), "{} of {}: {}", failures.len(), fates.len(), failures.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_of_a_tenants_swap_can_be_the_last() {
    every_point(What::Tenant).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_effect_of_a_databases_swap_can_be_the_last() {
    every_point(What::Database).await;
}
