//! What is whole: round trips, references, huge records, space.

use std::io;

use super::super::{
    Damage, Damaged, Segment, SegmentError, SegmentWriter, Space, check, file_name, list,
};
use super::{Author, body, find, head, read_all, small};
use crate::memory_disk::MemoryDisk;

#[test]
fn what_was_written_comes_back() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 7);
    let (segment, runs, damage) = Segment::open(&disk, 7).unwrap();
    assert_eq!(damage, []);
    assert_eq!(runs.iter().map(|run| run.live_count()).sum::<u64>(), written.len() as u64);
    for budget in [1, 100, 1 << 20] {
        let mut records = Vec::new();
        for run in &runs {
            assert_eq!(run.segment(), 7);
            let read = read_all(&segment, run, budget);
            records.extend(read.into_iter().map(|record| (run.queue(), run.level(), record)));
        }
        assert_eq!(records.len(), written.len());
        for ((queue, level, record), written) in records.iter().zip(&written) {
            let head = &written.head;
            assert_eq!((*queue, *level, record.seq), (head.queue, head.level, head.seq));
            assert_eq!(record.expires, head.expires);
            assert_eq!(record.data.as_ref().unwrap(), &written.data);
        }
    }
    assert_eq!(check(&disk, 7).unwrap(), []);
}

#[test]
fn a_finished_segment_is_what_opening_it_gives() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 1000);
    for seq in 0..100 {
        author.add(head(1, 0, seq * 3), 50);
    }
    let (segment, runs) = author.writer.finish().unwrap();
    let (opened, reopened, _) = Segment::open(&disk, 1).unwrap();
    assert_eq!(segment.extents(), opened.extents());
    assert_eq!(segment.file_bytes(), opened.file_bytes());
    assert_eq!(runs.len(), reopened.len());
    for (run, again) in runs.iter().zip(&reopened) {
        assert_eq!(run.granules(), again.granules());
        assert_eq!(run.live(), again.live());
        assert_eq!((run.first(), run.last()), (again.first(), again.last()));
    }
    let calls = ["sync segments/00000001.seg", "sync_dir segments"];
    assert_eq!(disk.calls(), calls, "the file is durable before its name");
}

#[test]
fn runs_are_found_by_seq_over_many_granules() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 256 << 10);
    for seq in 1..=3000 {
        author.add(head(9, 0, seq), 500);
    }
    author.writer.finish().unwrap();
    let (segment, runs, _) = Segment::open(&disk, 1).unwrap();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert!(run.granules().len() > 20 && segment.extents().len() > 4);
    assert!(run.granules().iter().all(|granule| granule.len() <= 64 << 10));
    let wanted: Vec<u64> = (1..=3000).filter(|seq| seq % 7 == 0).collect();
    let read = segment.read(&run.plan(&wanted, usize::MAX));
    assert_eq!(read.len(), wanted.len());
    for record in read {
        assert_eq!(record.data.unwrap(), body(9, record.seq, 500));
    }
    let plan = run.plan(&wanted, 5000);
    assert!(plan.wanted().len() < 12, "a plan keeps to its budget");
    let weights: u64 = (1..=3000).map(|seq| seq % 1000 + 1).sum();
    assert_eq!(run.weight_estimate(), weights);
}

#[test]
fn a_run_is_cut_when_its_seqs_are_too_far_apart() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 1 << 20);
    let far = u64::from(u32::MAX);
    for seq in [5, 5 + far, 6 + far, 7 + 3 * far, u64::MAX / 8] {
        author.add(head(1, 0, seq), 10);
    }
    let written = author.written.clone();
    author.writer.finish().unwrap();
    let (segment, runs, _) = Segment::open(&disk, 1).unwrap();
    assert_eq!(runs.iter().map(|run| run.live_count()).collect::<Vec<_>>(), [2, 1, 1, 1]);
    for written in written {
        assert_eq!(find(&segment, &runs, &written.head).unwrap().unwrap(), written.data);
    }
}

#[test]
fn a_huge_record_has_an_extent_of_its_own() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 64 << 10);
    author.add(head(1, 0, 1), 100);
    let huge = author.add(head(1, 0, 2), 5 << 20);
    author.add(head(1, 0, 3), 100);
    author.refer(head(2, 0, 1), huge);
    author.refer(head(2, 0, 2), huge);
    let written = author.written.clone();
    author.writer.finish().unwrap();
    let (segment, runs, damage) = Segment::open(&disk, 1).unwrap();
    assert_eq!((segment.extents().len(), damage.len()), (3, 0));
    for run in &runs {
        assert!(read_all(&segment, run, 1 << 20).iter().all(|record| record.data.is_ok()));
    }
    for written in written {
        assert_eq!(find(&segment, &runs, &written.head).unwrap().unwrap(), written.data);
    }
    let first = segment.read(&runs[1].plan(&[1, 2], 1 << 20));
    assert_eq!(first.len(), 1, "the budget counts the data that is shared");
}

#[test]
fn an_extent_is_free_when_nothing_needs_it() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 4000);
    let mut shared = Vec::new();
    for seq in 1..=20 {
        shared.push(author.add(head(1, 0, seq), 1000));
    }
    for (seq, to) in (1..).zip(&shared) {
        author.refer(head(2, 0, seq), *to);
    }
    let written = author.written.clone();
    author.writer.finish().unwrap();
    let (segment, mut runs, _) = Segment::open(&disk, 1).unwrap();
    let mut space = Space::new(&segment, &runs, &[]);
    let all = space.live_bytes();
    assert_eq!((space.garbage_bytes(), segment.extents().len()), (0, 6));
    assert_eq!(space.settle_range(&mut runs[0], 0, u64::MAX), 20);
    assert_eq!(space.free_extents(), [], "the references still need the data");
    assert_eq!(space.settle_range(&mut runs[1], 2, 2), 1);
    assert_eq!(space.settle_range(&mut runs[1], 2, 2), 0);
    assert_eq!(space.settle_range(&mut runs[1], 1, 8), 7);
    assert_eq!(space.free_extents(), [0, 1]);
    assert!(space.live_bytes() < all && space.garbage_bytes() > 0);
    assert!(!space.punch_extent(&segment, 2).unwrap(), "what is needed is not given back");
    assert!(space.punch_extent(&segment, 0).unwrap());
    assert!(!space.punch_extent(&segment, 0).unwrap());
    assert_eq!((space.free_extents(), space.punched_extents()), (vec![1], vec![0]));
    for written in &written[28..] {
        assert_eq!(find(&segment, &runs, &written.head).unwrap().unwrap(), written.data);
    }
    let again = Space::new(&segment, &runs, &space.punched_extents());
    assert_eq!(again.free_extents(), [1]);
    assert_eq!(again.live_bytes(), space.live_bytes());
    assert_eq!(again.garbage_bytes(), space.garbage_bytes());
    assert!(!space.is_dead());
    space.settle_range(&mut runs[1], 0, 100);
    assert!(space.is_dead());
    assert_eq!(space.live_bytes(), 0);
}

#[test]
fn check_tells_an_extent_given_back_from_a_damaged_record() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 1000);
    for seq in 1..=12 {
        author.add(head(1, 0, seq), 300);
    }
    let place = author.written[11].places[0].clone();
    let (segment, mut runs) = author.writer.finish().unwrap();
    let mut space = Space::new(&segment, &runs, &[]);
    space.settle_range(&mut runs[0], 1, 3);
    assert!(space.punch_extent(&segment, 0).unwrap());
    let mut bytes = disk.bytes(&file_name(1));
    bytes[place.start as usize + 60] ^= 1;
    disk.put(&file_name(1), &bytes);
    let damage = check(&disk, 1).unwrap();
    let zeros = matches!(damage[0], Damage::Zeros { extent: 0, records: 3, .. });
    assert!(zeros && damage.len() == 2, "{damage:?}");
    let record = Damage::Record { queue: 1, level: 0, seq: 12, what: Damaged::Data };
    assert_eq!(damage[1], record);
    let zeros: Vec<bool> = segment.extents().iter().map(|e| segment.is_zeros(e)).collect();
    assert_eq!(zeros, [true, false, false, false]);
}

#[test]
fn all_comes_back_with_neither_header_nor_index() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 3);
    let mut bytes = disk.bytes(&file_name(3));
    let end = written.iter().map(|written| written.places[0].end).max().unwrap();
    bytes.truncate(end as usize);
    bytes[..4096].fill(0xaa);
    disk.put(&file_name(3), &bytes);
    let (segment, runs, damage) = Segment::open(&disk, 3).unwrap();
    assert!(matches!(damage[..], [Damage::Header, Damage::Index(_)]), "{damage:?}");
    assert_eq!(runs.iter().map(|run| run.live_count()).sum::<u64>(), written.len() as u64);
    for written in &written {
        assert_eq!(find(&segment, &runs, &written.head).unwrap().unwrap(), written.data);
    }
}

#[test]
fn a_writer_refuses_what_is_out_of_order() {
    let disk = MemoryDisk::default();
    let mut writer = SegmentWriter::create(&disk, 1, 1000).unwrap();
    writer.add(&head(2, 1, 5), b"x").unwrap();
    for wrong in [head(2, 1, 5), head(2, 0, 6), head(1, 9, 9)] {
        assert!(matches!(writer.add(&wrong, b"y"), Err(SegmentError::Unsorted { .. })));
    }
    writer.add(&head(2, 1, 6), b"z").unwrap();
    let (_, runs) = writer.finish().unwrap();
    assert_eq!(runs[0].live_ranges().collect::<Vec<_>>(), [(5, 6)]);
    assert!(SegmentWriter::create(&disk, 1, 1000).is_err(), "a segment is never overwritten");
}

#[test]
fn an_empty_segment_is_one() {
    let disk = MemoryDisk::default();
    SegmentWriter::create(&disk, 4, 1000).unwrap().finish().unwrap();
    let (segment, runs, damage) = Segment::open(&disk, 4).unwrap();
    assert!(runs.is_empty() && damage.is_empty());
    assert!(Space::new(&segment, &runs, &[]).is_dead());
    assert_eq!(list(&disk).unwrap(), [4]);
    Segment::remove(&disk, 4).unwrap();
    Segment::remove(&disk, 4).unwrap();
    assert_eq!(list(&disk).unwrap(), Vec::<u64>::new());
}

#[test]
fn what_the_disk_cannot_read_is_told_and_the_rest_comes() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 1, 1 << 20);
    for seq in 1..=100 {
        author.add(head(1, 0, seq), 1000);
    }
    let written = author.written.clone();
    let (segment, runs) = author.writer.finish().unwrap();
    disk.fail_reads(40960..40961);
    let block = 40960..45056;
    for (record, written) in read_all(&segment, &runs[0], 1 << 20).iter().zip(&written) {
        let place = &written.places[0];
        if place.start < block.end && block.start < place.end {
            assert_eq!(record.data, Err(Damaged::Unreadable(io::ErrorKind::Other)));
        } else {
            assert_eq!(record.data.as_ref().unwrap(), &written.data);
        }
    }
}
