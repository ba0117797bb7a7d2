//! Looking at the world for a plan: catalog, stores and databases, and who the tenants are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::Context;
use super::failure::CliError;
use super::session::{Facts, RunClock, Session, run_clock};
use crate::catalog::{ReadLedger, Reader};
use crate::diag::Diagnostic;
use crate::domain::{BackupType, Desired, Instant, Observation, Observed, Section};
use crate::engine::Connection;
use crate::observe::{self, Kept, Pace, Sources};
use crate::policy::{self, LiveTenants};

/// The world as seen for a plan.
pub struct Survey {
    /// What is asked for, tenants resolved.
    pub desired: Desired,
    /// What is there.
    pub observed: Observed,
    /// The instant of both.
    pub now: Instant,
    /// Whether that instant is of a simulated clock.
    pub simulated: bool,
    /// Findings about live tenants.
    pub findings: Vec<Diagnostic>,
    /// Those of them that comments ignore.
    pub suppressed: Vec<Diagnostic>,
}

impl Survey {
    /// Returns the findings about live tenants that a plan does not tell as drift.
    #[must_use]
    pub fn beside_plan(&self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        let beside = |found: &[Diagnostic]| found.iter().filter(|f| !policy::is_drift(f.code)).cloned().collect();
        (beside(&self.findings), beside(&self.suppressed))
    }
}

/// A look at what decides actions, not at how servers and stores are set, which is only told. Catalog and stores have
/// been read; the databases have not been asked yet.
pub struct HalfSurvey {
    sources: Sources,
    kept: Kept,
    clock: RunClock,
}

impl HalfSurvey {
    /// Asks the databases, at the pace of a look beside work, and faster from when `waited_for` resolves.
    pub async fn whole(self, session: &Session, waited_for: impl Future<Output = ()>) -> Survey {
        let servers = observe::look_at_servers(&self.sources, Pace::BESIDE_WORK, waited_for, &Context::clock).await;
        session.surveyed(self.kept.with(servers), self.clock)
    }
}

impl Session {
    /// Looks at the world.
    ///
    /// # Errors
    /// Where the catalog cannot be reached (exit 1), or a simulated clock meets no simulated catalog.
    pub async fn survey(&self, facts: &Facts, init_simulated: bool) -> Result<Survey, CliError> {
        let (sources, clock) = self.sources(facts, init_simulated, true).await?;
        Ok(self.surveyed(observe::look(&sources, &Context::clock).await, clock))
    }

    /// Looks at the catalog and the stores, for what decides actions.
    ///
    /// # Errors
    /// As [`Session::survey`].
    pub async fn half_survey(&self, facts: &Facts, init_simulated: bool) -> Result<HalfSurvey, CliError> {
        let (mut sources, clock) = self.sources(facts, init_simulated, false).await?;
        let kept = observe::look_at_kept(&sources, &Context::clock).await;
        // What has been read keeps no connection beside the work.
        sources.catalog = Err("it has been read".to_owned());
        sources.stores.clear();
        Ok(HalfSurvey { sources, kept, clock })
    }

    /// Opens what a plan looks at; types that cannot write.
    async fn sources(
        &self,
        facts: &Facts,
        init_simulated: bool,
        settings: bool,
    ) -> Result<(Sources, RunClock), CliError> {
        let reader = Reader::with(self.catalog()?.options());
        let clock = run_clock(&reader, facts, init_simulated).await?;
        let mut stores = BTreeMap::new();
        for (name, spec) in &self.base.stores {
            stores.insert(name.clone(), self.store(spec).await.map(|(store, _)| store));
        }
        let mut databases = BTreeMap::new();
        for (name, spec) in &self.base.databases {
            let opened =
                self.value(&spec.url).and_then(|url| Connection::parse(&url).map_err(|error| error.to_string()));
            let opened = opened.map(|connection| (connection.options(), spec.tenants.clone()));
            databases.insert(name.clone(), opened);
        }
        let renamed = self.base.moved.iter().filter(|moved| moved.to.section() == Section::Store);
        let renamed =
            renamed.filter_map(|moved| Some((moved.to.name()?.clone(), moved.from.name()?.clone()))).collect();
        let mut configurations = BTreeMap::new();
        for spec in self.base.schedules.values().filter(|spec| spec.backup == BackupType::Configuration) {
            for database in &spec.databases {
                *configurations.entry(database.clone()).or_default() |= spec.passwords;
            }
        }
        let catalog = Ok(Arc::new(reader) as Arc<dyn ReadLedger>);
        Ok((Sources { catalog, stores, databases, renamed, configurations, settings }, clock))
    }

    /// Resolves who the tenants are.
    fn surveyed(&self, observed: Observed, clock: RunClock) -> Survey {
        let mut tenants = BTreeMap::new();
        for (name, server) in &observed.servers {
            let live = match server {
                Observation::Known(facts) => match &facts.tenants_unread {
                    Some(reason) => LiveTenants::Unknown(reason.clone()),
                    None => LiveTenants::Known(facts.tenants.clone().unwrap_or_default()),
                },
                Observation::Unreachable(reason) => LiveTenants::Unknown(reason.clone()),
            };
            tenants.insert(name.clone(), live);
        }
        let (desired, findings) = self.set.desired(&tenants);
        let (findings, suppressed) = self.set.sift(findings);
        Survey { desired, observed, now: clock.now, simulated: clock.simulated, findings, suppressed }
    }
}
