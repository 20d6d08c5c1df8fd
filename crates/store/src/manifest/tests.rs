//! Tests of the manifest: it comes back whole or not at all, and is small.

use proptest::prelude::*;

use super::*;
use crate::memory_disk::MemoryDisk;
use crate::segment::{RecordHead, Segment, SegmentWriter, file_name};

fn entries(count: u64, step: u64) -> Vec<TailEntry> {
    let entry = |number: u64| TailEntry {
        seq: 1000 + number * step,
        level: (number % 50 / 49) as u8,
        weight: 1100 + (number % 3) as u32,
        batch: 7 + number / 500,
        offset: number * 1200,
        len: 1200,
    };
    (0..count).map(entry).collect()
}

fn sample() -> Manifest {
    let run = |queue, live| RunState { queue, level: 3, first: 10, last: 20, live };
    let mut some = RoaringBitmap::new();
    some.insert_range(2..5);
    let mut bytes = Vec::new();
    some.serialize_into(&mut bytes).unwrap();
    Manifest {
        store_id: *b"0123456789abcdef",
        replay_from: 77,
        next_segment: 9,
        last_queue: 5,
        definitions: Some(DefinitionsFile { number: 4, through: 70 }),
        segments: vec![SegmentEntry {
            id: 8,
            runs: vec![run(1, Live::All), run(2, Live::Some(bytes.into()))],
            punched: vec![0, 3],
        }],
        queues: vec![QueueState {
            queue: 1,
            last_seq: 20,
            delivered: 15,
            returns: vec![(12, 1), (13, 4)],
        }],
        clean: Some(CleanStop {
            log_end: 90,
            tail: vec![QueueTail::new(1, entries(20, 1)), QueueTail::new(3, [])],
        }),
    }
}

#[test]
fn a_manifest_comes_back() {
    let disk = MemoryDisk::default();
    assert_eq!(Manifest::read(&disk).unwrap(), None);
    let manifest = sample();
    manifest.write(&disk).unwrap();
    assert_eq!(Manifest::read(&disk).unwrap().unwrap(), manifest);
    let next = Manifest { replay_from: 78, clean: None, ..manifest };
    disk.put("manifest.new", b"left by a crash");
    next.write(&disk).unwrap();
    assert_eq!(Manifest::read(&disk).unwrap().unwrap(), next);
    assert_eq!(disk.list("").unwrap(), ["manifest"]);
    let calls = ["sync manifest.new", "rename manifest.new manifest", "sync_dir "];
    assert_eq!(disk.calls()[3..], calls, "durable before it has the name, and then the name");
}

#[test]
fn damage_at_every_byte_is_detected() {
    let disk = MemoryDisk::default();
    sample().write(&disk).unwrap();
    let bytes = disk.bytes(MANIFEST);
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= flip;
            disk.put(MANIFEST, &flipped);
            let read = Manifest::read(&disk);
            assert!(matches!(read, Err(ManifestError::Damaged { .. })), "byte {at}: {read:?}");
        }
        disk.put(MANIFEST, &bytes[..at]);
        assert!(matches!(Manifest::read(&disk), Err(ManifestError::Damaged { .. })));
    }
    let longer = [&bytes[..], b"x"].concat();
    disk.put(MANIFEST, &longer);
    assert!(matches!(Manifest::read(&disk), Err(ManifestError::Damaged { .. })));
}

#[test]
fn another_format_is_refused_and_told() {
    let disk = MemoryDisk::default();
    let other = Container { magic: MANIFEST_FILE.magic, format: MANIFEST_FORMAT + 1 };
    other.replace(&disk, MANIFEST, b"who knows").unwrap();
    let error = Manifest::read(&disk).unwrap_err();
    assert!(matches!(error, ManifestError::Format { found: 3, known: 2, .. }));
    let text = "manifest has format 3, and this version of Leveret reads format 2 only: use the \
                version that wrote it, or a newer one";
    assert_eq!(error.to_string(), text);
}

#[test]
fn definitions_come_back() {
    let disk = MemoryDisk::default();
    for (number, bytes) in [(12, &b"old"[..]), (13, b""), (100_000_000, b"new")] {
        write_definitions(&disk, number, bytes).unwrap();
        assert_eq!(read_definitions(&disk, number).unwrap(), bytes);
    }
    write_definitions(&disk, 12, b"again").unwrap();
    assert_eq!(read_definitions(&disk, 12).unwrap(), &b"again"[..]);
    assert_eq!(list_definitions(&disk).unwrap(), [12, 13, 100_000_000]);
    assert!(matches!(read_definitions(&disk, 14), Err(ManifestError::Damaged { .. })));
    disk.put("manifest", &disk.bytes("definitions.00000012"));
    assert!(matches!(Manifest::read(&disk), Err(ManifestError::Damaged { .. })));
}

/// A segment with two queues, and its runs.
fn segment(disk: &MemoryDisk) -> Vec<Run> {
    let mut writer = SegmentWriter::create(disk, 1, 4096).unwrap();
    for (queue, seqs) in [(1, 100..200), (2, 5..20)] {
        for seq in seqs {
            let head = RecordHead { queue, seq, level: 0, weight: 1, expires: 0 };
            writer.add(&head, &[7; 100]).unwrap();
        }
    }
    writer.finish().unwrap().1
}

#[test]
fn what_lived_lives_after_a_restart() {
    let disk = MemoryDisk::default();
    let mut runs = segment(&disk);
    runs[0].settle_range(110, 150);
    runs[0].settle(199);
    let live: Vec<_> = runs.iter().map(|run| run.live_ranges().collect::<Vec<_>>()).collect();
    let states = runs.iter().filter_map(RunState::of).collect();
    let entry = SegmentEntry { id: 1, runs: states, punched: Vec::new() };
    let restored = restore(&entry, Segment::open(&disk, 1).unwrap().1).unwrap();
    assert_eq!(restored.lost, []);
    let again: Vec<_> =
        restored.runs.iter().map(|run| run.live_ranges().collect::<Vec<_>>()).collect();
    assert_eq!(live, again);
    runs[1].settle_range(0, 100);
    let states: Vec<_> = runs.iter().filter_map(RunState::of).collect();
    assert_eq!(states.len(), 1, "a dead run is not in the manifest");
    let entry = SegmentEntry { id: 1, runs: states, punched: Vec::new() };
    let restored = restore(&entry, Segment::open(&disk, 1).unwrap().1).unwrap();
    assert_eq!(restored.runs.len(), 1);
}

#[test]
fn what_a_damaged_segment_lost_is_told() {
    let disk = MemoryDisk::default();
    let mut runs = segment(&disk);
    runs[0].settle_range(100, 104);
    let states = runs.iter().filter_map(RunState::of).collect();
    let entry = SegmentEntry { id: 1, runs: states, punched: Vec::new() };
    // No index, and the first seven records are gone: the run begins elsewhere now.
    let mut bytes = disk.bytes(&file_name(1));
    bytes.truncate(bytes.len() - 1);
    bytes[4096..4096 + 7 * 152].fill(0x55);
    disk.put(&file_name(1), &bytes);
    let restored = restore(&entry, Segment::open(&disk, 1).unwrap().1).unwrap();
    assert_eq!(restored.lost, [Lost { queue: 1, level: 0, first: 105, last: 106 }]);
    let live: Vec<_> = restored.runs.iter().flat_map(Run::live_ranges).collect();
    assert_eq!(live, [(107, 199), (5, 19)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_tail_comes_back(
        numbers in prop::collection::vec(any::<(u64, u8, u32, u64, u64, u32)>(), 0..20),
    ) {
        let entries: Vec<TailEntry> = numbers
            .into_iter()
            .map(|(seq, level, weight, batch, offset, len)| {
                TailEntry { seq, level, weight, batch, offset, len }
            })
            .collect();
        prop_assert_eq!(QueueTail::new(1, entries.clone()).entries().unwrap(), entries);
    }

    #[test]
    fn any_bytes_are_no_tail_or_one(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let tail: QueueTail = postcard::from_bytes(
            &postcard::to_allocvec(&(1u64, Bytes::from(bytes))).unwrap()
        ).unwrap();
        let _ = tail.entries();
    }
}

/// 10 million messages in segments, most of them in long runs and a part of those ragged, 100,000
/// queues of which each has a short run, and a tail of two million.
fn large() -> Manifest {
    let mut ragged = RoaringBitmap::new();
    (0..60_000).filter(|seq| seq % 3 != 0).for_each(|seq| {
        ragged.insert(seq);
    });
    let mut bytes = Vec::new();
    ragged.serialize_into(&mut bytes).unwrap();
    let ragged = Bytes::from(bytes);
    let segment = |id: u64| {
        let long = (0..2).map(|number| RunState {
            queue: number,
            level: 0,
            first: id * 60_000,
            last: id * 60_000 + 59_999,
            live: if id.is_multiple_of(2) { Live::All } else { Live::Some(ragged.clone()) },
        });
        let short = (id * 1250..(id + 1) * 1250).map(|queue| RunState {
            queue,
            level: 0,
            first: 50,
            last: 60,
            live: Live::All,
        });
        SegmentEntry { id, runs: long.chain(short).collect(), punched: (0..20).collect() }
    };
    let queue = |queue| QueueState { queue, last_seq: 80, delivered: 55, returns: vec![(51, 1)] };
    let tail = (0..100_000).map(|queue| QueueTail::new(queue, entries(20, 1)));
    Manifest {
        segments: (0..80).map(segment).collect(),
        queues: (0..100_000).map(queue).collect(),
        clean: Some(CleanStop { log_end: 9, tail: tail.collect() }),
        ..sample()
    }
}

#[test]
fn a_large_manifest_is_small() {
    let manifest = large();
    let disk = MemoryDisk::default();
    manifest.write(&disk).unwrap();
    assert_eq!(Manifest::read(&disk).unwrap().as_ref(), Some(&manifest));
    let bytes = disk.bytes(MANIFEST).len();
    Manifest { clean: None, ..manifest }.write(&disk).unwrap();
    let without_tail = disk.bytes(MANIFEST).len();
    assert!(without_tail < 3 << 20, "{without_tail} bytes for runs and queues");
    assert!(bytes - without_tail < 2_000_000 * 6, "{bytes} bytes with the tail");
}
