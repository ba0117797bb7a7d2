//! What a drill proved: the evidence document, written to store and catalog.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The evidence of one drill. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Version of this form, `1.0`.
    pub format_version: String,
    /// The drill's id.
    pub drill_id: String,
    /// The recovery plan that was drilled.
    pub plan: String,
    /// The digest of the plan's document as drilled.
    pub plan_digest: String,
    /// When the drill began.
    pub drill_timestamp: String,
    /// `passed` or `failed`.
    pub status: String,
    /// The backups that were restored, by id, in order.
    pub backups: Vec<String>,
    /// Age of the oldest restored backup at the drill's begin, in whole minutes.
    pub backup_age_minutes: u64,
    /// Time from the first byte fetched to the last check passed, in whole minutes, rounded up.
    pub restore_duration_minutes: u64,
    /// The same, in milliseconds.
    pub restore_duration_ms: u64,
    /// Whether the age was within the plan's RPO; absent where it has none.
    pub rpo_compliant: Option<bool>,
    /// Whether the duration was within the plan's RTO; absent where it has none.
    pub rto_compliant: Option<bool>,
    /// The plan's RPO in whole minutes.
    pub rpo_minutes: Option<u64>,
    /// The plan's RTO in whole minutes.
    pub rto_minutes: Option<u64>,
    /// Tenants that were sampled, by slug.
    pub tenants: Vec<String>,
    /// Each phase and its time, in order.
    pub phases: Vec<Phase>,
    /// Each check and its outcome, in order.
    pub checks: Vec<CheckResult>,
    /// Objects that were not restored, since they refer to tenants that were not restored with them, and why. None of
    /// them is a table of a tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Bytes fetched from the store.
    pub bytes_fetched: u64,
    /// The scratch server's version.
    pub server_version: String,
    /// bkup's version.
    pub tool_version: String,
    /// Why it failed; absent where it passed.
    pub failure: Option<String>,
    /// SHA-256 of the evidence before this one in the catalog's chain; absent for the first.
    pub previous: Option<String>,
    /// Whether the clock was simulated.
    #[serde(default)]
    pub simulated: bool,
}

/// One phase of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// `start server`, `fetch`, `restore`, `check`.
    pub phase: String,
    /// What it worked on: a backup id, a check.
    pub subject: String,
    /// Milliseconds.
    pub milliseconds: u64,
}

/// One check of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// The check as the policy words it.
    pub check: String,
    /// The tenant it was made for; absent for a database-wide one.
    pub tenant: Option<String>,
    /// Whether it held.
    pub passed: bool,
    /// What was seen.
    pub observed: String,
    /// What was expected.
    pub expected: String,
    /// The tables that differ, for `tables: equal`.
    #[serde(default)]
    pub differences: Vec<TableComparison>,
}

/// A table whose restored content is not the recorded one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableComparison {
    /// Schema and table, quoted.
    pub table: String,
    /// Rows recorded.
    pub recorded_rows: u64,
    /// Rows restored; absent where the table is missing.
    pub restored_rows: Option<u64>,
    /// Digest recorded.
    pub recorded_digest: String,
    /// Digest restored; absent where the table is missing.
    pub restored_digest: Option<String>,
}
