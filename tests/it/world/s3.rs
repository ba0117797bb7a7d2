//! An S3 server for tests, in this process, over HTTP with checked signatures, with pages, conditions, multipart uploads
//! and injectable faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bkup::domain::{StoreSpec, StoreUrl};
use bkup::store::{RetryPolicy, StoreConnection, StoreCredentials};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

use super::gate::Gate;
use super::serving::Serving;

pub use super::rclone::Rclone;

/// The bucket that every test server has.
pub const BUCKET: &str = "bkup-test";
/// The access key that every test server knows.
pub const ACCESS_KEY: &str = "AKIDTEST";
/// Its secret.
pub const SECRET_KEY: &str = "secret-of-the-test-servers";
/// How many keys a page of the server in process holds: small, so that tests see more than one.
pub const PAGE: usize = 100;

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpFault {
    /// Answered with 503 before anything is done.
    Unavailable,
    /// Done, and the connection is cut instead of answered.
    LostReply,
    /// Done, after a while.
    Slow(Duration),
    /// Answered as if the object were empty.
    Emptied,
    /// Answered as if the object were not there.
    Absent,
}

struct Rule {
    method: &'static str,
    containing: &'static str,
    skip: u64,
    times: u64,
    fault: HttpFault,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Upload>,
    begun: u64,
    rules: Vec<Rule>,
    requests: Vec<String>,
    cut_listings: bool,
    ignore_conditions: bool,
    deny: Option<&'static str>,
    settings: BTreeMap<&'static str, (u16, String)>,
    access: BTreeMap<&'static str, Access>,
    gate: Option<Arc<Gate>>,
}

/// What the owner of an access key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Full,
    /// List and get.
    ReadOnly,
    /// Everything but to delete; its own probe aside, as the policies of `init iam` have it.
    NoDelete,
}

impl Access {
    fn allows(self, method: &str, target: &str) -> bool {
        let reads = matches!(method, "GET" | "HEAD");
        let deletes =
            (method == "DELETE" && !target.contains("uploadId=")) || (method == "POST" && target.contains("delete"));
        match self {
            Self::Full => true,
            Self::ReadOnly => reads,
            Self::NoDelete => !deletes || target.contains("/probe/"),
        }
    }
}

/// The access keys of a server whose owners may not do everything; the secret is the same.
pub const READER_KEY: &str = "AKIDREADER";
/// The owner of this one may not delete.
pub const RUNNER_KEY: &str = "AKIDRUNNER";

/// Everything that is in a bucket.
#[derive(Clone, Default, PartialEq)]
pub struct Contents {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Clone, PartialEq)]
struct Stored {
    bytes: Bytes,
    class: Option<String>,
    written: SystemTime,
}

#[derive(Clone, PartialEq)]
struct Upload {
    key: String,
    class: Option<String>,
    begun: SystemTime,
    parts: BTreeMap<i32, Bytes>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

impl Server {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server in this process. It runs on a thread of its own, so programs under test reach it, too.
pub struct S3Server {
    serving: Serving,
    server: Server,
}

impl S3Server {
    /// Starts a server with an empty bucket.
    pub fn start() -> Self {
        let server = Server::default();
        let mut builder = s3s::service::S3ServiceBuilder::new(server.clone());
        let mut known = s3s::auth::SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY);
        for key in [READER_KEY, RUNNER_KEY] {
            known.register(key.to_owned(), SECRET_KEY.to_owned().into());
        }
        builder.set_auth(known);
        server.lock().access = BTreeMap::from([
            (ACCESS_KEY, Access::Full),
            (READER_KEY, Access::ReadOnly),
            (RUNNER_KEY, Access::NoDelete),
        ]);
        let (service, shared) = (builder.build(), server.clone());
        let serving = Serving::http(move |request| answer(service.clone(), shared.clone(), request));
        Self { serving, server }
    }

    /// Returns its endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.serving.address())
    }

    /// Returns a connection to its bucket, below a prefix, that retries quickly.
    pub fn connection(&self, prefix: &str) -> StoreConnection {
        connection(&self.endpoint(), prefix)
    }

    /// Lets `skip` requests with a method and a text in their path or query pass, and makes the next `times` fail.
    pub fn inject(&self, method: &'static str, containing: &'static str, skip: u64, times: u64, fault: HttpFault) {
        self.server.lock().rules.push(Rule { method, containing, skip, times, fault });
    }

    /// Makes listings say that they are cut, and not where to go on.
    pub fn cut_listings(&self) {
        self.server.lock().cut_listings = true;
    }

    /// Makes the server ignore `If-None-Match`.
    pub fn ignore_conditions(&self) {
        self.server.lock().ignore_conditions = true;
    }

    /// Denies every request with a method.
    pub fn deny(&self, method: &'static str) {
        self.server.lock().deny = Some(method);
    }

    /// Answers a question about the bucket, `versioning`, with a status and a document; others are not implemented.
    pub fn set_setting(&self, question: &'static str, status: u16, document: &str) {
        self.server.lock().settings.insert(question, (status, document.to_owned()));
    }

    /// Denies a question about the bucket.
    pub fn deny_setting(&self, question: &'static str) {
        self.set_setting(question, 403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>");
    }

    /// Begins an upload as a program that was killed does, so long ago, with a part of so many bytes.
    pub fn leave_upload(&self, key: &str, age: Duration, size: usize) {
        let mut state = self.server.lock();
        state.begun += 1;
        let id = format!("upload-{}", state.begun);
        let parts = BTreeMap::from([(1, Bytes::from(vec![0; size]))]);
        state.uploads.insert(id, Upload { key: key.to_owned(), class: None, begun: now() - age, parts });
    }

    /// Takes an object away, as people do.
    pub fn remove(&self, key: &str) -> Option<Bytes> {
        self.server.lock().objects.remove(key).map(|object| object.bytes)
    }

    /// Makes an object look so old.
    pub fn age(&self, key: &str, age: Duration) {
        self.server.lock().objects.get_mut(key).expect("an object").written = now() - age;
    }

    /// Returns every key of the bucket.
    pub fn keys(&self) -> Vec<String> {
        self.server.lock().objects.keys().cloned().collect()
    }

    /// Returns an object's bytes.
    pub fn bytes(&self, key: &str) -> Option<Bytes> {
        self.server.lock().objects.get(key).map(|object| object.bytes.clone())
    }

    /// Sets an object's bytes, as damage or another program does.
    pub fn set(&self, key: &str, bytes: Bytes) {
        self.server.lock().objects.insert(key.to_owned(), Stored { bytes, class: None, written: now() });
    }

    /// Returns the storage class an object was written with.
    pub fn class(&self, key: &str) -> Option<String> {
        self.server.lock().objects.get(key).and_then(|object| object.class.clone())
    }

    /// Lets every request that changes something pass a gate.
    pub fn behind(&self, gate: &Arc<Gate>) {
        self.server.lock().gate = Some(Arc::clone(gate));
    }

    /// Returns a copy of everything in the bucket.
    pub fn save(&self) -> Contents {
        let state = self.server.lock();
        Contents { objects: state.objects.clone(), uploads: state.uploads.clone() }
    }

    /// Puts a copy in the place of everything in the bucket.
    pub fn load(&self, contents: &Contents) {
        let mut state = self.server.lock();
        state.objects = contents.objects.clone();
        state.uploads = contents.uploads.clone();
    }

    /// Returns how many uploads are unfinished.
    pub fn unfinished(&self) -> usize {
        self.server.lock().uploads.len()
    }

    /// Returns the requests so far, as `PUT /bucket/key?query`.
    pub fn requests(&self) -> Vec<String> {
        self.server.lock().requests.clone()
    }
}

/// Returns a connection to a test server's bucket.
pub fn connection(endpoint: &str, prefix: &str) -> StoreConnection {
    let mut connection = StoreConnection::new(StoreSpec {
        region: Some("us-east-1".to_owned()),
        path_style: true,
        ..StoreSpec::at(StoreUrl::S3 { bucket: BUCKET.to_owned(), prefix: prefix.to_owned() })
    });
    connection.endpoint = Some(endpoint.to_owned());
    connection.credentials = StoreCredentials::Given {
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.into(),
        session_token: None,
    };
    connection.retry = RetryPolicy { times: 4, first: Duration::from_millis(5), longest: Duration::from_millis(50) };
    connection
}

#[expect(clippy::disallowed_methods, reason = "the server has a clock of its own; the tested code does not see it")]
fn now() -> SystemTime {
    SystemTime::now()
}

async fn answer(
    service: s3s::service::S3Service,
    server: Server,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<s3s::Body>, String> {
    let method = request.method().as_str().to_owned();
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let fault = {
        let mut state = server.lock();
        state.requests.push(format!("{method} {target}"));
        let matches = |rule: &&mut Rule| rule.times > 0 && rule.method == method && target.contains(rule.containing);
        state.rules.iter_mut().find(matches).and_then(|rule| {
            if rule.skip > 0 {
                rule.skip -= 1;
                return None;
            }
            rule.times -= 1;
            Some(rule.fault)
        })
    };
    let error = |status: u16, code: &str| {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
        Ok(hyper::Response::builder().status(status).body(s3s::Body::from(body)).unwrap())
    };
    let signed = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = signed.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default();
    let access = server.lock().access.get(key).copied().unwrap_or(Access::Full);
    if !access.allows(&method, &target) || server.lock().deny == Some(method.as_str()) {
        return error(403, "AccessDenied");
    }
    let asked: Vec<&str> = request.uri().query().into_iter().flat_map(|query| query.split('&')).collect();
    let canned = server.lock().settings.iter().find_map(|(question, answer)| {
        asked.iter().any(|part| part.split('=').next() == Some(question)).then(|| answer.clone())
    });
    if let (Some((status, document)), "GET") = (canned, method.as_str()) {
        let body = s3s::Body::from(format!("<?xml version=\"1.0\"?>{document}"));
        return Ok(hyper::Response::builder().status(status).body(body).unwrap());
    }
    match fault {
        Some(HttpFault::Unavailable) => return error(503, "SlowDown"),
        Some(HttpFault::Absent) => return error(404, "NoSuchKey"),
        Some(HttpFault::Emptied) => return Ok(hyper::Response::new(s3s::Body::empty())),
        Some(HttpFault::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let gate = server.lock().gate.clone().filter(|_| matches!(method.as_str(), "PUT" | "POST" | "DELETE"));
    let passage = match gate {
        None => None,
        Some(gate) => match gate.enter(&format!("{method} {target}")).await {
            None => return Err("the connection breaks off".to_owned()),
            passage => passage,
        },
    };
    let response = hyper::service::Service::call(&service, request).await.map_err(|error| format!("{error:?}"));
    if let Some(passage) = passage
        && passage.leave().await
    {
        return Err("the reply is lost".to_owned());
    }
    let response = response?;
    if fault == Some(HttpFault::LostReply) { Err("the reply is lost".to_owned()) } else { Ok(response) }
}

fn tag(bytes: &[u8]) -> ETag {
    ETag::Strong(bkup::domain::sha256(bytes).to_string()[..32].to_owned())
}

fn crc32c_header(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    aws_smithy_types::base64::encode(sum.to_be_bytes())
}

async fn gather(body: Option<StreamingBlob>, checksum: Option<&String>) -> S3Result<Bytes> {
    let mut all = Vec::new();
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            // The signature of the payload is checked as it streams; a wrong one ends the stream with an error.
            all.extend_from_slice(&piece.map_err(|error| s3_error!(IncompleteBody, "{error}"))?);
        }
    }
    if checksum.is_some_and(|sum| *sum != crc32c_header(&all)) {
        return Err(s3_error!(BadDigest, "the CRC32C does not agree"));
    }
    Ok(Bytes::from(all))
}

fn check_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket, "the bucket does not exist")) }
}

fn class_text(class: Option<StorageClass>) -> Option<String> {
    class.map(|class| class.as_str().to_owned())
}

#[async_trait::async_trait]
impl S3 for Server {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        check_bucket(&req.input.bucket)?;
        let stored = self.lock().objects.get(&req.input.key).cloned().ok_or_else(|| s3_error!(NoSuchKey))?;
        let total = stored.bytes.len() as u64;
        let (bytes, content_range) = match req.input.range {
            None => (stored.bytes.clone(), None),
            Some(range) => {
                let range = range.check(total)?;
                let header = format!("bytes {}-{}/{total}", range.start, range.end - 1);
                (stored.bytes.slice(range.start as usize..range.end as usize), Some(header))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            content_range,
            e_tag: Some(tag(&stored.bytes)),
            last_modified: Some(stored.written.into()),
            body: Some(StreamingBlob::wrap(stream::iter([Ok::<_, std::io::Error>(bytes)]))),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        check_bucket(&req.input.bucket)?;
        let stored = self.lock().objects.get(&req.input.key).cloned().ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.bytes.len() as i64),
            last_modified: Some(stored.written.into()),
            ..Default::default()
        }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let bytes = gather(input.body, input.checksum_crc32c.as_ref()).await?;
        let mut state = self.lock();
        let conditional = input.if_none_match.is_some_and(|condition| condition.is_any()) && !state.ignore_conditions;
        if conditional && state.objects.contains_key(&input.key) {
            return Err(s3_error!(PreconditionFailed));
        }
        let e_tag = Some(tag(&bytes));
        state.objects.insert(input.key, Stored { bytes, class: class_text(input.storage_class), written: now() });
        Ok(S3Response::new(PutObjectOutput { e_tag, ..Default::default() }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        check_bucket(&req.input.bucket)?;
        self.lock().objects.remove(&req.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        check_bucket(&req.input.bucket)?;
        let mut state = self.lock();
        for object in req.input.delete.objects {
            state.objects.remove(&object.key);
        }
        Ok(S3Response::new(DeleteObjectsOutput::default()))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        check_bucket(&req.input.bucket)?;
        let state = self.lock();
        let prefix = req.input.prefix.unwrap_or_default();
        let after = req.input.continuation_token.unwrap_or_default();
        let matching = state.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let mut contents: Vec<Object> = matching
            .take(PAGE + 1)
            .map(|(key, stored)| Object {
                key: Some(key.clone()),
                size: Some(stored.bytes.len() as i64),
                last_modified: Some(stored.written.into()),
                ..Default::default()
            })
            .collect();
        let truncated = contents.len() > PAGE || state.cut_listings;
        contents.truncate(PAGE);
        let next = contents.last().and_then(|last| last.key.clone()).filter(|_| truncated && !state.cut_listings);
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(contents),
            is_truncated: Some(truncated),
            next_continuation_token: next,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        check_bucket(&req.input.bucket)?;
        let mut state = self.lock();
        state.begun += 1;
        let id = format!("upload-{}", state.begun);
        let class = class_text(req.input.storage_class);
        let upload = Upload { key: req.input.key, class, begun: now(), parts: BTreeMap::new() };
        state.uploads.insert(id.clone(), upload);
        Ok(S3Response::new(CreateMultipartUploadOutput { upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let bytes = gather(input.body, input.checksum_crc32c.as_ref()).await?;
        let e_tag = Some(tag(&bytes));
        let mut state = self.lock();
        let upload = state.uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, bytes);
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let mut state = self.lock();
        let upload = state.uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let named = input.multipart_upload.and_then(|parts| parts.parts).unwrap_or_default();
        let mut whole = Vec::new();
        for (index, part) in named.iter().enumerate() {
            let bytes = upload.parts.get(&part.part_number.unwrap_or(0)).ok_or_else(|| s3_error!(InvalidPart))?;
            if part.e_tag != Some(tag(bytes)) {
                return Err(s3_error!(InvalidPart));
            }
            if bytes.len() < 5 * 1024 * 1024 && index + 1 < named.len() {
                return Err(s3_error!(EntityTooSmall));
            }
            whole.extend_from_slice(bytes);
        }
        let stored = Stored { bytes: whole.into(), class: upload.class.clone(), written: now() };
        let key = upload.key.clone();
        state.uploads.remove(&input.upload_id);
        state.objects.insert(key, stored);
        Ok(S3Response::new(CompleteMultipartUploadOutput::default()))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        check_bucket(&req.input.bucket)?;
        self.lock().uploads.remove(&req.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        check_bucket(&req.input.bucket)?;
        let state = self.lock();
        let upload = state.uploads.get(&req.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let part = |(number, bytes): (&i32, &Bytes)| Part {
            part_number: Some(*number),
            size: Some(bytes.len() as i64),
            ..Default::default()
        };
        let parts = Some(upload.parts.iter().map(part).collect());
        Ok(S3Response::new(ListPartsOutput { parts, is_truncated: Some(false), ..Default::default() }))
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        check_bucket(&req.input.bucket)?;
        let prefix = req.input.prefix.unwrap_or_default();
        let state = self.lock();
        let matching = state.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
        let uploads = matching
            .map(|(id, upload)| MultipartUpload {
                key: Some(upload.key.clone()),
                upload_id: Some(id.clone()),
                initiated: Some(upload.begun.into()),
                ..Default::default()
            })
            .collect();
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads),
            is_truncated: Some(false),
            ..Default::default()
        }))
    }
}
