//! Files that a command makes for people: never over one that is there, all of them or none.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::context::Context;
use super::failure::{CliError, reason};

/// The largest text that is taken in.
const LARGEST: u64 = 16 << 20;

/// Reads a text file that was named; `-` is standard input.
///
/// # Errors
/// Where it cannot be read, is no UTF-8 text, or is larger than such files are.
pub fn read_text(context: &Context, path: &Path) -> Result<String, CliError> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| CliError::Unreadable { path: name.clone(), why: reason(&error) };
    let reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(context.cwd.join(path)).map_err(unreadable)?)
    };
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(CliError::NotText { path: name, why: format!("it has more than {} MiB", LARGEST >> 20) });
    }
    String::from_utf8(bytes).map_err(|_| CliError::NotText { path: name, why: "it is no UTF-8 text".to_owned() })
}

/// Writes new files, with their folders. Looks at all of them before it writes the first.
///
/// # Errors
/// Where any of them exists: nothing is written then, and all that exist are named. Where one cannot be written: those
/// that were are taken away again.
pub fn write_new(context: &Context, files: &[(PathBuf, String)]) -> Result<(), CliError> {
    let there = |path: &PathBuf| std::fs::symlink_metadata(context.cwd.join(path)).is_ok();
    let exist: Vec<String> =
        files.iter().filter(|(path, _)| there(path)).map(|(path, _)| path.display().to_string()).collect();
    if !exist.is_empty() {
        return Err(CliError::WouldOverwrite { paths: exist });
    }
    let mut written: Vec<PathBuf> = Vec::new();
    for (path, text) in files {
        let whole = context.cwd.join(path);
        if let Err(error) = write_one(&whole, text, &mut written) {
            for path in &written {
                // Ours, made a moment ago.
                let _ = std::fs::remove_file(path);
            }
            return Err(match error.kind() {
                ErrorKind::AlreadyExists => CliError::WouldOverwrite { paths: vec![path.display().to_string()] },
                _ => CliError::unwritable(path, &error),
            });
        }
    }
    Ok(())
}

fn write_one(path: &Path, text: &str, written: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    written.push(path.to_owned());
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
