//! What can go wrong with keys and encrypted bytes. No message holds key material.

use crate::diag::{Code, Diagnostic, Explain};

/// A failure of encryption, decryption or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A text that is no age X25519 recipient; public, so it is shown.
    #[error("{text:?} is not an age recipient: {why}")]
    InvalidRecipient {
        /// The text as given.
        text: String,
        /// Why not.
        why: &'static str,
    },
    /// A text that holds no usable identity. The text is secret, so only the line is named.
    #[error("line {line} of the identity is not an age identity: {why}")]
    InvalidIdentity {
        /// The line, from 1.
        line: usize,
        /// Why not.
        why: &'static str,
    },
    /// A text without any identity.
    #[error("the identity text holds no AGE-SECRET-KEY line")]
    NoIdentity,
    /// None of the identities opens the object.
    #[error("none of the {tried} identities given opens {object}")]
    WrongIdentity {
        /// What was to be opened.
        object: String,
        /// How many were tried.
        tried: usize,
    },
    /// The object is not what was written: its header, an authentication tag or its content is wrong.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// What was to be opened.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// A digest key of the wrong form.
    #[error("the digest key is not 64 hexadecimal digits, or its id is not its own")]
    InvalidDigestKey,
    /// The operating system gave no random bytes.
    #[error("the operating system has no random bytes to give")]
    NoRandomness,
    /// Encrypting failed before a byte was written.
    #[error("encryption could not start: {0}")]
    Encrypt(String),
}

impl Explain for CryptoError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::InvalidRecipient { .. } => {
                ("BK820", "a recipient is the public key that `bkup key generate` or `age-keygen` prints: age1...")
            }
            Self::InvalidIdentity { .. } | Self::NoIdentity => (
                "BK821",
                "give the private key itself, AGE-SECRET-KEY-1..., or the path of a file that `bkup key generate` or \
                 `age-keygen` wrote",
            ),
            Self::WrongIdentity { .. } => {
                ("BK822", "use the identity of one of the recipients that the backup's manifest lists under `keys`")
            }
            Self::Damaged { .. } => ("BK823", "restore from another backup or replica, and keep this one for analysis"),
            Self::InvalidDigestKey => ("BK823", "the key object or the catalog row of the digest key was altered"),
            Self::NoRandomness | Self::Encrypt(_) => ("BK826", "this is a fault of the machine or of bkup; try again"),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
