//! From the protocol header to `connection.open-ok` (0-9-1 specification 2.2.4).

use std::sync::Arc;

use leveret_broker::auth::Secret;
use leveret_wire::amqp091::frame::{Event, erlang_binary};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::table::{Table, Value};
use leveret_wire::amqp091::{PROTOCOL_HEADER, ReplyCode};

use super::connection::{Phase, Session};
use super::failure::Failure;
use super::properties::server_properties;
use super::sasl::{Credentials, Mechanism};
use crate::audit;
use crate::login::{Attempt, Checked, Identity, Refused, Times};
use crate::oauth;
use crate::stats::Opened;

/// The smallest frame size that the specification lets a peer ask for.
const FRAME_MIN_SIZE: u32 = leveret_wire::amqp091::constants::FRAME_MIN_SIZE;
/// What a frame has around its payload.
const FRAME_OVERHEAD: usize = 8;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    Header,
    StartOk,
    /// The check of the password.
    Login,
    TuneOk,
    Open,
}

/// A login whose password is being checked.
pub(super) struct Login {
    mechanism: Mechanism,
    user: String,
    /// The client reads a close that refuses it.
    can_read_refusal: bool,
}

/// What a client says of itself when it logs in.
pub(super) struct Client {
    pub(super) mechanism: &'static str,
    /// Encoded.
    pub(super) properties: Box<[u8]>,
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
        let properties = server_properties(&options, &self.link.shared.cluster_name()).to_content();
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
        let properties = properties.to_owned().to_content().into();
        self.client = Some(Box::new(Client { mechanism: mechanism.name(), properties }));
        let can_read_refusal = can("authentication_failure_close");
        let credentials = match (mechanism, &options.anonymous_login) {
            (Mechanism::External, _) => return self.log_in_by_certificate(can_read_refusal),
            (Mechanism::Anonymous, Some(login)) => {
                Some(Credentials { user: &login.user, password: login.password.as_bytes() })
            }
            _ => mechanism.read(response),
        };
        let Some(credentials) = credentials else { return self.fall_silent() };
        let attempt = Attempt {
            user: credentials.user.to_owned(),
            password: Secret::new(credentials.password),
            from: self.link.peer.ip(),
            now: self.link.now,
        };
        self.login =
            Some(Box::new(Login { mechanism, user: attempt.user.clone(), can_read_refusal }));
        self.expect(Handshake::Login);
        let shared = Arc::clone(&self.link.shared);
        let times =
            Times { remember: options.login_cache_ttl, backoff_max: options.login_backoff_max };
        let checked = match &options.oauth {
            Some(oauth) if oauth::is_token(attempt.password.reveal()) => {
                shared.logins.check_token(attempt, oauth, &self.link.mailbox)
            }
            _ => shared.logins.check(&shared.broker, attempt, &self.link.mailbox, times),
        };
        match checked {
            Checked::Now(outcome) => self.on_login(outcome),
            // Nothing is read until the answer is here.
            Checked::Later => {}
        }
    }

    /// A verified certificate is as good as a password.
    fn log_in_by_certificate(&mut self, can_read_refusal: bool) {
        let mechanism = Mechanism::External;
        let Some(name) = self.link.peer.certificate_login().map(str::to_owned) else {
            let login = Login { mechanism, user: String::new(), can_read_refusal };
            return self.refuse_login(&login, "the certificate names no user");
        };
        let login = Login { mechanism, user: name, can_read_refusal };
        match self.link.broker().user(&login.user) {
            Ok(user) => {
                self.login = Some(Box::new(login));
                self.expect(Handshake::Login);
                self.on_login(Ok(Identity::User(user)));
            }
            Err(_) => self.refuse_login(&login, "there is no user of the certificate's name"),
        }
    }

    /// The password, the token or the certificate was checked.
    pub(super) fn on_login(&mut self, outcome: Result<Identity, Refused>) {
        let Some(login) = self.login.take() else { return };
        // The deadline may have come first.
        if !matches!(self.phase, Phase::Handshake(Handshake::Login, _)) {
            return;
        }
        match outcome {
            Ok(Identity::User(user)) => {
                let now = self.link.broker().user(&user.name);
                if !now.is_ok_and(|now| now.password == user.password) {
                    return self.refuse_login(&login, "the user has changed meanwhile");
                }
                self.link.who.user = user.name.clone();
            }
            Ok(Identity::Bearer(bearer)) => self.link.become_bearer(&bearer),
            Err(refused @ (Refused::TooManyFailures | Refused::Busy)) if login.can_read_refusal => {
                return self.refuse_late(login, refused.reason());
            }
            Err(refused) => return self.refuse_login(&login, refused.reason()),
        }
        let options = self.link.shared.options.load_full();
        let user = &self.link.who.user;
        let only_here = options.loopback_users.iter().any(|name| **name == **user);
        if only_here && !self.link.peer.ip().is_loopback() {
            return self.refuse_login(&login, "this user can only connect via localhost");
        }
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

    /// RabbitMQ: Authentication Failures. Clients that can read it get a close, others silence.
    fn refuse_login(&mut self, login: &Login, reason: &str) {
        let mechanism = login.mechanism.name();
        audit::login_failed(&login.user, self.link.peer.ip(), mechanism, reason);
        if !login.can_read_refusal {
            return self.fall_silent();
        }
        self.send_refusal(mechanism);
    }

    /// Who has failed too often, or comes in a crowd, is told late, so that each further try takes
    /// a while: a storm of them is as slow as the attacker has connections.
    fn refuse_late(&mut self, login: Box<Login>, reason: &str) {
        audit::login_failed(&login.user, self.link.peer.ip(), login.mechanism.name(), reason);
        let delay = self.link.options.login_failure_delay;
        self.phase = Phase::Late(self.link.now.after(delay.as_millis() as u64));
        // Nothing is read meanwhile.
        self.login = Some(login);
    }

    /// Tells what was kept back by [`Self::refuse_late`].
    pub(super) fn tell_refusal(&mut self) {
        if let Some(login) = self.login.take() {
            self.send_refusal(login.mechanism.name());
        }
    }

    /// Says nothing more, and closes the socket after a while.
    pub(super) fn fall_silent(&mut self) {
        let delay = self.link.options.login_failure_delay;
        self.phase = Phase::Silent(self.link.now.after(delay.as_millis() as u64));
    }

    fn send_refusal(&mut self, mechanism: &str) {
        let text = format!(
            "ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. For \
             details see the broker logfile."
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

    /// Has who administers the server see the connection.
    fn note_opened(&mut self) {
        let Some(client) = self.client.take() else { return };
        let who = &self.link.who;
        let _ = self.link.stats.opened.set(Box::new(Opened {
            user: who.user.clone(),
            vhost: who.vhost.clone(),
            mechanism: client.mechanism,
            client_properties: client.properties,
            channel_max: self.channel_max,
            frame_max: self.link.frame_max,
            heartbeat_secs: self.heartbeat_ms / 1000,
        }));
    }

    fn on_open(&mut self, vhost: &str) {
        let user = self.link.who.user.clone();
        let vhost = self.link.broker().check_vhost(&self.link.who, vhost).map_err(Failure::from);
        match vhost.and_then(|name| self.link.enter(name)) {
            Ok(()) => {
                self.note_opened();
                self.link.trace();
                self.phase = Phase::Running;
                self.link.send(0, &Method::ConnectionOpenOk {});
            }
            Err(failure) => {
                let text = failure.reply_text();
                audit::vhost_refused(&user, self.link.peer.ip(), &text);
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
