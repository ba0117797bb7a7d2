//! What can go wrong between a source of bytes and an object, naming the object.

use crate::crypto::CryptoError;
use crate::diag::{Code, Diagnostic, Explain};
use crate::store::StoreError;

/// How an object differs from what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its size.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// Bytes in the store.
        found: u64,
        /// Bytes by the manifest.
        expected: u64,
    },
    /// Its bytes as stored.
    #[error("its ciphertext digest is not the manifest's")]
    Ciphertext,
    /// A chunk of it is not authentic, or it was cut.
    #[error("decryption failed: {0}")]
    Encryption(String),
    /// Its compressed form is broken.
    #[error("decompression failed: {0}")]
    Compression(String),
    /// Its content, though authentic, is not the manifest's: another object in its place.
    #[error("its content is not what the manifest says")]
    Content,
}

/// A failure of the pipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The source of the bytes failed or ended without saying that it was complete. Nothing is visible in the store.
    #[error("the source of {key} failed: {detail}")]
    Source {
        /// The object that was to be written.
        key: String,
        /// The source's words.
        detail: String,
    },
    /// The consumer of the bytes went away.
    #[error("what reads {key} stopped before its end")]
    Consumer {
        /// The object that was read.
        key: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The object is encrypted and there is no identity.
    #[error("{key} is encrypted and no identity was given")]
    NeedsIdentity {
        /// The object.
        key: String,
    },
    /// The object is not what was written.
    #[error("{key} is damaged: {damage}")]
    Damaged {
        /// The object.
        key: String,
        /// How.
        damage: Damage,
    },
    /// The manifest's entry of the object makes no sense.
    #[error("the manifest's entry of {key} cannot be used: {what}")]
    Entry {
        /// The object.
        key: String,
        /// Why not.
        what: String,
    },
    /// Compression failed, or a thread of the pipe died.
    #[error("the pipe to {key} broke: {detail}")]
    Broken {
        /// The object.
        key: String,
        /// What happened.
        detail: String,
    },
}

impl ArtifactError {
    /// Returns whether the object itself is at fault, so that its backup belongs in quarantine.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Entry { .. }
                | Self::Crypto(CryptoError::Damaged { .. })
                | Self::Store(StoreError::NotFound { .. } | StoreError::Invalid { .. } | StoreError::TooLarge { .. })
        )
    }
}

impl Explain for ArtifactError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::Store(error) => return error.explain(),
            Self::Crypto(error) => return error.explain(),
            Self::NeedsIdentity { .. } => {
                ("BK822", "set `identity` of the store's encryption to the private key of one of its recipients")
            }
            Self::Damaged { .. } | Self::Entry { .. } => {
                ("BK824", "restore from another backup or replica, and keep this one for analysis")
            }
            Self::Source { .. } => ("BK825", "nothing was stored; the words of the source say why"),
            Self::Broken { .. } => ("BK826", "this is a fault of the machine or of bkup; try again"),
            Self::Consumer { .. } => ("BK827", "the words of the program that was reading say why"),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
