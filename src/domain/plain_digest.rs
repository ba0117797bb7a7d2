//! The digest of a part's bytes before compression, as a manifest names it.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// What stands before the digits of one that was taken with BLAKE3.
const BLAKE3: &str = "blake3:";

/// A digest with the hash that it was taken with. In text `blake3:` and 64 hexadecimal digits; manifests of format 1.0
/// name the digits alone, which are SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainDigest {
    /// SHA-256; under a key HMAC-SHA-256.
    Sha256(Digest),
    /// BLAKE3; under a key its keyed mode.
    Blake3(Digest),
}

impl fmt::Display for PlainDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "{digest}"),
            Self::Blake3(digest) => write!(f, "{BLAKE3}{digest}"),
        }
    }
}

impl FromStr for PlainDigest {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(BLAKE3);
        let digest = digits.unwrap_or(text).parse().map_err(|_| {
            format!("{text:?} is not a digest: 64 hexadecimal digits, with `{BLAKE3}` before them or nothing")
        })?;
        Ok(if digits.is_some() { Self::Blake3(digest) } else { Self::Sha256(digest) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_was_taken_with_is_part_of_its_text() {
        let digits = "0a".repeat(32);
        let digest = digits.parse().unwrap();
        for (text, expected) in
            [(digits.clone(), PlainDigest::Sha256(digest)), (format!("blake3:{digits}"), PlainDigest::Blake3(digest))]
        {
            assert_eq!(text.parse(), Ok(expected));
            assert_eq!(expected.to_string(), text);
        }
        for wrong in
            ["", "blake3:", "blake3:0a", "sha3:", &format!("blake2:{digits}"), &format!("blake3:blake3:{digits}")]
        {
            assert!(wrong.parse::<PlainDigest>().is_err_and(|what| what.contains(&format!("{wrong:?}"))), "{wrong}");
        }
    }
}
