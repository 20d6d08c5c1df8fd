//! How much memory this process takes, as the operating system counts it.

use std::fs;

/// The bytes of memory that are this process's own and resident; none where that is not known.
pub(crate) fn process_bytes() -> Option<u64> {
    own_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

/// `RssAnon` of `/proc/self/status`, or `VmRSS` of old kernels: files that are mapped do not count,
/// since the system takes their pages back when it needs them.
fn own_bytes(status: &str) -> Option<u64> {
    let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line("RssAnon:").or_else(|| line("VmRSS:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_where_the_system_tells_it() {
        let old = "Name:\tx\nVmRSS:\t    2048 kB\n";
        assert_eq!(own_bytes(old), Some(2 << 20));
        assert_eq!(own_bytes(&format!("{old}RssAnon:\t 1024 kB\n")), Some(1 << 20));
        assert_eq!(own_bytes("Name:\tx\n"), None);
        assert!(process_bytes().is_none_or(|bytes| bytes > 100_000));
    }
}
