//! The vocabulary: ids, time, sizes, policies as wanted, the world as seen, plans and reports. Data and invariants
//! only; nothing here reads a clock, the environment, a file or the network.

mod action;
mod alert;
mod backup;
mod by_hand;
mod canonical;
mod configuration;
mod coverage;
mod desired;
mod drift;
mod erasure;
mod event;
mod evidence;
mod explanation;
mod file_list;
mod forecast;
mod found;
mod id;
mod inspection;
mod life;
mod lsn;
mod manifest;
mod name;
mod observed;
mod on_demand;
mod plain_digest;
mod plan;
mod quantity;
mod rebuilt;
mod recovery;
mod report;
mod restoration;
mod retention;
mod run;
mod scope;
mod signs;
mod state_file;
mod storage;
mod swap;
mod tally;
mod tenant;
mod text;
mod time;
mod transition;
mod trial;
mod when;

pub use action::{
    Action, ActionClass, ActionKind, BackupWork, ConfigurationWork, DocumentOp, DrillBackup, DrillWork, FilesWork,
    Phase as PlanPhase, Precondition, PruneWork, Reason, ReasonCode, StaleUpload,
};
pub use alert::{AlertsSpec, ChannelSpec, Routes, Thresholds};
pub use backup::{Backup, BackupMethod, BackupStatus, BackupType, Engine, Verification};
pub use by_hand::{ByHand, HandPlan, HandSchedule};
pub use canonical::{ObjectDigest, canonical_json, canonical_value, digest_of, sha256};
pub use configuration::{ConfigurationDigests, ConfigurationSeen, MASKED, ServerConfiguration, is_secret};
pub use coverage::{COVERAGE_FORMAT, CoveringSchedule, DatabaseCoverage, TenantCoverage, WorstLoss};
pub use desired::{
    ClassSpec, Compression, DatabaseSpec, Desired, Document, Guards, Method, NotifySpec, Objectives, ResolvedTenants,
    ScheduleSpec, SourceLocation, TenantFilter, TenantSelector, WalSpec,
};
pub use drift::{DRIFT_CODES, DriftFinding, DriftKind, DriftSeverity};
pub use erasure::{Condemned, ERASURE_FORMAT, Erased, Erasure, HeldBackup, Holder, LeftOver, Trace};
pub use event::{EVENT_FORMAT, Event};
pub use evidence::{CheckResult, Evidence, Phase, TableComparison};
pub use explanation::{Explanation, Setting, Slot, Topic, Use};
pub use file_list::{FILE_LIST_FORMAT, FileKind, FileLine, FilePath};
pub use forecast::{
    ChangeForecast, Cost, FORECAST_FORMAT, ForecastLine, ForecastReport, ForecastSide, ForecastStart, LossAt, LossLine,
    LostBackup, Milestone, MissForecast, ObjectiveForecast, ObjectiveKind, Prices, Requests, SizeSource,
};
pub use found::{FoundBackup, FoundForm, LeftAlone};
pub use id::{ActionId, BackupId, Digest, RunId};
pub use inspection::{Inspection, TenantTable};
pub use life::{BackupLife, LifeState, Orphan, OrphanGroup};
pub use lsn::Lsn;
pub use manifest::{
    DataPart, KeyObject, MANIFEST_FORMAT, Manifest, ManifestScope, PartKind, PhaseTiming, SequenceDigest, TableDigest,
};
pub use name::{Address, InvalidName, Name, Section};
pub use observed::{
    Applied, CatalogFacts, CatalogState, Clock, DrillRecord, Garbage, Observation, Observed, Progress, ServerFacts,
    StoreFacts, StoreMarker,
};
pub use on_demand::{AskedFor, OnDemand, Wanted};
pub use plain_digest::PlainDigest;
pub use plan::{
    Connections, Consent, Counts, GuardRefusal, Held, HeldReason, KeptBackup, Narrowing, ObjectiveRow, PLAN_FORMAT,
    Plan,
};
pub use quantity::{Bytes, ParseBytesError, ParsePercentError, Percent};
pub use rebuilt::{REBUILT_FORMAT, Rebuilt, RebuiltStore, Replaced, Unusable};
pub use recovery::{
    Approval, ApprovalStatus, Check, DrillInto, DrillSpec, DrillTarget, Expectation, PlanScope, PlanStep, PlanType,
    RecoveryPlanSpec, RestoreFrom, RestoreInto, RestoreStep, Severity as IncidentSeverity,
};
pub use report::{ActionOutcome, ApplyReport, CameSince, FinishedBefore, Outcome, RunFailure, Since};
pub use restoration::{KeptServer, RESTORATION_FORMAT, Restoration, RestoreProof};
pub use retention::{Move, Pick, RetentionRule};
pub use run::{AttemptLog, BackupLog, CanceledSlot, LOGS_FORMAT, LoggedEvent, Meant, RunLog, RunState, RunSummary};
pub use scope::{InvalidScope, Scope};
pub use signs::{
    BucketEncryption, BucketSettings, BucketVersioning, CatalogSigns, Damage, DocumentSign, FailedLook, FolderSettings,
    LifecycleRule, Neighbours, ObjectSigns, RowEdit, Seen, ServerSetting, ServerSigns, Signs, Standby, StoreSettings,
    StoreSigns, UploadOwner, UploadSign,
};
pub use state_file::{AppliedBy, Kept, Offboarded, Quarantined, STATE_FORMAT, StateFile, StoreSeen};
pub use storage::{
    EncryptionSpec, LockHold, LockMode, ObjectLock, Replica, ServerSide, StoreSpec, StoreUrl, VerifySpec,
};
pub use swap::{RESTORE_PLAN_FORMAT, RESTORE_PLAN_KIND, RestorePlan, SwapPlan, Swapped, TableChange, TableRestored};
pub use tally::Tally;
pub use tenant::{Tenant, TenantRecord, TenantWork};
pub use text::EnvText;
pub use time::{Between, CivilTime, Instant, ParsePeriodError, Period, ZoneName};
pub use transition::{Moved, Removed, RemovedBackups, Suspension};
pub use trial::{TRIAL_FORMAT, TrialDifference, TrialFailure, TrialOutcome, TrialReport, TrialThing};
pub use when::{DayRule, Frequency, Timing, When};
