//! What a forecast found, as a value: objectives, restore points, storage, and what a change costs. Whole numbers only,
//! so that two runs compare byte by byte.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Bytes, Instant, Name, Period};

/// The version of the report's form, `major.minor`.
pub const FORECAST_FORMAT: &str = "1.0";

/// What a forecast found.
#[must_use = "a forecast that nobody reads was made for nothing"]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastReport {
    /// Version of this form.
    pub format_version: String,
    /// bkup's version.
    pub tool_version: String,
    /// When it begins.
    #[schemars(with = "String")]
    pub begin: Instant,
    /// When it ends.
    #[schemars(with = "String")]
    pub end: Instant,
    /// From what world it starts.
    pub start: ForecastStart,
    /// What was taken for granted, in sentences.
    pub assumptions: Vec<String>,
    /// Which runs fail or are late, as it was written: `none`, `drop:2%`.
    pub faults: String,
    /// The seed of what is drawn.
    pub seed: u64,
    /// Whether every objective holds to the end.
    pub holds: bool,
    /// How each objective fares under the policies in question.
    pub objectives: Vec<ObjectiveForecast>,
    /// The policies in question.
    pub after: ForecastSide,
    /// What they are compared with; absent where there is nothing.
    pub before: Option<ForecastSide>,
    /// What the change costs; absent where nothing is compared.
    pub change: Option<ChangeForecast>,
}

/// From what world a forecast starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForecastStart {
    /// What the catalog holds.
    Catalog,
    /// As if the policies had run for a year before. No catalog was read.
    AsIf,
    /// Nothing was done yet.
    Nothing,
}

/// How one objective fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveForecast {
    /// Whose objective it is: `class.critical`, `database.app`, `recovery-plan.full`.
    pub address: String,
    /// The database.
    pub database: Name,
    /// What it limits.
    pub kind: ObjectiveKind,
    /// How many scopes it is for.
    pub scopes: u64,
    /// The objective.
    pub limit: Period,
    /// The worst there was: the longest time that would have been lost, or the shortest history once it was reached.
    /// Absent where there never was a backup, or the history never reached the limit.
    pub worst: Option<Period>,
    /// Of when the newest backup is at the worst moment.
    #[schemars(with = "Option<String>")]
    pub worst_begin: Option<Instant>,
    /// The worst moment.
    #[schemars(with = "Option<String>")]
    pub worst_end: Option<Instant>,
    /// When it is violated first.
    #[schemars(with = "Option<String>")]
    pub violated_at: Option<Instant>,
    /// How often it is violated anew.
    pub violations: u64,
    /// The same under the policies it is compared with.
    pub worst_before: Option<Period>,
    /// The smallest number of consecutive missed slots that breaks it; RPO only.
    pub misses: Vec<MissForecast>,
}

/// What an objective limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// How much may be lost.
    Rpo,
    /// How far back a restore must be able to go.
    History,
}

/// How many missed slots in a row break an objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissForecast {
    /// Whose slots are missed; absent: those of every schedule that covers the scope.
    pub schedule: Option<Name>,
    /// How many in a row; absent: however many, what else covers the scope keeps the objective.
    pub slots: Option<u64>,
    /// The first of them, in the first place where so few suffice.
    #[schemars(with = "Option<String>")]
    pub first_missed: Option<Instant>,
    /// When the objective is broken then.
    #[schemars(with = "Option<String>")]
    pub broken_at: Option<Instant>,
}

/// What one set of policies keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastSide {
    /// Where the policies come from, as a person named it.
    pub policies: String,
    /// Schedule by schedule and scope by scope.
    pub lines: Vec<ForecastLine>,
    /// The days that were looked at, each at 00:00 UTC, and the end.
    #[schemars(with = "Vec<String>")]
    pub days: Vec<Instant>,
    /// Bytes stored on each day, by storage class; tombstoned backups in their grace period are in it.
    #[schemars(with = "BTreeMap<String, Vec<u64>>")]
    pub bytes_by_class: BTreeMap<String, Vec<Bytes>>,
    /// Backups stored on each day, by storage class.
    pub backups_by_class: BTreeMap<String, Vec<u64>>,
    /// The totals after 30, 90 and 365 days and at the end, as far as the forecast goes.
    pub milestones: Vec<Milestone>,
    /// The day on which most is stored.
    pub peak: Milestone,
    /// Backups that were taken.
    pub taken: u64,
    /// Slots that no run took in time.
    pub missed: u64,
    /// Drills that were run.
    pub drills: u64,
    /// Work that stays undone, and why.
    pub held: Vec<String>,
    /// What an apply would refuse at the begin, without the consent that this forecast gives itself.
    pub refusals: Vec<String>,
}

/// One schedule with one kind of scope in one database, over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForecastLine {
    /// The schedule.
    pub schedule: Name,
    /// The database; absent for files.
    pub database: Option<Name>,
    /// The kind of scope: `database`, `tenants of class critical`, `shared archives`.
    pub scope: String,
    /// How many scopes there are of it.
    pub scopes: u64,
    /// The retention rule in words.
    pub rule: String,
    /// How the sizes of its backups are known.
    pub sizes: SizeSource,
    /// Backups that can be restored and are not tombstoned, of all scopes together, day by day.
    pub restore_points: Vec<u64>,
    /// Tombstoned backups that can still be brought back, day by day.
    pub in_grace: Vec<u64>,
    /// How far back every scope of it can be restored, day by day; absent where one has no backup.
    pub depth: Vec<Option<Period>>,
    /// Bytes of both, day by day.
    #[schemars(with = "Vec<u64>")]
    pub bytes: Vec<Bytes>,
    /// Which rules keep how many on the last day; a backup that several keep counts under each.
    pub kept_by: BTreeMap<String, u64>,
    /// The same on each of the milestones.
    pub kept_by_at: Vec<BTreeMap<String, u64>>,
}

/// How sizes are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SizeSource {
    /// From the newest backups of the scope.
    Measured,
    /// From the size of the database, as if nothing were compressed.
    Assumed,
    /// Not at all: only backups are counted.
    Unknown,
}

/// The totals of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Milestone {
    /// How many days after the begin.
    pub day: u64,
    /// The day.
    #[schemars(with = "String")]
    pub at: Instant,
    /// Backups that can be restored and are not tombstoned.
    pub restore_points: u64,
    /// Tombstoned ones that can still be brought back.
    pub in_grace: u64,
    /// Bytes stored, by storage class.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub bytes: BTreeMap<String, Bytes>,
    /// Requests from the begin to this day.
    pub requests: Requests,
    /// Cost from the begin to this day; only where prices were given.
    pub cost: Option<Cost>,
}

impl Milestone {
    /// Returns the bytes of all classes.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.bytes.values().copied().sum()
    }
}

/// Requests to stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// PUT, POST and the parts of uploads.
    pub put: u64,
    /// GET and HEAD.
    pub get: u64,
    /// Pages of listings.
    pub list: u64,
    /// DELETE.
    pub delete: u64,
}

/// What stores charge, in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The currency, as the prices say it.
    pub currency: String,
    /// For storage.
    pub storage_micros: u64,
    /// For requests.
    pub requests_micros: u64,
}

/// What stores charge, as somebody wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    /// The currency.
    pub currency: String,
    /// For a GiB stored for a month, by storage class, in billionths.
    pub storage: BTreeMap<String, u64>,
    /// For a thousand requests of a kind (`put`, `get`, `list`, `delete`), in billionths.
    pub requests: BTreeMap<String, u64>,
}

/// What a change costs in backups that exist at the begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeForecast {
    /// Backups there are at the begin.
    pub there: u64,
    /// Those that the first apply takes out of use because of the change, and the old policies would still hold.
    pub lost_at_once: u64,
    /// Those that end earlier than under the old policies, at once or later.
    pub lost_by_change: u64,
    /// The bytes of those that are lost at once.
    #[schemars(with = "u64")]
    pub lost_bytes: Bytes,
    /// The oldest of those that are lost at once.
    #[schemars(with = "Option<String>")]
    pub lost_oldest: Option<Instant>,
    /// The newest of those.
    #[schemars(with = "Option<String>")]
    pub lost_newest: Option<Instant>,
    /// Those that end within the forecast under both.
    pub lost_anyway: u64,
    /// Those that the change keeps and the old policies would delete.
    pub saved_by_change: u64,
    /// When the change first takes a backup out of use.
    #[schemars(with = "Option<String>")]
    pub first_loss: Option<Instant>,
    /// When it first deletes one for good: until then a change back, and `undelete`, keep all of them.
    #[schemars(with = "Option<String>")]
    pub irreversible_after: Option<Instant>,
    /// What is gone with the first apply, and at the milestones.
    pub over_time: Vec<LossAt>,
    /// Where it is lost.
    pub lines: Vec<LossLine>,
    /// The backups themselves, oldest first; of tenants one stands for all that share its fate. Cut after a thousand.
    pub backups: Vec<LostBackup>,
}

/// What is gone by one day, of the backups there are at the begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LossAt {
    /// How many days after the begin.
    pub day: u64,
    /// Gone under the new policies, and not under the old.
    pub by_change: u64,
    /// Gone under both.
    pub anyway: u64,
}

/// What one schedule and kind of scope loses by a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LossLine {
    /// The schedule.
    pub schedule: Name,
    /// The database.
    pub database: Option<Name>,
    /// The kind of scope.
    pub scope: String,
    /// How many scopes there are of it.
    pub scopes: u64,
    /// The rule before, in words; absent where the schedule is new.
    pub rule_before: Option<String>,
    /// The rule after; absent where the schedule is gone.
    pub rule_after: Option<String>,
    /// Backups lost with the first apply.
    pub lost_at_once: u64,
    /// Backups that end earlier, at once or later.
    pub lost: u64,
    /// Their bytes.
    #[schemars(with = "u64")]
    pub bytes: Bytes,
    /// The oldest of them.
    #[schemars(with = "String")]
    pub oldest: Instant,
    /// The newest of them.
    #[schemars(with = "String")]
    pub newest: Instant,
    /// How far back every scope can be restored at the begin, before the change.
    pub depth_before: Option<Period>,
    /// The same at the end, without the change.
    pub depth_end_before: Option<Period>,
    /// The same at the end, with it.
    pub depth_end_after: Option<Period>,
}

/// A backup that a change costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostBackup {
    /// Its id.
    pub backup: String,
    /// Its scope.
    pub scope: String,
    /// How many such backups it stands for.
    pub stands_for: u64,
    /// The instant its content is of.
    #[schemars(with = "String")]
    pub consistent_at: Instant,
    /// When the change takes it out of use.
    #[schemars(with = "String")]
    pub tombstoned_at: Instant,
    /// When it is deleted for good; absent: after the end.
    #[schemars(with = "Option<String>")]
    pub purged_at: Option<Instant>,
    /// When the old policies would have ended it; absent: after the end.
    #[schemars(with = "Option<String>")]
    pub otherwise: Option<Instant>,
}
