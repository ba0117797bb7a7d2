//! What a bucket with versions keeps: there a deletion only hides the object. What is hidden is found, and what is to be
//! gone is destroyed version by version, marks of deletion included.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{ObjectVersion, ReadStore, StoreError, VersionsFrom, WriteStore};

/// How often a prefix is listed until it shows nothing that still goes.
const ROUNDS: usize = 8;

/// Lists the versions and marks of deletion below a prefix, in the order of [`VersionPage::versions`](super::VersionPage).
/// Nothing where the store keeps no versions. A page is held at a time.
pub fn versions(store: Arc<dyn ReadStore>, prefix: &str) -> BoxStream<'static, Result<ObjectVersion, StoreError>> {
    let prefix: Arc<str> = prefix.into();
    stream::try_unfold(Some(None::<VersionsFrom>), move |at| {
        let (store, prefix) = (Arc::clone(&store), Arc::clone(&prefix));
        async move {
            let Some(from) = at else { return Ok(None) };
            let Some(page) = store.versions_page(&prefix, from.as_ref()).await? else { return Ok(None) };
            if page.next.is_some() && page.next == from {
                return Err(goes_nowhere(store.place(), &prefix));
            }
            Ok(Some((stream::iter(page.versions).map(Ok), page.next.map(Some))))
        }
    })
    .try_flatten()
    .boxed()
}

fn goes_nowhere(place: &str, prefix: &str) -> StoreError {
    let what = "its listing of versions goes on where it was".to_owned();
    StoreError::Invalid { place: place.to_owned(), key: prefix.to_owned(), what }
}

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
                return Err(goes_nowhere(store.place(), prefix));
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
