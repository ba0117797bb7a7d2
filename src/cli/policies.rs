//! Finds and reads policy files. A file that is there and cannot be read is an error, never "absent": it could hold
//! what keeps a backup alive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::exit::Exit;
use super::failure::{CliError, reason};
use crate::engine::git::{self, Commit, GitError};
use crate::policy::{self, SourceFile};
use crate::render::Sources;

/// The largest policy file.
const LARGEST_FILE: u64 = 4 << 20;
/// The largest set.
const LARGEST_SET: u64 = 64 << 20;
/// How many files a set has at most.
const MOST_FILES: usize = 10_000;
/// How deep folders go.
const DEEPEST: usize = 32;

/// Reads the policies that the options, the environment or the working folder name, sorted by name.
///
/// # Errors
/// Where there are none, one cannot be read, or they are larger than anybody's: all exit 3.
pub fn read_all(context: &Context) -> Result<Vec<SourceFile>, CliError> {
    let (roots, origin) = roots(context)?;
    read_roots(context, &roots, origin)
}

/// Reads the policies below some paths, sorted by name. `origin` is who named them.
///
/// # Errors
/// As [`read_all`].
pub fn read_roots(context: &Context, roots: &[PathBuf], origin: &str) -> Result<Vec<SourceFile>, CliError> {
    let mut found = Vec::new();
    let mut folders = BTreeSet::new();
    for root in roots {
        let path = context.cwd.join(root);
        let kind = fs::metadata(&path).map_err(|error| unreadable(root, &error))?;
        if kind.is_dir() {
            walk(&path, root, 0, &mut folders, &mut found)?;
        } else {
            // A file that is named is read whatever it is called, also a pipe.
            found.push((root.clone(), path));
        }
    }
    found.sort();
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    let mut total = 0;
    for (name, path) in found {
        if !seen.insert(fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) {
            continue;
        }
        let bytes = read(&name, &path)?;
        total += bytes.len() as u64;
        if total > LARGEST_SET {
            return Err(CliError::PoliciesTooLarge { words: format!("together more than {} MiB", LARGEST_SET >> 20) });
        }
        context.ui.verbose(&format!("read {} ({} bytes)", context.ui.err_style.name(&shown(&name)), bytes.len()));
        files.push(SourceFile { name: shown(&name), bytes });
    }
    if files.is_empty() {
        let places: Vec<String> = roots.iter().map(|root| shown(root)).collect();
        return Err(CliError::NoPolicies {
            looked: format!("{origin} {} holds no .yaml or .yml file", places.join(", ")),
        });
    }
    Ok(files)
}

/// Returns the texts for showing findings, with secrets masked; what is not UTF-8 has no text to show.
#[must_use]
pub fn sources(files: &[SourceFile]) -> Sources {
    files
        .iter()
        .filter_map(|file| std::str::from_utf8(&file.bytes).ok().map(|text| (file.name.clone(), policy::masked(text))))
        .collect()
}

/// Reads the policies as they were at a commit of the repository that holds them: the same paths, the same rules.
///
/// # Errors
/// Where there is no repository or no such commit, there were no policies then, or one cannot be read.
pub fn read_at(context: &mut Context, reference: &str) -> Result<Vec<SourceFile>, CliError> {
    let (roots, _) = roots(context)?;
    let cwd = context.cwd.clone();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for root in &roots {
        let path = cwd.join(root);
        let work = at_commit(&path, reference, files.len());
        files.extend(context.block_on_reading(work)?.map_err(|error| CliError::of(&error, Exit::Failed))?);
    }
    if files.is_empty() {
        let places: Vec<String> = roots.iter().map(|root| shown(root)).collect();
        let looked = format!("at {reference}, {} held no .yaml or .yml file", places.join(", "));
        return Err(CliError::NoPolicies { looked });
    }
    Ok(files.into_iter().map(|(path, bytes)| SourceFile { name: format!("{reference}:{path}"), bytes }).collect())
}

async fn at_commit(path: &Path, reference: &str, before: usize) -> Result<Vec<(String, Vec<u8>)>, GitError> {
    let commit = Commit::find(&git::nearest_folder(path), reference).await?;
    // A file that is named is a policy whatever it is called; below a folder it is the name that says so.
    let named = path.is_file().then(|| path.file_name().map(|name| name.to_string_lossy().into_owned())).flatten();
    let wanted = |entry: &str| {
        let hidden = entry.split('/').any(|part| part.starts_with('.'));
        let yaml = entry.ends_with(".yaml") || entry.ends_with(".yml");
        (yaml && !hidden) || named.as_ref().is_some_and(|name| entry.rsplit('/').next() == Some(name))
    };
    let entries = commit.list(path, &wanted).await?;
    if before + entries.len() > MOST_FILES {
        return Err(GitError::TooLarge(format!("more than {MOST_FILES} files")));
    }
    if let Some(entry) = entries.iter().find(|entry| entry.size > LARGEST_FILE) {
        return Err(GitError::TooLarge(format!("{} has more than {} MiB", entry.path, LARGEST_FILE >> 20)));
    }
    let contents = commit.read(&entries, LARGEST_SET).await?;
    Ok(entries.into_iter().map(|entry| entry.path).zip(contents).collect())
}

/// Returns where to look, and who said so: the options before the environment before the working folder.
fn roots(context: &Context) -> Result<(Vec<PathBuf>, &'static str), CliError> {
    if !context.global.policies.is_empty() {
        return Ok((context.global.policies.clone(), "--policies"));
    }
    if let Some(list) = context.env("BKUP_POLICIES") {
        let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
        return Ok((paths, "BKUP_POLICIES"));
    }
    for default in ["policies", "bkup.yaml"] {
        // Only what is surely absent is passed over; a folder that may not be looked at is an error further on.
        match fs::symlink_metadata(context.cwd.join(default)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            _ => return Ok((vec![PathBuf::from(default)], "the working folder:")),
        }
    }
    Err(CliError::NoPolicies { looked: "there is neither ./policies nor ./bkup.yaml here".to_owned() })
}

fn walk(
    path: &Path,
    name: &Path,
    depth: usize,
    folders: &mut BTreeSet<PathBuf>,
    found: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), CliError> {
    if depth > DEEPEST {
        return Err(CliError::PoliciesTooLarge { words: format!("{} is deeper than {DEEPEST} folders", shown(name)) });
    }
    let real = fs::canonicalize(path).map_err(|error| unreadable(name, &error))?;
    // Links may lead in circles.
    if !folders.insert(real) {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|error| unreadable(name, &error))? {
        let entry = entry.map_err(|error| unreadable(name, &error))?;
        let file_name = entry.file_name();
        // Hidden entries are other programs': .git, and the ..data of a mounted ConfigMap, whose files are linked to.
        if file_name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let (name, path) = (name.join(&file_name), entry.path());
        let is_yaml = matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"));
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => walk(&path, &name, depth + 1, folders, found)?,
            Ok(kind) if is_yaml && !kind.is_file() => {
                return Err(CliError::PolicyUnreadable { path: shown(&name), why: "it is no regular file".to_owned() });
            }
            Ok(_) if is_yaml => found.push((name, path)),
            Err(error) if is_yaml => return Err(unreadable(&name, &error)),
            Ok(_) | Err(_) => {}
        }
        if found.len() > MOST_FILES {
            return Err(CliError::PoliciesTooLarge { words: format!("more than {MOST_FILES} files") });
        }
    }
    Ok(())
}

fn read(name: &Path, path: &Path) -> Result<Vec<u8>, CliError> {
    let file = File::open(path).map_err(|error| unreadable(name, &error))?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        let words = format!("{} has more than {} MiB", shown(name), LARGEST_FILE >> 20);
        return Err(CliError::PoliciesTooLarge { words });
    }
    Ok(bytes)
}

fn unreadable(name: &Path, error: &std::io::Error) -> CliError {
    CliError::PolicyUnreadable { path: shown(name), why: reason(error) }
}

fn shown(name: &Path) -> String {
    name.strip_prefix(".").unwrap_or(name).display().to_string()
}
