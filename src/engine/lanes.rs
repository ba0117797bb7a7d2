//! SHA-256 of many short messages at once, each in a lane of the processor's vectors. Pure.
//!
//! The rounds of one message follow one another; those of sixteen messages can be taken side by side. A processor with
//! vectors but without SHA instructions hashes two blocks in 0.09 µs (AVX-512) or 0.2 µs (AVX2) so, and in 1.0 µs one
//! message after the other. With SHA instructions one after the other is as fast, and there it is left at that.
//! The vectors come from `pulp`, which asks the processor what it has; this module has nothing unsafe.

use pulp::{Arch, Simd, WithSimd};

/// SHA-256's block in bytes.
pub(super) const BLOCK: usize = 64;

/// SHA-256's state between blocks.
pub(super) type State = [u32; 8];

/// The most messages that are hashed at once: what the widest vectors hold.
const WIDEST: usize = 16;

/// The longest message that waits for others, in bytes before padding.
pub(super) const LONGEST: usize = 16 * 1024;

/// How many blocks make a batch worth hashing, once they are enough messages for all lanes. With the longest of messages
/// that bounds a batch to 257 KiB, and what is reserved for it to twice as much.
const WORTH: usize = 512;

/// The round constants: the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
const ROUNDS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Vectors to hash with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes(Arch);

impl Lanes {
    /// The processor's vectors, where hashing in them is faster than one message after the other.
    pub(super) fn here() -> Option<Self> {
        // Without optimization each instruction is a call, and the library's code, which is always optimized, a hundred
        // times as fast.
        #[cfg(all(target_arch = "x86_64", not(debug_assertions)))]
        if std::arch::is_x86_feature_detected!("avx2") && !std::arch::is_x86_feature_detected!("sha") {
            return Some(Self(Arch::new())).filter(|lanes| !matches!(lanes.0, Arch::Scalar));
        }
        // Every other processor that servers are made of has SHA instructions.
        None
    }

    /// All the vectors that this processor has, and none.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Arch::new(), Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all.into_iter().map(Self).collect()
    }
}

/// Messages that wait to be hashed together.
#[derive(Default)]
pub(super) struct Batch {
    /// All messages' blocks, padded.
    blocks: Vec<[u8; BLOCK]>,
    /// Where each begins, and how many blocks it has: never none.
    messages: Vec<Message>,
}

#[derive(Clone, Copy)]
struct Message {
    first: usize,
    blocks: usize,
}

impl Batch {
    /// Adds a message of which `absorbed` bytes, whole blocks, went before it.
    pub(super) fn push(&mut self, message: &[u8], absorbed: u64) {
        let first = self.blocks.len();
        let blocks = padded(message.len());
        self.blocks.resize(first + blocks, [0; BLOCK]);
        pad(self.blocks[first..].as_flattened_mut(), message, absorbed);
        self.messages.push(Message { first, blocks });
    }

    /// Whether the time has come to hash.
    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= WORTH && self.messages.len() >= WIDEST
    }

    /// Hashes all that wait, each from the state `start`, and gives out each one's last state, in any order.
    pub(super) fn drain(&mut self, lanes: Lanes, start: &State, mut each: impl FnMut(&State)) {
        // Neighbours as long as one another: a lane whose message has ended works in vain until the longest has.
        self.messages.sort_unstable_by_key(|message| message.blocks);
        let mut ends = [[0; 8]; WIDEST];
        for messages in self.messages.chunks(WIDEST) {
            lanes.0.dispatch(Together { start, blocks: &self.blocks, messages, ends: &mut ends });
            ends.iter().take(messages.len()).for_each(&mut each);
        }
        self.messages.clear();
        self.blocks.clear();
    }
}

/// How many blocks a message of so many bytes fills with its padding.
pub(super) const fn padded(bytes: usize) -> usize {
    (bytes + 9).div_ceil(BLOCK)
}

/// Writes a message's end and its padding into `blocks`, which are zeros and as many as [`padded`] says of the end; in
/// front of it stood `before` bytes, whole blocks.
pub(super) fn pad(blocks: &mut [u8], end: &[u8], before: u64) {
    blocks[..end.len()].copy_from_slice(end);
    blocks[end.len()] = 0x80;
    let bits = (before + end.len() as u64).wrapping_mul(8);
    let length = blocks.len() - 8;
    blocks[length..].copy_from_slice(&bits.to_be_bytes());
}

/// Up to sixteen messages, the shortest first, and where their last states go.
struct Together<'a> {
    start: &'a State,
    blocks: &'a [[u8; BLOCK]],
    messages: &'a [Message],
    ends: &'a mut [State; WIDEST],
}

impl WithSimd for Together<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = S::U32_LANES.min(WIDEST);
        for (messages, ends) in self.messages.chunks(width).zip(self.ends.chunks_mut(width)) {
            let mut state = self.start.map(|word| simd.splat_u32s(word));
            let most = messages.last().map_or(0, |message| message.blocks);
            for at in 0..most {
                let mut words = [[0; WIDEST]; 16];
                for (lane, message) in messages.iter().enumerate() {
                    let block = &self.blocks[message.first + at.min(message.blocks - 1)];
                    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
                        word[lane] = u32::from_be_bytes(*bytes);
                    }
                }
                compress(simd, &mut state, words.map(|word| simd.partial_load_u32s(&word[..width])));
                if !messages.iter().any(|message| message.blocks == at + 1) {
                    continue;
                }
                let mut out = [[0; WIDEST]; 8];
                for (word, vector) in out.iter_mut().zip(state) {
                    simd.partial_store_u32s(&mut word[..width], vector);
                }
                for (lane, (message, end)) in messages.iter().zip(ends.iter_mut()).enumerate() {
                    if message.blocks == at + 1 {
                        *end = out.map(|word| word[lane]);
                    }
                }
            }
        }
    }
}

/// One block of each lane (FIPS 180-4, 6.2.2): the schedule's next sixteen words take the place of the last ones.
#[inline(always)]
fn compress<S: Simd>(simd: S, state: &mut [S::u32s; 8], mut w: [S::u32s; 16]) {
    let mut now = *state;
    for (pass, constants) in ROUNDS.as_chunks::<16>().0.iter().enumerate() {
        // Written out sixteen times this is a tenth faster, and needs 860 KB of stack where nothing is optimized.
        for (i, constant) in constants.iter().enumerate() {
            now = round(simd, now, simd.add_u32s(w[i], simd.splat_u32s(*constant)));
            if pass < 3 {
                w[i] = scheduled(simd, w[i], w[(i + 1) % 16], w[(i + 9) % 16], w[(i + 14) % 16]);
            }
        }
    }
    for (word, more) in state.iter_mut().zip(now) {
        *word = simd.add_u32s(*word, more);
    }
}

#[inline(always)]
fn round<S: Simd>(simd: S, [a, b, c, d, e, f, g, h]: [S::u32s; 8], word: S::u32s) -> [S::u32s; 8] {
    let choice = simd.xor_u32s(g, simd.and_u32s(e, simd.xor_u32s(f, g)));
    let first = sum(simd, [h, word, choice, xor(simd, [turn(simd, e, 6), turn(simd, e, 11), turn(simd, e, 25)])]);
    let majority = simd.or_u32s(simd.and_u32s(a, b), simd.and_u32s(c, simd.or_u32s(a, b)));
    let second = simd.add_u32s(majority, xor(simd, [turn(simd, a, 2), turn(simd, a, 13), turn(simd, a, 22)]));
    [simd.add_u32s(first, second), a, b, c, simd.add_u32s(d, first), e, f, g]
}

/// The word that takes the place of the one sixteen before it, from those 16, 15, 7 and 2 before it.
#[inline(always)]
fn scheduled<S: Simd>(simd: S, oldest: S::u32s, next: S::u32s, ninth: S::u32s, late: S::u32s) -> S::u32s {
    let next = xor(simd, [turn(simd, next, 7), turn(simd, next, 18), shift(simd, next, 3)]);
    let late = xor(simd, [turn(simd, late, 17), turn(simd, late, 19), shift(simd, late, 10)]);
    sum(simd, [oldest, next, ninth, late])
}

#[inline(always)]
fn sum<S: Simd>(simd: S, [a, b, c, d]: [S::u32s; 4]) -> S::u32s {
    simd.add_u32s(simd.add_u32s(a, b), simd.add_u32s(c, d))
}

#[inline(always)]
fn xor<S: Simd>(simd: S, [a, b, c]: [S::u32s; 3]) -> S::u32s {
    simd.xor_u32s(simd.xor_u32s(a, b), c)
}

#[inline(always)]
fn shift<S: Simd>(simd: S, word: S::u32s, by: u32) -> S::u32s {
    simd.wrapping_dyn_shr_u32s(word, simd.splat_u32s(by))
}

#[inline(always)]
fn turn<S: Simd>(simd: S, word: S::u32s, by: u32) -> S::u32s {
    simd.or_u32s(shift(simd, word, by), simd.wrapping_dyn_shl_u32s(word, simd.splat_u32s(32 - by)))
}
