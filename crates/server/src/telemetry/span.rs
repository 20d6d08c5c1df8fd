//! A span: something that was done with a message, and when.

use std::borrow::Cow;

use leveret_broker::message::TraceContext;

/// On whose side it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody else's.
    Internal = 1,
    /// That of a request by a client.
    Server = 2,
    /// That of who sends a message.
    Producer = 4,
}

/// What is said of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    Text(Cow<'static, str>),
    Number(i64),
    Flag(bool),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(Cow::Owned(text.to_owned()))
    }
}

/// Something that was done.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) context: TraceContext,
    /// None for the first of a trace.
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) state: Option<String>,
    /// Since 1970.
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub(crate) error: Option<&'static str>,
}
