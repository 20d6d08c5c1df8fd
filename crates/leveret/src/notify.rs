//! What a service manager is told of the broker's life: systemd's `Type=notify`, a datagram each.
//!
//! Who was not started by a service manager (no `NOTIFY_SOCKET`) tells nobody. A manager that
//! cannot be told is a warning: the broker serves all the same.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the manager's socket: a path, or `@` and an abstract name.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Tells that the broker serves.
pub fn ready() {
    tell("READY=1\nSTATUS=serving");
}

/// Tells that the broker closes its connections and its log.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=closing connections and the log");
}

fn tell(state: &str) {
    let Some(socket) = std::env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, ?socket, "cannot tell the service manager");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}
