//! age streams, keys and digests. Knows nothing of where the bytes come from or go to.
//!
//! Two plain age layers: data is encrypted to a fresh key pair per attempt at a backup ([`DataKey`]); the identity of
//! that pair is a small object of its own, encrypted to each recipient of the store. The `age` program opens both.
//! Nothing here invents cryptography, and no type shows a secret in `Debug`, in an error or in a serialized form.

mod digest;
mod error;
mod keys;
mod plain;
mod sparse;
mod stream;

pub use digest::{ContentHasher, DigestKey};
pub use error::CryptoError;
pub use keys::{
    DataKey, GeneratedIdentity, Identity, OpenedKey, Recipient, fingerprint, generate_identity, open_key_object,
};
pub use plain::PlainHasher;
pub use sparse::SparseHasher;
pub use stream::{Decrypting, Encrypting, decrypting, encrypting};

/// A source of random bytes: fills the whole slice.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<(), CryptoError>;

/// Fills bytes from the operating system's generator: the [`Random`] of everyone but tests.
///
/// # Errors
/// When the system has no randomness to give.
pub fn system_random(bytes: &mut [u8]) -> Result<(), CryptoError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| CryptoError::NoRandomness)
}
