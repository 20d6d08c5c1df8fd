//! Messages that expire before one that stands in front of them: the look at a queue's heads would
//! find them late.
//!
//! They stand in buckets by time, each in the order of their places: messages come in that order,
//! and go in it, so that a message of ten million costs a look at one bucket, not at a tree of all.
//!
//! Who pays: an entry of 16 bytes for each such message, and some more for each bucket. A queue
//! whose messages expire in the order in which they came has none, nor has one without times to
//! live. Invariant: each entry is of a ready message, or of a place that the log turned out not to
//! have; no bucket is empty.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Seq, Timestamp};

/// The memory of an entry.
const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;
/// The memory of a bucket beside its entries.
const BUCKET_BYTES: u64 = 64;
/// A bucket has what expires within so many milliseconds.
const BUCKET_MS: u64 = 16;
/// With so few entries each is looked at when it is due.
const FEW: usize = 64;
/// Otherwise those that are due within so many milliseconds are taken together.
const TOGETHER_MS: u64 = 20;

/// A place that is known from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) expires_at: Timestamp,
    /// The length of the body.
    pub(crate) body_len: u64,
}

#[derive(Debug)]
struct Entry {
    seq: Seq,
    body_len: u32,
    /// Milliseconds since the bucket's beginning.
    offset: u32,
}

/// What expires at about the same time, by place.
#[derive(Debug)]
struct Bucket {
    entries: VecDeque<Entry>,
    /// Nothing in it expires before this.
    first: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Late {
    /// By time, in units of [`BUCKET_MS`].
    buckets: BTreeMap<u64, Bucket>,
    /// Entries of all of them.
    len: usize,
    /// When all that was due was taken for the last time.
    taken_at: Timestamp,
}

fn expiry(bucket: u64, entry: &Entry) -> Timestamp {
    Timestamp(bucket * BUCKET_MS + u64::from(entry.offset))
}

impl Bucket {
    fn position(&self, seq: Seq) -> Result<usize, usize> {
        match self.entries.back() {
            // Mostly it is the last one that came.
            Some(last) if last.seq < seq => Err(self.entries.len()),
            _ => self.entries.binary_search_by_key(&seq, |entry| entry.seq),
        }
    }

    /// When the first of them expires.
    fn earliest(&self, bucket: u64) -> Timestamp {
        let all = self.entries.iter().map(|entry| expiry(bucket, entry));
        all.min().unwrap_or(Timestamp::NEVER)
    }

    /// Moves what is due to `places`, `max` at most.
    fn take_due(&mut self, bucket: u64, now: Timestamp, max: usize, places: &mut Vec<Place>) {
        let place = |entry: &Entry| Place {
            seq: entry.seq,
            expires_at: expiry(bucket, entry),
            body_len: entry.body_len.into(),
        };
        if (bucket * BUCKET_MS).saturating_add(BUCKET_MS) <= now.0 {
            let count = self.entries.len().min(max);
            places.extend(self.entries.drain(..count).map(|entry| place(&entry)));
            return;
        }
        let mut left = max;
        self.entries.retain(|entry| {
            let due = left > 0 && expiry(bucket, entry) <= now;
            if due {
                left -= 1;
                places.push(place(entry));
            }
            !due
        });
        self.first = self.earliest(bucket);
    }
}

impl Late {
    pub(super) fn bytes(&self) -> u64 {
        self.len as u64 * ENTRY_BYTES + self.buckets.len() as u64 * BUCKET_BYTES
    }

    pub(super) fn insert(&mut self, place: Place) {
        let Place { seq, expires_at, body_len } = place;
        let bucket = self
            .buckets
            .entry(expires_at.0 / BUCKET_MS)
            .or_insert_with(|| Bucket { entries: VecDeque::new(), first: expires_at });
        let Err(at) = bucket.position(seq) else { return };
        let body_len = u32::try_from(body_len).unwrap_or(u32::MAX);
        let offset = (expires_at.0 % BUCKET_MS) as u32;
        bucket.entries.insert(at, Entry { seq, body_len, offset });
        bucket.first = bucket.first.min(expires_at);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, expires_at: Timestamp, seq: Seq) {
        if self.len == 0 {
            return;
        }
        let number = expires_at.0 / BUCKET_MS;
        let Some(bucket) = self.buckets.get_mut(&number) else { return };
        let Ok(at) = bucket.position(seq) else { return };
        bucket.entries.remove(at);
        self.len -= 1;
        if bucket.entries.is_empty() {
            self.buckets.remove(&number);
        }
    }

    pub(super) fn clear(&mut self) {
        if self.len > 0 {
            self.buckets.clear();
            self.len = 0;
        }
    }

    /// When the first of them expires, or a little before; only those that do not expire before
    /// `from` count, which is the beginning of a bucket.
    pub(super) fn first_from(&self, from: Timestamp) -> Option<Timestamp> {
        let first = self.buckets.range(from.0 / BUCKET_MS..).next()?.1.first;
        Some(first.max(from))
    }

    /// Has `take` called with each place that expires from `now` on and before about `until`, of
    /// those known already (up to `seen`, and before `known`) none. It says when to stop: gives the
    /// beginning of the first bucket that was not looked at.
    pub(super) fn between(
        &self,
        (now, until): (Timestamp, Timestamp),
        (seen, known): (Seq, Timestamp),
        mut take: impl FnMut(Seq, u64) -> bool,
    ) -> Timestamp {
        let end = until.0 / BUCKET_MS;
        for (number, bucket) in self.buckets.range(now.0.min(until.0) / BUCKET_MS..end) {
            let is_known = *number < known.0 / BUCKET_MS;
            let skip = match is_known {
                true => bucket.entries.partition_point(|entry| entry.seq <= seen),
                false => 0,
            };
            for entry in bucket.entries.range(skip..) {
                if !take(entry.seq, entry.body_len.into()) {
                    return Timestamp((*number + 1) * BUCKET_MS);
                }
            }
        }
        Timestamp(end * BUCKET_MS)
    }

    /// When [`Self::take_due`] is to be called.
    pub(super) fn next(&self) -> Timestamp {
        let Some((number, bucket)) = self.buckets.first_key_value() else {
            return Timestamp::NEVER;
        };
        if self.len <= FEW {
            return bucket.earliest(*number);
        }
        self.taken_at.after(TOGETHER_MS).max(bucket.first)
    }

    /// Takes what is due at `now`, but `max` entries at most, ordered by place.
    pub(super) fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<Place> {
        let mut places = Vec::new();
        while let Some(mut first) = self.buckets.first_entry() {
            let number = *first.key();
            if first.get().first > now || number * BUCKET_MS > now.0 {
                self.taken_at = now;
                break;
            }
            let before = places.len();
            if before == max {
                break;
            }
            first.get_mut().take_due(number, now, max - before, &mut places);
            self.len -= places.len() - before;
            if first.get().entries.is_empty() {
                first.remove();
            }
        }
        places.sort_unstable_by_key(|place| place.seq);
        places
    }

    #[cfg(test)]
    pub(super) fn seqs(&self) -> impl Iterator<Item = (Timestamp, Seq)> {
        let mut all: Vec<(Timestamp, Seq)> = Vec::new();
        for (number, bucket) in &self.buckets {
            assert!(!bucket.entries.is_empty());
            assert!(bucket.first <= bucket.earliest(*number));
            all.extend(bucket.entries.iter().map(|entry| (expiry(*number, entry), entry.seq)));
        }
        assert_eq!(all.len(), self.len);
        all.sort_unstable();
        all.into_iter()
    }
}
