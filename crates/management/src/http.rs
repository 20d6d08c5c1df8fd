//! From a socket to a resource and back: HTTP/1.1, with a bound on everything.
//!
//! Invariants: at most [`CONNECTIONS_MAX`] connections a listener, each with a time for its
//! headers; a body is read up to its route's bound; resources run on threads that may block,
//! [`WORKERS_MAX`] at a time; an answer that promises a change leaves once the change is durable.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use leveret_broker::log::{Position, Wake};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::answer::{Answer, Outcome};
use crate::app::App;
use crate::assets;
use crate::auth;
use crate::doorway::{Arrival, Peer, Port};
use crate::request::{Call, Query, decode};
use crate::router::{self, Found, Handler, Visit};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 1_000;
/// Most requests that are worked on at once.
const WORKERS_MAX: usize = 16;
/// From a connection, or the last answer, to the end of a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// From there to the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a change may take to be durable before its caller hears of a failure.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Who answers the requests that come in by a listener.
pub(crate) trait Responder: Send + Sync + 'static {
    /// The answer; requests of different connections are answered at the same time.
    fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// What all connections of the management interface share.
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    workers: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app, workers: Arc::new(Semaphore::new(WORKERS_MAX)) }
    }
}

impl Responder for Gate {
    async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Response<Full<Bytes>> {
        respond(request, peer, &self).await
    }
}

/// Accepts until the task is dropped.
pub(crate) async fn accept(port: Port, responder: Arc<impl Responder>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&places).acquire_owned().await else { return };
        match port.listener.accept().await {
            Ok((stream, from)) => {
                let _ = stream.set_nodelay(true);
                let (passing, responder) = (port.doorway.pass(stream, from), responder.clone());
                connections.spawn(async move {
                    if let Some(arrival) = passing.await {
                        serve(arrival, responder).await;
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(Arrival { stream, peer }: Arrival, responder: Arc<impl Responder>) {
    let service = service_fn(move |request| {
        let responder = Arc::clone(&responder);
        async move { Ok::<_, Infallible>(responder.respond(request, peer).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(peer = %peer.address, %error, "HTTP connection lost");
    }
}

async fn respond(
    request: Request<Incoming>,
    peer: Peer,
    gate: &Arc<Gate>,
) -> Response<Full<Bytes>> {
    let is_api = request.uri().path() == "/api" || request.uri().path().starts_with("/api/");
    let is_head = request.method() == Method::HEAD;
    let answer = match is_api {
        true => answer(request, peer, gate).await,
        false => assets::find(request.method(), request.uri().path(), request.headers()),
    };
    let mut response = response(answer, is_api, is_head);
    if peer.is_secure {
        secure(response.headers_mut(), gate.app.node.strict_transport());
    }
    response
}

/// What an answer says only over TLS: its cookies, and this site, are for TLS alone.
fn secure(headers: &mut HeaderMap, strict_transport: Option<String>) {
    let policy = strict_transport.and_then(|policy| HeaderValue::try_from(policy).ok());
    if let Some(policy) = policy {
        headers.insert(STRICT_TRANSPORT_SECURITY, policy);
    }
    for (name, value) in headers.iter_mut() {
        if name == SET_COOKIE
            && let Ok(marked) = HeaderValue::from_bytes(&[value.as_bytes(), b"; Secure"].concat())
        {
            *value = marked;
        }
    }
}

fn response(answer: Answer, is_api: bool, is_head: bool) -> Response<Full<Bytes>> {
    let body = if is_head { Bytes::new() } else { answer.body };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(content_type) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if is_api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding, origin"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(match is_api {
            true => "default-src 'none'; frame-ancestors 'none'",
            false => assets::POLICY,
        }),
    );
    let fixed = [
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in answer.headers {
        headers.append(name, value);
    }
    response
}

async fn answer(request: Request<Incoming>, peer: Peer, gate: &Arc<Gate>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let found = path.split('/').skip(2).map(|part| decode(part, false)).collect::<Option<Vec<_>>>();
    let Some(parts) = found else { return Answer::bad("the path cannot be decoded") };
    let Found { route, names } = match router::find(&head.method, parts) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    let Some(query) = Query::parse(head.uri.query().unwrap_or("")) else {
        return Answer::bad("the query cannot be decoded");
    };
    let body = match read(body, route.body_max).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Ok(permit) = Arc::clone(&gate.workers).acquire_owned().await else {
        return Answer::empty(StatusCode::SERVICE_UNAVAILABLE);
    };
    let app = Arc::clone(&gate.app);
    let worked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let from = peer.address.ip().to_canonical();
        let (level, handler) = match route.handler {
            Handler::Known(level, handler) => (level, handler),
            Handler::Anybody(handler) => {
                return handler(&Visit { app: &app, from, body: &body, route });
            }
        };
        let caller = auth::caller(&head.headers, from, &app.sessions, &*app.node)?;
        caller.check(level)?;
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|one| one.to_str().ok());
        let content_type = content_type.unwrap_or("");
        let token = auth::token(&head.headers).map(str::to_owned);
        handler(&Call { app: &app, route, names, query, body: &body, content_type, caller, token })
    });
    match worked.await {
        Ok(outcome) => durable(&gate.app, outcome).await,
        Err(error) => {
            tracing::error!(%error, "a management request failed");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Answer::error(status, "internal_server_error", "see the log")
        }
    }
}

async fn read(body: Incoming, max: usize) -> Result<Bytes, Answer> {
    match timeout(BODY_TIMEOUT, Limited::new(body, max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let reason = format!("the body is larger than {max} bytes");
            Err(Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", reason))
        }
        Ok(Err(_)) => Err(Answer::bad("the body cannot be read")),
        Err(_) => Err(Answer::empty(StatusCode::REQUEST_TIMEOUT)),
    }
}

struct Waiting(Notify);

impl Wake for Waiting {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// The answer, once what it promises is durable.
async fn durable(app: &App, outcome: Outcome) -> Answer {
    let answer = outcome.unwrap_or_else(|refused| refused);
    if answer.position <= Position::START || answer.position <= app.broker().log().durable() {
        return answer;
    }
    let waiting = Arc::new(Waiting(Notify::new()));
    let waker: Arc<dyn Wake> = Arc::clone(&waiting) as Arc<dyn Wake>;
    app.broker().log().notify(answer.position, waker);
    match timeout(DURABLE_TIMEOUT, waiting.0.notified()).await {
        Ok(()) => answer,
        Err(_) => {
            let reason = "the change is not durable yet: the disk is too slow";
            Answer::error(StatusCode::SERVICE_UNAVAILABLE, "timeout", reason)
        }
    }
}
