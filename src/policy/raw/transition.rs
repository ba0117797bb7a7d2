//! `moved` and `removed`: what a change of the policies means for the backups that are there. Pure.

use crate::domain::{Address, RemovedBackups};
use crate::policy::record::{record, words};

record! {
    /// A rename that keeps history and retention.
    #[schemars(rename = "Moved")]
    Move, "a rename" {
        /// The address before.
        from: Address, required;
        /// The address now.
        to: Address, required;
    }
}

record! {
    /// Something that left the policies on purpose.
    #[schemars(rename = "Removed")]
    Removal, "a removal" {
        /// Its address before.
        from: Address, required;
        /// What becomes of its backups: `keep` them for good, let them `expire` by the rule they were made under, or
        /// `delete` them after the grace period.
        backups: RemovedBackups, required;
    }
}

words!(RemovedBackups, "RemovedBackups", "a fate of backups" {
    /// They stay for good.
    "keep" => RemovedBackups::Keep,
    /// They go by the rule that they were made under.
    "expire" => RemovedBackups::Expire,
    /// They go after the grace period.
    "delete" => RemovedBackups::Delete,
});
