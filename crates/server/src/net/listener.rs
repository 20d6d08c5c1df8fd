//! Accepting connections, and what comes before their session: the PROXY protocol and TLS.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leveret_broker::ids::{ConnectionId, Timestamp};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::server::TlsStream;

use super::connection::serve;
use super::door::Ticket;
use super::proxy::read_header;
use super::tls::{HANDSHAKE_RECORD, Metered, TlsContext};
use crate::clock;
use crate::options::Options;
use crate::session::Peer;
use crate::session::amqp091::Session;
use crate::shared::Shared;

/// Listens on `address`.
pub(crate) fn listen(address: SocketAddr, options: &Options) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// What a listener hands to its connections.
#[derive(Clone)]
pub(crate) struct Port {
    pub(crate) shared: Arc<Shared>,
    /// None on a plain port.
    pub(crate) tls: Option<Arc<TlsContext>>,
}

impl Port {
    /// A port without TLS.
    pub(crate) fn plain(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), tls: None }
    }
}

/// Accepts until the task is dropped.
pub(crate) async fn accept(listener: TcpListener, port: Port) {
    loop {
        let rate_max = port.shared.options.load().entry.rate_max;
        let wait_ms = port.shared.door.wait_ms(rate_max, clock::now());
        if wait_ms > 0 {
            sleep(Duration::from_millis(wait_ms)).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, peer)) => start(stream, peer, &port),
            Err(error) => {
                // Out of file descriptors, most likely: wait for some connection to end.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn start(stream: TcpStream, peer: SocketAddr, port: &Port) {
    let shared = &port.shared;
    let options = shared.options.load_full();
    let is_proxy = is_proxy(&options, peer);
    let limits = (options.connection_max, &options.entry);
    let entered = shared.door.enter(peer.ip(), is_proxy, limits, clock::now());
    let ticket = match entered {
        Ok(ticket) => ticket,
        Err(refused) => return shared.door.note_refused(refused, peer, clock::now()),
    };
    if let Err(error) = stream.set_nodelay(options.nodelay) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let id = ticket.id();
    let seat = Seat { port: port.clone(), ticket: Some(ticket) };
    let task = tokio::spawn(seat.run(stream, peer));
    shared.door.watch(id, task.abort_handle());
}

/// Whether a connection from there begins with a header of the PROXY protocol.
pub(crate) fn is_proxy(options: &Options, peer: SocketAddr) -> bool {
    options.proxies.iter().any(|range| range.contains(peer.ip()))
}

/// A connection's place, given back also if its task panics or is ended.
struct Seat {
    port: Port,
    ticket: Option<Ticket>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ticket = None;
        self.port.shared.connection_ended.notify_waiters();
    }
}

impl Seat {
    /// Everything up to `connection.open-ok` has to be done within one time, from here on.
    async fn run(mut self, mut stream: TcpStream, from: SocketAddr) {
        let accepted = clock::now();
        let options = self.port.shared.options.load_full();
        let deadline = Instant::now() + options.handshake_timeout;
        let mut peer = Peer::new(from);
        peer.local = stream.local_addr().ok();
        if is_proxy(&options, from) {
            match timeout_at(deadline, read_header(&mut stream, from)).await {
                Ok(Ok(address)) => peer.address = address,
                Ok(Err(error)) => return tracing::warn!(%from, %error, "connection refused"),
                Err(_) => return tracing::info!(%from, "no PROXY protocol header in time"),
            }
            let counted = self
                .ticket
                .as_mut()
                .map_or(Ok(()), |ticket| ticket.set_address(peer.address.ip(), &options.entry));
            if let Err(refused) = counted {
                let address = peer.address;
                return self.port.shared.door.note_refused(refused, address, clock::now());
            }
        }
        peer.entrance = self.ticket.as_ref().map(Ticket::entrance);
        match self.port.tls.clone() {
            None => {
                let (session, _end) = self.admit(peer, accepted);
                serve(stream, session).await;
            }
            // Boxed, so that plain connections need no room for it.
            Some(tls) => {
                let deadline = deadline.min(Instant::now() + options.tls.handshake_timeout);
                let (address, bytes_max) = (peer.address, options.entry.pending_bytes_max);
                let client = Client { address, bytes_max, deadline };
                let Some(stream) = Box::pin(shake_hands(&tls, stream, client)).await else {
                    return;
                };
                peer.tls = Some(tls.facts(&stream));
                let (session, _end) = self.admit(peer, accepted);
                Box::pin(serve(stream, session)).await;
            }
        }
    }

    /// The session of a connection that may begin, and what takes it off the list.
    fn admit(&self, peer: Peer, accepted: Timestamp) -> (Session, Ending) {
        let shared = &self.port.shared;
        let address = peer.address;
        let tls = peer.tls.as_ref().map_or("none", |tls| tls.version);
        let session = Session::new(Arc::clone(shared), peer, accepted);
        let id = session.connection();
        shared.connect(Arc::clone(session.mailbox()), Arc::clone(session.stats()));
        tracing::debug!(connection = id.0, peer = %address, tls, "connection accepted");
        (session, Ending { shared: Arc::clone(shared), id, address })
    }
}

/// A client in front of TLS.
pub(crate) struct Client {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// The most that it may send before TLS is done.
    pub(crate) bytes_max: usize,
    /// By when TLS must be done.
    pub(crate) deadline: Instant,
}

/// Does the TLS handshake; none if it fails. Nothing is set up before the client's first byte.
pub(crate) async fn shake_hands(
    tls: &TlsContext,
    stream: TcpStream,
    Client { address: peer, bytes_max, deadline }: Client,
) -> Option<TlsStream<Metered>> {
    let handshake = async {
        let mut first = [0; 1];
        match stream.peek(&mut first).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            _ if first[0] == HANDSHAKE_RECORD => {}
            _ => return Err(Error::other("the client does not speak TLS on a port for TLS")),
        }
        tls.accept(stream, bytes_max).await
    };
    match timeout_at(deadline, handshake).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => {
            tracing::debug!(%peer, "connection closed in the TLS handshake");
        }
        Ok(Err(error)) => tracing::warn!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::info!(%peer, "TLS handshake not done in time"),
    }
    None
}

/// Takes the session off the list.
struct Ending {
    shared: Arc<Shared>,
    id: ConnectionId,
    address: SocketAddr,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.disconnect(self.id);
        tracing::debug!(connection = self.id.0, peer = %self.address, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task is most of what an idle connection takes, and grows unseen: a value that an
    /// `async fn` is given and keeps counts twice.
    #[test]
    fn the_task_of_a_connection_is_little_more_than_its_session() {
        fn bytes<F>(_: fn(Seat, TcpStream, SocketAddr) -> F) -> usize {
            size_of::<F>()
        }
        let (task, session) = (bytes(Seat::run), size_of::<Session>());
        assert!(task < session + 1024, "{task} bytes with a session of {session}");
        assert!(session <= 1280, "{session} bytes");
    }
}
