//! From the protocol header to `connection.open-ok` (0-9-1 specification 2.2.4).

use leveret_broker::ids::Name;
use leveret_wire::amqp091::frame::{Event, erlang_binary};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{Table, Value};
use leveret_wire::amqp091::{PROTOCOL_HEADER, ReplyCode};

use super::connection::{Phase, Session};
use super::failure::Failure;
use super::properties::server_properties;
use super::sasl::Mechanism;

/// The smallest frame size that the specification lets a peer ask for.
const FRAME_MIN_SIZE: u32 = leveret_wire::amqp091::constants::FRAME_MIN_SIZE;
/// What a frame has around its payload.
const FRAME_OVERHEAD: usize = 8;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    Header,
    StartOk,
    TuneOk,
    Open,
}

impl Session {
    /// Answers another protocol's header with ours, and closes.
    pub(super) fn on_protocol_header(&mut self, header: &[u8; 8]) {
        if *header != PROTOCOL_HEADER {
            self.tell_strange_header(header);
            self.link.out.tail().extend_from_slice(&PROTOCOL_HEADER);
            self.phase = Phase::Ended;
            return;
        }
        let options = self.link.shared.options.load_full();
        let properties = server_properties(&options).to_content();
        let server_properties = Table::parse(&properties).unwrap_or(Table::EMPTY);
        let mechanisms = Mechanism::offered(&self.link.peer, &options);
        self.link.send(
            0,
            &Method::ConnectionStart {
                version_major: 0,
                version_minor: 9,
                server_properties,
                mechanisms: mechanisms.as_bytes(),
                locales: b"en_US",
            },
        );
        self.expect(Handshake::StartOk);
    }

    /// Names the mistakes that are easily made with ports.
    fn tell_strange_header(&self, header: &[u8; 8]) {
        let from = self.link.peer.address;
        if header[..2] == [0x16, 3] {
            tracing::warn!(%from, "the client speaks TLS on a port without TLS");
        } else if header.starts_with(b"PROXY ") || header.starts_with(b"\r\n\r\n\0\r\n") {
            tracing::warn!(%from, "PROXY protocol header from an address that is no proxy's");
        }
    }

    /// Counts what comes before the login; whether it is too much.
    fn is_too_long(&mut self, event: &Event<'_>) -> bool {
        let payload = match event {
            Event::Method { payload, .. }
            | Event::Header { payload, .. }
            | Event::Heartbeat { payload, .. } => payload,
            Event::Body { chunk, .. } => chunk,
        };
        self.early_bytes += payload.len() + FRAME_OVERHEAD;
        self.early_bytes > self.link.options.entry.pending_bytes_max
    }

    fn expect(&mut self, next: Handshake) {
        if let Phase::Handshake(step, _) = &mut self.phase {
            *step = next;
        }
    }

    pub(super) fn on_handshake_event(&mut self, event: Event<'_>) {
        let Phase::Handshake(step, _) = self.phase else { return };
        if step == Handshake::StartOk && self.is_too_long(&event) {
            return self.fall_silent();
        }
        let payload = match event {
            Event::Method { channel: 0, payload } => payload,
            Event::Heartbeat { channel: 0, .. } => return,
            Event::Method { payload, .. } if step == Handshake::Open => {
                return self.refuse_before_open(payload);
            }
            _ => return self.fall_silent(),
        };
        match (step, Method::decode(payload)) {
            (
                Handshake::StartOk,
                Ok(Method::ConnectionStartOk { client_properties, mechanism, response, .. }),
            ) => self.on_start_ok(client_properties, mechanism, response),
            (
                Handshake::TuneOk,
                Ok(Method::ConnectionTuneOk { channel_max, frame_max, heartbeat }),
            ) => self.on_tune_ok(channel_max, frame_max, heartbeat),
            (Handshake::Open, Ok(Method::ConnectionOpen { virtual_host })) => {
                self.on_open(virtual_host);
            }
            (_, Ok(Method::ConnectionClose { .. })) => {
                self.link.send(0, &Method::ConnectionCloseOk {});
                self.phase = Phase::Ended;
            }
            _ => self.fall_silent(),
        }
    }

    /// A method for a channel before the connection is open.
    fn refuse_before_open(&mut self, payload: &[u8]) {
        let octets = erlang_binary(&payload[..payload.len().min(64)]);
        let text = format!("UNEXPECTED_FRAME - type 1, all octets = {octets}");
        self.send_close(ReplyCode::UnexpectedFrame, &text, (0, 0));
    }

    fn on_start_ok(&mut self, properties: Table<'_>, mechanism: &str, response: &[u8]) {
        let can = |name| capability(properties, name);
        self.wants_blocked = can("connection.blocked");
        self.link.wants_cancel = can("consumer_cancel_notify");
        let options = self.link.shared.options.load_full();
        let Some(mechanism) = Mechanism::from_name(mechanism, &self.link.peer, &options) else {
            return self.fall_silent();
        };
        let login = match (mechanism, &options.anonymous_login) {
            (Mechanism::External, _) => self.certificate_user(),
            (Mechanism::Anonymous, Some(login)) => {
                self.link.broker().authenticate(&login.user, login.password.as_bytes())
            }
            _ => {
                let Some(credentials) = mechanism.read(response) else {
                    return self.fall_silent();
                };
                self.link.broker().authenticate(credentials.user, credentials.password)
            }
        };
        let Some(user) = login else {
            return self.refuse_login(mechanism, can("authentication_failure_close"));
        };
        self.link.who.user = user;
        if let Some(entrance) = self.link.peer.entrance.take() {
            entrance.passed();
        }
        self.link.send(
            0,
            &Method::ConnectionTune {
                channel_max: options.channel_max,
                frame_max: options.frame_max,
                heartbeat: options.heartbeat_secs,
            },
        );
        self.expect(Handshake::TuneOk);
    }

    /// The user that the client's certificate is for, if there is one of that name.
    fn certificate_user(&self) -> Option<Name> {
        let Some(name) = self.link.peer.certificate_login() else {
            tracing::warn!("the client's certificate names no user: see ssl_cert_login_from");
            return None;
        };
        let topology = self.link.broker().topology();
        let user = topology.users.get(name).map(|user| user.name.clone());
        if user.is_none() {
            tracing::warn!(name, "there is no user of the name in the client's certificate");
        }
        user
    }

    /// RabbitMQ: Authentication Failures. Clients that can read it get a close, others silence.
    fn refuse_login(&mut self, mechanism: Mechanism, can_read: bool) {
        let from = self.link.peer.ip();
        tracing::warn!(mechanism = mechanism.name(), %from, "login refused");
        if !can_read {
            return self.fall_silent();
        }
        let text = format!(
            "ACCESS_REFUSED - Login was refused using authentication mechanism {}. For details \
             see the broker logfile.",
            mechanism.name()
        );
        self.send_close(ReplyCode::AccessRefused, &text, (0, 0));
    }

    /// Each side may lower a limit, none may raise it; 0 is no limit.
    fn on_tune_ok(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) {
        let options = self.link.shared.options.load_full();
        let frame_raised = options.frame_max != 0 && frame_max > options.frame_max;
        let frame_too_small = frame_max != 0 && frame_max < FRAME_MIN_SIZE;
        let channels_raised = options.channel_max != 0 && channel_max > options.channel_max;
        if frame_too_small || frame_raised || channels_raised {
            return self.fall_silent();
        }
        self.channel_max = if channel_max == 0 { options.channel_max } else { channel_max };
        self.link.frame_max = frame_max;
        self.decoder.set_frame_max(frame_max);
        self.heartbeat_ms = u64::from(heartbeat) * 1000;
        self.expect(Handshake::Open);
    }

    fn on_open(&mut self, vhost: &str) {
        let vhost = self.link.broker().check_vhost(vhost).map_err(Failure::from);
        match vhost.and_then(|name| self.link.enter(name)) {
            Ok(()) => {
                self.phase = Phase::Running;
                self.link.send(0, &Method::ConnectionOpenOk {});
            }
            Err(failure) => {
                let text = failure.reply_text();
                self.send_close(ReplyCode::NotAllowed, &text, (10, 40));
            }
        }
    }
}

fn capability(properties: Table<'_>, name: &str) -> bool {
    match properties.get("capabilities") {
        Some(Value::Table(capabilities)) => {
            matches!(capabilities.get(name), Some(Value::Bool(true)))
        }
        _ => false,
    }
}
