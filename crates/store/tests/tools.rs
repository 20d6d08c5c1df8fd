//! What is said of a data directory, whole and damaged: every damage is found or does no harm, and
//! what can be read is got out.
//!
//! `LEVERET_FLIP_STRIDE` says how many bytes apart the flips are (default 37; zeros are 40 times as
//! far apart, 1 flips all bytes).

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod steps;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use leveret_store::disk::{Access, Disk, FaultyDisk};
use leveret_store::tools::{Finding, LogFileUse, Salvage, Salvaged, Severity, check, inspect};
use leveret_store::{Committed, Options, SeqRange, Store, Target};
use steps::tend;

const ALL: SeqRange = SeqRange { first: 0, last: u64::MAX };
/// The last message of each queue.
const LAST: u64 = 34;
/// A queue that is dropped.
const GONE: u64 = 9;

/// Messages by queue and seq.
type Messages = BTreeMap<(u64, u64), Vec<u8>>;
/// What was salvaged by queue and seq: the data, and whether it is certain.
type Found = BTreeMap<(u64, u64), (Vec<u8>, bool)>;
/// The files of a store as bytes.
type Image = BTreeMap<String, Vec<u8>>;

fn options() -> Options {
    Options {
        log_file_size: 32 << 10,
        log_files: 2,
        log_messages_max: 12,
        extent_size: 8 << 10,
        ..Options::default()
    }
}

fn body(queue: u64, seq: u64) -> Vec<u8> {
    let len = 150 + (queue * 31 + seq * 17) as usize % 100;
    (0..len).map(|at| (queue * 7 + seq * 13) as u8 ^ at as u8).collect()
}

fn commit(store: &Store, batch: u64) {
    assert!(matches!(store.commit(), Ok(Committed::Batch(done)) if done == batch));
}

/// A store with messages in segments and in the log, some of them settled.
fn write() -> (Image, Messages) {
    let disk = FaultyDisk::new(1);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = Store::open(shared, options()).unwrap().store;
    store.set_definitions(Arc::new(|| Some((b"a snapshot".to_vec(), 2))));
    let mut messages = Messages::new();
    for change in ["first", "second"] {
        commit(&store, store.append(|group| group.define(change.as_bytes())));
    }
    for seq in 1..=LAST {
        let batch = store.append(|group| {
            for queue in [3, 7, GONE] {
                let body = body(queue, seq);
                let level = u8::from(queue == 7 && seq % 5 == 0);
                let target = Target { queue, seq, expires: 1000 + seq, level };
                group.publish(body.len() as u32, &[target], [&body[..4], &body[4..]]);
                messages.insert((queue, seq), body);
            }
        });
        commit(&store, batch);
        if seq == 20 {
            tend(&store);
            commit(&store, store.append(|group| group.define(b"third")));
        }
    }
    let gone = [SeqRange { first: 2, last: 3 }, SeqRange { first: 23, last: 23 }];
    let batch = store.append(|group| {
        group.settle(7, &gone);
        group.returned(3, &[(4, 2)]);
        group.delivered(3, 6);
        group.drop_queue(GONE);
    });
    commit(&store, batch);
    messages.retain(|(queue, seq), _| {
        *queue != GONE && !(*queue == 7 && gone.iter().any(|r| (r.first..=r.last).contains(seq)))
    });
    drop(store);
    let names = disk.names();
    let image = names.iter().map(|name| (name.clone(), disk.read_all(name).unwrap())).collect();
    (image, messages)
}

fn disk_with(image: &Image) -> FaultyDisk {
    let disk = FaultyDisk::new(2);
    for dir in ["log", "segments", "quarantine"] {
        disk.create_dir(dir).unwrap();
    }
    for (name, bytes) in image {
        let file = disk.create(name, Access::Buffered).unwrap();
        file.write_at(bytes, 0).unwrap();
        file.sync().unwrap();
    }
    for dir in ["", "log", "segments", "quarantine"] {
        disk.sync_dir(dir).unwrap();
    }
    disk
}

fn name_of(image: &Image, start: &str) -> String {
    image.keys().find(|name| name.starts_with(start)).unwrap().clone()
}

/// The file of the log that was written last, and where in it batches begin.
fn last_log(image: &Image) -> (String, Vec<usize>) {
    let logs = image.iter().filter(|(name, _)| name.starts_with("log/"));
    let first = |bytes: &[u8]| u64::from_le_bytes(bytes[48..56].try_into().unwrap());
    let (name, bytes) = logs.max_by_key(|(_, bytes)| first(bytes)).unwrap();
    let epoch = &bytes[32..40];
    let is_batch =
        |at: &usize| bytes[*at..].starts_with(b"LVB1") && bytes[at + 8..at + 16] == *epoch;
    (name.clone(), (4096..bytes.len()).step_by(4096).filter(is_batch).collect())
}

fn salvage(disk: &dyn Disk) -> (Salvage, Found, Salvaged) {
    let salvage = Salvage::open(disk);
    let mut found = BTreeMap::new();
    let mut last = (0, 0);
    let salvaged = salvage.messages(&mut |message| {
        let place = (message.queue, message.seq);
        assert!(place > last, "{place:?} comes after {last:?}");
        last = place;
        assert_eq!(message.expires, 1000 + message.seq);
        assert_eq!(message.level, u8::from(message.queue == 7 && message.seq % 5 == 0));
        found.insert(place, (message.data.to_vec(), message.certain));
        ControlFlow::Continue(())
    });
    assert_eq!(salvaged.messages, found.len() as u64);
    (salvage, found, salvaged)
}

fn bad(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|one| one.severity > Severity::Note).collect()
}

#[test]
fn a_whole_store_is_shown_as_it_is() {
    let (image, messages) = write();
    let disk = disk_with(&image);
    let before = disk.operations_of(leveret_store::disk::Kind::Write);
    let shown = inspect(&disk);
    assert_eq!(check(&disk), []);
    assert_eq!(salvage(&disk).1.len(), messages.len());
    assert_eq!(disk.operations_of(leveret_store::disk::Kind::Write), before, "nothing is written");
    assert_eq!((shown.findings.len(), shown.torn, shown.in_use_by), (0, None, None));
    let manifest = shown.manifest.unwrap();
    assert!(manifest.replay_from > 1 && manifest.store_id.len() == 32, "{manifest:?}");
    let definitions = shown.definitions;
    assert_eq!((definitions.bytes, definitions.through, definitions.changes), (Some(10), 2, 1));
    let count = |id: u64| messages.keys().filter(|(queue, _)| *queue == id).count() as u64;
    let queue = |id| shown.queues.iter().find(|queue| queue.queue == id).unwrap();
    let (three, seven) = (queue(3), queue(7));
    assert_eq!((three.messages, seven.messages), (count(3), count(7)));
    assert_eq!((three.returned, three.delivered, three.last_given), (1, 6, LAST));
    assert_eq!((seven.first_seq, seven.last_seq), (Some(1), Some(LAST)));
    assert_eq!(seven.levels, [(0, count(7) - 6), (1, 6)]);
    assert!(three.in_log > 0 && three.in_segments > 0, "{three:?}");
    assert_eq!(three.in_log + three.in_segments, three.messages);
    let bytes: u64 =
        messages.iter().filter(|((id, _), _)| *id == 3).map(|(_, b)| b.len() as u64).sum();
    assert_eq!(three.bytes, bytes);
    let totals = shown.totals;
    assert_eq!((totals.queues, totals.messages), (2, messages.len() as u64));
    let live: u64 = shown.segments.iter().map(|segment| segment.live_messages).sum();
    assert_eq!(live, three.in_segments + seven.in_segments);
    assert!(shown.segments.iter().all(|segment| segment.named && segment.error.is_none()));
    assert!(totals.garbage_bytes > 0, "the dropped queue's messages are in the segment still");
    let needed = shown.log.iter().filter(|file| file.r#use == LogFileUse::Needed);
    assert!(needed.clone().count() > 0 && shown.log.iter().all(|file| !file.damaged));
    let last = needed.map(|file| file.first_batch.unwrap() + file.batches - 1).max().unwrap();
    assert_eq!(last, shown.log_end);
}

#[test]
fn a_directory_in_use_can_be_looked_at() {
    let (image, messages) = write();
    let disk = disk_with(&image);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let store = Store::open(shared, options()).unwrap().store;
    let shown = inspect(&disk);
    assert!(shown.in_use_by.is_some());
    assert_eq!(shown.totals.messages, messages.len() as u64);
    assert_eq!(bad(&check(&disk)), [] as [&Finding; 0]);
    drop(store);
    assert_eq!(inspect(&disk).in_use_by, None);
}

#[test]
fn damage_is_found_where_it_is() {
    let (image, _) = write();
    let segment = name_of(&image, "segments/");
    let definitions = name_of(&image, "definitions");
    let (log, batches) = last_log(&image);
    let found = |change: &dyn Fn(&mut Image)| {
        let mut image = image.clone();
        change(&mut image);
        check(&disk_with(&image))
    };
    // The first message of the segment is one of queue 3, which has lost none.
    let findings = found(&|image| image.get_mut(&segment).unwrap()[4096 + 60] ^= 1);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((finding.severity, &finding.file), (Severity::Damage, &segment));
    let messages = finding.messages.unwrap();
    assert_eq!((messages.queue, messages.first, messages.last), (3, 1, 1));

    let findings = found(&|image| image.get_mut(&log).unwrap()[batches[1] + 200] ^= 1);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((finding.severity, &finding.file), (Severity::Damage, &log));

    let findings = found(&|image| image.get_mut("manifest").unwrap()[40] ^= 1);
    assert!(bad(&findings).iter().any(|one| one.file == "manifest"), "{findings:?}");
    let findings = found(&|image| drop(image.remove("manifest")));
    assert!(bad(&findings).iter().any(|one| one.file == "manifest"), "{findings:?}");
    let findings = found(&|image| drop(image.remove(&definitions)));
    assert!(bad(&findings).iter().any(|one| one.file == definitions), "{findings:?}");

    let findings = found(&|image| drop(image.remove(&segment)));
    assert!(findings[0].what.contains("missing") && findings[0].file == segment, "{findings:?}");
    assert!(findings.iter().any(|one| one.messages.is_some_and(|m| m.queue == 3)));
    // That the very last file is missing cannot be told, unless the log no longer reaches the place
    // where it begins to count.
    let shown = inspect(&disk_with(&image)).log;
    let needed: Vec<_> = shown.iter().filter(|file| file.r#use == LogFileUse::Needed).collect();
    assert!(needed.len() > 1, "{shown:?}");
    let first = format!("log/{:08}.log", needed[0].id);
    let findings = found(&|image| drop(image.remove(&first)));
    assert!(bad(&findings).iter().any(|one| one.what.contains("missing")), "{findings:?}");
    let findings = found(&|image| image.retain(|name, _| !name.starts_with("log/")));
    assert!(bad(&findings).iter().any(|one| one.what.contains("missing")), "{findings:?}");

    // What nobody needs, and what a crash leaves, is no damage.
    let findings = found(&|image| {
        let (_, last) = (log.clone(), *batches.last().unwrap());
        image.get_mut(&log).unwrap()[last + 70] ^= 1;
        image.insert("segments/00000099.seg".to_owned(), vec![1; 5000]);
        image.insert("manifest.new".to_owned(), vec![1; 10]);
    });
    assert_eq!((findings.len(), bad(&findings).len()), (3, 0), "{findings:?}");
}

#[test]
fn a_foreign_directory_cannot_be_checked() {
    let disk = FaultyDisk::new(1);
    let findings = check(&disk);
    assert_eq!(findings[0].severity, Severity::Unreadable);
    assert_eq!(inspect(&disk).severity(), Severity::Unreadable);
    assert_eq!(salvage(&disk).1.len(), 0);
}

#[test]
fn with_a_manifest_exactly_what_lives_is_salvaged() {
    let (mut image, messages) = write();
    let (got, found, _) = salvage(&disk_with(&image));
    assert_eq!(got.definitions.as_deref(), Some(&b"a snapshot"[..]));
    assert_eq!(got.changes, ["third"]);
    let expected: BTreeMap<_, _> =
        messages.iter().map(|(place, body)| (*place, (body.clone(), true))).collect();
    assert!(found == expected, "{:?}", found.keys());

    let segment = name_of(&image, "segments/");
    image.get_mut(&segment).unwrap()[4096 + 60] ^= 1;
    let (_, found, salvaged) = salvage(&disk_with(&image));
    assert_eq!(found.len(), messages.len() - 1);
    let lost = salvaged.findings[0].messages.unwrap();
    assert_eq!((salvaged.lost, lost.queue, lost.first), (1, 3, 1));

    // With a part of the log missing some of the rest may have been consumed.
    let (log, batches) = last_log(&image);
    image.get_mut(&log).unwrap()[batches[0] + 200] ^= 1;
    let (_, found, _) = salvage(&disk_with(&image));
    assert!(!found.is_empty() && found.values().all(|(_, certain)| !certain));
}

#[test]
fn without_a_manifest_everything_readable_is_salvaged_but_what_is_known_to_be_gone() {
    let (mut image, messages) = write();
    image.remove("manifest").unwrap();
    let (got, found, salvaged) = salvage(&disk_with(&image));
    assert!(!got.by_manifest && bad(&got.findings).len() == 1);
    assert_eq!(got.definitions.as_deref(), Some(&b"a snapshot"[..]));
    assert_eq!(got.changes.last().unwrap(), "third");
    assert!(
        found
            .iter()
            .all(|(place, (body, certain))| { !certain && messages.get(place) == Some(body) })
    );
    assert_eq!(found.keys().collect::<Vec<_>>(), messages.keys().collect::<Vec<_>>());
    assert_eq!(salvaged.uncertain, salvaged.messages);

    // A file that was set aside counts as well, and one without a header.
    let (log, _) = last_log(&image);
    let mut bytes = image.remove(&log).unwrap();
    let fewer = salvage(&disk_with(&image)).1.len();
    bytes[10] ^= 1;
    image.insert("quarantine/00000001-20.log".to_owned(), bytes);
    let again = salvage(&disk_with(&image)).1;
    assert!(fewer != messages.len() && again.len() == messages.len(), "{fewer} {}", again.len());
}

#[test]
fn the_end_of_the_log_is_looked_at_closely() {
    let (image, _) = write();
    let (log, batches) = last_log(&image);
    let flipped = |at: usize| {
        let mut image = image.clone();
        let bytes = image.get_mut(&log).unwrap();
        // The file as it was after its first batch.
        bytes[batches[1]..].fill(0);
        bytes[at] ^= 1;
        check(&disk_with(&image))
    };
    // Its header, and the header of its only batch: no crash leaves them like that.
    assert_eq!(bad(&flipped(20)).len(), 1);
    assert_eq!(bad(&flipped(4096 + 20)).len(), 1);
    // A crash may leave the rest.
    let findings = flipped(4096 + 200);
    assert_eq!((findings.len(), bad(&findings).len()), (1, 0), "{findings:?}");
    assert_eq!(flipped(4090), []);
}

#[test]
fn every_flipped_byte_is_found_or_harmless() {
    let (image, messages) = write();
    let stride = std::env::var("LEVERET_FLIP_STRIDE").ok().and_then(|text| text.parse().ok());
    let stride: usize = stride.unwrap_or(37);
    let zeros = if stride == 1 { 1 } else { stride * 40 };
    let disk = disk_with(&image);
    let (mut told, mut harmless, mut flips) = (0, 0, 0);
    for (name, bytes) in &image {
        for (at, byte) in bytes.iter().enumerate().step_by(stride) {
            if *byte == 0 && at % zeros != 0 {
                continue;
            }
            flips += 1;
            let bit = (at * 8 + at % 8) as u64;
            disk.flip_bit(name, bit).unwrap();
            let findings = check(&disk);
            if flips % 5 == 0 {
                let (_, found, _) = salvage(&disk);
                let known = |(queue, seq): &(u64, u64)| body(*queue, *seq);
                assert!(
                    found.iter().all(|(place, (body, _))| *body == known(place)),
                    "{name} {at}"
                );
                let _ = inspect(&disk);
            }
            disk.flip_bit(name, bit).unwrap();
            if !findings.is_empty() {
                told += 1;
                continue;
            }
            harmless += 1;
            let mut image = image.clone();
            image.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
            let shared: Arc<dyn Disk> = Arc::new(disk_with(&image));
            let opened = Store::open(shared, options()).unwrap();
            assert_eq!(opened.definitions.as_deref(), Some(&b"a snapshot"[..]), "{name} {at}");
            assert_eq!(opened.changes, ["third"], "{name} {at}");
            for queue in [3, 7] {
                let found = opened.store.fetch(queue, &[ALL], usize::MAX);
                let found =
                    found.into_iter().map(|one| ((queue, one.seq), one.data.unwrap().to_vec()));
                let own = messages.iter().filter(|((id, _), _)| *id == queue);
                let own = own.map(|(place, body)| (*place, body.clone()));
                assert!(found.eq(own), "{name} {at}: nothing was said, and messages differ");
            }
        }
    }
    assert!(told > 100 && harmless > 0, "{flips} flips: {told} told, {harmless} harmless");
}
