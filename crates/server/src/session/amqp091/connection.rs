//! The connection: frames to channels, and the connection class.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use leveret_broker::broker::DropReason;
use leveret_broker::ids::{ConnectionId, Timestamp};
use leveret_broker::log::Position;
use leveret_wire::amqp091::constants::{FRAME_BODY, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD};
use leveret_wire::amqp091::frame::{ContentHeader, Decoder, Event, erlang_binary};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::{DecodeError, ReplyCode};

use super::channel::{Channel, ChannelState, PUBLISH_IDS, unexpected_header};
use super::consumer_timeout::CHECK_MS;
use super::failure::{Failure, Outcome};
use super::half::EXHAUSTED_FREE;
use super::handshake::{Client, Handshake, Login};
use super::link::Link;
use crate::bodies::Half;
use crate::net::mailbox::{Mail, Mailbox, Notice};
use crate::net::out_buffer::OutBuffer;
use crate::session::Peer;
use crate::shared::Shared;
use crate::stats::ConnectionStats;

/// How long a close waits for its close-ok, in milliseconds.
pub(super) const CLOSE_TIMEOUT_MS: u64 = 5_000;
/// How long the socket stays open for a close whose answer is not waited for, in milliseconds.
pub(super) const SILENCE_MS: u64 = 1_000;

/// Where a connection stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// Before `connection.open-ok`; the time by which it must be there.
    Handshake(Handshake, Timestamp),
    /// Open.
    Running,
    /// `connection.close` is sent; the time until which its close-ok is waited for.
    Closing(Timestamp),
    /// The login is refused, which is said at that time.
    Late(Timestamp),
    /// Nothing is said any more; the socket closes at that time.
    Silent(Timestamp),
    /// The socket closes when all is written.
    Ended,
}

/// The text for a frame that is too short or too long for its type.
fn unknown_frame(kind: u8, payload: &[u8]) -> String {
    let octets = erlang_binary(&payload[..payload.len().min(64)]);
    format!("type {kind}, all octets = {octets}: unknown_frame")
}

/// A connection without its socket.
pub(crate) struct Session {
    pub(super) phase: Phase,
    pub(super) decoder: Decoder,
    pub(super) link: Link,
    /// While the password is being checked.
    pub(super) login: Option<Box<Login>>,
    /// A new secret is being checked: nothing is read until then.
    pub(super) awaits_secret: bool,
    /// What the client says of itself, until the connection is open.
    pub(super) client: Option<Box<Client>>,
    /// Boxed: a map has places for at least four, and most connections have one.
    pub(super) channels: HashMap<u16, Box<Channel>, FixedState>,
    /// Most channels; 0 is no limit.
    pub(super) channel_max: u16,
    /// Milliseconds between heartbeats; 0 is none.
    pub(super) heartbeat_ms: u64,
    /// The client has the capability `connection.blocked`.
    pub(super) wants_blocked: bool,
    /// The client was told that it is blocked.
    told_blocked: bool,
    /// What is half received, while there is something.
    pub(super) half: Option<Half>,
    /// Since when the socket takes nothing of what there is for it.
    pub(super) stuck_since: Option<Timestamp>,
    pub(super) last_read: Timestamp,
    pub(super) last_write: Timestamp,
    /// The last [`Self::receive`] left whole frames behind, since no input was wanted.
    stopped_early: bool,
    /// What has come before the login.
    pub(super) early_bytes: usize,
    /// Empty; keeps its memory between turns.
    mail: Mail,
    /// Channels with confirms that are not durable.
    pub(super) unconfirmed: Vec<u16>,
    /// The first position that confirms wait for.
    pub(super) confirms_wait_for: Option<Position>,
    /// The memory that confirms take which wait.
    pub(super) confirms_bytes: usize,
    /// Nothing is read until this is durable; `START` is no wait.
    pub(super) input_waits_for: Position,
    /// The log position for which a wake-up was asked last.
    pub(super) asked_for: Position,
}

impl Session {
    /// A connection from `peer` that was accepted at `now`.
    pub(crate) fn new(shared: Arc<Shared>, peer: Peer, now: Timestamp) -> Self {
        let options = shared.options.load_full();
        let mailbox = Arc::new(Mailbox::new(options.out_buffer_max_bytes));
        let deadline = now.after(options.handshake_timeout.as_millis() as u64);
        let link = Link::new(shared, mailbox, peer, now);
        Self {
            phase: Phase::Handshake(Handshake::Header, deadline),
            decoder: Decoder::new(options.initial_frame_max),
            link,
            login: None,
            awaits_secret: false,
            client: None,
            channels: HashMap::default(),
            channel_max: 0,
            heartbeat_ms: 0,
            wants_blocked: false,
            told_blocked: false,
            half: None,
            stuck_since: None,
            last_read: now,
            last_write: now,
            stopped_early: false,
            early_bytes: 0,
            confirms_wait_for: None,
            confirms_bytes: 0,
            input_waits_for: Position::START,
            asked_for: Position::START,
            mail: Mail::default(),
            unconfirmed: Vec::new(),
        }
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.link.mailbox
    }

    pub(crate) fn stats(&self) -> &Arc<ConnectionStats> {
        &self.link.stats
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        self.link.who.connection
    }

    pub(crate) fn out(&mut self) -> &mut OutBuffer {
        &mut self.link.out
    }

    /// The socket may be closed once `out` is empty.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Open, and not closing.
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    #[cfg(test)]
    pub(super) fn principal(&self) -> &leveret_broker::broker::Principal {
        &self.link.who
    }

    /// Whether input is looked at: not while too much waits to be sent, a resource alarm holds
    /// publishers up, or the log is too far behind.
    pub(crate) fn wants_input(&self) -> bool {
        if self.login.is_some() {
            return false;
        }
        let waiting = self.link.out.len() + self.confirms_bytes;
        let room = waiting < self.link.options.out_buffer_max_bytes;
        room && !self.is_paused()
    }

    /// Whether nothing is read for a reason that is not the client's own slowness to read.
    fn is_paused(&self) -> bool {
        self.is_held_up()
            || self.is_input_held()
            || self.awaits_secret && matches!(self.phase, Phase::Running)
            || self.link.rest_until.is_some()
    }

    fn is_held_up(&self) -> bool {
        self.link.publishes && matches!(self.phase, Phase::Running) && self.link.shared.is_alarmed()
    }

    /// Whether the last [`Self::receive`] stopped before it had looked at everything, for a reason
    /// that may be over by now.
    pub(crate) fn stopped_early(&self) -> bool {
        self.stopped_early
    }

    /// Takes bytes from the socket; how many it used. The rest is to be presented again with more
    /// behind it.
    pub(crate) fn receive(&mut self, input: &[u8], now: Timestamp) -> usize {
        self.link.now = now;
        self.last_read = now;
        self.link.refresh();
        self.stopped_early = self.rests_for_quota();
        if self.stopped_early {
            return 0;
        }
        let mut rest = input;
        loop {
            if !self.wants_input() {
                self.stopped_early = true;
                break;
            }
            if let Phase::Handshake(Handshake::Header, _) = self.phase {
                let Some((header, behind)) = rest.split_first_chunk::<8>() else { break };
                rest = behind;
                self.on_protocol_header(header);
                continue;
            }
            if matches!(self.phase, Phase::Silent(_) | Phase::Ended) {
                rest = &[];
                break;
            }
            if let Some(behind) = self.receive_publish(rest) {
                rest = behind;
                continue;
            }
            match self.decoder.next(&mut rest) {
                Ok(Some(event)) => self.on_event(event),
                Ok(None) => break,
                Err(error) => {
                    let text = error.reply_text();
                    self.fail_connection(Failure::new(ReplyCode::FrameError, text), (0, 0));
                    self.stop_reading();
                    rest = &[];
                    break;
                }
            }
        }
        self.end_turn();
        self.note_halves();
        self.link.charge();
        input.len() - rest.len()
    }

    /// After a framing error nothing of what comes can be understood: the close-ok is not waited
    /// for.
    fn stop_reading(&mut self) {
        if matches!(self.phase, Phase::Closing(_)) {
            self.phase = Phase::Silent(self.link.now.after(SILENCE_MS));
        }
    }

    /// Takes the publish that `input` begins with if it is there as a whole and nothing is unusual;
    /// what lies behind it. Else the frames go their way one by one, which would come to the same.
    fn receive_publish<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        // The first publish of a connection may be the one that an alarm holds up at its method.
        if !self.link.publishes || !matches!(self.phase, Phase::Running) {
            return None;
        }
        let (publish, behind) = self.decoder.whole_publish(input)?;
        let channel = self.channels.get_mut(&publish.channel)?;
        if let Err(failure) = channel.on_publish(&mut self.link, &publish)? {
            self.fail(publish.channel, failure, PUBLISH_IDS);
        }
        Some(behind)
    }

    fn on_event(&mut self, event: Event<'_>) {
        match self.phase {
            Phase::Running => {}
            Phase::Handshake(..) => return self.on_handshake_event(event),
            Phase::Closing(_) => return self.on_closing_event(event),
            Phase::Late(_) | Phase::Silent(_) | Phase::Ended => return,
        }
        match event {
            Event::Method { channel, payload } => match Method::decode(payload) {
                Ok(method) if channel == 0 => self.on_connection_method(&method),
                Ok(method) => self.on_channel_method(channel, &method),
                Err(error) => self.on_bad_method(error, payload),
            },
            Event::Header { channel, payload } => self.on_header(channel, payload),
            Event::Body { channel: 0, chunk, .. } => self.unexpected_frame(FRAME_BODY, chunk),
            Event::Body { channel, chunk, end_of_frame } => {
                self.with_channel(channel, |channel, link| {
                    channel.on_body(link, chunk, end_of_frame)
                });
            }
            Event::Heartbeat { payload, .. } if !payload.is_empty() => {
                let text = unknown_frame(FRAME_HEARTBEAT, payload);
                self.fail_connection(Failure::new(ReplyCode::FrameError, text), (0, 0));
            }
            Event::Heartbeat { channel: 0, .. } => {}
            Event::Heartbeat { payload, .. } => self.unexpected_frame(FRAME_HEARTBEAT, payload),
        }
    }

    /// A frame that may not stand where it does, in RabbitMQ's words.
    fn unexpected_frame(&mut self, kind: u8, payload: &[u8]) {
        let octets = erlang_binary(&payload[..payload.len().min(64)]);
        let text = format!("type {kind}, all octets = {octets}");
        self.fail_connection(Failure::new(ReplyCode::UnexpectedFrame, text), (0, 0));
    }

    fn on_bad_method(&mut self, error: DecodeError, payload: &[u8]) {
        let ids = match error {
            DecodeError::InvalidUtf8 { .. } => (0, 0),
            _ => error.ids(),
        };
        let (code, text) = match error {
            DecodeError::TooShort => (ReplyCode::FrameError, unknown_frame(FRAME_METHOD, payload)),
            DecodeError::UnknownMethod { class_id, method_id } => {
                let text = format!("unknown method (class {class_id}, method {method_id})");
                (ReplyCode::CommandInvalid, text)
            }
            other => (ReplyCode::FrameError, other.reply_text(payload)),
        };
        self.fail_connection(Failure::new(code, text), ids);
    }

    fn on_header(&mut self, channel: u16, payload: &[u8]) {
        match ContentHeader::decode(payload) {
            Ok(_) if channel == 0 => self.unexpected_frame(FRAME_HEADER, payload),
            // The weight, behind the class, is always 0.
            Ok(_) if payload.get(2..4) != Some(&[0, 0]) => {
                self.with_channel(channel, |_, _| Err(unexpected_header()));
            }
            Ok(header) => {
                self.with_channel(channel, |channel, link| channel.on_header(link, &header));
            }
            Err(_) => {
                let text = unknown_frame(FRAME_HEADER, payload);
                self.fail_connection(Failure::new(ReplyCode::FrameError, text), (0, 0));
            }
        }
    }

    /// Gives content to a channel; a channel that was never opened expects a method.
    fn with_channel(&mut self, number: u16, step: impl FnOnce(&mut Channel, &mut Link) -> Outcome) {
        let Some(channel) = self.channels.get_mut(&number) else {
            let text = "expected method frame, got non method frame instead";
            let failure = Failure::new(ReplyCode::UnexpectedFrame, text);
            return self.fail_connection(failure, (0, 0));
        };
        if channel.state == ChannelState::Closing {
            return;
        }
        let ids = channel.content_ids();
        if let Err(failure) = step(channel, &mut self.link) {
            self.fail(number, failure, ids);
        }
    }

    fn on_connection_method(&mut self, method: &Method<'_>) {
        match method {
            Method::ConnectionClose { .. } => {
                self.end_turn();
                self.release_all();
                self.link.send(0, &Method::ConnectionCloseOk {});
                self.phase = Phase::Ended;
            }
            Method::ConnectionUpdateSecret { new_secret, .. } => self.on_update_secret(new_secret),
            other => {
                let text = "unexpected method in connection state running";
                let ids = (other.class_id(), other.method_id());
                self.fail_connection(Failure::new(ReplyCode::ChannelError, text), ids);
            }
        }
    }

    fn on_closing_event(&mut self, event: Event<'_>) {
        let Event::Method { channel: 0, payload } = event else { return };
        match Method::decode(payload) {
            Ok(Method::ConnectionCloseOk {}) => self.phase = Phase::Ended,
            Ok(Method::ConnectionClose { .. }) => {
                self.link.send(0, &Method::ConnectionCloseOk {});
                self.phase = Phase::Ended;
            }
            _ => {}
        }
    }

    fn on_channel_method(&mut self, number: u16, method: &Method<'_>) {
        let ids = (method.class_id(), method.method_id());
        if matches!(method, Method::ChannelOpen { .. }) {
            return self.open_channel(number);
        }
        let gathers = matches!(
            method,
            Method::BasicPublish { .. }
                | Method::BasicAck { .. }
                | Method::BasicNack { .. }
                | Method::BasicReject { .. }
        );
        if !gathers {
            self.end_turn();
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            let failure = Failure::new(ReplyCode::ChannelError, "expected 'channel.open'");
            return self.fail_connection(failure, ids);
        };
        if channel.state == ChannelState::Closing {
            return self.on_closing_channel(number, method);
        }
        if let Err(failure) = channel.check_no_content() {
            return self.fail(number, failure, PUBLISH_IDS);
        }
        let outcome = match method {
            Method::ChannelClose { .. } => return self.close_channel(number),
            Method::BasicConsume { .. } | Method::BasicCancel { .. } => {
                self.on_consumer_method(number, method)
            }
            method => channel.on_method(&mut self.link, method),
        };
        if !gathers {
            self.link.refresh();
        }
        if let Err(failure) = outcome {
            self.fail(number, failure, ids);
        }
    }

    fn open_channel(&mut self, number: u16) {
        if self.channels.contains_key(&number) {
            let closing = self.channels[&number].state == ChannelState::Closing;
            if !closing {
                let failure = Failure::new(ReplyCode::ChannelError, "second 'channel.open' seen");
                self.fail_connection(failure, (20, 10));
            }
            return;
        }
        let open = self.channels.len();
        if self.channel_max != 0 && open >= usize::from(self.channel_max) {
            let max = self.channel_max;
            let text = format!(
                "number of channels opened ({open}) has reached the negotiated channel_max ({max})"
            );
            return self.fail_connection(Failure::new(ReplyCode::NotAllowed, text), (0, 0));
        }
        let memory = match open < EXHAUSTED_FREE {
            true => Ok(()),
            false => self.link.check_exhausted("a channel"),
        };
        match memory.and_then(|()| self.link.enter_channel()) {
            Ok(seat) => {
                self.channels
                    .insert(number, Box::new(Channel::new(self.link.start_channel(number), seat)));
                self.link.send(number, &Method::ChannelOpenOk {});
            }
            Err(failure) => self.fail_connection(failure, (0, 0)),
        }
    }

    /// The client closes a channel: whatever it has out goes back before the close-ok.
    fn close_channel(&mut self, number: u16) {
        self.release_channel(number);
        self.channels.remove(&number);
        self.link.send(number, &Method::ChannelCloseOk {});
    }

    /// A channel that the server closed absorbs everything until its close-ok.
    fn on_closing_channel(&mut self, number: u16, method: &Method<'_>) {
        match method {
            Method::ChannelCloseOk {} => {
                self.channels.remove(&number);
            }
            Method::ChannelClose { .. } => {
                self.link.send(number, &Method::ChannelCloseOk {});
            }
            _ => {}
        }
    }

    /// Closes the channel or the connection for an error at the method with these ids.
    pub(super) fn fail(&mut self, number: u16, failure: Failure, ids: (u16, u16)) {
        if failure.hard || number == 0 {
            return self.fail_connection(failure, ids);
        }
        self.end_turn();
        self.release_channel(number);
        let text = failure.reply_text();
        tracing::info!(channel = number, error = %text, "channel closed by an error");
        self.link.send(
            number,
            &Method::ChannelClose {
                reply_code: failure.code.code(),
                reply_text: &text,
                class_id: ids.0,
                method_id: ids.1,
            },
        );
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.state = ChannelState::Closing;
        }
    }

    /// Closes the connection for an error; before it is open, by silence (RabbitMQ does not trust
    /// such a client, and makes it wait).
    pub(super) fn fail_connection(&mut self, failure: Failure, ids: (u16, u16)) {
        if !matches!(self.phase, Phase::Running) {
            return self.fall_silent();
        }
        self.end_turn();
        self.release_all();
        let text = failure.reply_text();
        tracing::info!(error = %text, "connection closed by an error");
        self.send_close(failure.code, &text, ids);
    }

    pub(super) fn send_close(&mut self, code: ReplyCode, text: &str, ids: (u16, u16)) {
        let method = Method::ConnectionClose {
            reply_code: code.code(),
            reply_text: text,
            class_id: ids.0,
            method_id: ids.1,
        };
        self.link.send(0, &method);
        self.phase = Phase::Closing(self.link.now.after(CLOSE_TIMEOUT_MS));
    }

    /// Everything that the connection holds goes back: consumers, deliveries, exclusive queues.
    pub(crate) fn release_all(&mut self) {
        let mut numbers: Vec<u16> = self.channels.keys().copied().collect();
        numbers.sort_unstable();
        // The latest consumers first: a queue has them in the order of their coming.
        for number in numbers.into_iter().rev() {
            self.release_channel(number);
        }
        self.channels.clear();
        self.half = None;
        self.link.flush();
        for queue in std::mem::take(&mut self.link.exclusive) {
            self.link.broker().drop_queue(&queue, DropReason::OwnerGone, self.link.now);
        }
        self.link.leave();
    }

    /// What the server or others have for this connection.
    pub(crate) fn take_mail(&mut self, now: Timestamp) {
        self.link.now = now;
        for notice in self.link.mailbox.take_notices() {
            self.on_notice(notice);
        }
        self.take_deliveries();
        self.send_confirms();
        self.link.flush();
        self.watch_log();
    }

    /// Sends what queues have left in the mailbox.
    pub(super) fn take_deliveries(&mut self) {
        let mut mail = std::mem::take(&mut self.mail);
        self.link.mailbox.take_mail(&mut mail);
        if !mail.deliveries.is_empty() {
            self.link.acks.on_delivered(self.link.now);
        }
        for run in mail.deliveries.chunk_by(|one, next| one.consumer == next.consumer) {
            self.deliver(run);
        }
        for consumer in mail.cancelled.drain(..) {
            self.on_queue_gone(consumer);
        }
        mail.deliveries.clear();
        // A burst's memory is given back; a steady stream keeps its own.
        if mail.deliveries.capacity() <= 1024 {
            self.mail = mail;
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::Cut) {
            return self.cut();
        }
        if !matches!(self.phase, Phase::Running) {
            match (notice, &self.phase) {
                (Notice::Close(_), Phase::Handshake(..) | Phase::Late(_)) => {
                    self.phase = Phase::Ended
                }
                (Notice::Login(outcome), _) => self.on_login(outcome),
                (Notice::Access(change), _) => self.on_access_change(&change),
                _ => {}
            }
            return;
        }
        match notice {
            Notice::Close(reason) => {
                let failure = Failure::new(ReplyCode::ConnectionForced, reason);
                self.fail_connection(failure, (0, 0));
            }
            Notice::Blocked if self.link.publishes => self.tell_blocked(),
            Notice::Access(change) => self.on_access_change(&change),
            Notice::Timeouts => self.link.refresh(),
            Notice::Login(outcome) => self.on_secret(outcome),
            Notice::Blocked | Notice::Cut => {}
            Notice::Unblocked => {
                self.link.acks.put_off(self.link.now);
                if std::mem::take(&mut self.told_blocked) {
                    self.link.send(0, &Method::ConnectionUnblocked {});
                }
            }
        }
    }

    fn tell_blocked(&mut self) {
        if self.wants_blocked
            && !self.told_blocked
            && let Some(reason) = self.link.shared.alarms.reason()
        {
            self.told_blocked = true;
            self.link.send(0, &Method::ConnectionBlocked { reason });
        }
    }

    /// Hands the turn's work to the queues and sends the confirms that follow.
    pub(super) fn end_turn(&mut self) {
        let position = self.link.flush();
        self.note_published(position);
        self.send_confirms();
        self.hold_input();
        self.watch_log();
        if self.is_held_up() {
            self.tell_blocked();
        }
    }

    /// When [`Self::on_time`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let times = [
            self.deadline_of_phase(),
            self.link.rest_until,
            self.link.acks.at,
            self.expiry(),
            self.send_deadline(),
        ];
        times.into_iter().flatten().min()
    }

    fn deadline_of_phase(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Handshake(_, at) | Phase::Closing(at) => Some(at),
            Phase::Late(at) | Phase::Silent(at) => Some(at),
            Phase::Running if self.heartbeat_ms > 0 => {
                Some(self.write_deadline().min(self.read_deadline()))
            }
            Phase::Running => None,
            Phase::Ended => Some(self.last_write.max(self.last_read).after(CLOSE_TIMEOUT_MS)),
        }
    }

    /// Gives room for deliveries back once the half of the out-buffer is written.
    pub(crate) fn release_room(&mut self) {
        if self.link.claimed > 0 && self.link.out.len() * 2 < self.link.options.out_buffer_max_bytes
        {
            self.link.release();
        }
    }

    /// Heartbeats and deadlines.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        self.link.now = now;
        let heard = !self.is_paused() || self.last_read.after(CHECK_MS) >= now;
        if self.link.rest_until.is_some_and(|at| at <= now) {
            self.end_rest();
        }
        self.check_acks(heard);
        self.check_expiry();
        if self.send_deadline().is_some_and(|at| at <= now) {
            tracing::warn!(connection = ?self.connection(), "the client takes nothing: closed");
            return self.cut();
        }
        if self.link.out.is_held() {
            self.restart_deadline(now);
        }
        match self.phase {
            Phase::Running if self.heartbeat_ms > 0 => self.on_heartbeat_time(now),
            Phase::Running => {}
            Phase::Late(at) if at <= now => self.tell_refusal(),
            // The handshake takes too long, or the peer does not take what is left for it.
            _ if self.deadline_of_phase().is_some_and(|at| at <= now) => self.cut(),
            _ => {}
        }
    }

    /// Ends the connection at once; what was to be sent is not.
    pub(super) fn cut(&mut self) {
        self.release_all();
        self.link.out = OutBuffer::default();
        self.stuck_since = None;
        self.phase = Phase::Ended;
    }
}

impl Drop for Session {
    /// Also when its task panics, nothing that it holds stays behind.
    fn drop(&mut self) {
        self.release_all();
    }
}
