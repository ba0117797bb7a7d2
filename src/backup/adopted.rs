//! Takes a backup over that somebody else's script made: copied into the store under bkup's own layout, encrypted as
//! every backup there, read back, and given a manifest. What lies where it was found is not touched.

use std::io::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use tokio::time::Instant as Monotonic;

use super::BackupError;
use super::logical::{Destination, Order, Taken, already, lap, pack_part, prove, publish, seal_keys};
use super::outline::{Written, outline};
use crate::artifact::{PipeWriter, pipe};
use crate::crypto::ContentHasher;
use crate::domain::{FoundBackup, FoundForm, Manifest, ManifestScope, PartKind};
use crate::store::{ReadStore, read};

/// Copies a backup, unless its manifest is there already.
///
/// # Errors
/// [`BackupError`]; nothing is visible then.
pub async fn adopt(
    order: &Order,
    found: &FoundBackup,
    place: &Arc<dyn ReadStore>,
    destination: &Destination,
) -> Result<Taken, BackupError> {
    if let Some(taken) = already(order, destination).await? {
        return Ok(taken);
    }
    let started_at = (order.now)();
    let begun = Monotonic::now();
    let (data_key, keys) = seal_keys(order, destination).await?;
    let (kind, name) = match found.form {
        FoundForm::Archive => (PartKind::Archive, "archive.dump"),
        FoundForm::DirectoryTar => (PartKind::DirectoryTar, "archive.tar"),
        FoundForm::Sql => (PartKind::Sql, "archive.sql"),
    };
    let (writer, reader) = pipe(4);
    let (copied, packed) =
        tokio::join!(copy(found, place, writer), pack_part(order, destination, data_key.as_ref(), kind, name, reader));
    copied?;
    let part = packed?;
    let copying = lap("copy", begun);
    let begun = Monotonic::now();
    prove(Arc::clone(&destination.store) as _, &part).await?;
    let mut notes = vec![
        format!("adopted from {}/{}, SHA-256 {}", found.place, found.key, found.sha256),
        "its rows were not digested when it was dumped, so a restore of it cannot be proven equal".to_owned(),
    ];
    notes.extend(found.notes.iter().cloned());
    let make = || {
        let timings = vec![copying, lap("read back", begun)];
        let written = Written { started_at, data_key, keys, parts: vec![part], timings, content_digest: None };
        Manifest {
            method: "MANUAL".to_owned(),
            protect: false,
            consistent_at: found.at.to_string(),
            scope: ManifestScope {
                scope: order.work.scope.to_string(),
                datname: found.datname.clone(),
                schemas: found.schemas.clone(),
                extensions: found.extensions.clone(),
                roles: found.roles.clone(),
                ..ManifestScope::default()
            },
            asked_for: None,
            adopted_from: Some(format!("{}/{}", found.place, found.key)),
            server_version: found.server_version.clone().unwrap_or_default(),
            dump_version: found.dump_version.clone().filter(|line| !line.is_empty()),
            notes,
            ..outline(order, destination, written)
        }
    };
    publish(order, destination, make).await
}

/// Streams what was found into a pipe, and finishes it only where every byte is the one that was checked.
async fn copy(found: &FoundBackup, place: &Arc<dyn ReadStore>, writer: PipeWriter) -> Result<(), BackupError> {
    let changed = |what: String| BackupError::Foreign { backup: format!("{}/{}", found.place, found.key), what };
    let facts = place.head(&found.key).await?;
    if facts.map(|facts| facts.size) != Some(found.size.0) {
        writer.fail("it is not what it was").await;
        return Err(changed("it is gone, or of another size than when it was checked".to_owned()));
    }
    let mut unpacker = (found.form != FoundForm::Archive).then(|| MultiGzDecoder::new(BytesMut::new().writer()));
    let mut hasher = ContentHasher::new(None);
    let mut left = found.whole.0;
    let mut stream = read(Arc::clone(place), &found.key, found.size.0);
    while let Some(piece) = stream.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                writer.fail(error.to_string()).await;
                return Err(error.into());
            }
        };
        hasher.update(&piece);
        let bytes = match &mut unpacker {
            None => {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                left -= take as u64;
                piece.slice(..take)
            }
            Some(unpacker) => match unpack(unpacker, &piece) {
                Ok(bytes) => bytes,
                Err(error) => {
                    writer.fail(error.to_string()).await;
                    return Err(changed(format!("gzip: {error}")));
                }
            },
        };
        if !bytes.is_empty() && writer.send(bytes).await.is_err() {
            // The packing has failed, and says why.
            return Ok(());
        }
    }
    if let Some(unpacker) = &mut unpacker {
        match unpacker.try_finish().and_then(|()| unpack(unpacker, &[])) {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => drop(writer.send(bytes).await),
            Err(error) => {
                writer.fail(error.to_string()).await;
                return Err(changed(format!("gzip: {error}")));
            }
        }
    }
    if hasher.finish() != found.sha256 {
        writer.fail("it is not what it was").await;
        return Err(changed("it is not what it was when it was checked".to_owned()));
    }
    let _ = writer.finish().await;
    Ok(())
}

type Unpacker = MultiGzDecoder<bytes::buf::Writer<BytesMut>>;

/// Unpacks a piece; what it comes to is at most a thousand times as much.
fn unpack(unpacker: &mut Unpacker, piece: &[u8]) -> std::io::Result<Bytes> {
    unpacker.write_all(piece)?;
    unpacker.flush()?;
    Ok(unpacker.get_mut().get_mut().split().freeze())
}
