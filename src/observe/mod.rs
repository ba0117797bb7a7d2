//! Asks catalog, stores and servers what is there, in parallel, and never fails as a whole: what cannot be read is
//! `Unreachable`, with the reason. It gets types without any method that writes.

mod expected;
mod heads;
mod objects;
mod signs;

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, StreamExt, stream};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::catalog::{CatalogError, ReadLedger, RecordedObjects};
use crate::domain::{
    CatalogSigns, CatalogState, Clock, ConfigurationSeen, Instant, Name, Observation, Observed, ServerFacts,
    ServerSigns, Signs, StoreFacts, StoreSettings, StoreSigns, TenantSelector,
};
use crate::server::{self, Surveyed};
use crate::store::{self, ReadStore};

use expected::{Book, Expected};
pub use heads::{Heads, audit_heads};

/// How many databases are asked at once: hundreds may be on one server, which has connections for others, too.
const DATABASES: usize = 16;

/// At what pace databases are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many have their turn at a time.
    turns: usize,
    /// After how long one that has not answered gives its turn to the next, and goes on beside it.
    turn: Duration,
    /// How long a server may take to connect and to answer each question.
    limit: Duration,
    /// How long they may take in all, once somebody waits for them.
    last: Duration,
}

impl Pace {
    /// Where nothing else is done meanwhile.
    pub const ALONE: Self =
        Self { turns: DATABASES, turn: Duration::from_secs(30), limit: Duration::from_secs(30), last: Duration::MAX };
    /// Beside work: one after the other, as far as they answer soon, since processors and servers are for the work.
    pub const BESIDE_WORK: Self = Self {
        turns: 1,
        turn: Duration::from_millis(200),
        limit: Duration::from_secs(10),
        last: Duration::from_secs(10),
    };
}

/// What is asked. A source that could not even be set up carries the reason instead.
pub struct Sources {
    /// The catalog.
    pub catalog: Result<Arc<dyn ReadLedger>, String>,
    /// The stores.
    pub stores: BTreeMap<Name, Result<Arc<dyn ReadStore>, String>>,
    /// The databases, with how their tenants are found.
    pub databases: BTreeMap<Name, Result<(PgConnectOptions, Option<TenantSelector>), String>>,
    /// What stores are called in the catalog until their rename is applied, by their new names.
    pub renamed: BTreeMap<Name, Name>,
    /// The databases whose configuration is asked for too, and whether with what tells passwords of roles apart.
    pub configurations: BTreeMap<Name, bool>,
    /// Whether it is looked at how servers and stores are set, too: that is told, and decides no action.
    pub settings: bool,
}

/// Looks at everything once. `now` is bkup's own clock, for the comparison with the others.
pub async fn look(sources: &Sources, now: &(dyn Fn() -> Instant + Send + Sync)) -> Observed {
    let catalog = look_at_catalog(sources, now).await;
    let (stores, servers) =
        tokio::join!(look_at_stores(sources, &catalog, now), look_at_servers(sources, Pace::ALONE, pending(), now));
    kept(sources, catalog, stores, now).await.with(servers)
}

/// Looks at the catalog and the stores, which applies change.
pub async fn look_at_kept(sources: &Sources, now: &(dyn Fn() -> Instant + Send + Sync)) -> Kept {
    let catalog = look_at_catalog(sources, now).await;
    let stores = look_at_stores(sources, &catalog, now).await;
    kept(sources, catalog, stores, now).await
}

/// Looks at the databases. From when `waited_for` resolves all have their turn, and those that have not answered soon are
/// taken for unreachable.
pub async fn look_at_servers(
    sources: &Sources,
    pace: Pace,
    waited_for: impl Future<Output = ()>,
    now: &(dyn Fn() -> Instant + Send + Sync),
) -> ServersSeen {
    let seen = sources.settings.then(Surveyed::default);
    let (seen, turns) = (seen.as_ref(), &Semaphore::new(pace.turns));
    let servers = sources.databases.iter().map(|(name, source)| {
        async move {
            let found = match source {
                Err(reason) => Observation::Unreachable(reason.clone()),
                Ok((options, tenants)) => {
                    let turn = turns.acquire().await;
                    let configuration = sources.configurations.get(name).copied();
                    let look = look_at_server(options, tenants.as_ref(), configuration, seen, pace.limit, now);
                    let mut look = pin!(look);
                    match tokio::time::timeout(pace.turn, &mut look).await {
                        Ok(found) => found,
                        Err(_) => {
                            drop(turn);
                            look.await
                        }
                    }
                }
            };
            (name.clone(), found)
        }
        .boxed()
    });
    let servers: Vec<BoxFuture<'_, _>> = servers.collect();
    // Not in their order: one that is silent would keep all behind it waiting.
    let mut looks = stream::iter(servers).buffer_unordered(DATABASES);
    let over = async {
        waited_for.await;
        turns.add_permits(DATABASES);
        tokio::time::sleep(pace.last).await;
    };
    let mut over = pin!(over);
    let silent = || Observation::Unreachable("it had not answered in time".to_owned());
    let mut found: BTreeMap<_, _> = sources.databases.keys().map(|name| (name.clone(), silent())).collect();
    loop {
        tokio::select! {
            biased;
            seen = looks.next() => match seen {
                Some((name, seen)) => found.insert(name, seen),
                None => break,
            },
            () = &mut over => break,
        };
    }
    ServersSeen(found)
}

/// What catalog and stores hold, as seen.
pub struct Kept(Observed);

impl Kept {
    /// Puts beside it what the databases said.
    #[must_use]
    pub fn with(self, servers: ServersSeen) -> Observed {
        let Self(mut observed) = self;
        for (name, observation) in servers.0 {
            let observation = match observation {
                Observation::Known((facts, ahead_seconds, beside)) => {
                    observed.clocks.push(Clock { owner: format!("database {name}"), ahead_seconds });
                    observed.signs.servers.extend(beside.map(|beside| (name.clone(), beside)));
                    Observation::Known(facts)
                }
                Observation::Unreachable(reason) => Observation::Unreachable(reason),
            };
            observed.servers.insert(name, observation);
        }
        observed
    }
}

/// Puts together what catalog and stores said.
async fn kept(
    sources: &Sources,
    CatalogSeen { state, edits, mut clocks, .. }: CatalogSeen,
    stores: StoresSeen,
    now: &(dyn Fn() -> Instant + Send + Sync),
) -> Kept {
    let edits = match edits {
        Some(edits) => Some(edits.answer().await),
        None => None,
    };
    for (name, source) in &sources.stores {
        if let Some(clock) = source.as_ref().ok().and_then(|store| store.server_clock()) {
            clocks.push(Clock { owner: format!("store {name}"), ahead_seconds: clock.ahead_of(now()).as_secs() });
        }
    }
    let mut signs = Signs {
        catalog: edits.map(|read| match read {
            Ok(signs) => Observation::Known(signs),
            Err(error) => Observation::Unreachable(error.to_string()),
        }),
        ..Signs::default()
    };
    let mut facts = BTreeMap::new();
    for (name, (observation, beside)) in stores {
        signs.stores.extend(beside.map(|beside| (name.clone(), beside)));
        facts.insert(name, observation);
    }
    Kept(Observed { catalog: state, stores: facts, servers: BTreeMap::new(), clocks, signs })
}

type StoresSeen = Vec<(Name, (Observation<StoreFacts>, Option<StoreSigns>))>;
/// What the databases said.
pub struct ServersSeen(BTreeMap<Name, Observation<ServerSeen>>);
/// Facts, how many seconds its clock is ahead, and how it is set, where that was asked.
type ServerSeen = (ServerFacts, i64, Option<ServerSigns>);

/// What the catalog's word on a store is.
struct Beside<'a> {
    books: BTreeMap<&'a Name, Book<'a>>,
    recorded: Option<&'a RecordedObjects>,
    reader: Option<&'a dyn ReadLedger>,
    now: Instant,
}

/// Looks at the stores, beside what the catalog holds of them.
async fn look_at_stores(
    sources: &Sources,
    catalog: &CatalogSeen,
    now: &(dyn Fn() -> Instant + Send + Sync),
) -> StoresSeen {
    let present = if let Some(CatalogState::Present(facts)) = catalog.state.known() { Some(facts) } else { None };
    let recorded = catalog.recorded.as_ref().filter(|_| present.is_some());
    let beside = &Beside {
        books: present.map(|facts| Book::by_store(facts, recorded)).unwrap_or_default(),
        recorded,
        reader: sources.catalog.as_ref().ok().map(AsRef::as_ref).filter(|_| present.is_some()),
        now: now(),
    };
    let none = &Book::default();
    let stores = join_all(sources.stores.iter().map(|(name, source)| {
        let before = || sources.renamed.get(name).and_then(|before| beside.books.get_key_value(before));
        let (called, book) =
            beside.books.get_key_value(name).or_else(before).map_or((name, none), |(n, book)| (*n, book));
        async move {
            let expected = Expected { store: called, book, recorded: beside.recorded, now: beside.now };
            (name.clone(), look_at_store(source, &expected, beside.reader, sources.settings).await)
        }
    }));
    stores.await
}

/// What the catalog said.
struct CatalogSeen {
    state: Observation<CatalogState>,
    edits: Option<Asked<CatalogSigns>>,
    recorded: Option<RecordedObjects>,
    clocks: Vec<Clock>,
}

impl CatalogSeen {
    const fn unreachable(reason: String, clocks: Vec<Clock>) -> Self {
        Self { state: Observation::Unreachable(reason), edits: None, recorded: None, clocks }
    }
}

/// Reads the catalog's state. What people did to the rows is looked for by the catalog's server alone: everything else
/// goes on meanwhile. A listing must not begin before what it is compared with was read, or it would miss what was made in
/// between.
async fn look_at_catalog(sources: &Sources, now: &(dyn Fn() -> Instant + Send + Sync)) -> CatalogSeen {
    let reader = match &sources.catalog {
        Ok(reader) => reader,
        Err(reason) => return CatalogSeen::unreachable(reason.clone(), Vec::new()),
    };
    let clocks = match reader.clock().await {
        Ok(clock) => {
            let ahead_seconds = clock.duration_since(now()).as_secs();
            vec![Clock { owner: "catalog".to_owned(), ahead_seconds }]
        }
        Err(error) => return CatalogSeen::unreachable(error.to_string(), Vec::new()),
    };
    let edits = Asked::of(reader, |reader| async move { reader.signs().await });
    match reader.state_and_objects().await {
        Ok((state, recorded)) => CatalogSeen { state: Observation::Known(state), edits: Some(edits), recorded, clocks },
        Err(error) => CatalogSeen::unreachable(error.to_string(), clocks),
    }
}

/// A question to the catalog that is being answered; one that nobody waits for any more is given up.
struct Asked<T>(JoinHandle<Result<T, CatalogError>>);

impl<T: Send + 'static> Asked<T> {
    fn of<A>(reader: &Arc<dyn ReadLedger>, ask: impl FnOnce(Arc<dyn ReadLedger>) -> A) -> Self
    where
        A: Future<Output = Result<T, CatalogError>> + Send + 'static,
    {
        Self(tokio::spawn(ask(Arc::clone(reader))))
    }

    async fn answer(mut self) -> Result<T, CatalogError> {
        (&mut self.0).await.unwrap_or_else(|error| Err(CatalogError::Unreachable { reason: error.to_string() }))
    }
}

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads the marker, lists the objects, and looks at everything else a store says of itself.
async fn look_at_store(
    source: &Result<Arc<dyn ReadStore>, String>,
    expected: &Expected<'_>,
    catalog: Option<&dyn ReadLedger>,
    with_settings: bool,
) -> (Observation<StoreFacts>, Option<StoreSigns>) {
    let store = match source {
        Ok(store) => store,
        Err(reason) => return (Observation::Unreachable(reason.clone()), None),
    };
    let marker = match store::read_marker(store.as_ref()).await {
        Ok(marker) => marker,
        Err(error) => return (Observation::Unreachable(error.to_string()), None),
    };
    let facts = StoreFacts { marker, ..StoreFacts::default() };
    let settings = async { if with_settings { store.settings().await } else { StoreSettings::None } };
    let (listing, settings) = tokio::join!(objects::list(store, facts, expected, catalog), settings);
    match listing {
        // A listing with a hole must not be taken for the whole: then nothing is known of the store.
        Err(error) => (Observation::Unreachable(error.to_string()), None),
        Ok(listing) => {
            let uploads = signs::uploads(store, catalog, expected.recorded, expected.now, listing.passed).await;
            let signs = StoreSigns { objects: listing.objects, uploads, settings };
            (Observation::Known(listing.facts), Some(signs))
        }
    }
}

async fn look_at_server(
    options: &PgConnectOptions,
    tenants: Option<&TenantSelector>,
    configuration: Option<bool>,
    seen: Option<&Surveyed>,
    limit: Duration,
    now: &(dyn Fn() -> Instant + Send + Sync),
) -> Observation<ServerSeen> {
    let (mut reading, signs) = match server::read_with_signs(options, tenants, seen, limit).await {
        Ok(read) => read,
        Err(error) => return Observation::Unreachable(error.to_string()),
    };
    let ahead_seconds = reading.clock.duration_since(now()).as_secs();
    if let Some(passwords) = configuration {
        // A server that answers and does not tell its configuration is no less reachable for everything else.
        reading.facts.configuration = match server::configuration(options, passwords, limit).await {
            Ok(found) => ConfigurationSeen::Read(found.digests()),
            Err(error) => ConfigurationSeen::Unreadable(error.to_string()),
        };
    }
    Observation::Known((reading.facts, ahead_seconds, signs))
}
