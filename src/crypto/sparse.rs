//! The digest of a file with holes: of its data alone, so that a terabyte of nothing costs nothing, and the same however
//! a file system cuts the data into pieces.

use super::{ContentHasher, DigestKey};
use crate::domain::Digest;

/// What is digested at once. Blocks of zeros count for nothing.
const BLOCK: usize = 64 * 1024;

/// A digest in the making: over each block of 64 KiB that is not all zeros, its number (eight bytes, most significant
/// first) and its bytes, and at last the file's size (eight bytes).
pub struct SparseHasher {
    hasher: ContentHasher,
    block: Vec<u8>,
    number: u64,
}

impl SparseHasher {
    /// Begins.
    #[must_use]
    pub fn new(key: Option<&DigestKey>) -> Self {
        Self { hasher: ContentHasher::new(key), block: vec![0; BLOCK], number: 0 }
    }

    /// Adds bytes at a place that is not before the one where the last ones ended.
    pub fn update(&mut self, mut at: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (number, within) = (at / BLOCK as u64, at % BLOCK as u64);
            if number != self.number {
                self.flush();
                self.number = number;
            }
            // Less than a block's size.
            let within = usize::try_from(within).unwrap_or(0);
            let take = bytes.len().min(BLOCK - within);
            self.block[within..within + take].copy_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            at += take as u64;
        }
    }

    fn flush(&mut self) {
        if self.block.iter().any(|byte| *byte != 0) {
            self.hasher.update(&self.number.to_be_bytes());
            self.hasher.update(&self.block);
            self.block.fill(0);
        }
    }

    /// Ends the digest of a file of some size.
    #[must_use]
    pub fn finish(mut self, size: u64) -> Digest {
        self.flush();
        self.hasher.update(&size.to_be_bytes());
        self.hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(pieces: &[(u64, &[u8])], size: u64) -> Digest {
        let mut hasher = SparseHasher::new(None);
        for (at, bytes) in pieces {
            hasher.update(*at, bytes);
        }
        hasher.finish(size)
    }

    proptest! {
        #[test]
        fn is_the_same_however_the_data_is_cut(
            data in proptest::collection::vec(any::<u8>(), 1..300), begin in 0_u64..200_000, cut in any::<prop::sample::Index>()
        ) {
            let at = cut.index(data.len());
            let end = begin + data.len() as u64;
            let zeros = vec![0; 70_000];
            let whole = digest(&[(begin, &data)], end + 70_000);
            prop_assert_eq!(whole, digest(&[(begin, &data[..at]), (begin + at as u64, &data[at..])], end + 70_000));
            prop_assert_eq!(whole, digest(&[(begin, &data), (end, &zeros)], end + 70_000));
        }

        #[test]
        fn tells_place_size_and_content(data in proptest::collection::vec(1_u8..=255, 1..50), begin in 0_u64..100_000) {
            let size = 300_000;
            let whole = digest(&[(begin, &data)], size);
            prop_assert_ne!(whole, digest(&[(begin + 1, &data)], size));
            prop_assert_ne!(whole, digest(&[(begin + 65_536, &data)], size));
            prop_assert_ne!(whole, digest(&[(begin, &data)], size + 1));
            prop_assert_ne!(whole, digest(&[(begin, &data[..data.len() - 1])], size));
        }
    }
}
