//! Whole listings as streams of pages: never the whole of a store in memory.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::task::JoinHandle;

use super::{ListPage, ObjectFacts, ReadStore, StoreError, UnfinishedUpload, layout};
use crate::domain::{BackupId, Scope};

/// A listing on its way. It ends after the first error: a listing with a hole must not be taken for the whole.
pub type ObjectStream = BoxStream<'static, Result<ObjectFacts, StoreError>>;

/// What a listing shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// An object.
    Object(ObjectFacts),
    /// An upload that was begun and neither completed nor aborted.
    Upload(UnfinishedUpload),
}

/// Everything that a listing shows, on its way. It ends after the first error.
pub type ListedStream = BoxStream<'static, Result<Listed, StoreError>>;

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
    let object = |listed| match listed {
        Ok(Listed::Object(object)) => Some(Ok(object)),
        Ok(Listed::Upload(_)) => None,
        Err(error) => Some(Err(error)),
    };
    list_all(store, prefix).filter_map(move |listed| std::future::ready(object(listed))).boxed()
}

/// Lists every object whose key begins with `prefix`, and the unfinished uploads that the store keeps among them. Whoever
/// reads a page does so while the store is asked for the next one.
pub fn list_all(store: Arc<dyn ReadStore>, prefix: &str) -> ListedStream {
    enum Next {
        Begin,
        Page(Asked),
        End,
    }
    let prefix = prefix.to_owned();
    stream::unfold(Next::Begin, move |next| {
        let (store, prefix) = (Arc::clone(&store), prefix.clone());
        async move {
            let mut asked = match next {
                Next::Begin => Asked::of(&store, &prefix, None),
                Next::Page(asked) => asked,
                Next::End => return None,
            };
            Some(match asked.answer(&store, &prefix).await {
                Ok(page) => {
                    let then = page.next.map_or(Next::End, |from| Next::Page(Asked::of(&store, &prefix, Some(from))));
                    let uploads = page.uploads.into_iter().map(Listed::Upload);
                    (uploads.chain(page.objects.into_iter().map(Listed::Object)).map(Ok).collect(), then)
                }
                Err(error) => (vec![Err(error)], Next::End),
            })
        }
    })
    .flat_map(|page: Vec<Result<Listed, StoreError>>| stream::iter(page))
    .boxed()
}

/// A page that was asked for. Nobody waits for one whose listing was given up.
struct Asked {
    from: Option<String>,
    page: JoinHandle<Result<ListPage, StoreError>>,
}

impl Asked {
    fn of(store: &Arc<dyn ReadStore>, prefix: &str, from: Option<String>) -> Self {
        let (store, prefix, begin) = (Arc::clone(store), prefix.to_owned(), from.clone());
        Self { from, page: tokio::spawn(async move { store.list_page(&prefix, begin.as_deref()).await }) }
    }

    async fn answer(&mut self, store: &Arc<dyn ReadStore>, prefix: &str) -> Result<ListPage, StoreError> {
        let place = || store.place().to_owned();
        match (&mut self.page).await {
            Ok(Ok(page)) if page.next.is_some() && page.next == self.from => {
                let what = "the listing does not move on".to_owned();
                Err(StoreError::Invalid { place: place(), key: prefix.to_owned(), what })
            }
            Ok(answer) => answer,
            Err(error) => {
                Err(StoreError::Refused { place: place(), action: "list".to_owned(), detail: error.to_string() })
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.page.abort();
    }
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
