//! The custom format of `pg_dump` (`-Fc`), versions 1.14 to 1.16 (PostgreSQL 15 to 18), read from a stream as it comes
//! and written again entry by entry. Pure: bytes in, events out.
//!
//! Layout: header, table of contents, then data blocks in the order of their entries. An integer is a sign byte and four
//! bytes, least significant first; a text is its length and its bytes, -1 for none. A block is a type byte, the entry's
//! id, then pieces of a length and that many bytes, ended by the length 0; a block of large objects holds such a list
//! for each object, after its oid, and ends with the oid 0. Nothing marks the end of the archive: it is whole only when
//! each promised block was seen *and* the program that wrote it exited with 0. Other layouts are refused, not guessed.

mod descent;
mod homes;
mod reader;
mod split;
mod writer;

use std::collections::HashMap;

pub use homes::{Home, Homes, Publications};
pub use reader::{ArchiveReader, Event};
pub use split::{GATHERED, Portion, Splitter};
pub use writer::{encode_block, encode_entry, encode_header};

/// Why a stream is no archive that bkup reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It begins otherwise.
    #[error("it does not begin as a pg_dump custom-format archive does")]
    Magic,
    /// A version whose layout is not known.
    #[error("its format version is {0}.{1}; 1.14 to 1.16 are read")]
    Version(u8, u8),
    /// A property of the header that is not the usual one.
    #[error("its header says {0}")]
    Header(&'static str),
    /// A part that cannot be.
    #[error("it is damaged at byte {at}: {what}")]
    Damaged {
        /// Where, from the stream's begin.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The stream ended too early.
    #[error("it ends too early: {0}")]
    Truncated(String),
    /// COPY text that is none.
    #[error("the rows of {table}: {reason}")]
    Rows {
        /// The table, quoted.
        table: String,
        /// What is wrong.
        reason: super::digest::RowError,
    },
    /// Data that no COPY statement explains.
    #[error("{0} has data that is no COPY text")]
    NoCopy(String),
}

/// How data blocks are compressed; only [`Packing::None`] can be digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods' own names")]
pub enum Packing {
    None,
    Gzip,
    Lz4,
    Zstd,
}

/// What stands before the table of contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The minor version: 14, 15 or 16.
    pub minor: u8,
    /// The revision.
    pub revision: u8,
    /// Bytes of an offset.
    pub offset_size: u8,
    /// How data is compressed: the raw integer up to 1.14, the raw byte from 1.15 on.
    pub compression: i32,
    /// Seconds, minutes, hours, day, month from 0, years since 1900, daylight saving.
    pub created: [i32; 7],
    /// The database's name.
    pub database: Option<Vec<u8>>,
    /// The server's version.
    pub server_version: Option<Vec<u8>>,
    /// The version of `pg_dump`.
    pub dump_version: Option<Vec<u8>>,
    /// How many entries follow.
    pub entries: u32,
}

impl Header {
    /// Returns how data blocks are compressed.
    #[must_use]
    pub const fn packing(&self) -> Packing {
        match (self.minor, self.compression) {
            (_, 0) => Packing::None,
            (14, _) | (_, 1) => Packing::Gzip,
            (_, 2) => Packing::Lz4,
            _ => Packing::Zstd,
        }
    }
}

/// In which part of a restore an entry comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the sections' own names")]
pub enum Part {
    None = 1,
    PreData = 2,
    Data = 3,
    PostData = 4,
}

/// One entry of the table of contents. Texts are bytes in the archive's encoding; an absent one is not an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id inside the archive.
    pub id: i32,
    /// Whether a data block is promised.
    pub has_data: bool,
    /// The catalog's oid, decimal.
    pub table_oid: Option<Vec<u8>>,
    /// The object's oid, decimal.
    pub oid: Option<Vec<u8>>,
    /// Its name, for most kinds unquoted.
    pub tag: Option<Vec<u8>>,
    /// Its kind: `TABLE DATA`.
    pub kind: Option<Vec<u8>>,
    /// Its part.
    pub part: Part,
    /// The statement that makes it.
    pub definition: Option<Vec<u8>>,
    /// The statement that drops it.
    pub drop: Option<Vec<u8>>,
    /// The COPY statement that loads its data.
    pub copy: Option<Vec<u8>>,
    /// Its schema, unquoted.
    pub schema: Option<Vec<u8>>,
    /// Its tablespace.
    pub tablespace: Option<Vec<u8>>,
    /// Its table access method.
    pub access_method: Option<Vec<u8>>,
    /// Its `relkind`; 0 where the version has none.
    pub relation_kind: i32,
    /// Its owner, unquoted.
    pub owner: Option<Vec<u8>>,
    /// The text `false`.
    pub with_oids: Option<Vec<u8>>,
    /// The ids it depends on, as decimal texts; some may be absent from the archive.
    pub dependencies: Vec<Vec<u8>>,
    /// The offset's flag: 1 not set, 2 set, 3 no data.
    pub offset_flag: u8,
    /// The offset.
    pub offset: u64,
}

/// What stands in place of a COPY statement where an entry must come after tables of other archives: `pg_restore` looks
/// for one only where rows are promised.
pub const COMES_LAST: &[u8] = b"-- after the tables of other archives";

impl Entry {
    /// Returns its kind as text.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.kind.as_deref().and_then(|kind| std::str::from_utf8(kind).ok()).unwrap_or_default()
    }

    /// Returns its name as text, for people and for archives in UTF-8.
    #[must_use]
    pub fn tag(&self) -> String {
        lossy(self.tag.as_deref())
    }

    /// Returns its schema as text; empty where it has none.
    #[must_use]
    pub fn schema(&self) -> String {
        lossy(self.schema.as_deref())
    }

    /// Returns its definition as text.
    #[must_use]
    pub fn definition(&self) -> String {
        lossy(self.definition.as_deref())
    }

    /// Returns whether it is a constraint that rows were never held against: a check, or from version 18 on a `NOT NULL` or
    /// a foreign key of a partitioned table, which other tables do not come by. `pg_dump` makes them entries of their own.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        let definition = self.definition.as_deref().unwrap_or_default().trim_ascii();
        let not_valid = definition.ends_with(b" NOT VALID;");
        match self.kind() {
            "CHECK CONSTRAINT" => true,
            "CONSTRAINT" => not_valid,
            "FK CONSTRAINT" => not_valid && !definition.starts_with(b"ALTER TABLE ONLY "),
            _ => false,
        }
    }

    /// Returns whether it was marked as coming after tables of other archives.
    #[must_use]
    pub fn comes_last(&self) -> bool {
        self.copy.as_deref() == Some(COMES_LAST)
    }

    /// Returns the ids it depends on.
    pub fn needs(&self) -> impl Iterator<Item = i32> {
        self.dependencies.iter().filter_map(|id| std::str::from_utf8(id).ok()?.parse().ok())
    }
}

fn lossy(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// The header and all entries, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// The header.
    pub header: Header,
    /// The entries.
    pub entries: Vec<Entry>,
    by_id: HashMap<i32, usize>,
}

impl Toc {
    pub(super) fn new(header: Header, entries: Vec<Entry>) -> Self {
        let by_id = entries.iter().enumerate().map(|(index, entry)| (entry.id, index)).collect();
        Self { header, entries, by_id }
    }

    /// Returns the place of the entry with this id.
    #[must_use]
    pub fn index(&self, id: i32) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    /// Returns the entry with this id.
    #[must_use]
    pub fn entry(&self, id: i32) -> Option<&Entry> {
        self.by_id.get(&id).map(|index| &self.entries[*index])
    }
}

#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod tests;
