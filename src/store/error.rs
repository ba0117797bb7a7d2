//! What can go wrong with a store, told apart by what a person must do about it.

use crate::diag::{Code, Diagnostic, Explain};

/// A failure of a store. `place` is the store as people know it, `key` the object below its prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The object is not there.
    #[error("{key} is not in {place}")]
    NotFound {
        /// The store.
        place: String,
        /// The object.
        key: String,
    },
    /// The upload is not there: it was completed or aborted.
    #[error("the upload of {key} to {place} is not known there any more")]
    NoUpload {
        /// The store.
        place: String,
        /// The object.
        key: String,
    },
    /// The bucket or the folder is not there. Never read as an empty store.
    #[error("{place} does not exist: {what}")]
    NoStore {
        /// The store.
        place: String,
        /// The bucket or folder.
        what: String,
    },
    /// The credentials are good and do not allow this.
    #[error("{place} does not allow to {action}: {detail}")]
    Denied {
        /// The store.
        place: String,
        /// What was tried.
        action: String,
        /// The store's words.
        detail: String,
    },
    /// The credentials are not accepted.
    #[error("{place} does not accept the credentials: {detail}")]
    BadCredentials {
        /// The store.
        place: String,
        /// The store's words.
        detail: String,
    },
    /// There are no credentials.
    #[error("there are no credentials for {place}: {detail}")]
    NoCredentials {
        /// The store.
        place: String,
        /// Why not.
        detail: String,
    },
    /// No connection to the endpoint.
    #[error("{place} cannot be reached: {detail}")]
    Unreachable {
        /// The store.
        place: String,
        /// What the network said.
        detail: String,
    },
    /// The store answered that it cannot answer now, or the answer was lost.
    #[error("{place} could not {action}: {detail}")]
    Busy {
        /// The store.
        place: String,
        /// What was tried.
        action: String,
        /// The store's words.
        detail: String,
    },
    /// What arrived at the store is not what was sent.
    #[error("{key} did not arrive at {place} as it was sent: {detail}")]
    DamagedInTransit {
        /// The store.
        place: String,
        /// The object.
        key: String,
        /// The store's words.
        detail: String,
    },
    /// This machine's clock and the store's are too far apart for signatures.
    #[error("the clocks of this machine and of {place} are too far apart: {detail}")]
    ClockSkew {
        /// The store.
        place: String,
        /// The store's words.
        detail: String,
    },
    /// There is no room.
    #[error("{place} is full: {detail}")]
    Full {
        /// The store.
        place: String,
        /// The system's words.
        detail: String,
    },
    /// An object is larger than anything bkup wrote there.
    #[error("{key} in {place} is larger than {cap} bytes")]
    TooLarge {
        /// The store.
        place: String,
        /// The object.
        key: String,
        /// The limit.
        cap: u64,
    },
    /// An object is not what it should be.
    #[error("{key} in {place} cannot be understood: {what}")]
    Invalid {
        /// The store.
        place: String,
        /// The object.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// An object was written by a newer bkup.
    #[error("{key} in {place} has format {found}; this bkup reads {known}")]
    NewerFormat {
        /// The store.
        place: String,
        /// The object.
        key: String,
        /// The version found.
        found: String,
        /// The version known.
        known: String,
    },
    /// A store without conditional writes took two writers at once.
    #[error("{key} in {place} was overwritten by another writer at the same time")]
    Overwritten {
        /// The store.
        place: String,
        /// The object.
        key: String,
    },
    /// A key that bkup does not use, such as one that would escape the prefix.
    #[error("{key:?} is no object key: {why}")]
    BadKey {
        /// The key.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// The store refused for a reason of its own.
    #[error("{place} refused to {action}: {detail}")]
    Refused {
        /// The store.
        place: String,
        /// What was tried.
        action: String,
        /// The store's words.
        detail: String,
    },
}

impl StoreError {
    /// Returns whether the same request may well succeed in a moment.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. } | Self::DamagedInTransit { .. })
    }

    /// Returns whether the object is known to be absent.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl Explain for StoreError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::NotFound { .. } | Self::NoUpload { .. } => {
                ("BK810", "the object was deleted or never completed; `bkup plan` shows what is missing")
            }
            Self::NoStore { .. } => (
                "BK811",
                "create the bucket or folder first (bkup never does: a store that is not mounted would look new), or \
                 correct `url`",
            ),
            Self::Denied { .. } => (
                "BK812",
                "allow it to this user: list the bucket; get, put and delete objects; abort multipart uploads",
            ),
            Self::BadCredentials { .. } => {
                ("BK813", "check the access key, its secret and session token, and that they belong to this endpoint")
            }
            Self::NoCredentials { .. } => (
                "BK813",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is attached",
            ),
            Self::Unreachable { .. } => ("BK814", "check `endpoint`, the network and that the server is up"),
            Self::Busy { .. } | Self::DamagedInTransit { .. } => {
                ("BK814", "it was tried several times; try again later, the next apply goes on from here")
            }
            Self::ClockSkew { .. } => ("BK815", "set this machine's clock, best by NTP"),
            Self::Full { .. } => ("BK816", "make room, or shorten retention; nothing half-written is left behind"),
            Self::TooLarge { .. } | Self::Invalid { .. } => {
                ("BK817", "the object was altered or written by another program; restore it from a replica")
            }
            Self::NewerFormat { .. } => ("BK817", "use at least the bkup version that wrote it"),
            Self::Overwritten { .. } => (
                "BK818",
                "this store ignores conditional writes; run one apply at a time, or use a store that honours them",
            ),
            Self::BadKey { .. } => ("BK819", "the key comes from an altered manifest or catalog row"),
            Self::Refused { .. } => {
                ("BK819", "the store's own words say why; check `region`, `endpoint` and `path_style`")
            }
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
