//! What can go wrong while a backup is taken.

use std::sync::Arc;

use crate::artifact::ArtifactError;
use crate::crypto::CryptoError;
use crate::diag::{Code, Diagnostic, Explain};
use crate::engine::EngineError;
use crate::engine::files::FilesError;
use crate::server::ServerError;
use crate::store::StoreError;

/// Why a backup was not taken. Nothing of it is visible then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A PostgreSQL program or the server failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The one dump of many tenants failed, and none of them is known to be the cause.
    #[error("the dump of it and others failed: {0}")]
    Pass(Arc<EngineError>),
    /// What failed for several at once.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// Compressing, encrypting or reading back failed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// What this attempt wrote is not what is read.
    #[error("written just now, and read otherwise: {0}")]
    ReadsOtherwise(ArtifactError),
    /// A key could not be sealed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An archive as it lies in the store cannot be listed.
    #[error("pg_restore cannot list {key} as it lies in the store: {why}")]
    NotListed {
        /// The object.
        key: String,
        /// Why not.
        why: String,
    },
    /// The files could not be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The configuration could not be read.
    #[error("the configuration could not be read: {0}")]
    Configuration(ServerError),
    /// The plan asks for a kind of backup that this version does not take.
    #[error("this version takes no {0} backups")]
    NotServed(String),
    /// The attempt lost its right to the work while it was at it.
    #[error("its lease was lost before the manifest was written; nothing of this attempt is visible")]
    Fenced,
    /// A manifest is there that this work cannot take for its own.
    #[error("the store holds a manifest of backup {backup} that cannot be taken over: {what}")]
    Foreign {
        /// The backup.
        backup: String,
        /// Why not.
        what: String,
    },
    /// The run was interrupted.
    #[error("the run was interrupted")]
    Interrupted,
}

impl BackupError {
    /// Returns whether trying again may help: the store stumbled, or the server went away.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_transient(),
            Self::Store(error) | Self::Artifact(ArtifactError::Store(error)) => error.is_transient(),
            // A lost snapshot is not among them: the next try would ask for the same dead one.
            _ => false,
        }
    }

    /// Returns whether another attempt may help: also after a cache before the store, or a bit on the way, made objects read
    /// otherwise, since each attempt writes its own.
    #[must_use]
    pub fn is_worth_another(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_worth_another(),
            Self::ReadsOtherwise(_) => true,
            _ => self.is_transient(),
        }
    }
}

impl Explain for BackupError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Engine(error) => error.explain(),
            Self::Pass(error) => error.explain(),
            Self::Shared(error) => error.explain(),
            Self::Artifact(error) => error.explain(),
            Self::ReadsOtherwise(error) => Diagnostic::error(error.explain().code, self.to_string()).help(
                "look at the store, its disk, and caches and proxies before it; nothing of this attempt is visible",
            ),
            Self::Crypto(error) => error.explain(),
            Self::Store(error) => error.explain(),
            Self::Files(error) => error.explain(),
            Self::Configuration(error) => error.explain(),
            Self::NotServed(_) => Diagnostic::error(Code("BK850"), self.to_string())
                .help("make the plan again with the version of bkup that applies it"),
            Self::NotListed { .. } => Diagnostic::error(Code("BK937"), self.to_string())
                .help("do not begin what it was taken for; nothing of it is kept: see why, and take it again"),
            Self::Fenced => Diagnostic::error(Code("BK852"), self.to_string())
                .help("someone else does the work now; if the clock or the machine stood still, look at that first"),
            Self::Foreign { .. } => Diagnostic::error(Code("BK853"), self.to_string()).help(
                "give each policy set a store prefix of its own; if the manifest is a leftover, move it away after looking at it",
            ),
            Self::Interrupted => Diagnostic::error(Code("BK851"), self.to_string())
                .help("run `bkup apply` again: it takes what is still due, and collects what this attempt left"),
        }
    }
}
