//! Versions of objects in S3: one page of a listing, one deletion.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::s3::{instant, size_of};
use super::s3_error::Asked;
use super::{ObjectVersion, StoreError, VersionPage, VersionsFrom, s3_settings};
use crate::domain::{BucketVersioning, Observation};

/// A bucket as it is asked of its versions. `own` is the store's own prefix, which keys leave out.
pub(super) struct Versions<'a> {
    pub(super) client: &'a Client,
    pub(super) bucket: &'a str,
    pub(super) place: &'a str,
    pub(super) own: &'a str,
}

impl Versions<'_> {
    fn asked<'a>(&'a self, action: &'static str, key: &'a str) -> Asked<'a> {
        Asked { place: self.place, bucket: self.bucket, action, key }
    }

    fn invalid(&self, key: &str, what: impl Into<String>) -> StoreError {
        StoreError::Invalid { place: self.place.to_owned(), key: key.to_owned(), what: what.into() }
    }

    /// Lists a page. `None` where the server does not know the question, and does not say that it keeps versions.
    ///
    /// # Errors
    /// When the server denies it or cannot be reached, or cuts its listing short.
    pub(super) async fn page(
        &self,
        prefix: &str,
        from: Option<&VersionsFrom>,
    ) -> Result<Option<VersionPage>, StoreError> {
        let full = format!("{}{prefix}", self.own);
        let request = self
            .client
            .list_object_versions()
            .bucket(self.bucket)
            .prefix(&full)
            .set_key_marker(from.map(|from| format!("{}{}", self.own, from.key)))
            .set_version_id_marker(from.and_then(|from| from.version.clone()));
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) => return self.without(prefix, error).await,
        };
        // Some servers ignore the prefix; another tenant's versions must not be taken for these.
        let below =
            |key: Option<&str>| key.filter(|key| key.starts_with(&full))?.strip_prefix(self.own).map(str::to_owned);
        let versions = page.versions().iter().filter_map(|one| {
            Some(ObjectVersion {
                key: below(one.key())?,
                version: one.version_id()?.to_owned(),
                size: Some(size_of(one.size())),
                modified: instant(one.last_modified()),
                tag: one.e_tag().map(str::to_owned),
                latest: one.is_latest() == Some(true),
            })
        });
        let marks = page.delete_markers().iter().filter_map(|one| {
            Some(ObjectVersion {
                key: below(one.key())?,
                version: one.version_id()?.to_owned(),
                size: None,
                modified: instant(one.last_modified()),
                tag: None,
                latest: one.is_latest() == Some(true),
            })
        });
        let versions = versions.chain(marks).collect();
        if page.is_truncated() != Some(true) {
            return Ok(Some(VersionPage { versions, next: None }));
        }
        let next = page
            .next_key_marker()
            .and_then(|key| key.strip_prefix(self.own))
            .map(|key| VersionsFrom { key: key.to_owned(), version: page.next_version_id_marker().map(str::to_owned) });
        if next.is_none() {
            return Err(self.invalid(prefix, "the server cut the listing of versions and does not say where to go on"));
        }
        Ok(Some(VersionPage { versions, next }))
    }

    /// Tells a server that has no versions from one that has and does not show them.
    async fn without<E>(
        &self,
        prefix: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Result<Option<VersionPage>, StoreError>
    where
        E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let is_other_answer = is_plain_listing(&error);
        let failure = self.asked("list the versions below", prefix).failed(error);
        let is_denied = matches!(failure, StoreError::Denied { .. });
        let is_no_answer = matches!(failure, StoreError::Refused { .. } | StoreError::NotFound { .. });
        if !is_other_answer && !is_denied && !is_no_answer {
            return Err(failure);
        }
        match s3_settings::versioning(self.client, self.bucket).await {
            Observation::Known(Some(BucketVersioning::Off)) => Ok(Some(VersionPage::default())),
            Observation::Known(Some(_)) => Err(failure),
            _ if is_denied => Err(failure),
            _ => Ok(None),
        }
    }

    /// Deletes versions in one request.
    ///
    /// # Errors
    /// When the server refuses the request as a whole, or cannot be reached.
    pub(super) async fn delete(
        &self,
        versions: &[ObjectVersion],
    ) -> Result<Vec<(ObjectVersion, StoreError)>, StoreError> {
        let mut delete = Delete::builder().quiet(true);
        for one in versions {
            let full = format!("{}{}", self.own, one.key);
            let object = ObjectIdentifier::builder().key(full).version_id(&one.version).build();
            delete = delete.objects(object.map_err(|error| self.invalid(&one.key, error.to_string()))?);
        }
        let first = versions.first().map_or("", |one| one.key.as_str());
        let delete = delete.build().map_err(|error| self.invalid(first, error.to_string()))?;
        let answer = self.client.delete_objects().bucket(self.bucket).delete(delete).send().await;
        let answer =
            answer.map_err(|error| self.asked("delete versions, the first of them of", first).failed(error))?;
        let mut left: Vec<(ObjectVersion, StoreError)> = Vec::new();
        for error in answer.errors() {
            let full = error.key().unwrap_or_default();
            let key = full.strip_prefix(self.own).unwrap_or(full);
            let failure = self.asked("delete a version of", key).of_one(error);
            if matches!(failure, StoreError::NotFound { .. }) {
                continue;
            }
            // Where a server does not say which version it is, it may be any of the key's.
            let is_it = |one: &&ObjectVersion| {
                one.key == key && error.version_id().is_none_or(|version| version.is_empty() || one.version == version)
            };
            let meant: Vec<&ObjectVersion> = versions.iter().filter(is_it).collect();
            if meant.is_empty() {
                return Err(failure);
            }
            for one in meant {
                if !left.iter().any(|(known, _)| known == one) {
                    left.push((one.clone(), failure.clone()));
                }
            }
        }
        Ok(left)
    }
}

/// Whether a server that does not know the question answered the one it knows, and listed the bucket.
fn is_plain_listing<E>(error: &SdkError<E, HttpResponse>) -> bool {
    let bytes = error.raw_response().and_then(|response| response.body().bytes()).unwrap_or_default();
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("<ListBucketResult"))
}
