//! The messages of a queue against a model: a sorted list that is searched from the front.

use proptest::prelude::*;

use super::*;
use crate::log::{NoLog, RecoveredQueue, SeqRange};
use crate::message::MessageBuilder;

fn message(priority: u8) -> Message {
    // Property flags with priority alone (bit 11), then its value.
    let properties = [0x08, 0x00, priority];
    let mut builder = MessageBuilder::new("", "q", &properties, 1, Some("guest"), None).unwrap();
    builder.push(b"x").unwrap();
    builder.finish().0
}

fn messages(max_priority: u8) -> Messages {
    Messages::new(QueueId(1), true, max_priority)
}

impl Level {
    fn has(&self, seq: Seq) -> bool {
        let fresh = self.fresh.iter().filter(|slot| !slot.is_gone());
        let mut slots = self.returned.values().chain(fresh).chain(self.behind.values());
        slots.any(|slot| slot.seq == seq) || self.stored.contains(seq)
    }
}

impl Messages {
    /// Counts all again, and looks whether everything stands where it may.
    pub(in crate::queue) fn check(&self) {
        let (mut ready, mut away, mut slots, mut bodies, mut resident) = (0, 0, 0, 0, 0);
        for (index, level) in self.levels.iter().enumerate() {
            let first_fresh = level.fresh.front().map(|slot| slot.seq);
            let last_returned = level.returned.keys().next_back().copied();
            assert!(first_fresh.is_none() || last_returned < first_fresh);
            let first_stored = level.stored.first();
            let last_slot = level.fresh.back().map(|slot| slot.seq).or(last_returned);
            assert!(first_stored.is_none() || last_slot < first_stored);
            assert!(level.behind.keys().all(|seq| first_stored.is_some_and(|one| one < *seq)));
            let gone = level.fresh.iter().filter(|slot| slot.is_gone()).count();
            assert!(gone <= 32 || gone * 2 <= level.fresh.len(), "{gone} are gone");
            assert!(
                ![level.fresh.front(), level.fresh.back()].into_iter().flatten().any(Slot::is_gone)
            );
            let fresh = || level.fresh.iter().filter(|slot| !slot.is_gone());
            assert!(fresh().chain(level.behind.values()).all(Slot::is_here));
            let ranges: Vec<SeqRange> = level.stored.ranges().collect();
            assert!(ranges.windows(2).all(|pair| pair[0].last < pair[1].first), "{ranges:?}");
            let count: u64 = ranges.iter().map(SeqRange::count).sum();
            away += count as usize;
            let size = |slot: &Slot| slot.size() as u64;
            assert_eq!(level.fresh_bytes, fresh().map(size).sum::<u64>());
            assert_eq!(level.returned_bytes, level.returned.values().map(size).sum::<u64>());
            let all = level.returned.values().chain(fresh()).chain(level.behind.values());
            for slot in all {
                assert!(slot.is_here() || slot.durable);
                assert_eq!(usize::from(slot.level), index);
                assert!(slot.expires_at <= level.latest);
                slots += 1;
                bodies += slot.body_len();
                resident += slot.resident();
            }
        }
        for (_, seq) in self.late.seqs() {
            let mut places = self.levels.iter().map(|level| level.has(seq));
            assert!(places.any(|there| there), "{seq:?} expires, and is not there");
        }
        ready += slots + away;
        assert_eq!((self.ready, self.away.count), (ready, away));
        let rest = self.resting.check();
        let out = self.unacked.len() + self.leaving() + rest.0;
        assert_eq!((self.slots, self.slot_bytes), (slots + out, bodies));
        assert_eq!(self.resident, resident);
        let out = self.unacked.values().map(|out| &out.slot);
        let out = out.chain(self.departures.slots()).map(Slot::resident);
        assert_eq!(self.out_resident, out.sum::<u64>() + rest.1);
        assert!(self.away.count > 0 || self.away.bytes == 0 && self.away.marks.is_empty());
    }

    /// When messages expire that the head would not show; after a scan.
    pub(in crate::queue) fn late_seqs(&self) -> Vec<Seq> {
        self.late.seqs().map(|(_, seq)| seq).collect()
    }

    fn add(&mut self, message: Message, expires_at: Timestamp) -> Seq {
        let log = NoLog::default();
        let waits = crate::histogram::Histogram::default();
        let context = Context { now: Timestamp(0), log: &log, window: ALL, waits: &waits };
        self.push(message, expires_at, &context)
    }
}

/// A window without a bound.
const ALL: usize = usize::MAX;

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Pop,
    /// Settle, or put back, the message that is out at this index.
    Settle(usize),
    PutBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8).prop_map(Step::Push),
        3 => Just(Step::Pop),
        1 => any::<usize>().prop_map(Step::Settle),
        2 => any::<usize>().prop_map(Step::PutBack),
    ]
}

/// Ready messages as (priority, seq): the next one has the highest priority, then the lowest seq.
#[derive(Default)]
struct Model {
    ready: Vec<(u8, u64)>,
    out: Vec<(u8, u64)>,
    last_seq: u64,
}

impl Model {
    fn pop(&mut self) -> Option<u64> {
        let best = self.ready.iter().copied().max_by_key(|(p, seq)| (*p, u64::MAX - seq))?;
        self.ready.retain(|one| *one != best);
        self.out.push(best);
        Some(best.1)
    }
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        max_priority in 0..3_u8,
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut messages = messages(max_priority);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Push(priority) => {
                    model.last_seq += 1;
                    model.ready.push((priority.min(max_priority), model.last_seq));
                    let seq = messages.add(message(priority), Timestamp::NEVER);
                    prop_assert_eq!(seq.0, model.last_seq);
                }
                Step::Pop => {
                    let slot = messages.pop();
                    prop_assert_eq!(slot.as_ref().map(|slot| slot.seq.0), model.pop());
                    if let Some(slot) = slot {
                        messages.hold(slot, None, Timestamp(0), ALL);
                    }
                }
                Step::Settle(at) if !model.out.is_empty() => {
                    let (_, seq) = model.out.swap_remove(at % model.out.len());
                    prop_assert!(messages.take_unacked(Seq(seq)).is_some());
                    prop_assert!(messages.take_unacked(Seq(seq)).is_none());
                }
                Step::PutBack(at) if !model.out.is_empty() => {
                    let one = model.out.swap_remove(at % model.out.len());
                    model.ready.push(one);
                    let taken = messages.take_unacked(Seq(one.1)).unwrap();
                    messages.put_back(taken.slot);
                }
                Step::Settle(_) | Step::PutBack(_) => {}
            }
            messages.check();
            prop_assert_eq!(messages.ready(), model.ready.len());
            prop_assert_eq!(messages.unacked(), model.out.len());
            prop_assert_eq!(messages.ready_bytes(), model.ready.len() as u64);
        }
    }
}

#[test]
fn expiry_is_seen_at_the_head_only() {
    let mut messages = messages(0);
    messages.add(message(0), Timestamp(50));
    messages.add(message(0), Timestamp(10));
    assert!(messages.pop_expired(Timestamp(20)).is_none());
    assert_eq!(messages.next_expiry(), Timestamp(50));
    assert_eq!(messages.pop_expired(Timestamp(60)).unwrap().seq, Seq(1));
    assert_eq!(messages.pop_expired(Timestamp(60)).unwrap().seq, Seq(2));
}

#[test]
fn only_what_expires_before_another_is_noted() {
    let mut messages = messages(0);
    for expires_at in [10, 20, 20, 30] {
        messages.add(message(0), Timestamp(expires_at));
    }
    assert_eq!((messages.late_seqs(), messages.next_late()), (vec![], Timestamp::NEVER));
    messages.add(message(0), Timestamp::NEVER);
    let bytes = messages.bytes();
    messages.add(message(0), Timestamp(40));
    messages.add(message(0), Timestamp(35));
    assert_eq!(messages.late_seqs(), [Seq(7), Seq(6)]);
    assert!(messages.bytes() > bytes);
    assert_eq!(messages.next_late(), Timestamp(35));
    let taken = messages.take_late(Timestamp(39), 10);
    assert_eq!(taken.slots.iter().map(|slot| slot.seq).collect::<Vec<_>>(), [Seq(7)]);
    (0..6).for_each(|_| assert!(messages.pop().is_some()));
    assert_eq!((messages.late_seqs(), messages.bytes()), (vec![], 0));
    messages.add(message(0), Timestamp(50));
    assert!(messages.late_seqs().is_empty(), "an empty queue begins anew");
}

#[test]
fn what_comes_back_is_in_front_of_what_came_meanwhile() {
    let mut messages = messages(0);
    messages.add(message(0), Timestamp(1000));
    let slot = messages.pop().unwrap();
    messages.hold(slot, None, Timestamp(0), ALL);
    messages.add(message(0), Timestamp(50));
    let out = messages.take_unacked(Seq(1)).unwrap();
    messages.put_back(out.slot);
    assert_eq!(messages.take_late(Timestamp(60), 10).slots.len(), 1);
    assert_eq!(messages.next_expiry(), Timestamp(1000));
}

#[test]
fn many_that_are_due_are_taken_together() {
    let mut messages = messages(0);
    messages.add(message(0), Timestamp::NEVER);
    for at in 1..=1000 {
        messages.add(message(0), Timestamp(at));
    }
    assert_eq!(messages.take_late(Timestamp(100), 60).slots.len(), 60);
    assert!(messages.next_late() <= Timestamp(100), "there are more");
    assert_eq!(messages.take_late(Timestamp(100), 60).slots.len(), 40);
    assert_eq!(messages.next_late(), Timestamp(120));
    assert_eq!(messages.take_late(Timestamp(990), 5000).slots.len(), 890);
    assert_eq!(messages.next_late(), Timestamp(991), "few are looked at one by one");
    assert_eq!(messages.ready(), 11);
    messages.check();
    // Most of what is left in the middle is compacted.
    assert!(messages.levels[0].fresh.len() < 50);
}

#[test]
fn memory_counts_what_is_ready_and_what_is_out() {
    let mut messages = messages(0);
    let empty = messages.bytes();
    messages.add(message(0), Timestamp::NEVER);
    let full = messages.bytes();
    assert!(full > empty);
    let slot = messages.pop().unwrap();
    messages.hold(slot, None, Timestamp(0), ALL);
    assert_eq!(messages.bytes(), full);
    messages.take_unacked(Seq(1));
    assert_eq!(messages.bytes(), empty);
}

/// What a restart found is bound by the queue's time to live: what comes behind it in order needs
/// no entry of its own.
#[test]
fn behind_what_a_restart_found_only_what_expires_earlier_is_noted() {
    let restarted = |bound: Timestamp| {
        let mut messages = messages(0);
        let found = SeqRange { first: Seq(1), last: Seq(1_000) };
        messages.recover(RecoveredQueue {
            last_seq: Seq(1_000),
            levels: vec![(0, vec![found])],
            ..RecoveredQueue::default()
        });
        messages.bound_expiry(bound);
        messages
    };
    let mut messages = restarted(Timestamp(500));
    for more in 0..100 {
        messages.add(message(0), Timestamp(500 + more));
    }
    assert_eq!(messages.late_seqs(), []);
    let early = messages.add(message(0), Timestamp(400));
    assert_eq!(messages.late_seqs(), [early]);
    // Nobody knows how long that lasts.
    let mut messages = restarted(Timestamp::NEVER);
    let seqs: Vec<Seq> =
        (0..100).map(|more| messages.add(message(0), Timestamp(500 + more))).collect();
    assert_eq!(messages.late_seqs(), seqs);
}
