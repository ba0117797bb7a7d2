//! AWS policies for the stores of a policy set: one identity policy for each role, and the bucket's own. Pure.
//!
//! Everything is scoped to the store's prefix. Records that are written once (manifests, marks, states, reports,
//! evidence, the marker) must be put with `If-None-Match`; data and key objects lie below an attempt's own folder and are
//! uploaded in parts, which take no such header.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::{Name, ServerSide, StoreSpec, StoreUrl};

/// The largest identity policy that AWS takes inline for a role, in characters without white space.
pub const LARGEST_IDENTITY: usize = 10_240;
/// The largest bucket policy that AWS takes, in bytes.
pub const LARGEST_BUCKET: usize = 20_480;

/// Who is granted something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IamGrants {
    /// Lists and gets.
    Planner,
    /// Puts, never deletes but its own probe.
    Runner,
    /// Deletes.
    Pruner,
    /// Deletes for good: old versions too.
    Eraser,
    /// Gets.
    Restore,
    /// The bucket's own policy: what nobody may do.
    Bucket,
}

impl IamGrants {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Planner, Self::Runner, Self::Pruner, Self::Eraser, Self::Restore, Self::Bucket];

    /// Returns the word on the command line and in the JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Runner => "runner",
            Self::Pruner => "pruner",
            Self::Eraser => "eraser",
            Self::Restore => "restore",
            Self::Bucket => "bucket",
        }
    }
}

/// Where a store lies in AWS.
struct Place<'a> {
    bucket: &'a str,
    prefix: &'a str,
}

impl Place<'_> {
    fn bucket_arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.bucket)
    }

    fn below(&self, path: &str) -> String {
        if self.prefix.is_empty() {
            format!("arn:aws:s3:::{}/{path}", self.bucket)
        } else {
            format!("arn:aws:s3:::{}/{}/{path}", self.bucket, self.prefix)
        }
    }

    /// Lists, below the prefix only.
    fn list(&self) -> Value {
        self.lists("List", "s3:ListBucket")
    }

    fn lists(&self, sid: &str, action: &str) -> Value {
        let mut statement = json!({
            "Sid": sid, "Effect": "Allow", "Action": action, "Resource": self.bucket_arn(),
        });
        if !self.prefix.is_empty() {
            let prefix = self.prefix;
            statement["Condition"] = json!({ "StringLike": { "s3:prefix": [format!("{prefix}/*"), prefix] } });
        }
        statement
    }

    fn get(&self) -> Value {
        json!({ "Sid": "Get", "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": self.below("*") })
    }

    /// What is written once.
    fn records(&self, kinds: &[&str]) -> Vec<String> {
        kinds.iter().map(|kind| self.below(kind)).collect()
    }

    /// Puts records, each only where there is none yet.
    fn put_once(&self, kinds: &[&str]) -> Value {
        json!({
            "Sid": "PutOnce", "Effect": "Allow", "Action": "s3:PutObject", "Resource": self.records(kinds),
            "Condition": { "Null": { "s3:if-none-match": "false" } },
        })
    }
}

/// The records that runs write once.
const RUNNER_RECORDS: [&str; 5] = ["bkup.json", "backups/*/manifest.json", "state/*", "runs/*", "evidence/*"];
/// The records that pruning writes once.
const PRUNER_RECORDS: [&str; 3] = ["marks/*", "state/*", "runs/*"];

/// Returns the policies of S3 stores as JSON, by store and role; one policy alone where both are given. Stores that are
/// not in AWS's form are left out: `None` where nothing is left.
#[must_use]
pub fn iam_json(stores: &BTreeMap<Name, StoreSpec>, store: Option<&Name>, role: Option<IamGrants>) -> Option<String> {
    let mut all = Map::new();
    for (name, spec) in stores.iter().filter(|(name, _)| store.is_none_or(|wanted| wanted == *name)) {
        let StoreUrl::S3 { bucket, prefix } = &spec.url else { continue };
        let place = Place { bucket, prefix: prefix.trim_matches('/') };
        let mut policies = Map::new();
        for grants in IamGrants::ALL.into_iter().filter(|grants| role.is_none_or(|wanted| wanted == *grants)) {
            policies.insert(grants.word().to_owned(), policy(&place, spec, grants));
        }
        all.insert(name.to_string(), Value::Object(policies));
    }
    if all.is_empty() {
        return None;
    }
    let whole = match (store, role) {
        (Some(store), Some(role)) => all.remove(store.as_str())?.get(role.word())?.clone(),
        _ => json!({ "format_version": "1.0", "stores": all }),
    };
    serde_json::to_string_pretty(&whole).ok().map(|text| text + "\n")
}

fn policy(place: &Place<'_>, spec: &StoreSpec, grants: IamGrants) -> Value {
    let mut statements = match grants {
        IamGrants::Planner => vec![place.list(), place.get()],
        // Where somebody wrote over a backup, it reads what was there before.
        IamGrants::Restore => vec![place.list(), place.lists("ListVersions", "s3:ListBucketVersions"), place.get()],
        IamGrants::Runner => vec![
            place.list(),
            place.get(),
            place.put_once(&RUNNER_RECORDS),
            json!({
                "Sid": "PutDataOfAttempts", "Effect": "Allow",
                "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
                "Resource": [place.below("backups/*/a-*/*"), place.below("keys/*/a-*/*")],
            }),
            json!({
                "Sid": "Probe", "Effect": "Allow",
                "Action": ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
                "Resource": place.below("probe/*"),
            }),
            json!({
                "Sid": "UnfinishedUploads", "Effect": "Allow", "Action": "s3:ListBucketMultipartUploads",
                "Resource": place.bucket_arn(),
            }),
        ],
        IamGrants::Pruner => deleting(place, &["s3:DeleteObject", "s3:AbortMultipartUpload"]),
        // A pruner that was broken into can only hide what a bucket with versions keeps; this one destroys it.
        IamGrants::Eraser => {
            let mut all = deleting(place, &["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"]);
            all.push(place.lists("ListVersions", "s3:ListBucketVersions"));
            all
        }
        IamGrants::Bucket => bucket(place),
    };
    if !matches!(grants, IamGrants::Bucket)
        && let Some(key) = kms_key(spec)
    {
        let action = match grants {
            IamGrants::Runner | IamGrants::Pruner | IamGrants::Eraser => json!(["kms:GenerateDataKey", "kms:Decrypt"]),
            _ => json!("kms:Decrypt"),
        };
        statements.push(json!({ "Sid": "Key", "Effect": "Allow", "Action": action, "Resource": key }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Leaves marks, and deletes below what they are about.
fn deleting(place: &Place<'_>, actions: &[&str]) -> Vec<Value> {
    vec![
        place.list(),
        place.get(),
        place.put_once(&PRUNER_RECORDS),
        json!({
            "Sid": "DeleteBackups", "Effect": "Allow", "Action": actions,
            "Resource": [place.below("backups/*"), place.below("keys/*")],
        }),
        json!({
            "Sid": "UnfinishedUploads", "Effect": "Allow", "Action": "s3:ListBucketMultipartUploads",
            "Resource": place.bucket_arn(),
        }),
    ]
}

fn kms_key(spec: &StoreSpec) -> Option<&str> {
    match &spec.server_side {
        Some(ServerSide::KmsKey(key)) if key.starts_with("arn:") => Some(key),
        _ => None,
    }
}

/// What no identity may do, whatever its own policy says: leave TLS out, write a record over another, or delete a record
/// of what happened.
fn bucket(place: &Place<'_>) -> Vec<Value> {
    let once = ["bkup.json", "backups/*/manifest.json", "marks/*", "state/*", "runs/*", "evidence/*"];
    vec![
        json!({
            "Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": [place.bucket_arn(), place.below("*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }),
        json!({
            "Sid": "RecordsAreWrittenOnce", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
            "Resource": place.records(&once),
            "Condition": { "Null": { "s3:if-none-match": "true" }, "Bool": { "s3:ObjectCreationOperation": "true" } },
        }),
        json!({
            "Sid": "HistoryStays", "Effect": "Deny", "Principal": "*", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            "Resource": place.records(&["bkup.json", "marks/*", "state/*", "runs/*", "evidence/*"]),
        }),
    ]
}
