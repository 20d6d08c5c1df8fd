//! How much memory this process may use: the machine's, or its container's if that is less.

use std::fs;
use std::path::{Path, PathBuf};

/// What is assumed where the operating system does not say, in bytes.
const UNKNOWN_MACHINE_BYTES: u64 = 1 << 30;

/// The memory that relative limits refer to, in bytes.
pub fn machine_memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_bytes(&text));
    match (machine, group) {
        (Some(machine), Some(group)) => machine.min(group),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => UNKNOWN_MACHINE_BYTES,
    }
}

/// `MemTotal` of `/proc/meminfo`.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit of the control groups (version 2, then 1) this process is in.
fn group_bytes(membership: &str) -> Option<u64> {
    let unified = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let path = unified.unwrap_or("/").trim_start_matches('/');
    let directory = Path::new("/sys/fs/cgroup").join(path);
    let version_2 = directory.ancestors().map(|group| group.join("memory.max"));
    let version_1 = PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    version_2.chain([version_1]).filter_map(|file| read_number(&file)).min()
}

/// The number in a file; `max` and unreadable files are no limit.
fn read_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_meminfo() {
        let text = "MemFree: 1 kB\nMemTotal:       16303428 kB\n";
        assert_eq!(total_bytes(text), Some(16_303_428 * 1024));
        assert_eq!(total_bytes("MemFree: 1 kB\n"), None);
    }
}
