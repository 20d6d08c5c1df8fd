//! Taking messages out of the middle of a queue: those that expire before others in front of them,
//! and those that somebody picked.

use super::late::Place;
use super::level::Taken;
use super::{Body, Messages, Slot};
use crate::ids::Timestamp;
use crate::message::Message;

/// What was taken out.
#[derive(Debug, Default)]
pub(in crate::queue) struct TakenPlaces {
    /// In the order of their places. One without its message is durable.
    pub(in crate::queue) slots: Vec<Slot>,
    /// Those that no slot stood for: their messages were never in memory, and are durable or
    /// spilled.
    pub(in crate::queue) stored: Vec<Slot>,
    /// Some of `stored` may be spilled.
    pub(in crate::queue) spilled: bool,
}

impl Messages {
    /// Takes ready messages out, wherever they stand; what is not there is passed over. `places`
    /// are in order. A search each, whatever the length of the queue.
    pub(in crate::queue) fn take_places(&mut self, places: &[Place]) -> TakenPlaces {
        let spilled = self.away.spilled;
        let mut taken = TakenPlaces { spilled, ..TakenPlaces::default() };
        for place in places {
            for index in 0..self.levels.len() {
                match self.levels[index].take(place.seq) {
                    Some(Taken::Slot(slot)) => {
                        self.count_out(&slot);
                        self.late.remove(slot.expires_at, slot.seq);
                        taken.slots.push(slot);
                    }
                    Some(Taken::Stored) => taken.stored.push(self.stored_slot(place, index)),
                    None => continue,
                }
                break;
            }
        }
        self.levels.iter_mut().for_each(super::Level::promote);
        // Who has asked for them does not find them.
        self.epoch += u64::from(!places.is_empty());
        self.shrink();
        taken
    }

    /// A slot for a place that is one no more.
    fn stored_slot(&mut self, place: &Place, index: usize) -> Slot {
        self.ready -= 1;
        self.late.remove(place.expires_at, place.seq);
        let (returns, redelivered) = self.away.leave(place.seq, place.body_len);
        let body_len = place.body_len as usize;
        Slot {
            seq: place.seq,
            body: Body::Away { body_len, size: body_len + size_of::<Message>() },
            expires_at: place.expires_at,
            returns,
            redelivered,
            durable: self.durable,
            level: index as u8,
        }
    }

    /// Notes a ready message whose time is up before that of one in front of it.
    pub(super) fn note_late(&mut self, slot: &Slot) {
        if slot.expires_at < self.latest(usize::from(slot.level)) {
            let (seq, expires_at, body_len) = (slot.seq, slot.expires_at, slot.body_len());
            self.late.insert(Place { seq, expires_at, body_len });
        }
    }

    /// Takes messages that have expired at `now` behind others, `max` at most.
    pub(in crate::queue) fn take_late(&mut self, now: Timestamp, max: usize) -> TakenPlaces {
        let places = self.late.take_due(now, max);
        self.take_places(&places)
    }
}
