//! From manifest to loaded database: keys opened, parts streamed back, roles made, the archive handed to `pg_restore`,
//! the content compared with what was recorded when it was dumped.

use std::sync::Arc;
use std::time::Instant as Monotonic;

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::RestoreError;
use crate::artifact::{ArtifactError, PipeReader, UnpackKeys, pipe, unpack};
use crate::crypto::{DigestKey, Identity, open_key_object};
use crate::domain::{Bytes, DataPart, Manifest, PartKind, Phase};
use crate::engine::{
    Comparison, Connection, EntryFailure, Programs, RestoreOptions, RestoreRequest, RowKey, compare, create_roles,
    restore, restore_shared, role_names,
};
use crate::store::ReadStore;

/// The largest globals file that is read into memory: roles and grants of some hundred thousand roles.
const GLOBALS_CAP: usize = 64 * 1024 * 1024;
/// The largest key object.
const KEY_CAP: u64 = 64 * 1024;

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
}

/// What a load did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Each phase and its time.
    pub phases: Vec<Phase>,
    /// Bytes fetched from the store.
    pub fetched: Bytes,
    /// Entries of a shared archive that refer to tenants that are not there.
    pub deferred: Vec<EntryFailure>,
}

/// Opens a backup's key, where it is encrypted: the manifest names the key objects, nothing is listed.
///
/// # Errors
/// When no identity fits, or the key object cannot be read.
pub async fn open(origin: Origin) -> Result<Opened, RestoreError> {
    let manifest = &origin.manifest;
    if !manifest.parts.iter().any(|part| part.encrypted) {
        let digest_key = origin.digest_key.clone();
        return Ok(Opened { data: None, digest_key, origin });
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
        origin,
    })
}

impl Opened {
    /// Returns the key of the rows' digests, where it is the one the manifest names.
    #[must_use]
    pub fn row_key(&self) -> Option<RowKey> {
        match (&self.origin.manifest.digest_key_id, &self.digest_key) {
            (None, _) => Some(RowKey::none()),
            (Some(id), Some(key)) if *id == key.id() => Some(RowKey::new(key.bytes())),
            (Some(_), _) => None,
        }
    }

    /// Begins to stream a part. Its content is not to be relied on before the task has ended well.
    fn stream(&self, part: &DataPart) -> (PipeReader, JoinHandle<Result<(), ArtifactError>>) {
        let (writer, reader) = pipe(8);
        let keys = UnpackKeys {
            identity: self.data.clone().filter(|_| part.encrypted),
            digest_key: self.digest_key.clone().filter(|_| self.origin.manifest.digest_key_id.is_some()),
        };
        let (store, part) = (Arc::clone(&self.origin.store), part.clone());
        (reader, tokio::spawn(async move { unpack(store, &part, keys, writer).await }))
    }

    fn part(&self, kind: PartKind) -> Option<&DataPart> {
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

/// Loads a backup into a database: roles, then the archive.
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
    let mut roles = manifest.scope.roles.clone();
    if let Some(globals) = opened.globals().await? {
        roles.extend(role_names(&globals));
    }
    roles.sort_unstable();
    roles.dedup();
    create_roles(target, &roles).await?;
    loaded.phases.push(phase("roles", manifest, begun));
    let begun = Monotonic::now();
    let Some(part) = opened.part(PartKind::Archive) else {
        return Err(RestoreError::NotServed(format!("backup {} has no archive", manifest.backup_id)));
    };
    let (reader, task) = opened.stream(part);
    let archive = futures_util::stream::unfold(reader, |mut reader| async move {
        reader.next().await.map(|piece| (piece.map_err(std::io::Error::other), reader))
    })
    .boxed();
    let request = RestoreRequest { programs: programs.clone(), target: target.clone(), archive, options };
    let shared = manifest.scope.scope == "shared";
    let report = if shared { restore_shared(request).await } else { restore(request).await };
    // Damage in the store is the cause, whatever words the program found for its sudden end.
    let (report, fetched) = (report, ended(task).await);
    if !matches!(fetched, Err(RestoreError::Artifact(ArtifactError::Consumer { .. }))) {
        fetched?;
    }
    let report = report?;
    loaded.deferred = report.deferred;
    loaded.fetched = manifest.parts.iter().map(|part| Bytes(part.size)).sum();
    loaded.phases.push(phase("fetch and restore", manifest, begun));
    Ok(loaded)
}

/// Compares what is in a database with what the backup recorded of its content.
///
/// # Errors
/// When the database cannot be read, or the digests' key is not at hand.
pub async fn prove(opened: &Opened, target: &Connection) -> Result<Comparison, RestoreError> {
    let manifest = &opened.origin.manifest;
    let Some(key) = opened.row_key() else {
        return Err(RestoreError::NoIdentity {
            backup: manifest.backup_id.clone(),
            recipients: format!("digest key {}", manifest.digest_key_id.as_deref().unwrap_or("none")),
        });
    };
    Ok(compare(target, &manifest.scope.tables, &manifest.scope.sequences, &key).await?)
}

fn phase(name: &str, manifest: &Manifest, begun: Monotonic) -> Phase {
    Phase {
        phase: name.to_owned(),
        subject: manifest.backup_id.clone(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

async fn ended(task: JoinHandle<Result<(), ArtifactError>>) -> Result<(), RestoreError> {
    match task.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(RestoreError::NotServed(format!("reading back ended early: {error}"))),
    }
}
