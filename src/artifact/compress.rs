//! Compression in independent frames, each of one block of input. Pure.

use std::io::Write;

use crate::domain::Compression;

/// How much input one frame holds.
pub(super) const BLOCK: usize = 8 * 1024 * 1024;

/// A compressor that is used again for each block.
pub(super) enum Compressor {
    None,
    Lz4,
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl Compressor {
    pub(super) fn new(compression: Compression) -> std::io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd(level) => {
                let mut compressor = zstd::bulk::Compressor::new(i32::from(level))?;
                // What passes through no encryption has no other protection inside the frame.
                compressor.include_checksum(true)?;
                Self::Zstd(Box::new(compressor))
            }
        })
    }

    /// Makes one frame of a block.
    pub(super) fn frame(&mut self, block: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(block),
            Self::Zstd(compressor) => compressor.compress(&block),
            Self::Lz4 => {
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max4MB)
                    .content_checksum(true);
                let mut encoder =
                    lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::with_capacity(block.len() / 2));
                encoder.write_all(&block)?;
                encoder.finish().map_err(std::io::Error::from)
            }
        }
    }
}
