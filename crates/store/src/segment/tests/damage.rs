//! Damage: never wrong data, never a panic, and nothing more is lost than what was damaged.

use crc32c::crc32c;
use proptest::prelude::*;

use super::super::format::{self, RecordHead, Trailer};
use super::super::index;
use super::super::{Damage, Segment, SegmentError, Space, check, file_name};
use super::{Author, Written, find, head, read_all, small};
use crate::memory_disk::MemoryDisk;

/// Opens a damaged segment: each record is as it was written, or lies in `damaged` and is told.
/// Returns how many records the runs have, and what damage was told.
fn holds(
    disk: &MemoryDisk,
    id: u64,
    written: &[Written],
    damaged: std::ops::Range<u64>,
) -> (u64, Vec<Damage>) {
    let (segment, runs, damage) = Segment::open(disk, id).unwrap();
    for record in written {
        let touched =
            |place: &std::ops::Range<u64>| place.start < damaged.end && damaged.start < place.end;
        match find(&segment, &runs, &record.head) {
            Some(Ok(data)) => assert_eq!(data, record.data, "{:?}", record.head),
            Some(Err(_)) | None => {
                let hit = record.places.iter().any(touched);
                assert!(hit, "{:?} was lost by damage at {damaged:?}, {damage:?}", record.head);
            }
        }
    }
    (runs.iter().map(|run| run.live_count()).sum(), damage)
}

#[test]
fn every_byte_flipped() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 7);
    let bytes = disk.bytes(&file_name(7));
    let records: Vec<_> = written.iter().map(|written| written.places[0].clone()).collect();
    let end = records.iter().map(|place| place.end).max().unwrap();
    let trailer = bytes.len() - format::TRAILER_BYTES;
    let index = u64::from_le_bytes(bytes[trailer + 24..trailer + 32].try_into().unwrap());
    // The padding of blocks says nothing; all else does.
    let interesting = (0..64)
        .chain(records.iter().flat_map(Clone::clone))
        .chain(end..end + 8)
        .chain(index..bytes.len() as u64);
    for at in interesting {
        let mut flipped = bytes.clone();
        flipped[at as usize] ^= 1 << (at % 8);
        disk.put(&file_name(7), &flipped);
        let (count, damage) = holds(&disk, 7, &written, at..at + 1);
        let in_index = at >= index;
        assert_eq!(damage.iter().any(|d| matches!(d, Damage::Index(_))), in_index);
        assert_eq!(damage.contains(&Damage::Header), at < 28);
        assert_eq!(count, written.len() as u64, "an index knows all, and is rebuilt whole");
    }
}

#[test]
fn check_finds_every_flipped_byte_of_a_record() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 7);
    let bytes = disk.bytes(&file_name(7));
    for record in &written {
        let place = record.places[0].clone();
        let len = (place.end - place.start) - padding(record, &place);
        for at in place.start..place.start + len {
            let mut flipped = bytes.clone();
            flipped[at as usize] ^= 0x10;
            disk.put(&file_name(7), &flipped);
            let found = check(&disk, 7).unwrap();
            let RecordHead { queue, level, seq, .. } = record.head;
            let told = found.iter().any(|damage| {
                matches!(damage, Damage::Record { queue: q, level: l, seq: s, .. }
                    if (*q, *l, *s) == (queue, level, seq))
            });
            assert!(told, "{:?} at {at}: {found:?}", record.head);
        }
    }
}

/// How many zeros follow a record's data.
fn padding(record: &Written, place: &std::ops::Range<u64>) -> u64 {
    let data = if record.places.len() > 1 { format::REFERENCE_BYTES } else { record.data.len() };
    place.end - place.start - (format::HEAD_BYTES + data) as u64
}

#[test]
fn cut_at_every_byte_of_the_index() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 7);
    let bytes = disk.bytes(&file_name(7));
    let end = written.iter().map(|written| written.places[0].end).max().unwrap() as usize;
    for len in end..bytes.len() {
        disk.put(&file_name(7), &bytes[..len]);
        let (_, damage) = holds(&disk, 7, &written, bytes.len() as u64..u64::MAX);
        assert!(matches!(damage[0], Damage::Index(_)));
    }
}

#[test]
fn cut_anywhere() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 7);
    let bytes = disk.bytes(&file_name(7));
    for len in (0..bytes.len()).step_by(13) {
        disk.put(&file_name(7), &bytes[..len]);
        holds(&disk, 7, &written, len as u64..u64::MAX);
        check(&disk, 7).unwrap();
    }
}

#[test]
fn a_rebuilt_index_keeps_extents_and_references() {
    let disk = MemoryDisk::default();
    small(&disk, 7);
    let (segment, runs, _) = Segment::open(&disk, 7).unwrap();
    let bytes = disk.bytes(&file_name(7));
    disk.put(&file_name(7), &bytes[..bytes.len() - 1]);
    let (again, rebuilt, _) = Segment::open(&disk, 7).unwrap();
    assert_eq!(segment.extents(), again.extents());
    assert_eq!(runs.len(), rebuilt.len());
    for (run, rebuilt) in runs.iter().zip(&rebuilt) {
        assert_eq!(run.granules(), rebuilt.granules());
        assert_eq!(run.shared(), rebuilt.shared());
    }
    // Without its second extent the third is still the third.
    let gone = segment.extents()[1];
    let mut bytes = bytes[..bytes.len() - 1].to_vec();
    bytes[gone.offset as usize..gone.end() as usize].fill(0);
    disk.put(&file_name(7), &bytes);
    let (again, rebuilt, _) = Segment::open(&disk, 7).unwrap();
    assert_eq!(segment.extents()[2], again.extents()[2]);
    let space = Space::new(&again, &rebuilt, &[1]);
    assert_eq!(space.free_extents(), Vec::<u32>::new());
}

#[test]
fn a_record_in_a_wrong_place_is_none() {
    let disk = MemoryDisk::default();
    let written = small(&disk, 7);
    small(&disk, 8);
    let other = disk.bytes(&file_name(8));
    let mut bytes = disk.bytes(&file_name(7));
    let place = written[2].places[0].clone();
    let range = place.start as usize..place.end as usize;
    bytes[range.clone()].copy_from_slice(&other[range]);
    disk.put(&file_name(7), &bytes);
    let (segment, runs, _) = Segment::open(&disk, 7).unwrap();
    assert!(find(&segment, &runs, &written[2].head).unwrap().is_err(), "of another segment");
    disk.put(&file_name(9), &other);
    assert!(matches!(Segment::open(&disk, 9), Err(SegmentError::Misplaced { id: 9, found: 8 })));
}

#[test]
fn a_message_that_holds_records_is_one_message() {
    let disk = MemoryDisk::default();
    let mut author = Author::new(&disk, 7, 1 << 20);
    author.add(head(1, 0, 1), 100);
    let first = author.written[0].places[0].clone();
    let mut writer = author.writer;
    // What would be at this place of a file of this id, had it been written earlier.
    let copy = format::Head {
        record: head(1, 0, 2),
        is_reference: false,
        data_len: 8,
        data_crc: crc32c(&[1; 8]),
        extent: 0,
    };
    let mut forged = format::encode_head(&copy, 7, first.start).to_vec();
    forged.extend([1; 8]);
    writer.add(&head(1, 0, 2), &forged.repeat(4)).unwrap();
    writer.finish().unwrap();
    let mut bytes = disk.bytes(&file_name(7));
    bytes[first.end as usize] ^= 1;
    disk.put(&file_name(7), &bytes);
    let (segment, runs, _) = Segment::open(&disk, 7).unwrap();
    let wanted = find(&segment, &runs, &head(1, 0, 2)).unwrap();
    assert!(wanted.is_err(), "what lies within another message is no record");
}

#[test]
fn an_index_with_a_run_of_nothing_is_refused() {
    // No extents; queue 1, level 0, seqs 5 to 5, no granules, no references, and one seq.
    let mut live = Vec::new();
    roaring::RoaringBitmap::from([0]).serialize_into(&mut live).unwrap();
    let with_seqs = [&[0, 1, 1, 0, 5, 5, 0, 0, 1, live.len() as u8], &live[..]].concat();
    assert_eq!(index::decode(&with_seqs, 1, 1 << 20).err(), Some(NO_FIT));
    assert!(index::decode(&[0, 1, 1, 0, 5, 5, 0, 0, 0], 1, 1 << 20).is_err());
}

const NO_FIT: &str = "seqs that do not fit their run";

#[test]
fn a_newer_format_is_refused() {
    let disk = MemoryDisk::default();
    small(&disk, 7);
    let mut bytes = disk.bytes(&file_name(7));
    bytes[8] = 2;
    let crc = crc32c(&bytes[..24]).to_le_bytes();
    bytes[24..28].copy_from_slice(&crc);
    disk.put(&file_name(7), &bytes);
    let error = Segment::open(&disk, 7).err().unwrap();
    assert!(matches!(error, SegmentError::Format { id: 7, found: 2, known: 1 }));
    let text = error.to_string();
    assert!(text.contains("format 2") && text.contains("format 1"), "{text}");
}

/// A segment whose index has other bytes, with right checksums.
fn with_index(bytes: &[u8], index: &[u8]) -> Vec<u8> {
    let end = bytes.len() - format::TRAILER_BYTES;
    let trailer = format::decode_trailer(&bytes[end..], 7).unwrap().unwrap();
    let mut changed = bytes[..trailer.offset as usize].to_vec();
    changed.extend_from_slice(index);
    let len = index.len() as u64;
    let trailer = Trailer { offset: trailer.offset, len, crc: crc32c(index) };
    changed.extend_from_slice(&format::encode_trailer(&trailer, 7));
    changed
}

fn index_bytes(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.len() - format::TRAILER_BYTES;
    let trailer = format::decode_trailer(&bytes[end..], 7).unwrap().unwrap();
    bytes[trailer.offset as usize..end].to_vec()
}

/// Uses all that an index says.
fn use_all(disk: &MemoryDisk, written: &[Written]) {
    let (segment, mut runs, _) = Segment::open(disk, 7).unwrap();
    for run in &runs {
        run.weight_estimate();
        for record in read_all(&segment, run, 1000) {
            let key = (run.queue(), run.level(), record.seq);
            let same = written.iter().find(|w| (w.head.queue, w.head.level, w.head.seq) == key);
            if let Ok(data) = record.data {
                assert_eq!(data, same.unwrap().data, "an index invents no data");
            }
        }
    }
    let mut space = Space::new(&segment, &runs, &[]);
    for run in &mut runs {
        space.settle_range(run, run.first(), run.first());
        space.settle_range(run, 0, u64::MAX);
    }
    assert!(space.is_dead());
    space.garbage_bytes();
    check(disk, 7).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_forged_index_does_no_harm(
        changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..6),
    ) {
        let disk = MemoryDisk::default();
        let written = small(&disk, 7);
        let bytes = disk.bytes(&file_name(7));
        let mut index = index_bytes(&bytes);
        let len = index.len();
        for (at, byte) in changes {
            index[at as usize % len] = byte;
        }
        disk.put(&file_name(7), &with_index(&bytes, &index));
        use_all(&disk, &written);
    }

    #[test]
    fn any_bytes_are_no_index_or_a_right_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = index::decode(&bytes, 1, 1 << 20);
    }

    #[test]
    fn any_bytes_are_no_segment_or_a_right_one(
        bytes in prop::collection::vec(any::<u8>(), 0..9000),
    ) {
        let disk = MemoryDisk::default();
        disk.put(&file_name(1), &bytes);
        let (_, runs, damage) = Segment::open(&disk, 1).unwrap();
        prop_assert!(runs.is_empty() && !damage.is_empty());
    }
}

#[test]
fn forged_heads_do_no_harm() {
    // Right checksums, and numbers that cannot be.
    let disk = MemoryDisk::default();
    small(&disk, 7);
    let bytes = disk.bytes(&file_name(7));
    for (data_len, extent) in [(u32::MAX, 0), (1 << 31, 0), (5000, 0), (8, u32::MAX), (8, 9)] {
        let mut forged = bytes[..bytes.len() - 1].to_vec();
        let head = format::Head {
            record: head(1, 0, 1),
            is_reference: false,
            data_len,
            data_crc: 0,
            extent,
        };
        forged[4096..4096 + 48].copy_from_slice(&format::encode_head(&head, 7, 4096));
        disk.put(&file_name(7), &forged);
        let (segment, runs, _) = Segment::open(&disk, 7).unwrap();
        assert!(segment.extents().len() < 10);
        for run in &runs {
            read_all(&segment, run, 1000);
        }
    }
}
