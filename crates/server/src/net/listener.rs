//! Accepting connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::connection::serve;
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

/// Accepts until the task is dropped.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => start(stream, peer, &shared),
            Err(error) => {
                // Out of file descriptors, most likely: wait for some connection to end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn start(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let options = shared.options.load();
    let open = shared.connection_count();
    if open >= options.connection_max {
        tracing::warn!(%peer, open, "connection refused: connection_max is reached");
        return;
    }
    if let Err(error) = stream.set_nodelay(options.nodelay) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let local = stream.local_addr().ok();
    let session = Session::new(Arc::clone(shared), Peer::new(peer), clock::now());
    let id = session.connection();
    if let Some(local) = local {
        let _ = session.stats().local.set(local);
    }
    shared.connect(Arc::clone(session.mailbox()), Arc::clone(session.stats()));
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tracing::debug!(connection = id.0, %peer, "connection accepted");
        let _end = Ending { shared, id };
        serve(stream, session).await;
        tracing::debug!(connection = id.0, %peer, "connection ended");
    });
}

/// Takes the connection off the list, also if its task panics.
struct Ending {
    shared: Arc<Shared>,
    id: leveret_broker::ids::ConnectionId,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.disconnect(self.id);
    }
}
