//! Whether a manifest is one that this catalog recorded: its form, its names and its digests have to agree with each
//! other and with the place it lies in. Pure. Manifests carry no signature; what is authentic is their parts.

use crate::domain::{ActionId, BackupId, Digest, Instant, Manifest, PlainDigest};
use crate::store::layout;

/// What a manifest is for the store it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The backup itself.
    Original,
    /// A copy; the store with this id has the original.
    Copy(String),
}

/// Judges a manifest that was read from its own key.
pub(super) fn judge(manifest: &Manifest, lineage: &str, store_id: &str) -> Result<Kind, String> {
    match manifest.lineage.as_deref() {
        Some(own) if own == lineage => {}
        Some(other) => return Err(format!("it is of another catalog, {other}")),
        None => return Err("it names no catalog".to_owned()),
    }
    let action: ActionId = manifest.action_id.parse()?;
    let slot: Instant = manifest.slot.parse().map_err(|_| "its slot is no instant".to_owned())?;
    if BackupId::of(slot, &manifest.schedule, action).as_str() != manifest.backup_id {
        return Err("its id is not that of its slot, schedule and action".to_owned());
    }
    for part in &manifest.parts {
        let sum = part.ciphertext_sha256.parse::<Digest>().and_then(|_| part.plaintext_digest.parse::<PlainDigest>());
        if layout::check_key(&part.key).is_err() || !part.key.starts_with(layout::BACKUPS) || sum.is_err() {
            return Err(format!("its part {:?} has no sound key or digest", part.key));
        }
    }
    if manifest.parts.is_empty() {
        return Err("it names no data".to_owned());
    }
    if manifest.keys.iter().any(|key| layout::check_key(&key.key).is_err() || !key.key.starts_with(layout::KEYS)) {
        return Err("it names a key object outside the keys".to_owned());
    }
    Ok(if manifest.store_id == store_id { Kind::Original } else { Kind::Copy(manifest.store_id.clone()) })
}
