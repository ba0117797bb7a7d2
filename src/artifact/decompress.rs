//! Decompression of frame after frame, from a reader. No size that a frame claims is trusted: output is streamed.

use std::io::{self, BufRead, BufReader, Read};

use crate::domain::Compression;

/// The largest window a zstd frame may ask for: what level 19 makes of 8 MiB blocks, and the `zstd` program's limit.
const WINDOW_LOG_MAX: u32 = 27;

/// Returns a reader of the content.
pub(super) fn decompressing<'a, R: Read + 'a>(compression: Compression, input: R) -> io::Result<Box<dyn Read + 'a>> {
    let input = BufReader::with_capacity(256 * 1024, input);
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Lz4 => Box::new(Lz4Frames { decoder: lz4_flex::frame::FrameDecoder::new(input) }),
        Compression::Zstd(_) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

/// Reads one frame after the other until the input ends.
struct Lz4Frames<R: BufRead> {
    decoder: lz4_flex::frame::FrameDecoder<R>,
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.decoder.read(buffer)?;
            // Nothing more from this frame: either the input ends here, or the next one begins.
            if count > 0 || buffer.is_empty() || self.decoder.get_mut().fill_buf()?.is_empty() {
                return Ok(count);
            }
        }
    }
}
