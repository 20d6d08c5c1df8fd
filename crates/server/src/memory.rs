//! How much memory this process takes, as the operating system counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The file that tells; it stays open, since it is asked ten times a second.
pub(crate) struct ProcessMemory {
    file: File,
}

impl ProcessMemory {
    /// None where the system does not tell.
    pub(crate) fn open() -> Option<Self> {
        Some(Self { file: File::open("/proc/self/statm").ok()? })
    }

    /// The bytes of memory that are this process's own and resident: files that are mapped do not
    /// count, since the system takes their pages back when it needs them.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let mut text = [0; 128];
        let len = self.file.read_at(&mut text, 0).ok()?;
        let pages = own_pages(std::str::from_utf8(&text[..len]).ok()?)?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }
}

/// Of `/proc/self/statm` what is resident (its second number) and not shared (its third).
fn own_pages(statm: &str) -> Option<u64> {
    let mut numbers = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_read_where_the_system_tells_it() {
        assert_eq!(own_pages("9000 700 100 3 0 500 0\n"), Some(600));
        assert_eq!((own_pages("9000 700"), own_pages(""), own_pages("a b c")), (None, None, None));
        if let Some(memory) = ProcessMemory::open() {
            // Other tests take and give memory meanwhile; what is held here is certain.
            let held = std::hint::black_box(vec![1_u8; 64 << 20]);
            assert!(memory.bytes().unwrap() >= held.len() as u64);
            drop(std::hint::black_box(held));
        }
    }
}
