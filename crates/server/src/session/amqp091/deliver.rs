//! From the mailbox to the socket: deliveries, cancelled consumers, and the end of a channel.

use leveret_broker::ids::ConsumerId;
use leveret_broker::message::Message;
use leveret_broker::queue::{Delivery, Settlement};
use leveret_wire::amqp091::constants::FRAME_END;
use leveret_wire::amqp091::frame::{write_body_frame_header, write_content_header, write_deliver};
use leveret_wire::amqp091::method::Method;

use super::channel::{ChannelState, Content, Mode};
use super::connection::Session;
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

impl Session {
    /// Sends a delivery; one for a channel that is closing goes back to its queue.
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let link = &mut self.link;
        link.claimed += delivery.message.size();
        let Some(entry) = link.consumers.get(&delivery.consumer) else { return };
        let number = entry.channel;
        let open = self.channels.get_mut(&number).filter(|ch| ch.state == ChannelState::Open);
        let Some(channel) = open else {
            if let (false, Some(queue)) = (entry.no_ack, entry.queue.clone()) {
                link.settle(&queue, delivery.seq, Settlement::Release);
            }
            return;
        };
        let tag = channel.last_tag + 1;
        if entry.queue.is_some() {
            // RabbitMQ's direct replies do not count.
            channel.last_tag = tag;
        }
        let message = &delivery.message;
        let (exchange, routing_key) = message.names();
        write_deliver(
            link.out.tail(),
            number,
            &entry.tag,
            tag,
            delivery.redelivered,
            exchange,
            routing_key,
        );
        write_content(&mut link.out, number, message, link.frame_max);
        if let (false, Some(queue)) = (entry.no_ack, &entry.queue) {
            let queue = queue.clone();
            channel.unacked.push(Unacked { tag, queue, seq: delivery.seq, by_consumer: true });
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
        let mut unacked = channel.unacked.take_all();
        if let Mode::Tx(transaction) = &mut channel.mode {
            unacked.append(&mut transaction.take_unsettled());
            self.link.broker().count_memory(-(transaction.bytes as i64));
        }
        channel.mode = Mode::Plain;
        let mut ids: Vec<ConsumerId> = channel.consumers.values().copied().collect();
        ids.sort_unstable();
        for unacked in &unacked {
            self.link.settle(&unacked.queue, unacked.seq, Settlement::Release);
        }
        // The consumers end first, so that what returns does not come back to them.
        for id in &ids {
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
