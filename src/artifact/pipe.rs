//! A bounded pipe of bytes whose end must be said. A channel that merely closes looks the same when its producer is
//! done and when it died; a half dump would become a whole backup.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// How much one read from a program takes at most.
const READ: usize = 256 * 1024;

/// The other side is gone; nothing more need be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the pipe is gone")]
pub struct PipeClosed;

/// Why a pipe did not come to its proper end; the producer's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PipeError(pub String);

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    End,
    Failed(PipeError),
}

/// The end of a pipe that takes bytes. Dropping it without [`PipeWriter::finish`] is a failure of the whole.
#[derive(Debug)]
pub struct PipeWriter(mpsc::Sender<Piece>);

/// The end of a pipe that gives bytes. Nothing it gave may be relied upon before it has ended with `None`.
#[derive(Debug)]
pub struct PipeReader {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

/// Makes a pipe that holds at most `depth` pieces.
#[must_use]
pub fn pipe(depth: usize) -> (PipeWriter, PipeReader) {
    let (sender, pieces) = mpsc::channel(depth.max(1));
    (PipeWriter(sender), PipeReader { pieces, ended: false })
}

impl PipeWriter {
    /// Sends bytes; waits while the pipe is full.
    ///
    /// # Errors
    /// When the reader is gone.
    pub async fn send(&self, bytes: Bytes) -> Result<(), PipeClosed> {
        self.0.send(Piece::Bytes(bytes)).await.map_err(|_| PipeClosed)
    }

    /// Sends bytes from a thread that may block.
    ///
    /// # Errors
    /// When the reader is gone.
    pub fn send_blocking(&self, bytes: Bytes) -> Result<(), PipeClosed> {
        self.0.blocking_send(Piece::Bytes(bytes)).map_err(|_| PipeClosed)
    }

    /// Says that everything was sent.
    ///
    /// # Errors
    /// When the reader is gone.
    pub async fn finish(self) -> Result<(), PipeClosed> {
        self.0.send(Piece::End).await.map_err(|_| PipeClosed)
    }

    /// Says that everything was sent, from a thread that may block.
    ///
    /// # Errors
    /// When the reader is gone.
    pub fn finish_blocking(self) -> Result<(), PipeClosed> {
        self.0.blocking_send(Piece::End).map_err(|_| PipeClosed)
    }

    /// Says that what was sent is not the whole, and why.
    pub async fn fail(self, why: impl Into<String>) {
        // A reader that is gone needs no reason.
        let _ = self.0.send(Piece::Failed(PipeError(why.into()))).await;
    }

    /// Sends all that a reader gives. Does not finish: whether the end of the output is a proper one, the exit status
    /// of the program that wrote it says.
    ///
    /// # Errors
    /// When the reader fails, or the other side is gone (then of kind `BrokenPipe`).
    pub async fn send_all<R: AsyncRead + Unpin>(&self, reader: &mut R) -> std::io::Result<u64> {
        let mut sent = 0;
        loop {
            let mut buffer = bytes::BytesMut::with_capacity(READ);
            // Small reads are gathered: a pipe gives 64 KiB at a time, and each piece has a price.
            while buffer.len() < READ / 2 {
                if reader.read_buf(&mut buffer).await? == 0 {
                    break;
                }
            }
            if buffer.is_empty() {
                return Ok(sent);
            }
            sent += buffer.len() as u64;
            self.send(buffer.freeze())
                .await
                .map_err(|closed| std::io::Error::new(std::io::ErrorKind::BrokenPipe, closed))?;
        }
    }
}

impl PipeReader {
    /// Gives the next bytes, `None` when everything has come.
    ///
    /// # Errors
    /// When the producer failed or died. What came before is not to be used.
    pub async fn next(&mut self) -> Option<Result<Bytes, PipeError>> {
        if self.ended {
            return None;
        }
        let piece = self.pieces.recv().await;
        self.take(piece)
    }

    /// Gives the next bytes to a thread that may block.
    ///
    /// # Errors
    /// As [`PipeReader::next`].
    pub fn next_blocking(&mut self) -> Option<Result<Bytes, PipeError>> {
        if self.ended {
            return None;
        }
        let piece = self.pieces.blocking_recv();
        self.take(piece)
    }

    fn take(&mut self, piece: Option<Piece>) -> Option<Result<Bytes, PipeError>> {
        match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            Some(Piece::Failed(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            None => {
                self.ended = true;
                Some(Err(PipeError("it ended without saying that it was complete".to_owned())))
            }
        }
    }

    /// Makes a pipe that gives some bytes and ends.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        let (sender, pieces) = mpsc::channel(2);
        // The channel is new and has room for both.
        let _ = sender.try_send(Piece::Bytes(bytes));
        let _ = sender.try_send(Piece::End);
        Self { pieces, ended: false }
    }

    /// Gathers everything, at most `cap` bytes.
    ///
    /// # Errors
    /// When the producer failed, or there is more.
    pub async fn collect(mut self, cap: usize) -> Result<Bytes, PipeError> {
        let mut all = bytes::BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if all.len() + piece.len() > cap {
                return Err(PipeError(format!("more than {cap} bytes came")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}
