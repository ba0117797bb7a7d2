//! The byte pipe: compress, encrypt, hash, upload in parts, and all the way back.
//!
//! `source → zstd or lz4 in independent frames → age → object`, with digests of both ends; the standard tools read the
//! result without bkup. CPU work runs on blocking threads between bounded channels, so memory has a bound that is
//! stated ([`PACK_MEMORY`], [`UNPACK_MEMORY`]) and a slow end slows the other one down.

mod body;
mod compress;
mod decompress;
mod error;
mod pack;
pub mod pax;
mod pipe;
mod tar;
mod unpack;

pub use error::{ArtifactError, Damage};
pub(crate) use pack::SMALL;
pub use pack::{PACK_MEMORY, PackRequest, Sent, pack, pack_whole};
pub use pipe::{PipeClosed, PipeError, PipeReader, PipeWriter, pipe};
pub use tar::{TarError, TarMember, TarReader, TarWriter};
pub use unpack::{UNPACK_MEMORY, UnpackKeys, read_back, read_back_sent, unpack};
