//! The bytes of a connection: a socket, with TLS around it or without.
//!
//! Invariant: certificates are always verified, for the host that was asked for.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Error, Uri};

/// A socket, plain or with TLS.
#[derive(Debug)]
pub(crate) enum WireStream {
    Plain(TcpStream),
    // Boxed: it is large, and rare.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl WireStream {
    /// Connects; with TLS if the URI says so. The TLS handshake is done with the first bytes.
    pub(crate) fn dial(
        uri: &Uri,
        timeout: Duration,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, Error> {
        let socket = dial(uri, timeout)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(timeout))?;
        if !uri.tls {
            return Ok(Self::Plain(socket));
        }
        let config = tls.ok_or(Error::NoTls)?;
        socket.set_read_timeout(Some(timeout))?;
        let name = ServerName::try_from(uri.host.clone()).map_err(std::io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(config), name);
        let connection = connection.map_err(std::io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) -> std::io::Result<()> {
        self.socket().set_read_timeout(Some(timeout))
    }

    /// The socket for two threads, which TLS cannot be taken apart for.
    pub(crate) fn into_plain(self) -> Result<TcpStream, Error> {
        match self {
            Self::Plain(socket) => Ok(socket),
            Self::Tls(_) => Err(Error::NotOverTls),
        }
    }
}

impl Read for WireStream {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(room),
            Self::Tls(stream) => stream.read(room),
        }
    }
}

impl Write for WireStream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn dial(uri: &Uri, timeout: Duration) -> Result<TcpStream, Error> {
    let mut failure = Error::Disconnected;
    for address in (uri.host.as_str(), uri.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}
