//! Exit codes: one table, printed in `--help` and relied upon by pipelines. A code is never given another meaning.

use std::process::ExitCode;

/// How a run of bkup ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Success,
    /// Failed, nothing was changed.
    Failed,
    /// Differences, where they were asked for.
    Differences,
    /// Invalid policies, or none found.
    InvalidPolicies,
    /// Refused by a guard.
    Refused,
    /// Partly applied.
    PartlyApplied,
    /// The plan is stale, or a precondition failed.
    Stale,
    /// Someone else holds the work.
    Locked,
    /// An objective is violated.
    Violated,
    /// Wrong usage.
    Usage,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

/// Every exit code and its meaning, in order.
const TABLE: [(Exit, &str); 12] = [
    (Exit::Success, "success; `plan` exits 0 also with changes"),
    (Exit::Failed, "failed, nothing was changed"),
    (
        Exit::Differences,
        "differences, only where asked: plan --detailed-exitcode (changes and drift;\ndue work with --include-due), drift --detailed-exitcode, fmt --check",
    ),
    (Exit::InvalidPolicies, "invalid policies, or none found"),
    (Exit::Refused, "refused by a guard"),
    (Exit::PartlyApplied, "partly applied; the report says what"),
    (Exit::Stale, "the plan is stale, or a precondition failed; nothing was changed"),
    (Exit::Locked, "someone else holds the work, past --lock-timeout"),
    (Exit::Violated, "an objective is violated: RPO or RTO breached, a drill or a verification failed"),
    (Exit::Usage, "wrong usage"),
    (Exit::Interrupted, "interrupted (SIGINT); the report is written"),
    (Exit::Terminated, "terminated (SIGTERM); the report is written"),
];

impl Exit {
    /// Returns the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Differences => 2,
            Self::InvalidPolicies => 3,
            Self::Refused => 4,
            Self::PartlyApplied => 5,
            Self::Stale => 6,
            Self::Locked => 7,
            Self::Violated => 8,
            Self::Usage => 64,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Returns the word for programs: `invalid_policies`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Differences => "differences",
            Self::InvalidPolicies => "invalid_policies",
            Self::Refused => "refused",
            Self::PartlyApplied => "partly_applied",
            Self::Stale => "stale",
            Self::Locked => "locked",
            Self::Violated => "violated",
            Self::Usage => "usage",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// Returns what the code means.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        TABLE.iter().find(|(exit, _)| *exit == self).map_or("", |(_, meaning)| meaning)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Returns the table as it stands in `--help`.
#[must_use]
pub fn table() -> String {
    let mut out = String::from("Exit codes:\n");
    for (exit, meaning) in TABLE {
        out.push_str(&format!("  {:>3}  {}\n", exit.code(), meaning.replace('\n', "\n       ")));
    }
    out
}

/// Ends the process at once, without reports: only for a second signal, when someone insists.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "the one place where exit codes are decided")]
pub(super) fn at_once(exit: Exit) -> ! {
    std::process::exit(i32::from(exit.code()))
}
