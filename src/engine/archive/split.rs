//! The splitter: one archive's bytes in, many archives' bytes out, as they come. Pure.
//!
//! [`Splitter`] is fed the stream of one `pg_dump -Fc -Z0` in any pieces and hands on [`Portion`]s: [`Portion::Begin`]
//! once, with the [`Homes`] of all entries; then [`Portion::Bytes`], each of one home, which put together in their order
//! are a valid custom-format archive of that home; [`Portion::End`] when the last block that a home was promised has
//! passed. The blocks of a home need not be contiguous. Blocks are copied as they are, piece by piece; all that is held
//! is the table of contents and up to [`GATHERED`] bytes. [`Portion::Seen`] hands on the parser's events besides, for
//! whoever digests rows.
//!
//! A home's archive is whole only when [`Splitter::finish`] succeeded *and* the program exited with 0: an early end at
//! the border of two blocks looks like a proper one. To split an archive that is at hand:
//!
//! ```
//! # use bkup::engine::archive::{ArchiveError, Home, Portion, Publications, Splitter};
//! # use std::collections::BTreeMap;
//! fn split(archive: &[u8], tenants: &[String]) -> Result<BTreeMap<Home, Vec<u8>>, ArchiveError> {
//!     let mut archives: BTreeMap<Home, Vec<u8>> = BTreeMap::new();
//!     let mut splitter = Splitter::new(tenants.to_vec(), Publications::WithTenant);
//!     splitter.feed(archive, &mut |portion| {
//!         if let Portion::Bytes { home, bytes } = portion {
//!             archives.entry(home).or_default().extend_from_slice(&bytes);
//!         }
//!         Ok::<(), ArchiveError>(())
//!     })?;
//!     splitter.finish()?;
//!     Ok(archives)
//! }
//! # assert!(split(b"no archive", &[]).is_err());
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::writer::number;
use super::{ArchiveError, ArchiveReader, Event, Home, Homes, Packing, Publications};

/// How many bytes of one home are gathered at most before they are handed on, but for a row that is longer.
pub const GATHERED: usize = 64 * 1024;
/// At how many of them that is done: most rows still fit into the rest.
const FULL: usize = GATHERED / 8 * 7;

/// Something that came out of the stream.
#[derive(Debug)]
pub enum Portion<'a> {
    /// The table of contents is complete and attributed.
    Begin(&'a Arc<Homes>),
    /// The next bytes of a home's archive.
    Bytes {
        /// The home.
        home: Home,
        /// The bytes.
        bytes: Bytes,
    },
    /// A home's blocks have all passed: no more bytes of it come.
    End {
        /// The home.
        home: Home,
    },
    /// What the parser saw, before the bytes that are made of it.
    Seen {
        /// Whose it is.
        home: Home,
        /// The event.
        event: Event<'a>,
    },
}

/// The splitter. After an error it is of no more use.
#[derive(Debug)]
pub struct Splitter {
    reader: ArchiveReader,
    out: Out,
}

#[derive(Debug)]
struct Out {
    tenants: Vec<String>,
    publications: Publications,
    homes: Option<Arc<Homes>>,
    /// Blocks that are still to come, of homes that have some.
    promised: HashMap<Home, usize>,
    /// Whose archive has begun.
    begun: HashSet<Home>,
    current: Home,
    /// Whether a block of it is under way.
    inside: bool,
    gathered: BytesMut,
}

impl Splitter {
    /// Begins. `tenants` are the tenants' schemas, by their exact names.
    #[must_use]
    pub fn new(tenants: Vec<String>, publications: Publications) -> Self {
        let out = Out {
            tenants,
            publications,
            homes: None,
            promised: HashMap::new(),
            begun: HashSet::new(),
            current: Home::Shared,
            inside: false,
            gathered: BytesMut::with_capacity(GATHERED),
        };
        Self { reader: ArchiveReader::new(), out }
    }

    /// Takes the next bytes of the stream, cut anywhere, and hands on what they complete.
    ///
    /// # Errors
    /// When the stream is no archive or its data is compressed, or whatever the sink answers.
    pub fn feed<E: From<ArchiveError>>(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Portion<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let out = &mut self.out;
        self.reader.feed(bytes, &mut |event| out.take(event, sink))
    }

    /// Returns whose data is under way, where any is: when the stream breaks, what it broke at.
    #[must_use]
    pub fn at(&self) -> Option<Home> {
        self.out.inside.then_some(self.out.current)
    }

    /// Ends: every promised block must have come.
    ///
    /// # Errors
    /// [`ArchiveError::Truncated`].
    pub fn finish(self) -> Result<Arc<Homes>, ArchiveError> {
        self.reader.finish()?;
        self.out.homes.ok_or_else(|| ArchiveError::Truncated("its table of contents is missing".to_owned()))
    }
}

impl Out {
    fn take<E: From<ArchiveError>>(
        &mut self,
        event: Event<'_>,
        sink: &mut impl FnMut(Portion<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match event {
            Event::Toc(toc) => {
                if toc.header.packing() != Packing::None {
                    return Err(ArchiveError::Header("that its data is compressed").into());
                }
                return self.begin(Arc::new(Homes::new(toc, &self.tenants, self.publications)), sink);
            }
            Event::BlockBegin { id, large_objects } => {
                let home = self.homes.as_ref().and_then(|homes| homes.home(id)).unwrap_or(Home::Shared);
                if home != self.current {
                    self.flush(sink)?;
                    self.current = home;
                }
                self.inside = true;
                self.open(home);
                sink(Portion::Seen { home, event })?;
                self.gathered.extend_from_slice(&[if large_objects { 3 } else { 1 }]);
                self.number(id);
                return Ok(());
            }
            _ => {}
        }
        let home = self.current;
        match &event {
            Event::ObjectBegin { oid } => self.number(*oid),
            Event::Piece { length } => self.number(*length),
            Event::Data(bytes) => self.gathered.extend_from_slice(bytes),
            // The length 0 ends the rows, or the object; the oid 0 ends the objects.
            Event::ObjectEnd | Event::BlockEnd { .. } => self.number(0),
            Event::Toc(_) | Event::BlockBegin { .. } => {}
        }
        let ended = matches!(event, Event::BlockEnd { .. });
        self.inside = !ended;
        sink(Portion::Seen { home, event })?;
        if self.gathered.len() >= FULL {
            self.flush(sink)?;
        }
        if ended && let Some(left) = self.promised.get_mut(&home) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.flush(sink)?;
                sink(Portion::End { home })?;
            }
        }
        Ok(())
    }

    /// Hands on the homes, and at once the archives that have no data.
    fn begin<E>(&mut self, homes: Arc<Homes>, sink: &mut impl FnMut(Portion<'_>) -> Result<(), E>) -> Result<(), E> {
        sink(Portion::Begin(&homes))?;
        self.homes = Some(Arc::clone(&homes));
        for home in homes.homes() {
            let blocks = homes.blocks(home);
            if blocks > 0 {
                self.promised.insert(home, blocks);
                continue;
            }
            self.current = home;
            self.open(home);
            self.flush(sink)?;
            sink(Portion::End { home })?;
        }
        Ok(())
    }

    /// Begins a home's archive, once.
    fn open(&mut self, home: Home) {
        if self.begun.insert(home)
            && let Some(homes) = &self.homes
        {
            self.gathered.extend_from_slice(&homes.head(home));
        }
    }

    fn number(&mut self, value: i32) {
        self.gathered.extend_from_slice(&number(value));
    }

    fn flush<E>(&mut self, sink: &mut impl FnMut(Portion<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        // What is left of the buffer is filled by the next home: many small archives must not keep a whole buffer each.
        // A new one has the first one's size, so that it does not grow with each row and is not copied each time.
        sink(Portion::Bytes { home: self.current, bytes: self.gathered.split().freeze() })
    }
}
