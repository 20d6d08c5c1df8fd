//! What a request is answered: a status, headers and a body, in RabbitMQ's forms.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use leveret_broker::error::{Refusal, RefusalKind};
use leveret_broker::log::Position;
use serde_json::{Value, json};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    /// It is not sent before this is durable.
    pub(crate) position: Position,
}

/// A request that is not carried out: the answer says why.
pub(crate) type Outcome = Result<Answer, Answer>;

const JSON: &str = "application/json";

impl Answer {
    fn new(status: StatusCode, content_type: Option<&'static str>, body: Bytes) -> Self {
        Self { status, content_type, headers: Vec::new(), body, position: Position::START }
    }

    /// 200 with JSON.
    pub(crate) fn json(value: &Value) -> Self {
        Self::bytes(JSON, value.to_string().into())
    }

    /// 200 with a body of that type.
    pub(crate) fn bytes(content_type: &'static str, body: Bytes) -> Self {
        Self::new(StatusCode::OK, Some(content_type), body)
    }

    /// A status without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, None, Bytes::new())
    }

    /// 204 once `position` is durable.
    pub(crate) fn done(position: Position) -> Self {
        Self { position, ..Self::empty(StatusCode::NO_CONTENT) }
    }

    /// 201 if something was made, else 204, once `position` is durable.
    pub(crate) fn put(is_new: bool, position: Position) -> Self {
        let status = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        Self { position, ..Self::empty(status) }
    }

    /// The same answer, not before `position` is durable.
    pub(crate) fn after(self, position: Position) -> Self {
        Self { position, ..self }
    }

    /// A refusal with RabbitMQ's two words.
    pub(crate) fn error(status: StatusCode, error: &str, reason: impl Into<Value>) -> Self {
        let value = json!({ "error": error, "reason": reason.into() });
        Self { status, ..Self::json(&value) }
    }

    /// 400.
    pub(crate) fn bad(reason: impl Into<Value>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    /// 404.
    pub(crate) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Object Not Found", "Not Found")
    }

    /// 404 where the vhost of a change is missing.
    pub(crate) fn no_vhost() -> Self {
        Self::error(StatusCode::NOT_FOUND, "not_found", "vhost_not_found")
    }

    /// 401 for who is known and may not.
    pub(crate) fn not_authorised(reason: impl Into<Value>) -> Self {
        Self::error(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    /// A health check that failed.
    pub(crate) fn failed(mut value: Value) -> Self {
        value["status"] = json!("failed");
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..Self::json(&value) }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind {
            RefusalKind::NotFound => Self::not_found(),
            RefusalKind::AccessRefused => {
                Self::not_authorised(format!("ACCESS_REFUSED - {}", refusal.text))
            }
            _ => Self::bad(refusal.text),
        }
    }
}
