//! Gzip files as streams, and whether they are whole: a stream that ends without its sum is none.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

/// Pieces of an object as a reader for threads that may block.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Pieces {
    /// Takes them from a channel that closes at the end.
    pub(super) const fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { pieces, current: Bytes::new() }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(bytes) => self.current = bytes,
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Returns what a gzip file holds, as it comes.
pub(super) fn gunzip<R: Read>(source: R) -> MultiGzDecoder<R> {
    MultiGzDecoder::new(source)
}
