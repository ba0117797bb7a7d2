//! Asks catalog, stores and servers what is there, in parallel, and never fails as a whole: what cannot be read is
//! `Unreachable`, with the reason. It gets types without any method that writes.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use sqlx::postgres::PgConnectOptions;

use crate::catalog::ReadLedger;
use crate::domain::{
    BackupId, CatalogState, Clock, Instant, Name, Observation, Observed, ServerFacts, StoreFacts, TenantSelector,
};
use crate::server;
use crate::store::{self, ReadStore};

/// How long a server may take to connect and to answer each question.
const SERVER_LIMIT: Duration = Duration::from_secs(30);

/// How many foreign manifests are named.
const EXAMPLES: usize = 3;

/// What is asked. A source that could not even be set up carries the reason instead.
pub struct Sources {
    /// The catalog.
    pub catalog: Result<Arc<dyn ReadLedger>, String>,
    /// The stores.
    pub stores: BTreeMap<Name, Result<Arc<dyn ReadStore>, String>>,
    /// The databases, with how their tenants are found.
    pub databases: BTreeMap<Name, Result<(PgConnectOptions, Option<TenantSelector>), String>>,
}

/// Looks at everything once. `now` is bkup's own clock, for the comparison with the others.
pub async fn look(sources: &Sources, now: &(dyn Fn() -> Instant + Send + Sync)) -> Observed {
    let mut clocks = Vec::new();
    let catalog = match &sources.catalog {
        Err(reason) => Observation::Unreachable(reason.clone()),
        Ok(reader) => look_at_catalog(reader.as_ref(), now, &mut clocks).await,
    };
    let recorded: BTreeMap<&Name, HashSet<&BackupId>> = match catalog.known() {
        Some(CatalogState::Present(facts)) => {
            let mut by_store: BTreeMap<&Name, HashSet<&BackupId>> = BTreeMap::new();
            for backup in &facts.backups {
                by_store.entry(&backup.store).or_default().insert(&backup.id);
            }
            by_store
        }
        _ => BTreeMap::new(),
    };
    let none = HashSet::new();
    let stores = join_all(sources.stores.iter().map(|(name, source)| {
        let recorded = recorded.get(name).unwrap_or(&none);
        async move { (name.clone(), look_at_store(source, recorded).await) }
    }));
    let servers = join_all(sources.databases.iter().map(|(name, source)| async move {
        let seen = match source {
            Err(reason) => Observation::Unreachable(reason.clone()),
            Ok((options, tenants)) => look_at_server(options, tenants.as_ref(), now).await,
        };
        (name.clone(), seen)
    }));
    let (stores, servers) = tokio::join!(stores, servers);
    for (name, source) in &sources.stores {
        if let Some(clock) = source.as_ref().ok().and_then(|store| store.server_clock()) {
            clocks.push(Clock { owner: format!("store {name}"), ahead_seconds: clock.ahead_of(now()).as_secs() });
        }
    }
    let mut seen = BTreeMap::new();
    for (name, observation) in servers {
        let observation = match observation {
            Observation::Known((facts, ahead_seconds)) => {
                clocks.push(Clock { owner: format!("database {name}"), ahead_seconds });
                Observation::Known(facts)
            }
            Observation::Unreachable(reason) => Observation::Unreachable(reason),
        };
        seen.insert(name, observation);
    }
    Observed { catalog, stores: stores.into_iter().collect(), servers: seen, clocks }
}

async fn look_at_catalog(
    reader: &dyn ReadLedger,
    now: &(dyn Fn() -> Instant + Send + Sync),
    clocks: &mut Vec<Clock>,
) -> Observation<CatalogState> {
    match reader.clock().await {
        Ok(clock) => {
            let ahead_seconds = clock.duration_since(now()).as_secs();
            clocks.push(Clock { owner: "catalog".to_owned(), ahead_seconds });
        }
        Err(error) => return Observation::Unreachable(error.to_string()),
    }
    match reader.state().await {
        Ok(state) => Observation::Known(state),
        Err(error) => Observation::Unreachable(error.to_string()),
    }
}

/// Reads the marker and lists the manifests, page by page: only what differs from the catalog is kept.
async fn look_at_store(
    source: &Result<Arc<dyn ReadStore>, String>,
    recorded: &HashSet<&BackupId>,
) -> Observation<StoreFacts> {
    let store = match source {
        Ok(store) => store,
        Err(reason) => return Observation::Unreachable(reason.clone()),
    };
    let marker = match store::read_marker(store.as_ref()).await {
        Ok(marker) => marker,
        Err(error) => return Observation::Unreachable(error.to_string()),
    };
    let mut facts = StoreFacts { marker, ..StoreFacts::default() };
    let mut unseen: HashSet<&BackupId> = recorded.clone();
    let mut manifests = store::manifests(Arc::clone(store));
    while let Some(entry) = manifests.next().await {
        match entry {
            // A listing with a hole must not be taken for the whole: then nothing is known of the store.
            Err(error) => return Observation::Unreachable(error.to_string()),
            Ok(entry) => {
                facts.manifests += 1;
                if !unseen.remove(&entry.id) && !recorded.contains(&entry.id) {
                    facts.foreign += 1;
                    if facts.foreign_examples.len() < EXAMPLES {
                        facts.foreign_examples.push(entry.key);
                    }
                }
            }
        }
    }
    facts.missing = unseen.into_iter().cloned().collect();
    facts.missing.sort_unstable();
    Observation::Known(facts)
}

async fn look_at_server(
    options: &PgConnectOptions,
    tenants: Option<&TenantSelector>,
    now: &(dyn Fn() -> Instant + Send + Sync),
) -> Observation<(ServerFacts, i64)> {
    match server::read(options, tenants, SERVER_LIMIT).await {
        Ok(reading) => Observation::Known((reading.facts, reading.clock.duration_since(now()).as_secs())),
        Err(error) => Observation::Unreachable(error.to_string()),
    }
}
