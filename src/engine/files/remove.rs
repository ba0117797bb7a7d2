//! Removes a folder that a restore made, with everything below it, folders that are closed even to their owner among it.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fchmod, openat, statat, unlinkat};
use rustix::io::Errno;

use super::{Facts, FilesError, Kind};

const THROUGH: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a folder and everything below it; what is not there is fine. No link is followed.
///
/// # Errors
/// [`FilesError::System`].
pub fn remove_all(folder: &Path) -> Result<(), FilesError> {
    let opened = match openat(CWD, folder, THROUGH, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened,
    };
    let removed = opened.and_then(|opened| {
        empty(opened)?;
        unlinkat(CWD, folder, AtFlags::REMOVEDIR)
    });
    removed.map_err(|error| FilesError::system("removing", folder.as_os_str().as_encoded_bytes(), error))
}

/// Empties an open folder: one open folder for each step of depth, and none of recursion.
fn empty(folder: std::os::fd::OwnedFd) -> rustix::io::Result<()> {
    let mut stack = vec![(folder, std::ffi::CString::default())];
    while let Some((folder, _)) = stack.last() {
        // Whoever may write here made it: its owner may also open it.
        fchmod(folder, Mode::from_raw_mode(0o700))?;
        let mut deeper = None;
        for item in Dir::read_from(folder)? {
            let item = item?;
            let name = item.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if Facts::of(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?).kind != Kind::Folder {
                unlinkat(folder, name, AtFlags::empty())?;
                continue;
            }
            if unlinkat(folder, name, AtFlags::REMOVEDIR).is_ok() {
                continue;
            }
            let opened = match openat(folder, name, THROUGH, Mode::empty()) {
                Err(Errno::ACCESS) => {
                    rustix::fs::chmodat(folder, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
                    openat(folder, name, THROUGH, Mode::empty())?
                }
                opened => opened?,
            };
            deeper = Some((opened, name.to_owned()));
            break;
        }
        match deeper {
            Some(deeper) => stack.push(deeper),
            None => {
                let Some((_, name)) = stack.pop() else { break };
                if let Some((above, _)) = stack.last() {
                    unlinkat(above, &name, AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    Ok(())
}
