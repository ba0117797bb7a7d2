//! What the pure modules use of aws-lc-rs: SHA-256, by other hands. Pure.

/// Digests of bytes.
pub mod digest {
    use sha2::{Digest as _, Sha256};

    /// The one algorithm there is here.
    #[derive(Debug)]
    pub struct Algorithm;

    /// SHA-256.
    pub static SHA256: Algorithm = Algorithm;

    /// A digest.
    #[derive(Debug, Clone, Copy)]
    pub struct Digest([u8; 32]);

    impl AsRef<[u8]> for Digest {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    /// Returns the digest of some bytes.
    #[must_use]
    pub fn digest(_: &'static Algorithm, bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// A digest of which the bytes come in parts.
    #[derive(Debug, Clone)]
    pub struct Context(Sha256);

    impl Context {
        /// Returns the digest of nothing so far.
        #[must_use]
        pub fn new(_: &'static Algorithm) -> Self {
            Self(Sha256::new())
        }

        /// Takes the next bytes.
        pub fn update(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// Returns the digest of all bytes taken.
        #[must_use]
        pub fn finish(self) -> Digest {
            Digest(self.0.finalize().into())
        }
    }
}
