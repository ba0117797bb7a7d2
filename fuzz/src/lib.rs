//! bkup's pure modules, compiled a second time from the same files, for the fuzz targets: without the adapters, whose
//! dependencies take minutes to build with coverage.

#[path = "../../src/diag.rs"]
pub mod diag;
#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/policy/mod.rs"]
pub mod policy;
#[path = "../../src/render/mod.rs"]
pub mod render;
#[path = "../../src/retention/mod.rs"]
pub mod retention;
#[path = "../../src/schedule/mod.rs"]
pub mod schedule;

/// Globs once more, at the root: inside `policy` they are private, and here are the doors to what is fuzzed of them.
#[path = "../../src/policy/globs.rs"]
mod private_globs;

/// Globs over slugs.
pub mod globs {
    use super::private_globs;

    /// Returns a slug that both patterns match, where there is one and the patterns are plain enough to tell.
    #[must_use]
    pub fn common(a: &str, b: &str) -> Option<String> {
        private_globs::common(a, b)
    }

    /// Returns why a pattern is not a glob.
    #[must_use]
    pub fn rejection(pattern: &str) -> Option<String> {
        private_globs::rejection(pattern)
    }

    /// Returns whether a valid pattern matches a slug.
    #[must_use]
    pub fn matches(pattern: &str, slug: &str) -> bool {
        private_globs::Globs::new(&[pattern.to_owned()]).matches(slug)
    }
}
