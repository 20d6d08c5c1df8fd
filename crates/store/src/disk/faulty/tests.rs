//! Tests of the faulty disk: each of its rules, and that a seed decides all.

mod scenarios;

use std::collections::BTreeSet;

use super::*;

const SEEDS: u64 = 300;
const SECTOR: usize = 512;

/// A disk with a durable file `a` of `len` bytes, all 1.
fn disk_with(seed: u64, len: usize) -> (FaultyDisk, Box<dyn DiskFile>) {
    let disk = FaultyDisk::new(seed);
    let file = disk.create("a", Access::Buffered).unwrap();
    file.write_at(&vec![1; len], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    (disk, file)
}

fn code<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

const EIO: Option<i32> = Some(5);
const ENOSPC: Option<i32> = Some(28);
const EINVAL: Option<i32> = Some(22);
const ENOENT: Option<i32> = Some(2);

fn contents(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![9; file.len().unwrap() as usize + 10];
    let len = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(len);
    bytes
}

/// The value of each sector; each must be of one value.
fn sectors(bytes: &[u8]) -> Vec<u8> {
    let whole = |sector: &[u8]| {
        assert!(sector.iter().all(|&byte| byte == sector[0]), "a sector is torn");
        sector[0]
    };
    bytes.chunks(SECTOR).map(whole).collect()
}

/// What comes of many seeds.
fn outcomes<T: Ord>(run: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(run).collect()
}

#[test]
fn reads_see_writes_at_once() {
    let disk = FaultyDisk::new(1);
    let file = disk.create("a", Access::Buffered).unwrap();
    file.write_at(b"hare", 5000).unwrap();
    file.write_at(b"H", 5000).unwrap();
    assert_eq!(file.len().unwrap(), 5004);
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, 4998).unwrap(), 6);
    assert_eq!(&buffer, b"\0\0Hare\x09\x09");
    assert_eq!(file.read_at(&mut buffer, 5004).unwrap(), 0);
    assert_eq!(disk.read_all("a").unwrap(), contents(&*file));
    let other = disk.open("a", Access::Buffered).unwrap();
    assert_eq!(contents(&*other).len(), 5004);
    assert_eq!(code(file.write_at(b"x", u64::MAX)), EINVAL);
}

#[test]
fn what_is_synced_survives_any_crash() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with(seed, 10_000);
        file.write_at(&[2; 3000], 2000).unwrap();
        file.sync().unwrap();
        let expected = contents(&*file);
        disk.crash();
        disk.crash();
        assert_eq!(disk.read_all("a").unwrap(), expected, "seed {seed}");
    }
}

#[test]
fn un_synced_sectors_survive_one_by_one_in_any_version() {
    let seen = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 4 * SECTOR);
        file.write_at(&[2; 4 * SECTOR], 0).unwrap();
        file.write_at(&[3; 2 * SECTOR], SECTOR as u64).unwrap();
        disk.crash();
        sectors(&disk.read_all("a").unwrap())
    });
    assert!(seen.contains(&vec![1, 1, 1, 1]), "nothing survives");
    assert!(seen.contains(&vec![2, 3, 3, 2]), "all survives");
    for (place, versions) in [(0, 1..=2), (1, 1..=3), (2, 1..=3), (3, 1..=2)] {
        for version in versions {
            assert!(seen.iter().any(|sectors| sectors[place] == version), "{place} {version}");
        }
    }
    assert!(seen.iter().any(|sectors| sectors[0] != sectors[3]), "a write is torn");
    assert!(seen.len() > 15, "{}", seen.len());
}

#[test]
fn a_part_of_a_sector_is_written_with_the_rest_of_it() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with(seed, SECTOR);
        file.write_at(&[2; 100], 0).unwrap();
        file.write_at(&[3; 100], 200).unwrap();
        disk.crash();
        let bytes = disk.read_all("a").unwrap();
        assert!(bytes[200] != 3 || bytes[0] == 2, "the later version has the earlier write");
        assert_eq!((bytes[99], bytes[299]), (bytes[0], bytes[200]));
    }
}

#[test]
fn files_are_reordered() {
    let seen = outcomes(|seed| {
        let (disk, first) = disk_with(seed, SECTOR);
        let second = disk.create("b", Access::Buffered).unwrap();
        second.write_at(&[1; SECTOR], 0).unwrap();
        second.sync().unwrap();
        disk.sync_dir("").unwrap();
        first.write_at(&[2; SECTOR], 0).unwrap();
        second.write_at(&[2; SECTOR], 0).unwrap();
        disk.crash();
        [disk.read_all("a").unwrap()[0], disk.read_all("b").unwrap()[0]]
    });
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn an_un_synced_length_survives_or_not() {
    let seen = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 1000);
        file.write_at(&[2; 1000], 1000).unwrap();
        file.write_at(&[3; 30_000], 2000).unwrap();
        disk.crash();
        let bytes = disk.read_all("a").unwrap();
        assert!(bytes[..1000].iter().all(|&byte| byte == 1));
        assert!(bytes[1000..].iter().all(|byte| [0, 2, 3].contains(byte)), "zeros if lost");
        bytes.len()
    });
    assert_eq!(seen.first(), Some(&1000), "never shorter than what is durable");
    assert!(seen.contains(&2000) && seen.contains(&4096), "{seen:?}");
    assert_eq!(seen.last(), Some(&32_000));
}

#[test]
fn lost_bytes_of_an_extension_may_be_garbage() {
    let garbage = |seed| {
        let (disk, file) = disk_with(seed, 1000);
        disk.set_garbage(true);
        file.write_at(&[2; 9000], 1000).unwrap();
        disk.crash();
        let bytes = disk.read_all("a").unwrap();
        assert!(bytes[..1000].iter().all(|&byte| byte == 1), "what is durable stays");
        bytes[1000..].iter().any(|byte| ![0, 2].contains(byte))
    };
    assert_eq!(outcomes(garbage).len(), 2);
}

#[test]
fn how_much_survives_can_be_chosen() {
    for (survival, expected) in [(Survival::Nothing, 1), (Survival::Everything, 2)] {
        let (disk, file) = disk_with(7, 5000);
        disk.create("b", Access::Buffered).unwrap();
        file.write_at(&[2; 9000], 0).unwrap();
        disk.crash_keeping(survival);
        let bytes = disk.read_all("a").unwrap();
        assert!(bytes.iter().all(|&byte| byte == expected));
        assert_eq!(bytes.len(), if expected == 1 { 5000 } else { 9000 });
        assert_eq!(disk.names().len(), usize::from(expected));
    }
}

#[test]
fn space_is_allocated_and_punched_when_synced() {
    let seen = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 4 * BLOCK);
        file.allocate(8 * BLOCK as u64).unwrap();
        file.allocate(BLOCK as u64).unwrap();
        file.punch(BLOCK as u64 - 512, 2 * BLOCK as u64).unwrap();
        let cache = sectors(&contents(&*file));
        assert_eq!(cache.len(), 64);
        assert!(
            cache
                .iter()
                .enumerate()
                .all(|(at, &value)| (value == 1) == (at < 7 || (23..32).contains(&at)))
        );
        if seed % 4 == 0 {
            file.sync().unwrap();
        }
        disk.crash();
        let bytes = disk.read_all("a").unwrap();
        let zeros = sectors(&bytes).iter().filter(|&&value| value == 0).count();
        assert!(seed % 4 != 0 || (bytes.len(), zeros) == (8 * BLOCK, 48));
        (bytes.len(), zeros)
    });
    assert!(seen.contains(&(4 * BLOCK, 0)) && seen.contains(&(8 * BLOCK, 48)));
    assert!(seen.iter().any(|&(_, zeros)| ![0, 16, 32, 48].contains(&zeros)), "it may be torn");
}

#[test]
fn a_failed_sync_loses_by_chance_what_it_had() {
    let seen = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 2 * SECTOR);
        file.write_at(&[2; SECTOR], 0).unwrap();
        disk.fail(disk.operations(), Fault::Eio);
        assert_eq!(code(file.sync()), EIO);
        file.write_at(&[3; SECTOR], SECTOR as u64).unwrap();
        file.sync().unwrap();
        assert_eq!(sectors(&contents(&*file)), [2, 3], "reads see it still");
        disk.kill();
        assert_eq!(sectors(&disk.read_all("a").unwrap()), [2, 3], "after a kill too");
        let file = disk.open("a", Access::Buffered).unwrap();
        file.sync().unwrap();
        disk.crash();
        sectors(&disk.read_all("a").unwrap())
    });
    assert_eq!(seen, BTreeSet::from([vec![1, 3], vec![2, 3]]));
}

#[test]
fn what_is_written_again_after_a_failed_sync_is_durable() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with(seed, SECTOR);
        file.write_at(&[2; 4 * SECTOR], 0).unwrap();
        disk.fail_kind(Kind::Sync, disk.operations_of(Kind::Sync), Fault::Enospc);
        assert_eq!(code(file.sync()), ENOSPC);
        file.write_at(&[3; SECTOR], SECTOR as u64).unwrap();
        file.sync().unwrap();
        disk.crash();
        let sectors = sectors(&disk.read_all("a").unwrap());
        assert_eq!(sectors[1], 3, "seed {seed}: data and length are durable");
        assert!(sectors.len() <= 4);
    }
}

#[test]
fn names_are_durable_in_order_once_the_directory_is_synced() {
    let run = |seed, sync: bool| {
        let disk = FaultyDisk::new(seed);
        disk.create("old", Access::Buffered).unwrap();
        disk.create("gone", Access::Buffered).unwrap();
        disk.sync_dir("").unwrap();
        disk.create("new", Access::Buffered).unwrap().sync().unwrap();
        disk.rename("new", "old").unwrap();
        disk.remove("gone").unwrap();
        assert_eq!(disk.names(), ["old"]);
        if sync {
            disk.sync_dir("").unwrap();
        }
        disk.crash();
        assert_eq!(disk.list("").unwrap(), disk.names());
        disk.names().join(" ")
    };
    let seen = outcomes(|seed| run(seed, false));
    let prefixes = ["gone old", "gone new old", "old"].map(str::to_owned);
    assert_eq!(seen, BTreeSet::from(prefixes));
    assert_eq!(outcomes(|seed| run(seed, true)), BTreeSet::from(["old".to_owned()]));
}

#[test]
fn a_name_brings_back_the_file_that_it_stood_for() {
    let seen = outcomes(|seed| {
        let (disk, _) = disk_with(seed, 10);
        let file = disk.create("b", Access::Buffered).unwrap();
        file.write_at(&[2; 20], 0).unwrap();
        file.sync().unwrap();
        disk.rename("b", "a").unwrap();
        disk.crash();
        (disk.names().join(" "), disk.read_all("a").unwrap())
    });
    let expected = [("a", vec![1; 10]), ("a b", vec![1; 10]), ("a", vec![2; 20])];
    assert_eq!(seen, BTreeSet::from(expected.map(|(names, bytes)| (names.to_owned(), bytes))));
}

#[test]
fn directories_are_lost_with_what_is_in_them() {
    let run = |seed, sync_root: bool| {
        let disk = FaultyDisk::new(seed);
        disk.create_dir("").unwrap();
        disk.create_dir("log").unwrap();
        disk.create_dir("log").unwrap();
        disk.create("log/1", Access::Direct).unwrap().sync().unwrap();
        disk.sync_dir("log").unwrap();
        if sync_root {
            disk.sync_dir("").unwrap();
        }
        disk.crash();
        (disk.list("").unwrap().join(" "), disk.names().join(" "))
    };
    let kept = ("log".to_owned(), "log/1".to_owned());
    let lost = (String::new(), String::new());
    assert_eq!(outcomes(|seed| run(seed, false)), BTreeSet::from([kept.clone(), lost]));
    assert_eq!(outcomes(|seed| run(seed, true)), BTreeSet::from([kept]));
}

#[test]
fn a_file_that_changes_its_directory_has_one_name() {
    let run = |seed, synced: Option<&str>| {
        let (disk, _) = disk_with(seed, 10);
        disk.create_dir("x").unwrap();
        disk.sync_dir("").unwrap();
        disk.create("x/first", Access::Buffered).unwrap();
        disk.rename("a", "x/a").unwrap();
        disk.create("last", Access::Buffered).unwrap();
        synced.into_iter().for_each(|dir| disk.sync_dir(dir).unwrap());
        disk.crash();
        disk.names().join(" ")
    };
    let names = |all: &[&str]| all.iter().map(|&names| names.to_owned()).collect::<BTreeSet<_>>();
    let all = names(&["a", "a x/first", "last x/a x/first", "x/a x/first"]);
    assert_eq!(outcomes(|seed| run(seed, None)), all);
    let moved = names(&["last x/a x/first", "x/a x/first"]);
    assert_eq!(outcomes(|seed| run(seed, Some("x"))), moved);
    let all = names(&["last x/a x/first"]);
    assert_eq!(outcomes(|seed| run(seed, Some(""))), all);
}

#[test]
fn names_are_refused_as_by_a_filesystem() {
    let (disk, file) = disk_with(1, 10);
    disk.create_dir("d").unwrap();
    assert_eq!(code(disk.create("a", Access::Buffered)), Some(17));
    assert_eq!(code(disk.create_dir("a")), Some(17));
    assert_eq!(code(disk.create("no/b", Access::Buffered)), ENOENT);
    assert_eq!(code(disk.create("a/b", Access::Buffered)), Some(20));
    assert_eq!(code(disk.create_dir("no/b")), ENOENT);
    assert_eq!(code(disk.open("b", Access::Buffered)), ENOENT);
    assert_eq!(code(disk.open("d", Access::Buffered)), Some(21));
    assert_eq!(code(disk.remove("b")), ENOENT);
    assert_eq!(code(disk.rename("b", "c")), ENOENT);
    assert_eq!(code(disk.rename("a", "no/c")), ENOENT);
    assert_eq!(code(disk.rename("a", "d")), Some(21));
    assert_eq!(code(disk.list("no")), ENOENT);
    assert_eq!(code(disk.sync_dir("no")), ENOENT);
    assert_eq!(code(disk.create("../x", Access::Buffered)), EINVAL);
    disk.rename("a", "a").unwrap();
    disk.rename("a", "d/b").unwrap();
    disk.remove("d/b").unwrap();
    assert_eq!(contents(&*file), [1; 10], "an open file survives its name");
    assert!(disk.names().is_empty());
}

#[test]
fn handles_of_before_a_crash_or_a_kill_are_dead() {
    for kill in [false, true] {
        let (disk, file) = disk_with(3, 10);
        let temporary = disk.temporary().unwrap();
        temporary.write_at(b"spilled", 0).unwrap();
        assert_eq!(contents(&*temporary), b"spilled");
        assert_eq!(disk.names(), ["a"]);
        let (before, count) = (disk.free_bytes().unwrap(), disk.operations());
        if kill {
            disk.kill()
        } else {
            disk.crash()
        }
        assert_eq!(code(file.read_at(&mut [0], 0)), EIO);
        assert_eq!(code(file.write_at(&[0], 0)), EIO);
        assert_eq!(code(file.sync()), EIO);
        assert_eq!(code(file.allocate(1)), EIO);
        assert_eq!(code(file.punch(0, 1)), EIO);
        assert_eq!(code(file.len()), EIO);
        assert_eq!(disk.operations(), count);
        drop(file);
        assert_eq!(disk.free_bytes().unwrap(), before + BLOCK as u64, "the temporary file is gone");
        assert_eq!(disk.read_all("a").unwrap(), [1; 10]);
    }
}

#[test]
fn a_kill_leaves_all_that_was_written_but_not_durable() {
    let seen = outcomes(|seed| {
        let (disk, file) = disk_with(seed, SECTOR);
        file.write_at(&[2; SECTOR], 0).unwrap();
        disk.create("b", Access::Buffered).unwrap();
        disk.kill();
        assert_eq!(disk.names(), ["a", "b"]);
        assert_eq!(sectors(&disk.read_all("a").unwrap()), [2]);
        disk.crash();
        (disk.names().len(), disk.read_all("a").unwrap()[0])
    });
    assert_eq!(seen.len(), 4);
}

/// Does one operation of each kind; the first error ends it.
fn one_of_each(disk: &FaultyDisk) -> io::Result<()> {
    disk.create_dir("d")?;
    disk.lock().map_err(|error| match error {
        LockError::Io(error) => error,
        LockError::Held { .. } => panic!("nobody else holds it"),
    })?;
    let file = disk.create("d/a", Access::Direct)?;
    file.allocate(BLOCK as u64)?;
    file.write_at(&[1; BLOCK], 0)?;
    file.punch(0, BLOCK as u64)?;
    file.sync()?;
    file.read_at(&mut [0; BLOCK], 0)?;
    disk.temporary()?;
    disk.open("d/a", Access::Direct)?;
    disk.rename("d/a", "d/b")?;
    disk.sync_dir("d")?;
    disk.list("d")?;
    disk.remove("d/b")
}

#[test]
fn each_operation_counts_and_can_fail() {
    let disk = FaultyDisk::new(1);
    one_of_each(&disk).unwrap();
    let total = disk.operations();
    assert_eq!(total, Kind::ALL.len() as u64);
    assert!(Kind::ALL.iter().all(|&kind| disk.operations_of(kind) == 1));
    for at in 0..total {
        for (fault, codes) in [
            (Fault::Eio, &[EIO][..]),
            (Fault::Enospc, &[ENOSPC]),
            (Fault::ShortWrite, &[EIO, ENOSPC]),
            (Fault::Late, &[EIO]),
        ] {
            let disk = FaultyDisk::new(at);
            disk.fail(at, fault);
            assert!(codes.contains(&code(one_of_each(&disk))), "{fault:?} at {at}");
            assert_eq!(disk.operations(), at + 1);
        }
    }
    for kind in Kind::ALL {
        let disk = FaultyDisk::new(1);
        disk.fail_kind(kind, 0, Fault::Enospc);
        assert_eq!(code(one_of_each(&disk)), ENOSPC, "{kind:?}");
        assert_eq!(disk.operations_of(kind), 1);
    }
}

#[test]
fn a_failed_operation_does_nothing_unless_it_fails_late() {
    for (fault, names) in [(Fault::Eio, "a"), (Fault::ShortWrite, "a"), (Fault::Late, "b")] {
        let (disk, _) = disk_with(1, 10);
        disk.fail(disk.operations(), fault);
        assert!(disk.rename("a", "b").is_err());
        assert_eq!(disk.names(), [names]);
    }
}

#[test]
fn a_short_write_writes_the_start() {
    let seen = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 20);
        disk.fail(disk.operations(), Fault::ShortWrite);
        let error = code(file.write_at(&[2; 10], 5));
        assert!(error == EIO || error == ENOSPC);
        let bytes = contents(&*file);
        let written = bytes.iter().filter(|&&byte| byte == 2).count();
        assert!(bytes[5..5 + written].iter().all(|&byte| byte == 2));
        written
    });
    assert_eq!(seen, (0..=10).collect());
}

#[test]
fn persistent_faults_last_until_healed() {
    let (disk, file) = disk_with(1, 10);
    disk.fail_from(disk.operations() + 1, Fault::Enospc, &[Kind::Write, Kind::Create]);
    file.write_at(&[2], 0).unwrap();
    for _ in 0..3 {
        assert_eq!(code(file.write_at(&[3], 0)), ENOSPC);
        assert_eq!(code(disk.create("b", Access::Direct)), ENOSPC);
        file.sync().unwrap();
    }
    disk.crash();
    assert_eq!(code(disk.create("b", Access::Direct)), ENOSPC);
    disk.heal();
    disk.create("b", Access::Direct).unwrap();
}

#[test]
fn power_goes_off_at_any_operation() {
    for at in 0..Kind::ALL.len() as u64 {
        let disk = FaultyDisk::new(at);
        disk.crash_at(at);
        let error = one_of_each(&disk).unwrap_err();
        assert!(FaultyDisk::is_power_loss(&error), "{error}");
        assert!(disk.is_off());
        for error in [disk.list("").unwrap_err(), disk.free_bytes().unwrap_err()] {
            assert!(FaultyDisk::is_power_loss(&error));
        }
        assert_eq!(disk.operations(), at + 1, "without power nothing is counted");
        if at % 2 == 0 {
            disk.crash()
        } else {
            disk.kill()
        }
        assert!(!disk.is_off());
        disk.create("after", Access::Buffered).unwrap();
    }
    assert!(!FaultyDisk::is_power_loss(&Errno::IO.into()));
}

#[test]
fn an_operation_that_loses_power_may_be_done() {
    let renamed = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 10);
        disk.crash_at(disk.operations());
        disk.rename("a", "b").unwrap_err();
        assert!(FaultyDisk::is_power_loss(&file.len().unwrap_err()));
        disk.crash();
        disk.names()
    });
    assert_eq!(renamed.len(), 2);
    let written = outcomes(|seed| {
        let (disk, file) = disk_with(seed, 2 * SECTOR);
        disk.crash_at(disk.operations());
        file.write_at(&[2; 2 * SECTOR], 0).unwrap_err();
        disk.kill();
        disk.read_all("a").unwrap().iter().filter(|&&byte| byte == 2).count()
    });
    assert!(written.len() > 50);
    let synced = outcomes(|seed| {
        let (disk, file) = disk_with(seed, SECTOR);
        file.write_at(&[2; SECTOR], 0).unwrap();
        disk.crash_at(disk.operations());
        file.sync().unwrap_err();
        disk.crash();
        disk.read_all("a").unwrap()[0]
    });
    assert_eq!(synced.len(), 2);
}

#[test]
fn room_runs_out_and_comes_back() {
    let block = BLOCK as u64;
    let disk = FaultyDisk::new(1);
    disk.set_capacity(8 * block + 100);
    let file = disk.create("a", Access::Buffered).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 8 * block);
    file.allocate(2 * block).unwrap();
    assert_eq!(code(file.allocate(9 * block)), ENOSPC);
    assert_eq!(file.len().unwrap(), 2 * block);
    file.write_at(&[1; 2 * BLOCK], 0).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 6 * block);
    assert_eq!(code(file.write_at(&[2; 9 * BLOCK], block)), ENOSPC);
    assert_eq!((file.len().unwrap(), disk.free_bytes().unwrap()), (8 * block, 0));
    assert_eq!(contents(&*file)[8 * BLOCK - 1], 2, "what there is room for is written");
    file.punch(block / 2, 3 * block).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 2 * block, "whole blocks come back");
    let other = disk.create("b", Access::Buffered).unwrap();
    other.write_at(&[1], 0).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), block);
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    disk.remove("a").unwrap();
    assert_eq!(disk.free_bytes().unwrap(), block, "it is open");
    drop(file);
    assert_eq!(disk.free_bytes().unwrap(), 7 * block);
    disk.crash_keeping(Survival::Nothing);
    assert_eq!(disk.names(), ["a", "b"]);
    assert_eq!(disk.free_bytes().unwrap(), 2 * block, "`a` is back and `b` is empty");
}

#[test]
fn room_is_durable_when_synced() {
    for (survival, free) in [(Survival::Nothing, 4), (Survival::Everything, 5)] {
        let disk = FaultyDisk::new(1);
        disk.set_capacity(8 * BLOCK as u64);
        let file = disk.create("a", Access::Buffered).unwrap();
        file.allocate(4 * BLOCK as u64).unwrap();
        file.sync().unwrap();
        disk.sync_dir("").unwrap();
        file.punch(0, BLOCK as u64).unwrap();
        file.write_at(&[1], BLOCK as u64).unwrap();
        assert_eq!(disk.free_bytes().unwrap(), 5 * BLOCK as u64);
        disk.crash_keeping(survival);
        assert_eq!(disk.free_bytes().unwrap(), free * BLOCK as u64, "{survival:?}");
    }
}

#[test]
fn direct_access_is_by_blocks() {
    let disk = FaultyDisk::new(1);
    let file = disk.create("a", Access::Direct).unwrap();
    assert!(file.is_direct());
    file.write_at(&[1; BLOCK], 0).unwrap();
    assert_eq!(code(file.write_at(&[1; BLOCK], 512)), EINVAL);
    assert_eq!(code(file.write_at(&[1; 512], 0)), EINVAL);
    assert_eq!(code(file.read_at(&mut [1; 512], 0)), EINVAL);
    assert_eq!(code(file.read_at(&mut [1; BLOCK], 1)), EINVAL);
    let buffered = disk.open("a", Access::Buffered).unwrap();
    assert!(!buffered.is_direct());
    buffered.write_at(&[2; 5], BLOCK as u64).unwrap();
    assert_eq!(file.read_at(&mut [0; 2 * BLOCK], 0).unwrap(), BLOCK + 5);
    disk.set_direct(false);
    let fallback = disk.open("a", Access::Direct).unwrap();
    assert!(!fallback.is_direct());
    fallback.write_at(&[1; 3], 1).unwrap();
}

#[test]
fn files_are_damaged_by_hand() {
    for crash in [false, true] {
        let (disk, file) = disk_with(5, 3 * BLOCK);
        file.write_at(&[3], 0).unwrap();
        disk.flip_bit("a", 8 * 700 + 1).unwrap();
        disk.zero("a", 1000, 5000).unwrap();
        disk.truncate("a", 9000).unwrap();
        assert!(disk.flip_bit("a", 8 * 9000).is_err());
        if crash {
            disk.crash();
        }
        let mut expected = vec![1; 9000];
        expected[0] = 3;
        expected[700] = 3;
        expected[1000..6000].fill(0);
        assert_eq!(disk.read_all("a").unwrap(), expected);
        disk.truncate("a", 10_000).unwrap();
        assert_eq!(disk.read_all("a").unwrap()[9000..], [0; 1000]);
        assert_eq!(code(disk.zero("b", 0, 1)), ENOENT);
    }
}

#[test]
fn a_lock_excludes_others_until_it_goes() {
    let disk = FaultyDisk::new(1);
    let guard = disk.lock().unwrap();
    assert!(matches!(disk.clone().lock(), Err(LockError::Held { .. })));
    drop(guard);
    let dead = disk.lock().unwrap();
    disk.kill();
    let guard = disk.lock().unwrap();
    drop(dead);
    assert!(matches!(disk.lock(), Err(LockError::Held { .. })), "a dead guard frees nothing");
    disk.crash();
    disk.lock().unwrap();
    drop(guard);
}

#[test]
fn the_trace_tells_what_happened() {
    let disk = FaultyDisk::new(1);
    let file = disk.create("a", Access::Buffered).unwrap();
    disk.fail(1, Fault::Eio);
    file.write_at(b"hare", 7).unwrap_err();
    disk.rename("a", "b").unwrap();
    disk.kill();
    let expected = "0 Create `a`\n\
        1 Write `a` 4 bytes at 7: Input/output error (os error 5)\n\
        2 Rename `a` to `b`\n\
        -- kill\n";
    assert_eq!(disk.trace(), expected);
    for _ in 0..2_000 {
        disk.list("").unwrap();
    }
    assert_eq!(disk.trace().lines().count(), 1_000);
}
