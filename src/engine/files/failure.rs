//! What can go wrong with files of this machine.

use crate::diag::{Code, Diagnostic, Explain};

/// Why files were not backed up, or not brought back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A glob is none.
    #[error("{glob:?} is no glob: {why}")]
    Glob {
        /// The glob.
        glob: String,
        /// Why not.
        why: String,
    },
    /// Globs that nothing matches. An empty backup would push out good ones.
    #[error("nothing matches {}", .0.join(", "))]
    NoMatch(Vec<String>),
    /// The file system refused.
    #[error("{what} {path} failed: {detail}")]
    System {
        /// What was tried: `reading`, `writing`.
        what: &'static str,
        /// On what.
        path: String,
        /// Its words.
        detail: String,
    },
    /// Of everything that matched, nothing could be read.
    #[error("none of the {0} files that match could be read")]
    NothingRead(u64),
    /// An archive holds something that must not be written.
    #[error("{path:?} is not brought back: {why}")]
    Refused {
        /// Its path in the archive.
        path: String,
        /// Why.
        why: String,
    },
}

impl FilesError {
    pub(super) fn system(what: &'static str, path: &[u8], error: rustix::io::Errno) -> Self {
        Self::System { what, path: super::shown(path), detail: std::io::Error::from(error).to_string() }
    }
}

impl Explain for FilesError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::Glob { .. } | Self::NoMatch(_) => (
                "BK947",
                "mount what is not mounted, or mend `paths`; a folder that may be empty is named itself, without `/**`",
            ),
            Self::System { .. } | Self::NothingRead(_) => {
                ("BK948", "look at the rights of the user bkup runs as, and at the disk; then try again")
            }
            Self::Refused { .. } => {
                ("BK949", "nothing was written outside of the folder; look at who could have written this archive")
            }
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
