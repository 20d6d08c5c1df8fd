//! The allocator, and how it gives memory back: soon, so that it is never much at once.
//!
//! With `unsafe` code, as only `host_names` has besides: mimalloc has no safe way to set its
//! options, or to be told to give back what is due.

use std::ffi::{c_int, c_long};
use std::time::Duration;

use crate::binary_pages;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, which its bindings do not name.
const PURGE_DELAY: c_int = 15;
/// After a second, which is its default, a gigabyte that a backlog left goes back in one piece, and
/// whatever runs on that thread stands still for 100 ms; at 10 ms small messages cost half as much
/// again (docs/performance.md).
const PURGE_DELAY_MS: c_long = 100;

/// How often what is due is given back while nobody allocates: a password that is hashed leaves
/// 19 MiB, which a broker at rest would keep.
const REST: Duration = Duration::from_secs(1);

/// Sets its options, unless `MIMALLOC_PURGE_DELAY` does.
pub(crate) fn configure() {
    // SAFETY: it writes an integer of its own; called before there are other threads.
    #[allow(unsafe_code, reason = "there is no safe way")]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS);
    }
}

/// Has memory given back also when the process is at rest. Without the thread, which may not be
/// had, it is kept.
pub(crate) fn give_back_at_rest() {
    let thread = std::thread::Builder::new().name("allocator".to_owned());
    let _ = thread.spawn(|| {
        std::thread::sleep(REST);
        binary_pages::let_go();
        loop {
            std::thread::sleep(REST);
            // SAFETY: it may be called on any thread at any time.
            #[allow(unsafe_code, reason = "there is no safe way")]
            unsafe {
                libmimalloc_sys::mi_collect(false);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "there is no safe way")]
    fn the_option_is_the_purge_delay() {
        // SAFETY: reads an integer.
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(value(), 1000, "another option, or another default");
        configure();
        assert_eq!(value(), PURGE_DELAY_MS);
    }
}
