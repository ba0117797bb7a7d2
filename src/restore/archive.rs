//! From manifest to loaded database: keys opened, parts streamed back, roles made, the archive handed to `pg_restore`,
//! the content compared with what was recorded when it was dumped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant as Monotonic;

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::together::awaited_by;
use super::{FilesProof, RestoreError};
use crate::artifact::{ArtifactError, PipeReader, UnpackKeys, pipe, unpack};
use crate::crypto::{DigestKey, Identity, open_key_object};
use crate::domain::{Bytes, DataPart, Manifest, PartKind, Phase};
use crate::engine::sql::quote_qualified;
use crate::engine::{
    ArchiveBytes, Comparison, Connection, EngineError, EntryFailure, Programs, RestoreOptions, RestoreReport,
    RestoreRequest, RowKey, compare, create_roles, restore, restore_alone, restore_shared, restore_sql,
    restore_waiting, role_names,
};
use crate::store::ReadStore;

/// The largest globals file that is read into memory: roles and grants of some hundred thousand roles.
const GLOBALS_CAP: usize = 64 * 1024 * 1024;
/// The largest key object.
pub(super) const KEY_CAP: u64 = 64 * 1024;

/// A backup and where it lies.
#[derive(Clone)]
pub struct Origin {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its store.
    pub store: Arc<dyn ReadStore>,
    /// The reader's keys.
    pub identities: Vec<Identity>,
    /// The key of the content digests as the catalog knows it, for stores without encryption keys.
    pub digest_key: Option<DigestKey>,
}

/// A backup whose key is open.
#[derive(Clone)]
pub struct Opened {
    /// The backup.
    pub origin: Origin,
    data: Option<Identity>,
    digest_key: Option<DigestKey>,
    /// A path for a file that a load may write and removes; absent: it makes do without.
    pub(super) room: Option<PathBuf>,
    /// Bytes of archives that were handed on so far, before compression.
    loaded: Arc<AtomicU64>,
}

/// What a load did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Each phase and its time.
    pub phases: Vec<Phase>,
    /// Bytes fetched from the store.
    pub fetched: Bytes,
    /// Entries of what tenants have in common that refer to tenants that are not there.
    pub deferred: Vec<EntryFailure>,
    /// Entries of tenants that refer to other tenants that are not there.
    pub torn: Vec<EntryFailure>,
}

/// Opens a backup's key, where it is encrypted: the manifest names the key objects, nothing is listed.
///
/// # Errors
/// When no identity fits, or the key object cannot be read.
pub async fn open(origin: Origin) -> Result<Opened, RestoreError> {
    let manifest = &origin.manifest;
    if !manifest.parts.iter().any(|part| part.encrypted) {
        let digest_key = origin.digest_key.clone();
        return Ok(Opened { data: None, digest_key, room: None, origin, loaded: Arc::default() });
    }
    let mine: Vec<String> = origin.identities.iter().map(|identity| identity.recipient().fingerprint()).collect();
    let Some(key) = manifest.keys.iter().find(|key| mine.contains(&key.fingerprint)) else {
        let recipients: Vec<&str> = manifest.keys.iter().map(|key| key.recipient.as_str()).collect();
        return Err(RestoreError::NoIdentity { backup: manifest.backup_id.clone(), recipients: recipients.join(", ") });
    };
    let bytes = origin.store.get(&key.key, KEY_CAP).await?;
    let opened = open_key_object(&key.key, &bytes, &origin.identities)?;
    Ok(Opened {
        data: Some(opened.identity),
        digest_key: opened.digest_key.or_else(|| origin.digest_key.clone()),
        room: None,
        origin,
        loaded: Arc::default(),
    })
}

impl Opened {
    /// Lets a load write a file, which it removes again.
    #[must_use]
    pub fn with_room(mut self, file: PathBuf) -> Self {
        self.room = Some(file);
        self
    }

    /// Returns the key of the content's digests; absent where they have none.
    ///
    /// # Errors
    /// [`RestoreError::NoIdentity`], where it is not the one that the manifest names.
    pub(super) fn content_key(&self) -> Result<Option<DigestKey>, RestoreError> {
        let manifest = &self.origin.manifest;
        match (&manifest.digest_key_id, &self.digest_key) {
            (None, _) => Ok(None),
            (Some(id), Some(key)) if *id == key.id() => Ok(Some(key.clone())),
            (Some(id), _) => Err(RestoreError::NoIdentity {
                backup: manifest.backup_id.clone(),
                recipients: format!("digest key {id}"),
            }),
        }
    }

    /// Begins to stream a part. Its content is not to be relied on before the task has ended well.
    pub(super) fn stream(&self, part: &DataPart) -> (PipeReader, JoinHandle<Result<(), ArtifactError>>) {
        let (writer, reader) = pipe(8);
        let keys = UnpackKeys {
            identity: self.data.clone().filter(|_| part.encrypted),
            digest_key: self.digest_key.clone().filter(|_| self.origin.manifest.digest_key_id.is_some()),
        };
        let (store, part) = (Arc::clone(&self.origin.store), part.clone());
        (reader, tokio::spawn(async move { unpack(store, &part, keys, writer).await }))
    }

    /// Begins to stream the archive, or the SQL of an adopted backup.
    fn archive(&self) -> Result<(ArchiveBytes, JoinHandle<Result<(), ArtifactError>>), RestoreError> {
        let Some(part) = self.part(PartKind::Archive).or_else(|| self.part(PartKind::Sql)) else {
            let words = format!("backup {} has no archive", self.origin.manifest.backup_id);
            return Err(RestoreError::NotServed(words));
        };
        Ok(self.archive_of(part))
    }

    /// Begins to stream one of several archives.
    pub(super) fn archive_of(&self, part: &DataPart) -> (ArchiveBytes, JoinHandle<Result<(), ArtifactError>>) {
        let (reader, task) = self.stream(part);
        let loaded = Arc::clone(&self.loaded);
        let archive = futures_util::stream::unfold((reader, loaded), |(mut reader, loaded)| async move {
            let piece = reader.next().await?;
            if let Ok(bytes) = &piece {
                loaded.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Some((piece.map_err(std::io::Error::other), (reader, loaded)))
        });
        (archive.boxed(), task)
    }

    /// Begins to stream a tar file.
    pub(super) fn tar(
        &self,
        kind: PartKind,
    ) -> Result<(PipeReader, JoinHandle<Result<(), ArtifactError>>), RestoreError> {
        let Some(part) = self.part(kind) else {
            let words = format!("backup {} holds no files", self.origin.manifest.backup_id);
            return Err(RestoreError::NotServed(words));
        };
        Ok(self.stream(part))
    }

    /// Reads a part that fits into memory.
    ///
    /// # Errors
    /// When there is none of the kind, it cannot be read back, or it is larger than `cap` bytes.
    pub async fn read(&self, kind: PartKind, cap: usize) -> Result<bytes::Bytes, RestoreError> {
        let (reader, task) = self.tar(kind)?;
        let bytes = reader.collect(cap).await;
        ended(task).await?;
        bytes.map_err(|error| RestoreError::NotServed(error.to_string()))
    }

    /// Returns how much of its archive was handed on so far, before compression.
    #[must_use]
    pub fn loaded(&self) -> Bytes {
        Bytes(self.loaded.load(Ordering::Relaxed))
    }

    /// Returns whether it is what tenants have in common.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.origin.manifest.scope.scope == "shared"
    }

    /// Returns whether it was adopted: then nothing was recorded to compare a restore with.
    #[must_use]
    pub const fn is_adopted(&self) -> bool {
        self.origin.manifest.adopted_from.is_some()
    }

    /// Returns the schemas that a tenant is known to be tied to; `None` for whatever is no tenant, or tied to nothing.
    #[must_use]
    pub fn tied(&self) -> Option<&[String]> {
        let manifest = &self.origin.manifest;
        (is_tenant(manifest) && !manifest.mutual.is_empty()).then_some(manifest.mutual.as_slice())
    }

    pub(super) fn part(&self, kind: PartKind) -> Option<&DataPart> {
        self.origin.manifest.parts.iter().find(|part| part.kind == kind)
    }

    /// Reads the globals file back, where the backup has one.
    ///
    /// # Errors
    /// When it cannot be read back, or is larger than anyone's roles.
    pub async fn globals(&self) -> Result<Option<bytes::Bytes>, RestoreError> {
        let Some(part) = self.part(PartKind::Globals) else { return Ok(None) };
        let (reader, task) = self.stream(part);
        let globals = reader.collect(GLOBALS_CAP).await;
        ended(task).await?;
        let globals = globals.map_err(|error| RestoreError::NotServed(format!("{}: {error}", part.key)))?;
        Ok(Some(globals))
    }
}

/// Returns the roles that a backup's owners, grants and globals name.
pub(super) async fn roles(opened: &Opened) -> Result<Vec<String>, RestoreError> {
    let mut roles = opened.origin.manifest.scope.roles.clone();
    if let Some(globals) = opened.globals().await? {
        roles.extend(role_names(&globals));
    }
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}

/// Loads a backup into a database: roles, then the archive. What waits for something that is loaded later is in
/// `deferred`, whatever backup it is of: [`super::settle`] brings it.
///
/// # Errors
/// [`RestoreError`]; the database may hold a part of it then.
pub async fn load(
    opened: &Opened,
    programs: &Programs,
    target: &Connection,
    options: RestoreOptions,
) -> Result<Loaded, RestoreError> {
    let manifest = &opened.origin.manifest;
    let mut loaded = Loaded::default();
    let begun = Monotonic::now();
    create_roles(target, &roles(opened).await?).await?;
    loaded.phases.push(phase("roles", manifest, begun));
    if let Some(several) = super::parts::load(opened, programs, target, options).await? {
        loaded.phases.extend(several.phases);
        loaded.deferred = several.deferred;
        loaded.fetched = manifest.parts.iter().map(|part| Bytes(part.size)).sum();
        return Ok(loaded);
    }
    let begun = Monotonic::now();
    let (archive, task) = opened.archive()?;
    if opened.part(PartKind::Sql).is_some() {
        let done = restore_sql(programs, target, archive).await.map_err(RestoreError::from);
        cause_of(done, task).await?;
    } else {
        let request = RestoreRequest { programs: programs.clone(), target: target.clone(), archive, options };
        let report = match opened {
            opened if opened.is_shared() => restore_shared(request).await,
            // A transaction is for a live database, where everything is that the schema refers to.
            opened if opened.is_adopted() && !options.single_transaction && is_tenant(manifest) => {
                restore_alone(request).await
            }
            opened if !opened.is_adopted() && !options.single_transaction && opened.tied().is_some() => {
                restore_waiting(request, &awaited_by(opened, &[]), opened.room.as_deref()).await
            }
            _ => restore(request).await,
        };
        loaded.deferred = cause(report, task).await?.deferred;
    }
    loaded.fetched = fetched_by_load(manifest);
    loaded.phases.push(phase("fetch and restore", manifest, begun));
    Ok(loaded)
}

/// What a load fetches: all but what is loaded after the tenants.
fn fetched_by_load(manifest: &Manifest) -> Bytes {
    let parts = manifest.parts.iter().filter(|part| part.kind != PartKind::Bridge);
    parts.map(|part| Bytes(part.size)).sum()
}

fn is_tenant(manifest: &Manifest) -> bool {
    manifest.scope.scope.starts_with("tenant=")
}

/// Returns how much a backup is before compression.
pub(super) fn expected(manifest: &Manifest) -> Bytes {
    manifest.parts.iter().map(|part| Bytes(part.original_size)).sum()
}

/// What was compared, and with what result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The backup's id.
    pub backup: String,
    /// Its scope's text.
    pub scope: String,
    /// What the comparison found.
    pub comparison: Comparison,
    /// Sequences that were compared.
    pub sequences: u64,
    /// Tables and sequences that were not compared, since they could not be restored without other tenants.
    pub left_out: Vec<String>,
    /// For a backup of files: what was compared instead of tables.
    pub files: Option<FilesProof>,
}

impl Proof {
    /// Turns a difference into an error that names what differs.
    ///
    /// # Errors
    /// [`RestoreError::NotEqual`].
    pub fn must_hold(self) -> Result<Self, RestoreError> {
        if self.comparison.is_equal() {
            return Ok(self);
        }
        let mut what: Vec<String> = self.comparison.differences.iter().map(|d| d.table.clone()).collect();
        let sequences = &self.comparison.sequences;
        what.extend(sequences.iter().map(|d| quote_qualified(&d.recorded.schema, &d.recorded.sequence)));
        Err(RestoreError::NotEqual { backup: self.backup, what: what.join(", ") })
    }
}

/// Compares as [`prove`] does, without the tables and sequences whose restore was deferred.
///
/// # Errors
/// As [`prove`].
pub async fn prove_but(opened: &Opened, target: &Connection, deferred: &[EntryFailure]) -> Result<Proof, RestoreError> {
    let mut opened = opened.clone();
    let scope = &mut opened.origin.manifest.scope;
    let mut left_out = Vec::new();
    // Only the shared archive is restored in part; a tenant's own tables are never excused.
    if scope.scope == "shared" {
        let mut is_there = |schema: &str, name: &str, kinds: &[&str]| {
            let lacks = |e: &EntryFailure| e.schema == schema && e.name == name && kinds.contains(&e.kind.as_str());
            let there = !deferred.iter().any(lacks);
            if !there {
                left_out.push(quote_qualified(schema, name));
            }
            there
        };
        scope.tables.retain(|t| is_there(&t.schema, &t.table, &["TABLE", "TABLE DATA"]));
        scope.sequences.retain(|s| is_there(&s.schema, &s.sequence, &["SEQUENCE", "SEQUENCE SET"]));
    }
    let comparison = prove(&opened, target).await?;
    let manifest = &opened.origin.manifest;
    Ok(Proof {
        backup: manifest.backup_id.clone(),
        scope: manifest.scope.scope.clone(),
        comparison,
        sequences: manifest.scope.sequences.len() as u64,
        left_out,
        files: None,
    })
}

/// Compares what is in a database with what the backup recorded of its content.
///
/// # Errors
/// When the database cannot be read, or the digests' key is not at hand.
pub async fn prove(opened: &Opened, target: &Connection) -> Result<Comparison, RestoreError> {
    let manifest = &opened.origin.manifest;
    let key = opened.content_key()?.map_or_else(RowKey::none, |key| RowKey::new(key.bytes()));
    Ok(compare(target, &manifest.scope.tables, &manifest.scope.sequences, &key).await?)
}

pub(super) fn phase(name: &str, manifest: &Manifest, begun: Monotonic) -> Phase {
    Phase {
        phase: name.to_owned(),
        subject: manifest.backup_id.clone(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Waits for both ends of a restore. Damage in the store is the cause, whatever words the program found for its sudden
/// end.
pub(super) async fn cause(
    report: Result<RestoreReport, EngineError>,
    task: JoinHandle<Result<(), ArtifactError>>,
) -> Result<RestoreReport, RestoreError> {
    cause_of(report.map_err(RestoreError::from), task).await
}

/// The same for whatever reads a part.
pub(super) async fn cause_of<T>(
    report: Result<T, RestoreError>,
    task: JoinHandle<Result<(), ArtifactError>>,
) -> Result<T, RestoreError> {
    let fetched = ended(task).await;
    if !matches!(fetched, Err(RestoreError::Artifact(ArtifactError::Consumer { .. }))) {
        fetched?;
    }
    report
}

/// Does work that may block, on a thread for such work. `what` is said where the thread ends early: `writing`.
pub(super) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(RestoreError::NotServed(format!("{what} ended early: {error}"))))
}

async fn ended(task: JoinHandle<Result<(), ArtifactError>>) -> Result<(), RestoreError> {
    match task.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(RestoreError::NotServed(format!("reading back ended early: {error}"))),
    }
}
