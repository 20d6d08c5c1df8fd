//! What goes wrong in a session, with its reply code.

use leveret_broker::error::{Refusal, RefusalKind};
use leveret_wire::amqp091::ReplyCode;

/// An error that ends the channel or, with a hard code or `hard`, the connection.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: ReplyCode,
    /// The text behind the code's name.
    pub(crate) text: String,
    pub(crate) hard: bool,
}

/// What most steps of a session give.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// An error of the code's own severity.
    pub(crate) fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hard: code.is_hard() }
    }

    pub(crate) fn precondition(text: impl Into<String>) -> Self {
        Self::new(ReplyCode::PreconditionFailed, text)
    }

    /// The reply text: the code's name, a dash, the text; cut to what a short string holds.
    pub(crate) fn reply_text(&self) -> String {
        let name = self.code.name();
        let mut text = if self.text.is_empty() {
            name.to_owned()
        } else if self.text.starts_with(name) {
            self.text.clone()
        } else {
            format!("{name} - {}", self.text)
        };
        if text.len() > 255 {
            let mut end = 252;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::NotFound => ReplyCode::NotFound,
            RefusalKind::AccessRefused => ReplyCode::AccessRefused,
            RefusalKind::ResourceLocked => ReplyCode::ResourceLocked,
            RefusalKind::PreconditionFailed => ReplyCode::PreconditionFailed,
            RefusalKind::NotAllowed => ReplyCode::NotAllowed,
            RefusalKind::CommandInvalid => ReplyCode::CommandInvalid,
            RefusalKind::NotImplemented => ReplyCode::NotImplemented,
            RefusalKind::Internal => ReplyCode::InternalError,
        };
        Self::new(code, refusal.text)
    }
}
