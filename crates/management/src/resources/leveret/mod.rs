//! `/leveret`: what RabbitMQ's interface has no place for: sessions of the web pages, looking
//! through queues, changing what is in them, scheduled messages, the tail of the log.

mod browse;
mod change;
mod scheduled;

use std::net::SocketAddr;

use hyper::StatusCode;
use hyper::header::{HeaderMap, SET_COOKIE};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Outcome};
use crate::app::App;
use crate::auth::Level::{Anybody, Management, Monitoring};
use crate::auth::{Caller, no_cookie};
use crate::node::LogLine;
use crate::request::{Call, text};
use crate::router::{Handler, Route, large, route};

pub(crate) const ROUTES: &[Route] = &[
    route("POST", "leveret/session", Anybody, NEVER),
    route("DELETE", "leveret/session", Management, close_session),
    route("GET", "leveret/queues/*/*/messages", Management, browse::messages),
    route("GET", "leveret/queues/*/*/unacked", Management, browse::unacked),
    large(route("POST", "leveret/queues/*/*/messages/delete", Management, change::delete)),
    large(route("POST", "leveret/queues/*/*/messages/move", Management, change::relocate)),
    large(route("POST", "leveret/queues/*/*/messages/redrive", Management, change::redrive)),
    route("GET", "leveret/exchanges/*/*/scheduled", Management, scheduled::list),
    route("DELETE", "leveret/exchanges/*/*/scheduled", Management, scheduled::cancel_one),
    route("DELETE", "leveret/exchanges/*/*/scheduled/*", Management, scheduled::cancel),
    route("GET", "leveret/logs", Monitoring, logs),
];

/// A session is opened by who is not known yet: see [`open_session`].
const NEVER: Handler = |_| Err(Answer::not_found());

/// The most lines of the log in one answer.
const LINES_MAX: u64 = 1_000;

/// Opens a session of the web pages.
pub(crate) fn open_session(
    app: &App,
    _headers: &HeaderMap,
    peer: SocketAddr,
    body: &[u8],
) -> Outcome {
    let fields: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| Answer::bad(format!("not_json: {error}")))?;
    let from = peer.ip().to_canonical();
    let (user, password) = (text(&fields, "username")?, text(&fields, "password")?);
    let Some(login) = app.node.log_in(user, password.as_bytes(), from) else {
        return Err(Answer::error(StatusCode::UNAUTHORIZED, "not_authorized", "Login failed"));
    };
    Caller::new(login.clone(), from).check(Management)?;
    match app.sessions.open(&login, app.node.now()) {
        Some(cookie) => Ok(Answer::empty(StatusCode::NO_CONTENT).with(SET_COOKIE, &cookie)),
        None => {
            let reason = "too many sessions are open";
            Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, "too_many", reason))
        }
    }
}

fn close_session(call: &Call<'_>) -> Outcome {
    if let Some(token) = &call.token {
        call.app.sessions.close(token);
    }
    Ok(Answer::empty(StatusCode::NO_CONTENT).with(SET_COOKIE, &no_cookie()))
}

fn logs(call: &Call<'_>) -> Outcome {
    let after = call.query.number("after")?.unwrap_or(0);
    let count = call.query.number("count")?.unwrap_or(200).min(LINES_MAX);
    let level = call.query.get("level").unwrap_or("info");
    if !["error", "warn", "info", "debug", "trace"].contains(&level) {
        return Err(Answer::bad("level must be error, warn, info, debug or trace"));
    }
    let (lines, last) = call.app.node.log_lines(after, level, count as usize);
    let one = |line: LogLine| {
        json!({
            "id": line.id, "time": line.time_ms, "level": line.level, "target": line.target,
            "message": line.message,
            "fields": Value::Object(line.fields.into_iter().collect()),
        })
    };
    let entries: Value = lines.into_iter().map(one).collect();
    Ok(Answer::json(&json!({ "entries": entries, "last": last })))
}
