//! `leveret ping`: asks a broker for its greeting, for health checks that have no password.
//!
//! It reads the configuration as the broker does, so that it finds it without being told where.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::config::{self, ConfigArgs};

/// What a client of AMQP 0-9-1 sends first.
const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// How a frame with `connection.start` begins, and where its class and method stand.
const METHOD_ON_CHANNEL_0: [u8; 3] = [1, 0, 0];
const CLASS_AND_METHOD: [u8; 4] = [0, 10, 0, 10];

/// Where and how long to ask.
#[derive(Args)]
pub struct PingArgs {
    /// How long the broker may take to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3_000,
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout_ms: u64,

    #[command(flatten)]
    config: ConfigArgs,
}

/// Asks the broker; the line to print, or why it does not serve.
pub fn run(arguments: &PingArgs) -> anyhow::Result<String> {
    let config = config::load(&arguments.config)?.config;
    let timeout = Duration::from_millis(arguments.timeout_ms);
    if let Some(address) = config.amqp_listen.first() {
        let address = reachable(*address)?;
        greet(address, timeout).with_context(|| format!("no broker at {address}"))?;
        return Ok(format!("the broker at {address} serves AMQP\n"));
    }
    let Some(address) = config.amqps_listen.first() else {
        bail!("amqp_listen and amqps_listen are none: there is nobody to ask");
    };
    let address = reachable(*address)?;
    let connected = TcpStream::connect_timeout(&address, timeout);
    connected.with_context(|| format!("no broker at {address}"))?;
    Ok(format!("the broker at {address} takes connections for TLS\n"))
}

/// Where a listener can be reached from this machine.
fn reachable(listener: SocketAddr) -> anyhow::Result<SocketAddr> {
    if listener.port() == 0 {
        bail!("the port is 0, so which one it is nobody knows: name it with --amqp-listen");
    }
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listener.port()))
}

/// Has a broker begin a connection, and leaves.
fn greet(address: SocketAddr, timeout: Duration) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(&PROTOCOL_HEADER)?;
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).context("it did not answer")?;
    if answer[..3] != METHOD_ON_CHANNEL_0 || answer[7..] != CLASS_AND_METHOD {
        bail!("what answers there does not speak AMQP 0-9-1");
    }
    Ok(())
}
