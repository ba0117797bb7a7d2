//! Why a catalog cannot be rebuilt.

use crate::catalog::CatalogError;
use crate::diag::{Code, Diagnostic, Explain};
use crate::domain::Name;
use crate::store::StoreError;

/// Why a rebuild did not begin or ended early. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A store that may hold backups of the catalog cannot be read.
    #[error("cannot rebuild the catalog without store.{store}: {why}")]
    StoreMissing {
        /// Which.
        store: Name,
        /// Why not.
        why: String,
    },
    /// A store that is to be left out is nobody's.
    #[error("store.{0} is neither in the policies nor one that the catalog used")]
    UnknownStore(Name),
    /// The url of a store points at another one.
    #[error(
        "store.{store} is not the one that the catalog used: it was {recorded}, and what its url points at is {found}"
    )]
    OtherStore {
        /// Which.
        store: Name,
        /// The id that is recorded.
        recorded: String,
        /// The id that was found.
        found: String,
    },
    /// There is nothing to rebuild from.
    #[error("there is nothing to rebuild a catalog from: no store holds a state or a manifest")]
    Nothing,
    /// The stores are of several catalogs.
    #[error("the stores are of more than one catalog: {first} and {second}")]
    SeveralCatalogs {
        /// One identity.
        first: String,
        /// Another.
        second: String,
    },
    /// A store failed while it was read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog's database failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Explain for RebuildError {
    fn explain(&self) -> Diagnostic {
        let finding = |help: String| Diagnostic::error(Code("BK918"), self.to_string()).help(help);
        match self {
            Self::StoreMissing { store, .. } => finding(format!(
                "make it readable; or consent to a catalog that does not know its backups with --without {store}"
            )),
            Self::UnknownStore(_) => finding("name a store with --without as the policies do".to_owned()),
            Self::OtherStore { .. } => finding("check the store's url, bucket, prefix and mount".to_owned()),
            Self::Nothing => finding(
                "check the stores' urls; where nothing was ever backed up, `bkup apply` makes the catalog".to_owned(),
            ),
            Self::SeveralCatalogs { .. } => {
                finding("rebuild from policies that name the stores of one catalog only".to_owned())
            }
            Self::Store(error) => error.explain(),
            Self::Catalog(error) => error.explain(),
        }
    }
}

/// Returns whether a failure is about the object itself: reading it again gives the same. Everything else ends a rebuild.
pub(super) const fn is_unusable(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Invalid { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::TooLarge { .. }
            | StoreError::BadKey { .. }
            | StoreError::NotFound { .. }
    )
}
