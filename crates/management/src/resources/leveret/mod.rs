//! `/leveret`: what RabbitMQ's interface has no place for: sessions of the web pages, looking
//! through queues, changing what is in them, scheduled messages, the tail of the log; and, at
//! `/openapi.json`, the document of all routes.

mod browse;
mod change;
mod scheduled;

use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::auth::Level::{Management, Monitoring};
use crate::auth::{Caller, no_cookie};
use crate::declare::Gives::{Nothing, Object};
use crate::declare::{Asked, Field, Kind, asks, must};
use crate::node::LogLine;
use crate::openapi;
use crate::request::{Call, object, text};
use crate::router::{Handler, Route, Visit, open, route};

const SESSION: &[Field] = &[must("username", Kind::Text), must("password", Kind::Text)];
const LOGS: &[Asked] = &[
    asks("after", Kind::From(0), "only entries behind that id"),
    asks("count", Kind::From(0), "how many entries, at most"),
    asks(
        "level",
        Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        "of that level or worse",
    ),
];

pub(crate) const ROUTES: &[Route] = &[
    open("POST", "leveret/session", Handler::Anybody(open_session))
        .gives(Nothing, "Opens a session of the web pages: its cookie comes with the answer")
        .takes(SESSION),
    open("GET", "openapi.json", Handler::Anybody(openapi::document)).gives(Object, "This document"),
    route("DELETE", "leveret/session", Management, close_session)
        .gives(Nothing, "Ends the session of the request's cookie"),
    route("GET", "leveret/queues/{vhost}/{queue}/messages", Management, browse::messages)
        .gives(Object, "Looks through a queue without taking anything")
        .asks(browse::LOOK),
    route("GET", "leveret/queues/{vhost}/{queue}/unacked", Management, browse::unacked)
        .gives(Object, "Messages that are out, and with whom")
        .asks(browse::UNACKED),
    route("POST", "leveret/queues/{vhost}/{queue}/messages/delete", Management, change::delete)
        .gives(Object, "Deletes messages at `positions`, or those that `where` finds")
        .takes(change::FIELDS)
        .large(),
    route("POST", "leveret/queues/{vhost}/{queue}/messages/move", Management, change::relocate)
        .gives(Object, "Moves messages, chosen so, `to` a `queue` or an `exchange`")
        .takes(change::MOVE)
        .large(),
    route("POST", "leveret/queues/{vhost}/{queue}/messages/redrive", Management, change::redrive)
        .gives(Object, "Moves dead letters, chosen so, back to where they come from")
        .takes(change::FIELDS)
        .large(),
    route("GET", "leveret/exchanges/{vhost}/{exchange}/scheduled", Management, scheduled::list)
        .gives(Object, "Messages that wait in an exchange")
        .asks(browse::LOOK),
    route(
        "DELETE",
        "leveret/exchanges/{vhost}/{exchange}/scheduled",
        Management,
        scheduled::cancel_one,
    )
    .gives(Object, "Cancels a scheduled message by its position")
    .asks(scheduled::ONE),
    route(
        "DELETE",
        "leveret/exchanges/{vhost}/{exchange}/scheduled/{message_id}",
        Management,
        scheduled::cancel,
    )
    .gives(Object, "Cancels scheduled messages by their message-id"),
    route("GET", "leveret/logs", Monitoring, logs).gives(Object, "The tail of the log").asks(LOGS),
];

/// The most lines of the log in one answer.
const LINES_MAX: u64 = 1_000;

/// Opens a session of the web pages.
fn open_session(visit: &Visit<'_>) -> Outcome {
    let (app, from) = (visit.app, visit.from);
    let fields = object(visit.body, visit.route)?;
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
