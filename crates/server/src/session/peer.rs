//! Who is at the other end of a connection, as far as its transport says.
//!
//! Invariant: what stands here was found by the listener, never said by the client's protocol.

use std::net::{IpAddr, SocketAddr};

use crate::net::door::Entrance;

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Where it was accepted.
    pub(crate) local: Option<SocketAddr>,
    /// What TLS found; none on a plain connection.
    pub(crate) tls: Option<Tls>,
    /// Told when the client has logged in; none where nobody counts.
    pub(crate) entrance: Option<Entrance>,
}

/// What TLS has found.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// The version, as the configuration writes it.
    pub(crate) version: &'static str,
    /// Present if the client gave a certificate, which then is verified: the user that it is for,
    /// or none if it names none.
    pub(crate) login: Option<Option<String>>,
}

impl Peer {
    /// A peer of which only the address is known.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, local: None, tls: None, entrance: None }
    }

    /// Whether the client gave a certificate, which then is verified.
    pub(crate) fn has_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.login.is_some())
    }

    /// The user that the client's certificate is for.
    pub(crate) fn certificate_login(&self) -> Option<&str> {
        self.tls.as_ref()?.login.as_ref()?.as_deref()
    }

    /// Its address without the port, an IPv4 address in IPv6 clothes as the one that it is.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
