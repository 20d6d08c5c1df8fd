//! A run and its segment's counts against plain sets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::index::Extent;
use super::super::{Segment, Space};
use super::{Author, Written, head};
use crate::memory_disk::MemoryDisk;

#[derive(Debug, Clone)]
enum Step {
    Settle(u64),
    Range(u64, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..420u64).prop_map(Step::Settle),
        1 => (0..420u64, 0..60u64).prop_map(|(first, len)| Step::Range(first, first + len)),
    ]
}

/// The live ranges of a set.
fn ranges(live: &BTreeSet<u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in live {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *seq => *last = *seq,
            _ => ranges.push((*seq, *seq)),
        }
    }
    ranges
}

/// The extents that no live record has bytes in, by looking at each.
fn unneeded(segment: &Segment, written: &[Written], live: &[BTreeSet<u64>; 2]) -> Vec<u32> {
    let within = |extent: &Extent, record: &Written| {
        let mut places = record.places.iter();
        places.any(|place| place.start < extent.end() && extent.offset < place.end)
    };
    let lives = |record: &Written| live[record.head.queue as usize - 1].contains(&record.head.seq);
    let needed =
        |extent: &Extent| written.iter().any(|record| lives(record) && within(extent, record));
    let numbered = (0..).zip(segment.extents());
    numbered.filter(|(_, extent)| !needed(extent)).map(|(number, _)| number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_run_agrees_with_a_set(
        seqs in prop::collection::btree_set(10..400u64, 1..300),
        shares in prop::collection::vec(any::<bool>(), 300),
        steps in prop::collection::vec((any::<bool>(), step()), 1..80),
    ) {
        let disk = MemoryDisk::default();
        let mut author = Author::new(&disk, 1, 2000);
        let mut live = [BTreeSet::new(), BTreeSet::new()];
        let mut targets = Vec::new();
        for seq in &seqs {
            targets.push(author.add(head(1, 0, *seq), 100));
            live[0].insert(*seq);
        }
        for ((seq, share), target) in seqs.iter().zip(shares).zip(targets) {
            if share {
                author.refer(head(2, 0, *seq), target);
            } else {
                author.add(head(2, 0, *seq), 20);
            }
            live[1].insert(*seq);
        }
        let written = author.written.clone();
        author.writer.finish().unwrap();
        let (segment, mut runs, _) = Segment::open(&disk, 1).unwrap();
        let mut space = Space::new(&segment, &runs, &[]);
        for (second, step) in steps {
            let (run, set) = (&mut runs[usize::from(second)], &mut live[usize::from(second)]);
            match step {
                Step::Settle(seq) => {
                    prop_assert_eq!(run.contains(seq), set.contains(&seq));
                    let settled = space.settle_range(run, seq, seq) == 1;
                    prop_assert_eq!(settled, set.remove(&seq));
                }
                Step::Range(first, last) => {
                    let before = set.len();
                    set.retain(|seq| !(first..=last).contains(seq));
                    let count = (before - set.len()) as u64;
                    prop_assert_eq!(space.settle_range(run, first, last), count);
                }
            }
            prop_assert_eq!(run.live_count(), set.len() as u64);
        }
        for (run, set) in runs.iter().zip(&live) {
            prop_assert_eq!(run.live_ranges().collect::<Vec<_>>(), ranges(set));
            let from: Vec<u64> = run.live_from(200).collect();
            prop_assert_eq!(from, set.range(200..).copied().collect::<Vec<_>>());
            let all: u64 = seqs.iter().map(|seq| seq % 1000 + 1).sum();
            let estimate = run.weight_estimate();
            if set.is_empty() {
                prop_assert_eq!(estimate, 0);
            } else if set.len() == seqs.len() {
                prop_assert_eq!(estimate, all);
            } else {
                prop_assert!(estimate < all);
            }
        }
        prop_assert_eq!(space.free_extents(), unneeded(&segment, &written, &live));
        let again = Space::new(&segment, &runs, &[]);
        prop_assert_eq!(again.free_extents(), space.free_extents());
        prop_assert_eq!(again.live_bytes(), space.live_bytes());
    }
}

#[test]
fn settling_every_other_message_of_many_stays_small() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 4 << 20);
    for seq in 0..30_000 {
        author.writer.add(&head(1, 0, seq), b"").unwrap();
    }
    let (_, mut runs) = author.writer.finish().unwrap();
    let run = &mut runs[0];
    assert!(run.live_bytes().len() < 40, "a whole run is one range");
    for seq in (0..30_000).step_by(2) {
        assert!(run.settle(seq));
    }
    assert_eq!(run.live_count(), 15_000);
    assert!(run.live_bytes().len() <= 8192 + 40, "no more than a bit a message");
}

#[test]
fn sums_of_weights_are_cut_before_they_overflow() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 4 << 20);
    for seq in 1..=5 {
        let head = super::RecordHead { weight: u32::MAX, ..head(1, 0, seq) };
        author.writer.add(&head, b"").unwrap();
    }
    let (_, mut runs) = author.writer.finish().unwrap();
    assert_eq!(runs[0].weight_estimate(), 5 * u64::from(u32::MAX));
    runs[0].settle(3);
    assert_eq!(runs[0].weight_estimate(), 4 * u64::from(u32::MAX));
}
