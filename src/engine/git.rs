//! Files as they were at a commit, by the `git` program: for policies that are compared with those of another branch.
//! It only reads. No shell; a ref or a path is never taken for an option; nothing that a repository configures is run.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{EngineError, Input, Invocation};
use crate::diag::{Code, Diagnostic, Explain};

/// Why files of another commit cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no repository.
    #[error("{path} is in no git repository: {why}")]
    NoRepository {
        /// Where one was looked for.
        path: String,
        /// What git says.
        why: String,
    },
    /// There is no such commit.
    #[error("git knows no commit {0:?}")]
    UnknownRef(String),
    /// A path is outside the repository.
    #[error("{path} is not below {top}, the repository's folder")]
    Outside {
        /// The path.
        path: String,
        /// The repository's folder.
        top: String,
    },
    /// Something that is no plain file.
    #[error("{0} is no plain file in that commit, and links are not followed there")]
    NoFile(String),
    /// More than anybody's policies.
    #[error("the files of that commit are too large: {0}")]
    TooLarge(String),
    /// git failed.
    #[error(transparent)]
    Failed(#[from] EngineError),
    /// git answered what cannot be understood.
    #[error("git gave an answer that cannot be understood: {0}")]
    Answer(String),
}

impl Explain for GitError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::NoRepository { .. } | Self::Outside { .. } => (
                "BK964",
                "compare with a folder instead: --against-policies PATH; or run inside the repository that holds the policies",
            ),
            Self::UnknownRef(_) => (
                "BK965",
                "name a branch, a tag or a commit that is here: a shallow clone lacks others (fetch-depth: 0 in a workflow)",
            ),
            Self::NoFile(_) | Self::TooLarge(_) => ("BK966", "compare with a folder instead: --against-policies PATH"),
            Self::Failed(EngineError::Start { .. }) => ("BK966", "install git, or use --against-policies PATH"),
            Self::Failed(_) | Self::Answer(_) => ("BK966", "the program's own words say why"),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}

/// A repository and one of its commits.
#[derive(Debug, Clone)]
pub struct Commit {
    top: PathBuf,
    id: String,
}

/// One file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path from the repository's folder.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    blob: String,
}

impl Commit {
    /// Finds the repository that holds `folder`, and the commit that `reference` names in it.
    ///
    /// # Errors
    /// Where there is no repository, no such commit, or no git.
    pub async fn find(folder: &Path, reference: &str) -> Result<Self, GitError> {
        let top = git(folder).args(["rev-parse", "--show-toplevel"]).run().await.map_err(|error| match error {
            EngineError::Program { stderr, .. } => {
                let why =
                    stderr.lines().last().unwrap_or("git does not say why").trim_start_matches("fatal: ").to_owned();
                GitError::NoRepository { path: folder.display().to_string(), why }
            }
            other => other.into(),
        })?;
        let top = PathBuf::from(line(&top));
        // What begins with a dash would be an option, and no ref may.
        if reference.is_empty() || reference.starts_with('-') || reference.contains(['\0', '\n']) {
            return Err(GitError::UnknownRef(reference.to_owned()));
        }
        let asked = format!("{reference}^{{commit}}");
        let id = git(&top).args(["rev-parse", "--verify", "--quiet", &asked]).run().await;
        let id = id.map_err(|error| match error {
            EngineError::Program { .. } => GitError::UnknownRef(reference.to_owned()),
            other => other.into(),
        })?;
        Ok(Self { top, id: line(&id) })
    }

    /// Returns the commit's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Lists the files at and below a path, which need not be there today. Links and submodules are errors where
    /// `wanted` wants them.
    ///
    /// # Errors
    /// Where the path is outside the repository, or git fails.
    pub async fn list(&self, path: &Path, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Result<Vec<Entry>, GitError> {
        let top = std::fs::canonicalize(&self.top).unwrap_or_else(|_| self.top.clone());
        let outside = || GitError::Outside { path: path.display().to_string(), top: top.display().to_string() };
        let path = resolved(path);
        let below = path.strip_prefix(&top).map_err(|_| outside())?;
        let mut listing = git(&self.top).args(["ls-tree", "-r", "-z", "-l", "--full-tree", &self.id, "--"]);
        if below != Path::new("") {
            listing = listing.arg(below);
        }
        let out = listing.run().await?;
        let mut entries = Vec::new();
        for record in out.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let unclear = || GitError::Answer(String::from_utf8_lossy(record).into_owned());
            let text = std::str::from_utf8(record).map_err(|_| unclear())?;
            let (facts, path) = text.split_once('\t').ok_or_else(unclear)?;
            let facts: Vec<&str> = facts.split_ascii_whitespace().collect();
            let [mode, kind, blob, size] = facts.as_slice() else { return Err(unclear()) };
            if !wanted(path) {
                continue;
            }
            if *kind != "blob" || *mode == "120000" {
                return Err(GitError::NoFile(path.to_owned()));
            }
            let size = size.parse().map_err(|_| unclear())?;
            entries.push(Entry { path: path.to_owned(), size, blob: (*blob).to_owned() });
        }
        Ok(entries)
    }

    /// Reads the contents of files, in their order.
    ///
    /// # Errors
    /// Where git fails, or together they have more than `limit` bytes.
    pub async fn read(&self, entries: &[Entry], limit: u64) -> Result<Vec<Vec<u8>>, GitError> {
        let total = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
        if total > limit {
            return Err(GitError::TooLarge(format!("together more than {} MiB", limit >> 20)));
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut process = git(&self.top).args(["cat-file", "--batch"]).input(Input::Pipe).spawn()?;
        let (stdin, stdout) = (process.take_stdin(), process.take_stdout());
        let io = |error| EngineError::io("talking to git", error);
        let ask = async {
            let Some(mut stdin) = stdin else { return Ok(()) };
            for entry in entries {
                stdin.write_all(format!("{}\n", entry.blob).as_bytes()).await?;
            }
            stdin.shutdown().await
        };
        let mut answer = Vec::new();
        let hear = async {
            let Some(stdout) = stdout else { return Ok(0) };
            // Each content is preceded by a line and followed by one byte.
            let most = total + 256 * entries.len() as u64;
            stdout.take(most + 1).read_to_end(&mut answer).await
        };
        let (asked, heard) = tokio::join!(ask, hear);
        heard.map_err(io)?;
        asked.map_err(io)?;
        process.wait().await?.success()?;
        contents(&answer, entries)
    }
}

/// Takes the contents out of what `cat-file --batch` wrote.
fn contents(mut answer: &[u8], entries: &[Entry]) -> Result<Vec<Vec<u8>>, GitError> {
    let mut all = Vec::new();
    for entry in entries {
        let unclear = || GitError::Answer(format!("for {}", entry.path));
        let end = answer.iter().position(|byte| *byte == b'\n').ok_or_else(unclear)?;
        let head = std::str::from_utf8(&answer[..end]).map_err(|_| unclear())?;
        let size = head.strip_prefix(entry.blob.as_str()).and_then(|rest| rest.strip_prefix(" blob "));
        let size: usize = size.and_then(|size| size.parse().ok()).ok_or_else(unclear)?;
        let content = answer.get(end + 1..end + 1 + size).ok_or_else(unclear)?;
        all.push(content.to_vec());
        answer = answer.get(end + 2 + size..).ok_or_else(unclear)?;
    }
    Ok(all)
}

/// Makes an invocation that reads a repository: it asks nobody, fetches nothing, writes no index, and starts no program
/// that the repository names.
fn git(folder: &Path) -> Invocation {
    Invocation::new("git")
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager", "-C"])
        .arg(folder)
        .envs([
            ("LC_ALL", "C"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_LITERAL_PATHSPECS", "1"),
        ])
}

fn line(out: &[u8]) -> String {
    String::from_utf8_lossy(out).trim_end_matches(['\n', '\r']).to_owned()
}

/// Resolves a path as far as it is there today: links above a folder that a change removed must not hide where it was.
fn resolved(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut there = path;
    loop {
        if let Ok(real) = std::fs::canonicalize(there) {
            return rest.iter().rev().fold(real, |path: PathBuf, part| path.join(part));
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                there = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

/// Returns the nearest folder of a path that is there today.
#[must_use]
pub fn nearest_folder(path: &Path) -> PathBuf {
    let mut at = path;
    while !at.is_dir() {
        match at.parent() {
            Some(parent) if parent != Path::new("") => at = parent,
            _ => return PathBuf::from("."),
        }
    }
    at.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Entry, contents};

    #[test]
    fn contents_are_told_apart_by_their_lengths_and_not_by_their_lines() {
        let entry = |blob: &str, size| Entry { path: "a.yaml".to_owned(), size, blob: blob.to_owned() };
        let entries = [entry("aa", 8), entry("bb", 0)];
        let answer = b"aa blob 8\nbb blob \nbb blob 0\n\n";
        assert_eq!(contents(answer, &entries).unwrap(), [b"bb blob ".to_vec(), Vec::new()]);
        for broken in [&b"aa missing\n"[..], b"aa blob 9\nshort\n", b"", b"cc blob 0\n\n"] {
            assert!(contents(broken, &entries).is_err(), "{broken:?}");
        }
    }
}
