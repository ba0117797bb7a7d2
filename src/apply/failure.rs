//! What stops an apply as a whole. What stops one action is that action's outcome.

use crate::catalog::CatalogError;
use crate::diag::{Code, Diagnostic, Explain};

/// Why an apply did not begin, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A guard refuses the plan.
    #[error("the plan is refused: {0}")]
    Refused(String),
    /// The world is no longer as the plan saw it; nothing was changed.
    #[error("the plan is stale: {0}")]
    Stale(String),
    /// The catalog failed before anything was changed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Explain for ApplyError {
    fn explain(&self) -> Diagnostic {
        match self {
            Self::Refused(_) => Diagnostic::error(Code("BK880"), self.to_string())
                .help("the plan's own text names the numbers, the policy key and the flag"),
            Self::Stale(_) => Diagnostic::error(Code("BK881"), self.to_string())
                .help("nothing was changed; run `bkup plan` again and look at what is different"),
            Self::Catalog(error) => error.explain(),
        }
    }
}
