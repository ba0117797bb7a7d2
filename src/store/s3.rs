//! S3 and its like as a store: requests and answers, nothing else. Retries, streaming and conditions are elsewhere.
//!
//! Every body is a buffer in memory whose SHA-256 is signed, so the server refuses what was damaged on the way; the
//! SDK's own checksums are off, since servers other than AWS's choke on their trailers. The SDK's own retries are off
//! too: they would be neither counted nor bounded with ours.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, Intercept, Region, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, StorageClass};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use secrecy::ExposeSecret;

use super::layout::check_key;
use super::probe::crc32c;
use super::s3_error::{Answer, Asked};
use super::s3_versions::Versions;
use super::{
    Capabilities, ListPage, ObjectFacts, ObjectVersion, PartTag, PutOptions, PutOutcome, ReadStore, ServerClock,
    StorageRole, StoreConnection, StoreCredentials, StoreError, UnfinishedUpload, UploadId, VersionPage, VersionsFrom,
    WriteStore,
};
use crate::domain::{Digest, Instant, StoreSettings, StoreUrl};

/// The region of a custom endpoint whose policy names none; such servers mostly ignore it.
const ANY_REGION: &str = "us-east-1";
/// The most keys that one request deletes.
const DELETE_BATCH: usize = 1000;

/// A bucket, from a prefix on.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    place: String,
    storage_class: Option<StorageClass>,
    known: Option<Capabilities>,
    clock: Arc<Mutex<Option<ServerClock>>>,
}

/// Reads the `Date` of every answer.
#[derive(Debug)]
struct ClockReader(Arc<Mutex<Option<ServerClock>>>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for ClockReader {
    fn name(&self) -> &'static str {
        "ClockReader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date")
            && let Ok(said) = jiff::fmt::rfc2822::parse(date)
        {
            let clock = ServerClock { said: said.timestamp(), heard: std::time::Instant::now() };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock);
        }
        Ok(())
    }
}

/// Signs the body by a digest that was taken before.
#[derive(Debug)]
struct SignedAs(Digest);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for SignedAs {
    fn name(&self) -> &'static str {
        "SignedAs"
    }

    fn read_before_signing(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let _none_before =
            config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.to_string()));
        Ok(())
    }
}

impl S3Store {
    /// Sets the connection up; nothing is asked of the server yet.
    ///
    /// # Errors
    /// When the connection is not for S3.
    pub async fn connect(connection: StoreConnection) -> Result<Self, StoreError> {
        let place = connection.spec.url.to_string();
        let StoreUrl::S3 { bucket, prefix } = connection.spec.url else {
            return Err(StoreError::NoStore { place, what: "it is no S3 store".to_owned() });
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(60))
            .operation_attempt_timeout(Duration::from_secs(600))
            .build();
        let clock = Arc::new(Mutex::new(None));
        let region = connection.spec.region.map(Region::new);
        let mut config = match connection.credentials {
            StoreCredentials::Chain => {
                let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
                if let Some(region) = region.clone() {
                    loader = loader.region(region);
                }
                aws_sdk_s3::config::Builder::from(&loader.load().await)
            }
            StoreCredentials::Given { access_key_id, secret_access_key, session_token } => aws_sdk_s3::Config::builder(
            )
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(Credentials::new(
                access_key_id,
                secret_access_key.expose_secret(),
                session_token.map(|token| token.expose_secret().to_owned()),
                None,
                "given",
            )),
        };
        if let Some(region) = region {
            config = config.region(region);
        }
        if let Some(endpoint) = connection.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let config = config
            .force_path_style(connection.spec.path_style)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .interceptor(ClockReader(Arc::clone(&clock)))
            .build();
        let client = if config.region().is_none() {
            Client::from_conf(config.to_builder().region(Region::from_static(ANY_REGION)).build())
        } else {
            Client::from_conf(config)
        };
        Ok(Self {
            client,
            bucket,
            prefix: if prefix.is_empty() { prefix } else { format!("{prefix}/") },
            place,
            storage_class: connection
                .spec
                .storage_class
                .map(|class| StorageClass::from(class.to_ascii_uppercase().as_str())),
            known: connection.capabilities,
            clock,
        })
    }

    fn full(&self, key: &str) -> Result<String, StoreError> {
        check_key(key)?;
        Ok(format!("{}{key}", self.prefix))
    }

    fn asked<'a>(&'a self, action: &'static str, key: &'a str) -> Asked<'a> {
        Asked { place: &self.place, bucket: &self.bucket, action, key }
    }

    fn invalid(&self, key: &str, what: impl Into<String>) -> StoreError {
        StoreError::Invalid { place: self.place.clone(), key: key.to_owned(), what: what.into() }
    }

    fn versions(&self) -> Versions<'_> {
        Versions { client: &self.client, bucket: &self.bucket, place: &self.place, own: &self.prefix }
    }

    fn class_of(&self, role: StorageRole) -> Option<StorageClass> {
        self.storage_class.clone().filter(|_| role == StorageRole::Data)
    }

    /// Returns the checksum to send with a body, in the header's form.
    fn checksum(&self, given: Option<u32>, body: &[u8]) -> Option<String> {
        let known = self.known.is_some_and(|known| known.crc32c);
        given.or_else(|| known.then(|| crc32c(body))).map(header_checksum)
    }

    async fn collect(
        &self,
        key: &str,
        body: aws_sdk_s3::primitives::ByteStream,
        cap: u64,
        mut bytes: Vec<u8>,
    ) -> Result<Bytes, StoreError> {
        let mut body = body;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| StoreError::Busy {
                place: self.place.clone(),
                action: format!("read {key} to its end"),
                detail: error.to_string(),
            })?;
            if bytes.len() as u64 + piece.len() as u64 > cap {
                return Err(StoreError::TooLarge { place: self.place.clone(), key: key.to_owned(), cap });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Bytes::from(bytes))
    }

    /// Reads a range of an object, or of a version of it.
    async fn ranged(&self, key: &str, version: Option<&str>, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        let size = range.end - range.start;
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(key)?);
        let request = request.range(format!("bytes={}-{}", range.start, range.end - 1));
        let request = request.set_version_id(version.map(str::to_owned));
        let object = request.send().await.map_err(|error| {
            let status = error.raw_response().map(|response| response.status().as_u16());
            if status == Some(416) {
                self.invalid(key, format!("it ends before byte {}", range.start))
            } else {
                self.asked("read", key).failed(error)
            }
        })?;
        // A server that ignores ranges would hand out the object's beginning as every part of it.
        let begins = format!("bytes {}-", range.start);
        if !object.content_range().is_some_and(|header| header.starts_with(&begins)) {
            return Err(self.invalid(key, "the server does not serve ranges"));
        }
        let total = object.content_range().and_then(|header| header.rsplit('/').next()?.parse::<u64>().ok());
        if let Some(total) = total.filter(|total| *total < range.end) {
            return Err(self.invalid(key, format!("it ends at byte {total}, before byte {}", range.end)));
        }
        let room = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let bytes = self.collect(key, object.body, size, room).await?;
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            let (place, action) = (self.place.clone(), format!("read {key}"));
            Err(StoreError::Busy { place, action, detail: format!("{} of {size} bytes arrived", bytes.len()) })
        }
    }
}

/// CRC32C as the header wants it: big-endian, base64.
fn header_checksum(sum: u32) -> String {
    aws_smithy_types::base64::encode(sum.to_be_bytes())
}

/// Finds the id of an upload in an answer that says it worked but names its root element otherwise than AWS does, as
/// rclone's does; the SDK refuses such answers.
fn upload_id_of(response: &HttpResponse) -> Option<UploadId> {
    if !response.status().is_success() {
        return None;
    }
    let text = std::str::from_utf8(response.body().bytes()?).ok()?;
    let (id, _) = text.split_once("<UploadId>")?.1.split_once("</UploadId>")?;
    (!id.is_empty() && !id.contains(['&', '<'])).then(|| UploadId(id.to_owned()))
}

pub(super) fn instant(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Option<Instant> {
    Instant::new(time?.secs(), 0).ok()
}

pub(super) fn size_of(size: Option<i64>) -> u64 {
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

#[async_trait]
impl ReadStore for S3Store {
    fn place(&self) -> &str {
        &self.place
    }

    async fn get(&self, key: &str, cap: u64) -> Result<Bytes, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.full(key)?);
        let object = request.send().await.map_err(|error| self.asked("read", key).failed(error))?;
        let expected = object.content_length();
        let bytes = self.collect(key, object.body, cap, Vec::new()).await?;
        if expected.is_some_and(|size| size_of(Some(size)) != bytes.len() as u64) {
            return Err(StoreError::Busy {
                place: self.place.clone(),
                action: format!("read {key} to its end"),
                detail: format!("{} bytes arrived", bytes.len()),
            });
        }
        Ok(bytes)
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.ranged(key, None, range).await
    }

    async fn head(&self, key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.full(key)?);
        match request.send().await {
            Ok(object) => Ok(Some(ObjectFacts {
                key: key.to_owned(),
                size: size_of(object.content_length()),
                modified: instant(object.last_modified()),
            })),
            Err(error) => match self.asked("look at", key).failed(error) {
                StoreError::NotFound { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn list_page(&self, prefix: &str, from: Option<&str>) -> Result<ListPage, StoreError> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(format!("{}{prefix}", self.prefix))
            .set_continuation_token(from.map(str::to_owned));
        let page = request.send().await.map_err(|error| self.asked("list", prefix).failed(error))?;
        let next = page.next_continuation_token().map(str::to_owned);
        if page.is_truncated() == Some(true) && next.is_none() {
            return Err(self.invalid(prefix, "the server cut the listing and does not say where to go on"));
        }
        let mut objects = Vec::with_capacity(page.contents().len());
        for object in page.contents() {
            let key = object.key().and_then(|key| key.strip_prefix(&self.prefix));
            let Some(key) = key else {
                return Err(self.invalid(prefix, "the server listed an object outside the prefix"));
            };
            objects.push(ObjectFacts {
                key: key.to_owned(),
                size: size_of(object.size()),
                modified: instant(object.last_modified()),
            });
        }
        Ok(ListPage { objects, next: next.filter(|_| page.is_truncated() != Some(false)), ..ListPage::default() })
    }

    fn server_clock(&self) -> Option<ServerClock> {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn uploads(&self, _listed: &[&str]) -> Result<Option<Vec<UnfinishedUpload>>, StoreError> {
        match WriteStore::unfinished_uploads(self, "").await {
            Ok(uploads) => Ok(Some(uploads)),
            Err(StoreError::Refused { .. } | StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn upload_size(&self, key: &str, upload: &UploadId) -> Result<Option<u64>, StoreError> {
        let request = self.client.list_parts().bucket(&self.bucket).key(self.full(key)?).upload_id(&upload.0);
        let page = request.send().await.map_err(|error| self.asked("look at the upload of", key).failed(error))?;
        // Of an upload with more parts than a page holds, the size is not worth more requests.
        let whole = page.is_truncated() != Some(true);
        Ok(whole.then(|| page.parts().iter().map(|part| size_of(part.size())).sum()))
    }

    async fn settings(&self) -> StoreSettings {
        StoreSettings::Bucket(Box::new(super::s3_settings::read(&self.client, &self.bucket).await))
    }

    async fn versions_page(
        &self,
        prefix: &str,
        from: Option<&VersionsFrom>,
    ) -> Result<Option<VersionPage>, StoreError> {
        self.versions().page(prefix, from).await
    }

    async fn get_version(&self, version: &ObjectVersion, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.ranged(&version.key, Some(&version.version), range).await
    }
}

#[async_trait]
impl WriteStore for S3Store {
    fn capabilities(&self) -> Option<Capabilities> {
        self.known
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<PutOutcome, StoreError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full(key)?)
            .set_if_none_match(options.if_absent.then(|| "*".to_owned()))
            .set_checksum_crc32_c(self.checksum(options.crc32c, &body))
            .set_storage_class(self.class_of(options.role))
            .body(body.into());
        let sent = match options.sha256 {
            Some(sha256) => request.customize().interceptor(SignedAs(sha256)).send().await,
            None => request.send().await,
        };
        match sent {
            Ok(_) => Ok(PutOutcome::Created),
            Err(error) => match self.asked("write", key).answer(error) {
                Answer::Exists if options.if_absent => Ok(PutOutcome::Exists),
                Answer::Exists => Err(self.invalid(key, "the server refused a write without a condition as taken")),
                Answer::Failed(error) => Err(error),
            },
        }
    }

    async fn begin_upload(&self, key: &str, role: StorageRole) -> Result<UploadId, StoreError> {
        let algorithm = self.known.is_some_and(|known| known.crc32c);
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(key)?)
            .set_storage_class(self.class_of(role))
            .set_checksum_algorithm(algorithm.then_some(aws_sdk_s3::types::ChecksumAlgorithm::Crc32C));
        match request.send().await {
            Ok(upload) => upload.upload_id().map(|id| UploadId(id.to_owned())),
            Err(error) => match error.raw_response().and_then(upload_id_of) {
                Some(id) => Some(id),
                None => return Err(self.asked("begin an upload of", key).failed(error)),
            },
        }
        .ok_or_else(|| self.invalid(key, "the server gave no upload id"))
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        _offset: u64,
        body: Bytes,
    ) -> Result<PartTag, StoreError> {
        let sum = self.known.is_some_and(|known| known.crc32c).then(|| crc32c(&body));
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(self.full(key)?)
            .upload_id(&upload.0)
            .part_number(i32::try_from(number).unwrap_or(i32::MAX))
            .set_checksum_crc32_c(sum.map(header_checksum))
            .body(body.into());
        let part = request.send().await.map_err(|error| self.asked("write a part of", key).failed(error))?;
        let tag = part.e_tag().ok_or_else(|| self.invalid(key, "the server gave no entity tag for a part"))?;
        Ok(PartTag { number, tag: tag.to_owned(), crc32c: sum })
    }

    async fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[PartTag],
        _size: u64,
    ) -> Result<(), StoreError> {
        let part = |part: &PartTag| {
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .e_tag(&part.tag)
                .set_checksum_crc32_c(part.crc32c.map(header_checksum))
                .build()
        };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full(key)?)
            .upload_id(&upload.0)
            .multipart_upload(parts);
        request.send().await.map_err(|error| self.asked("complete the upload of", key).failed(error))?;
        Ok(())
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<(), StoreError> {
        let request =
            self.client.abort_multipart_upload().bucket(&self.bucket).key(self.full(key)?).upload_id(&upload.0);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.asked("abort the upload of", key).failed(error) {
                StoreError::NoUpload { .. } | StoreError::NotFound { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn unfinished_uploads(&self, prefix: &str) -> Result<Vec<UnfinishedUpload>, StoreError> {
        let mut uploads = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let request = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(format!("{}{prefix}", self.prefix))
                .set_key_marker(key_marker.take())
                .set_upload_id_marker(id_marker.take());
            let page =
                request.send().await.map_err(|error| self.asked("list the uploads below", prefix).failed(error))?;
            for upload in page.uploads() {
                let key = upload.key().and_then(|key| key.strip_prefix(&self.prefix));
                // Some servers ignore the prefix; another store's upload must not be taken for ours.
                if let (Some(key), Some(id)) = (key.filter(|key| key.starts_with(prefix)), upload.upload_id()) {
                    uploads.push(UnfinishedUpload {
                        key: key.to_owned(),
                        upload: UploadId(id.to_owned()),
                        begun: instant(upload.initiated()),
                    });
                }
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                return Ok(uploads);
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            id_marker = page.next_upload_id_marker().map(str::to_owned);
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.full(key)?);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.asked("delete", key).failed(error) {
                StoreError::NotFound { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn delete_versions(
        &self,
        versions: &[ObjectVersion],
    ) -> Result<Vec<(ObjectVersion, StoreError)>, StoreError> {
        self.versions().delete(versions).await
    }

    async fn delete_many(&self, keys: &[String]) -> Result<Vec<(String, StoreError)>, StoreError> {
        let mut left = Vec::new();
        for batch in keys.chunks(DELETE_BATCH) {
            let mut delete = Delete::builder().quiet(true);
            for key in batch {
                let object = ObjectIdentifier::builder().key(self.full(key)?).build();
                delete = delete.objects(object.map_err(|error| self.invalid(key, error.to_string()))?);
            }
            let delete = delete.build().map_err(|error| self.invalid("", error.to_string()))?;
            let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
            let done = request.send().await.map_err(|error| self.asked("delete", "").failed(error))?;
            for error in done.errors() {
                let full = error.key().unwrap_or_default();
                let key = full.strip_prefix(&self.prefix).unwrap_or(full).to_owned();
                match self.asked("delete", &key).of_one(error) {
                    StoreError::NotFound { .. } => {}
                    error => left.push((key, error)),
                }
            }
        }
        Ok(left)
    }
}
