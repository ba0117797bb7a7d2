//! Destroying what a store keeps: where a bucket has versions, a deletion only hides the object, and what is to be gone has
//! to go version by version, marks of deletion included.

use std::collections::BTreeSet;

use super::{ObjectVersion, StoreError, WriteStore};

/// How often a prefix is listed until it shows nothing that still goes.
const ROUNDS: usize = 8;

/// What became of the versions below a prefix.
#[derive(Debug, Default)]
pub struct VersionsGone {
    /// The keys of which there was a version or a mark.
    pub keys: BTreeSet<String>,
    /// What is still there, each with the reason.
    pub left: Vec<(ObjectVersion, StoreError)>,
}

/// Deletes every version of the objects below a prefix, the newest ones and the marks of deletion too. `None` where the
/// store does not know the question.
///
/// A page is listed and deleted at a time, each request repeated by itself: a storm of failures costs time, never what
/// was done already. The end is a listing that shows nothing more, or only what the store keeps: a server that took the
/// request and deleted something else, or put up another mark, is found out.
///
/// # Errors
/// When the store denies to list versions or cannot be reached; when its listing is cut short or never ends.
pub async fn destroy_versions(store: &dyn WriteStore, prefix: &str) -> Result<Option<VersionsGone>, StoreError> {
    let invalid = |what: String| StoreError::Invalid { place: store.place().to_owned(), key: prefix.to_owned(), what };
    let (mut keys, mut before) = (BTreeSet::new(), 0);
    for _ in 0..ROUNDS {
        let (mut shown, mut left, mut from) = (0, Vec::new(), None);
        loop {
            let Some(page) = store.versions_page(prefix, from.as_ref()).await? else { return Ok(None) };
            if !page.versions.is_empty() {
                shown += page.versions.len();
                keys.extend(page.versions.iter().map(|version| version.key.clone()));
                left.extend(store.delete_versions(&page.versions).await?);
            }
            if page.next.is_none() {
                break;
            }
            if page.next == from {
                return Err(invalid("its listing of versions goes on where it was".to_owned()));
            }
            from = page.next;
        }
        // Some servers do not say which version of a key it is that they keep: what is left is what is shown again.
        if shown == 0 || (left.len() == shown && shown == before) {
            return Ok(Some(VersionsGone { keys, left }));
        }
        before = shown;
    }
    Err(invalid(format!("it still shows versions after they were deleted {ROUNDS} times")))
}
