//! Messages that pile up are moved to segments out of memory, as they come; those that leave again
//! soon are not moved at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod steps;

use std::sync::Arc;

use leveret_store::disk::{Disk, FaultyDisk, Kind};
use leveret_store::{Options, SeqRange, Store, Target};
use steps::tend;

const QUEUE: u64 = 1;
/// A file of the log takes fifteen, each in a batch of a block.
const MESSAGES: u64 = 2_400;
const BODY: usize = 500;

fn open(disk: &FaultyDisk, kept_files: usize) -> Store {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options =
        Options { log_file_size: 64 << 10, kept_files, batch_size: 4 << 10, ..Options::default() };
    Store::open(shared, options).unwrap().store
}

fn body(seq: u64) -> Vec<u8> {
    (0..BODY as u64).map(|at| (seq * 31 + at * 7) as u8).collect()
}

/// Publishes all messages; each is settled when `settled` others have come, if they are. Upkeep
/// has nothing to do for `tended` times in the time of a file.
fn publish(store: &Store, settled: Option<u64>, tended: usize) {
    let mut files = 0;
    for seq in 1..=MESSAGES {
        store.append(|group| {
            let target = Target { queue: QUEUE, seq, expires: u64::MAX, level: 0 };
            group.publish(BODY as u32, &[target], [&body(seq), &[]]);
            if let Some(last) = settled.and_then(|behind| seq.checked_sub(behind)) {
                group.settle(QUEUE, &[SeqRange { first: last, last }]);
            }
        });
        drop(store.commit().unwrap());
        let now = store.status().log_files;
        if now > files {
            (0..tended).for_each(|_| tend(store));
        }
        files = store.status().log_files;
    }
}

fn all_is_there(store: &Store, from: u64) {
    let all = SeqRange { first: 0, last: u64::MAX };
    let found = store.fetch(QUEUE, &[all], usize::MAX);
    let seqs: Vec<u64> = found.iter().map(|one| one.seq).collect();
    assert_eq!(seqs, (from..=MESSAGES).collect::<Vec<_>>());
    assert!(found.iter().all(|one| one.data.as_deref() == Some(&body(one.seq))));
}

/// What piling up cost: how often the disk was read, beside what opening reads.
fn reads(kept_files: usize, tended: usize) -> u64 {
    let disk = FaultyDisk::new(1);
    let store = open(&disk, kept_files);
    let before = disk.operations_of(Kind::Read);
    publish(&store, None, tended);
    let reads = disk.operations_of(Kind::Read) - before;
    let status = store.status();
    assert!(status.segments >= 150, "{status:?}");
    assert!(status.log_files <= 4, "{status:?}");
    all_is_there(&store, 1);
    drop(store);
    disk.kill();
    all_is_there(&open(&disk, kept_files), 1);
    reads
}

#[test]
fn what_piles_up_is_moved_without_a_read() {
    let (kept, one, none) = (reads(3, 1), reads(1, 1), reads(0, 1));
    assert!(kept <= 2, "{kept} reads; the first file was written before anything was known");
    assert!(none >= 150, "{none} reads of files that are not kept");
    assert!((kept..=none).contains(&one), "{one}");
}

#[test]
fn an_upkeep_with_time_to_spare_reads_instead_of_keeping() {
    assert!(reads(3, 4) >= 150);
}

#[test]
fn what_leaves_soon_is_not_moved() {
    let disk = FaultyDisk::new(2);
    let store = open(&disk, 3);
    publish(&store, Some(60), 1);
    let status = store.status();
    // Until the first ones left nothing was known of that.
    assert!(status.segments <= 4 && status.log_files >= 4, "{status:?}");
    all_is_there(&store, MESSAGES - 59);
}
