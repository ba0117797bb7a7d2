//! The content of one open file, region by region. Holes are asked for, never read.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, fstat, seek};
use rustix::io::Errno;

use super::Facts;

/// A run of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it begins.
    pub at: u64,
    /// How long it is.
    pub length: u64,
}

/// An open file.
#[derive(Debug)]
pub struct Content {
    file: File,
    facts: Facts,
}

impl Content {
    pub(super) fn of(file: OwnedFd) -> rustix::io::Result<Self> {
        let facts = Facts::of(&fstat(&file)?);
        Ok(Self { file: File::from(file), facts })
    }

    /// Returns what the file system said when it was opened.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Asks the file system again. The answer is what the next question compares with.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn look_again(&mut self) -> std::io::Result<Facts> {
        self.facts = Facts::of(&fstat(self.file.as_fd())?);
        Ok(self.facts)
    }

    /// Returns where its data lies, where it has holes: `None` for a file that is data all through. No more than `most`
    /// regions are given; the last of them then reaches to the end.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn regions(&self, most: usize) -> std::io::Result<Option<Vec<Region>>> {
        let size = self.facts.size;
        // Compressing file systems store less than the size without any hole; then the answer below says so.
        if self.facts.stored >= size {
            return Ok(None);
        }
        let mut regions = Vec::new();
        let mut at = 0;
        while at < size {
            let begin = match seek(&self.file, SeekFrom::Data(at)) {
                Ok(begin) => begin,
                Err(Errno::NXIO) => break,
                // A file system that knows no holes.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            // It may have grown since.
            if begin >= size {
                break;
            }
            let end = match seek(&self.file, SeekFrom::Hole(begin)) {
                Ok(end) => end.min(size),
                Err(Errno::NXIO) => size,
                Err(error) => return Err(error.into()),
            };
            if regions.len() + 1 == most {
                regions.push(Region { at: begin, length: size - begin });
                return Ok(Some(regions));
            }
            regions.push(Region { at: begin, length: end.saturating_sub(begin) });
            at = end.max(begin + 1);
        }
        let whole = matches!(regions.as_slice(), [one] if one.at == 0 && one.length == size);
        Ok((!whole).then_some(regions))
    }

    /// Reads from a place on, as much as fits; less only at the end.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn read(&self, buffer: &mut [u8], at: u64) -> std::io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}
