//! Content digests of tables: the same for the same rows in any order, kept while rows pass. Pure.
//!
//! A row is one line of COPY text with its line end. Its digest is SHA-256 over the key block and the line, where the
//! key block is the key padded with zeros to 64 bytes; without a key there is no key block, and the row's digest is the
//! plain SHA-256 of the line. A table's digest is the sum of its rows' digests as 256-bit numbers, modulo 2^256, most
//! significant byte first. A sum and not XOR: XOR would cancel two equal rows. The key keeps those who see manifests
//! from testing guesses; it is not needed for the digest's order-freedom.

use std::fmt;

use sha2::block_api::compress256;
use zeroize::Zeroize;

use crate::domain::Digest;

const BLOCK: usize = 64;

const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The key of row digests: SHA-256's state after the key block. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct RowKey {
    state: [u32; 8],
    absorbed: u64,
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
        block.zeroize();
        Self { state, absorbed: BLOCK as u64 }
    }

    /// Makes row digests plain SHA-256.
    #[must_use]
    pub const fn none() -> Self {
        Self { state: INITIAL, absorbed: 0 }
    }
}

impl Default for RowKey {
    fn default() -> Self {
        Self::none()
    }
}

impl Drop for RowKey {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.absorbed == 0 { "RowKey(none)" } else { "RowKey(***)" })
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
#[derive(Debug)]
pub struct TableHasher {
    key: RowKey,
    /// SHA-256 over the bytes of the current line that fill whole blocks.
    state: [u32; 8],
    /// The bytes of the current line that do not.
    rest: [u8; BLOCK],
    held: usize,
    /// The current line's length so far.
    line: u64,
    sum: [u64; 4],
    rows: u64,
    bytes: u64,
    ended: bool,
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
        Self {
            state: key.state,
            key: key.clone(),
            rest: [0; BLOCK],
            held: 0,
            line: 0,
            sum: [0; 4],
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
            } else if self.line == 0 {
                self.whole(line);
            } else {
                self.part(line);
                self.finish_line();
            }
        }
        Ok(())
    }

    fn is_terminator(&self, tail: &[u8]) -> bool {
        match self.line {
            0 => tail == b"\\.\n",
            1 => self.rest[0] == b'\\' && tail == b".\n",
            2 => self.rest[..2] == *b"\\." && tail == b"\n",
            _ => false,
        }
    }

    /// Digests a line that came in one piece, without copying its whole blocks.
    fn whole(&mut self, line: &[u8]) {
        let mut state = self.key.state;
        let (blocks, rest) = line.as_chunks::<BLOCK>();
        compress256(&mut state, blocks);
        self.add(state, rest, line.len() as u64);
    }

    fn part(&mut self, mut bytes: &[u8]) {
        self.line += bytes.len() as u64;
        if self.held > 0 {
            let taken = bytes.len().min(BLOCK - self.held);
            self.rest[self.held..self.held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken;
            bytes = &bytes[taken..];
            if self.held < BLOCK {
                return;
            }
            compress256(&mut self.state, &[self.rest]);
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        compress256(&mut self.state, blocks);
        self.rest[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    fn finish_line(&mut self) {
        let (state, rest, held, line) = (self.state, self.rest, self.held, self.line);
        self.add(state, &rest[..held], line);
        self.state = self.key.state;
        self.held = 0;
        self.line = 0;
    }

    /// Pads and ends a line's SHA-256 and adds it to the sum.
    fn add(&mut self, mut state: [u32; 8], rest: &[u8], line: u64) {
        let mut last = [[0; BLOCK]; 2];
        let flat = last.as_flattened_mut();
        flat[..rest.len()].copy_from_slice(rest);
        flat[rest.len()] = 0x80;
        let blocks = if rest.len() + 9 <= BLOCK { 1 } else { 2 };
        let bits = (line + self.key.absorbed).wrapping_mul(8);
        flat[blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut state, &last[..blocks]);
        let mut carry = false;
        // sum[0] is least significant, state[0] most.
        for (limb, pair) in self.sum.iter_mut().zip(state.as_chunks::<2>().0.iter().rev()) {
            let digits = (u64::from(pair[0]) << 32) | u64::from(pair[1]);
            let (partial, over) = limb.overflowing_add(digits);
            let (total, more) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = over || more;
        }
        self.rows += 1;
        self.bytes += line;
    }

    /// Ends the table.
    ///
    /// # Errors
    /// [`RowError::NoEnd`] where the end-of-data line is expected and missing, [`RowError::HalfLine`].
    pub fn finish(&self, terminated: bool) -> Result<Rows, RowError> {
        if terminated && !self.ended {
            return Err(RowError::NoEnd);
        }
        if self.line > 0 && !self.ended {
            return Err(RowError::HalfLine);
        }
        let mut digest = [0; 32];
        for (bytes, limb) in digest.as_chunks_mut::<8>().0.iter_mut().zip(self.sum.iter().rev()) {
            *bytes = limb.to_be_bytes();
        }
        Ok(Rows { count: self.rows, bytes: self.bytes, digest: Digest::new(digest) })
    }
}

#[cfg(test)]
mod tests {
    use super::{RowError, RowKey, TableHasher};
    use crate::domain::{Digest, sha256};
    use proptest::prelude::*;

    fn digest(key: &RowKey, pieces: &[&[u8]], terminated: bool) -> super::Rows {
        let mut hasher = TableHasher::new(key);
        pieces.iter().for_each(|piece| hasher.feed(piece, terminated).expect("feeds"));
        hasher.finish(terminated).expect("ends")
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
            "[a-z\t]{0,300}".prop_map(String::into_bytes),
            Just(Vec::new()),
            Just(b"\\\\.".to_vec()),
            Just(b"\\.x".to_vec()),
            Just(b"\\N".to_vec()),
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
            rows in rows(), cuts in proptest::collection::vec(1_usize..70, 1..8), keyed: bool, rotate in 0_usize..20,
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
        let mut hasher = TableHasher::new(&RowKey::none());
        hasher.feed(b"a\n", true).expect("feeds");
        assert_eq!(hasher.finish(true), Err(RowError::NoEnd));
        hasher.feed(b"b", false).expect("feeds");
        assert_eq!(hasher.finish(false), Err(RowError::HalfLine));
        let mut hasher = TableHasher::new(&RowKey::none());
        assert_eq!(hasher.feed(b"a\n\\.\nb\n", true), Err(RowError::AfterEnd));
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", RowKey::new(b"geheim")), "RowKey(***)");
    }
}
