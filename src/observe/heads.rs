//! The heads of the audit chain that runs have left in the stores: what a chain that was written anew does not agree with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};

use crate::domain::{Name, StateFile};
use crate::store::{self, ReadStore, layout};

/// How many of the newest states of a store are compared.
const STATES: usize = 200;
/// How many are read at once.
const PARALLEL: usize = 8;
/// The largest state that is read.
const CAP: u64 = 256 * 1024 * 1024;

/// A store, or why it could not be opened.
pub type Opened = Result<Arc<dyn ReadStore>, String>;

/// What the stores say of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heads {
    /// The hash of a row, and the row's number; each once.
    pub heads: Vec<(u64, String)>,
    /// The stores that could not be read, and why.
    pub unread: Vec<(Name, String)>,
}

/// Reads the newest states of every store.
pub async fn audit_heads(stores: &BTreeMap<Name, Opened>) -> Heads {
    let mut heads = BTreeSet::new();
    let mut unread = Vec::new();
    for (name, opened) in stores {
        let found = match opened {
            Ok(store) => of_store(store).await.map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        match found {
            Ok(found) => heads.extend(found),
            Err(why) => unread.push((name.clone(), why)),
        }
    }
    Heads { heads: heads.into_iter().collect(), unread }
}

async fn of_store(store: &Arc<dyn ReadStore>) -> Result<Vec<(u64, String)>, store::StoreError> {
    let mut serials = BTreeSet::new();
    let mut listing = store::list(Arc::clone(store), layout::STATE);
    while let Some(facts) = listing.try_next().await? {
        serials.extend(layout::parse_state(&facts.key));
        if serials.len() > STATES {
            serials.pop_first();
        }
    }
    let reading = futures_util::stream::iter(serials).map(|serial| async move {
        let key = layout::state(serial);
        let bytes = store.get(&key, CAP).await?;
        store::parse_versioned::<StateFile>(store.place(), &key, &bytes, crate::domain::STATE_FORMAT)
    });
    let mut reading = std::pin::pin!(reading.buffer_unordered(PARALLEL));
    let mut heads = Vec::new();
    while let Some(state) = reading.next().await {
        let kept = state?.kept;
        heads.extend(kept.audit_head.filter(|_| kept.audit_rows > 0).map(|head| (kept.audit_rows, head)));
    }
    Ok(heads)
}
