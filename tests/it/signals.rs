//! Suite: signals at random times. The real binary works on a real PostgreSQL and a real S3 or folder; at a random
//! instant it is told to stop, killed, frozen past its lease while another runner goes on, or loses a program or a
//! session it works with. Then one apply runs, and everything is as if nothing had been.
//!
//! Every round is drawn from a seed that is printed where it fails. `BKUP_SIGNALS_SEED=N` repeats the round of one seed
//! twenty times, `BKUP_SIGNALS_ROUNDS=N` makes it more rounds, from another first seed each hour.

use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::faults::{descendants, only_tenants, signal, wait_for};
use crate::world::asked::{say, setting};
use crate::world::cluster::Major;
use crate::world::s3::S3Server;
use crate::world::setup::{Place, Setup, ran};

/// How many rounds there are where nobody asks for more.
const ROUNDS: u64 = 210;
/// The first seed where nobody asks for another.
const SEED: u64 = 20_260_302;
/// How many installations are disturbed at the same time.
const WORKERS: u64 = 3;

/// How long after its start a process may not listen for signals yet.
const UNBORN: Duration = Duration::from_millis(300);

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// It is told to stop: SIGTERM or SIGINT.
    Told(&'static str, i32),
    /// SIGKILL.
    Killed,
    /// SIGSTOP; its lease ends, another runner does its work, and it wakes up.
    Frozen,
    /// One of its `pg_dump` is killed.
    DumpKilled,
    /// Its sessions in a database are ended by the server.
    SessionsEnded(&'static str),
}

/// A small generator: what a seed gives is the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn event(&mut self) -> Event {
        match self.next(10) {
            0 => Event::Told("TERM", 143),
            1 => Event::Told("INT", 130),
            2..=5 => Event::Killed,
            6 => Event::Frozen,
            7 => Event::DumpKilled,
            8 => Event::SessionsEnded("catalog"),
            _ => Event::SessionsEnded("app"),
        }
    }
}

/// An installation and how long an apply of it usually takes.
struct World {
    setup: Setup,
    day: u64,
    usual: Duration,
}

impl World {
    async fn start(number: u64) -> Self {
        // One of them is a folder, whose writes can be cut in the middle.
        let place = if number.is_multiple_of(WORKERS) { Place::Folder } else { Place::S3(S3Server::start()) };
        let setup = Setup::start(Major::V17, place, &["acme", "globex"]).await;
        only_tenants(&setup);
        let mut world = Self { setup, day: 0, usual: Duration::from_secs(2) };
        world.next_day();
        world
    }

    fn next_day(&mut self) {
        let begin = crate::world::model::at("2026-03-02T03:10:00Z");
        let now = bkup::domain::Period::hours(24 * i64::try_from(self.day).unwrap()).after(begin);
        self.setup.now(&now.to_string());
        self.day += 1;
    }

    /// The first apply of all makes the catalog.
    fn arguments(&self) -> Vec<&'static str> {
        let first = if self.day == 1 { &["--init-simulated"][..] } else { &[] };
        [&["apply", "--auto-approve"], first].concat()
    }

    async fn let_leases_end(&self) {
        if !self.setup.catalog("to_regclass('bkup.restores')").await.is_empty() {
            self.setup.end_leases().await;
        }
    }

    /// Does to a run what the seed says; returns what that was.
    async fn disturb(&mut self, seed: u64) -> String {
        let mut draw = Draw(seed);
        let event = draw.event();
        let delay = self.usual.mul_f64(draw.next(1100) as f64 / 1000.0);
        let mut child = self.setup.spawn(&self.arguments());
        std::thread::sleep(delay);
        let programs = descendants(child.id());
        let told = format!("seed {seed}: {event:?} after {} of about {} ms", delay.as_millis(), self.usual.as_millis());
        let begun = Instant::now();
        match event {
            Event::Told(name, _) => signal(child.id(), name),
            Event::Killed => signal(child.id(), "KILL"),
            Event::DumpKilled => {
                let dump = programs.iter().find(|(_, line)| line.contains("pg_dump"));
                dump.iter().for_each(|(pid, _)| signal(*pid, "KILL"));
            }
            Event::SessionsEnded(database) => self.end_sessions(database, "true").await,
            Event::Frozen => {
                signal(child.id(), "STOP");
                // The server ends whoever is idle within a transaction for a minute, which is how long a lease lasts.
                self.end_sessions("catalog", "state LIKE 'idle in transaction%'").await;
                self.let_leases_end().await;
                let other = self.setup.run(&self.arguments());
                assert_eq!(other.code, 0, "{told}: the other runner: {}{}", other.stdout, other.stderr);
                signal(child.id(), "CONT");
            }
        }
        let status = wait_for(&format!("the end of it; {told}"), || child.try_wait().unwrap());
        let took = begun.elapsed();
        let output = ran(ended(child, status));
        if let Event::Told(_, code) = event {
            // Before it can listen for signals, it has not begun anything either.
            let unborn = output.code == -1 && delay < UNBORN && output.stdout.is_empty() && output.stderr.is_empty();
            let fine = unborn || [0, code].contains(&output.code);
            assert!(fine, "{told}: {}\n{}{}", output.code, output.stdout, output.stderr);
            assert!(took < Duration::from_secs(20), "{told}: it took {took:?} to stop");
        } else if event != Event::Killed {
            let fine = [0, 1, 5, 6, 7].contains(&output.code);
            assert!(fine, "{told}: {}\n{}{}", output.code, output.stdout, output.stderr);
        }
        assert!(!output.stderr.contains("panicked"), "{told}: {}", output.stderr);
        wait_for(&format!("its programs to end; {told}"), || {
            programs.iter().all(|(pid, line)| !same_process(*pid, line)).then_some(())
        });
        format!("{told}: exit {}", output.code)
    }

    async fn end_sessions(&self, database: &str, which: &str) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{database}' AND pid <> pg_backend_pid() AND {which}"
        );
        self.setup.cluster.exec("postgres", &sql).await;
    }

    /// One apply, one more where there was something to collect, and all is whole.
    async fn recover(&mut self, told: &str) {
        self.let_leases_end().await;
        let begun = Instant::now();
        let again = self.setup.run(&self.arguments());
        assert_eq!(again.code, 0, "{told}: the apply after it: {}{}", again.stdout, again.stderr);
        self.usual = (self.usual * 3 + begun.elapsed().max(Duration::from_millis(100))) / 4;
        let plan = || self.setup.run(&["plan", "--detailed-exitcode", "--include-due"]);
        if plan().code != 0 {
            let _ = self.setup.apply().exits(0);
            let left = plan();
            assert_eq!(left.code, 0, "{told}: something is left to do: {}{}", left.stdout, left.stderr);
        }
        let _telling = Telling(told);
        self.setup.assert_whole().await;
        let sql = "SELECT count(DISTINCT scope) FROM bkup.executions e, bkup.meta m \
                   WHERE e.status = 'COMPLETED' AND e.slot > m.clock - interval '1 h'";
        assert_eq!(self.setup.catalog(sql).await, "3", "{told}: the night's backups");
        let chain = bkup::catalog::Reader::with(self.setup.cluster.connection("catalog").options());
        let verdict = chain.verify_audit().await.unwrap();
        chain.close().await;
        assert!(matches!(verdict, bkup::catalog::AuditVerdict::Whole { .. }), "{told}: {verdict:?}");
        let purged = "SELECT count(*) FROM bkup.executions WHERE deleted";
        let told_of = "SELECT count(DISTINCT subject) FROM bkup.audit_log WHERE event = 'backup purged'";
        assert_eq!(self.setup.catalog(purged).await, self.setup.catalog(told_of).await, "{told}: every purge is told");
    }

    async fn round(&mut self, seed: u64) -> String {
        let told = self.disturb(seed).await;
        self.recover(&told).await;
        self.next_day();
        told
    }
}

/// Says what was done to a run where an assertion that does not know it fails.
struct Telling<'t>(&'t str);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(self.0);
        }
    }
}

fn ended(mut child: Child, status: std::process::ExitStatus) -> std::process::Output {
    use std::io::Read as _;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let _ = child.stdout.take().unwrap().read_to_end(&mut stdout);
    let _ = child.stderr.take().unwrap().read_to_end(&mut stderr);
    std::process::Output { status, stdout, stderr }
}

fn same_process(pid: u32, line: &str) -> bool {
    let now = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    !now.is_empty() && String::from_utf8_lossy(&now).replace('\0', " ") == line
}

#[test]
fn an_apply_that_is_disturbed_at_any_instant_is_finished_by_the_next() {
    let begun = Instant::now();
    let rounds = setting("BKUP_SIGNALS_ROUNDS").unwrap_or(ROUNDS);
    let one = setting("BKUP_SIGNALS_SEED");
    let hour = bkup::cli::context::Context::clock().as_second().unsigned_abs() / 3600 * 1_000_000;
    let first = if rounds == ROUNDS { SEED } else { hour };
    say(&format!("signals: {rounds} rounds from seed {first}"));
    let next = AtomicU64::new(0);
    let counts: Vec<Vec<String>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..if one.is_some() { 1 } else { WORKERS })
            .map(|number| {
                let next = &next;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let mut world = World::start(number).await;
                        let mut told = Vec::new();
                        loop {
                            let round = next.fetch_add(1, Ordering::Relaxed);
                            match one {
                                Some(seed) if round < 20 => told.push(world.round(seed).await),
                                None if round < rounds => told.push(world.round(first + round).await),
                                _ => return told,
                            }
                        }
                    })
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|why| std::panic::resume_unwind(why))).collect()
    });
    let told: Vec<String> = counts.into_iter().flatten().collect();
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    say(&format!(
        "signals: {} disturbed applies from seed {first}: {} told to stop, {} killed, {} frozen past the lease, {} lost a \
         dump, {} lost their sessions; {} had done all before; {:.0} s",
        told.len(),
        count("Told"),
        count(": Killed"),
        count("Frozen"),
        count("DumpKilled"),
        count("SessionsEnded"),
        count("exit 0"),
        begun.elapsed().as_secs_f64(),
    ));
    if one.is_none() {
        assert!(
            told.len() as u64 == rounds && count("exit 0") * 3 < told.len() * 2,
            "too few were disturbed: {told:#?}"
        );
    }
}
