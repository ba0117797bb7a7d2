//! How a bucket is set: one request for each setting, side by side. What is denied is not known; what the server does
//! not have is said as such; neither is ever taken for "off".

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    BucketVersioningStatus, ExpirationStatus, LifecycleRule as Rule, ObjectLockEnabled, Permission,
    ServerSideEncryption,
};

use crate::domain::{BucketEncryption, BucketSettings, BucketVersioning, LifecycleRule, Observation, Seen};

/// The groups that everybody, or everybody with an account anywhere, is in.
const EVERYBODY: [(&str, &str); 2] = [
    ("http://acs.amazonaws.com/groups/global/AllUsers", "everybody"),
    ("http://acs.amazonaws.com/groups/global/AuthenticatedUsers", "everybody who has an account anywhere"),
];

/// Reads all of it.
pub(super) async fn read(client: &Client, bucket: &str) -> BucketSettings {
    let (versioning, object_lock, encryption, public, access_blocked, lifecycle) = tokio::join!(
        versioning(client, bucket),
        object_lock(client, bucket),
        encryption(client, bucket),
        public(client, bucket),
        access_blocked(client, bucket),
        lifecycle(client, bucket),
    );
    BucketSettings { versioning, object_lock, encryption, public, access_blocked, lifecycle }
}

/// What a request that failed says of a setting. `absent`: the server's code for "nobody ever set it", and the setting
/// then.
fn without<T, E>(error: &SdkError<E, HttpResponse>, permission: &str, absent: (&str, T)) -> Seen<T>
where
    E: ProvideErrorMetadata,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let service = error.as_service_error();
    let code = service.and_then(ProvideErrorMetadata::code).unwrap_or("");
    let words = service.and_then(ProvideErrorMetadata::message).unwrap_or("").trim();
    match (code, status) {
        (code, _) if code == absent.0 => Observation::Known(Some(absent.1)),
        ("NotImplemented" | "MethodNotAllowed" | "UnsupportedOperation" | "NoSuchKey", _) | (_, 405 | 501) => {
            Observation::Known(None)
        }
        // A server that does not know the question answers the one it knows, and lists the bucket.
        (_, 200..=299) if body_of(error).contains("<ListBucketResult") => Observation::Known(None),
        (_, 200..=299) => Observation::Unreachable("the store's answer cannot be understood".to_owned()),
        (_, 401 | 403) => Observation::Unreachable(format!("the store denies it: it takes {permission}")),
        ("", 0) => Observation::Unreachable("the store does not answer".to_owned()),
        ("", status) => Observation::Unreachable(format!("the store answers with HTTP status {status}")),
        (code, _) => Observation::Unreachable(format!("{code}: {words}")),
    }
}

/// Returns the text of an answer that the SDK could not read.
fn body_of<E>(error: &SdkError<E, HttpResponse>) -> &str {
    let bytes = error.raw_response().and_then(|response| response.body().bytes()).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}

pub(super) async fn versioning(client: &Client, bucket: &str) -> Seen<BucketVersioning> {
    match client.get_bucket_versioning().bucket(bucket).send().await {
        Ok(answer) => Observation::Known(Some(match answer.status() {
            Some(BucketVersioningStatus::Enabled) => BucketVersioning::On,
            Some(BucketVersioningStatus::Suspended) => BucketVersioning::Suspended,
            _ => BucketVersioning::Off,
        })),
        Err(error) => without(&error, "s3:GetBucketVersioning", ("-", BucketVersioning::Off)),
    }
}

async fn object_lock(client: &Client, bucket: &str) -> Seen<bool> {
    match client.get_object_lock_configuration().bucket(bucket).send().await {
        Ok(answer) => {
            let enabled = answer.object_lock_configuration().and_then(|lock| lock.object_lock_enabled());
            Observation::Known(Some(enabled == Some(&ObjectLockEnabled::Enabled)))
        }
        Err(error) => {
            without(&error, "s3:GetBucketObjectLockConfiguration", ("ObjectLockConfigurationNotFoundError", false))
        }
    }
}

async fn encryption(client: &Client, bucket: &str) -> Seen<BucketEncryption> {
    match client.get_bucket_encryption().bucket(bucket).send().await {
        Ok(answer) => {
            let rules = answer.server_side_encryption_configuration().map(|set| set.rules()).unwrap_or_default();
            let default = rules.iter().find_map(|rule| rule.apply_server_side_encryption_by_default());
            Observation::Known(Some(match default.map(|rule| (rule.sse_algorithm(), rule.kms_master_key_id())) {
                None => BucketEncryption::None,
                Some((ServerSideEncryption::Aes256, _)) => BucketEncryption::Aes256,
                Some((_, key)) => BucketEncryption::Kms(key.map(str::to_owned)),
            }))
        }
        Err(error) => without(
            &error,
            "s3:GetEncryptionConfiguration",
            ("ServerSideEncryptionConfigurationNotFoundError", BucketEncryption::None),
        ),
    }
}

/// Whether policy or access list let others in. What one of them shows stands, also where the other is denied.
async fn public(client: &Client, bucket: &str) -> Seen<Vec<String>> {
    let (policy, acl) = tokio::join!(
        client.get_bucket_policy_status().bucket(bucket).send(),
        client.get_bucket_acl().bucket(bucket).send(),
    );
    let said = |open: bool| {
        Observation::Known(Some(if open { vec!["its policy lets everybody in".to_owned()] } else { Vec::new() }))
    };
    let policy = match policy {
        Ok(answer) => said(answer.policy_status().and_then(|status| status.is_public()) == Some(true)),
        // The documentation writes the word in capitals, which the SDK refuses.
        Err(error) if body_of(&error).contains("<IsPublic>TRUE<") => said(true),
        Err(error) if body_of(&error).contains("<IsPublic>FALSE<") => said(false),
        Err(error) => without(&error, "s3:GetBucketPolicyStatus", ("NoSuchBucketPolicy", Vec::new())),
    };
    let acl = match acl {
        Ok(answer) => {
            let grants = answer.grants().iter().filter_map(|grant| {
                let uri = grant.grantee()?.uri()?;
                let (_, who) = EVERYBODY.iter().find(|(group, _)| *group == uri)?;
                let what = match grant.permission() {
                    Some(Permission::Write) => "write to it",
                    Some(Permission::FullControl) => "do anything with it",
                    Some(Permission::ReadAcp) => "read its access list",
                    Some(Permission::WriteAcp) => "change its access list",
                    _ => "list it",
                };
                Some(format!("its access list lets {who} {what}"))
            });
            Observation::Known(Some(grants.collect()))
        }
        Err(error) => without(&error, "s3:GetBucketAcl", ("-", Vec::new())),
    };
    match (policy, acl) {
        (Observation::Known(a), Observation::Known(b)) if a.is_none() && b.is_none() => Observation::Known(None),
        (Observation::Known(a), Observation::Known(b)) => {
            Observation::Known(Some(a.into_iter().chain(b).flatten().collect()))
        }
        (Observation::Known(Some(open)), _) | (_, Observation::Known(Some(open))) if !open.is_empty() => {
            Observation::Known(Some(open))
        }
        (Observation::Unreachable(why), _) | (_, Observation::Unreachable(why)) => Observation::Unreachable(why),
    }
}

async fn access_blocked(client: &Client, bucket: &str) -> Seen<bool> {
    match client.get_public_access_block().bucket(bucket).send().await {
        Ok(answer) => Observation::Known(Some(answer.public_access_block_configuration().is_some_and(|block| {
            let locks = [
                block.block_public_acls(),
                block.ignore_public_acls(),
                block.block_public_policy(),
                block.restrict_public_buckets(),
            ];
            locks.into_iter().all(|lock| lock == Some(true))
        }))),
        Err(error) => without(&error, "s3:GetBucketPublicAccessBlock", ("NoSuchPublicAccessBlockConfiguration", false)),
    }
}

async fn lifecycle(client: &Client, bucket: &str) -> Seen<Vec<LifecycleRule>> {
    match client.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
        Ok(answer) => Observation::Known(Some(answer.rules().iter().filter_map(rule).collect())),
        Err(error) => without(&error, "s3:GetLifecycleConfiguration", ("NoSuchLifecycleConfiguration", Vec::new())),
    }
}

/// Reads a rule; `None` for one that is off, or touches neither current objects nor their class.
fn rule(rule: &Rule) -> Option<LifecycleRule> {
    if rule.status() != &ExpirationStatus::Enabled {
        return None;
    }
    let (filter, both) = (rule.filter(), rule.filter().and_then(|filter| filter.and()));
    let prefix = filter.and_then(|filter| filter.prefix()).or_else(|| both.and_then(|both| both.prefix()));
    #[expect(deprecated, reason = "rules of the old form stand in buckets to this day")]
    let prefix = prefix.or_else(|| rule.prefix()).unwrap_or_default().to_owned();
    let narrowed = filter.is_some_and(|filter| {
        filter.tag().is_some()
            || filter.object_size_greater_than().is_some()
            || filter.object_size_less_than().is_some()
    }) || both.is_some_and(|both| {
        !both.tags().is_empty() || both.object_size_greater_than().is_some() || both.object_size_less_than().is_some()
    });
    let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
    // Taking away delete markers that hide nothing deletes no object.
    let expires = rule.expiration().filter(|expiration| expiration.days().is_some() || expiration.date().is_some());
    let expires = expires.map(|expiration| days(expiration.days()));
    let moves: Vec<(Option<u32>, String)> = rule
        .transitions()
        .iter()
        .filter_map(|step| Some((days(step.days()), step.storage_class()?.as_str().to_ascii_lowercase())))
        .collect();
    let id = rule.id().unwrap_or_default().to_owned();
    (expires.is_some() || !moves.is_empty()).then_some(LifecycleRule { id, prefix, narrowed, expires, moves })
}
