//! The push parser: fed the stream in any pieces, it says what passes. It keeps the table of contents and nothing of
//! the data, whose pieces can be as long as a row.

use std::collections::HashSet;
use std::sync::Arc;

use super::{ArchiveError, Entry, Header, Part, Toc};

/// A table of contents larger than this is taken for damage: 2,000 tenants of 38 entries need 21 MB.
const TOC_LIMIT: usize = 2 << 30;

/// Something that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The table of contents is complete; data follows.
    Toc(Arc<Toc>),
    /// The data of an entry begins.
    BlockBegin {
        /// The entry's id.
        id: i32,
        /// Whether it is large objects instead of rows.
        large_objects: bool,
    },
    /// A large object begins inside the block.
    ObjectBegin {
        /// Its oid.
        oid: i32,
    },
    /// A piece of data of this length begins, as the archive cuts it.
    Piece {
        /// Its bytes; never 0.
        length: i32,
    },
    /// Data of the block, in any pieces.
    Data(&'a [u8]),
    /// The large object ends.
    ObjectEnd,
    /// The data of the entry ends.
    BlockEnd {
        /// The entry's id.
        id: i32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Entries,
    BlockType,
    BlockId {
        large_objects: bool,
    },
    ObjectOid {
        id: i32,
    },
    Length {
        id: i32,
        object: bool,
    },
    Data {
        id: i32,
        object: bool,
        left: usize,
    },
    /// Behind the last block, where a file may go on.
    Tail,
}

/// The parser. After an error it is of no more use.
#[derive(Debug)]
pub struct ArchiveReader {
    state: State,
    /// Bytes that did not make a whole item yet.
    held: Vec<u8>,
    /// So many are needed before another attempt is worth it.
    wanted: usize,
    at: u64,
    toc_bytes: usize,
    header: Option<Header>,
    entries: Vec<Entry>,
    ids: HashSet<i32>,
    toc: Option<Arc<Toc>>,
    promised: HashSet<i32>,
    /// Whether a file may go on behind its last block.
    of_file: bool,
    ended_at: Option<u64>,
}

impl Default for ArchiveReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ArchiveReader {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Header,
            held: Vec::new(),
            wanted: 1,
            at: 0,
            toc_bytes: 0,
            header: None,
            entries: Vec::new(),
            ids: HashSet::new(),
            toc: None,
            promised: HashSet::new(),
            of_file: false,
            ended_at: None,
        }
    }

    /// Begins one of a file. From 16 on, a `pg_dump -Fc` that was redirected into a file appends its table of contents
    /// once more: that may follow the last block, and nothing else.
    #[must_use]
    pub fn of_file() -> Self {
        Self { of_file: true, ..Self::new() }
    }

    /// Returns after how many bytes the archive ended, where a file goes on behind it.
    #[must_use]
    pub const fn ended_at(&self) -> Option<u64> {
        self.ended_at
    }

    /// Takes the next bytes and hands on what they complete.
    ///
    /// # Errors
    /// When the stream is no archive, or whatever the sink answers.
    pub fn feed<E: From<ArchiveError>>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.state == State::Tail {
                self.held.clear();
                return Ok(());
            }
            if let State::Data { id, object, left } = self.state {
                let (data, next) = bytes.split_at(left.min(bytes.len()));
                bytes = next;
                self.at += data.len() as u64;
                self.state = match left - data.len() {
                    0 => State::Length { id, object },
                    left => State::Data { id, object, left },
                };
                sink(Event::Data(data))?;
                continue;
            }
            if self.held.is_empty() {
                let used = self.items(bytes, sink)?;
                bytes = &bytes[used..];
                if !matches!(self.state, State::Data { .. }) {
                    self.held.extend_from_slice(bytes);
                    bytes = &[];
                }
                continue;
            }
            // Only as much as the item needs: what follows it may be gigabytes of data that must not be held.
            let take = self.wanted.saturating_sub(self.held.len()).max(1).min(bytes.len());
            self.held.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.held.len() < self.wanted {
                continue;
            }
            let held = std::mem::take(&mut self.held);
            let used = self.items(&held, sink)?;
            if !matches!(self.state, State::Data { .. }) {
                self.held = held;
                self.held.drain(..used);
            } else if used < held.len() {
                // An item never asks for more bytes than it has, so nothing is left over when data begins.
                return Err(self.damaged("data where a length was expected").into());
            }
        }
        Ok(())
    }

    /// Reads whole items; stops at data or when the next item is not whole. Returns how many bytes were used.
    fn items<E: From<ArchiveError>>(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        loop {
            if matches!(self.state, State::Data { .. }) {
                return Ok(used);
            }
            if self.state == State::Tail {
                return Ok(bytes.len());
            }
            let mut cursor = Cursor { bytes: &bytes[used..], at: 0, stream: self.at };
            match self.item(&mut cursor, sink) {
                Ok(()) => {
                    used += cursor.at;
                    self.at += cursor.at as u64;
                    self.wanted = 1;
                }
                Err(Stop::More(wanted)) => {
                    self.wanted = wanted;
                    if self.toc.is_none() && self.toc_bytes.saturating_add(wanted) > TOC_LIMIT {
                        return Err(self.damaged("its table of contents is impossibly long").into());
                    }
                    return Ok(used);
                }
                Err(Stop::Error(error)) => return Err(error),
            }
        }
    }

    fn item<E: From<ArchiveError>>(
        &mut self,
        cursor: &mut Cursor<'_>,
        sink: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        let mut tell = |event| sink(event).map_err(Stop::Error);
        match self.state {
            State::Header => {
                let header = read_header(cursor)?;
                // A count is only a number: nothing is allocated for it.
                let done = header.entries == 0;
                self.header = Some(header);
                self.state = State::Entries;
                if done {
                    tell(Event::Toc(self.complete()))?;
                }
            }
            State::Entries => {
                let (minor, offset_size, count) =
                    self.header.as_ref().map_or((0, 8, 0), |h| (h.minor, h.offset_size, h.entries as usize));
                let entry = read_entry(cursor, minor, offset_size)?;
                if !self.ids.insert(entry.id) {
                    return Err(cursor.damaged("two entries have the same id"));
                }
                if entry.has_data {
                    self.promised.insert(entry.id);
                }
                self.toc_bytes = self.toc_bytes.saturating_add(cursor.at);
                self.entries.push(entry);
                if self.entries.len() == count {
                    tell(Event::Toc(self.complete()))?;
                }
            }
            State::BlockType if self.of_file && self.promised.is_empty() => {
                let count = cursor.int()?;
                let again = self.toc.as_ref().is_some_and(|toc| usize::try_from(count) == Ok(toc.entries.len()));
                if !again {
                    return Err(cursor.damaged("something follows its last block"));
                }
                self.ended_at = Some(self.at);
                self.state = State::Tail;
            }
            State::BlockType => {
                let large_objects = match cursor.byte()? {
                    1 => false,
                    3 => true,
                    _ => return Err(cursor.damaged("a data block of an unknown type")),
                };
                self.state = State::BlockId { large_objects };
            }
            State::BlockId { large_objects } => {
                let id = cursor.int()?;
                if !self.promised.remove(&id) {
                    return Err(cursor.damaged("a data block that was not promised, or came twice"));
                }
                self.state = if large_objects { State::ObjectOid { id } } else { State::Length { id, object: false } };
                tell(Event::BlockBegin { id, large_objects })?;
            }
            State::ObjectOid { id } => {
                let oid = cursor.int()?;
                if oid == 0 {
                    self.state = State::BlockType;
                    tell(Event::BlockEnd { id })?;
                } else {
                    self.state = State::Length { id, object: true };
                    tell(Event::ObjectBegin { oid })?;
                }
            }
            State::Length { id, object } => {
                let length = cursor.int()?;
                match usize::try_from(length) {
                    Err(_) => return Err(cursor.damaged("a piece of data has a negative length")),
                    Ok(0) if object => {
                        self.state = State::ObjectOid { id };
                        tell(Event::ObjectEnd)?;
                    }
                    Ok(0) => {
                        self.state = State::BlockType;
                        tell(Event::BlockEnd { id })?;
                    }
                    Ok(left) => {
                        self.state = State::Data { id, object, left };
                        tell(Event::Piece { length })?;
                    }
                }
            }
            State::Data { .. } | State::Tail => {}
        }
        Ok(())
    }

    fn complete(&mut self) -> Arc<Toc> {
        self.state = State::BlockType;
        self.ids = HashSet::new();
        let header = self.header.take().unwrap_or_default();
        let toc = Arc::new(Toc::new(header, std::mem::take(&mut self.entries)));
        self.toc = Some(Arc::clone(&toc));
        toc
    }

    fn damaged(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Damaged { at: self.at, what }
    }

    /// Returns the table of contents once it has passed, without asking whether the data is whole.
    #[must_use]
    pub fn so_far(&self) -> Option<Arc<Toc>> {
        self.toc.clone()
    }

    /// Says that the stream has ended. `Ok` means that each promised block was seen to its end; whether the program
    /// that wrote it exited with 0 is the caller's to check, and just as needed.
    ///
    /// # Errors
    /// [`ArchiveError::Truncated`].
    pub fn finish(self) -> Result<Arc<Toc>, ArchiveError> {
        let Some(toc) = self.toc else {
            return Err(ArchiveError::Truncated("inside its table of contents".to_owned()));
        };
        if !matches!(self.state, State::BlockType | State::Tail) || !self.held.is_empty() {
            return Err(ArchiveError::Truncated("inside a block of data".to_owned()));
        }
        if !self.promised.is_empty() {
            return Err(ArchiveError::Truncated(format!("{} blocks of data are missing", self.promised.len())));
        }
        Ok(toc)
    }
}

/// Why an item was not read.
enum Stop<E> {
    /// It needs this many bytes in all, at least.
    More(usize),
    Error(E),
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    stream: u64,
}

impl<'a> Cursor<'a> {
    fn damaged<E: From<ArchiveError>>(&self, what: &'static str) -> Stop<E> {
        Stop::Error(ArchiveError::Damaged { at: self.stream + self.at as u64, what }.into())
    }

    fn take<E>(&mut self, count: usize) -> Result<&'a [u8], Stop<E>> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More(end))?;
        self.at = end;
        Ok(taken)
    }

    fn byte<E>(&mut self) -> Result<u8, Stop<E>> {
        Ok(self.take(1)?[0])
    }

    fn int<E: From<ArchiveError>>(&mut self) -> Result<i32, Stop<E>> {
        let bytes = self.take(5)?;
        let magnitude = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let value = match bytes[0] {
            0 => i64::from(magnitude),
            1 => -i64::from(magnitude),
            _ => return Err(self.damaged("a number with an unknown sign")),
        };
        // An oid above 2^31 is written as its bits.
        i32::try_from(value).or_else(|_| {
            if bytes[0] == 0 { Ok(magnitude.cast_signed()) } else { Err(self.damaged("a number that is too large")) }
        })
    }

    fn text<E: From<ArchiveError>>(&mut self) -> Result<Option<Vec<u8>>, Stop<E>> {
        match self.int()? {
            -1 => Ok(None),
            length => match usize::try_from(length) {
                Ok(length) => self.take(length).map(|text| Some(text.to_vec())),
                Err(_) => Err(self.damaged("a text with a negative length")),
            },
        }
    }
}

fn read_header<E: From<ArchiveError>>(cursor: &mut Cursor<'_>) -> Result<Header, Stop<E>> {
    let stop = |error: ArchiveError| Stop::Error(E::from(error));
    for expected in b"PGDMP" {
        if cursor.byte()? != *expected {
            return Err(stop(ArchiveError::Magic));
        }
    }
    let (major, minor, revision) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    if major != 1 || !(14..=16).contains(&minor) {
        return Err(stop(ArchiveError::Version(major, minor)));
    }
    if cursor.byte()? != 4 {
        return Err(stop(ArchiveError::Header("that numbers are not of four bytes")));
    }
    let offset_size = cursor.byte()?;
    if !(1..=8).contains(&offset_size) {
        return Err(stop(ArchiveError::Header("an impossible size of offsets")));
    }
    if cursor.byte()? != 1 {
        return Err(stop(ArchiveError::Header("that it is not of the custom format")));
    }
    let compression = if minor >= 15 { i32::from(cursor.byte()?) } else { cursor.int()? };
    let mut created = [0; 7];
    for field in &mut created {
        *field = cursor.int()?;
    }
    let (database, server_version, dump_version) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let entries = u32::try_from(cursor.int()?).map_err(|_| cursor.damaged("a negative number of entries"))?;
    Ok(Header { minor, revision, offset_size, compression, created, database, server_version, dump_version, entries })
}

fn read_entry<E: From<ArchiveError>>(cursor: &mut Cursor<'_>, minor: u8, offset_size: u8) -> Result<Entry, Stop<E>> {
    let id = cursor.int()?;
    let has_data = cursor.int()? != 0;
    let (table_oid, oid, tag, kind) = (cursor.text()?, cursor.text()?, cursor.text()?, cursor.text()?);
    let part = match cursor.int()? {
        1 => Part::None,
        2 => Part::PreData,
        3 => Part::Data,
        4 => Part::PostData,
        _ => return Err(cursor.damaged("an entry of an unknown section")),
    };
    let (definition, drop, copy) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let (schema, tablespace, access_method) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let relation_kind = if minor >= 16 { cursor.int()? } else { 0 };
    let (owner, with_oids) = (cursor.text()?, cursor.text()?);
    let mut dependencies = Vec::new();
    while let Some(dependency) = cursor.text()? {
        dependencies.push(dependency);
    }
    let offset_flag = cursor.byte()?;
    let mut offset = [0; 8];
    offset[..usize::from(offset_size)].copy_from_slice(cursor.take(usize::from(offset_size))?);
    Ok(Entry {
        id,
        has_data,
        table_oid,
        oid,
        tag,
        kind,
        part,
        definition,
        drop,
        copy,
        schema,
        tablespace,
        access_method,
        relation_kind,
        owner,
        with_oids,
        dependencies,
        offset_flag,
        offset: u64::from_le_bytes(offset),
    })
}
