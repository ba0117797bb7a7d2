//! An archive read back with nothing trusted: a path that climbs or begins at the root is refused before anybody could
//! write there, and so is everything that is no file, folder or link. Pure.

use std::io::{self, Read};

use super::{Extent, MOST_EXTENTS, PaxEntry, PaxKind};
use crate::artifact::TarError;
use crate::artifact::body::Body;
use crate::artifact::tar::{BLOCK, cut, number};

/// The longest extended header that is read.
const LONGEST_HEADER: u64 = 1024 * 1024;

/// Reads an archive entry by entry; between two of them, it gives the content of the one.
pub struct PaxReader<R> {
    body: Body<R>,
    ended: bool,
}

/// What the extended header says of the entry that follows.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<(i64, u32)>,
    sparse: bool,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
}

impl<R: Read> PaxReader<R> {
    /// Begins.
    pub const fn new(source: R) -> Self {
        Self { body: Body::new(source, "an entry"), ended: false }
    }

    /// Goes to the next entry; what of the one before was not read is skipped. `None` at the proper end.
    ///
    /// # Errors
    /// [`TarError`]; nothing after it is to be used.
    pub fn next_entry(&mut self) -> Result<Option<PaxEntry>, TarError> {
        self.body.skip()?;
        let mut extended = Extended::default();
        loop {
            if self.ended {
                return Ok(None);
            }
            let Some(header) = self.body.header()? else {
                self.ended = true;
                return Ok(None);
            };
            check_sum(&header)?;
            let kind = header[156];
            let size = number(&header[124..136]).ok_or_else(|| damaged("a size is no number"))?;
            let size = if kind == b'x' { size } else { extended.size.unwrap_or(size) };
            self.body.begin(size);
            if kind != b'x' {
                return self.entry(&header, kind, size, extended).map(Some);
            }
            if size > LONGEST_HEADER {
                return Err(damaged("an extended header is too long"));
            }
            let mut bytes = Vec::new();
            self.body.read_to_end(&mut bytes).map_err(|error| cut(&error))?;
            self.body.skip()?;
            extended.read(&bytes)?;
        }
    }

    fn entry(&mut self, header: &[u8; BLOCK], kind: u8, size: u64, extended: Extended) -> Result<PaxEntry, TarError> {
        let name = extended.sparse_name.or(extended.path).unwrap_or_else(|| text(&header[..100]));
        let prefix = text(&header[345..500]);
        let name = if prefix.is_empty() { name } else { [prefix, name].join(&b'/') };
        let target = extended.target.unwrap_or_else(|| text(&header[157..257]));
        let known = |wide: Option<u32>, at: usize| {
            wide.or_else(|| number(&header[at..at + 8]).and_then(|number| u32::try_from(number).ok()))
                .ok_or_else(|| damaged("an owner or a mode is no number"))
        };
        let mode = known(None, 100)? & 0o7777;
        let (uid, gid) = (known(extended.uid, 108)?, known(extended.gid, 116)?);
        let seconds = number(&header[136..148]).and_then(|number| i64::try_from(number).ok());
        let modified =
            extended.modified.or(seconds.map(|seconds| (seconds, 0))).ok_or_else(|| damaged("a time is no number"))?;
        let kind = match kind {
            b'0' | 0 | b'7' if extended.sparse => {
                let real = extended.sparse_size.ok_or_else(|| damaged("a sparse file has no size"))?;
                let data = self.sparse_map(real)?;
                PaxKind::Sparse { size: real, data }
            }
            b'0' | 0 | b'7' => PaxKind::File { size },
            b'1' | b'2' | b'5' if size > 0 => return Err(damaged("a folder or a link has content")),
            b'1' => PaxKind::Link(safe(&target)?),
            b'2' if target.is_empty() => return Err(damaged("a symbolic link points to nothing")),
            b'2' => PaxKind::Symlink(target),
            b'5' => PaxKind::Folder,
            other => {
                let what = match other {
                    b'3' | b'4' => "a device",
                    b'6' => "a pipe",
                    _ => "of a kind that is not known",
                };
                return Err(TarError::Kind { name: String::from_utf8_lossy(&name).into_owned(), what });
            }
        };
        let bare = if kind == PaxKind::Folder { name.strip_suffix(b"/").unwrap_or(&name) } else { &name };
        Ok(PaxEntry { path: safe(bare)?, kind, mode, uid, gid, modified })
    }

    /// Reads where the data of a sparse file lies; what follows is the data alone.
    fn sparse_map(&mut self, real: u64) -> Result<Vec<Extent>, TarError> {
        let wrong = || damaged("where the data of a sparse file lies cannot be read");
        let before = self.body.left();
        let mut line = || -> Result<u64, TarError> {
            let mut value: u64 = 0;
            let mut digits = 0;
            loop {
                let mut byte = [0];
                self.body.read_exact(&mut byte).map_err(|error| cut(&error))?;
                match byte[0] {
                    b'\n' if digits > 0 => return Ok(value),
                    digit @ b'0'..=b'9' => {
                        let digit = u64::from(digit - b'0');
                        value = value.checked_mul(10).and_then(|v| v.checked_add(digit)).ok_or_else(wrong)?;
                        digits += 1;
                    }
                    _ => return Err(wrong()),
                }
            }
        };
        let count = usize::try_from(line()?).ok().filter(|count| *count <= MOST_EXTENTS + 1).ok_or_else(wrong)?;
        let mut data = Vec::new();
        let (mut end, mut total) = (0_u64, 0_u64);
        for _ in 0..count {
            let extent = Extent { at: line()?, length: line()? };
            let next = extent.at.checked_add(extent.length).filter(|next| extent.at >= end && *next <= real);
            end = next.ok_or_else(wrong)?;
            total += extent.length;
            data.push(extent);
        }
        data.pop_if(|last| last.at == real && last.length == 0);
        let used = before - self.body.left();
        let rest = used.next_multiple_of(BLOCK as u64) - used;
        if rest > self.body.left() {
            return Err(wrong());
        }
        io::copy(&mut self.body.by_ref().take(rest), &mut io::sink()).map_err(|error| cut(&error))?;
        if self.body.left() == total { Ok(data) } else { Err(wrong()) }
    }
}

impl<R: Read> Read for PaxReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

impl Extended {
    fn read(&mut self, bytes: &[u8]) -> Result<(), TarError> {
        let wrong = || damaged("an extended header cannot be read");
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length: usize =
                std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
            let record = rest.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(wrong)?;
            rest = &rest[length..];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let value = &record[equals + 1..];
            let digits = || std::str::from_utf8(value).map_err(|_| wrong());
            match &record[..equals] {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => self.size = Some(digits()?.parse().map_err(|_| wrong())?),
                b"uid" => self.uid = Some(digits()?.parse().map_err(|_| wrong())?),
                b"gid" => self.gid = Some(digits()?.parse().map_err(|_| wrong())?),
                b"mtime" => self.modified = Some(time(digits()?).ok_or_else(wrong)?),
                b"GNU.sparse.major" if value == b"1" => self.sparse = true,
                b"GNU.sparse.minor" if value == b"0" => {}
                b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" => self.sparse_size = Some(digits()?.parse().map_err(|_| wrong())?),
                // Another form of sparse files would be taken for a plain one.
                key if key.starts_with(b"GNU.sparse.") => return Err(wrong()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads a decimal number of seconds.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    if negative && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

fn check_sum(header: &[u8; BLOCK]) -> Result<(), TarError> {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let whole = sum(&header[..148]) + 8 * u64::from(b' ') + sum(&header[156..]);
    if number(&header[148..156]) == Some(whole) && header[257..262] == *b"ustar" {
        Ok(())
    } else {
        Err(damaged("the sum of a header does not agree"))
    }
}

fn damaged(what: &str) -> TarError {
    TarError::Damaged(what.to_owned())
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// Returns a path that stays inside whatever folder it is joined to.
fn safe(path: &[u8]) -> Result<Vec<u8>, TarError> {
    let steps = |name: &[u8]| name.is_empty() || name == b"." || name == b"..";
    if path.contains(&0) || path.split(|byte| *byte == b'/').any(steps) {
        return Err(TarError::Outside(String::from_utf8_lossy(path).into_owned()));
    }
    Ok(path.to_vec())
}
