//! Where a backup is read from: found through the catalog where there is one, else with the stores alone.

use std::sync::Arc;

use super::{RestoreArgs, failure};
use crate::catalog::{CatalogError, Reader, Writer, checksum};
use crate::cli::exit::Exit;
use crate::cli::failure::CliError;
use crate::cli::lives;
use crate::cli::session::{Facts, Session, run_clock};
use crate::crypto::{DigestKey, Identity};
use crate::domain::{Backup, BackupId, CatalogState, Instant, Manifest, Name, Scope};
use crate::engine::Connection;
use crate::restore::{Found, Hold, Origin, RestoreError, Tell, Wanted, find_in_catalog, find_in_store, original};
use crate::store::{ReadStore, layout};

/// What is restored, and where it was found.
pub(super) struct Source {
    /// Its manifests and stores: the shared archive first, what was asked for last.
    pub origins: Vec<Origin>,
    /// The store's name.
    pub store: Name,
    /// The catalog that knows it; absent where the store alone was asked.
    pub catalog: Option<Connection>,
    /// The instant by the catalog's clock.
    pub now: Instant,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Source {
    /// Returns the manifest of what was asked for.
    pub(super) fn manifest(&self) -> &Manifest {
        // `find` never makes one without.
        &self.origins[self.origins.len() - 1].manifest
    }

    /// Returns the schemas of other tenants that a tenant is tied to: they are not restored with it. What tenants have
    /// in common they may refer to; references between tenants are what a restore can tear.
    pub(super) fn apart_from(&self) -> Vec<String> {
        let common = |schema: &String| {
            schema == "public" || self.origins.iter().any(|origin| origin.manifest.scope.schemas.contains(schema))
        };
        self.manifest().mutual.iter().filter(|schema| !common(schema)).cloned().collect()
    }

    /// Takes the lease on what is read, where there is a catalog that can give one.
    pub(super) async fn hold(&mut self, target: &str, runner: &str) -> Result<Option<Hold>, CliError> {
        let Some(catalog) = &self.catalog else { return Ok(None) };
        let ids: Vec<BackupId> =
            self.origins.iter().map(|origin| BackupId::from_text(origin.manifest.backup_id.clone())).collect();
        let writer = Arc::new(Writer::with(catalog.options()));
        match Hold::begin(writer, &ids, target, runner, self.now).await {
            Ok(hold) => Ok(Some(hold)),
            Err(error @ CatalogError::Conflict { .. }) => Err(CliError::of(&error, Exit::Failed)),
            Err(error) => {
                self.notes.push(format!("no lease was taken on the backup, only its grace protects it: {error}"));
                Ok(None)
            }
        }
    }
}

/// Finds a backup and its shared archive.
pub(super) async fn find(
    session: &Session,
    args: &RestoreArgs,
    wanted: &Wanted,
    facts: &Facts,
    tell: &Tell,
) -> Result<Source, CliError> {
    let mut notes = Vec::new();
    match known(session, facts).await? {
        Ok((catalog, backups, now)) => {
            let all = backups;
            match find_in_catalog(all.iter().filter(|backup| fits(backup, args)), wanted) {
                Ok((backup, passed_over)) => {
                    for other in passed_over {
                        let why = other.quarantine.as_deref().unwrap_or_default();
                        notes.push(format!("{} is newer, and quarantined: {why}", other.id));
                    }
                    if let Some(why) = &backup.quarantine {
                        notes.push(format!("{} is quarantined: {why}", backup.id));
                    }
                    if backup.tombstoned_at.is_some() {
                        notes.push(format!("{} is tombstoned, and will be purged after its grace", backup.id));
                    }
                    tell(format!("found {} in store.{}, through the catalog", backup.id, backup.store));
                    return from_catalog(session, (backup, &all), catalog, now, notes, tell).await;
                }
                Err(error @ RestoreError::NotFound { .. }) => {
                    if let Some(erased) = erased(&catalog, wanted).await {
                        return Err(erased);
                    }
                    // A backup that the catalog does not know may be there all the same: its manifest decides.
                    match wanted {
                        Wanted::Id(_) => notes.push(format!("{error}; the stores were asked")),
                        Wanted::Latest { .. } => return Err(failure(&error)),
                    }
                }
                Err(error) => return Err(failure(&error)),
            }
        }
        Err(why) => notes.push(format!("the catalog was not used: {why}")),
    }
    from_stores(session, args, wanted, facts.now, notes, tell).await
}

/// Says of what is not there that it was erased, where it was.
async fn erased(catalog: &Connection, wanted: &Wanted) -> Option<CliError> {
    let reader = Reader::with(catalog.options());
    match wanted {
        Wanted::Id(id) => reader.erasure_that_took(id).await.ok()?.map(|(backup, row)| lives::erased(&backup, &row)),
        Wanted::Latest { database, scope, .. } => {
            let row = reader.erasure_of(database.as_ref(), scope.tenant()?).await.ok()?;
            row.map(|row| lives::tenant_erased(&row))
        }
    }
}

fn fits(backup: &Backup, args: &RestoreArgs) -> bool {
    let by_id = args.backup.is_some();
    args.store.as_ref().is_none_or(|name| backup.store == *name)
        // The newest is looked for among all, to say what there is where there is none.
        && (!by_id || args.database.as_ref().is_none_or(|name| backup.database.as_ref() == Some(name)))
        && (!by_id || args.tenant.as_deref().is_none_or(|slug| backup.scope.tenant() == Some(slug)))
}

type Known = (Connection, Vec<Backup>, Instant);

/// Asks the catalog. The inner error says why it is not used; the outer one, why nothing can go on.
async fn known(session: &Session, facts: &Facts) -> Result<Result<Known, String>, CliError> {
    let catalog = match session.catalog() {
        Ok(catalog) => catalog,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let reader = Reader::with(catalog.options());
    match reader.state().await {
        Ok(CatalogState::Absent) => Ok(Err("there is none".to_owned())),
        Ok(CatalogState::Present(state)) => {
            let clock = run_clock(&reader, facts, false).await?;
            Ok(Ok((catalog, state.backups, clock.now)))
        }
        Err(error) => Ok(Err(error.to_string())),
    }
}

async fn open(session: &Session, name: &Name) -> Result<(Arc<dyn ReadStore>, Vec<Identity>), CliError> {
    let unusable = |reason: String| CliError::Setting {
        words: format!("store.{name} cannot be opened: {reason}"),
        help: "a restore reads from it".to_owned(),
    };
    let spec = session.base.stores.get(name).ok_or_else(|| unusable("the policies do not have it".to_owned()))?;
    session.store(spec).await.map_err(unusable)
}

async fn from_catalog(
    session: &Session,
    (backup, all): (&Backup, &[Backup]),
    catalog: Connection,
    now: Instant,
    mut notes: Vec<String>,
    tell: &Tell,
) -> Result<Source, CliError> {
    let (store, identities) = open(session, &backup.store).await?;
    let digest_key = match &backup.database {
        Some(database) => {
            let known = Reader::with(catalog.options()).digest_key(&backup.store, database).await;
            let known = known.map_err(|error| CliError::of(&error, Exit::Failed))?;
            known.and_then(|known| known.key.as_slice().try_into().ok()).map(DigestKey::from_bytes)
        }
        None => None,
    };
    let key = layout::manifest(backup.key_database(), &backup.scope, &backup.id);
    let ids: Vec<&BackupId> = [&backup.id].into_iter().chain(&backup.shared).collect();
    let checksums = Reader::with(catalog.options()).checksums(&ids).await;
    let checksums = checksums.map_err(|error| CliError::of(&error, Exit::Failed))?;
    let is_recorded = |manifest: &Manifest| {
        let recorded = all.iter().find(|other| other.id.as_str() == manifest.backup_id && other.store == backup.store);
        recorded.is_none_or(|recorded| is_of(manifest, recorded, checksums.get(&recorded.id)))
    };
    let origins = origins(&store, &key, (identities, digest_key), is_recorded, (&mut notes, tell)).await?;
    Ok(Source { origins, store: backup.store.clone(), catalog: Some(catalog), now, notes })
}

/// Whether a manifest is the one that the catalog recorded: of the same instants, and of the same bytes.
fn is_of(manifest: &Manifest, backup: &Backup, recorded: Option<&String>) -> bool {
    let same = |text: &str, recorded: Instant| {
        text.parse::<Instant>().is_ok_and(|at| at.as_millisecond() == recorded.as_millisecond())
    };
    same(&manifest.consistent_at, backup.consistent_at)
        && same(&manifest.completed_at, backup.completed_at)
        && recorded.is_none_or(|recorded| checksum(&manifest.parts).as_ref() == Some(recorded))
}

/// A backup with the store it was found in, and that store's keys.
type InStore = (Name, Found, Arc<dyn ReadStore>, Vec<Identity>);

async fn from_stores(
    session: &Session,
    args: &RestoreArgs,
    wanted: &Wanted,
    now: Instant,
    mut notes: Vec<String>,
    tell: &Tell,
) -> Result<Source, CliError> {
    let mut best: Option<InStore> = None;
    let mut failed = None;
    for name in session.base.stores.keys().filter(|name| args.store.as_ref().is_none_or(|only| only == *name)) {
        let found = match open(session, name).await {
            Ok((store, identities)) => match find_in_store(&store, wanted).await {
                Ok(found) => Ok((found, store, identities)),
                Err(error) => Err(failure(&error)),
            },
            Err(error) => Err(error),
        };
        match found {
            Ok((found, store, identities)) => {
                let newer = best.as_ref().is_none_or(|(_, best, ..)| instant(&found) > instant(best));
                if newer {
                    best = Some((name.clone(), found, store, identities));
                }
            }
            Err(error) => {
                notes.push(format!("store.{name}: {error}"));
                failed = Some(error);
            }
        }
    }
    let Some((name, found, store, identities)) = best else {
        notes.iter().for_each(|note| tell(note.clone()));
        return Err(failed.unwrap_or_else(|| CliError::usage("the policies have no store", "add one to them")));
    };
    tell(format!("found {} in store.{name}, without the catalog", found.manifest.backup_id));
    let origins = origins(&store, &found.key, (identities, None), |_| true, (&mut notes, tell)).await?;
    Ok(Source { origins, store: name, catalog: None, now, notes })
}

fn instant(found: &Found) -> Option<Instant> {
    found.manifest.consistent_at.parse().ok()
}

/// Reads a backup as it was written, and before it the shared archive that it names; that lies in the same store. What a
/// person has to know of them before anything is put in place is said now, and noted.
async fn origins(
    store: &Arc<dyn ReadStore>,
    key: &str,
    (identities, digest_key): (Vec<Identity>, Option<DigestKey>),
    is_it: impl Fn(&Manifest) -> bool,
    (notes, tell): (&mut Vec<String>, &Tell),
) -> Result<Vec<Origin>, CliError> {
    let found = original(store, key, &identities, &is_it).await.map_err(|error| failure(&error))?;
    let mut said = found.notes;
    let origin = Origin { manifest: found.manifest, store: found.store, identities, digest_key };
    let mut all = Vec::new();
    if let (Some(shared), Some(database)) = (&origin.manifest.shared, &origin.manifest.database) {
        let database: Name =
            database.parse().map_err(|error: crate::domain::InvalidName| CliError::usage(error.to_string(), ""))?;
        let key = layout::manifest(Some(&database), &Scope::Shared, &BackupId::from_text(shared.clone()));
        let found = original(store, &key, &origin.identities, &is_it).await.map_err(|error| failure(&error))?;
        said.extend(found.notes);
        all.push(Origin { manifest: found.manifest, store: found.store, ..origin.clone() });
    }
    all.push(origin);
    said.sort_unstable();
    said.dedup();
    said.iter().for_each(|note| tell(note.clone()));
    notes.extend(said);
    Ok(all)
}
