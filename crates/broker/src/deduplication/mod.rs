//! Publish deduplication: what was taken once is remembered for a while, and a repeated publish of
//! it is confirmed and not taken again.
//!
//! Invariants: what is remembered is in the same group of the log as its message, and only if that
//! is durable; it holds whether or not the message is still there; only publishes are looked at,
//! never what dies, returns or is moved.

mod exchange;
mod identity;
mod memory;
mod window;

pub(crate) use exchange::{ExchangeMemory, State as ExchangeState, settings_of};
pub(crate) use identity::Identity;
pub(crate) use memory::{Memory, read_back};
