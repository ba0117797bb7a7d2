//! What a run of policy tests found. Data only: rendering is elsewhere.

use serde::Serialize;

use crate::diag::{Diagnostic, Span};

/// The version of the JSON form, `major.minor`.
pub const TRIAL_FORMAT: &str = "1.0";

/// Every test of a run, in the order of the files and of the tests in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TrialReport {
    /// The tests.
    pub tests: Vec<TrialOutcome>,
}

impl TrialReport {
    /// Returns how many tests passed, and how many failed.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let passed = self.tests.iter().filter(|test| test.passed()).count();
        (passed, self.tests.len() - passed)
    }
}

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialOutcome {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub span: Span,
    /// The expectations that were not met; none: it passed.
    pub failures: Vec<TrialFailure>,
}

impl TrialOutcome {
    /// Returns whether every expectation was met.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialFailure {
    /// Which, and what is otherwise.
    pub finding: Diagnostic,
    /// What there is instead: the nearest things first.
    pub instead: Vec<TrialThing>,
}

/// Something a plan has, in the words of a test file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialThing {
    /// The thing as an expectation that it would meet: `kind: back_up, schedule: nightly`.
    pub words: String,
    /// In what it differs from the expectation.
    pub differs: Vec<TrialDifference>,
}

/// One key in which something differs from what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialDifference {
    /// The key.
    pub key: String,
    /// What the test expects.
    pub expected: String,
    /// What there is; absent where the thing has no such key.
    pub found: Option<String>,
}
