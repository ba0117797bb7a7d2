//! A store as the policies want it: its place, its encryption, and what is promised of its objects.

use serde::{Deserialize, Serialize};

use super::{Bytes, EnvText, Name, Period};

/// Where backups go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSpec {
    /// Bucket and prefix, or folder.
    pub url: StoreUrl,
    /// The S3 region.
    pub region: Option<String>,
    /// The S3 endpoint, for servers other than AWS.
    pub endpoint: Option<EnvText>,
    /// Whether the bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// The storage class objects are written with, as in the policy: `standard`.
    pub storage_class: Option<String>,
    /// How data is encrypted before it leaves bkup; absent: it is not.
    pub encryption: Option<EncryptionSpec>,
    /// How the server encrypts at rest, beside that; absent: as the bucket says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side: Option<ServerSide>,
    /// The key that signs manifests and evidence; absent: they are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<EnvText>,
    /// How objects are locked against deletion; absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_lock: Option<ObjectLock>,
    /// Whether the bucket must keep versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub versioning_required: bool,
    /// Whether bkup may change the bucket's settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub manage: bool,
    /// Where everything is copied to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicate_to: Vec<Replica>,
    /// How often each backup is looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifySpec>,
    /// How much it may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Bytes>,
}

impl StoreSpec {
    /// Makes a store of which only the place is said: not encrypted, nothing locked, copied or managed.
    #[must_use]
    pub const fn at(url: StoreUrl) -> Self {
        Self {
            url,
            region: None,
            endpoint: None,
            path_style: false,
            storage_class: None,
            encryption: None,
            server_side: None,
            signing_key: None,
            object_lock: None,
            versioning_required: false,
            manage: false,
            replicate_to: Vec::new(),
            verify: None,
            quota: None,
        }
    }

    /// Returns whether objects of the class it writes can be read at once, without being thawed first.
    #[must_use]
    pub fn reads_at_once(&self) -> bool {
        !matches!(self.storage_class.as_deref(), Some("glacier" | "deep_archive"))
    }

    /// Returns what of this store this version of bkup does not do: the key and the words.
    #[must_use]
    pub fn not_served(&self) -> Vec<(&'static str, &'static str)> {
        let parts = [
            (self.object_lock.is_some(), "object_lock", "objects are written without a lock"),
            (self.manage, "manage", "the bucket's settings are not managed"),
            (!self.replicate_to.is_empty(), "replicate_to", "nothing is copied to the replica"),
            (self.verify.is_some(), "verify", "backups are not looked at again by themselves"),
            (self.quota.is_some(), "quota", "the quota is not watched"),
            (self.server_side.is_some(), "encryption.server_side", "no server-side encryption is asked for"),
            (self.signing_key.is_some(), "encryption.signing_key", "manifests and evidence are not signed"),
            (
                self.encryption.as_ref().is_some_and(|encryption| encryption.per_tenant_keys),
                "encryption.per_tenant_keys",
                "tenants have no keys of their own",
            ),
        ];
        parts.into_iter().filter(|(asked, ..)| *asked).map(|(_, key, words)| (key, words)).collect()
    }
}

/// How the object server encrypts at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerSide {
    /// With keys that the server keeps (SSE-S3).
    Aes256,
    /// With a key of the key service, by its id or alias (SSE-KMS).
    KmsKey(String),
}

/// A lock against deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// How long it holds.
    pub hold: LockHold,
}

/// Who may lift a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Those with a special permission.
    Governance,
    /// Nobody, not even the account's owner.
    Compliance,
}

/// How long a lock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockHold {
    /// Until the retention rule releases the backup, as far as that is known when it is written.
    Retention,
    /// So long from the writing on.
    For(Period),
}

/// A copy of a store in another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// The other store.
    pub store: Name,
    /// How late a copy may be; absent: any time.
    pub max_lag: Option<Period>,
}

/// How often each backup is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifySpec {
    /// Whether its objects are there.
    pub exists: Option<Period>,
    /// Whether their content is what was written.
    pub checksum: Option<Period>,
}

/// A store's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreUrl {
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, without slashes at its ends; may be empty.
        prefix: String,
    },
    /// `file:///absolute/dir`.
    Folder(String),
}

impl TryFrom<String> for StoreUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let invalid = || format!("{text:?} is not a store: write s3://bucket/prefix or file:///absolute/dir");
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let bucket_ok = bucket.len() >= 3
                && bucket.len() <= 63
                && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
            let prefix = prefix.trim_matches('/');
            if !bucket_ok || prefix.contains("//") {
                return Err(invalid());
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        match text.strip_prefix("file://") {
            Some(path)
                if path.starts_with('/')
                    && !path.split('/').any(|p| p == "..")
                    && !path.trim_matches('/').is_empty() =>
            {
                Ok(Self::Folder(path.trim_end_matches('/').to_owned()))
            }
            _ => Err(invalid()),
        }
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

impl std::fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{path}"),
        }
    }
}

/// How a store's data is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionSpec {
    /// age public keys, `age1...`.
    pub recipients: Vec<String>,
    /// The private key, needed to restore and to drill only: the key itself or a path to a file that holds it.
    pub identity: Option<EnvText>,
    /// Whether each tenant's backups have keys of their own, which can be destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_tenant_keys: bool,
}
