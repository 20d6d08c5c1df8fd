//! A log that is cut anywhere, or has any bit flipped: what comes back is what was written, and
//! what does not come back is reported.
//!
//! `LEVERET_FLIP_STRIDE` says how many bits apart the flips are (default 9973; 1 flips every bit of
//! the 1 MiB), `LEVERET_FLIP_START` and `LEVERET_FLIP_END` which bits.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![allow(clippy::print_stderr, reason = "a test says which seed failed, and what it came to")]

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret_store::disk::{Access, Disk, FaultyDisk};
use leveret_store::{Committed, Damage, Options, SeqRange, Store, Target};

const QUEUE: u64 = 7;
const ALL: SeqRange = SeqRange { first: 0, last: u64::MAX };

fn options(file_size: u64) -> Options {
    Options { log_file_size: file_size, ..Options::default() }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn body(seq: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seq.wrapping_mul(0x9e37_79b9) >> (at % 23)) as u8 ^ at as u8).collect()
}

/// The files of a store as bytes.
type Image = BTreeMap<String, Vec<u8>>;

/// What was written: the image, and each message with the batch that it is in.
struct Written {
    image: Image,
    log: String,
    batches: BTreeMap<u64, Vec<u64>>,
    bodies: BTreeMap<u64, Vec<u8>>,
}

/// A store with batches of one to three messages of `len` bytes, until the log has `size` bytes.
fn write(size: u64, len: usize) -> Written {
    let disk = FaultyDisk::new(1);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = Store::open(shared, options(size + 4096)).unwrap().store;
    let (mut batches, mut bodies) = (BTreeMap::new(), BTreeMap::new());
    let (mut seq, mut used) = (0, 4096);
    loop {
        let count = 1 + batches.len() as u64 % 3;
        let bytes = (count as usize * (len + 60) + 64).next_multiple_of(4096) as u64;
        if used + bytes > size {
            break;
        }
        used += bytes;
        let batch = store.append(|group| {
            for _ in 0..count {
                seq += 1;
                let target = Target { queue: QUEUE, seq, expires: seq, level: 0 };
                let body = body(seq, len);
                group.publish(len as u32, &[target], [&[], &body]);
                bodies.insert(seq, body);
            }
        });
        assert!(matches!(store.commit(), Ok(Committed::Batch(done)) if done == batch));
        batches.insert(batch, (seq - count + 1..=seq).collect());
    }
    drop(store);
    let names: Vec<String> = disk.names();
    let image: Image =
        names.iter().map(|name| (name.clone(), disk.read_all(name).unwrap())).collect();
    let log = names.into_iter().find(|name| name.starts_with("log/")).unwrap();
    Written { image, log, batches, bodies }
}

fn disk_with(image: &Image) -> FaultyDisk {
    let disk = FaultyDisk::new(2);
    disk.create_dir("log").unwrap();
    disk.create_dir("segments").unwrap();
    for (name, bytes) in image {
        let file = disk.create(name, Access::Buffered).unwrap();
        file.write_at(bytes, 0).unwrap();
        file.sync().unwrap();
    }
    for dir in ["", "log", "segments"] {
        disk.sync_dir(dir).unwrap();
    }
    disk
}

/// Opens, reads everything, and says which messages are there and what was reported.
fn recover(disk: &FaultyDisk, size: u64) -> (BTreeMap<u64, Vec<u8>>, Vec<Damage>, bool) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = Store::open(shared, options(size + 4096)).unwrap();
    let found = opened.store.fetch(QUEUE, &[ALL], usize::MAX);
    let bodies = found.into_iter().map(|one| (one.seq, one.data.unwrap().to_vec())).collect();
    (bodies, opened.report.damages, opened.report.torn.is_some())
}

#[test]
fn a_log_cut_anywhere_gives_the_whole_batches_before_the_cut() {
    let size = 32 << 10;
    let written = write(size, 1_500);
    let full = written.image[&written.log].clone();
    // Where each batch ends: the last byte that is not padding.
    let ends: Vec<(u64, usize)> = {
        let mut at = 4096;
        let mut ends = Vec::new();
        for batch in written.batches.keys() {
            let len = u32::from_le_bytes(full[at + 24..at + 28].try_into().unwrap()) as usize;
            ends.push((*batch, at + len));
            at += len.next_multiple_of(4096);
        }
        ends
    };
    for cut in (0..full.len()).rev() {
        let mut image = written.image.clone();
        image.get_mut(&written.log).unwrap().truncate(cut);
        let (found, damages, _) = recover(&disk_with(&image), size);
        let whole = ends.iter().take_while(|(_, end)| *end <= cut);
        let expected: Vec<u64> =
            whole.flat_map(|(batch, _)| written.batches[batch].iter().copied()).collect();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected, "cut at {cut}");
        assert!(found.iter().all(|(seq, body)| *body == written.bodies[seq]), "cut at {cut}");
        assert_eq!(damages, [], "cut at {cut}: a cut is no damage");
    }
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let size = 1 << 20;
    let written = write(size, 30_000);
    let bits = (size * 8).min(number("LEVERET_FLIP_END", u64::MAX));
    let mut bit = number("LEVERET_FLIP_START", 0);
    let (mut harmless, mut reported, mut cut) = (0_u64, 0_u64, 0_u64);
    let disk = disk_with(&written.image);
    while bit < bits {
        disk.flip_bit(&written.log, bit).unwrap();
        let (found, damages, torn) = recover(&disk, size);
        for (seq, body) in &found {
            assert!(*body == written.bodies[seq], "bit {bit}: message {seq} has another body");
        }
        let lost = written.bodies.len() - found.len();
        if lost == 0 {
            harmless += 1;
        } else if damages.is_empty() {
            // The last batch alone cannot be told from one that was never whole.
            let (_, last) = written.batches.last_key_value().unwrap();
            assert!(last.iter().all(|seq| !found.contains_key(seq)), "bit {bit}: {lost} lost");
            assert_eq!(lost, last.len(), "bit {bit}: more than the last batch is lost");
            cut += 1;
            let _ = torn;
        } else {
            reported += 1;
            assert!(lost <= 3, "bit {bit}: {lost} messages are lost with one bit: {damages:?}");
        }
        // Whatever opening wrote is undone, too.
        let bytes = &written.image[&written.log];
        let file = disk.open(&written.log, Access::Buffered).unwrap();
        let now = disk.read_all(&written.log).unwrap();
        if now != *bytes {
            file.write_at(bytes, 0).unwrap();
            file.sync().unwrap();
        }
        bit += number("LEVERET_FLIP_STRIDE", 9973);
    }
    eprintln!("{harmless} harmless, {reported} reported, {cut} cut at the end");
    assert!(reported > 0);
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused() {
    let written = write(64 << 10, 100);
    let mut image = written.image.clone();
    let log = image.get_mut(&written.log).unwrap();
    log[12] = 2;
    let crc = crc32c::crc32c(&log[12..56]);
    log[8..12].copy_from_slice(&crc.to_le_bytes());
    let disk: Arc<dyn Disk> = Arc::new(disk_with(&image));
    let error = Store::open(disk, Options::default()).unwrap_err().to_string();
    assert!(error.contains("has format 2") && error.contains("format 1 only"), "{error}");

    let mut image = written.image.clone();
    let log = image.get_mut(&written.log).unwrap();
    log[16] ^= 1;
    let crc = crc32c::crc32c(&log[12..56]);
    log[8..12].copy_from_slice(&crc.to_le_bytes());
    let disk: Arc<dyn Disk> = Arc::new(disk_with(&image));
    let error = Store::open(disk, Options::default()).unwrap_err().to_string();
    assert!(error.contains("another data directory"), "{error}");
}

#[test]
fn a_missing_manifest_is_no_empty_store() {
    let written = write(64 << 10, 100);
    let mut image = written.image;
    image.remove("manifest").unwrap();
    let disk = disk_with(&image);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let error = Store::open(shared, Options::default()).unwrap_err().to_string();
    assert!(error.contains("manifest") && error.contains("salvage"), "{error}");
    assert_eq!(disk.read_all(&written.log).unwrap(), image[&written.log], "nothing was changed");
}
