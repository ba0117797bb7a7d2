//! A way to an S3 server on which requests are looked at: who may do what, by a policy as AWS reads it, and what goes
//! wrong.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::Body;
use serde_json::Value;

use super::serving::Serving;

/// What goes wrong with some requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Answered with 503 before anything is done.
    Unavailable,
    /// Answered as served, with an error for each object that was to be deleted; nothing is done.
    EachFails,
}

#[derive(Default)]
struct State {
    requests: Vec<String>,
    policy: Option<Value>,
    trouble: Option<(&'static str, Trouble, u64)>,
    met: u64,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<State>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way, closed with the value.
pub struct Toll {
    serving: Serving,
    shared: Shared,
}

impl Toll {
    /// Opens one before a server.
    pub fn before(server: SocketAddr) -> Self {
        let shared = Shared::default();
        let state = shared.clone();
        let serving = Serving::http(move |request| pass(state.clone(), server, request));
        Self { serving, shared }
    }

    /// Returns its endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.serving.address())
    }

    /// Lets pass from now on what a policy allows; everything where there is none.
    pub fn only(&self, policy: Option<Value>) {
        self.shared.lock().policy = policy;
    }

    /// From now on lets one of so many requests pass that have a text in their query; 0: all of them.
    pub fn storm(&self, containing: &'static str, trouble: Trouble, one_of: u64) {
        let mut state = self.shared.lock();
        state.trouble = (one_of > 0).then_some((containing, trouble, one_of));
        state.met = 0;
    }

    /// Returns how many requests had a text in their method, path or query, and forgets them all.
    pub fn count(&self, containing: &str) -> usize {
        let requests = std::mem::take(&mut self.shared.lock().requests);
        requests.iter().filter(|request| request.contains(containing)).count()
    }
}

type Answer = Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>>;

async fn pass(shared: Shared, server: SocketAddr, request: Request<hyper::body::Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = Body::from(body).store_all_limited(64 * 1024 * 1024).await?;
    let asked = Asked::of(&head, &body);
    let (denied, trouble) = {
        let mut state = shared.lock();
        state.requests.push(format!("{} {}", head.method, head.uri));
        let query = head.uri.query().unwrap_or_default();
        let trouble = state.trouble.filter(|(containing, ..)| query.contains(containing));
        state.met += u64::from(trouble.is_some());
        let trouble = trouble.filter(|(.., one_of)| !state.met.is_multiple_of(*one_of)).map(|(_, trouble, _)| trouble);
        (state.policy.as_ref().is_some_and(|policy| !asked.is_allowed(policy)), trouble)
    };
    match (denied, trouble) {
        (true, _) if asked.objects.is_empty() => return Ok(error(403, "AccessDenied")),
        (true, _) => return Ok(asked.each("AccessDenied")),
        (false, Some(Trouble::Unavailable)) => return Ok(error(503, "SlowDown")),
        (false, Some(Trouble::EachFails)) => return Ok(asked.each("InternalError")),
        (false, None) => {}
    }
    let socket = tokio::net::TcpStream::connect(server).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(Request::from_parts(head, Body::from(body))).await?.into_parts();
    let body = Body::from(body).store_all_limited(64 * 1024 * 1024).await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

fn error(status: u16, code: &str) -> Response<Body> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>not today</Message></Error>");
    Response::builder().status(status).body(Body::from(body)).unwrap()
}

/// What a request takes.
struct Asked {
    action: &'static str,
    resource: String,
    prefix: String,
    is_conditional: bool,
    /// Key and version of each object that one request deletes, as its document has them.
    objects: Vec<(String, Option<String>)>,
}

impl Asked {
    fn of(head: &hyper::http::request::Parts, body: &Bytes) -> Self {
        let query: Vec<(&str, &str)> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .collect();
        let has = |name: &str| query.iter().any(|(key, _)| *key == name);
        let path = decoded(head.uri.path().trim_start_matches('/'));
        let objects = if head.method == Method::POST && has("delete") { objects(body) } else { Vec::new() };
        let is_object = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
        let action = match (&head.method, is_object) {
            (&Method::POST, false) if objects.iter().any(|(_, version)| version.is_some()) => "s3:DeleteObjectVersion",
            (&Method::POST, false) => "s3:DeleteObject",
            (_, false) if has("versions") => "s3:ListBucketVersions",
            (_, false) if has("uploads") => "s3:ListBucketMultipartUploads",
            (_, false) if has("versioning") => "s3:GetBucketVersioning",
            (&Method::GET | &Method::HEAD, false) if has("list-type") || head.uri.query().is_none() => "s3:ListBucket",
            (_, false) => "s3:Other",
            (&Method::GET, true) if has("uploadId") => "s3:ListMultipartUploadParts",
            (&Method::GET | &Method::HEAD, true) => "s3:GetObject",
            (&Method::DELETE, true) if has("uploadId") => "s3:AbortMultipartUpload",
            (&Method::DELETE, true) if has("versionId") => "s3:DeleteObjectVersion",
            (&Method::DELETE, true) => "s3:DeleteObject",
            (_, true) => "s3:PutObject",
        };
        let prefix = query.iter().find(|(key, _)| *key == "prefix").map_or("", |(_, value)| value);
        Self {
            action,
            resource: path.trim_end_matches('/').to_owned(),
            prefix: decoded(prefix),
            is_conditional: head.headers.contains_key("if-none-match"),
            objects,
        }
    }

    fn is_allowed(&self, policy: &Value) -> bool {
        let bucket = self.resource.as_str();
        let all: Vec<String> = if self.objects.is_empty() {
            vec![bucket.to_owned()]
        } else {
            self.objects.iter().map(|(key, _)| format!("{bucket}/{key}")).collect()
        };
        let statements = policy["Statement"].as_array().unwrap();
        all.iter().all(|resource| statements.iter().any(|statement| self.grants(statement, resource)))
    }

    fn grants(&self, statement: &Value, resource: &str) -> bool {
        let condition = &statement["Condition"];
        let prefixes = words(&condition["StringLike"]["s3:prefix"]);
        statement["Effect"] == "Allow"
            && words(&statement["Action"]).contains(&self.action)
            && words(&statement["Resource"]).iter().any(|pattern| is_like(pattern, &format!("arn:aws:s3:::{resource}")))
            && (prefixes.is_empty() || prefixes.iter().any(|pattern| is_like(pattern, &self.prefix)))
            && (condition["Null"]["s3:if-none-match"] != "false" || self.is_conditional)
    }

    /// The answer to a deletion of many, each of which failed.
    fn each(&self, code: &str) -> Response<Body> {
        let mut body = "<?xml version=\"1.0\"?><DeleteResult>".to_owned();
        for (key, version) in &self.objects {
            let version = version.as_ref().map_or(String::new(), |version| format!("<VersionId>{version}</VersionId>"));
            body.push_str(&format!(
                "<Error><Key>{key}</Key>{version}<Code>{code}</Code><Message>not this one</Message></Error>"
            ));
        }
        Response::new(Body::from(body + "</DeleteResult>"))
    }
}

fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((begin, rest)) => text.strip_prefix(begin).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| is_like(rest, &text[at..]))
        }),
    }
}

fn objects(body: &Bytes) -> Vec<(String, Option<String>)> {
    let text = std::str::from_utf8(body).unwrap();
    let inner = |of: &str, name: &str| {
        let (_, rest) = of.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner.to_owned())
    };
    text.split("<Object>").skip(1).map(|object| (inner(object, "Key").unwrap(), inner(object, "VersionId"))).collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| char::from(byte.unwrap()).to_digit(16).unwrap() as u8;
        out.push(if byte == b'%' { hex(bytes.next()) * 16 + hex(bytes.next()) } else { byte });
    }
    String::from_utf8(out).unwrap()
}
