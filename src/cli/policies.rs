//! Finds and reads policy files, and the tests beside them. A file that is there and cannot be read is an error, never "absent": it could hold
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
pub(super) const LARGEST_FILE: u64 = 4 << 20;
/// The largest set: what is judged within 200 MiB of memory.
const LARGEST_SET: u64 = 16 << 20;
/// How many files a set has at most.
const MOST_FILES: usize = 10_000;
/// How the names of test files end.
const TEST_ENDS: [&str; 2] = [".bkup-test.yaml", ".bkup-test.yml"];
const WRITE_TESTS: &str = "write tests into files called *.bkup-test.yaml beside the policies, or name such a file";
/// How deep folders go.
const DEEPEST: usize = 32;

/// Reads the policies that the options, the environment or the working folder name, sorted by name.
///
/// # Errors
/// Where there are none, one cannot be read, or they are larger than anybody's: all exit 3.
pub fn read_all(context: &Context) -> Result<Vec<SourceFile>, CliError> {
    let (roots, origin) = roots(context)?;
    read_places(context, &roots, origin, is_policy)
}

/// Reads every YAML file of some places, also tests of policies; where no place is named, those of the policies.
///
/// # Errors
/// As [`read_all`].
pub fn read_texts(context: &Context, places: &[PathBuf]) -> Result<Vec<SourceFile>, CliError> {
    if places.is_empty() {
        let (roots, origin) = roots(context)?;
        return read_places(context, &roots, origin, is_yaml);
    }
    read_places(context, places, "the arguments:", is_yaml)
}

/// Reads the policies below some paths, sorted by name. `origin` is who named them.
///
/// # Errors
/// As [`read_all`].
pub fn read_roots(context: &Context, roots: &[PathBuf], origin: &str) -> Result<Vec<SourceFile>, CliError> {
    read_places(context, roots, origin, is_policy)
}

fn read_places(
    context: &Context,
    places: &[PathBuf],
    origin: &str,
    is_wanted: fn(&Path) -> bool,
) -> Result<Vec<SourceFile>, CliError> {
    let found = find(context, places, is_wanted)?;
    let files = read_found(context, found)?;
    if files.is_empty() {
        return Err(CliError::NoPolicies {
            looked: format!("{origin} {} holds no .yaml or .yml file", listed(places)),
        });
    }
    Ok(files)
}

/// Reads the tests in the files and folders named; where none is, those beside the policies: below their folders, and
/// in the folder of a policy file that is named itself.
///
/// # Errors
/// As [`read_all`].
pub fn read_tests(context: &Context, named: &[PathBuf]) -> Result<Vec<SourceFile>, CliError> {
    for place in named {
        if let Err(error) = fs::metadata(context.cwd.join(place)) {
            let looked = format!("cannot read {}: {}", shown(place), reason(&error));
            return Err(CliError::NoTests { looked, help: WRITE_TESTS });
        }
    }
    let mut places = named.to_vec();
    let mut found = Vec::new();
    if named.is_empty() {
        for root in roots(context)?.0 {
            if context.cwd.join(&root).is_dir() {
                places.push(root);
            } else {
                found.extend(beside(context, &root)?);
            }
        }
    }
    found.extend(find(context, &places, is_test)?);
    let files = read_found(context, found)?;
    if files.is_empty() {
        let places = if named.is_empty() { roots(context)?.0 } else { places };
        let looked = format!("{} holds no .bkup-test.yaml file", listed(&places));
        return Err(CliError::NoTests { looked, help: WRITE_TESTS });
    }
    Ok(files)
}

/// The test files in the folder of a policy file.
fn beside(context: &Context, file: &Path) -> Result<Vec<(PathBuf, PathBuf)>, CliError> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let entries = fs::read_dir(context.cwd.join(folder)).map_err(|error| unreadable(folder, &error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = entry.path();
        if is_test(&path) && path.is_file() {
            found.push((folder.join(entry.file_name()), path));
        }
    }
    Ok(found)
}

/// Returns whether a file in a folder of policies is one.
fn is_policy(path: &Path) -> bool {
    is_yaml(path) && !is_test(path)
}

fn is_yaml(path: &Path) -> bool {
    matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml"))
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    TEST_ENDS.iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Finds the files below some places that are wanted, each under the name that the user would give it.
fn find(
    context: &Context,
    places: &[PathBuf],
    is_wanted: fn(&Path) -> bool,
) -> Result<Vec<(PathBuf, PathBuf)>, CliError> {
    let mut found = Vec::new();
    let mut folders = BTreeSet::new();
    for place in places {
        let path = context.cwd.join(place);
        let kind = fs::metadata(&path).map_err(|error| unreadable(place, &error))?;
        if kind.is_dir() {
            walk(&path, place, 0, is_wanted, &mut folders, &mut found)?;
        } else {
            // A file that is named is read whatever it is called, also a pipe.
            found.push((place.clone(), path));
        }
    }
    Ok(found)
}

/// Reads what was found, sorted by name; what is found twice is read once.
fn read_found(context: &Context, mut found: Vec<(PathBuf, PathBuf)>) -> Result<Vec<SourceFile>, CliError> {
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
    Ok(files)
}

fn listed(places: &[PathBuf]) -> String {
    places.iter().map(|place| shown(place)).collect::<Vec<_>>().join(", ")
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
        (is_policy(Path::new(entry)) && !hidden)
            || named.as_ref().is_some_and(|name| entry.rsplit('/').next() == Some(name))
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
    is_wanted: fn(&Path) -> bool,
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
        let wanted = is_wanted(&path);
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => walk(&path, &name, depth + 1, is_wanted, folders, found)?,
            Ok(kind) if wanted && !kind.is_file() => {
                return Err(CliError::PolicyUnreadable { path: shown(&name), why: "it is no regular file".to_owned() });
            }
            Ok(_) if wanted => found.push((name, path)),
            Err(error) if wanted => return Err(unreadable(&name, &error)),
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
