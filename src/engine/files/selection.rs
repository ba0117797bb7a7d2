//! Which paths globs mean. `*`, `?` and `[a-z]` stay within one name, `**` goes through folders, `{a,b}` is one of these.
//! What matches is taken with everything below it; what `exclude` matches is left out with everything below it. Pure.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::FilesError;

/// Globs, made ready.
pub struct Selection {
    globs: Vec<(String, GlobMatcher)>,
    exclude: GlobSet,
    /// Folders that nothing below is taken of, but that stay themselves: `cache` for `cache/**`.
    hollow: GlobSet,
    /// Folders through which something that matches may be reached.
    leads: GlobSet,
    roots: BTreeSet<Vec<u8>>,
}

impl Selection {
    /// Makes globs ready. Those of `exclude` that do not begin with a slash match anywhere.
    ///
    /// # Errors
    /// [`FilesError::Glob`].
    pub fn new(paths: &[String], exclude: &[String]) -> Result<Self, FilesError> {
        let mut globs = Vec::new();
        let mut leads = GlobSetBuilder::new();
        let mut roots = BTreeSet::new();
        for glob in paths {
            let trimmed = trim(glob);
            if !trimmed.starts_with('/') {
                return Err(FilesError::Glob { glob: glob.clone(), why: "it does not begin with `/`".to_owned() });
            }
            if names(trimmed).into_iter().any(|name| name == "." || name == ".." || name.is_empty()) {
                let why = "it has a step that leads nowhere: `.`, `..` or `//`".to_owned();
                return Err(FilesError::Glob { glob: glob.clone(), why });
            }
            globs.push((glob.clone(), compile(glob, trimmed)?.compile_matcher()));
            let mut lead = String::new();
            let mut root = String::new();
            let mut plain = true;
            for name in names(trimmed) {
                lead.push('/');
                lead.push_str(name);
                // Braces may hold slashes, and then match at any depth.
                if name.contains("**") || name.contains('/') {
                    lead.truncate(lead.len() - name.len());
                    lead.push_str("**");
                    leads.add(compile(glob, &lead)?);
                    break;
                }
                plain &= !name.contains(['*', '?', '[', ']', '{', '}', '\\']);
                if plain {
                    root.clone_from(&lead);
                }
                leads.add(compile(glob, &lead)?);
            }
            roots.insert(if root.is_empty() { b"/".to_vec() } else { root.into_bytes() });
        }
        let mut left_out = GlobSetBuilder::new();
        let mut hollow = GlobSetBuilder::new();
        for glob in exclude {
            let trimmed = trim(glob);
            let anchored = match trimmed {
                text if text.starts_with('/') || text.starts_with("**") => text.to_owned(),
                text => format!("**/{text}"),
            };
            left_out.add(compile(glob, &anchored)?);
            if let Some(folder) = anchored.strip_suffix("/**").filter(|folder| !folder.is_empty()) {
                hollow.add(compile(glob, folder)?);
            }
        }
        Ok(Self { globs, exclude: set(&left_out)?, hollow: set(&hollow)?, leads: set(&leads)?, roots })
    }

    /// Returns where to begin, each without a slash at its end but for the root itself.
    #[must_use]
    pub const fn roots(&self) -> &BTreeSet<Vec<u8>> {
        &self.roots
    }

    /// Returns which of the globs match a path itself, by their places.
    #[must_use]
    pub fn matching(&self, path: &[u8]) -> Vec<usize> {
        let path = as_path(path);
        self.globs.iter().enumerate().filter(|(_, (_, glob))| glob.is_match(path)).map(|(at, _)| at).collect()
    }

    /// Returns whether a path is left out, with everything below it.
    #[must_use]
    pub fn excludes(&self, path: &[u8]) -> bool {
        self.exclude.is_match(as_path(path))
    }

    /// Returns whether everything below a folder is left out, though not the folder.
    #[must_use]
    pub fn empties(&self, folder: &[u8]) -> bool {
        self.hollow.is_match(as_path(folder))
    }

    /// Returns whether something that matches may lie below a folder that does not.
    #[must_use]
    pub fn leads_through(&self, folder: &[u8]) -> bool {
        folder == b"/" || self.leads.is_match(as_path(folder))
    }

    /// Returns the globs as they are written.
    pub fn globs(&self) -> impl Iterator<Item = &str> {
        self.globs.iter().map(|(text, _)| text.as_str())
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn trim(glob: &str) -> &str {
    let trimmed = glob.trim_end_matches('/');
    if trimmed.is_empty() { glob } else { trimmed }
}

fn compile(glob: &str, pattern: &str) -> Result<globset::Glob, FilesError> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| FilesError::Glob { glob: glob.to_owned(), why: error.kind().to_string() })
}

fn set(builder: &GlobSetBuilder) -> Result<GlobSet, FilesError> {
    builder.build().map_err(|error| FilesError::Glob { glob: String::new(), why: error.to_string() })
}

/// Takes an absolute glob apart at the slashes that stand in no braces.
fn names(glob: &str) -> Vec<&str> {
    let glob = glob.strip_prefix('/').unwrap_or(glob);
    let (mut names, mut begin, mut depth, mut escaped) = (Vec::new(), 0, 0_usize, false);
    for (at, byte) in glob.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                names.push(&glob[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if glob.is_empty() {
        return names;
    }
    names.push(&glob[begin..]);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(paths: &[&str], exclude: &[&str]) -> Selection {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(paths), &owned(exclude)).unwrap()
    }

    #[test]
    fn begins_at_what_every_match_has_in_common() {
        let roots = |glob: &str| {
            selection(&[glob], &[]).roots().iter().map(|root| super::super::shown(root)).collect::<Vec<_>>()
        };
        assert_eq!(roots("/srv/uploads/**"), ["/srv/uploads"]);
        assert_eq!(roots("/srv/uploads/"), ["/srv/uploads"]);
        assert_eq!(roots("/home/*/docs"), ["/home"]);
        assert_eq!(roots("/**/*.jpg"), ["/"]);
        assert_eq!(roots("/{srv/a,etc}/x"), ["/"]);
        assert_eq!(roots("/"), ["/"]);
    }

    #[test]
    fn stays_within_a_name_but_for_two_stars() {
        let all = selection(&["/srv/*.jpg", "/home/**/*.txt", "/var/lib/{a,b}"], &[]);
        assert_eq!(all.matching(b"/srv/x.jpg"), [0]);
        assert!(all.matching(b"/srv/a/x.jpg").is_empty());
        assert_eq!(all.matching(b"/home/x.txt"), [1]);
        assert_eq!(all.matching(b"/home/a/b/x.txt"), [1]);
        assert_eq!(all.matching(b"/var/lib/b"), [2]);
        assert!(all.matching(b"/srv/\xff.jpg") == [0], "names need not be text");
    }

    #[test]
    fn goes_only_where_something_may_match() {
        let all = selection(&["/home/*/docs/*.pdf", "/srv/**/x"], &[]);
        for folder in ["/", "/home", "/home/anna", "/home/anna/docs", "/srv", "/srv/a/b/c"] {
            assert!(all.leads_through(folder.as_bytes()), "{folder}");
        }
        for folder in ["/etc", "/home/anna/music", "/home/anna/docs/old"] {
            assert!(!all.leads_through(folder.as_bytes()), "{folder}");
        }
    }

    #[test]
    fn leaves_out_anywhere_what_has_no_slash_in_front() {
        let all = selection(&["/srv"], &["*.tmp", "**/*.bak", "/srv/cache/**", "node_modules"]);
        for path in ["/srv/a.tmp", "/srv/x/y/a.tmp", "/srv/a.bak", "/srv/cache/1", "/srv/app/node_modules"] {
            assert!(all.excludes(path.as_bytes()), "{path}");
        }
        assert!(!all.excludes(b"/srv/cache"), "the folder itself stays");
        assert!(all.empties(b"/srv/cache"), "and nobody looks into it");
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        for glob in ["srv/**", "/srv/../etc", "/srv//x", "/srv/[a"] {
            assert!(matches!(Selection::new(&[glob.to_owned()], &[]), Err(FilesError::Glob { .. })), "{glob}");
        }
    }
}
