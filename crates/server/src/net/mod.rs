//! Sockets: accepting, and moving bytes between a socket and a session.

pub(crate) mod connection;
pub(crate) mod door;
pub(crate) mod listener;
pub(crate) mod mailbox;
pub(crate) mod out_buffer;
pub(crate) mod proxy;
pub(crate) mod tls;
