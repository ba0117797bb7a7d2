//! `state/<serial>.json`: the catalog as it goes into every store after an apply, so that it can be made again from the
//! stores alone. What a manifest says of its backup is not repeated here. Data only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Address, Applied, BackupId, Digest, DrillRecord, Instant, Name, Progress, RunId};

/// The version of the form, `major.minor`. A reader refuses a larger major and ignores unknown fields.
pub const STATE_FORMAT: &str = "1.1";

/// What is applied, approved, protected and known beyond the manifests, under the serial of the apply that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Version of this form.
    pub format_version: String,
    /// The catalog's serial.
    pub serial: i64,
    /// The catalog's identity.
    pub lineage: String,
    /// The value of its clock, where that is simulated.
    pub simulated: Option<Instant>,
    /// When the apply ended.
    pub at: Instant,
    /// The run that wrote it.
    pub run: RunId,
    /// The digest of the plan that was applied.
    pub plan_digest: Digest,
    /// The digest of its changes.
    pub change_digest: Digest,
    /// The digest of the policies.
    pub policy_digest: Digest,
    /// Every policy thing as applied, archived ones too.
    pub applied: BTreeMap<Address, Applied>,
    /// The newest drill attempt of each plan.
    pub drills: BTreeMap<Name, DrillRecord>,
    /// How far each schedule has got with each database.
    pub progress: Vec<Progress>,
    /// The backups that are pinned.
    pub protected: Vec<BackupId>,
    /// What the catalog knows and neither plans nor manifests say.
    #[serde(flatten)]
    pub kept: Kept,
}

/// What a catalog knows beyond policies and manifests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The stores as they were found.
    pub stores: Vec<StoreSeen>,
    /// Who applied what, and from where.
    pub approvals: BTreeMap<Address, AppliedBy>,
    /// The backups that are not to be trusted.
    pub quarantined: Vec<Quarantined>,
    /// The tenants that were taken for gone.
    pub offboarded: Vec<Offboarded>,
    /// What deleting a tenant does to its executions, where that was decided: `set_null` or `cascade`.
    pub tenant_fk: Option<String>,
    /// How many rows the audit chain has.
    pub audit_rows: u64,
    /// The hash of its newest row.
    pub audit_head: Option<String>,
}

/// A store as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSeen {
    /// Its name in the policies.
    pub store: Name,
    /// Its place, without secrets.
    pub url: String,
    /// Its identity, from its marker.
    pub store_id: String,
    /// What it was found to be able to do.
    pub capabilities: serde_json::Value,
    /// When that was found out.
    pub probed_at: Instant,
}

/// Who applied a policy thing, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedBy {
    /// When.
    pub at: Instant,
    /// Who.
    pub by: Option<String>,
    /// In which run.
    pub run: Option<String>,
    /// The commit it came from.
    pub commit: Option<String>,
    /// The file it stood in.
    pub file: Option<String>,
    /// The line there.
    pub line: Option<u32>,
}

/// A backup that is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The backup.
    pub backup: BackupId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Option<Instant>,
}

/// A tenant that was taken for gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offboarded {
    /// Its database.
    pub database: Name,
    /// Its slug.
    pub slug: String,
    /// Its schema when it was last seen.
    pub schema: String,
    /// Its id then.
    pub id: Option<String>,
    /// Its class then.
    pub class: Option<Name>,
    /// When it was first seen.
    pub first_seen_at: Instant,
    /// When it was last seen.
    pub last_seen_at: Instant,
    /// When it was taken for gone.
    pub at: Instant,
}
