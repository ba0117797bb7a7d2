//! What whoever runs the tests asks for by variables, and what suites tell them past the capture of tests.

use std::io::Write as _;

/// Returns a number that is asked for: how many seeds, which one.
#[expect(clippy::disallowed_methods, reason = "what a test runs is no setting of bkup")]
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// Says how much was gone through: a suite that checked nothing must not look like one that did.
pub fn say(words: &str) {
    let _nobody_listens = writeln!(std::io::stderr(), "{words}");
}
