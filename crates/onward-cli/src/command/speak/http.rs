//! Requests over HTTP: what is asked where, by whom, and what they are told.

use super::Speaker;
use super::engine::Job;
use super::reply::{About, Events, whole};
use super::request::{Refusal, Wanted, Way};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use onward::Error;
use onward_language::ChatTemplate;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What requests are answered with.
pub(super) struct Answerer {
    pub speaker: Arc<Speaker>,
    /// What requests call the model.
    pub name: String,
    pub template: Result<ChatTemplate, Error>,
    /// To whoever computes.
    pub jobs: Sender<Job>,
    /// Whether other machines may ask.
    pub remote: bool,
    /// Room for requests that are being answered or wait for that.
    pub room: Arc<Semaphore>,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// Requests so far.
    pub count: AtomicU64,
}

type Reply = Response<Either<Full<Bytes>, Events<OwnedSemaphorePermit>>>;

/// Requests that are being answered or wait for that at most.
pub(super) const REQUESTS: usize = 256;
/// Bytes of a request at most.
const LONGEST: usize = 8 << 20;
/// How long a request's body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Answerer {
    /// Answers a request, whatever it is.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Reply {
        let answered = match self.check_sender(request.headers()) {
            Ok(()) => self.routed(request).await,
            Err(refusal) => Err(refusal),
        };
        answered.unwrap_or_else(|refusal| {
            let mut reply = plain(refusal.status, &refusal.body());
            match refusal.status {
                StatusCode::METHOD_NOT_ALLOWED => {
                    reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                _ => {}
            }
            reply
        })
    }

    /// Pages that a browser has open elsewhere do not ask, and names that point here from elsewhere are none of ours.
    fn check_sender(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let near = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            let host = text.split_once("://").map_or(text, |(_, host)| host);
            let host = match host.rsplit_once(':') {
                Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
                _ => host,
            };
            let address = host.trim_start_matches('[').trim_end_matches(']');
            host.eq_ignore_ascii_case("localhost")
                || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        };
        match [HOST, ORIGIN].into_iter().find(|name| headers.get(name).is_some_and(|value| !near(value))) {
            Some(name) if !self.remote => {
                let message =
                    format!("{name}: expected this machine's own, as remote requests are not allowed");
                Err(Refusal::new(StatusCode::FORBIDDEN, message))
            }
            _ => Ok(()),
        }
    }

    async fn routed(self: Arc<Self>, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        let method = |wanted: Method| {
            let found = request.method();
            let wrong = || {
                let message = format!("{path}: expected {wanted}, found {found}");
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message)
            };
            if *found == wanted { Ok(()) } else { Err(wrong()) }
        };
        let way = match path.as_str() {
            "/v1/completions" => Way::Completion,
            "/v1/chat/completions" => Way::Chat,
            "/v1/models" => {
                method(Method::GET)?;
                return Ok(plain(StatusCode::OK, &json!({"object": "list", "data": [self.model()]})));
            }
            _ if path.strip_prefix("/v1/models/") == Some(&self.name) => {
                method(Method::GET)?;
                return Ok(plain(StatusCode::OK, &self.model()));
            }
            _ => {
                let known = "/v1/completions, /v1/chat/completions or /v1/models";
                let message = format!("expected {known}, found {path}");
                return Err(Refusal::new(StatusCode::NOT_FOUND, message));
            }
        };
        method(Method::POST)?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("{REQUESTS} requests are being answered"))
        })?;
        let body = read(request.into_body()).await?;
        self.ask(way, body, room).await
    }

    /// The model, as lists of models have it.
    fn model(&self) -> Value {
        json!({"id": self.name, "object": "model", "created": self.began, "owned_by": "onward"})
    }

    async fn ask(
        self: Arc<Self>,
        way: Way,
        body: Bytes,
        room: OwnedSemaphorePermit,
    ) -> Result<Reply, Refusal> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let own = Arc::clone(&self);
        // Who has no seed gets another text each time.
        let seed = self.began.rotate_left(32) ^ number;
        let read = move || Wanted::read(way, &body, (&own.speaker, &own.name), &own.template, seed);
        // Long texts take their time to become tokens.
        let wanted = tokio::task::spawn_blocking(read).await.map_err(internal)??;
        let about = About::new(&wanted, number, now(), &self.name);
        let (stream, usage) = (wanted.stream, wanted.usage);
        let (tell, heard) = mpsc::unbounded_channel();
        self.jobs.send(Job { wanted, heard: tell }).map_err(internal)?;
        if stream {
            let events = Events::new(about, usage, heard, room);
            let mut reply = Response::new(Either::Right(events));
            reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            return Ok(reply);
        }
        let reply = whole(&about, heard).await?;
        drop(room);
        Ok(plain(StatusCode::OK, &reply))
    }
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// A request's body.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, LONGEST).collect()).await;
    let late = |_| {
        let message = format!("expected the whole request within {} seconds", PATIENCE.as_secs());
        Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
    };
    match whole.map_err(late)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => {
            let message = format!("body: expected at most {LONGEST} bytes, found more");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message))
        }
        Err(e) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("body: cut off: {e}"))),
    }
}

fn plain(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(body.to_string())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
