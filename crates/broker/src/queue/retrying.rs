//! Delayed retry in a locked queue: what comes back may have to rest before it is ready again
//! (RabbitMQ: Quorum Queues, "Delayed Retry").

use super::Batch;
use super::batch::Settlement;
use super::messages::Slot;
use crate::definitions::{Backoff, DelayedRetry, RetryKind};
use crate::ids::Seq;

impl DelayedRetry {
    /// How long a message rests at its `count`th return, in milliseconds. Jitter makes it shorter
    /// by up to so many per cent; it comes from the place and the count.
    fn delay(&self, seq: Seq, count: u32) -> u64 {
        let delay = match self.backoff {
            Backoff::Linear => self.min_ms.saturating_mul(u64::from(count)),
            Backoff::Fixed => self.min_ms,
            Backoff::Exponential => {
                let doubled = 1_u64.checked_shl(count.saturating_sub(1)).unwrap_or(u64::MAX);
                self.min_ms.saturating_mul(doubled)
            }
        };
        let delay = delay.min(self.max_ms);
        let span = delay / 100 * u64::from(self.jitter_percent)
            + delay % 100 * u64::from(self.jitter_percent) / 100;
        delay - mix(seq.0.rotate_left(32) ^ u64::from(count)) % (span + 1)
    }
}

/// Spreads numbers that are near each other over all (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

impl Batch<'_> {
    /// Puts a message back to its place, now or after a rest.
    pub(super) fn put_back(&mut self, slot: Slot, how: Settlement) {
        let retry = self.queue.settings.delayed_retry.filter(|retry| match retry.kind {
            RetryKind::All => true,
            RetryKind::Failed => how == Settlement::Requeue,
            RetryKind::Returned => how == Settlement::Release,
        });
        let Some(retry) = retry else {
            self.note_return(slot.seq);
            self.queue.messages.put_back(slot);
            return;
        };
        let count = slot.returns.saturating_add(1);
        let at = self.context.now.after(retry.delay(slot.seq, count));
        let keeps = self.context.window < usize::MAX;
        self.queue.messages.rest(slot, at, keeps);
    }

    /// Has messages be ready again whose rest is over.
    pub(super) fn wake(&mut self) {
        if self.queue.messages.next_wake() <= self.context.now {
            for seq in self.queue.messages.wake(self.context.now) {
                self.note_return(seq);
            }
        }
    }

    fn note_return(&mut self, seq: Seq) {
        if let Some(groups) = &mut self.queue.groups {
            groups.came_back(seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(backoff: Backoff, max_ms: u64) -> Vec<u64> {
        let kind = RetryKind::All;
        let retry = DelayedRetry { kind, min_ms: 100, max_ms, backoff, jitter_percent: 0 };
        [1, 2, 3, 4, 5, u32::MAX].map(|count| retry.delay(Seq(9), count)).to_vec()
    }

    #[test]
    fn delays_grow_to_the_most() {
        assert_eq!(delays(Backoff::Linear, 350), [100, 200, 300, 350, 350, 350]);
        assert_eq!(delays(Backoff::Fixed, 350), [100; 6]);
        assert_eq!(delays(Backoff::Exponential, 1_500), [100, 200, 400, 800, 1_500, 1_500]);
        assert_eq!(delays(Backoff::Exponential, u64::MAX)[5], u64::MAX);
    }

    #[test]
    fn jitter_spreads_and_only_shortens() {
        let (kind, backoff) = (RetryKind::All, Backoff::Fixed);
        let retry =
            DelayedRetry { kind, min_ms: 1_000, max_ms: 1_000, backoff, jitter_percent: 20 };
        let delays: Vec<u64> = (1..=1_000).map(|seq| retry.delay(Seq(seq), 1)).collect();
        assert!(delays.iter().all(|delay| (800..=1_000).contains(delay)));
        let early = delays.iter().filter(|delay| **delay < 900).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the first half");
        assert_eq!(retry.delay(Seq(7), 1), retry.delay(Seq(7), 1));
        assert_ne!(retry.delay(Seq(7), 1), retry.delay(Seq(7), 2));
    }
}
