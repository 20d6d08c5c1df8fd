//! What a connection passes between its listener and HTTP: nothing, a proxy's header, TLS. The
//! server knows which; this crate knows only that there is something to pass.
//!
//! Invariant: passing takes a bounded time and holds up nobody else: each connection passes in its
//! own task.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// The bytes of a connection, whatever carries them.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that may speak HTTP now.
pub struct Arrival {
    /// Its bytes.
    pub stream: Box<dyn Stream>,
    /// Who it is.
    pub peer: Peer,
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, as a proxy names it if there is one.
    pub address: SocketAddr,
    /// Whether what is said is encrypted.
    pub is_secure: bool,
}

/// The way of a connection to HTTP; none at its end if it is refused, which has been logged then.
pub type Passing = Pin<Box<dyn Future<Output = Option<Arrival>> + Send>>;

/// What the connections of a listener have to pass.
pub trait Doorway: Send + Sync + 'static {
    /// Lets a connection pass.
    fn pass(&self, stream: TcpStream, from: SocketAddr) -> Passing;
}

/// Nothing to pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Doorway for Open {
    fn pass(&self, stream: TcpStream, from: SocketAddr) -> Passing {
        let peer = Peer { address: from, is_secure: false };
        Box::pin(async move { Some(Arrival { stream: Box::new(stream), peer }) })
    }
}

/// A listener with its doorway.
pub struct Port {
    /// Where connections come in.
    pub listener: TcpListener,
    /// What they pass.
    pub doorway: Arc<dyn Doorway>,
}

impl Port {
    /// A port with nothing to pass.
    pub fn open(listener: TcpListener) -> Self {
        Self { listener, doorway: Arc::new(Open) }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("listener", &self.listener).finish_non_exhaustive()
    }
}
