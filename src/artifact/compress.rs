//! Compression in independent frames, each of one block of input. Pure.

use std::cell::RefCell;
use std::io::{self, Write};

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
    pub(super) fn frame(&mut self, block: Vec<u8>) -> io::Result<Vec<u8>> {
        if matches!(self, Self::None) {
            return Ok(block);
        }
        let mut frame = Vec::new();
        self.frame_into(&block, &mut frame)?;
        Ok(frame)
    }

    /// Makes one frame of a block in place of what `frame` holds.
    fn frame_into(&mut self, block: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        frame.clear();
        match self {
            Self::None => frame.extend_from_slice(block),
            Self::Zstd(compressor) => {
                frame.reserve(zstd::zstd_safe::compress_bound(block.len()));
                compressor.compress_to_buffer(block, frame)?;
            }
            Self::Lz4 => {
                frame.reserve(block.len() / 2);
                let info = lz4_flex::frame::FrameInfo::new()
                    .block_size(lz4_flex::frame::BlockSize::Max4MB)
                    .content_checksum(true);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, std::mem::take(frame));
                encoder.write_all(block)?;
                *frame = encoder.finish()?;
            }
        }
        Ok(())
    }
}

/// Up to how large a thread's buffers are kept for its next content. Memory that is given back and taken again for each
/// of thousands of small archives costs as much as their encryption.
const KEPT: usize = 2 * 1024 * 1024;
/// Up to which level a thread's tables are kept: those of higher ones are larger than the buffers.
const KEPT_LEVEL: u8 = 5;

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// What one thread compresses with: kept by it from one content to the next where that is worth it.
pub(super) struct Desk {
    compression: Compression,
    compressor: Compressor,
    block: Vec<u8>,
    frame: Vec<u8>,
}

impl Desk {
    /// Takes this thread's, or makes one.
    pub(super) fn take(compression: Compression) -> io::Result<Self> {
        match DESK.take() {
            Some(desk) if desk.compression == compression => Ok(desk),
            _ => Ok(Self {
                compression,
                compressor: Compressor::new(compression)?,
                block: Vec::new(),
                frame: Vec::new(),
            }),
        }
    }

    /// Returns how much more the block takes before it is full.
    pub(super) const fn room(&self) -> usize {
        BLOCK - self.block.len()
    }

    /// Adds to the block, up to its room.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
    }

    /// Returns whether the block is empty.
    pub(super) const fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Makes a frame of the block and begins the next.
    pub(super) fn frame(&mut self) -> io::Result<&[u8]> {
        self.compressor.frame_into(&self.block, &mut self.frame)?;
        self.block.clear();
        Ok(&self.frame)
    }

    /// Gives it back to this thread. What failed is not given back.
    pub(super) fn keep(mut self) {
        let small = self.block.capacity() <= KEPT && self.frame.capacity() <= 2 * KEPT;
        if small && !matches!(self.compression, Compression::Zstd(level) if level > KEPT_LEVEL) {
            // Customers' rows do not wait there for the next.
            self.block.clear();
            self.frame.clear();
            DESK.set(Some(self));
        }
    }
}
