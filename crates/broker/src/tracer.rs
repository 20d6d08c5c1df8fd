//! What the broker tells whoever follows messages through it, if somebody does.
//!
//! Invariant: without a [`Tracer`] nothing is looked at, and no message is changed.

use crate::message::{Message, TraceContext};

/// A message that was dead-lettered.
#[derive(Debug, Clone, Copy)]
pub struct Death<'a> {
    /// The letter, with the headers of the message that died.
    pub letter: &'a Message,
    /// The vhost.
    pub vhost: &'a str,
    /// The queue in which it died.
    pub queue: &'a str,
    /// The word for why.
    pub reason: &'static str,
    /// How many queues it goes to.
    pub targets: usize,
}

/// Who follows messages. Called under no lock; must not block.
pub trait Tracer: Send + Sync {
    /// Takes note of a death; the span that the letter's headers are to name as its sender, if the
    /// message is followed.
    fn died(&self, death: &Death<'_>) -> Option<TraceContext>;
}
