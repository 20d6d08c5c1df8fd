//! Tests of the real disk, each in a directory of its own that goes with it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use super::super::FaultyDisk;
use super::*;

/// A fresh directory below the system's temporary one.
struct Scratch {
    root: PathBuf,
    disk: RealDisk,
}

impl Scratch {
    fn new(test: &str) -> Self {
        let name = format!("leveret-disk-{}-{test}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let disk = RealDisk::new(root.join("data"));
        assert!(!root.exists(), "making a disk touches nothing");
        disk.create_dir("").unwrap();
        Scratch { root, disk }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.root);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// Memory that direct access accepts.
struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize, fill: u8) -> Self {
        let memory = vec![fill; len + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Aligned { memory, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_directory_is_private_and_may_exist() {
    let Scratch { root, disk } = &Scratch::new("directories");
    disk.create_dir("").unwrap();
    disk.create_dir("log").unwrap();
    disk.create_dir("log").unwrap();
    disk.create("log/b", Access::Buffered).unwrap();
    disk.create("log/a", Access::Buffered).unwrap();
    assert_eq!(disk.list("").unwrap(), ["log"]);
    assert_eq!(disk.list("log").unwrap(), ["a", "b"]);
    disk.sync_dir("log").unwrap();
    disk.sync_dir("").unwrap();
    for (path, expected) in
        [("", 0o700), ("data", 0o700), ("data/log", 0o700), ("data/log/a", 0o600)]
    {
        assert_eq!(mode(&root.join(path)), expected, "{path}");
    }
    let missing = disk.create_dir("no/such").unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let file = disk.create_dir("log/a").unwrap_err();
    assert_eq!(file.kind(), io::ErrorKind::AlreadyExists);
    assert!(disk.free_bytes().unwrap() > 0);
}

#[test]
fn names_stay_within_the_data_directory() {
    let Scratch { disk, .. } = &Scratch::new("names");
    for name in ["", "/etc/x", "../x", "a/../x", "a//x", "a/", "./x"] {
        let error = disk.create(name, Access::Buffered).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
    }
    assert!(disk.list("").unwrap().is_empty());
}

#[test]
fn a_file_keeps_what_is_written() {
    let Scratch { disk, .. } = &Scratch::new("files");
    let file = disk.create("a", Access::Buffered).unwrap();
    assert!(file.is_empty().unwrap() && !file.is_direct());
    file.write_at(b"hare", 3).unwrap();
    file.sync().unwrap();
    let mut buffer = [9; 10];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 7);
    assert_eq!(&buffer, b"\0\0\0hare\x09\x09\x09");
    assert_eq!(file.read_at(&mut buffer, 7).unwrap(), 0);
    let again = disk.create("a", Access::Buffered).err().unwrap();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    disk.create("b", Access::Buffered).unwrap().write_at(b"old", 0).unwrap();
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.list("").unwrap(), ["b"]);
    assert_eq!(disk.open("b", Access::Buffered).unwrap().len().unwrap(), 7);
    disk.remove("b").unwrap();
    assert_eq!(file.len().unwrap(), 7, "an open file survives its name");
    let gone = disk.open("b", Access::Direct).err().unwrap();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}

#[test]
fn direct_access_is_by_blocks_up_to_an_end_that_is_not() {
    let Scratch { disk, .. } = &Scratch::new("direct");
    let file = disk.create("a", Access::Direct).unwrap();
    let mut memory = Aligned::new(3 * BLOCK, 7);
    file.write_at(&memory.bytes()[..2 * BLOCK], 0).unwrap();
    file.sync().unwrap();
    if file.is_direct() {
        let unaligned = [
            file.write_at(&memory.bytes()[..BLOCK], 512),
            file.write_at(&memory.bytes()[..512], 0),
            file.write_at(&memory.bytes()[1..=BLOCK], 0),
        ];
        for result in unaligned {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
    for (end, written) in [(4096, 2), (5000, 2), (8192, 2), (8704, 3), (12_287, 3)] {
        let buffered = disk.open("a", Access::Buffered).unwrap();
        buffered
            .write_at(&vec![8; end + 1 - (written - 1) * BLOCK], ((written - 1) * BLOCK) as u64)
            .unwrap();
        let path = disk.path("a").unwrap();
        options().open(path).unwrap().set_len(end as u64).unwrap();
        memory.bytes().fill(1);
        assert_eq!(file.read_at(memory.bytes(), 0).unwrap(), end, "the file ends at {end}");
        assert_eq!(file.read_at(&mut memory.bytes()[..BLOCK], 4 * BLOCK as u64).unwrap(), 0);
    }
}

#[test]
fn space_is_allocated_and_given_back() {
    let Scratch { disk, root } = &Scratch::new("space");
    let file = disk.create("a", Access::Direct).unwrap();
    let len = 64 * BLOCK;
    file.allocate(0).unwrap();
    file.allocate(len as u64).unwrap();
    assert_eq!(file.len().unwrap(), len as u64);
    let mut memory = Aligned::new(len, 5);
    file.write_at(memory.bytes(), 0).unwrap();
    file.allocate(BLOCK as u64).unwrap();
    assert_eq!(file.len().unwrap(), len as u64, "it never shrinks");
    file.sync().unwrap();
    let blocks = || root.join("data/a").metadata().unwrap().blocks();
    let before = blocks();
    file.punch(0, 0).unwrap();
    file.punch(BLOCK as u64, 32 * BLOCK as u64).unwrap();
    file.sync().unwrap();
    assert_eq!(file.len().unwrap(), len as u64);
    assert_eq!(file.read_at(memory.bytes(), 0).unwrap(), len);
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let raw = options().open(root.join("data/a")).unwrap();
    if fallocate(&raw, flags, 0, 1).is_ok() {
        assert!(blocks() < before);
        assert_eq!(memory.bytes().iter().filter(|&&byte| byte == 0).count(), 32 * BLOCK);
    }
    assert!(memory.bytes()[33 * BLOCK..].iter().all(|&byte| byte == 5));
}

#[test]
fn a_temporary_file_has_no_name() {
    let Scratch { disk, .. } = &Scratch::new("temporary");
    let file = disk.temporary().unwrap();
    file.write_at(b"spilled", 0).unwrap();
    let mut buffer = [0; 7];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 7);
    assert_eq!(&buffer, b"spilled");
    assert!(disk.list("").unwrap().is_empty());
}

#[test]
fn a_lock_excludes_others_and_says_whose_it_is() {
    let Scratch { disk, root } = &Scratch::new("lock");
    std::fs::write(root.join("data/lock"), "left over by a process of long ago".repeat(9)).unwrap();
    let guard = disk.lock().unwrap();
    let Err(LockError::Held { holder }) = RealDisk::new(root.join("data")).lock() else {
        panic!("it is locked twice");
    };
    let start = format!("process {} on ", std::process::id());
    assert!(holder.starts_with(&start), "{holder}");
    assert!(holder.contains(" since 2") && holder.ends_with(" UTC"), "{holder}");
    drop(guard);
    drop(disk.lock().unwrap());
    let Err(LockError::Io(error)) = RealDisk::new(root.join("none")).lock() else {
        panic!("it locked what is not there");
    };
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn who_looks_changes_nothing() {
    let scratch = Scratch::new("looks");
    let Scratch { root, disk } = &scratch;
    assert_eq!(disk.holder().unwrap(), None);
    assert!(!root.join("data/lock").exists(), "asking makes no lock file");
    let guard = disk.lock().unwrap();
    let holder = disk.holder().unwrap();
    assert!(holder.is_some_and(|holder| holder.starts_with("process ")));
    drop(guard);
    assert_eq!(disk.holder().unwrap(), None);
    disk.create("file", Access::Buffered).unwrap().write_at(b"bytes", 0).unwrap();
    let file = disk.open_to_read("file").unwrap();
    let mut bytes = [0; 5];
    assert_eq!((file.read_at(&mut bytes, 0).unwrap(), &bytes), (5, b"bytes"));
    assert!(file.write_at(b"other", 0).is_err());
}

#[test]
fn a_time_is_a_date() {
    for (seconds, text) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_399, "2000-02-28 23:59:59 UTC"),
        (951_782_400, "2000-02-29 00:00:00 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"),
        (1_709_164_800, "2024-02-29 00:00:00 UTC"),
        (1_798_761_599, "2026-12-31 23:59:59 UTC"),
        (4_107_542_400, "2100-03-01 00:00:00 UTC"),
    ] {
        assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }
}

/// What an operation came to, as far as both kinds of disk must agree.
fn outcome<T>(result: io::Result<T>) -> Result<T, io::ErrorKind> {
    result.map_err(|error| error.kind())
}

/// All that can be seen of a file.
fn look(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, io::ErrorKind> {
    let mut bytes = vec![0; 1 << 16];
    let len =
        outcome(disk.open(name, Access::Buffered).and_then(|file| file.read_at(&mut bytes, 0)));
    len.map(|len| bytes[..len].to_vec())
}

#[test]
fn a_faulty_disk_without_faults_is_like_a_real_one() {
    let Scratch { disk: real, .. } = &Scratch::new("likeness");
    let faulty = FaultyDisk::new(1);
    let disks: [&dyn Disk; 2] = [real, &faulty];
    let names = ["a", "b", "d", "d/a", "d/b", "a/x", "no/x", "/x"];
    let mut state = 1_u64;
    for step in 0..2_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let draw = |shift: u32, bound: u64| state >> shift & 0xffff & (bound - 1);
        let (name, to) = (names[draw(20, 8) as usize], names[draw(24, 8) as usize]);
        let (offset, len) = (draw(40, 1 << 15), draw(28, 1 << 12));
        let results = disks.map(|disk| match draw(60, 8) {
            0 if !matches!(name, "a" | "b" | "d/a" | "d/b") => outcome(disk.create_dir(name)),
            0 | 1 => outcome(disk.create(name, Access::Buffered)).map(drop),
            2 => outcome(disk.remove(name)),
            // Only a real disk renames directories, and it has several ways to refuse.
            3 if name == "d" || to == "d" => Ok(()),
            3 => outcome(disk.rename(name, to)),
            4 => outcome(disk.sync_dir(name)),
            5 => outcome(disk.open(name, Access::Buffered).and_then(|file| file.allocate(offset))),
            _ => outcome(
                disk.open(name, Access::Buffered)
                    .and_then(|file| file.write_at(&vec![step as u8; len as usize], offset)),
            ),
        });
        assert_eq!(results[0], results[1], "step {step}: {}", faulty.trace());
        for dir in ["", "d", "a", "no"] {
            let lists = disks.map(|disk| outcome(disk.list(dir)));
            assert_eq!(lists[0], lists[1], "step {step}");
        }
        assert_eq!(look(real, name), look(&faulty, name), "step {step}");
    }
}
