//! What can go wrong while something is brought back.

use super::swap::SwapError;
use crate::artifact::ArtifactError;
use crate::crypto::CryptoError;
use crate::diag::{Code, Diagnostic, Explain};
use crate::engine::EngineError;
use crate::engine::files::FilesError;
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
    /// The store does not show the versions that it keeps.
    #[error(transparent)]
    Hidden(StoreError),
    /// Files could not be written or read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A live schema was not swapped.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// No such backup.
    #[error("there is no backup {wanted} in {place}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Where.
        place: String,
        /// What there is instead.
        others: Vec<String>,
    },
    /// More than one backup fits.
    #[error("{wanted} fits more than one backup: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// What fits.
        candidates: Vec<String>,
    },
    /// The program writes settings that the server does not know.
    #[error("pg_restore {program} writes settings that PostgreSQL {server} does not know")]
    TooNew {
        /// The program's major version.
        program: u32,
        /// The server's.
        server: u32,
    },
    /// It was told to stop.
    #[error("interrupted; what was half done was taken back")]
    Interrupted,
    /// Pruning may have begun to delete what is being read.
    #[error("the lease on the backup was lost, and a purge may have begun; what was half done was taken back")]
    LeaseLost,
    /// The private key is not at hand.
    #[error("backup {backup} is encrypted to {recipients}, and no identity at hand opens it")]
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
    /// What went wrong after a live database had got what it lacked.
    #[error("{error}")]
    InPlace {
        /// The schemas, quoted.
        what: String,
        /// What it was.
        error: Box<Self>,
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

impl RestoreError {
    /// Returns whether the backup's own objects are at fault, so that it belongs in quarantine.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Artifact(error) => error.is_damage(),
            Self::Crypto(error) => matches!(error, CryptoError::Damaged { .. }),
            Self::Store(error) => matches!(error, StoreError::NotFound { .. } | StoreError::Invalid { .. }),
            // What is in place was proven in scratch before: its backup is sound.
            _ => false,
        }
    }
}

impl Explain for RestoreError {
    fn explain(&self) -> Diagnostic {
        if let Self::NotFound { others, .. } = self
            && !others.is_empty()
        {
            let help = format!("there are backups of {}; `bkup list` shows them all", others.join(", "));
            return Diagnostic::error(Code("BK860"), self.to_string()).help(help);
        }
        if let Self::TooNew { server, .. } = self {
            let help = format!(
                "install postgresql-client-{server}, or point --pg-bin or BKUP_PG_BIN at its programs; scratch servers \
                 can be of the newer version"
            );
            return Diagnostic::error(Code("BK868"), self.to_string()).help(help);
        }
        let (code, help) = match self {
            Self::InPlace { what, error } => {
                return error.explain().help(format!(
                    "{what} stays as it was loaded, since others may have written to it by now; look at it, and keep it or \
                     drop it before the next attempt"
                ));
            }
            Self::Engine(error) => return error.explain(),
            Self::Artifact(error) => return error.explain(),
            Self::Crypto(error) => return error.explain(),
            Self::Store(error) | Self::Hidden(error) => return error.explain(),
            Self::Files(error) => return error.explain(),
            Self::Swap(error) => return error.explain(),
            Self::NotFound { .. } => ("BK860", "`bkup list` shows what there is"),
            Self::TooNew { .. } => ("BK868", "install the programs of the server's own version"),
            Self::Ambiguous { .. } => ("BK866", "write more of the id, as `bkup list` shows it"),
            Self::Interrupted => ("BK867", "run it again when it suits"),
            Self::LeaseLost => ("BK867", "look with `bkup list` whether the backup is still there, and run it again"),
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
