//! The options that narrow a plan, shared by `plan` and `apply`.

use clap::{Args, ValueEnum};

use crate::cli::session::Wish;
use crate::domain::{Narrowing, Percent};

/// Which part of the work.
#[derive(Debug, Clone, Args)]
pub struct NarrowArgs {
    /// Only these kinds of work, with commas between
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    pub only: Vec<Only>,
    /// Only what these addresses ask for: schedule.nightly, store.*; repeatable
    #[arg(long, value_name = "ADDRESS-GLOB")]
    pub target: Vec<String>,
    /// Not what these addresses ask for; repeatable
    #[arg(long, value_name = "ADDRESS-GLOB")]
    pub exclude: Vec<String>,
    /// Let a change delete up to this share of a scope's or store's backups, once
    #[arg(long, value_name = "N%")]
    pub allow_delete: Option<Percent>,
}

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// What the policies say.
    #[value(help = None::<&str>)]
    Changes,
    /// Taking backups.
    #[value(help = None::<&str>)]
    Backups,
    /// Reading backups back.
    #[value(help = None::<&str>)]
    Verify,
    /// Pruning.
    #[value(help = None::<&str>)]
    Retention,
    /// Restoring to prove it.
    #[value(help = None::<&str>)]
    Drills,
}

impl NarrowArgs {
    /// Returns what is asked of a plan.
    #[must_use]
    pub fn wish(&self) -> Wish {
        Wish { narrowing: self.narrowing(), allow_delete: self.allow_delete, ..Wish::default() }
    }

    /// Returns how the plan is narrowed.
    #[must_use]
    pub fn narrowing(&self) -> Narrowing {
        let words = self.only.iter().filter_map(ValueEnum::to_possible_value);
        let words: Vec<String> = words.map(|value| value.get_name().to_owned()).collect();
        let only = (!words.is_empty()).then(|| words.join(","));
        Narrowing {
            only,
            target: self.target.iter().cloned().collect(),
            exclude: self.exclude.iter().cloned().collect(),
        }
    }
}
