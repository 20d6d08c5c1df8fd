//! The end of a batch: what it changed goes to the log as one group, then deliveries go out.

use super::messages::Head;
use super::{Batch, Departure, QueueHandle};
use crate::ids::Timestamp;
use crate::log::{Entry, Position};

/// What the caller must do after the queue is unlocked.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be published elsewhere.
    pub departures: Vec<Departure>,
    /// Messages are to be read back.
    pub load: bool,
    /// Consumers could take messages that are not read back yet.
    pub starved: bool,
}

/// What finishing a batch gives.
#[derive(Debug, Default)]
pub struct Finished {
    /// When all of the batch is durable.
    pub position: Position,
    /// When the queue wants to be looked at again.
    pub alarm: Option<Timestamp>,
    /// Bytes of messages that the queue holds more than before.
    pub memory_change: i64,
    /// What is to be done outside of the lock.
    pub effects: Effects,
}

impl<'a> Batch<'a> {
    /// Delivers what can be delivered, and lets go of the queue.
    pub fn finish(mut self) -> Finished {
        self.settle_time();
        let entries = self.take_entries();
        let mut position = Position::START;
        if !entries.is_empty() {
            position = self.context.log.append(&entries);
        }
        self.release(position).1
    }

    fn settle_time(&mut self) {
        self.dispatch();
        if self.is_due() {
            self.expire();
        }
        self.ask_ahead();
    }

    /// Deliveries leave before the unlock, so that they come in order, and after the append, so
    /// that what is done with them stands behind it in the log.
    fn release(mut self, position: Position) -> (&'a QueueHandle, Finished) {
        self.queue.delivered.appended(position);
        if let Some(memory) = &mut self.queue.memory {
            memory.appended(position);
        }
        self.note_waits();
        self.queue.consumers.flush();
        let alarm = self.alarm();
        let away = matches!(self.queue.messages.head(), Head::Away(_));
        self.effects.starved = away && self.queue.consumers.has_turn();
        let memory_change = self.queue.bytes() as i64 - self.bytes_before as i64;
        let position = position.max(self.least);
        let Batch { handle, queue, effects, .. } = self;
        drop(queue);
        (handle, Finished { position, alarm, memory_change, effects })
    }
}

/// Finishes batches on several queues: their durable entries are one group of the log, so that they
/// are durable as a whole. `each` gets what every queue asks for, in order, while those behind it
/// are still locked.
pub fn finish_all<'a>(batches: Vec<Batch<'a>>, each: impl FnMut(&'a QueueHandle, Finished)) {
    finish_with(Vec::new(), batches, each);
}

/// The same, with `entries` in front of the group; when that is durable.
pub(crate) fn finish_with<'a>(
    mut entries: Vec<Entry>,
    mut batches: Vec<Batch<'a>>,
    mut each: impl FnMut(&'a QueueHandle, Finished),
) -> Position {
    for batch in &mut batches {
        batch.settle_time();
        entries.append(&mut batch.take_entries());
    }
    let mut position = Position::START;
    if let Some(batch) = batches.first()
        && !entries.is_empty()
    {
        position = batch.context.log.append(&entries);
    }
    for batch in batches {
        let (handle, finished) = batch.release(position);
        each(handle, finished);
    }
    position
}
