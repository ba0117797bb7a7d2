//! From policies and environment to open adapters, the world as seen, and a plan. Every command that works goes
//! through here, so that all of them see the same things the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::context::{Context, EnvLookup};
use super::exit::Exit;
use super::failure::CliError;
use super::github;
use super::policies;
use super::survey::Survey;
use super::version;
use crate::apply::{Looking, Runtime, StoreHandle};
use crate::backup::Servers;
use crate::catalog::{self, Reader, Writer};
use crate::crypto::Identity;
use crate::diag::{Diagnostic, Severity};
use crate::domain::{
    AskedFor, CameSince, Connections, Consent, Desired, EnvText, Event, Instant, Name, Narrowing, OnDemand, Plan,
    ResolvedTenants, RunId, StoreSpec,
};
use crate::engine::{Connection, Said, Search};
use crate::plan::{self, Request};
use crate::policy::{self, PolicySet, SourceFile};
use crate::render::findings_summary;
use crate::restore::Workshop;
use crate::schedule::Calendar;
use crate::store::{self, ReadStore, StoreConnection};

/// Policies that are valid, and the environment they are read in.
pub struct Session {
    /// The policies.
    pub set: PolicySet,
    /// What they ask for, before the tenants are known.
    pub base: Desired,
    /// The files' texts, for showing findings.
    pub texts: crate::render::Sources,
    /// What judging them found.
    pub found: Vec<Diagnostic>,
    env: EnvLookup,
}

/// What somebody asks of a plan beside the policies.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// How it is narrowed.
    pub narrowing: Narrowing,
    /// Consent to more deletions.
    pub allow_delete: Option<Consent>,
    /// Whether it is asked why each backup stays.
    pub with_kept: bool,
    /// Schedules to run now.
    pub schedules: BTreeSet<Name>,
    /// A backup to take now, by what it is of.
    pub on_demand: Option<OnDemand>,
    /// Who asks for these, and why.
    pub asked_for: Option<AskedFor>,
    /// Drills to run now.
    pub drills: BTreeSet<Name>,
}

/// How the clock of a run is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunClock {
    /// The instant.
    pub now: Instant,
    /// Whether it is simulated.
    pub simulated: bool,
}

impl Session {
    /// Reads the policies for work; what reading them found goes to standard error. A promise that the policies cannot
    /// keep is counted there and stops nothing: a backup that is due must not fail because an objective is too
    /// ambitious, and a restore even less.
    ///
    /// # Errors
    /// Where there are none, or one of them cannot be read as it is meant: exit 3.
    pub fn open(context: &Context) -> Result<Self, CliError> {
        let (session, judged) = Self::judged(context)?;
        context.ui.findings(&judged.of_reading, &judged.suppressed, &session.texts);
        refuse_errors(&judged.of_reading)?;
        let broken = |finding: &&Diagnostic| finding.severity == Severity::Error;
        match judged.findings.iter().filter(broken).count() {
            0 => {}
            1 => context.ui.note("1 promise of the policies cannot be kept: `bkup validate` says which"),
            n => context.ui.note(&format!("{n} promises of the policies cannot be kept: `bkup validate` says which")),
        }
        Ok(session)
    }

    /// Reads the policies for a review: every finding goes to standard error, and every error stops it.
    ///
    /// # Errors
    /// Where there are none, or one of them is invalid: exit 3.
    pub fn review(context: &Context) -> Result<Self, CliError> {
        let (session, judged) = Self::judged(context)?;
        context.ui.findings(&judged.findings, &judged.suppressed, &session.texts);
        refuse_errors(&judged.findings).inspect_err(|_| github::annotate(context, &judged.findings, &session.texts))?;
        Ok(session)
    }

    fn judged(context: &Context) -> Result<(Self, policy::Judged), CliError> {
        let files = policies::read_all(context)?;
        let judged = policy::judge(&files, &policy::Facts::at(context.instant()));
        let session = Self::over(context, &judged, &files);
        github::hide(context, &session.set.catalog_url(), &session.base);
        Ok((session, judged))
    }

    fn over(context: &Context, judged: &policy::Judged, files: &[SourceFile]) -> Self {
        let (base, _) = judged.set.desired(&BTreeMap::new());
        let (texts, found) = (policies::sources(files), judged.findings.clone());
        Self { set: judged.set.clone(), base, texts, found, env: context.env_lookup() }
    }

    /// Judges policies with what catalog and databases tell: durations, sizes, drills, and live tenants. Where reading
    /// finds an error nothing is asked.
    ///
    /// # Errors
    /// Where the catalog cannot be reached.
    pub fn judge_live(
        context: &mut Context,
        files: &[SourceFile],
        offline: policy::Judged,
    ) -> Result<policy::Judged, CliError> {
        if refuse_errors(&offline.of_reading).is_err() {
            return Ok(offline);
        }
        let session = Self::over(context, &offline, files);
        github::hide(context, &session.set.catalog_url(), &session.base);
        let facts = Facts::of(context);
        let survey = context.block_on_reading(session.survey(&facts, false))??;
        for (name, server) in &survey.observed.servers {
            if let Some(why) = server.unreachable() {
                let words = format!("database.{name} could not be read: {why}");
                context.ui.note(&context.ui.err_style.name(&words));
            }
        }
        let measured = Some(policy::Measured::of(&survey.observed));
        let changed = policy::changed_plans(&survey.desired, &survey.observed, survey.now);
        let mut judged = policy::judge(files, &policy::Facts { now: survey.now, measured, changed });
        judged.findings.extend(survey.findings);
        judged.suppressed.extend(survey.suppressed);
        Ok(judged)
    }

    /// Takes policies that were read already, without proving what they promise: a forecast shows what they keep. Findings
    /// go to standard error where there is an error among them.
    ///
    /// # Errors
    /// Where one of them cannot be made sense of: exit 3.
    pub fn of_files(context: &Context, files: &[policy::SourceFile]) -> Result<Self, CliError> {
        let (set, findings) = policy::read(files);
        let texts = policies::sources(files);
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            context.ui.findings(&findings, &[], &texts);
            return Err(CliError::InvalidPolicies { summary: findings_summary(&findings) });
        }
        let (base, _) = set.desired(&BTreeMap::new());
        github::hide(context, &set.catalog_url(), &base);
        Ok(Self { set, base, texts, found: findings, env: context.env_lookup() })
    }

    /// Returns the value of a text that may come from the environment.
    ///
    /// # Errors
    /// The variable that is not set, by name.
    pub fn value(&self, text: &EnvText) -> Result<String, String> {
        value(&self.env, text)
    }

    /// Returns how the catalog is reached.
    ///
    /// # Errors
    /// Where its variable is not set.
    pub fn catalog(&self) -> Result<Connection, CliError> {
        catalog_of(&self.env, &self.set.catalog_url())
    }

    /// Opens a store for reading, with the private keys that are at hand.
    ///
    /// # Errors
    /// Why it cannot be opened, in words.
    pub async fn store(&self, spec: &StoreSpec) -> Result<(Arc<dyn ReadStore>, Vec<Identity>), String> {
        let connection = connection_of(&self.env, spec)?;
        let store = store::open_reader(connection).await.map_err(|error| error.to_string())?;
        Ok((store, identities_of(&self.env, spec)))
    }

    /// Plans over a survey.
    ///
    /// # Errors
    /// Where the narrowing means nothing: exit 64.
    pub fn plan(&self, survey: &Survey, wish: &Wish) -> Result<Plan, CliError> {
        plan::check_narrowing(&wish.narrowing, &survey.desired, &survey.observed)
            .map_err(|error| CliError::usage(error.to_string(), "`bkup plan` shows every address"))?;
        Ok(plan::plan(&survey.desired, &survey.observed, &self.request(survey, wish)))
    }

    /// Returns what a plan over a survey is asked with.
    #[must_use]
    pub fn request(&self, survey: &Survey, wish: &Wish) -> Request {
        let stores = survey.desired.stores.iter();
        let identities =
            stores.filter(|(_, spec)| opens(&identities_of(&self.env, spec), spec)).map(|(name, _)| name.clone());
        Request {
            now: survey.now,
            simulated: survey.simulated,
            tool_version: version::SHORT.to_owned(),
            catalog_version: catalog::newest_version(),
            identities: identities.collect(),
            requested: wish.schedules.clone(),
            on_demand: wish.on_demand.clone(),
            asked_for: wish.asked_for.clone(),
            requested_drills: wish.drills.clone(),
            narrowing: wish.narrowing.clone(),
            allow_delete: wish.allow_delete.clone(),
            with_kept: wish.with_kept,
        }
    }
}

/// What asynchronous work needs of a context, without holding it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The clock, read once at the begin.
    pub now: Instant,
    /// `BKUP_NOW`.
    pub simulated_now: Option<Instant>,
}

impl Facts {
    /// Takes them from a context.
    #[must_use]
    pub const fn of(context: &Context) -> Self {
        Self { now: context.now, simulated_now: context.simulated_now }
    }
}

/// Decides by which clock a run goes: a simulated catalog's own, unless `BKUP_NOW` moves it; the machine's otherwise.
///
/// # Errors
/// Where the catalog cannot be reached, or `BKUP_NOW` is set and there is no simulated catalog to take it.
pub async fn run_clock(reader: &Reader, facts: &Facts, init_simulated: bool) -> Result<RunClock, CliError> {
    let meta = reader.meta().await.map_err(|error| CliError::of(&error, Exit::Failed))?;
    let simulated = |now| Ok(RunClock { now, simulated: true });
    match (meta, facts.simulated_now) {
        (None, moved) if init_simulated => simulated(moved.unwrap_or(facts.now)),
        (None, None) => Ok(RunClock { now: facts.now, simulated: false }),
        (None, Some(_)) => Err(CliError::usage(
            "BKUP_NOW is set, and there is no simulated catalog to take it",
            "unset BKUP_NOW; only a catalog that was created as simulated has a clock that can be moved",
        )),
        (Some(_), Some(moved)) => simulated(moved),
        (Some(meta), None) => match meta.simulated {
            Some(clock) => simulated(clock),
            None => Ok(RunClock { now: facts.now, simulated: false }),
        },
    }
}

fn value(env: &EnvLookup, text: &EnvText) -> Result<String, String> {
    match text {
        EnvText::Literal(text) => Ok(text.clone()),
        EnvText::Variable(name) => {
            env(name).filter(|v| !v.is_empty()).ok_or_else(|| format!("the environment variable {name} is not set"))
        }
    }
}

/// Returns how the catalog is reached.
///
/// # Errors
/// Where its variable is not set.
pub fn catalog_of(env: &EnvLookup, text: &EnvText) -> Result<Connection, CliError> {
    let url = value(env, text).map_err(|reason| CliError::Setting {
        words: format!("the catalog cannot be reached: {reason}"),
        help: "set it to the catalog's PostgreSQL URL, or set `catalog: { url: ... }` in the policies".to_owned(),
    })?;
    Connection::parse(&url).map_err(|error| CliError::of(&error, Exit::Failed))
}

fn connection_of(env: &EnvLookup, spec: &StoreSpec) -> Result<StoreConnection, String> {
    let mut connection = StoreConnection::new(spec.clone());
    connection.endpoint = spec.endpoint.as_ref().map(|text| value(env, text)).transpose()?;
    Ok(connection)
}

/// Returns the private keys of a store that are at hand: the variable's value is the key, or the path of its file.
pub fn identities_of(env: &EnvLookup, spec: &StoreSpec) -> Vec<Identity> {
    let Some(text) = spec.encryption.as_ref().and_then(|encryption| encryption.identity.as_ref()) else {
        return Vec::new();
    };
    let Ok(text) = value(env, text) else { return Vec::new() };
    let content = if text.contains("AGE-SECRET-KEY-") { Some(text) } else { std::fs::read_to_string(text).ok() };
    content.and_then(|content| Identity::parse_all(&content).ok()).unwrap_or_default()
}

/// Returns whether one of the private keys is of one of the store's recipients: any other opens no new backup.
fn opens(identities: &[Identity], spec: &StoreSpec) -> bool {
    let recipients = spec.encryption.iter().flat_map(|encryption| &encryption.recipients);
    let mine: Vec<String> = identities.iter().map(|identity| identity.recipient().as_str().to_owned()).collect();
    recipients.into_iter().any(|recipient| mine.iter().any(|own| own.eq_ignore_ascii_case(recipient)))
}

/// Returns where PostgreSQL's programs are looked for.
#[must_use]
pub fn search(context: &Context) -> Search {
    let given: Vec<PathBuf> = context.global.pg_bin.clone();
    let pg_bin = if given.is_empty() {
        context.env("BKUP_PG_BIN").map(OsString::from)
    } else {
        std::env::join_paths(given).ok()
    };
    Search { pg_bin, path: context.env("PATH").map(OsString::from), extra: Vec::new(), said: Said::default() }
}

/// Returns where scratch servers are made.
#[must_use]
pub fn workshop(context: &Context) -> Workshop {
    let folder = context.env("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    Workshop { search: search(context), folder }
}

/// What opening adapters needs of a context, taken once before the asynchronous work begins.
#[derive(Clone)]
pub struct Wiring {
    env: EnvLookup,
    /// Where scratch servers are made, and with which programs.
    pub workshop: Workshop,
    /// Who runs: host and process.
    pub runner: String,
    actor: String,
    commit: Option<String>,
    seed: u64,
    stop: tokio::sync::watch::Receiver<bool>,
}

impl Wiring {
    /// Returns who asks: a person or a pipeline.
    #[must_use]
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Returns what tells long work to stop.
    #[must_use]
    pub fn stop(&self) -> tokio::sync::watch::Receiver<bool> {
        self.stop.clone()
    }

    /// Takes it.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn of(context: &Context) -> Result<Self, CliError> {
        let seed = Context::random()?;
        let host = context.env("HOSTNAME").unwrap_or_else(|| "localhost".to_owned());
        let actor = context.env("GITHUB_ACTOR").or_else(|| context.env("USER"));
        Ok(Self {
            env: context.env_lookup(),
            workshop: workshop(context),
            // The random tail keeps two containers apart that have the same host name and process number.
            runner: format!("{host}:{}:{:08x}", std::process::id(), seed >> 32),
            actor: actor.unwrap_or_else(|| "unknown".to_owned()),
            commit: context.env("GITHUB_SHA").or_else(|| context.env("BKUP_COMMIT")),
            seed,
            stop: context.stop(),
        })
    }
}

/// Opens the adapters of an apply.
///
/// # Errors
/// Where the catalog's URL cannot be read.
pub async fn runtime(
    wiring: &Wiring,
    catalog: &Connection,
    connections: &Connections,
    clock: RunClock,
    lock_timeout: std::time::Duration,
    events: std::sync::mpsc::Sender<Event>,
) -> Result<Runtime, CliError> {
    let env = Arc::clone(&wiring.env);
    let writer = Writer::with(catalog.options());
    let mut stores = BTreeMap::new();
    for (name, spec) in &connections.stores {
        stores.insert(name.clone(), open_store(&env, &writer, name, spec).await);
    }
    let mut databases = BTreeMap::new();
    for (name, spec) in &connections.databases {
        let opened = value(&env, &spec.url).and_then(|url| Connection::parse(&url).map_err(|error| error.to_string()));
        databases.insert(name.clone(), opened);
    }
    let simulated = clock.simulated.then_some(clock.now);
    let now: Arc<dyn Fn() -> Instant + Send + Sync> = match simulated {
        Some(instant) => Arc::new(move || instant),
        None => Arc::new(Context::clock),
    };
    Ok(Runtime {
        catalog: Arc::new(writer),
        stores,
        databases,
        exporter: Arc::new(Servers::new(wiring.workshop.search.clone())),
        stage: Arc::new(wiring.workshop.clone()),
        now,
        simulated,
        random: Arc::new(crate::crypto::system_random),
        runner: wiring.runner.clone(),
        actor: wiring.actor.clone(),
        commit: wiring.commit.clone(),
        run: RunId::of(clock.now, wiring.seed),
        tool_version: version::SHORT.to_owned(),
        tenants: BTreeMap::new(),
        policy_texts: BTreeMap::new(),
        adopted: None,
        since: Looking::over(CameSince::default()),
        next_runs: Vec::new(),
        lock_timeout,
        stop: wiring.stop.clone(),
        events,
    })
}

/// Adds what people who look into the catalog want to see there: tenants as they were found, and next runs.
pub fn for_the_record(runtime: &mut Runtime, desired: &Desired, now: Instant) {
    for (database, tenants) in &desired.tenants {
        if let ResolvedTenants::Known(tenants) = tenants {
            runtime.tenants.insert(database.clone(), tenants.clone());
        }
    }
    for (name, schedule) in &desired.schedules {
        let next = Calendar::new(&schedule.when).ok().and_then(|calendar| calendar.next_after(now));
        runtime.next_runs.push((name.clone(), next));
    }
}

async fn open_store(env: &EnvLookup, writer: &Writer, name: &Name, spec: &StoreSpec) -> Result<StoreHandle, String> {
    let mut connection = connection_of(env, spec)?;
    // What the store was found to honour is remembered; a store that is new is probed by the plan's own action.
    let record = writer.reader().capabilities(name).await.ok().flatten();
    if let Some(record) = &record {
        connection.capabilities = serde_json::from_value(record.capabilities.clone()).ok();
    }
    let store = store::open(connection).await.map_err(|error| error.to_string())?;
    // Between plan and apply a mount may have gone or a bucket been exchanged: nothing is written to, or believed
    // deleted from, another store than the one the catalog knows.
    if let Some(record) = &record {
        let marker = store::read_marker(store.as_ref()).await.map_err(|error| error.to_string())?;
        if marker.map(|marker| marker.store_id) != Some(record.store_id.clone()) {
            return Err(format!("what its url points at is not the store {} that the catalog knows", record.store_id));
        }
    }
    Ok(StoreHandle { store, spec: spec.clone(), identities: identities_of(env, spec) })
}

/// Refuses to go on where a finding is an error.
fn refuse_errors(findings: &[Diagnostic]) -> Result<(), CliError> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(CliError::InvalidPolicies { summary: findings_summary(findings) });
    }
    Ok(())
}
