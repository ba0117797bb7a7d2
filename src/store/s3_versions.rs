//! Old versions of objects in S3: where a bucket keeps them, a deletion only hides the object, and a key that is to be
//! destroyed has to go version by version.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::s3_error::Asked;
use super::{StoreError, VersionsGone};

/// The most versions that one request deletes.
const BATCH: usize = 1000;

/// Deletes every version below a key prefix of a bucket. `own` is the store's own prefix, which keys in errors leave out.
/// `None` where the server does not list versions, or does not let this user see them.
///
/// # Errors
/// When the server cannot be reached, or cuts its listing short.
pub(super) async fn delete(
    client: &Client,
    bucket: &str,
    place: &str,
    own: &str,
    prefix: &str,
) -> Result<Option<VersionsGone>, StoreError> {
    let full = format!("{own}{prefix}");
    let asked = |action| Asked { place, bucket, action, key: prefix };
    let mut done = VersionsGone::default();
    let (mut key_marker, mut version_marker) = (None, None);
    loop {
        let request = client
            .list_object_versions()
            .bucket(bucket)
            .prefix(&full)
            .set_key_marker(key_marker.take())
            .set_version_id_marker(version_marker.take());
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) if is_plain_listing(&error) => return Ok(None),
            Err(error) => match asked("list the versions below").failed(error) {
                StoreError::Refused { .. } | StoreError::NotFound { .. } | StoreError::Denied { .. } => {
                    return Ok(None);
                }
                error => return Err(error),
            },
        };
        let versions = page.versions().iter().filter_map(|one| Some((one.key()?, one.version_id()?)));
        let marks = page.delete_markers().iter().filter_map(|one| Some((one.key()?, one.version_id()?)));
        // Some servers ignore the prefix; another tenant's versions must not be taken for these.
        let all: Vec<(&str, &str)> = versions.chain(marks).filter(|(key, _)| key.starts_with(&full)).collect();
        for batch in all.chunks(BATCH) {
            let mut delete = Delete::builder().quiet(true);
            for (key, version) in batch {
                let object = ObjectIdentifier::builder().key(*key).version_id(*version).build();
                let invalid =
                    |what: String| StoreError::Invalid { place: place.to_owned(), key: (*key).to_owned(), what };
                delete = delete.objects(object.map_err(|error| invalid(error.to_string()))?);
            }
            let invalid = |what: String| StoreError::Invalid { place: place.to_owned(), key: prefix.to_owned(), what };
            let delete = delete.build().map_err(|error| invalid(error.to_string()))?;
            let answer = client.delete_objects().bucket(bucket).delete(delete).send().await;
            let answer = answer.map_err(|error| asked("delete the versions below").failed(error))?;
            let before = done.left.len();
            for error in answer.errors() {
                let full = error.key().unwrap_or_default();
                let key = full.strip_prefix(own).unwrap_or(full).to_owned();
                let code = error.code().unwrap_or_default();
                let detail = format!("{code}: {}", error.message().unwrap_or_default());
                match (Asked { place, bucket, action: "delete a version of", key: &key }).by_code(code, 200, detail) {
                    StoreError::NotFound { .. } => {}
                    error => done.left.push((key, error)),
                }
            }
            done.gone += (batch.len() - (done.left.len() - before).min(batch.len())) as u64;
        }
        if page.is_truncated() != Some(true) {
            return Ok(Some(done));
        }
        key_marker = page.next_key_marker().map(str::to_owned);
        version_marker = page.next_version_id_marker().map(str::to_owned);
        if key_marker.is_none() {
            let what = "the server cut the listing of versions and does not say where to go on".to_owned();
            return Err(StoreError::Invalid { place: place.to_owned(), key: prefix.to_owned(), what });
        }
    }
}

/// Whether a server that does not know the question answered the one it knows, and listed the bucket.
fn is_plain_listing<E>(error: &SdkError<E, HttpResponse>) -> bool {
    let bytes = error.raw_response().and_then(|response| response.body().bytes()).unwrap_or_default();
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("<ListBucketResult"))
}
