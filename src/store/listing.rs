//! Whole listings as streams of pages: never the whole of a store in memory.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::{ObjectFacts, ReadStore, StoreError, layout};
use crate::domain::{BackupId, Scope};

/// A listing on its way. It ends after the first error: a listing with a hole must not be taken for the whole.
pub type ObjectStream = BoxStream<'static, Result<ObjectFacts, StoreError>>;

/// Manifests on their way.
pub type ManifestStream = BoxStream<'static, Result<ManifestEntry, StoreError>>;

/// One manifest as the listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Its key.
    pub key: String,
    /// The database's segment of the key: its name, `_` for none.
    pub database: String,
    /// The scope; absent where a very long slug was shortened in the key, then the manifest says it.
    pub scope: Option<Scope>,
    /// The backup's id.
    pub id: BackupId,
    /// What the listing says of the object.
    pub facts: ObjectFacts,
}

/// Lists every object whose key begins with `prefix`; an empty one lists the whole store.
pub fn list(store: Arc<dyn ReadStore>, prefix: &str) -> ObjectStream {
    enum Next {
        Page(Option<String>),
        End,
    }
    let prefix = prefix.to_owned();
    stream::unfold(Next::Page(None), move |next| {
        let (store, prefix) = (Arc::clone(&store), prefix.clone());
        async move {
            let Next::Page(from) = next else { return None };
            Some(match store.list_page(&prefix, from.as_deref()).await {
                Ok(page) if page.next.is_some() && page.next == from => {
                    let what = "the listing does not move on".to_owned();
                    let error = StoreError::Invalid { place: store.place().to_owned(), key: prefix, what };
                    (vec![Err(error)], Next::End)
                }
                Ok(page) => {
                    let then = page.next.map_or(Next::End, |token| Next::Page(Some(token)));
                    (page.objects.into_iter().map(Ok).collect(), then)
                }
                Err(error) => (vec![Err(error)], Next::End),
            })
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

/// Finds every manifest, by one listing of `backups/`: a thousand keys a request, data objects passed over.
pub fn manifests(store: Arc<dyn ReadStore>) -> ManifestStream {
    list(store, layout::BACKUPS)
        .filter_map(|item| async move {
            match item {
                Ok(facts) => layout::parse_manifest(&facts.key).map(|parsed| {
                    Ok(ManifestEntry {
                        key: facts.key.clone(),
                        database: parsed.database,
                        scope: parsed.scope,
                        id: parsed.id,
                        facts,
                    })
                }),
                Err(error) => Some(Err(error)),
            }
        })
        .boxed()
}
