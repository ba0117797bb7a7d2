//! What an apply works with: the adapters, the clock, the run's identity. All of it is handed in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::since::Looking;
use crate::backup::Exporter;
use crate::catalog::{AuditEvent, Ledger};
use crate::crypto::{CryptoError, Identity};
use crate::domain::{DocumentOp, Event, Instant, Name, RunId, StoreSpec, Tenant};
use crate::drill::Stage;
use crate::engine::Connection;
use crate::store::{ReadStore, WriteStore};

/// Fills a buffer with random bytes.
pub type FillRandom = Arc<dyn Fn(&mut [u8]) -> Result<(), CryptoError> + Send + Sync>;

/// An open store and what belongs to it.
#[derive(Clone)]
pub struct StoreHandle {
    /// The store.
    pub store: Arc<dyn WriteStore>,
    /// As the policies have it.
    pub spec: StoreSpec,
    /// The private keys at hand; none where only backups run.
    pub identities: Vec<Identity>,
}

/// The adapters of an apply.
#[derive(Clone)]
pub struct Runtime {
    /// The catalog.
    pub catalog: Arc<dyn Ledger>,
    /// The stores; one that could not be opened carries the reason.
    pub stores: BTreeMap<Name, Result<StoreHandle, String>>,
    /// The databases; one whose connection could not be read carries the reason.
    pub databases: BTreeMap<Name, Result<Connection, String>>,
    /// What holds databases still for their backups.
    pub exporter: Arc<dyn Exporter>,
    /// Where drills are run.
    pub stage: Arc<dyn Stage>,
    /// The clock: a simulated catalog's, or the machine's.
    pub now: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// The simulated instant, where the clock is one.
    pub simulated: Option<Instant>,
    /// Fills a buffer with random bytes.
    pub random: FillRandom,
    /// Who runs: host and process, for claims and the audit.
    pub runner: String,
    /// Who asked: a person or a pipeline, for the record.
    pub actor: String,
    /// The commit of the policies, where known.
    pub commit: Option<String>,
    /// The run.
    pub run: RunId,
    /// bkup's version.
    pub tool_version: String,
    /// The tenants as they were seen, for the record; empty where they were not looked at.
    pub tenants: BTreeMap<Name, Vec<(Tenant, Option<Name>)>>,
    /// The policy files' texts, secrets masked; empty where they are not those that the plan was made of.
    pub policy_texts: BTreeMap<String, String>,
    /// Where backups lie that are adopted; absent in every other run.
    pub adopted: Option<Arc<dyn ReadStore>>,
    /// What came since a saved plan was made and is left alone, for the report.
    pub since: Looking,
    /// When each schedule runs next, for people who look into the catalog.
    pub next_runs: Vec<(Name, Option<Instant>)>,
    /// How long work that someone else holds is waited for.
    pub lock_timeout: Duration,
    /// Turns true when the run must stop.
    pub stop: watch::Receiver<bool>,
    /// Where events go.
    pub events: std::sync::mpsc::Sender<Event>,
}

impl Runtime {
    /// Returns an open store.
    pub(super) fn store(&self, name: &Name) -> Result<&StoreHandle, String> {
        match self.stores.get(name) {
            Some(Ok(handle)) => Ok(handle),
            Some(Err(reason)) => Err(format!("store.{name}: {reason}")),
            None => Err(format!("store.{name} is not among the plan's connections")),
        }
    }

    /// Returns how a database is reached.
    pub(super) fn database(&self, name: &Name) -> Result<&Connection, String> {
        match self.databases.get(name) {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(reason)) => Err(format!("database.{name}: {reason}")),
            None => Err(format!("database.{name} is not among the plan's connections")),
        }
    }

    /// Returns whether the run must stop.
    pub(super) fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Resolves when the run must stop.
    pub(super) async fn until_stopped(&self) {
        let mut stop = self.stop.clone();
        // A sender that is gone never stops the run.
        if stop.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Words something that happened for the audit chain.
    pub(super) fn event(&self, event: &str, subject: impl Into<String>, facts: serde_json::Value) -> AuditEvent {
        AuditEvent {
            at: (self.now)(),
            actor: self.actor.clone(),
            run: Some(self.run.clone()),
            event: event.to_owned(),
            subject: subject.into(),
            facts,
        }
    }

    /// Sends an event; nobody listening is no fault.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Draws a random tag of 16 hexadecimal digits.
    pub(super) fn tag(&self) -> Result<String, CryptoError> {
        let mut bytes = [0; 8];
        (self.random)(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The word of an operation on a document, for the audit.
pub(super) const fn op_word(op: DocumentOp) -> &'static str {
    match op {
        DocumentOp::Create => "policy created",
        DocumentOp::Update => "policy updated",
        DocumentOp::Archive => "policy archived",
        DocumentOp::Revive => "policy revived",
        DocumentOp::Restore => "policy row restored",
    }
}
