//! The list of a backup of files: a line of JSON for each thing that is in the tar file, with the digest of its content,
//! for each thing that is not and why, and a last line that says that the list is whole. Its fields are a promise, as
//! those of the manifest are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the list's form, `major.minor`, in its last line.
pub const FILE_LIST_FORMAT: &str = "1.0";

/// A path in the tar file: the absolute one without its first slash. Names need not be text: a byte that is none is
/// written as `\xff`, and a backslash as two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FilePath(String);

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Symlink,
    /// Another name of a file that came before.
    Link,
    /// Something that matched and is not in the tar file.
    LeftOut,
    /// The end of the list.
    #[default]
    End,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FileLine {
    /// What it is about.
    pub kind: FileKind,
    /// The path; absent in the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<FilePath>,
    /// What a link points to, or the path of the file that it is another name of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<FilePath>,
    /// The size of a file in bytes, with its holes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Permissions, four octal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The owner's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// When the content was modified: seconds since 1970, and nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<(i64, u32)>,
    /// Digest of a file's content, HMAC-SHA-256 under the digest key, plain SHA-256 without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The same of a file with holes: over each block of 64 KiB that is not all zeros its number and its bytes, then the
    /// size, both numbers of eight bytes, most significant first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparse_digest: Option<String>,
    /// What happened to it while it was read, or why it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// In the last line: how many things are in the tar file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// In the last line: the version of this form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format_version: Option<String>,
}

impl FilePath {
    /// Takes the bytes of a path.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(&chunk.valid().replace('\\', "\\\\"));
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
        }
        Self(text)
    }

    /// Returns the bytes of the path; `None` where a backslash stands alone.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = match (first, after) {
                (b'\\', [b'\\', after @ ..]) => {
                    bytes.push(b'\\');
                    after
                }
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                    after
                }
                (b'\\', _) => return None,
                (byte, after) => {
                    bytes.push(*byte);
                    after
                }
            };
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_path_of_any_bytes_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let line = FileLine { path: Some(FilePath::of(&bytes)), ..FileLine::default() };
            let text = serde_json::to_string(&line).unwrap();
            let read: FileLine = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read.path.and_then(|path| path.bytes()), Some(bytes));
            prop_assert!(!text.contains('\n'));
        }
    }
}
