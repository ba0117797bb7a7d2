//! Why a live schema was not swapped, or not swapped back.

use crate::diag::{Code, Diagnostic, Explain};

/// Why it was not. Nothing was changed in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Something hangs on it that cannot be carried over.
    #[error("{name} cannot be swapped: {}", .reasons.join("; "))]
    Refused {
        /// The schema or database, quoted.
        name: String,
        /// What, and what to do about each.
        reasons: Vec<String>,
    },
    /// The locks were not to be had.
    #[error("{name} is in use, and {attempts} attempts to lock it for less than a second each were not enough{}", held(.holders))]
    Busy {
        /// The schema or database, quoted.
        name: String,
        /// How many attempts were made.
        attempts: u32,
        /// Who held what.
        holders: Vec<String>,
    },
    /// Something else hangs on it than was shown.
    #[error("what hangs on {name} is not what it was when it was looked at; nothing was changed")]
    Changed {
        /// The schema, quoted.
        name: String,
    },
    /// Rows of others would refer to nothing.
    #[error("rows of other schemas refer to rows that are not in the backup: {}", .keys.join("; "))]
    Orphans {
        /// Each foreign key with its number of rows.
        keys: Vec<String>,
    },
    /// There is no such swap.
    #[error("there is no swap {wanted} in {place}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Where.
        place: String,
        /// What there is.
        others: Vec<String>,
    },
    /// Others hang on what was put aside.
    #[error("{name} cannot be removed: others use it: {}", .what.join("; "))]
    InUse {
        /// The schema, quoted.
        name: String,
        /// What.
        what: Vec<String>,
    },
    /// A table's rows cannot be put in as asked.
    #[error("table {table} cannot be {how}: {why}")]
    Table {
        /// The table, quoted.
        table: String,
        /// `merged`, `replaced`.
        how: &'static str,
        /// Why not.
        why: String,
        /// What to do.
        help: String,
    },
    /// The plan is not what would be done now.
    #[error("the restore is not the one that was planned: {0}")]
    OtherPlan(String),
    /// The SQL that was to sanitise a copy failed, or ended its transaction.
    #[error("the copy was not sanitised: {0}")]
    Sanitize(String),
}

fn held(holders: &[String]) -> String {
    if holders.is_empty() { String::new() } else { format!("; last held by {}", holders.join(", ")) }
}

impl Explain for SwapError {
    fn explain(&self) -> Diagnostic {
        let (code, help) = match self {
            Self::Refused { .. } => {
                ("BK980", "nothing was changed; do as each of them says, or restore --into new:NAME beside it".to_owned())
            }
            Self::Busy { .. } => (
                "BK981",
                "nothing was changed; end the session that holds the tables, wait for it, or allow more time with \
                 --lock-timeout"
                    .to_owned(),
            ),
            Self::Changed { .. } => ("BK982", "run it again, and look at what is shown".to_owned()),
            Self::Orphans { .. } => (
                "BK983",
                "nothing was changed; take these rows out, or leave them with --keep-orphans: the foreign key then holds \
                 for new rows alone"
                    .to_owned(),
            ),
            Self::NotFound { others, .. } if others.is_empty() => {
                ("BK984", "nothing was put aside by a restore, or it was removed since".to_owned())
            }
            Self::NotFound { others, .. } => ("BK984", format!("there are {}", others.join(", "))),
            Self::InUse { .. } => ("BK985", "move or drop these first; nothing was removed".to_owned()),
            Self::Table { help, .. } => ("BK986", help.clone()),
            Self::OtherPlan(_) => ("BK987", "plan it again with --plan, and look at it".to_owned()),
            Self::Sanitize(_) => (
                "BK988",
                "the copy was removed; the SQL must run as one transaction, without BEGIN, COMMIT or ROLLBACK".to_owned(),
            ),
        };
        Diagnostic::error(Code(code), self.to_string()).help(help)
    }
}
