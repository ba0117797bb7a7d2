//! The story: policies, a plan, an apply, weeks that pass, a prune, an accident, a restore, a drill, the status.

use tokio::sync::watch;

use super::application::{self, TableFacts, UNLUCKY};
use super::environment::{Environment, Making, Ran, interrupted};
use super::narrator::{Narrator, typed};
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::domain::{ActionKind, ApplyReport, Instant, Outcome, Period, Scope};
use crate::engine::EngineError;

/// When the first apply is: a Monday, shortly after the night's slots.
const BEGIN: &str = "2026-03-02T02:45:00Z";
/// When somebody drops a schema, after the last apply.
const ACCIDENT: Period = Period::minutes(6 * 60 + 27);
/// What one apply of the loop leaves for the demo to read.
const REPORT: &str = "report.json";

/// One telling of it.
struct Telling<'a> {
    environment: &'a Environment,
    narrator: &'a Narrator,
    days: u32,
    stop: watch::Receiver<bool>,
}

/// Tells the whole story and takes everything away, also when it ends early. With `keep`, a story that ended well
/// leaves it.
///
/// # Errors
/// Where a step of it does not end as it should.
pub(in crate::cli) async fn tell(
    making: Making,
    narrator: &Narrator,
    days: u32,
    keep: Option<Instant>,
    stop: watch::Receiver<bool>,
) -> Result<(), CliError> {
    narrator.say("bkup shows what it does on a PostgreSQL server, a store and a catalog of its own.");
    let mut watched = stop.clone();
    let environment = tokio::select! {
        made = Environment::make(making) => made?,
        _ = watched.wait_for(|stop| *stop) => return Err(interrupted()),
    };
    let telling = Telling { environment: &environment, narrator, days, stop };
    let told = telling.all().await;
    match (told, keep) {
        (Ok(()), Some(now)) => {
            let root = environment.keep(now)?;
            farewell(narrator, &root.display().to_string());
            Ok(())
        }
        (Ok(()), None) => {
            let root = environment.root().display().to_string();
            environment.remove().await?;
            narrator.say(&format!(
                "\nThe server is stopped and {root} removed. `bkup demo --keep` leaves them to play with."
            ));
            Ok(())
        }
        (Err(error), _) => {
            // Why the story ended is worth more than why its folder could not be removed.
            let _ = environment.remove().await;
            Err(error)
        }
    }
}

fn farewell(narrator: &Narrator, root: &str) {
    narrator.chapter("Your turn");
    narrator.say(
        "The server goes on running. Its catalog has a clock of its own, which stands still until BKUP_NOW moves it.",
    );
    narrator.command(&format!(". {root}/env"));
    narrator.command("bkup plan --detailed-exitcode --include-due");
    narrator.say("\nThis stops the server and removes the folder:");
    narrator.command(&format!("{root}/stop.sh"));
}

impl Telling<'_> {
    async fn all(&self) -> Result<(), CliError> {
        let begin: Instant =
            BEGIN.parse().map_err(|_| CliError::Story { words: "the demo's clock is broken".to_owned() })?;
        self.a_world().await?;
        self.a_policy(begin).await?;
        let last = self.weeks(begin).await?;
        let last = self.a_prune(Period::days(1).after(last)).await?;
        let day = ACCIDENT.after(last);
        self.an_accident(day).await?;
        self.evidence(day).await
    }

    async fn a_world(&self) -> Result<(), CliError> {
        let size = self.environment.fill().await.map_err(|error| failed(&error))?;
        let say = |words: &str| self.narrator.say(words);
        self.narrator.chapter("A server, an application, a store");
        say(&format!(
            "PostgreSQL {}.{} runs in {}, on a socket there, with an application of {} tenants",
            self.environment.programs().major,
            self.environment.programs().minor,
            self.environment.root().display(),
            size.tenants
        ));
        say(&format!(
            "and {} rows: a schema for each tenant, whose tables refer to shared ones in `public`. A folder is the store.",
            size.rows
        ));
        let ran = self.bkup(None, &["key", "generate", "--out", "key.txt"]).await?;
        self.narrator.output(&ran.stdout);
        self.environment.write_files(ran.stdout.trim())?;
        say(
            "\nThe policies are those of examples/policies/demo, with this store and this key. To follow in another terminal:",
        );
        let root = self.environment.root().display();
        self.narrator.command(&format!("cd {root} && . ./env"));
        Ok(())
    }

    async fn a_policy(&self, begin: Instant) -> Result<(), CliError> {
        self.narrator.chapter("Policies in, a plan out");
        self.shown(None, &["validate"]).await?;
        // Only a catalog that is made with a simulated clock lets weeks pass in seconds.
        self.shown(Some(begin), &["plan", "--init-simulated", "--out", "plan.json"]).await?;

        self.narrator.chapter("The plan is applied, exactly as it was shown");
        let ran = self.bkup(Some(begin), &["apply", "plan.json"]).await?;
        self.narrator.head(&ran.stdout, 12);

        self.narrator.chapter("The world is as the policies say");
        let ran = self.bkup(Some(begin), &["plan", "--detailed-exitcode", "--include-due"]).await?;
        self.narrator.head(&ran.stdout, 2);
        Ok(())
    }

    /// Lets the days pass, one apply each, and returns the instant of the last one.
    async fn weeks(&self, begin: Instant) -> Result<Instant, CliError> {
        let days = self.days;
        let span =
            if days.is_multiple_of(7) { format!("{} weeks pass", days / 7) } else { format!("{days} days pass") };
        self.narrator.chapter(&span);
        self.narrator.say(
            "Customers order every day, and a timer calls `bkup apply` every night. What retention no longer keeps is\n\
             marked first, and can be brought back; a week later it is purged.",
        );
        let from = begin.strftime("%Y-%m-%d %H:%M UTC");
        self.narrator.command(&format!(
            "for day in $(seq {days}); do BKUP_NOW=$(date -u -d \"{from} + $day days\" +%FT%TZ) bkup apply --auto-approve; done"
        ));
        let mut now = begin;
        for _ in 0..days {
            now = Period::days(1).after(now);
            self.business(now).await?;
            self.quiet(Some(now), &["apply", "--auto-approve", "--report", REPORT]).await?;
            self.narrator.output(&day_line(now, &self.report()?));
        }
        Ok(now)
    }

    async fn a_prune(&self, now: Instant) -> Result<Instant, CliError> {
        self.narrator.chapter("A prune, with reasons");
        self.narrator.say("Another night, looked at before it is done.");
        self.business(now).await?;
        self.shown(Some(now), &["plan", "--out", "plan.json"]).await?;
        let ran = self.bkup(Some(now), &["apply", "plan.json", "--report", REPORT]).await?;
        self.narrator.head(&ran.stdout, 12);
        let deleted = self.report()?.actions.iter().filter(|action| action.action.kind.deletes()).count();
        if deleted == 0 {
            return Err(CliError::Story { words: "nothing was pruned after all these nights".to_owned() });
        }
        Ok(now)
    }

    async fn an_accident(&self, now: Instant) -> Result<(), CliError> {
        let app = self.environment.app().map_err(|error| failed(&error))?;
        let before = application::facts(&app, UNLUCKY).await.map_err(|error| failed(&error))?;
        self.narrator.chapter("An accident");
        self.narrator.say(&format!("It is {}, and somebody is in the wrong terminal.", now.strftime("%H:%M")));
        self.narrator.command(&format!("psql \"$APP_URL\" -c '{}'", application::drop_statement(UNLUCKY)));
        application::drop_tenant(&app, UNLUCKY).await.map_err(|error| failed(&error))?;
        let gone = application::facts(&app, UNLUCKY).await.map_err(|error| failed(&error))?;
        self.narrator.say(&format!(
            "{} tables with {} rows are gone; {} are left.",
            before.len(),
            before.iter().map(|facts| facts.rows).sum::<i64>(),
            gone.len()
        ));
        let ran = self.bkup(Some(now), &["list", "--database", "app", "--tenant", UNLUCKY]).await?;
        self.narrator.head(&ran.stdout, 5);

        self.narrator.chapter("The tenant comes back");
        self.narrator.say("First into a throw-away server, where it is proven; only then into the live database.");
        let tenant = ["restore", "--latest", "--database", "app", "--tenant", UNLUCKY];
        self.shown(Some(now), &[&tenant[..], &["--into", "live", "--auto-approve"]].concat()).await?;
        let after = application::facts(&app, UNLUCKY).await.map_err(|error| failed(&error))?;
        self.compare(&before, &after)
    }

    /// Compares the tenant's rows with those of before the accident, by the demo's own queries.
    fn compare(&self, before: &[TableFacts], after: &[TableFacts]) -> Result<(), CliError> {
        self.narrator.say("\nThe demo looked at the rows itself, before the accident and now:");
        for was in before {
            let equal = after.contains(was);
            let words = if equal { "the same" } else { "NOT the same" };
            let digest = &was.md5[..was.md5.len().min(12)];
            self.narrator.output(&format!("{:<10} {:>5} rows  md5 {digest}...  {words}", was.table, was.rows));
        }
        if before != after || before.is_empty() {
            return Err(CliError::Story { words: format!("tenant {UNLUCKY} is not what it was before the accident") });
        }
        self.narrator.good(&format!("{UNLUCKY} is what it was."));
        Ok(())
    }

    async fn evidence(&self, now: Instant) -> Result<(), CliError> {
        self.narrator.chapter("Proven before it is needed: a drill");
        self.shown(Some(now), &["drill", "tenant-recovery"]).await?;
        self.narrator.chapter("How everything stands");
        self.shown(Some(now), &["status"]).await?;
        let ran = self.bkup(None, &["plan", "--detailed-exitcode", "--include-due"]).await?;
        self.narrator.head(&ran.stdout, 2);
        Ok(())
    }

    async fn business(&self, now: Instant) -> Result<(), CliError> {
        let app = self.environment.app().map_err(|error| failed(&error))?;
        application::live_a_day(&app, now).await.map_err(|error| failed(&error))
    }

    /// Shows a command, runs it and shows all it says.
    async fn shown(&self, now: Option<Instant>, args: &[&str]) -> Result<Ran, CliError> {
        let ran = self.bkup(now, args).await?;
        self.narrator.output(&ran.stdout);
        Ok(ran)
    }

    /// Shows a command and runs it.
    async fn bkup(&self, now: Option<Instant>, args: &[&str]) -> Result<Ran, CliError> {
        self.narrator.command(&typed(now, args));
        self.quiet(now, args).await
    }

    /// Runs a command, which must succeed; one that does not is shown with all it said.
    async fn quiet(&self, now: Option<Instant>, args: &[&str]) -> Result<Ran, CliError> {
        let ran = self.environment.bkup(now, args, self.stop.clone()).await?;
        if ran.code == Some(0) {
            return Ok(ran);
        }
        self.narrator.output(&ran.stdout);
        self.narrator.output(&ran.stderr);
        let how = ran.code.map_or_else(|| "was killed".to_owned(), |code| format!("ended with exit code {code}"));
        Err(CliError::Story { words: format!("`{}` {how}; the story cannot go on", typed(now, args)) })
    }

    /// Reads what the last apply reported.
    fn report(&self) -> Result<ApplyReport, CliError> {
        let path = self.environment.root().join(REPORT);
        let unreadable = |why: String| CliError::Unreadable { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
    }
}

fn failed(error: &EngineError) -> CliError {
    CliError::of(error, Exit::Failed)
}

/// Sums an apply up on one line.
fn day_line(now: Instant, report: &ApplyReport) -> String {
    let done = |test: fn(&ActionKind) -> bool| {
        report.actions.iter().filter(|a| matches!(a.outcome, Outcome::Done { .. }) && test(&a.action.kind)).count()
    };
    let databases = done(|kind| matches!(kind, ActionKind::BackUp(work) if work.scope == Scope::Database));
    let tenants = done(|kind| matches!(kind, ActionKind::BackUp(work) if work.scope.tenant().is_some()));
    let tombstoned = done(|kind| matches!(kind, ActionKind::Tombstone(_)));
    let purged = done(|kind| matches!(kind, ActionKind::Purge(_)));
    let mut parts = vec![format!("backed up {databases} database and {tenants:>2} tenants")];
    if tombstoned > 0 {
        parts.push(format!("marked {tombstoned}"));
    }
    if purged > 0 {
        parts.push(format!("purged {purged}"));
    }
    parts.extend(report.evidence.iter().map(|evidence| format!("drill of {} {}", evidence.plan, evidence.status)));
    format!("{}  {}", now.strftime("%a %e %b"), parts.join(", "))
}
