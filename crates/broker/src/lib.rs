//! The meaning of a broker: messages, vhosts, exchanges, bindings, routing, queues and dispatch to
//! consumers. Synchronous and deterministic: time, randomness and durability are passed in.
//!
//! A message's way: [`message`] (built from a publish) → [`routing`] (on a snapshot of the
//! [`definitions`]) → [`queue`] (one lock a batch) → the consumer's [`queue::Outlet`].
//! [`broker::Broker`] is the face of it all; [`log`] is the seam to storage.

pub mod auth;
pub mod broker;
mod deduplication;
pub mod definitions;
pub mod error;
pub mod histogram;
pub mod ids;
#[cfg(test)]
mod keeping_log;
pub mod log;
pub mod message;
pub mod names;
pub mod queue;
pub mod routing;
pub mod tracer;
