//! Tests of the faulty disk with many operations that a seed chooses.

use super::super::random::Random;
use super::*;

/// Does what a seed says, and tells all that came of it.
fn scenario(seed: u64, operations: u64) -> String {
    let disk = FaultyDisk::new(seed);
    let mut random = Random::new(!seed);
    disk.set_garbage(random.coin());
    for round in 0..4 {
        disk.fail(disk.operations() + random.below(100), Fault::ShortWrite);
        disk.fail_kind(Kind::Sync, random.below(20), Fault::Eio);
        disk.crash_at(disk.operations() + operations / 2 + random.below(operations));
        while !disk.is_off() {
            let name = format!("{}", random.below(3));
            let Ok(file) = disk.open(&name, Access::Buffered) else {
                let _ = disk.create(&name, Access::Buffered);
                continue;
            };
            let offset = random.below(60_000);
            let bytes = vec![random.below(256) as u8; random.below(9_000) as usize];
            let _ = match random.below(12) {
                0..7 => file.write_at(&bytes, offset),
                7 => file.punch(offset, 10_000),
                8 => file.allocate(offset),
                9 => disk.sync_dir(""),
                10 => disk.rename(&name, "1"),
                _ => file.sync(),
            };
        }
        if round == 1 { disk.kill() } else { disk.crash() }
    }
    let files = disk.names().into_iter().map(|name| (disk.read_all(&name).unwrap(), name));
    format!("{}{:?}", disk.trace(), files.collect::<Vec<_>>())
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    let all: BTreeSet<String> = (0..20).map(|seed| scenario(seed, 60)).collect();
    assert_eq!(all.len(), 20);
    assert!((0..5).all(|seed| all.contains(&scenario(seed, 60))));
}

/// A file as simple as can be: all that it was since the last sync, the newest last.
struct Naive {
    versions: Vec<Vec<u8>>,
}

impl Naive {
    fn now(&self) -> &[u8] {
        &self.versions[self.versions.len() - 1]
    }

    fn change(&mut self, len: usize, change: impl FnOnce(&mut [u8])) {
        let mut next = self.now().to_vec();
        next.resize(next.len().max(len), 0);
        change(&mut next);
        self.versions.push(next);
    }

    /// Whether a crash may leave that.
    fn allows(&self, left: &[u8]) -> bool {
        let start = |bytes: &[u8], at: usize, len: usize| {
            let mut part = bytes.get(at..).unwrap_or_default().to_vec();
            part.resize(len, 0);
            part
        };
        let mut sectors = left.chunks(SECTOR).enumerate();
        left.len() >= self.versions[0].len()
            && left.len() <= self.now().len()
            && sectors.all(|(number, sector)| {
                let was = |version: &Vec<u8>| start(version, number * SECTOR, sector.len());
                self.versions.iter().any(|version| was(version) == sector)
            })
    }
}

/// Does random operations to the file `a` and to a naive one.
fn same_operations(disk: &FaultyDisk, naive: &mut Naive, random: &mut Random) {
    let file = disk.open("a", Access::Buffered).unwrap();
    for _ in 0..random.below(30) {
        let offset = random.below(20_000) as usize;
        let len = 1 + random.below(10_000) as usize;
        match random.below(8) {
            0..4 => {
                let value = random.below(50) as u8;
                file.write_at(&vec![value; len], offset as u64).unwrap();
                naive.change(offset + len, |bytes| bytes[offset..offset + len].fill(value));
            }
            4 => {
                file.punch(offset as u64, len as u64).unwrap();
                naive.change(0, |bytes| {
                    let end = bytes.len().min(offset + len);
                    bytes[offset.min(end)..end].fill(0);
                });
            }
            5 => {
                file.allocate(offset as u64).unwrap();
                naive.change(offset, |_| {});
            }
            _ => {
                file.sync().unwrap();
                naive.versions.drain(..naive.versions.len() - 1);
            }
        }
        assert_eq!(contents(&*file), naive.now());
    }
}

#[test]
fn a_naive_file_agrees() {
    let all = [Survival::Nothing, Survival::ByChance, Survival::Everything];
    for seed in 0..SEEDS {
        let (disk, _) = disk_with(seed, 5000);
        let mut naive = Naive { versions: vec![vec![1; 5000]] };
        let mut random = Random::new(seed);
        for round in 0..4 {
            same_operations(&disk, &mut naive, &mut random);
            let survival = all[random.below(3) as usize];
            disk.crash_keeping(survival);
            let left = disk.read_all("a").unwrap();
            match survival {
                Survival::Nothing => assert_eq!(left, naive.versions[0], "{seed}, {round}"),
                Survival::ByChance => assert!(naive.allows(&left), "{seed}, {round}"),
                Survival::Everything => assert_eq!(left, naive.now(), "{seed}, {round}"),
            }
            disk.crash();
            assert_eq!(disk.read_all("a").unwrap(), left, "{seed}, {round}: it is durable");
            naive.versions = vec![left];
        }
    }
}
