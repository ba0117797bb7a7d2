//! Signs of drift: what was seen beside what plans are made of. Each part is an [`Observation`] of its own: one that was
//! denied is not known, is said, and holds nothing back but itself. What was not looked at says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Address, BackupId, Bytes, Garbage, Instant, Name, Observation, Period, Verification};

/// A setting that was looked at. `Known(None)`: the server has no such thing.
pub type Seen<T> = Observation<Option<T>>;

/// Everything that was seen for drift alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signs {
    /// The catalog's.
    pub catalog: Option<Observation<CatalogSigns>>,
    /// Each store's.
    pub stores: BTreeMap<Name, StoreSigns>,
    /// Each database's.
    pub servers: BTreeMap<Name, ServerSigns>,
}

/// What people did to the catalog's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogSigns {
    /// Policy things whose record or row is not as bkup wrote it.
    pub documents: BTreeMap<Address, DocumentSign>,
    /// Schedules that no policy put in: the first few names, any text, and how many there are.
    pub schedules_by_hand: (Vec<String>, u64),
    /// Recovery plans that no policy put in: the same.
    pub plans_by_hand: (Vec<String>, u64),
    /// Backups whose row says something else than what was recorded, oldest first.
    pub executions: Vec<BackupId>,
    /// Looks at backups that are there that failed and left no quarantine.
    pub failed_looks: Vec<FailedLook>,
    /// The cluster's identity, where it can be read, and the database that hold the catalog.
    pub place: Option<(Option<String>, String)>,
}

/// How a policy thing's record differs from what bkup wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentSign {
    /// Whether the recorded document agrees with its digest.
    pub intact: bool,
    /// The columns that were changed.
    pub edits: Vec<RowEdit>,
}

/// A column that was changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowEdit {
    /// The column; `row` where it is gone.
    pub column: String,
    /// What it says, any text.
    pub found: String,
    /// What bkup wrote.
    pub written: String,
}

/// A look at a backup that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLook {
    /// The backup.
    pub backup: BackupId,
    /// How deep the look was.
    pub depth: Verification,
    /// When.
    pub at: Instant,
    /// What was wrong, any text.
    pub detail: Option<String>,
}

/// What a store shows beside its manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSigns {
    /// Its objects against what the catalog recorded.
    pub objects: ObjectSigns,
    /// Uploads that were begun and not ended; absent where the store cannot say.
    pub uploads: Seen<Vec<UploadSign>>,
    /// How the bucket or folder is set.
    pub settings: StoreSettings,
}

/// A store's objects against what the catalog recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectSigns {
    /// Backups whose objects are not what was recorded.
    pub damaged: Vec<Damage>,
    /// How many objects belong to no backup and no attempt.
    pub strays: u64,
    /// Whether there are more, of so many backups that they were not told apart.
    pub strays_more: bool,
    /// Their bytes.
    pub stray_bytes: Bytes,
    /// The first few of their keys, any text.
    pub stray_examples: Vec<String>,
    /// Attempts that wrote once more after what they left was collected, each once.
    pub late: Vec<Garbage>,
    /// Why key objects were not looked at, where they were not.
    pub keys_unread: Option<String>,
}

/// A backup whose objects are not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The backup.
    pub backup: BackupId,
    /// What is wrong, in words that end a sentence: `2 of its 3 data objects are gone`.
    pub words: String,
    /// Whether something is gone, rather than changed.
    pub gone: bool,
}

/// An upload that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadSign {
    /// The key it is for; for a folder, the folder it lies in.
    pub key: String,
    /// The store's name for it.
    pub upload: String,
    /// When it was begun, where the store says.
    pub begun: Option<Instant>,
    /// How many bytes it holds, where that was asked.
    pub bytes: Option<Bytes>,
    /// Whose it is.
    pub owner: UploadOwner,
}

/// Whose upload it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOwner {
    /// An attempt at work, or one whose leftovers another action collects.
    Attempt,
    /// An attempt that is over, or a probe: nobody will ever complete it.
    Dead,
    /// Nobody the catalog knows.
    Unknown,
}

/// How the place of a store is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSettings {
    /// A bucket.
    Bucket(Box<BucketSettings>),
    /// A folder.
    Folder(Observation<FolderSettings>),
    /// A kind of store that has none.
    None,
}

/// How a bucket is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// Whether it keeps versions.
    pub versioning: Seen<BucketVersioning>,
    /// Whether it can lock objects.
    pub object_lock: Seen<bool>,
    /// How it encrypts what comes without a wish: absent inside: not at all.
    pub encryption: Seen<BucketEncryption>,
    /// Who is let in beside the account: in words, such as `its policy lets everybody in`.
    pub public: Seen<Vec<String>>,
    /// Whether all four locks against opening it are on.
    pub access_blocked: Seen<bool>,
    /// The rules that delete or move objects.
    pub lifecycle: Seen<Vec<LifecycleRule>>,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketVersioning {
    /// It never did.
    Off,
    /// It does not any more.
    Suspended,
    /// It does.
    On,
}

/// How a bucket encrypts by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketEncryption {
    /// Not at all.
    None,
    /// With keys of the server.
    Aes256,
    /// With a key of the key service: its id, where it is said.
    Kms(Option<String>),
}

/// A rule of a bucket's lifecycle that is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Its name, any text.
    pub id: String,
    /// The keys it is for begin with this, counted from the bucket's root.
    pub prefix: String,
    /// Whether tags or sizes narrow it further.
    pub narrowed: bool,
    /// Deletes current objects: after so many days; `Some(None)`: on a date, or without one that is said.
    pub expires: Option<Option<u32>>,
    /// Moves current objects: after how many days, and to which class.
    pub moves: Vec<(Option<u32>, String)>,
}

/// How a folder is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderSettings {
    /// Everybody on the machine can put things into it, and take what is another's out of it or not.
    pub others_write: bool,
    /// Whether only owners can take things out of it.
    pub sticky: bool,
}

/// What a server says beside its tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSigns {
    /// Settings by name.
    pub settings: Observation<BTreeMap<String, ServerSetting>>,
    /// The standbys that follow it.
    pub standbys: Observation<Vec<Standby>>,
    /// What else is on it; shared by the databases of one server.
    pub neighbours: Observation<Arc<Neighbours>>,
}

/// A setting of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSetting {
    /// Its value, without unit.
    pub value: String,
    /// Whether a change waits for a restart.
    pub pending_restart: bool,
}

/// A standby that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standby {
    /// Its name, any text.
    pub name: String,
    /// How far it is behind in time, where that can be read.
    pub lag: Option<Period>,
    /// How far it is behind in log, where that can be read.
    pub bytes: Option<Bytes>,
}

/// What else is on a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Neighbours {
    /// The cluster's identity, where it can be read.
    pub system: Option<String>,
    /// Its other databases that people can connect to: name, any text, and size where it can be read.
    pub databases: BTreeMap<String, Option<Bytes>>,
    /// Those of them that hold nothing but what every new one does.
    pub empty: BTreeSet<String>,
}
