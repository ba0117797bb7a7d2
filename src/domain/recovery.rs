//! Recovery plans and drills as the policies ask for them.

use serde::{Deserialize, Serialize};

use super::{BackupType, EnvText, Instant, Name, Period, When};

/// A recovery plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPlanSpec {
    /// What it is for, in words.
    pub description: Option<String>,
    /// What kind of recovery.
    pub plan_type: PlanType,
    /// What it covers.
    pub scope: PlanScope,
    /// How bad the incident is that it answers.
    pub severity: Option<Severity>,
    /// Which databases.
    pub databases: Vec<Name>,
    /// Recovery time objective.
    pub rto: Option<Period>,
    /// Recovery point objective.
    pub rpo: Option<Period>,
    /// Backup types that must exist for it.
    pub requires: Vec<BackupType>,
    /// How far back a restore must be able to go.
    pub minimum_backup_age: Option<Period>,
    /// What is done, in order.
    pub steps: Vec<PlanStep>,
    /// Who said yes.
    pub approval: Approval,
    /// Whom to call first.
    pub primary_contact: Option<String>,
    /// Whom to call next.
    pub escalation_contacts: Vec<String>,
    /// How it is proven; absent: it is not.
    pub drill: Option<DrillSpec>,
}

/// What kind of recovery a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the policy language")]
pub enum PlanType {
    FullRecovery,
    PartialRecovery,
    TenantRecovery,
}

/// What a plan covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the policy language")]
pub enum PlanScope {
    AllSystems,
    SpecificServices,
    TenantData,
}

/// How bad an incident is; 1 is worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the field")]
pub enum Severity {
    Sev1,
    Sev2,
    Sev3,
    Sev4,
}

/// One step of a recovery plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStep {
    /// A person does it.
    Manual(String),
    /// A program does it: its arguments, without a shell, and its time limit.
    Run {
        /// Program and arguments.
        command: Vec<String>,
        /// When it is given up.
        timeout: Option<Period>,
    },
    /// bkup restores.
    Restore(RestoreStep),
    /// bkup checks.
    Check(Vec<Check>),
}

/// A restore step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreStep {
    /// Which kind of backup; absent: the one an earlier step proved.
    pub backup: Option<BackupType>,
    /// Of which schedule; absent: any.
    pub schedule: Option<Name>,
    /// From which store; absent: the schedule's.
    pub store: Option<Name>,
    /// Which one.
    pub from: RestoreFrom,
    /// Which tenants: globs over slugs; empty: a drill takes its sample.
    pub tenants: Vec<String>,
    /// Which tables, as globs over `schema.table`; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Where to.
    pub into: RestoreInto,
}

/// Which backup a step restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreFrom {
    /// The newest eligible one.
    Latest,
    /// Asked when the plan runs; a drill uses its target.
    Ask,
    /// The newest one not after this instant.
    At(Instant),
}

/// Where a restore goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreInto {
    /// A throw-away server that bkup starts.
    Scratch,
    /// A new database of this name on the same server.
    New(String),
    /// The live database.
    Live,
    /// An empty folder.
    Folder(String),
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Content digests equal those recorded inside the backup.
    TablesEqual,
    /// A query with `{schema}` and `{slug}` filled in for each tenant gives what is expected.
    Sql {
        /// The query; one row, one column.
        query: String,
        /// What it must give.
        expect: Expectation,
    },
    /// `pg_amcheck` finds nothing.
    Amcheck,
}

/// What a query must give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// The value `t`: what a query without `expect` must give.
    True,
    /// A comparison such as `> 0`, `= 12` or `>= 3`, over integers; otherwise the text itself after `=`.
    Compare {
        /// `=`, `!=`, `>`, `>=`, `<`, `<=`.
        operator: String,
        /// The right side.
        value: String,
    },
}

/// Who said yes to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Approval {
    /// How far it got.
    pub status: ApprovalStatus,
    /// Who.
    pub by: Option<String>,
    /// When, as written: a date or an instant.
    pub at: Option<String>,
}

/// How far a plan's approval got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the policy language")]
pub enum ApprovalStatus {
    #[default]
    Draft,
    PendingApproval,
    Approved,
    Archived,
}

/// How a plan is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSpec {
    /// At this distance, counted from the last attempt; absent where `when` says it.
    pub every: Option<Period>,
    /// By a calendar.
    pub when: Option<When>,
    /// Which backups.
    pub target: DrillTarget,
    /// Where to.
    pub into: DrillInto,
    /// How many tenants.
    pub sample_tenants: u32,
    /// What must hold afterwards.
    pub checks: Vec<Check>,
}

/// Which backups a drill restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillTarget {
    /// The newest eligible ones.
    #[default]
    Latest,
    /// An instant drawn from what is restorable.
    RandomInstant,
    /// The newest ones not younger than this.
    Ago(Period),
}

/// Where a drill restores to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillInto {
    /// A throw-away server that bkup starts.
    #[default]
    Scratch,
    /// A server that exists.
    Server(EnvText),
}
