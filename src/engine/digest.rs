//! Content digests of tables: the same for the same rows in any order, kept while rows pass. Pure.
//!
//! A row is one line of COPY text with its line end. Its digest is SHA-256 over the key block and the line, where the
//! key block is the key padded with zeros to 64 bytes; without a key there is no key block, and the row's digest is the
//! plain SHA-256 of the line. A table's digest is the sum of its rows' digests as 256-bit numbers, modulo 2^256, most
//! significant byte first. A sum and not XOR: XOR would cancel two equal rows. The key keeps those who see manifests
//! from testing guesses; it is not needed for the digest's order-freedom.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use sha2::block_api::compress256;
use zeroize::Zeroize;

use super::lanes::{BLOCK, Batch, LONGEST, Lanes, State, pad, padded};
use crate::domain::Digest;

const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The key of row digests: the key block, and SHA-256's state after it. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RowKey {
    block: Option<[u8; BLOCK]>,
    state: State,
}

impl RowKey {
    /// Makes a key from up to 64 bytes; of a longer one its SHA-256 is taken, as HMAC does.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(crate::domain::sha256(key).bytes());
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let mut state = INITIAL;
        compress256(&mut state, &[block]);
        let made = Self { block: Some(block), state };
        block.zeroize();
        made
    }

    /// Makes row digests plain SHA-256.
    #[must_use]
    pub const fn none() -> Self {
        Self { block: None, state: INITIAL }
    }

    /// The bytes that come before each row's.
    fn absorbed(&self) -> u64 {
        self.block.as_ref().map_or(0, |block| block.len() as u64)
    }

    /// Begins the digest of one row.
    fn begin(&self) -> Context {
        let mut context = Context::new(&SHA256);
        if let Some(block) = &self.block {
            context.update(block);
        }
        context
    }
}

impl Default for RowKey {
    fn default() -> Self {
        Self::none()
    }
}

impl Drop for RowKey {
    fn drop(&mut self) {
        self.block.zeroize();
        self.state.zeroize();
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.block.is_none() { "RowKey(none)" } else { "RowKey(***)" })
    }
}

/// Why COPY text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Something follows the end-of-data line.
    #[error("rows follow the end-of-data line")]
    AfterEnd,
    /// The text ends without the end-of-data line.
    #[error("the rows end without the end-of-data line")]
    NoEnd,
    /// The last line has no line end.
    #[error("the last row has no line end")]
    HalfLine,
}

/// The digest of one table, while its rows pass.
pub struct TableHasher {
    key: RowKey,
    /// Where rows are faster hashed together than one by one: those that wait.
    together: Option<(Lanes, Batch)>,
    /// The current line so far, unless it is a long one.
    line: Vec<u8>,
    /// The digest of the current line and its length so far, if it is long.
    long: Option<(Context, u64)>,
    sum: Sum,
    rows: u64,
    bytes: u64,
    ended: bool,
}

impl fmt::Debug for TableHasher {
    // Not the rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableHasher").field("rows", &self.rows).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What a table's rows came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Their number.
    pub count: u64,
    /// Their bytes, line ends included.
    pub bytes: u64,
    /// The sum of their digests.
    pub digest: Digest,
}

impl TableHasher {
    /// Begins a table.
    #[must_use]
    pub fn new(key: &RowKey) -> Self {
        Self::with(key, Lanes::here())
    }

    fn with(key: &RowKey, lanes: Option<Lanes>) -> Self {
        Self {
            key: key.clone(),
            together: lanes.map(|lanes| (lanes, Batch::default())),
            line: Vec::new(),
            long: None,
            sum: Sum::default(),
            rows: 0,
            bytes: 0,
            ended: false,
        }
    }

    /// Takes the next bytes of COPY text, cut anywhere. With `terminated`, the line `\.` ends the data, as in archives;
    /// what a server sends for COPY TO STDOUT has no such line, and its rows can never look like it.
    ///
    /// # Errors
    /// [`RowError::AfterEnd`].
    pub fn feed(&mut self, mut bytes: &[u8], terminated: bool) -> Result<(), RowError> {
        while !bytes.is_empty() {
            if self.ended {
                return if bytes.iter().all(|byte| *byte == b'\n') { Ok(()) } else { Err(RowError::AfterEnd) };
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.part(bytes);
                return Ok(());
            };
            let (line, next) = bytes.split_at(end + 1);
            bytes = next;
            if terminated && self.is_terminator(line) {
                self.ended = true;
            } else if self.long.is_none() && self.line.is_empty() {
                self.whole(line);
            } else {
                self.part(line);
                self.finish_line();
            }
        }
        Ok(())
    }

    fn is_terminator(&self, tail: &[u8]) -> bool {
        self.long.is_none() && self.line.len() + tail.len() == 3 && self.line.iter().chain(tail).eq(b"\\.\n")
    }

    fn part(&mut self, bytes: &[u8]) {
        if let Some((context, length)) = &mut self.long {
            context.update(bytes);
            *length += bytes.len() as u64;
        } else if self.line.len() + bytes.len() <= LONGEST {
            self.line.extend_from_slice(bytes);
        } else {
            let mut context = self.key.begin();
            context.update(&self.line);
            context.update(bytes);
            self.long = Some((context, (self.line.len() + bytes.len()) as u64));
            self.line.clear();
        }
    }

    fn finish_line(&mut self) {
        if let Some((context, length)) = self.long.take() {
            self.add_long(context, length);
        } else {
            let mut line = std::mem::take(&mut self.line);
            self.whole(&line);
            line.clear();
            self.line = line;
        }
    }

    /// Digests a line that is there in one piece.
    fn whole(&mut self, line: &[u8]) {
        if line.len() > LONGEST {
            let mut context = self.key.begin();
            context.update(line);
            return self.add_long(context, line.len() as u64);
        }
        self.rows += 1;
        self.bytes += line.len() as u64;
        match &mut self.together {
            Some((lanes, batch)) => {
                batch.push(line, self.key.absorbed());
                if batch.is_full() {
                    batch.drain(*lanes, &self.key.state, |state| self.sum.add(state));
                }
            }
            None => self.sum.add(&alone(&self.key, line)),
        }
    }

    fn add_long(&mut self, context: Context, length: u64) {
        self.rows += 1;
        self.bytes += length;
        let digest = context.finish();
        let mut state = [0; 8];
        for (word, bytes) in state.iter_mut().zip(digest.as_ref().as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        self.sum.add(&state);
    }

    /// Ends the table.
    ///
    /// # Errors
    /// [`RowError::NoEnd`] where the end-of-data line is expected and missing, [`RowError::HalfLine`].
    pub fn finish(mut self, terminated: bool) -> Result<Rows, RowError> {
        if terminated && !self.ended {
            return Err(RowError::NoEnd);
        }
        if !self.ended && (self.long.is_some() || !self.line.is_empty()) {
            return Err(RowError::HalfLine);
        }
        if let Some((lanes, batch)) = &mut self.together {
            batch.drain(*lanes, &self.key.state, |state| self.sum.add(state));
        }
        Ok(Rows { count: self.rows, bytes: self.bytes, digest: self.sum.digest() })
    }
}

/// One row's digest, without copying its whole blocks.
fn alone(key: &RowKey, line: &[u8]) -> State {
    let mut state = key.state;
    let (blocks, rest) = line.as_chunks::<BLOCK>();
    compress256(&mut state, blocks);
    let mut last = [[0; BLOCK]; 2];
    let last = &mut last[..padded(rest.len())];
    pad(last.as_flattened_mut(), rest, key.absorbed() + (line.len() - rest.len()) as u64);
    compress256(&mut state, last);
    state
}

/// A sum of digests as 256-bit numbers, the least significant limb first.
#[derive(Default)]
struct Sum([u64; 4]);

impl Sum {
    /// Adds a digest; of a state the first word is the most significant.
    fn add(&mut self, state: &State) {
        let mut carry = false;
        for (limb, pair) in self.0.iter_mut().zip(state.as_chunks::<2>().0.iter().rev()) {
            let digits = (u64::from(pair[0]) << 32) | u64::from(pair[1]);
            let (partial, over) = limb.overflowing_add(digits);
            let (total, more) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = over || more;
        }
    }

    fn digest(&self) -> Digest {
        let mut digest = [0; 32];
        for (bytes, limb) in digest.as_chunks_mut::<8>().0.iter_mut().zip(self.0.iter().rev()) {
            *bytes = limb.to_be_bytes();
        }
        Digest::new(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Lanes, RowError, RowKey, TableHasher};
    use crate::domain::{Digest, sha256};
    use proptest::prelude::*;

    /// The digest of pieces, the same one by one, in the processor's vectors and in none.
    #[track_caller]
    fn digest(key: &RowKey, pieces: &[&[u8]], terminated: bool) -> super::Rows {
        let by = |lanes| {
            let mut hasher = TableHasher::with(key, lanes);
            pieces.iter().for_each(|piece| hasher.feed(piece, terminated).expect("feeds"));
            hasher.finish(terminated).expect("ends")
        };
        let found = by(None);
        for lanes in Lanes::all() {
            assert_eq!(by(Some(lanes)), found, "{lanes:?}");
        }
        found
    }

    /// The definition, by schoolbook addition of independently computed SHA-256 digests.
    fn model(key: Option<&[u8]>, rows: &[Vec<u8>]) -> Digest {
        let mut sum = [0_u8; 32];
        for row in rows {
            let mut text = key.map_or(Vec::new(), |key| {
                let mut block = key.to_vec();
                block.resize(64, 0);
                block
            });
            text.extend_from_slice(row);
            let mut carry = 0_u16;
            for (byte, more) in sum.iter_mut().zip(sha256(&text).bytes()).rev() {
                let total = u16::from(*byte) + u16::from(*more) + carry;
                *byte = (total & 0xFF) as u8;
                carry = total >> 8;
            }
        }
        Digest::new(sum)
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let row = prop_oneof![
            20 => "[a-z\t]{0,300}".prop_map(String::into_bytes),
            20 => Just(Vec::new()),
            20 => Just(b"\\\\.".to_vec()),
            20 => Just(b"\\.x".to_vec()),
            20 => Just(b"\\N".to_vec()),
            1 => (LONGEST - 130..LONGEST + 130, any::<u8>()).prop_map(|(size, byte)| vec![byte.max(b' '); size]),
        ];
        proptest::collection::vec(
            row.prop_map(|mut row| {
                row.push(b'\n');
                row
            }),
            0..20,
        )
    }

    proptest! {
        #[test]
        fn any_cut_and_any_order_give_the_defined_sum(
            rows in rows(), cuts in proptest::collection::vec(prop_oneof![1_usize..70, 1_usize..LONGEST], 1..8), keyed: bool, rotate in 0_usize..20,
        ) {
            let secret = b"0123456789abcdef0123456789abcdef";
            let key = if keyed { RowKey::new(secret) } else { RowKey::none() };
            let expected = model(keyed.then_some(secret.as_slice()), &rows);
            let mut turned = rows.clone();
            if !turned.is_empty() {
                let by = rotate % turned.len();
                turned.rotate_left(by);
            }
            let mut text: Vec<u8> = turned.concat();
            let size = text.len() as u64;
            text.extend_from_slice(b"\\.\n\n\n");
            let mut pieces = Vec::new();
            let mut left = text.as_slice();
            for cut in cuts.iter().cycle() {
                if left.is_empty() { break; }
                let (piece, next) = left.split_at((*cut).min(left.len()));
                pieces.push(piece);
                left = next;
            }
            let found = digest(&key, &pieces, true);
            prop_assert_eq!(found.digest, expected);
            prop_assert_eq!(found.count, rows.len() as u64);
            prop_assert_eq!(found.bytes, size);
            prop_assert_eq!(found, digest(&key, &[&rows.concat()], false));
        }
    }

    #[test]
    fn twins_do_not_cancel() {
        let key = RowKey::none();
        assert_ne!(digest(&key, &[b"a\na\n"], false).digest, digest(&key, &[b"b\nb\n"], false).digest);
        assert_ne!(digest(&key, &[b"a\na\n"], false).digest, digest(&key, &[b""], false).digest);
    }

    #[test]
    fn text_without_its_end_is_refused() {
        let fed = |pieces: &[&[u8]], terminated: bool| {
            let mut hasher = TableHasher::new(&RowKey::none());
            pieces.iter().for_each(|piece| hasher.feed(piece, terminated).expect("feeds"));
            hasher.finish(terminated)
        };
        assert_eq!(fed(&[b"a\n"], true), Err(RowError::NoEnd));
        assert_eq!(fed(&[b"a\n", b"b"], false), Err(RowError::HalfLine));
        assert_eq!(fed(&[b"a\n", &[b'b'; LONGEST + 1]], false), Err(RowError::HalfLine));
        let mut hasher = TableHasher::new(&RowKey::none());
        assert_eq!(hasher.feed(b"a\n\\.\nb\n", true), Err(RowError::AfterEnd));
    }

    #[test]
    fn many_rows_of_all_sizes_give_the_defined_sum() {
        let secret = b"0123456789abcdef0123456789abcdef";
        // Every number of blocks up to eight, most of one and two, some that wait long for others as long.
        let sizes = (0..3000_usize).map(|n| if n % 50 == 0 { n * 5 } else { n * 7 % 130 + n % 11 * 40 });
        let rows: Vec<Vec<u8>> =
            sizes.map(|size| [vec![b'a' + (size % 26) as u8; size], b"\n".to_vec()].concat()).collect();
        let found = digest(&RowKey::new(secret), &[&rows.concat()], false);
        assert_eq!((found.digest, found.count), (model(Some(secret), &rows), 3000));
    }

    #[test]
    fn nothing_shows_a_row() {
        let mut hasher = TableHasher::with(&RowKey::none(), Lanes::all().pop());
        hasher.feed(b"geheim\ngehei", false).expect("feeds");
        assert_eq!(format!("{hasher:?}"), "TableHasher { rows: 1, bytes: 7, .. }");
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", RowKey::new(b"geheim")), "RowKey(***)");
    }
}
