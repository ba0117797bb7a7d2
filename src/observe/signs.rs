//! A store's uploads and settings. Each is known or not by itself.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{ReadLedger, RecordedObjects};
use crate::domain::{BackupId, Bytes, Instant, Observation, Period, Seen, UploadOwner, UploadSign};
use crate::store::{ReadStore, UnfinishedUpload, layout};

use super::objects::Passed;

/// How many uploads are looked at; of more, the rest is seen the next time.
pub const MOST_UPLOADS: usize = 1000;
/// Of how many uploads the size is asked, a request each.
const MOST_SIZES: usize = 20;
/// What is younger may be at work.
const YOUNG: Period = Period::hours(1);
/// A probe takes seconds; one that is a day old was killed.
const PROBE: Period = Period::days(1);

/// Finds the uploads that were begun and not ended, and whose each of them is. Without the catalog's word nobody's
/// upload is taken for dead. `passed` are those that listings have shown already: one whose listing broke off is not
/// told from one that the listing did not come to, so it is forgotten and looked for again.
pub async fn uploads(
    store: &Arc<dyn ReadStore>,
    reader: Option<&dyn ReadLedger>,
    recorded: Option<&RecordedObjects>,
    now: Instant,
    passed: Passed,
) -> Seen<Vec<UploadSign>> {
    let mut found = match store.uploads(&passed.listed).await {
        Ok(Some(others)) => {
            let shown = |upload: &UnfinishedUpload| passed.listed.iter().any(|prefix| upload.key.starts_with(prefix));
            passed.uploads.into_iter().filter(shown).chain(others).collect::<Vec<_>>()
        }
        Ok(None) => return Observation::Known(None),
        Err(error) => return Observation::Unreachable(error.to_string()),
    };
    found.truncate(MOST_UPLOADS);
    let attempts: Vec<(BackupId, u64)> =
        found.iter().filter_map(|upload| layout::parse_attempt_key(&upload.key)).collect();
    let ended = match reader {
        Some(reader) if !attempts.is_empty() => match reader.ended_attempts(&attempts).await {
            Ok(ended) => ended,
            Err(error) => return Observation::Unreachable(error.to_string()),
        },
        _ => HashSet::new(),
    };
    let mut signs = Vec::with_capacity(found.len());
    let mut sizes = 0;
    for upload in found {
        let owner = owner(&upload, recorded, &ended, now);
        let mut bytes = None;
        if owner != UploadOwner::Attempt && sizes < MOST_SIZES {
            sizes += 1;
            // A size is for people: not to know it hides nothing.
            bytes = store.upload_size(&upload.key, &upload.upload).await.ok().flatten().map(Bytes);
        }
        let UnfinishedUpload { key, upload, begun } = upload;
        signs.push(UploadSign { key, upload: upload.0, begun, bytes, owner });
    }
    Observation::Known(Some(signs))
}

fn owner(
    upload: &UnfinishedUpload,
    recorded: Option<&RecordedObjects>,
    ended: &HashSet<(BackupId, u64)>,
    now: Instant,
) -> UploadOwner {
    let older = |than: Period| upload.begun.is_none_or(|begun| than.after(begun) <= now);
    match layout::parse_attempt_key(&upload.key) {
        Some(attempt) if ended.contains(&attempt) => UploadOwner::Dead,
        Some(attempt) if recorded.is_none_or(|recorded| recorded.attempts.contains(&attempt)) => UploadOwner::Attempt,
        None if upload.key.starts_with("probe/") && upload.begun.is_some() && older(PROBE) => UploadOwner::Dead,
        _ if older(YOUNG) => UploadOwner::Unknown,
        _ => UploadOwner::Attempt,
    }
}
