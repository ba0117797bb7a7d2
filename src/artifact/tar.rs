//! Tar files: written as ustar with extended headers where a name needs one, and read back with nothing trusted: what is
//! no plain file or folder, or would land outside of where it is unpacked, is refused. Pure: bytes in, bytes out.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::body::Body;

/// The size of a block.
pub(super) const BLOCK: usize = 512;
/// The longest extended header that is read.
const LONGEST_HEADER: u64 = 1024 * 1024;

/// Why a tar file is refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It is none, or damaged.
    #[error("it is no whole tar file: {0}")]
    Damaged(String),
    /// A member would land outside of where it is unpacked.
    #[error("its member {0:?} would land outside of the folder it is unpacked into")]
    Outside(String),
    /// A member is neither a file nor a folder.
    #[error("its member {name:?} is {what}; only files and folders are unpacked")]
    Kind {
        /// Its name.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// Its bytes could not be read.
    #[error("reading it failed: {0}")]
    Read(String),
}

/// A tar file on its way, in memory.
#[derive(Debug, Default)]
pub struct TarWriter(Vec<u8>);

impl TarWriter {
    /// Begins one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that only its owner can read. `modified` is in seconds since 1970.
    pub fn file(&mut self, name: &str, content: &[u8], modified: i64) {
        let short = name.len() <= 100 && name.is_ascii();
        if !short {
            // The record says its own length, digits included.
            let rest = format!(" path={name}\n");
            let mut length = rest.len() + 1;
            while length != rest.len() + length.to_string().len() {
                length = rest.len() + length.to_string().len();
            }
            self.member("pax", b'x', format!("{length}{rest}").as_bytes(), modified);
        }
        self.member(if short { name } else { "long-name" }, b'0', content, modified);
    }

    fn member(&mut self, name: &str, kind: u8, content: &[u8], modified: i64) {
        let mut header = [0_u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let mut octal = |at: usize, width: usize, number: u64| {
            let text = format!("{number:0digits$o}", digits = width - 1);
            header[at..at + width - 1].copy_from_slice(&text.as_bytes()[..width - 1]);
        };
        octal(100, 8, 0o600);
        octal(108, 8, 0);
        octal(116, 8, 0);
        octal(124, 12, content.len() as u64);
        octal(136, 12, u64::try_from(modified).unwrap_or(0));
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// Ends it.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// A member of a tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarMember {
    /// Its path, relative, without anything that climbs.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub folder: bool,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads a tar file member by member.
pub struct TarReader<R> {
    body: Body<R>,
    ended: bool,
}

impl<R: Read> TarReader<R> {
    /// Begins.
    pub const fn new(source: R) -> Self {
        Self { body: Body::new(source, "a member"), ended: false }
    }

    /// Goes to the next member; what of the one before was not read is skipped. `None` at the proper end.
    ///
    /// # Errors
    /// [`TarError`]; nothing after it is to be used.
    pub fn next_member(&mut self) -> Result<Option<TarMember>, TarError> {
        self.body.skip()?;
        let mut long: Option<String> = None;
        loop {
            if self.ended {
                return Ok(None);
            }
            let Some(header) = self.body.header()? else {
                self.ended = true;
                return Ok(None);
            };
            let (name, kind, size) = head(&header)?;
            self.body.begin(size);
            match kind {
                b'x' => long = extended(&self.whole()?)?.or(long),
                b'L' => {
                    let bytes = self.whole()?;
                    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                    long = Some(String::from_utf8_lossy(text).into_owned());
                }
                b'g' => drop(self.whole()?),
                b'0' | 0 | b'7' | b'5' => {
                    let name = long.take().unwrap_or(name);
                    let path = safe(&name)?;
                    let folder = kind == b'5' || name.ends_with('/');
                    if folder && size > 0 {
                        return Err(TarError::Damaged(format!("the folder {name:?} has content")));
                    }
                    if path.as_os_str().is_empty() && folder {
                        continue;
                    }
                    return Ok(Some(TarMember { path, folder, size }));
                }
                other => {
                    let what = match other {
                        b'1' => "a hard link",
                        b'2' => "a symbolic link",
                        b'3' | b'4' => "a device",
                        b'6' => "a pipe",
                        _ => "of a kind that is not known",
                    };
                    return Err(TarError::Kind { name: long.unwrap_or(name), what });
                }
            }
        }
    }

    fn whole(&mut self) -> Result<Vec<u8>, TarError> {
        if self.body.left() > LONGEST_HEADER {
            return Err(TarError::Damaged("an extended header is too long".to_owned()));
        }
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).map_err(|error| cut(&error))?;
        self.body.skip()?;
        Ok(bytes)
    }
}

impl<R: Read> Read for TarReader<R> {
    /// Reads the member's content.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

pub(super) fn cut(error: &io::Error) -> TarError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarError::Damaged("it ends before its end mark".to_owned()),
        _ => TarError::Read(error.to_string()),
    }
}

/// Reads name, kind and size of a header whose sum agrees.
fn head(header: &[u8; BLOCK]) -> Result<(String, u8, u64), TarError> {
    let damaged = |what: &str| TarError::Damaged(what.to_owned());
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(place, byte)| if (148..156).contains(&place) { u64::from(b' ') } else { u64::from(*byte) })
        .sum();
    if number(&header[148..156]) != Some(sum) {
        return Err(damaged("the sum of a header does not agree"));
    }
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    let name = text(&header[..100]);
    let prefix = if header[257..263] == *b"ustar\0" { text(&header[345..500]) } else { String::new() };
    let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    let size = number(&header[124..136]).ok_or_else(|| damaged("a size is no number"))?;
    Ok((name, header[156], size))
}

/// Reads an octal number, or GNU's binary form of large ones.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    if field.first() == Some(&0x80) {
        let wide = field.get(1..)?;
        let high = wide.len().saturating_sub(8);
        return wide[..high]
            .iter()
            .all(|byte| *byte == 0)
            .then(|| wide[high..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(|c| matches!(c, ' ' | '\0'));
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// Reads the path of an extended header.
fn extended(bytes: &[u8]) -> Result<Option<String>, TarError> {
    let damaged = || TarError::Damaged("an extended header cannot be read".to_owned());
    let mut rest = bytes;
    let mut path = None;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
        let length: usize =
            std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
        let record = rest.get(space + 1..length).ok_or_else(damaged)?;
        rest = &rest[length..];
        let text = String::from_utf8_lossy(record);
        if let Some(value) = text.strip_prefix("path=") {
            path = Some(value.trim_end_matches('\n').to_owned());
        } else if text.starts_with("size=") {
            return Err(TarError::Damaged("a member is larger than a header can say".to_owned()));
        }
    }
    Ok(path)
}

/// Returns a name as a path that stays inside the folder it is joined to.
fn safe(name: &str) -> Result<PathBuf, TarError> {
    let outside = || TarError::Outside(name.to_owned());
    if name.contains('\0') || name.is_empty() {
        return Err(outside());
    }
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, TarError> {
        let mut reader = TarReader::new(bytes);
        let mut all = Vec::new();
        while let Some(member) = reader.next_member()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map_err(|error| cut(&error))?;
            all.push((member.path.display().to_string(), content));
        }
        Ok(all)
    }

    #[test]
    fn what_would_land_elsewhere_or_is_no_file_is_refused() {
        for name in ["../a", "/etc/passwd", "a/../../b", "a/.."] {
            let mut tar = TarWriter::new();
            tar.file(name, b"x", 0);
            assert!(matches!(read(&tar.finish()), Err(TarError::Outside(_))), "{name}");
        }
        for kind in [b'1', b'2', b'3', b'6', b'Z'] {
            let mut tar = TarWriter::new();
            tar.member("a", kind, b"", 0);
            assert!(matches!(read(&tar.finish()), Err(TarError::Kind { .. })), "{}", char::from(kind));
        }
    }

    #[test]
    fn a_cut_or_changed_file_is_none() {
        let mut tar = TarWriter::new();
        tar.file("a", &[7; 700], 0);
        let whole = tar.finish();
        for end in [0, 100, 512, 600, 1500, 1536] {
            assert!(matches!(read(&whole[..end]), Err(TarError::Damaged(_))), "{end}");
        }
        let mut changed = whole.clone();
        changed[3] ^= 1;
        assert!(matches!(read(&changed), Err(TarError::Damaged(_))));
    }

    proptest! {
        #[test]
        fn files_come_back_under_their_names(
            files in proptest::collection::vec(("[a-zé]{1,90}/[a-z ]{1,90}", proptest::collection::vec(any::<u8>(), 0..1200)), 0..5)
        ) {
            let mut tar = TarWriter::new();
            for (name, content) in &files {
                tar.file(name, content, 1_700_000_000);
            }
            prop_assert_eq!(read(&tar.finish()).unwrap(), files);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _refused_or_empty = read(&bytes);
        }
    }
}
