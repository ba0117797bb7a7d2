//! A GitHub in this process, as far as comments go: over HTTP, with pages, tokens that may not write, and answers that fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::serving::Serving;

/// The repository that it has.
pub const REPOSITORY: &str = "acme/backups";
/// The token that it knows.
pub const TOKEN: &str = "ghs_canary_of_a_token";
/// Who that token writes as.
pub const BOT: &str = "github-actions[bot]";

/// One comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    pub author: String,
    pub body: String,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This status, and nothing is done.
    Refuse(u16),
    /// It is done, and this status is said all the same.
    DoneBut(u16),
}

#[derive(Default)]
struct State {
    comments: Vec<Comment>,
    next: u64,
    requests: Vec<String>,
    answers: Vec<(&'static str, VecDeque<Answer>)>,
}

/// The server; it stops when it is dropped.
pub struct GitHub {
    serving: Serving,
    state: Arc<Mutex<State>>,
}

impl GitHub {
    /// Starts one with a pull request, number 7, without comments.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { next: 1_000, ..State::default() }));
        let shared = Arc::clone(&state);
        let serving = Serving::http(move |request| answer(Arc::clone(&shared), request));
        Self { serving, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.serving.address())
    }

    /// Lets someone write a comment.
    pub fn comment(&self, author: &str, body: &str) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.comments.push(Comment { id, author: author.to_owned(), body: body.to_owned() });
        id
    }

    /// Makes the next requests with a method end in these ways, one after the other.
    pub fn answer(&self, method: &'static str, answers: &[Answer]) {
        self.lock().answers.push((method, answers.iter().copied().collect()));
    }

    /// Returns the comments, oldest first.
    pub fn comments(&self) -> Vec<Comment> {
        self.lock().comments.clone()
    }

    /// Returns the requests so far: `GET /repos/...`.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<s3s::Body>, String> {
    let method = request.method().as_str().to_owned();
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok().map(str::to_owned));
    let mut body = s3s::Body::from(request.into_body());
    let body = body.store_all_limited(10 << 20).await.map_err(|error| error.to_string())?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.requests.push(format!("{method} {target}"));
    let asked = state.answers.iter_mut().find(|(of, left)| *of == method && !left.is_empty());
    let asked = asked.and_then(|(_, left)| left.pop_front());
    let reply = |status: u16, value: &Value| {
        let body = if status == 204 { String::new() } else { value.to_string() };
        Ok(hyper::Response::builder().status(status).body(s3s::Body::from(body)).unwrap())
    };
    if let Some(Answer::Refuse(status)) = asked {
        return reply(status, &json!({ "message": "::error::Resource not accessible by integration" }));
    }
    if token.as_deref() != Some(&format!("Bearer {TOKEN}")) {
        return reply(401, &json!({ "message": "Bad credentials" }));
    }
    let (status, value) = done(&mut state, &method, &target, &body);
    match asked {
        Some(Answer::DoneBut(status)) => reply(status, &json!({ "message": "Server Error" })),
        _ => reply(status, &value),
    }
}

fn done(state: &mut State, method: &str, target: &str, body: &[u8]) -> (u16, Value) {
    let below = format!("/repos/{REPOSITORY}/issues/");
    let Some(rest) = target.strip_prefix(&below) else { return (404, json!({ "message": "Not Found" })) };
    let shown =
        |comment: &Comment| json!({ "id": comment.id, "body": comment.body, "user": { "login": comment.author } });
    let text =
        || serde_json::from_slice::<Value>(body).ok().and_then(|value| value["body"].as_str().map(str::to_owned));
    // GitHub counts characters, and takes no more.
    let fits = |text: &String| text.chars().count() <= 65_536;
    match (method, rest.split_once('?').map_or((rest, ""), |pair| pair)) {
        ("GET", ("7/comments", query)) => {
            let number = |name: &str| {
                let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
                pair.and_then(|number| number.parse::<usize>().ok()).unwrap_or(1)
            };
            let (size, page) = (number("per_page").min(100), number("page"));
            let page = state.comments.iter().skip((page - 1) * size).take(size);
            (200, page.map(shown).collect())
        }
        ("POST", ("7/comments", _)) => match text().filter(fits) {
            Some(body) => {
                state.next += 1;
                let comment = Comment { id: state.next, author: BOT.to_owned(), body };
                let value = shown(&comment);
                state.comments.push(comment);
                (201, value)
            }
            None => (422, json!({ "message": "Validation Failed" })),
        },
        (_, (rest, _)) => {
            let id = rest.strip_prefix("comments/").and_then(|id| id.parse::<u64>().ok());
            let Some(at) = state.comments.iter().position(|comment| Some(comment.id) == id) else {
                return (404, json!({ "message": "Not Found" }));
            };
            match (method, text().filter(fits)) {
                ("PATCH", Some(body)) => {
                    state.comments[at].body = body;
                    (200, shown(&state.comments[at]))
                }
                ("DELETE", _) => {
                    state.comments.remove(at);
                    (204, Value::Null)
                }
                _ => (422, json!({ "message": "Validation Failed" })),
            }
        }
    }
}
