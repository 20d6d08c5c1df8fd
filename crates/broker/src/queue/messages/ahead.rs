//! Reading ahead what a schedule is going to route: messages lie in the log in the order in which
//! they came, and are due in another, so each would be a read of its own at the very moment.
//! Seconds before, those that are due within the next seconds are read in the order of the log,
//! neighbours at once, and let go of again: then the system's cache has them.
//!
//! Invariants: `places` are rising, and bounded; what has no place in them any more, or never had
//! one, is read when it is due.

use super::Messages;
use crate::ids::{Seq, Timestamp};
use crate::log::SeqRange;

/// So long before it is due, a message should have been read.
const AHEAD_MS: u64 = 5_000;
/// How much further is read at once: the more, the nearer they lie to each other.
const SPAN_MS: u64 = 10_000;
/// How often there is a look for what has come since and is due sooner.
const AGAIN_MS: u64 = 500;
/// The same after messages were put away, when all is read again: under pressure that is all the
/// time.
const ANEW_MS: u64 = 2_500;
/// Most places, and bytes of them, that are read ahead in one go.
const PLACES_MAX: usize = 1 << 17;
const BYTES_MAX: u64 = 64 << 20;
/// Most places that are asked for at once.
const PIECE: usize = 2_048;

/// What of a queue is read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    places: Vec<Seq>,
    /// How many of them have been read.
    read: usize,
    /// What is due before this, and not behind `seen`, has been looked at.
    until: Timestamp,
    seen: Seq,
    looked_at: Timestamp,
}

impl Messages {
    /// When [`Self::look_ahead`] has something to find.
    pub(in crate::queue) fn next_ahead(&self) -> Timestamp {
        let ahead = &self.ahead;
        if self.away.count == 0 || !ahead.places.is_empty() {
            return Timestamp::NEVER;
        }
        let later = self.late.first_from(ahead.until);
        let later = later.map(|first| Timestamp(first.0.saturating_sub(AHEAD_MS)));
        let newer = self.last_seq > ahead.seen.0
            && self.late.first_from(Timestamp(0)).is_some_and(|first| first < ahead.until);
        let again = if ahead.seen == Seq(0) { ANEW_MS } else { AGAIN_MS };
        let newer = newer.then(|| ahead.looked_at.after(again));
        later.into_iter().chain(newer).min().unwrap_or(Timestamp::NEVER)
    }

    /// Finds what is due soon and not in memory, if it is time.
    pub(in crate::queue) fn look_ahead(&mut self, now: Timestamp) {
        if self.next_ahead() > now {
            return;
        }
        let (levels, mut places, mut bytes) = (&self.levels, Vec::new(), 0);
        let known = (self.ahead.seen, self.ahead.until);
        let span = (now, now.after(AHEAD_MS + SPAN_MS));
        let until = self.late.between(span, known, |seq, body_len| {
            if levels.iter().any(|level| level.stored.contains(seq)) {
                places.push(seq);
                bytes += body_len;
            }
            places.len() < PLACES_MAX && bytes < BYTES_MAX
        });
        places.sort_unstable();
        self.ahead = Ahead { places, read: 0, until, seen: Seq(self.last_seq), looked_at: now };
    }

    /// Has the next look find what the last one found in memory.
    pub(super) fn look_ahead_anew(&mut self) {
        self.ahead.seen = Seq(0);
    }

    /// Whether there is something to be read ahead.
    pub(in crate::queue) fn is_reading_ahead(&self) -> bool {
        !self.ahead.places.is_empty()
    }

    /// What to read next.
    pub(in crate::queue) fn ahead_next(&self) -> Vec<SeqRange> {
        let mut ranges = Vec::new();
        let left = self.ahead.places.get(self.ahead.read..).unwrap_or_default();
        left.iter().take(PIECE).for_each(|seq| SeqRange::push(&mut ranges, *seq));
        ranges
    }

    /// That was read, up to the last that was found.
    pub(in crate::queue) fn read_ahead(&mut self, ranges: &[SeqRange], found: Option<Seq>) {
        let ahead = &mut self.ahead;
        let last = found.or(ranges.last().map(|range| range.last));
        let Some(last) = last else { return };
        ahead.read = ahead.places.partition_point(|seq| *seq <= last);
        if ahead.read >= ahead.places.len() {
            ahead.places = Vec::new();
        }
    }

    /// The memory of what is known of places to be read.
    pub(super) fn ahead_bytes(&self) -> u64 {
        (self.ahead.places.len() * size_of::<Seq>()) as u64
    }
}
