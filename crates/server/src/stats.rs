//! What connections and channels have done, for who administers the server.
//!
//! Invariants: each count is written by its own connection's task alone, so that counting is a load
//! and a store; whoever reads may see counts of different moments. What a channel counted is added
//! to its vhost's when it ends, so that totals do not fall.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use leveret_broker::ids::{ConnectionId, ConsumerId, Name, Timestamp};
use leveret_broker::message::FieldTable;
use leveret_broker::queue::QueueHandle;
use leveret_management::node::{MessageCounts, Traffic};

use crate::session::Peer;

/// How many vhosts' counts there are before those of vhosts that are gone are looked for.
const SWEEP_FROM: usize = 64;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Empties it, once its writer is gone.
    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A consumer as it was asked for.
#[derive(Debug)]
pub(crate) struct ConsumerStats {
    pub(crate) id: ConsumerId,
    pub(crate) tag: Name,
    /// None for direct replies.
    pub(crate) queue: Option<Arc<QueueHandle>>,
    pub(crate) no_ack: bool,
    pub(crate) exclusive: bool,
    pub(crate) prefetch: u32,
    pub(crate) arguments: FieldTable,
}

/// What a channel has done and has.
#[derive(Debug, Default)]
pub(crate) struct ChannelStats {
    pub(crate) number: u16,
    pub(crate) publish: Count,
    pub(crate) confirm: Count,
    /// Publishes that expect one.
    pub(crate) publish_confirm: Count,
    pub(crate) return_unroutable: Count,
    pub(crate) drop_unroutable: Count,
    pub(crate) deliver: Count,
    pub(crate) deliver_no_ack: Count,
    pub(crate) get: Count,
    pub(crate) get_no_ack: Count,
    pub(crate) get_empty: Count,
    pub(crate) ack: Count,
    pub(crate) redeliver: Count,
    /// Deliveries that are not out any more, however that came.
    pub(crate) settled: Count,
    /// Publishes that wait for their confirm.
    pub(crate) unconfirmed: Count,
    pub(crate) prefetch: Count,
    pub(crate) global_prefetch: Count,
    pub(crate) confirms: AtomicBool,
    pub(crate) transactional: AtomicBool,
    consumers: Mutex<Vec<Arc<ConsumerStats>>>,
}

impl ChannelStats {
    pub(crate) fn new(number: u16) -> Self {
        Self { number, ..Self::default() }
    }

    pub(crate) fn add_consumer(&self, consumer: ConsumerStats) {
        lock(&self.consumers).push(Arc::new(consumer));
    }

    pub(crate) fn remove_consumer(&self, id: ConsumerId) {
        let mut consumers = lock(&self.consumers);
        if let Some(at) = consumers.iter().position(|one| one.id == id) {
            consumers.swap_remove(at);
        }
    }

    pub(crate) fn consumers(&self) -> Vec<Arc<ConsumerStats>> {
        lock(&self.consumers).clone()
    }

    /// Deliveries that wait for an acknowledgement.
    pub(crate) fn unacked(&self) -> u64 {
        (self.deliver.get() + self.get.get()).saturating_sub(self.settled.get())
    }

    fn add_to(&self, traffic: &mut Traffic) {
        traffic.channels += 1;
        traffic.publishers += u64::from(self.publish.get() > 0);
        traffic.consumers += lock(&self.consumers).len() as u64;
        traffic.unacked += self.unacked();
        traffic.unconfirmed += self.unconfirmed.get();
        traffic.prefetch += self.prefetch.get();
        traffic.global_prefetch += self.global_prefetch.get();
    }

    pub(crate) fn counts(&self) -> MessageCounts {
        MessageCounts {
            publish: self.publish.get(),
            confirm: self.confirm.get(),
            return_unroutable: self.return_unroutable.get(),
            drop_unroutable: self.drop_unroutable.get(),
            deliver: self.deliver.get(),
            deliver_no_ack: self.deliver_no_ack.get(),
            get: self.get.get(),
            get_no_ack: self.get_no_ack.get(),
            get_empty: self.get_empty.get(),
            ack: self.ack.get(),
            redeliver: self.redeliver.get(),
            publish_confirm: self.publish_confirm.get(),
            // Counted by connection.
            routed: 0,
        }
    }
}

/// What is known of a connection once it is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) user: Name,
    pub(crate) vhost: Name,
    pub(crate) mechanism: &'static str,
    /// Encoded, as they came: few are ever looked at.
    pub(crate) client_properties: Box<[u8]>,
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat_secs: u64,
}

/// What a connection has done and has.
#[derive(Debug)]
pub(crate) struct ConnectionStats {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    /// The version of TLS; none on a plain connection.
    pub(crate) tls: Option<&'static str>,
    pub(crate) connected_at: Timestamp,
    pub(crate) opened: OnceLock<Box<Opened>>,
    pub(crate) received_bytes: Count,
    pub(crate) received_reads: Count,
    pub(crate) sent_bytes: Count,
    pub(crate) sent_writes: Count,
    /// How often its messages were routed to a queue; zero once that is counted as ended.
    pub(crate) routed: Count,
    channels: Mutex<BTreeMap<u16, Arc<ChannelStats>>>,
}

impl ConnectionStats {
    pub(crate) fn new(id: ConnectionId, peer: &Peer, connected_at: Timestamp) -> Self {
        Self {
            id,
            peer: peer.address,
            local: peer.local,
            tls: peer.tls.as_ref().map(|tls| tls.version),
            connected_at,
            opened: OnceLock::new(),
            received_bytes: Count::default(),
            received_reads: Count::default(),
            sent_bytes: Count::default(),
            sent_writes: Count::default(),
            routed: Count::default(),
            channels: Mutex::default(),
        }
    }

    pub(crate) fn on_received(&self, bytes: usize) {
        self.received_bytes.add(bytes as u64);
        self.received_reads.add(1);
    }

    pub(crate) fn on_sent(&self, bytes: usize) {
        self.sent_bytes.add(bytes as u64);
        self.sent_writes.add(1);
    }

    pub(crate) fn add_channel(&self, channel: &Arc<ChannelStats>) {
        lock(&self.channels).insert(channel.number, Arc::clone(channel));
    }

    pub(crate) fn channels(&self) -> Vec<Arc<ChannelStats>> {
        lock(&self.channels).values().cloned().collect()
    }

    pub(crate) fn vhost(&self) -> Option<&Name> {
        self.opened.get().map(|opened| &opened.vhost)
    }
}

#[derive(Debug, Default)]
struct Ended {
    /// Of all vhosts, those that are gone among them.
    all: MessageCounts,
    by_vhost: HashMap<Name, MessageCounts>,
    /// Bytes and reads, bytes and writes.
    received: (u64, u64),
    sent: (u64, u64),
}

/// What ended channels and connections leave behind.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    ended: Mutex<Ended>,
    pub(crate) connections_created: AtomicU64,
    pub(crate) connections_closed: AtomicU64,
    pub(crate) channels_created: AtomicU64,
    pub(crate) channels_closed: AtomicU64,
}

impl Retired {
    /// A channel has ended: takes it off its connection's list, and adds up what it has counted.
    pub(crate) fn end_channel(
        &self,
        connection: &ConnectionStats,
        number: u16,
        exists: impl Fn(&Name) -> bool,
    ) {
        // Under the lock, so that whoever sums up sees it once.
        let mut ended = lock(&self.ended);
        let Some(channel) = lock(&connection.channels).remove(&number) else { return };
        self.channels_closed.fetch_add(1, Ordering::Relaxed);
        let counts = channel.counts();
        if let Some(vhost) = connection.vhost() {
            ended.add(vhost, &counts, exists);
        }
    }

    /// A connection has ended, and counts nothing any more.
    pub(crate) fn end_connection(
        &self,
        connection: &ConnectionStats,
        exists: impl Fn(&Name) -> bool,
    ) {
        let mut ended = lock(&self.ended);
        let routed = connection.routed.take();
        if let Some(vhost) = connection.vhost() {
            ended.add(vhost, &MessageCounts { routed, ..MessageCounts::default() }, exists);
        }
        ended.received.0 += connection.received_bytes.take();
        ended.received.1 += connection.received_reads.take();
        ended.sent.0 += connection.sent_bytes.take();
        ended.sent.1 += connection.sent_writes.take();
    }

    /// Counts what was done without a channel.
    pub(crate) fn count(
        &self,
        vhost: &Name,
        counts: &MessageCounts,
        exists: impl Fn(&Name) -> bool,
    ) {
        lock(&self.ended).add(vhost, counts, exists);
    }

    /// All that was counted, as a whole and by vhost, with what `connections` have counted so far.
    pub(crate) fn sum(
        &self,
        connections: &[Arc<ConnectionStats>],
    ) -> (MessageCounts, HashMap<Name, MessageCounts>) {
        let ended = lock(&self.ended);
        let (mut all, mut by_vhost) = (ended.all, ended.by_vhost.clone());
        for connection in connections {
            let Some(vhost) = connection.vhost() else { continue };
            let routed = connection.routed.get();
            let mut counts = MessageCounts { routed, ..MessageCounts::default() };
            for channel in lock(&connection.channels).values() {
                counts.add(&channel.counts());
            }
            all.add(&counts);
            by_vhost.entry(vhost.clone()).or_default().add(&counts);
        }
        drop(ended);
        (all, by_vhost)
    }

    /// What `connections` have, and all have sent and received.
    pub(crate) fn traffic(&self, connections: &[Arc<ConnectionStats>]) -> Traffic {
        let ended = lock(&self.ended);
        let (received, sent) = (ended.received, ended.sent);
        let mut traffic = Traffic { received, sent, ..Traffic::default() };
        for connection in connections {
            traffic.received.0 += connection.received_bytes.get();
            traffic.received.1 += connection.received_reads.get();
            traffic.sent.0 += connection.sent_bytes.get();
            traffic.sent.1 += connection.sent_writes.get();
            if connection.vhost().is_none() {
                continue;
            }
            traffic.connections += 1;
            for channel in lock(&connection.channels).values() {
                channel.add_to(&mut traffic);
            }
        }
        drop(ended);
        traffic
    }
}

impl Ended {
    fn add(&mut self, vhost: &Name, counts: &MessageCounts, exists: impl Fn(&Name) -> bool) {
        if self.by_vhost.len() >= SWEEP_FROM && !self.by_vhost.contains_key(vhost) {
            self.by_vhost.retain(|name, _| exists(name));
        }
        self.all.add(counts);
        self.by_vhost.entry(vhost.clone()).or_default().add(counts);
    }
}
