//! AMQP 0-9-1: a connection as a state machine without sockets.
//!
//! [`Session::receive`] takes what the socket brought, [`Session::take_mail`] what others left for
//! it; both append to `link.out`, which the driver writes. One turn's publishes and settlements
//! gather in the [`link::Link`] and go to the queues together, before anything that could see them.

mod access;
mod acknowledge;
mod basic;
mod channel;
mod confirm;
mod connection;
mod consumer_timeout;
mod deliver;
mod exchange;
mod failure;
mod half;
mod handshake;
mod held;
mod link;
mod liveness;
mod properties;
mod publish;
mod queue;
mod routes;
mod sasl;
mod tenancy;
mod traces;
mod transaction;
mod unacked;

#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod slow_log;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod traced;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod whole_publish;

pub(crate) use connection::Session;
