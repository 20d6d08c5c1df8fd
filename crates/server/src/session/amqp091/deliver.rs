//! From the mailbox to the socket: deliveries, cancelled consumers, and the end of a channel.

use std::sync::Arc;

use leveret_broker::ids::ConsumerId;
use leveret_broker::message::Message;
use leveret_broker::queue::{self, Settlement};
use leveret_wire::amqp091::constants::FRAME_END;
use leveret_wire::amqp091::frame::{
    Delivery, write_body_frame_header, write_content_header, write_deliver, write_delivery,
};
use leveret_wire::amqp091::method::Method;

use super::channel::{ChannelState, Content, Mode};
use super::connection::Session;
use super::link::ConsumerEntry;
use super::traces::{Delivered, Traces};
use super::unacked::Unacked;
use crate::net::out_buffer::{OutBuffer, SHARE_FROM};

/// What a body frame has beside its payload.
const FRAME_OVERHEAD: usize = 8;

/// Writes content header and body, split into frames of at most `frame_max` bytes (0: no limit).
pub(super) fn write_content(out: &mut OutBuffer, channel: u16, message: &Message, frame_max: u32) {
    let body = message.body();
    write_content_header(out.tail(), channel, body.len() as u64, message.properties());
    let most = match frame_max as usize {
        0 => usize::MAX / 2,
        max => max.saturating_sub(FRAME_OVERHEAD).max(1),
    };
    if body.len() < SHARE_FROM {
        for chunk in body.chunks(most) {
            let tail = out.tail();
            tail.reserve(chunk.len() + FRAME_OVERHEAD);
            write_body_frame_header(tail, channel, chunk.len() as u32);
            tail.extend_from_slice(chunk);
            tail.push(FRAME_END);
        }
        return;
    }
    let mut rest = message.body_shared();
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(most));
        write_body_frame_header(out.tail(), channel, chunk.len() as u32);
        out.push_shared(chunk);
        out.tail().push(FRAME_END);
    }
}

/// Writes a delivery; a small body in one frame goes in one piece with its method and header.
#[inline]
fn write_message(out: &mut OutBuffer, message: &Message, delivery: Delivery<'_>, frame_max: u32) {
    let body = message.body();
    let fits = frame_max == 0 || body.len() + FRAME_OVERHEAD <= frame_max as usize;
    if fits && body.len() < SHARE_FROM && !body.is_empty() {
        write_delivery(
            out.tail(),
            &Delivery { properties: message.properties(), body, ..delivery },
        );
        return;
    }
    write_deliver(
        out.tail(),
        delivery.channel,
        delivery.consumer_tag,
        delivery.delivery_tag,
        delivery.redelivered,
        delivery.exchange,
        delivery.routing_key,
    );
    write_content(out, delivery.channel, message, frame_max);
}

/// Records the deliveries to one consumer, the first of which gets the tag behind `last_tag`.
fn note_run(traces: &mut Traces, entry: &ConsumerEntry, run: &[queue::Delivery], last_tag: u64) {
    let Some(queue) = &entry.queue else { return };
    for (delivery, tag) in run.iter().zip(last_tag + 1..) {
        traces.delivered(&Delivered {
            operation: "deliver",
            queue,
            seq: delivery.seq,
            message: &delivery.message,
            redelivered: delivery.redelivered,
            tag,
            no_ack: entry.no_ack,
            consumer_tag: Some(&entry.tag),
        });
    }
}

impl Session {
    /// Sends deliveries of one consumer; those for a channel that is closing go back to their
    /// queue.
    pub(super) fn deliver(&mut self, run: &[queue::Delivery]) {
        let Some(first) = run.first() else { return };
        let link = &mut self.link;
        link.claimed += run.iter().map(|delivery| delivery.claimed).sum::<usize>();
        let Some(entry) = link.consumers.get(&first.consumer) else { return };
        let number = entry.channel;
        let open = self.channels.get_mut(&number).filter(|ch| ch.state == ChannelState::Open);
        let Some(channel) = open else {
            if let (false, Some(queue)) = (entry.no_ack, entry.queue.clone()) {
                let seqs = run.iter().map(|delivery| delivery.seq);
                link.settle(&queue, seqs, Settlement::Release);
            }
            return;
        };
        if let Some(traces) = &mut link.traces {
            note_run(traces, entry, run, channel.last_tag);
        }
        // RabbitMQ's direct replies do not count.
        let counts = u64::from(entry.queue.is_some());
        let stats = &channel.stats;
        let count = if entry.no_ack { &stats.deliver_no_ack } else { &stats.deliver };
        count.add(run.len() as u64);
        let mut redelivered_count = 0;
        for queue::Delivery { seq, redelivered, message, .. } in run {
            let tag = channel.last_tag + 1;
            redelivered_count += u64::from(*redelivered);
            channel.last_tag += counts;
            let (exchange, routing_key) = message.names();
            let delivery = Delivery {
                channel: number,
                consumer_tag: &entry.tag,
                exchange,
                routing_key,
                delivery_tag: tag,
                redelivered: *redelivered,
                properties: &[],
                body: &[],
            };
            write_message(&mut link.out, message, delivery, link.frame_max);
            if let (false, Some(queue)) = (entry.no_ack, &entry.queue) {
                let queue = Arc::clone(queue);
                channel.unacked.push(Unacked { tag, queue, seq: *seq, by_consumer: true });
            }
        }
        if redelivered_count > 0 {
            channel.stats.redeliver.add(redelivered_count);
        }
    }

    /// A consumer's queue was deleted (RabbitMQ: Consumer Cancel Notification).
    pub(super) fn on_queue_gone(&mut self, id: ConsumerId) {
        let Some(entry) = self.link.consumers.get(&id).cloned() else { return };
        let Some(channel) = self.channels.get_mut(&entry.channel) else { return };
        channel.forget_consumer(&mut self.link, id);
        if self.link.wants_cancel && channel.state == ChannelState::Open {
            let method = Method::BasicCancel { consumer_tag: &entry.tag, no_wait: true };
            self.link.send(entry.channel, &method);
        }
    }

    /// Everything that a channel holds goes back: its consumers end, its deliveries return to their
    /// queues, its transaction is undone.
    pub(super) fn release_channel(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.content = Content::None;
        if channel.state == ChannelState::Closing {
            return;
        }
        channel.state = ChannelState::Closing;
        channel.seat = None;
        self.link.end_channel(number);
        let mut unacked = channel.unacked.take_all();
        if let Mode::Tx(transaction) = &mut channel.mode {
            unacked.append(&mut transaction.take_unsettled());
            self.link.broker().count_memory(-(transaction.bytes as i64));
        }
        channel.mode = Mode::Plain;
        let mut ids: Vec<ConsumerId> = channel.consumers.values().copied().collect();
        ids.sort_unstable();
        for unacked in &unacked {
            self.link.settle(&unacked.queue, [unacked.seq], Settlement::Release);
        }
        // The consumers end first, so that what returns does not come back to them.
        for id in ids.iter().rev() {
            self.stop_consumer(*id);
        }
        self.link.flush();
        self.take_deliveries();
        self.link.flush();
        if let Some(channel) = self.channels.get_mut(&number) {
            for id in ids {
                channel.forget_consumer(&mut self.link, id);
            }
        }
    }
}
