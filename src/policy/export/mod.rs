//! A set of policies as the things that run it: Kubernetes CronJobs, GitHub workflows, systemd timers. Pure, and the same
//! text for the same policies, so that it can be committed and compared.
//!
//! bkup has no scheduler of its own, and what is due is decided by its planner at the instant it runs. So nothing here
//! repeats a calendar: there is one job that comes often enough for every slot and does what is due, one that prunes,
//! and one, with the private key, that drills. A job for each schedule was rejected: calendars such as `sun#1` or
//! `quarterly` are no cron expressions, and a slot whose only run was lost would stay lost.

mod cadence;
mod kubernetes;
mod systemd;
mod workflows;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Desired, EnvText, Name, StoreUrl};

pub(super) use cadence::Cadence;
pub(super) use workflows::{Drills, Flow, all};

/// What is known beside the policies.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The folder of the policies, as the jobs name it.
    pub folder: String,
    /// The container image.
    pub image: String,
    /// The program, as units name it.
    pub program: String,
    /// The action that workflows use, as `owner/repository@commit`; absent: they call the program.
    pub action: Option<String>,
}

/// What it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// CronJobs.
    Kubernetes,
    /// Workflows.
    GithubActions,
    /// Services and timers.
    Systemd,
}

/// Returns the files by their names, in order.
#[must_use]
pub fn export(desired: &Desired, catalog: &EnvText, target: Target, ask: &Ask) -> Vec<(String, String)> {
    let needs = Needs::of(desired, catalog);
    match target {
        Target::Kubernetes => kubernetes::files(&needs, ask),
        Target::Systemd => systemd::files(&needs, ask),
        Target::GithubActions => {
            let mark = format!("{HEADER} github-actions`; the next one replaces it.\n#\n");
            let made = all(&Flow {
                folder: &ask.folder,
                variables: needs.variables.iter().map(String::as_str).collect(),
                identities: needs.identities.iter().map(String::as_str).collect(),
                s3: needs.s3,
                regions: &needs.regions,
                cadence: &needs.cadence,
                drills: if needs.drills { Drills::Due } else { Drills::None },
                action: ask.action.as_deref(),
            });
            made.into_iter().map(|(name, text)| (name, format!("{mark}{text}"))).collect()
        }
    }
}

/// What jobs need to run a set of policies.
struct Needs {
    /// When they come.
    cadence: Cadence,
    /// The variables that every job needs.
    variables: BTreeSet<String>,
    /// The variables that hold private keys: for drills alone.
    identities: BTreeSet<String>,
    /// Whether a store is S3.
    s3: bool,
    /// The regions of the stores.
    regions: BTreeSet<String>,
    /// Stores that are folders, by name.
    folders: BTreeMap<Name, String>,
    /// Whether there is a plan with a drill that comes by itself.
    drills: bool,
    /// Each schedule with its words.
    schedules: Vec<(Name, String)>,
}

impl Needs {
    fn of(desired: &Desired, catalog: &EnvText) -> Self {
        let mut texts = vec![catalog];
        texts.extend(desired.databases.values().map(|database| &database.url));
        texts.extend(desired.stores.values().filter_map(|store| store.endpoint.as_ref()));
        texts.extend(desired.stores.values().filter_map(|store| store.signing_key.as_ref()));
        let named = |text: &EnvText| text.variable().map(str::to_owned);
        let identities = desired.stores.values().filter_map(|store| store.encryption.as_ref()?.identity.as_ref());
        let folder = |(name, url): (&Name, &StoreUrl)| match url {
            StoreUrl::Folder(path) => Some((name.clone(), path.clone())),
            StoreUrl::S3 { .. } => None,
        };
        Self {
            cadence: Cadence::of(desired),
            variables: texts.into_iter().filter_map(named).collect(),
            identities: identities.filter_map(named).collect(),
            s3: desired.stores.values().any(|store| matches!(store.url, StoreUrl::S3 { .. })),
            regions: desired.stores.values().filter_map(|store| store.region.clone()).collect(),
            folders: desired.stores.iter().map(|(name, store)| (name, &store.url)).filter_map(folder).collect(),
            drills: desired.recovery_plans.values().any(|plan| plan.drill.is_some()),
            schedules: desired
                .schedules
                .iter()
                .map(|(name, schedule)| (name.clone(), crate::schedule::describe(&schedule.when)))
                .collect(),
        }
    }
}

/// The first line of every file: by it a later export knows that it may replace the file.
pub const HEADER: &str = "# Written by `bkup export";

/// Returns the comment at the top of a file.
fn header(target: &str, what: &str) -> String {
    let lines = what.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n");
    format!("{HEADER} {target}`; the next one replaces it.\n#\n{}", lines.collect::<String>())
}

impl Needs {
    /// Returns what a job that does all of it is there for.
    fn everything(&self) -> String {
        let mut out = "Does what is due: backups, changes of the policies, and pruning within the guards.".to_owned();
        if !self.schedules.is_empty() {
            out.push_str("\nIt takes what these ask for:");
            self.schedules.iter().for_each(|(name, words)| out.push_str(&format!("\n  {name}: {words}")));
        }
        out
    }
}

/// Writes a text as a YAML scalar that no reader takes for anything else.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
