//! A logical backup: a `pg_dump` archive streamed through compression and encryption into the store, its rows digested
//! as they pass, its ciphertext read back before the manifest says that it is there.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use std::sync::Arc;
use tokio::time::Instant as Monotonic;

use super::configuration::{self, Policies};
use super::outline::{Written, outline};
use super::source::Source;
use super::{Archive, BackupError, files, listed, parallel, tables};
use crate::artifact::{ArtifactError, PackRequest, PipeReader, pack, pipe, read_back};
use crate::crypto::{DataKey, DigestKey, Recipient};
use crate::domain::{
    ActionId, BackupId, BackupWork, Compression, DataPart, Digest, Engine, Instant, KeyObject, Manifest, ManifestScope,
    PartKind, PhaseTiming, Scope,
};
use crate::engine::{DumpScope, DumpSummary, EngineError, RowKey};
use crate::store::{
    ManifestOutcome, PutOptions, ReadStore, WriteStore, layout, read_manifest, settled, write_manifest,
};

/// How many archives of one backup are read back at once at most: each takes memory.
const MOST_READ_BACK: usize = 4;

/// The store a backup is written to.
#[derive(Clone)]
pub struct Destination {
    /// The store.
    pub store: Arc<dyn WriteStore>,
    /// Its id.
    pub store_id: String,
    /// Who can open the backup; empty: it is not encrypted.
    pub recipients: Vec<Recipient>,
    /// The key of the content digests; absent where nothing is encrypted, so that the store alone can prove a restore.
    pub digest_key: Option<DigestKey>,
    /// The storage class data is written with.
    pub storage_class: Option<String>,
}

impl Destination {
    /// Returns the key that rows are digested with.
    #[must_use]
    pub fn row_key(&self) -> RowKey {
        self.digest_key.as_ref().map_or_else(RowKey::none, |key| RowKey::new(key.bytes()))
    }
}

/// What is to be done, and by whom.
#[derive(Clone)]
pub struct Order {
    /// The work.
    pub work: BackupWork,
    /// Its action.
    pub action: ActionId,
    /// The claim's fencing token.
    pub attempt: u64,
    /// The digest of the policies behind it.
    pub policy_digest: Digest,
    /// The simulated clock, where it is one.
    pub simulated: Option<Instant>,
    /// The clock.
    pub now: Arc<dyn Fn() -> Instant + Send + Sync>,
    /// bkup's version.
    pub tool_version: String,
    /// The catalog's identity: a manifest of another catalog is never taken for one's own.
    pub lineage: String,
    /// The policies as they are applied, for backups of the configuration.
    pub policies: Arc<Policies>,
    /// Asks, just before the manifest is written, whether the attempt still has the right to.
    pub still_mine: Fence,
    /// What its manifest tells people besides.
    pub notes: Vec<String>,
}

/// Resolves to whether an attempt still holds its lease, by the catalog's word.
pub type Fence = Arc<dyn Fn() -> futures_util::future::BoxFuture<'static, bool> + Send + Sync>;

/// A backup that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's key.
    pub manifest_key: String,
    /// Whether this attempt made it; otherwise an earlier or concurrent one had, and this attempt's data is garbage.
    pub by_this_attempt: bool,
}

/// Takes a backup, unless its manifest is there already.
///
/// # Errors
/// [`BackupError`]; nothing is visible then.
pub async fn run(order: &Order, source: &dyn Source, destination: &Destination) -> Result<Taken, BackupError> {
    let work = &order.work;
    if work.engine != Engine::Logical {
        return Err(BackupError::NotServed(format!("{:?}", work.engine).to_lowercase()));
    }
    if let Some(taken) = already(order, destination).await? {
        return Ok(taken);
    }
    if let Some(files) = &work.files {
        return files::take(order, files, destination).await;
    }
    let started_at = (order.now)();
    let started = Monotonic::now();
    let mut timings = Vec::new();
    let (data_key, keys) = seal_keys(order, destination).await?;
    if work.scope == Scope::Configuration {
        let content = configuration::content(order, source, destination).await?;
        timings.push(lap("read", started));
        let begun = Monotonic::now();
        let text = PipeReader::from_bytes(content.tar);
        let name = "configuration.tar";
        let part = pack_part(order, destination, data_key.as_ref(), PartKind::Tar, name, text).await?;
        prove(Arc::clone(&destination.store) as _, &part).await?;
        timings.push(lap("write and read back", begun));
        let digest = Some(content.digest.to_string());
        let written = Written { started_at, data_key, keys, parts: vec![part], timings, content_digest: digest };
        return conclude(order, source, destination, written, content.summary, &[]).await;
    }
    let begun = Monotonic::now();
    let (mut parts, summary) = match (&work.scope, work.jobs) {
        (Scope::Tables(_), _) => tables::parts(order, source, destination, data_key.as_ref()).await?,
        (Scope::Database, Some(jobs)) if source.server().is_some() => {
            parallel::parts(order, source, destination, data_key.as_ref(), jobs).await?
        }
        _ => {
            let (archive, summary) = archive(order, source, destination, data_key.as_ref()).await?;
            (vec![archive], summary)
        }
    };
    timings.push(lap("dump", begun));
    let begun = Monotonic::now();
    // Nothing is known of an archive before its upload is complete, and the roles take a server's time, not ours.
    let at_once = usize::try_from(work.jobs.unwrap_or(1)).unwrap_or(1).clamp(1, MOST_READ_BACK);
    // Boxed one by one: a stream of borrowing futures is not known to be `Send` for every lifetime.
    let reads = parts.iter().map(|part| prove(Arc::clone(&destination.store) as _, part).boxed());
    let reads: Vec<_> = reads.collect();
    let proofs = futures_util::stream::iter(reads).buffer_unordered(at_once).try_collect::<Vec<()>>();
    let (proven, globals) = tokio::join!(proofs, globals(order, source, destination, data_key.as_ref()));
    proven?;
    if let Some(globals) = globals? {
        prove(Arc::clone(&destination.store) as _, &globals).await?;
        parts.push(globals);
    }
    timings.push(lap("read back", begun));
    if work.asked_for.is_some() {
        let begun = Monotonic::now();
        listed::check(source, destination, data_key.as_ref(), &parts).await?;
        timings.push(lap("list", begun));
    }
    let written = Written { started_at, data_key, keys, parts, timings, content_digest: None };
    conclude(order, source, destination, written, summary, &[]).await
}

/// Writes the manifest. What the archive itself told of references between schemas is in `told`.
pub(super) async fn conclude(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    written: Written,
    summary: DumpSummary,
    told: &[(String, String)],
) -> Result<Taken, BackupError> {
    let asked = if order.work.tenant.is_some() { source.references().await? } else { &[] };
    let references = asked.iter().chain(told);
    publish(order, destination, || manifest(order, source, destination, written, summary, references)).await
}

/// Makes and puts a manifest, and says whose stands.
pub(super) async fn publish(
    order: &Order,
    destination: &Destination,
    make: impl FnOnce() -> Manifest,
) -> Result<Taken, BackupError> {
    // Frozen for longer than its lease, this attempt may have been given up and collected: then it must not look whole.
    if !(order.still_mine)().await {
        return Err(BackupError::Fenced);
    }
    let manifest = make();
    let manifest_key = layout::manifest(order.work.database.as_ref(), &order.work.scope, &order.work.backup);
    match write_manifest(destination.store.as_ref(), &manifest_key, &manifest).await? {
        ManifestOutcome::Won => Ok(Taken { manifest, manifest_key, by_this_attempt: true }),
        ManifestOutcome::Lost(theirs) => {
            adoptable(order, destination, &theirs).await?;
            Ok(Taken { manifest: *theirs, manifest_key, by_this_attempt: false })
        }
    }
}

/// Looks whether the work is done: an attempt that died between its manifest and the catalog, or whose reply was lost,
/// has done it. A first attempt looks, too: a catalog that was put back to an earlier state counts attempts anew, and the
/// folder of this attempt would be that of the backup that is there.
pub(super) async fn already(order: &Order, destination: &Destination) -> Result<Option<Taken>, BackupError> {
    let manifest_key = layout::manifest(order.work.database.as_ref(), &order.work.scope, &order.work.backup);
    if destination.store.head(&manifest_key).await?.is_none() {
        return Ok(None);
    }
    let manifest = read_manifest(destination.store.as_ref(), &manifest_key).await?;
    adoptable(order, destination, &manifest).await?;
    Ok(Some(Taken { manifest, manifest_key, by_this_attempt: false }))
}

/// Checks a manifest that was there before: it must be of this catalog, and everything it names must be in the store
/// and whole. A manifest alone proves nothing.
async fn adoptable(order: &Order, destination: &Destination, manifest: &Manifest) -> Result<(), BackupError> {
    let foreign = |what: &str| BackupError::Foreign { backup: manifest.backup_id.clone(), what: what.to_owned() };
    if manifest.lineage.as_deref() != Some(order.lineage.as_str()) {
        return Err(foreign("it was written under another catalog"));
    }
    if manifest.action_id != order.action.to_string() {
        return Err(foreign("it is of other work"));
    }
    for key in &manifest.keys {
        if destination.store.head(&key.key).await?.is_none() {
            return Err(foreign("its key is gone"));
        }
    }
    // Taken by an attempt that died, it was needed by nobody's count, and what it needs may have been deleted since.
    if let Some(shared) = &manifest.shared {
        let shared = BackupId::from_text(shared.clone());
        let key = layout::manifest(order.work.database.as_ref(), &Scope::Shared, &shared);
        if destination.store.head(&key).await?.is_none() {
            return Err(foreign("what it shares with others is gone"));
        }
    }
    for part in &manifest.parts {
        read_back(Arc::clone(&destination.store) as _, part).await?;
    }
    Ok(())
}

/// Makes the attempt's key, where the store is encrypted, and writes it once per recipient. Keys go before data: data whose key was never written is lost.
pub(super) async fn seal_keys(
    order: &Order,
    destination: &Destination,
) -> Result<(Option<DataKey>, Vec<KeyObject>), BackupError> {
    if destination.recipients.is_empty() {
        return Ok((None, Vec::new()));
    }
    let data_key = DataKey::generate();
    let work = &order.work;
    let mut keys = Vec::new();
    for recipient in &destination.recipients {
        let fingerprint = recipient.fingerprint();
        let key = layout::key_object(work.database.as_ref(), &work.scope, &work.backup, order.attempt, &fingerprint);
        let sealed = data_key.seal(recipient, destination.digest_key.as_ref())?;
        // Keys live outside the attempt's data prefix and are never conditional: the attempt owns its prefix alone.
        let _ = destination.store.put(&key, Bytes::from(sealed), PutOptions::default()).await?;
        keys.push(KeyObject { key, recipient: recipient.as_str().to_owned(), fingerprint });
    }
    Ok((Some(data_key), keys))
}

async fn archive(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
) -> Result<(DataPart, DumpSummary), BackupError> {
    let work = &order.work;
    let scope = match (&work.scope, &work.tenant) {
        (Scope::Database, _) => DumpScope::Database,
        (Scope::Shared, _) => DumpScope::AllBut(work.leave_out.clone()),
        (Scope::Tenant(_), Some(tenant)) => DumpScope::Schema(tenant.schema.clone()),
        (other, _) => return Err(BackupError::NotServed(other.to_string())),
    };
    let Archive { chunks, end } = source.dump(scope, destination.row_key())?;
    pack_stream(chunks, end, |reader| {
        pack_part(order, destination, data_key, PartKind::Archive, "archive.dump", reader)
    })
    .await
}

/// Packs what comes out of a channel while its producer goes on, and returns what that says at its end. Nothing is
/// visible where either fails.
pub(super) async fn pack_stream<T, P: Future<Output = Result<DataPart, BackupError>>>(
    mut chunks: tokio::sync::mpsc::Receiver<Bytes>,
    end: impl Future<Output = Result<T, EngineError>>,
    pack: impl FnOnce(PipeReader) -> P,
) -> Result<(DataPart, T), BackupError> {
    let (writer, reader) = pipe(4);
    let feed = async move {
        while let Some(chunk) = chunks.recv().await {
            // A reader that is gone has failed and will say why; the dump is killed by being dropped.
            writer.send(chunk).await.ok()?;
        }
        let summary = end.await;
        match &summary {
            Ok(_) => writer.finish().await.ok()?,
            Err(error) => writer.fail(error.to_string()).await,
        }
        Some(summary)
    };
    let (summary, packed) = tokio::join!(feed, pack(reader));
    match (summary, packed) {
        (Some(Err(error)), _) => Err(error.into()),
        (_, Err(error)) => Err(error),
        (Some(Ok(summary)), Ok(part)) => Ok((part, summary)),
        (None, Ok(_)) => Err(BackupError::Interrupted),
    }
}

/// Packs the roles and their memberships beside an archive that needs them.
pub(super) async fn globals(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    data_key: Option<&DataKey>,
) -> Result<Option<DataPart>, BackupError> {
    if !matches!(order.work.scope, Scope::Database | Scope::Shared) {
        return Ok(None);
    }
    let text = PipeReader::from_bytes(source.globals().await?);
    pack_part(order, destination, data_key, PartKind::Globals, "globals.sql", text).await.map(Some)
}

/// Reads a part back that this attempt has just written.
pub(super) async fn prove(store: Arc<dyn ReadStore>, part: &DataPart) -> Result<(), BackupError> {
    proof(part, || read_back(Arc::clone(&store), part)).await
}

/// Reads a part that was just written by some means; once more a moment later, where it reads otherwise: what matters is
/// what the store holds, and a first look may come before it shows that.
pub(super) async fn proof<R: Future<Output = Result<(), ArtifactError>>>(
    part: &DataPart,
    read: impl Fn() -> R,
) -> Result<(), BackupError> {
    let otherwise = |read: &Result<(), ArtifactError>| match read {
        Err(error) if error.is_damage() => {
            tracing::warn!(key = %part.key, %error, "written just now, and read otherwise: it is read again");
            true
        }
        _ => false,
    };
    let read = settled(read, otherwise).await;
    let told = |error: ArtifactError| if error.is_damage() { BackupError::ReadsOtherwise(error) } else { error.into() };
    read.map_err(told)
}

/// Packs one part under the attempt's own prefix.
pub(super) async fn pack_part(
    order: &Order,
    destination: &Destination,
    data_key: Option<&DataKey>,
    kind: PartKind,
    name: &str,
    source: PipeReader,
) -> Result<DataPart, BackupError> {
    Ok(pack(request(order, destination, data_key, kind, name), source).await?)
}

/// Returns how a part is packed.
pub(super) fn request(
    order: &Order,
    destination: &Destination,
    data_key: Option<&DataKey>,
    kind: PartKind,
    name: &str,
) -> PackRequest {
    let work = &order.work;
    let compressed = match work.compression {
        Compression::None => "",
        Compression::Lz4 => ".lz4",
        Compression::Zstd(_) => ".zst",
    };
    let encrypted = if data_key.is_some() { ".age" } else { "" };
    let name = format!("{name}{compressed}{encrypted}");
    PackRequest {
        store: Arc::clone(&destination.store),
        key: layout::part(work.database.as_ref(), &work.scope, &work.backup, order.attempt, &name),
        kind,
        compression: work.compression,
        recipient: data_key.map(|key| key.recipient().clone()),
        digest_key: destination.digest_key.clone(),
        estimate: None,
    }
}

fn manifest<'a>(
    order: &Order,
    source: &dyn Source,
    destination: &Destination,
    written: Written,
    mut summary: DumpSummary,
    references: impl Iterator<Item = &'a (String, String)>,
) -> Manifest {
    let work = &order.work;
    let facts = source.facts();
    let schema = work.tenant.as_ref().map(|tenant| tenant.schema.as_str());
    let mut mutual: Vec<String> = references
        .filter_map(|(from, to)| match schema {
            Some(schema) if from == schema => Some(to.clone()),
            Some(schema) if to == schema => Some(from.clone()),
            _ => None,
        })
        .filter(|other| work.tenant.is_some() && Some(other.as_str()) != schema)
        .collect();
    mutual.sort_unstable();
    mutual.dedup();
    summary.notes.extend(order.notes.iter().cloned());
    Manifest {
        consistent_at: order.simulated.unwrap_or(facts.consistent_at).to_string(),
        scope: ManifestScope {
            scope: work.scope.to_string(),
            datname: Some(facts.datname.clone()),
            tenant_id: work.tenant.as_ref().and_then(|tenant| tenant.id.clone()),
            schemas: summary.schemas,
            tables: summary.tables,
            sequences: summary.sequences,
            extensions: summary.extensions,
            roles: summary.roles,
            large_objects: summary.large_objects,
        },
        shared: work.shared.as_ref().map(ToString::to_string),
        mutual,
        server_version: facts.server_version.clone(),
        dump_version: Some(summary.dump_version),
        system_identifier: facts.system_identifier.clone(),
        end_lsn: facts.lsn.map(|lsn| lsn.to_string()),
        snapshot: Some(facts.id.clone()),
        notes: summary.notes,
        ..outline(order, destination, written)
    }
}

pub(super) fn lap(phase: &str, since: Monotonic) -> PhaseTiming {
    PhaseTiming {
        phase: phase.to_owned(),
        milliseconds: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
