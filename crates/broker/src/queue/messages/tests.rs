//! The messages of a queue against a model: a sorted list that is searched from the front.

use proptest::prelude::*;

use super::*;
use crate::log::{NoLog, SeqRange};
use crate::message::MessageBuilder;

fn message(priority: u8) -> Message {
    // Property flags with priority alone (bit 11), then its value.
    let properties = [0x08, 0x00, priority];
    let mut builder = MessageBuilder::new("", "q", &properties, 1, "guest", None).unwrap();
    builder.push(b"x").unwrap();
    builder.finish().0
}

fn messages(max_priority: u8) -> Messages {
    Messages::new(QueueId(1), true, max_priority)
}

impl Messages {
    /// Counts all again, and looks whether everything stands where it may.
    pub(in crate::queue) fn check(&self) {
        let (mut ready, mut away, mut slots, mut bodies, mut resident) = (0, 0, 0, 0, 0);
        for (index, level) in self.levels.iter().enumerate() {
            let first_fresh = level.fresh.front().map(|slot| slot.seq);
            let last_returned = level.returned.keys().next_back().copied();
            assert!(first_fresh.is_none() || last_returned < first_fresh);
            let first_stored = level.stored.front().map(|range| range.first);
            let last_slot = level.fresh.back().map(|slot| slot.seq).or(last_returned);
            assert!(first_stored.is_none() || last_slot < first_stored);
            assert!(level.behind.keys().all(|seq| first_stored.is_some_and(|one| one < *seq)));
            assert!(level.fresh.iter().chain(level.behind.values()).all(Slot::is_here));
            let ranges: Vec<SeqRange> = level.stored.iter().copied().collect();
            assert!(ranges.windows(2).all(|pair| pair[0].last < pair[1].first), "{ranges:?}");
            let count: u64 = ranges.iter().map(SeqRange::count).sum();
            away += count as usize;
            let size = |slot: &Slot| slot.size() as u64;
            assert_eq!(level.fresh_bytes, level.fresh.iter().map(size).sum::<u64>());
            assert_eq!(level.returned_bytes, level.returned.values().map(size).sum::<u64>());
            let all = level.returned.values().chain(&level.fresh).chain(level.behind.values());
            for slot in all {
                assert!(slot.is_here() || slot.durable);
                assert_eq!(usize::from(slot.level), index);
                slots += 1;
                bodies += slot.body_len();
                resident += slot.resident();
            }
        }
        ready += slots + away;
        assert_eq!((self.ready, self.away.count), (ready, away));
        assert_eq!((self.slots, self.slot_bytes), (slots + self.unacked.len(), bodies));
        assert_eq!(self.resident, resident);
        let out = self.unacked.values().map(|out| out.slot.resident());
        assert_eq!(self.out_resident, out.sum::<u64>());
        assert!(self.away.count > 0 || self.away.bytes == 0 && self.away.marks.is_empty());
    }

    fn add(&mut self, message: Message, expires_at: Timestamp) -> Seq {
        let log = NoLog::default();
        self.push(message, expires_at, &Context { now: Timestamp(0), log: &log, window: ALL })
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
                        messages.hold(slot, None, ALL);
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
fn memory_counts_what_is_ready_and_what_is_out() {
    let mut messages = messages(0);
    let empty = messages.bytes();
    messages.add(message(0), Timestamp::NEVER);
    let full = messages.bytes();
    assert!(full > empty);
    let slot = messages.pop().unwrap();
    messages.hold(slot, None, ALL);
    assert_eq!(messages.bytes(), full);
    messages.take_unacked(Seq(1));
    assert_eq!(messages.bytes(), empty);
}
