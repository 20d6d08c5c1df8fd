//! Who is at the other end of a connection, as far as its transport says.
//!
//! Invariant: what stands here was found by the listener, never said by the client's protocol.

use std::net::{IpAddr, SocketAddr};

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// A peer of which only the address is known.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Its address without the port, an IPv4 address in IPv6 clothes as the one that it is.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
