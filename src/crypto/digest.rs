//! Digests of content: SHA-256, keyed where a digest must not tell an outsider what the content is.

use std::fmt;

use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::{CryptoError, Random};
use crate::domain::{Digest, sha256};

/// The key of all content digests of one database in one store: 32 random bytes. Digests must be comparable between
/// backups and on hosts that cannot decrypt, yet tell an outsider nothing of a table with three known values.
#[derive(Clone)]
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// Makes a fresh key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(random: Random<'_>) -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; 32]);
        random(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Takes the 32 bytes of a key made earlier.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key from 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn from_hex(text: &str) -> Result<Self, CryptoError> {
        let digest: Digest = text.parse().map_err(|_| CryptoError::InvalidDigestKey)?;
        Ok(Self::from_bytes(*digest.bytes()))
    }

    /// Writes the key as 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(Digest::new(*self.0).to_string())
    }

    /// Returns the key's bytes, for digests that are computed where rows pass.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the key's id: the first 16 hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        sha256(self.0.as_slice()).short()
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestKey({})", self.id())
    }
}

/// A digest in the making: HMAC-SHA256 under a key, SHA-256 without one.
#[derive(Clone)]
pub struct ContentHasher(Inner);

#[derive(Clone)]
enum Inner {
    Plain(digest::Context),
    Keyed(Box<hmac::Context>),
}

impl ContentHasher {
    /// Begins a digest of nothing.
    #[must_use]
    pub fn new(key: Option<&DigestKey>) -> Self {
        Self(key.map_or_else(
            || Inner::Plain(digest::Context::new(&digest::SHA256)),
            |key| Inner::Keyed(Box::new(hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes())))),
        ))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Plain(context) => context.update(bytes),
            Inner::Keyed(context) => context.update(bytes),
        }
    }

    /// Ends the digest.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        match self.0 {
            Inner::Plain(context) => bytes.copy_from_slice(context.finish().as_ref()),
            Inner::Keyed(context) => bytes.copy_from_slice(context.sign().as_ref()),
        }
        Digest::new(bytes)
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentHasher")
    }
}
