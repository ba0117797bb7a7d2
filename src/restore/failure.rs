//! What can go wrong while something is brought back.

use crate::artifact::ArtifactError;
use crate::crypto::CryptoError;
use crate::diag::{Code, Diagnostic, Explain};
use crate::engine::EngineError;
use crate::store::StoreError;

/// Why a restore did not happen, or was not believed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A PostgreSQL program or a server failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The backup's data could not be read back.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A key did not open.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such backup.
    #[error("no backup {wanted} in {place}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Where.
        place: String,
    },
    /// The private key is not at hand.
    #[error("backup {backup} is encrypted to {recipients}, and no identity is at hand")]
    NoIdentity {
        /// The backup.
        backup: String,
        /// Who could open it.
        recipients: String,
    },
    /// What was restored is not what was backed up.
    #[error("what was restored from {backup} is not what was backed up: {what}")]
    NotEqual {
        /// The backup.
        backup: String,
        /// Which tables differ.
        what: String,
    },
    /// The target is not empty.
    #[error("{what} exists already")]
    TargetExists {
        /// The schema or database.
        what: String,
    },
    /// There is not enough room.
    #[error("{needed} are needed in {folder}, and {free} are free")]
    NoRoom {
        /// Where.
        folder: String,
        /// How much is needed.
        needed: String,
        /// How much there is.
        free: String,
    },
    /// The kind of restore is not served.
    #[error("{0}")]
    NotServed(String),
}

impl Explain for RestoreError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::Engine(error) => return error.explain(),
            Self::Artifact(error) => return error.explain(),
            Self::Crypto(error) => return error.explain(),
            Self::Store(error) => return error.explain(),
            Self::NotFound { .. } => ("BK860", "`bkup list` shows what there is"),
            Self::NoIdentity { .. } => (
                "BK861",
                "set `encryption.identity` of the store, and its variable to the key or to the path of its file",
            ),
            Self::NotEqual { .. } => {
                ("BK862", "nothing was put in place; try the backup before it, and look at this one with a drill")
            }
            Self::TargetExists { .. } => (
                "BK863",
                "nothing was overwritten; restore into another name with --into new:NAME, or rename what is there",
            ),
            Self::NoRoom { .. } => ("BK864", "free some room, or set TMPDIR to a folder with more"),
            Self::NotServed(_) => ("BK865", "`bkup restore --help` shows what there is"),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
