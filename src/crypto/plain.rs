//! The digest of a part's bytes before compression, of which there are the most: a hash that costs little on every
//! processor, where SHA-256 takes as long as compression on those without instructions for it.

use std::fmt;

use super::{ContentHasher, DigestKey};
use crate::domain::{Digest, PlainDigest};

/// A digest in the making.
pub struct PlainHasher(Inner);

enum Inner {
    Blake3(Box<blake3::Hasher>),
    Sha256(ContentHasher),
}

impl PlainHasher {
    /// Begins a digest of nothing, of the kind that manifests get: BLAKE3, keyed where there is a key.
    #[must_use]
    pub fn new(key: Option<&DigestKey>) -> Self {
        Self(Inner::Blake3(Box::new(
            key.map_or_else(blake3::Hasher::new, |key| blake3::Hasher::new_keyed(key.bytes())),
        )))
    }

    /// Begins a digest of nothing, of the kind that one in a manifest is of.
    #[must_use]
    pub fn like(digest: PlainDigest, key: Option<&DigestKey>) -> Self {
        match digest {
            PlainDigest::Blake3(_) => Self::new(key),
            PlainDigest::Sha256(_) => Self(Inner::Sha256(ContentHasher::new(key))),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Inner::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Ends the digest.
    #[must_use]
    pub fn finish(self) -> PlainDigest {
        match self.0 {
            Inner::Blake3(hasher) => PlainDigest::Blake3(Digest::new(*hasher.finalize().as_bytes())),
            Inner::Sha256(hasher) => PlainDigest::Sha256(hasher.finish()),
        }
    }
}

impl fmt::Debug for PlainHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainHasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of the published test vectors: <https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors>.
    #[test]
    fn it_is_what_others_compute() {
        let key = DigestKey::from_bytes(*b"whats the Elvish word for friend");
        for (key, expected) in [
            (None, "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (Some(&key), "blake3:92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"),
        ] {
            assert_eq!(PlainHasher::new(key).finish().to_string(), expected);
        }
    }

    #[test]
    fn one_in_a_manifest_is_taken_as_it_was_taken() {
        let key = DigestKey::from_bytes([7; 32]);
        for key in [None, Some(&key)] {
            let mut old = ContentHasher::new(key);
            old.update(b"rows");
            for digest in [PlainDigest::Sha256(old.finish()), {
                let mut new = PlainHasher::new(key);
                new.update(b"rows");
                new.finish()
            }] {
                for (cut, same) in [(b"rows", true), (b"cows", false)] {
                    let mut again = PlainHasher::like(digest, key);
                    cut.iter().for_each(|byte| again.update(&[*byte]));
                    assert_eq!(again.finish() == digest, same, "{digest}");
                }
            }
        }
    }
}
