//! Reads the PROXY protocol header in front of a connection, and not a byte more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use leveret_wire::proxy_protocol::{LENGTH_MAX, Source, parse};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Whom the proxy at `proxy` speaks for. A client that it does not know has no address, and so is
/// nowhere near: its connection must not pass for a local one.
pub(crate) async fn read_header(
    stream: &mut TcpStream,
    proxy: SocketAddr,
) -> io::Result<SocketAddr> {
    let mut bytes = Vec::new();
    let mut kept = 0;
    loop {
        bytes.resize(LENGTH_MAX.min(kept + 1024) + 1, 0);
        let peeked = stream.peek(&mut bytes[kept..]).await?;
        if peeked == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = parse(&bytes[..kept + peeked]).map_err(io::Error::other)?;
        // Whatever came belongs to a header that is not whole.
        let end = header.map_or(kept + peeked, |header| header.length);
        stream.read_exact(&mut bytes[kept..end]).await?;
        kept = end;
        match header.map(|header| header.source) {
            Some(Source::Client(ip, port)) => return Ok((ip, port).into()),
            Some(Source::Proxy) => return Ok(proxy),
            Some(Source::Unknown) => return Ok((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).into()),
            None => {}
        }
    }
}
