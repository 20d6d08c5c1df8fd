//! What is remembered: the last values, each for its time, and the last number of each producer.
//!
//! Invariants: no more than so many values, and so many producers; of two, the one that was taken
//! first is forgotten first. A value that was taken again after its time has two places until the
//! older one is the oldest of all. A value costs at most 160 bytes of memory, a producer 200.

use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::identity::{Digest, Key};
use crate::definitions::Deduplication;
use crate::ids::{Seq, Timestamp};

/// The memory of one identity, about: between what a table that is full and one that has just
/// grown take.
const BYTES_EACH: u64 = 112;

#[derive(Debug)]
struct Remembered {
    digest: Digest,
    expires_at: Timestamp,
    /// Its record's place in the log, 0 without one.
    place: Seq,
}

#[derive(Debug)]
struct Producer {
    last: i64,
    expires_at: Timestamp,
    /// The last record's place, 0 without one.
    place: Seq,
    /// When it was taken, as a count.
    turn: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Oldest first; those in front of them were forgotten.
    values: VecDeque<Remembered>,
    first: u64,
    /// The number of each value's last place.
    index: HashMap<Digest, u64, FixedState>,
    producers: HashMap<Digest, Producer, FixedState>,
    by_turn: BTreeMap<u64, Digest>,
    turn: u64,
}

impl Window {
    /// Whether the same was taken before, as far as it is remembered.
    pub(super) fn knows(&self, key: &Key, now: Timestamp) -> bool {
        match key {
            Key::Value(digest) => self
                .index
                .get(digest)
                .and_then(|number| self.values.get((number - self.first) as usize))
                .is_some_and(|found| found.expires_at > now),
            Key::Sequence(producer, number) => self
                .producers
                .get(producer)
                .is_some_and(|found| found.expires_at > now && *number <= found.last),
        }
    }

    /// Remembers what was taken, with its record's place in the log, or 0. `forget` gets the places
    /// of records that are of no use any more.
    pub(super) fn remember(
        &mut self,
        key: Key,
        place: Seq,
        expires_at: Timestamp,
        forget: &mut dyn FnMut(Seq),
    ) {
        match key {
            Key::Value(digest) => {
                self.index.insert(digest, self.first + self.values.len() as u64);
                self.values.push_back(Remembered { digest, expires_at, place });
            }
            Key::Sequence(digest, number) => {
                self.turn += 1;
                let turn = self.turn;
                let mut producer = Producer { last: number, expires_at, place, turn };
                if let Some(before) = self.producers.get(&digest) {
                    self.by_turn.remove(&before.turn);
                    if place == Seq(0) {
                        // What is less sure does not replace what the log knows.
                        producer.place = before.place;
                    } else {
                        tell(before.place, forget);
                    }
                }
                self.by_turn.insert(turn, digest);
                self.producers.insert(digest, producer);
            }
        }
    }

    /// Forgets what is too old, or too much.
    pub(super) fn trim(
        &mut self,
        limits: &Deduplication,
        now: Timestamp,
        forget: &mut dyn FnMut(Seq),
    ) {
        let most = limits.cache_size;
        while let Some(oldest) = self.values.front()
            && (self.values.len() as u64 > most || oldest.expires_at <= now)
        {
            tell(oldest.place, forget);
            if self.index.get(&oldest.digest) == Some(&self.first) {
                self.index.remove(&oldest.digest);
            }
            self.values.pop_front();
            self.first += 1;
        }
        while let Some((turn, digest)) = self.by_turn.first_key_value()
            && let Some(oldest) = self.producers.get(digest)
            && (self.by_turn.len() as u64 > most || oldest.expires_at <= now)
        {
            tell(oldest.place, forget);
            let turn = *turn;
            self.producers.remove(digest);
            self.by_turn.remove(&turn);
        }
        self.shrink();
    }

    /// Gives memory back once most of it is free.
    fn shrink(&mut self) {
        if self.values.capacity() > 1024 && self.values.len() < self.values.capacity() / 8 {
            self.values.shrink_to(self.values.len() * 2);
            self.index.shrink_to(self.index.len() * 2);
        }
        if self.producers.capacity() > 1024 && self.producers.len() < self.producers.capacity() / 8
        {
            self.producers.shrink_to(self.producers.len() * 2);
        }
    }

    /// The memory that it takes, about.
    pub(super) fn bytes(&self) -> u64 {
        (self.values.len() + self.producers.len()) as u64 * BYTES_EACH
    }
}

fn tell(place: Seq, forget: &mut dyn FnMut(Seq)) {
    if place != Seq(0) {
        forget(place);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The window as lists of all that was taken.
    #[derive(Default)]
    struct Model {
        values: Vec<(u8, u64)>,
        producers: Vec<(u8, i64, u64)>,
    }

    impl Model {
        fn knows(&self, key: Key, now: u64) -> bool {
            match key {
                Key::Value(digest) => {
                    self.values.iter().any(|(value, until)| *value == digest[0] && *until > now)
                }
                Key::Sequence(digest, number) => {
                    let mut known = self.producers.iter();
                    known.any(|(name, last, until)| {
                        *name == digest[0] && *until > now && number <= *last
                    })
                }
            }
        }

        fn remember(&mut self, key: Key, until: u64) {
            match key {
                Key::Value(digest) => self.values.push((digest[0], until)),
                Key::Sequence(digest, number) => {
                    self.producers.retain(|(name, ..)| *name != digest[0]);
                    self.producers.push((digest[0], number, until));
                }
            }
        }

        fn trim(&mut self, most: usize, now: u64) {
            while self.values.len() > most || self.values.first().is_some_and(|one| one.1 <= now) {
                self.values.remove(0);
            }
            while self.producers.len() > most
                || self.producers.first().is_some_and(|one| one.2 <= now)
            {
                self.producers.remove(0);
            }
        }
    }

    fn key() -> impl Strategy<Value = Key> {
        prop_oneof![
            (0..12_u8).prop_map(|value| Key::Value([value; 16])),
            (0..6_u8, 0..20_i64).prop_map(|(name, number)| Key::Sequence([name; 16], number)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Each publish with its time to live, whether the log has it, and how far the clock goes,
        /// which may be back.
        #[test]
        fn agrees_with_a_list(
            most in 1..8_u64,
            publishes in prop::collection::vec(
                (key(), 1..200_u64, any::<bool>(), -20..40_i64),
                1..300,
            ),
        ) {
            let limits = Deduplication { cache_size: most, cache_ttl_ms: None };
            let (mut window, mut model) = (Window::default(), Model::default());
            let (mut now, mut last) = (1000_u64, 0);
            let mut live: BTreeSet<Seq> = BTreeSet::new();
            for (key, ttl, logged, step) in publishes {
                now = now.saturating_add_signed(step);
                let known = window.knows(&key, Timestamp(now));
                prop_assert_eq!(known, model.knows(key, now));
                if known {
                    continue;
                }
                let mut place = Seq(0);
                if logged {
                    last += 1;
                    place = Seq(last);
                    live.insert(place);
                }
                let mut gone = Vec::new();
                let mut forget = |seq| gone.push(seq);
                window.remember(key, place, Timestamp(now + ttl), &mut forget);
                window.trim(&limits, Timestamp(now), &mut forget);
                model.remember(key, now + ttl);
                model.trim(most as usize, now);
                for seq in gone {
                    prop_assert!(live.remove(&seq), "{:?} was forgotten twice", seq);
                }
                prop_assert!(window.values.len() as u64 <= most);
                prop_assert!(window.producers.len() as u64 <= most);
                prop_assert_eq!(window.producers.len(), window.by_turn.len());
                prop_assert!(window.index.len() <= window.values.len());
                let values = window.values.iter().map(|one| one.place);
                let producers = window.producers.values().map(|one| one.place);
                let kept: BTreeSet<Seq> =
                    values.chain(producers).filter(|place| *place != Seq(0)).collect();
                prop_assert_eq!(&kept, &live, "the log keeps what is remembered");
            }
        }
    }

    #[test]
    fn a_producer_that_the_log_knows_stays_known_to_it() {
        let mut window = Window::default();
        let mut gone = Vec::new();
        let until = Timestamp::NEVER;
        let of = |number| Key::Sequence([1; 16], number);
        window.remember(of(1), Seq(1), until, &mut |seq| gone.push((seq, 1)));
        window.remember(of(2), Seq(0), until, &mut |seq| gone.push((seq, 2)));
        window.remember(of(3), Seq(2), until, &mut |seq| gone.push((seq, 3)));
        assert_eq!(gone, [(Seq(1), 3)]);
        assert!(window.knows(&of(3), Timestamp(0)) && !window.knows(&of(4), Timestamp(0)));
    }
}
