//! Heads of entries. Pure.

use super::{Extent, PaxEntry, PaxKind};
use crate::artifact::tar::BLOCK;

/// The largest number that eleven octal digits hold.
const WIDE: u64 = 0o77_777_777_777;
/// The largest number that seven octal digits hold.
const NARROW: u64 = 0o7_777_777;
/// The longest name that a header holds by itself.
const SHORT: usize = 100;

/// Returns everything that comes before an entry's content. The content has to be as long as [`PaxEntry::content`] says,
/// and to be followed by as many zeros as [`padding`] says.
#[must_use]
pub fn head(entry: &PaxEntry) -> Vec<u8> {
    let mut records = Vec::new();
    let (kind, target): (u8, &[u8]) = match &entry.kind {
        PaxKind::File { .. } | PaxKind::Sparse { .. } => (b'0', b""),
        PaxKind::Link(target) => (b'1', target),
        PaxKind::Symlink(target) => (b'2', target),
        PaxKind::Folder => (b'5', b""),
    };
    if [entry.path.as_slice(), target].iter().any(|text| std::str::from_utf8(text).is_err()) {
        // Names are UTF-8 in this form unless it says so; readers that do not know the word take the bytes as they are.
        record(&mut records, "hdrcharset", b"BINARY");
    }
    let mut map = Vec::new();
    let mut name = entry.path.clone();
    if let PaxKind::Sparse { size, data } = &entry.kind {
        record(&mut records, "GNU.sparse.major", b"1");
        record(&mut records, "GNU.sparse.minor", b"0");
        record(&mut records, "GNU.sparse.name", &entry.path);
        record(&mut records, "GNU.sparse.realsize", size.to_string().as_bytes());
        map = sparse_map(data, *size);
        // The name under which a reader that knows no sparse files puts what it cannot understand.
        let at = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        name.splice(at..at, b"GNUSparseFile.0/".iter().copied());
    }
    if kind == b'5' {
        name.push(b'/');
    }
    if name.len() > SHORT || !name.is_ascii() {
        record(&mut records, "path", &name);
    }
    if target.len() > SHORT || !target.is_ascii() {
        record(&mut records, "linkpath", target);
    }
    let size = entry.content() + map.len() as u64;
    if size > WIDE {
        record(&mut records, "size", size.to_string().as_bytes());
    }
    for (key, number) in [("uid", entry.uid), ("gid", entry.gid)] {
        if u64::from(number) > NARROW {
            record(&mut records, key, number.to_string().as_bytes());
        }
    }
    let (seconds, nanoseconds) = entry.modified;
    if nanoseconds != 0 || !u64::try_from(seconds).is_ok_and(|seconds| seconds <= WIDE) {
        record(&mut records, "mtime", time(seconds, nanoseconds).as_bytes());
    }
    let mut out = Vec::with_capacity(3 * BLOCK + records.len() + map.len());
    if !records.is_empty() {
        let length = records.len() as u64;
        out.extend(block(b"pax", b'x', b"", length, &PaxEntry { mode: 0o600, uid: 0, gid: 0, ..bare(entry) }));
        out.extend(&records);
        out.resize(out.len() + padding(length), 0);
    }
    out.extend(block(&name, kind, target, if size > WIDE { 0 } else { size }, entry));
    out.extend(map);
    out
}

/// Returns how many zeros follow a content of some length.
#[must_use]
pub const fn padding(length: u64) -> usize {
    // At most 511.
    ((BLOCK as u64 - length % BLOCK as u64) % BLOCK as u64) as usize
}

/// Returns what ends an archive.
#[must_use]
pub const fn end() -> [u8; 2 * BLOCK] {
    [0; 2 * BLOCK]
}

fn bare(entry: &PaxEntry) -> PaxEntry {
    PaxEntry { path: Vec::new(), kind: PaxKind::Folder, ..*entry }
}

/// Writes one record; it says its own length, digits included.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend(format!("{length} {key}=").bytes());
    records.extend(value);
    records.push(b'\n');
}

/// Writes an instant as a decimal number of seconds.
fn time(seconds: i64, nanoseconds: u32) -> String {
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    if seconds >= 0 {
        return format!("{seconds}.{nanoseconds:09}");
    }
    // Nanoseconds count forwards, a decimal fraction of a negative number backwards.
    format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
}

/// Writes where a sparse file's data lies, in whole blocks.
fn sparse_map(data: &[Extent], size: u64) -> Vec<u8> {
    // Without a run of nothing at its end, readers leave a hole there away.
    let end = data.last().map_or(0, |last| last.at.saturating_add(last.length));
    let closing = (end < size).then_some(Extent { at: size, length: 0 });
    let mut text = format!("{}\n", data.len() + usize::from(closing.is_some()));
    for extent in data.iter().chain(&closing) {
        text.push_str(&format!("{}\n{}\n", extent.at, extent.length));
    }
    let mut map = text.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

fn block(name: &[u8], kind: u8, target: &[u8], size: u64, entry: &PaxEntry) -> [u8; BLOCK] {
    let mut block = [0_u8; BLOCK];
    let mut text = |at: usize, bytes: &[u8]| {
        let bytes = &bytes[..bytes.len().min(SHORT)];
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    text(0, name);
    text(157, target);
    let mut octal = |at: usize, width: usize, number: u64| {
        let digits = format!("{number:0width$o}", width = width - 1);
        block[at..at + width - 1].copy_from_slice(&digits.as_bytes()[..width - 1]);
    };
    let narrow = |number: u32| u64::from(number).min(NARROW);
    octal(100, 8, u64::from(entry.mode & 0o7777));
    octal(108, 8, narrow(entry.uid));
    octal(116, 8, narrow(entry.gid));
    octal(124, 12, size);
    octal(136, 12, u64::try_from(entry.modified.0).unwrap_or(0).min(WIDE));
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
