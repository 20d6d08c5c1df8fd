//! The pages of the binary in memory. Most of those that a start has touched, with what the system
//! maps around them, nobody needs again; they are let go of once, and come back from the system's
//! cache when they are. What is gone from here is also the first to go when memory is short.
//!
//! With `unsafe` code: there is no safe way to advise on a mapping.

use std::ffi::c_void;
use std::fs;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Lets go of the pages of the binary that are as they are in its file. Where the system does not
/// tell which those are, none.
pub(crate) fn let_go() {
    let Ok(binary) = fs::read_link("/proc/self/exe") else { return };
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else { return };
    for range in unchanged(&maps, &binary.to_string_lossy()) {
        let start = range.start as *mut c_void;
        // SAFETY: nothing can be written there, and no page of it differs from the file's, so that
        // what is read afterwards is what was read before. Only this process maps and unmaps its
        // binary, which it does at its start.
        #[allow(unsafe_code, reason = "there is no safe way")]
        let _ = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
    }
}

/// The addresses at which `file` is mapped for reading alone and no page is the process's own, as
/// relocated ones are; from the text of `/proc/PID/smaps` (proc(5)).
fn unchanged(maps: &str, file: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut of_file = None;
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(addresses) = addresses(first) {
            let readable = words.next().is_some_and(|access| access == "r-xp" || access == "r--p");
            // Behind offset, device and inode; a path may have blanks in it.
            let named = line.ends_with(file) && words.nth(3).is_some_and(|it| file.starts_with(it));
            of_file = (readable && named).then_some(addresses);
        } else if first == "Anonymous:" && words.next() == Some("0") {
            found.extend(of_file.take());
        }
    }
    found
}

/// `START-END` in hexadecimal digits.
fn addresses(word: &str) -> Option<Range<usize>> {
    let (start, end) = word.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
1000-5000 r--p 00000000 fe:00 77 /opt/a b/leveret
Size:                 16 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
5000-9000 r-xp 00004000 fe:00 77 /opt/a b/leveret
Anonymous:             0 kB
9000-a000 r--p 00008000 fe:00 77 /opt/a b/leveret
Anonymous:             4 kB
a000-b000 rw-p 00009000 fe:00 77 /opt/a b/leveret
Anonymous:             0 kB
c000-d000 r--p 00000000 fe:00 78 /lib/libc.so.6
Anonymous:             0 kB
d000-e000 r--p 00000000 00:00 0
Anonymous:             0 kB
";

    #[test]
    fn only_what_is_as_in_the_file_is_let_go() {
        assert_eq!(unchanged(MAPS, "/opt/a b/leveret"), [0x1000..0x5000, 0x5000..0x9000]);
    }
}
