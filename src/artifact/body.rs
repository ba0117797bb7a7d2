//! What lies in a tar file between two headers: so many bytes, padded to whole blocks. Whose headers they are is for those
//! who read them. Pure.

use std::io::{self, Read};

use super::TarError;
use super::tar::{BLOCK, cut};

/// A source, within the content of one member.
pub(super) struct Body<R> {
    source: R,
    left: u64,
    padding: u64,
    /// What a member is called: `a member`.
    unit: &'static str,
}

impl<R: Read> Body<R> {
    /// Begins, before the first header.
    pub const fn new(source: R, unit: &'static str) -> Self {
        Self { source, left: 0, padding: 0, unit }
    }

    /// Begins a content of so many bytes.
    pub const fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// Returns how much of the content was not read yet.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Reads a header. `None` at the end mark: everything behind it is read then, so that a cut or a damage there is seen by
    /// whoever reads.
    ///
    /// # Errors
    /// [`TarError`].
    pub fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut header = [0; BLOCK];
        self.source.read_exact(&mut header).map_err(|error| cut(&error))?;
        if header.iter().any(|byte| *byte != 0) {
            return Ok(Some(header));
        }
        io::copy(&mut self.source, &mut io::sink()).map_err(|error| TarError::Read(error.to_string()))?;
        Ok(None)
    }

    /// Skips what of the content was not read.
    ///
    /// # Errors
    /// [`TarError`].
    pub fn skip(&mut self) -> Result<(), TarError> {
        // Two numbers of which the first may be as large as a header claims.
        let skipped = u128::from(self.left) + u128::from(self.padding);
        let mut copied = 0;
        for part in [self.left, self.padding] {
            let copy = io::copy(&mut self.source.by_ref().take(part), &mut io::sink()).map_err(|error| cut(&error))?;
            copied += u128::from(copy);
        }
        (self.left, self.padding) = (0, 0);
        if copied == skipped { Ok(()) } else { Err(TarError::Damaged(format!("it ends within {}", self.unit))) }
    }
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends within {}", self.unit)));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, TarError};

    #[test]
    fn a_size_as_large_as_a_header_can_claim_is_damage_and_no_overflow() {
        let mut body = Body::new(&[0_u8; 1024][..], "a member");
        body.begin(u64::MAX);
        assert!(matches!(body.skip(), Err(TarError::Damaged(words)) if words == "it ends within a member"));
    }
}
