//! The unconfirmed messages of one producer, shared by the thread that publishes and the thread
//! that reads the confirms.
//!
//! A ring of stamps: the producer writes slots ahead of `lowest`, the settler clears them.
//! Invariant: every sequence number from `lowest` to the last published has its own slot, so a
//! slot is not written before its former number is settled.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

/// Room for messages that settle out of order behind one that is late.
const SLOTS_PER_MESSAGE: usize = 4;

/// How many messages a producer may have unconfirmed, and when each was sent.
#[derive(Debug)]
pub(super) struct Window {
    size: u64,
    slots: Vec<AtomicU64>,
    published: AtomicU64,
    settled: AtomicU64,
    lowest: AtomicU64,
}

impl Window {
    pub(super) fn new(size: u32) -> Window {
        let slots = (size as usize * SLOTS_PER_MESSAGE).next_power_of_two();
        Window {
            size: u64::from(size),
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            published: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            lowest: AtomicU64::new(1),
        }
    }

    fn slot(&self, number: u64) -> Option<&AtomicU64> {
        self.slots.get(number as usize & (self.slots.len() - 1))
    }

    /// How many more messages may be published.
    pub(super) fn room(&self) -> u64 {
        let published = self.published.load(Acquire);
        let free = self.size.saturating_sub(self.outstanding());
        let span = published + 1 - self.lowest.load(Acquire);
        free.min((self.slots.len() as u64).saturating_sub(span))
    }

    /// How many messages are published and not settled.
    pub(super) fn outstanding(&self) -> u64 {
        self.published.load(Acquire).saturating_sub(self.settled.load(Acquire))
    }

    /// How much room is worth waking up for: a producer that is woken for each single confirm
    /// would write single messages.
    pub(super) const fn worthwhile(&self) -> u64 {
        if self.size < 8 { 1 } else { self.size / 8 }
    }

    /// Notes the next messages before they are written; for the producer only.
    pub(super) fn publish(&self, count: usize, mut stamp: impl FnMut(usize) -> u64) {
        let published = self.published.load(Acquire);
        for index in 0..count {
            if let Some(slot) = self.slot(published + 1 + index as u64) {
                slot.store(stamp(index).max(1), Release);
            }
        }
        self.published.store(published + count as u64, Release);
    }

    /// Settles one message or all up to it, telling each one's stamp; for the settler only.
    /// Returns how many there were.
    pub(super) fn settle(&self, tag: u64, multiple: bool, mut take: impl FnMut(u64)) -> u64 {
        let published = self.published.load(Acquire);
        let lowest = self.lowest.load(Acquire);
        let last = if tag == 0 { published } else { tag.min(published) };
        let first = if multiple { lowest } else { last.max(lowest) };
        let mut count = 0;
        for number in first..=last {
            let stamp = self.slot(number).map_or(0, |slot| slot.swap(0, Release));
            if stamp != 0 {
                take(stamp);
                count += 1;
            }
        }
        let mut next = if multiple { lowest.max(last + 1) } else { lowest };
        while next <= published && self.slot(next).is_some_and(|slot| slot.load(Acquire) == 0) {
            next += 1;
        }
        self.lowest.store(next, Release);
        self.settled.fetch_add(count, Release);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(window: &Window, tag: u64, multiple: bool) -> Vec<u64> {
        let mut stamps = Vec::new();
        let count = window.settle(tag, multiple, |stamp| stamps.push(stamp));
        assert_eq!(count, stamps.len() as u64);
        stamps
    }

    #[test]
    fn confirms_in_any_order_give_each_stamp_once() {
        let window = Window::new(4);
        window.publish(4, |index| 10 + index as u64);
        assert_eq!(window.room(), 0);
        assert_eq!(settle(&window, 2, false), [11]);
        assert_eq!(settle(&window, 2, false), [0; 0]);
        assert_eq!(window.room(), 1);
        assert_eq!(settle(&window, 3, true), [10, 12]);
        assert_eq!(settle(&window, 9, true), [13], "a tag never published does no harm");
        assert_eq!((window.room(), window.outstanding()), (4, 0));
    }

    #[test]
    fn a_late_confirm_holds_the_ring_back_and_zero_means_all() {
        let window = Window::new(2);
        window.publish(1, |_| 1);
        for number in 2..=8 {
            assert_eq!(window.room(), 1);
            window.publish(1, |_| number);
            assert_eq!(settle(&window, number, false), [number]);
        }
        assert_eq!(window.room(), 0, "eight slots hold eight numbers");
        assert_eq!(settle(&window, 0, true), [1]);
        assert_eq!(window.room(), 2);
    }
}
