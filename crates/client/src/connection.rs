//! A connection: opening it, asking and waiting, and taking what comes unasked.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_wire::amqp091::PROTOCOL_HEADER;
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{FieldTable, Table};
use rustls::ClientConfig;

use super::received::{Received, Reply};
use super::split::{Receiver, Sender};
use super::wire_stream::WireStream;
use super::{Error, Inbox, Incoming, Uri};

/// When the out-buffer reaches this size it is written without a flush.
const OUT_MAX: usize = 64 << 10;

/// How a connection is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Largest frame to ask for; 0 takes what the server offers.
    pub frame_max: u32,
    /// Size of the receive buffer.
    pub receive_bytes: usize,
    /// How long connecting and each call may take.
    pub timeout: Duration,
    /// Shown by the management interface.
    pub name: String,
    /// Whom to trust, and as whom to show up, for `amqps`.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            frame_max: 0,
            receive_bytes: 64 << 10,
            timeout: Duration::from_secs(30),
            name: "leveret-client".to_owned(),
            tls: None,
        }
    }
}

/// A channel's number on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel(pub u16);

/// A connection to a server, for use by one thread.
#[derive(Debug)]
pub struct Connection {
    stream: WireStream,
    inbox: Inbox,
    pub(crate) received: Received,
    pub(crate) out: Vec<u8>,
    pub(crate) frame_max: u32,
    channel_max: u16,
    last_channel: u16,
    timeout: Duration,
    server_properties: FieldTable,
}

impl Connection {
    /// Connects to the server of an `amqp://` URI with default options.
    pub fn connect(uri: &str) -> Result<Connection, Error> {
        Connection::connect_with(&uri.parse()?, &Options::default())
    }

    /// Connects, logs in with PLAIN and opens the virtual host.
    pub fn connect_with(uri: &Uri, options: &Options) -> Result<Connection, Error> {
        let stream = WireStream::dial(uri, options.timeout, options.tls.as_ref())?;
        let mut connection = Connection {
            stream,
            inbox: Inbox::new(options.receive_bytes),
            received: Received::default(),
            out: Vec::new(),
            frame_max: 0,
            channel_max: 0,
            last_channel: 0,
            timeout: options.timeout,
            server_properties: FieldTable::new(),
        };
        connection.handshake(uri, options)?;
        Ok(connection)
    }

    fn handshake(&mut self, uri: &Uri, options: &Options) -> Result<(), Error> {
        self.out.extend_from_slice(&PROTOCOL_HEADER);
        let start = self.wait_reply(0)?;
        let Method::ConnectionStart { server_properties, .. } = start.method()? else {
            return unexpected("connection.start", &start);
        };
        self.server_properties = server_properties.to_owned();
        let client = client_properties(&options.name).to_content();
        let tune = self.call_on(
            0,
            &Method::ConnectionStartOk {
                client_properties: Table::parse(&client).unwrap_or_default(),
                mechanism: "PLAIN",
                response: format!("\0{}\0{}", uri.user, uri.password).as_bytes(),
                locale: "en_US",
            },
        )?;
        let Method::ConnectionTune { channel_max, frame_max, .. } = tune.method()? else {
            return unexpected("connection.tune", &tune);
        };
        self.frame_max = match (frame_max, options.frame_max) {
            (offer, 0) => offer,
            (0, wish) => wish,
            (offer, wish) => offer.min(wish),
        };
        self.channel_max = if channel_max == 0 { u16::MAX } else { channel_max };
        Method::ConnectionTuneOk { channel_max, frame_max: self.frame_max, heartbeat: 0 }
            .encode_frame(0, &mut self.out);
        self.inbox.set_frame_max(self.frame_max);
        let open = self.call_on(0, &Method::ConnectionOpen { virtual_host: &uri.vhost })?;
        match open.method()? {
            Method::ConnectionOpenOk {} => Ok(()),
            _ => unexpected("connection.open-ok", &open),
        }
    }

    /// What the server said of itself.
    pub const fn server_properties(&self) -> &FieldTable {
        &self.server_properties
    }

    /// The negotiated frame size.
    pub const fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Opens the next channel; numbers are not used again.
    pub fn open_channel(&mut self) -> Result<Channel, Error> {
        if self.last_channel >= self.channel_max {
            return Err(Error::NoChannel);
        }
        self.last_channel += 1;
        let channel = Channel(self.last_channel);
        self.call(channel, &Method::ChannelOpen {})?;
        Ok(channel)
    }

    /// Sends a method and waits for its reply, or for the channel's or connection's end.
    pub fn call(&mut self, channel: Channel, method: &Method<'_>) -> Result<Reply, Error> {
        self.call_on(channel.0, method)
    }

    fn call_on(&mut self, channel: u16, method: &Method<'_>) -> Result<Reply, Error> {
        method.encode_frame(channel, &mut self.out);
        self.wait_reply(channel)
    }

    /// Appends a method that has no reply; it is sent with the next flush.
    pub fn send(&mut self, channel: Channel, method: &Method<'_>) -> Result<(), Error> {
        method.encode_frame(channel.0, &mut self.out);
        self.flush_if_full()
    }

    fn wait_reply(&mut self, channel: u16) -> Result<Reply, Error> {
        self.flush()?;
        let deadline = Instant::now() + self.timeout;
        loop {
            let found = self.received.replies.iter().position(|reply| reply.channel == channel);
            if let Some(reply) = found.and_then(|index| self.received.replies.remove(index)) {
                return Ok(reply);
            }
            if !self.pump(deadline)? {
                return Err(Error::Timeout("a reply"));
            }
        }
    }

    /// The next thing that the server sent unasked; none if `timeout` passes before.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Incoming>, Error> {
        self.flush()?;
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(incoming) = self.received.incoming.pop_front() {
                return Ok(Some(incoming));
            }
            if !self.pump(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Waits until all publishes of a channel in confirm mode are settled. Acks and nacks stay
    /// visible to [`Connection::next`].
    pub fn wait_for_confirms(&mut self, channel: Channel) -> Result<(), Error> {
        self.flush()?;
        let deadline = Instant::now() + self.timeout;
        while let Some(confirms) = self.received.confirms.get_mut(&channel.0) {
            if confirms.unsettled.is_empty() {
                let refused = std::mem::take(&mut confirms.refused);
                return if refused == 0 { Ok(()) } else { Err(Error::NotConfirmed(refused)) };
            }
            if !self.pump(deadline)? {
                return Err(Error::Timeout("confirms"));
            }
        }
        Ok(())
    }

    /// Reads once and sorts what came; false if nothing came before the deadline.
    fn pump(&mut self, deadline: Instant) -> Result<bool, Error> {
        if let Some(fault) = self.received.fault.take() {
            return Err(fault);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(left.max(Duration::from_millis(1)))?;
        match self.inbox.fill(&mut self.stream) {
            Ok(0) => return Err(Error::Disconnected),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        if self.server_properties.is_empty()
            && let Some(header) = self.inbox.unread().first_chunk()
            && header.starts_with(b"AMQP")
        {
            return Err(Error::Protocol(*header));
        }
        self.inbox.drain(|event| self.received.take(event))?;
        if !self.received.answers.is_empty() {
            self.out.append(&mut self.received.answers);
            self.flush()?;
        }
        Ok(true)
    }

    /// Writes what has gathered.
    pub fn flush(&mut self) -> Result<(), Error> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.stream.flush()?;
            self.out.clear();
        }
        Ok(())
    }

    pub(crate) fn flush_if_full(&mut self) -> Result<(), Error> {
        if self.out.len() < OUT_MAX { Ok(()) } else { self.flush() }
    }

    /// Closes a channel.
    pub fn close_channel(&mut self, channel: Channel) -> Result<(), Error> {
        let (reply_code, reply_text) = (200, "bye");
        let close = Method::ChannelClose { reply_code, reply_text, class_id: 0, method_id: 0 };
        self.call(channel, &close)?;
        self.received.confirms.remove(&channel.0);
        Ok(())
    }

    /// Closes the connection in good order; dropping it closes only the socket.
    pub fn close(mut self) -> Result<(), Error> {
        let (reply_code, reply_text) = (200, "bye");
        let close = Method::ConnectionClose { reply_code, reply_text, class_id: 0, method_id: 0 };
        self.call_on(0, &close)?;
        Ok(())
    }

    /// Takes the connection apart for two threads that deal with frames themselves. What has been
    /// received and not been taken is lost, but for bytes not yet decoded. Not over TLS.
    pub fn split(mut self) -> Result<(Sender, Receiver), Error> {
        self.flush()?;
        let socket = self.stream.into_plain()?;
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)?;
        let writing = socket.try_clone()?;
        Ok((Sender::new(writing), Receiver::new(socket, self.inbox)))
    }
}

/// The error for a reply that was not `expected`.
pub(crate) fn unexpected<T>(expected: &'static str, reply: &Reply) -> Result<T, Error> {
    Err(Error::Unexpected { expected, got: reply.method()?.name() })
}

fn client_properties(name: &str) -> FieldTable {
    let mut capabilities = FieldTable::new();
    for capability in [
        "authentication_failure_close",
        "basic.nack",
        "connection.blocked",
        "consumer_cancel_notify",
        "exchange_exchange_bindings",
        "publisher_confirms",
    ] {
        capabilities.insert(capability, true);
    }
    let mut properties = FieldTable::new();
    properties.insert("product", "leveret-client");
    properties.insert("version", env!("CARGO_PKG_VERSION"));
    properties.insert("platform", "Rust");
    properties.insert("connection_name", name);
    properties.insert("capabilities", capabilities);
    properties
}
