//! Replaces a policy file by a better text of it: whole or not at all, through links, with the permissions it had.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::failure::reason;
use crate::diag::{Code, Diagnostic};
use crate::policy::SourceFile;

/// Puts a text in the place of the file that was read. A file that is the same already is not touched.
///
/// # Errors
/// A finding, and the file is as it was: it is no regular file, has changed since it was read, or cannot be written.
pub fn rewrite(context: &Context, read: &SourceFile, text: &str) -> Result<(), Box<Diagnostic>> {
    if read.bytes == text.as_bytes() {
        return Ok(());
    }
    let failed = |error: &std::io::Error| {
        let words = format!("cannot write {}: {}", read.name, reason(error));
        Box::new(
            Diagnostic::error(Code("BK978"), words)
                .help("the file is as it was: check that its folder is writable and not full"),
        )
    };
    let path = context.cwd.join(&read.name);
    let kind = fs::metadata(&path).map_err(|error| failed(&error))?;
    if !kind.is_file() {
        let words = format!("{} is no regular file, so nothing was written to it", read.name);
        return Err(Box::new(Diagnostic::error(Code("BK976"), words).help("name the file itself")));
    }
    // A link stays a link: what it leads to is replaced. A pipe leads nowhere, so it is looked at before.
    let path = fs::canonicalize(&path).map_err(|error| failed(&error))?;
    // Someone may have edited it meanwhile; and a name that is no Unicode was read under another one.
    if fs::read(&path).map_err(|error| failed(&error))? != read.bytes {
        let words = format!("{} has changed since it was read, so nothing was written to it", read.name);
        return Err(Box::new(Diagnostic::error(Code("BK977"), words).help("run the command again")));
    }
    replace(&path, &kind, text).map_err(|error| failed(&error))
}

fn replace(path: &Path, kind: &fs::Metadata, text: &str) -> std::io::Result<()> {
    let beside = beside(path);
    let write = || {
        // Hidden, so that nobody who reads the folder meanwhile takes it for a policy.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (kind.uid(), kind.gid()) {
            std::os::unix::fs::chown(&beside, Some(kind.uid()), Some(kind.gid()))?;
        }
        file.set_permissions(kind.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().inspect_err(|_: &std::io::Error| {
        // What is left beside is of no use to anyone.
        let _ = fs::remove_file(&beside);
    })
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}
