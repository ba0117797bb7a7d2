//! Files of this machine: which of them globs mean, found one by one for a backup, and written again below one folder
//! for a restore. A path is never resolved twice: everything is done relative to an open folder, and no symbolic link
//! is followed but those in the fixed beginning of a glob, which somebody wrote down.

mod content;
mod facts;
mod failure;
mod place;
mod remove;
mod selection;
mod walk;

pub use content::{Content, Region};
pub use facts::{Facts, Kind};
pub use failure::FilesError;
pub use place::{Owners, Place, Seen};
pub use remove::remove_all;
pub use selection::Selection;
pub use walk::{Entry, LeftOut, Step, Walk};

/// Returns a path as people read it: what is no text is escaped, and so is what moves a terminal's cursor.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    path.utf8_chunks()
        .flat_map(|chunk| {
            let text: String = chunk
                .valid()
                .chars()
                .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
                .collect();
            let bytes: String = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")).collect();
            [text, bytes]
        })
        .collect()
}
