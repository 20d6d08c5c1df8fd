//! Publisher confirms (RabbitMQ: Publisher Confirms): an ack once all queues have a message and
//! the log has made it durable, a nack if one refused it.
//!
//! Invariant: the positions of what is pending rise, and `held_bytes` is what it takes of memory.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use leveret_broker::histogram::Histogram;
use leveret_broker::log::Position;
use leveret_wire::amqp091::frame::{write_ack, write_nack};
use leveret_wire::amqp091::method::Method;

use super::channel::{Channel, Mode};
use super::connection::Session;
use super::failure::{Failure, Outcome};
use super::link::Link;
use crate::clock;
use crate::net::out_buffer::OutBuffer;

/// Publishes up to a tag that are durable at a position.
#[derive(Debug)]
struct Pending {
    position: Position,
    up_to: u64,
    rejected: Vec<u64>,
    /// When the first of them came.
    since: u64,
}

impl Pending {
    fn held_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.rejected)
    }
}

#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// The tag of the last publish.
    published: u64,
    /// Up to here every publish is answered.
    confirmed: u64,
    pending: VecDeque<Pending>,
    held_bytes: usize,
}

impl Confirms {
    /// Notes that all publishes so far are durable at `position`, but for those that were rejected.
    fn note(&mut self, position: Position, rejected: &[(u16, u64)], since: u64) {
        let seen = self.pending.back().map_or(self.confirmed, |last| last.up_to);
        let rejected = rejected.iter().map(|(_, tag)| *tag).filter(|tag| *tag > seen);
        match self.pending.back_mut() {
            // They are answered together anyway.
            Some(last) if position <= last.position => {
                self.held_bytes -= last.held_bytes();
                last.up_to = self.published;
                last.rejected.extend(rejected);
                self.held_bytes += last.held_bytes();
            }
            _ => {
                let rejected = rejected.collect();
                let pending = Pending { position, up_to: self.published, rejected, since };
                self.held_bytes += pending.held_bytes();
                self.pending.push_back(pending);
            }
        }
    }

    /// Sends what is durable: one ack for a run of publishes. `times` is told how long they waited,
    /// as long as the first of them that came in one turn.
    fn send(&mut self, channel: u16, durable: Position, out: &mut OutBuffer, times: &Histogram) {
        let mut up_to = self.confirmed;
        let mut now = None;
        while let Some(pending) = self.pending.pop_front_if(|one| one.position <= durable) {
            self.held_bytes -= pending.held_bytes();
            for &rejected in &pending.rejected {
                ack(channel, self.confirmed, rejected - 1, out);
                write_nack(out.tail(), channel, rejected, false, false);
                self.confirmed = rejected;
            }
            let now = *now.get_or_insert_with(clock::micros);
            times.note(now.saturating_sub(pending.since), pending.up_to - up_to);
            up_to = pending.up_to;
        }
        ack(channel, self.confirmed, up_to, out);
        self.confirmed = self.confirmed.max(up_to);
    }
}

/// Acknowledges the tags behind `after` up to `up_to`.
fn ack(channel: u16, after: u64, up_to: u64, out: &mut OutBuffer) {
    if up_to > after {
        write_ack(out.tail(), channel, up_to, up_to - after > 1);
    }
}

impl Channel {
    pub(super) fn on_confirm_select(&mut self, link: &mut Link, no_wait: bool) -> Outcome {
        match self.mode {
            Mode::Tx(_) => {
                let text = "cannot switch from tx to confirm mode";
                return Err(Failure::precondition(text));
            }
            Mode::Plain => {
                self.mode = Mode::Confirm(Confirms::default());
                self.stats.confirms.store(true, Ordering::Relaxed);
            }
            Mode::Confirm(_) => {}
        }
        self.answer(link, no_wait, &Method::ConfirmSelectOk {});
        Ok(())
    }

    /// Counts a publish; its tag.
    pub(super) fn note_publish(&mut self, link: &mut Link) -> u64 {
        let Mode::Confirm(confirms) = &mut self.mode else { return 0 };
        confirms.published += 1;
        if link.confirming.last() != Some(&self.number) {
            if link.confirming.is_empty() {
                link.confirming_since = clock::micros();
            }
            link.confirming.push(self.number);
        }
        confirms.published
    }
}

impl Session {
    /// Notes at which position the turn's publishes are durable.
    pub(super) fn note_published(&mut self, position: Position) {
        let mut rejected = std::mem::take(&mut self.link.rejected);
        rejected.sort_unstable();
        rejected.dedup();
        let since = self.link.confirming_since;
        for number in std::mem::take(&mut self.link.confirming) {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            let Mode::Confirm(confirms) = &mut channel.mode else { continue };
            let first = rejected.partition_point(|(other, _)| *other < number);
            let behind = rejected.partition_point(|(other, _)| *other <= number);
            confirms.note(position, &rejected[first..behind], since);
            channel.stats.publish_confirm.set(confirms.published);
            if !self.unconfirmed.contains(&number) {
                self.unconfirmed.push(number);
            }
        }
    }

    /// Sends the confirms that are durable. Notes for which position the first of the others waits,
    /// and how much memory they take.
    pub(super) fn send_confirms(&mut self) {
        (self.confirms_wait_for, self.confirms_bytes) = (None, 0);
        if self.unconfirmed.is_empty() {
            return;
        }
        let durable = self.link.broker().log().durable();
        let (channels, out) = (&mut self.channels, &mut self.link.out);
        let times = &self.link.shared.confirm_times;
        let (next, held_bytes) = (&mut self.confirms_wait_for, &mut self.confirms_bytes);
        self.unconfirmed.retain(|number| {
            let Some(Channel { mode: Mode::Confirm(confirms), stats, .. }) =
                channels.get_mut(number).map(Box::as_mut)
            else {
                return false;
            };
            let before = confirms.confirmed;
            confirms.send(*number, durable, out, times);
            stats.confirm.add(confirms.confirmed - before);
            stats.unconfirmed.set(confirms.published - confirms.confirmed);
            let waiting = confirms.pending.front().map(|pending| pending.position);
            *next = [*next, waiting].into_iter().flatten().min();
            *held_bytes += confirms.held_bytes;
            waiting.is_some()
        });
    }
}
