//! What every manifest says alike, whoever made the backup: whose work it is, by whom, when, and what was written.

use super::logical::{Destination, Order};
use crate::crypto::{DataKey, DigestKey};
use crate::domain::{DataPart, Instant, KeyObject, MANIFEST_FORMAT, Manifest, ManifestScope, PhaseTiming};

/// What an attempt has written, before its manifest.
pub(super) struct Written {
    pub started_at: Instant,
    pub data_key: Option<DataKey>,
    pub keys: Vec<KeyObject>,
    pub parts: Vec<DataPart>,
    pub timings: Vec<PhaseTiming>,
    pub content_digest: Option<String>,
}

/// Returns a manifest that holds what the order and what was written say; its content is of when it was begun, and nothing
/// is known of what is inside or where it came from.
pub(super) fn outline(order: &Order, destination: &Destination, written: Written) -> Manifest {
    let Written { started_at, data_key, keys, parts, timings, content_digest } = written;
    let work = &order.work;
    Manifest {
        format_version: MANIFEST_FORMAT.to_owned(),
        backup_id: work.backup.to_string(),
        action_id: order.action.to_string(),
        attempt: order.attempt,
        store_id: destination.store_id.clone(),
        backup_type: work.backup_type.word().to_owned(),
        engine: "logical".to_owned(),
        method: serde_json::to_value(work.method).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default(),
        simulated: order.simulated.is_some(),
        lineage: Some(order.lineage.clone()),
        database: work.database.as_ref().map(ToString::to_string),
        schedule: work.schedule.to_string(),
        retention: serde_json::to_value(&work.retention).unwrap_or_default(),
        protect: work.protect,
        slot: work.slot.to_string(),
        consistent_at: order.simulated.unwrap_or(started_at).to_string(),
        started_at: started_at.to_string(),
        completed_at: (order.now)().to_string(),
        scope: ManifestScope { scope: work.scope.to_string(), ..ManifestScope::default() },
        parts,
        keys,
        data_recipient: data_key.as_ref().map(|key| key.recipient().as_str().to_owned()),
        content_digest,
        asked_for: work.asked_for.clone(),
        adopted_from: None,
        digest_key_id: destination.digest_key.as_ref().map(DigestKey::id),
        shared: None,
        parent: None,
        mutual: Vec::new(),
        policy_digest: order.policy_digest.to_string(),
        tool_version: order.tool_version.clone(),
        server_version: String::new(),
        dump_version: None,
        system_identifier: None,
        begin_lsn: None,
        end_lsn: None,
        timeline: None,
        snapshot: None,
        timings,
        storage_class: destination.storage_class.clone(),
        locked_until: None,
        notes: Vec::new(),
    }
}
