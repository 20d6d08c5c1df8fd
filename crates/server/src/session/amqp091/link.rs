//! What all channels of a connection share: the way out, the way to the broker, and what one turn
//! has gathered for the queues.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use leveret_broker::broker::{Broker, Outgoing, Principal, Route};
use leveret_broker::definitions::Topology;
use leveret_broker::ids::{ConsumerId, Name, QueueId, Seq, Timestamp};
use leveret_broker::log::Position;
use leveret_broker::queue::{ChannelLimit, QueueHandle, Settlement};
use leveret_wire::amqp091::method::Method;

use super::consumer_timeout::AckWatch;
use super::routes::Routes;
use super::tenancy::{Quotas, Seats};
use super::traces::Traces;
use crate::net::mailbox::Mailbox;
use crate::net::out_buffer::OutBuffer;
use crate::options::Options;
use crate::session::Peer;
use crate::shared::Shared;
use crate::stats::{ChannelStats, ConnectionStats};
use crate::tenants::Published;

/// A consumer of this connection.
#[derive(Debug, Clone)]
pub(super) struct ConsumerEntry {
    pub(super) channel: u16,
    pub(super) tag: Name,
    pub(super) no_ack: bool,
    /// None for direct reply-to.
    pub(super) queue: Option<Arc<QueueHandle>>,
}

#[derive(Debug)]
struct Settling {
    queue: Arc<QueueHandle>,
    how: Settlement,
    seqs: Vec<Seq>,
}

/// A negotiated connection.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    /// As of this turn.
    pub(super) options: Arc<Options>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) stats: Arc<ConnectionStats>,
    /// The route that the last publishes took, with how many they are: not counted yet.
    passing: Option<(Arc<Route>, u64)>,
    pub(super) out: OutBuffer,
    pub(super) who: Principal,
    pub(super) peer: Peer,
    /// Whom a publish may name as its user; none of those who may name anybody.
    pub(super) sender: Option<Name>,
    pub(super) now: Timestamp,
    /// The negotiated largest frame; 0 is no limit.
    pub(super) frame_max: u32,
    /// The client wants to hear of cancelled consumers.
    pub(super) wants_cancel: bool,
    pub(super) consumers: HashMap<ConsumerId, ConsumerEntry, FixedState>,
    /// Queues that go with this connection.
    pub(super) exclusive: Vec<Arc<QueueHandle>>,
    /// How many of them make it worth to look for deleted ones.
    exclusive_sweep: usize,
    pub(super) topology: Arc<Topology>,
    pub(super) routes: Routes,
    pub(super) outgoing: Outgoing,
    /// Channels with publishes in this turn that wait for a confirm.
    pub(super) confirming: Vec<u16>,
    /// When the first of them came, by [`crate::clock::micros`].
    pub(super) confirming_since: u64,
    settling: Vec<Settling>,
    /// Settled deliveries that channels' limits are to be told of, by channel.
    releases: Vec<(u16, Arc<ChannelLimit>, u32)>,
    /// Where the next resume begins, so that queues take turns.
    resume_turn: Cell<usize>,
    /// Messages that a queue refused: channel and publish tag.
    pub(super) rejected: Vec<(u16, u64)>,
    /// The last position that this connection has appended something at.
    pub(super) appended: Position,
    /// The client has changed definitions or committed in this turn.
    pub(super) defines: bool,
    /// Nothing is read until then, so that consumers catch up.
    pub(super) rest_until: Option<Timestamp>,
    /// The client publishes, and so is held up by a resource alarm, and by a log that is behind.
    pub(super) publishes: bool,
    /// A channel may be in the middle of a body.
    pub(super) has_halves: bool,
    /// What was published and is not charged yet.
    pub(super) published: Published,
    /// While the connection is open.
    pub(super) seats: Option<Seats>,
    /// None when no quota says anything.
    pub(super) quotas: Option<Box<Quotas>>,
    pub(super) acks: AckWatch,
    /// While OpenTelemetry is on.
    pub(super) traces: Option<Box<Traces>>,
    /// A publish that is there as a whole needs no look at its frames.
    pub(super) takes_wholes: bool,
    /// Bytes of deliveries in `out`, claimed from the mailbox.
    pub(super) claimed: usize,
}

/// How long a publisher rests whose queue's consumers wait for messages to be read back, in
/// milliseconds. It would only make the way of every message longer: to the disk and back.
const REST_MS: u64 = 2;

/// A publish's identity in [`Outgoing`]: channel in the upper 16 bits, its confirm tag below.
pub(super) fn mark(channel: u16, tag: u64) -> u64 {
    u64::from(channel) << 48 | tag & ((1 << 48) - 1)
}

impl Link {
    pub(super) fn new(
        shared: Arc<Shared>,
        mailbox: Arc<Mailbox>,
        peer: Peer,
        now: Timestamp,
    ) -> Self {
        let connection = shared.broker.new_connection();
        let topology = shared.broker.topology().clone();
        let options = shared.options.load_full();
        Self {
            stats: Arc::new(ConnectionStats::new(connection, &peer, now)),
            passing: None,
            who: Principal::new(connection),
            sender: None,
            peer,
            out: OutBuffer::default(),
            now: Timestamp(0),
            frame_max: 0,
            wants_cancel: false,
            consumers: HashMap::default(),
            exclusive: Vec::new(),
            topology,
            routes: Routes::default(),
            outgoing: Outgoing::default(),
            confirming: Vec::new(),
            confirming_since: 0,
            settling: Vec::new(),
            releases: Vec::new(),
            resume_turn: Cell::new(0),
            exclusive_sweep: 16,
            rejected: Vec::new(),
            appended: Position::START,
            defines: false,
            rest_until: None,
            publishes: false,
            has_halves: false,
            published: Published::default(),
            seats: None,
            quotas: None,
            acks: AckWatch::default(),
            traces: None,
            takes_wholes: !options.limits_headers(),
            claimed: 0,
            options,
            shared,
            mailbox,
        }
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.shared.broker
    }

    /// Counts a publish that takes this route.
    #[inline]
    pub(super) fn count_route(&mut self, route: &Arc<Route>) {
        match &mut self.passing {
            Some((last, count)) if Arc::ptr_eq(last, route) => *count += 1,
            _ => {
                self.count_passed();
                self.passing = Some((Arc::clone(route), 1));
            }
        }
    }

    fn count_passed(&mut self) {
        if let Some((route, count)) = self.passing.take()
            && let Some(traffic) = &route.traffic
        {
            let routed = count * route.queues.len() as u64;
            self.stats.routed.add(routed);
            traffic.count(count, routed);
        }
    }

    /// A channel has begun.
    pub(super) fn start_channel(&self, number: u16) -> Arc<ChannelStats> {
        let stats = Arc::new(ChannelStats::new(number));
        self.stats.add_channel(&stats);
        self.shared.retired.channels_created.fetch_add(1, Ordering::Relaxed);
        stats
    }

    /// A channel has ended.
    pub(super) fn end_channel(&self, number: u16) {
        let topology = self.broker().topology();
        let exists = |vhost: &Name| topology.vhosts.contains_key(vhost);
        self.shared.retired.end_channel(&self.stats, number, exists);
    }

    /// Sends a method.
    pub(super) fn send(&mut self, channel: u16, method: &Method<'_>) {
        method.encode_frame(channel, self.out.tail());
    }

    /// Looks at the newest definitions and options, once a turn.
    pub(super) fn refresh(&mut self) {
        let options = self.shared.options.load();
        if !Arc::ptr_eq(&options, &self.options) {
            self.options = Arc::clone(&options);
            self.look_at_frames();
            self.acks.on_change(self.now);
        }
        let topology = self.shared.broker.topology();
        if topology.version != self.topology.version {
            self.topology = Arc::clone(&topology);
            self.look_up_sender();
            self.look_up_quotas();
            self.acks.on_change(self.now);
        }
        self.routes.refresh(self.topology.version);
    }

    /// Has publishes taken frame by frame where something is to be looked at in them.
    fn look_at_frames(&mut self) {
        self.takes_wholes = !self.options.limits_headers() && self.traces.is_none();
    }

    /// The connection is open: its traces are recorded while OpenTelemetry is on.
    pub(super) fn trace(&mut self) {
        if let Some(telemetry) = self.shared.telemetry.get() {
            let vhost = self.who.vhost.clone();
            let traces = Traces::new(Arc::clone(telemetry), self.peer.address, vhost);
            self.traces = Some(Box::new(traces));
            self.look_at_frames();
        }
    }

    /// Holds back whatever is sent from now on until `position` is durable.
    pub(super) fn hold(&mut self, position: Position) {
        if position > self.broker().log().durable() {
            self.out.hold(position);
        }
    }

    /// Notes that a definition or a commit of this connection is at `position` of the log.
    pub(super) fn note_change(&mut self, position: Position) {
        self.appended = self.appended.max(position);
        self.defines = true;
    }

    /// Gathers settlements.
    pub(super) fn settle(
        &mut self,
        queue: &Arc<QueueHandle>,
        seqs: impl IntoIterator<Item = Seq>,
        how: Settlement,
    ) {
        match self.settling.last_mut() {
            Some(last) if last.how == how && Arc::ptr_eq(&last.queue, queue) => {
                last.seqs.extend(seqs);
            }
            _ => {
                let seqs = seqs.into_iter().collect();
                self.settling.push(Settling { queue: Arc::clone(queue), how, seqs });
            }
        }
    }

    /// Hands all that was gathered to the queues: publishes first, then settlements. The position
    /// at which all of it is durable: what a client acknowledged before a publish is as sure as
    /// that once the publish is confirmed.
    pub(super) fn flush(&mut self) -> Position {
        self.count_passed();
        let mut position = Position::START;
        if !self.outgoing.is_empty() {
            let flushed = self.shared.broker.flush(&mut self.outgoing, self.now);
            position = flushed.position;
            if flushed.starved {
                self.rest_until = Some(self.now.after(REST_MS));
            }
            let unmark = |mark: u64| ((mark >> 48) as u16, mark & ((1 << 48) - 1));
            self.rejected.extend(flushed.rejected.into_iter().map(unmark));
            self.shared.check_memory(self.now);
        }
        let settling = std::mem::take(&mut self.settling);
        if let Some(traces) = &mut self.traces {
            traces.flushed();
            for group in &settling {
                traces.settled(&group.queue, &group.seqs, group.how);
            }
        }
        for group in settling {
            let settled = self.broker().settle(&group.queue, &group.seqs, group.how, self.now);
            position = position.max(settled);
        }
        self.appended = self.appended.max(position);
        // After the settlements: what returned goes out again before what stands behind it.
        for (channel, limit, count) in std::mem::take(&mut self.releases) {
            if limit.release(count) {
                self.resume(Some(channel));
            }
        }
        position
    }

    /// Has the queues of the given consumers, or of all, try again.
    pub(super) fn resume(&self, channel: Option<u16>) {
        let wanted = self
            .consumers
            .values()
            .filter(|entry| channel.is_none_or(|channel| channel == entry.channel))
            .filter_map(|entry| entry.queue.as_ref());
        let queues: BTreeMap<QueueId, &Arc<QueueHandle>> =
            wanted.map(|queue| (queue.spec.id, queue)).collect();
        let turn = self.resume_turn.get();
        self.resume_turn.set(turn.wrapping_add(1));
        let first = turn % queues.len().max(1);
        for queue in queues.values().cycle().skip(first).take(queues.len()) {
            self.broker().resume(queue, self.now);
        }
    }

    /// Has a channel's limit told, at the end of the turn, that deliveries are settled.
    pub(super) fn release_limit(&mut self, channel: u16, limit: &Arc<ChannelLimit>, settled: u32) {
        match self.releases.last_mut() {
            Some((last, _, count)) if *last == channel => *count += settled,
            _ => self.releases.push((channel, Arc::clone(limit), settled)),
        }
    }

    /// Notes a queue that goes with this connection, and forgets those that are gone.
    pub(super) fn own(&mut self, queue: &Arc<QueueHandle>) {
        if self.exclusive.len() >= self.exclusive_sweep {
            self.exclusive.retain(|queue| !queue.is_deleted());
            self.exclusive_sweep = (self.exclusive.len() * 2).max(16);
        }
        self.exclusive.push(Arc::clone(queue));
    }

    /// Room for deliveries is back.
    pub(super) fn release(&mut self) {
        let claimed = std::mem::take(&mut self.claimed);
        if claimed > 0 && self.mailbox.release(claimed) {
            self.resume(None);
        }
    }
}
