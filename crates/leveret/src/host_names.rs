//! How a static binary looks up the names of hosts: in `/etc/hosts` and by DNS, and nowhere else.
//!
//! glibc would also load the modules that the machine's `nsswitch.conf` names, and with them the
//! machine's C library beside the one that is linked in: of another version, both may crash. A
//! binary that is linked with the machine's C library does as the machine says.

/// Chooses the sources; for `main`, before there are other threads.
pub(crate) fn configure() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    fixed::configure();
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod fixed {
    use std::ffi::{c_char, c_int};

    #[allow(unsafe_code, reason = "there is no safe way")]
    unsafe extern "C" {
        /// Of glibc's `nss.h`, which the bindings do not have: a line of `nsswitch.conf`.
        fn __nss_configure_lookup(database: *const c_char, sources: *const c_char) -> c_int;
    }

    pub(super) fn configure() {
        // SAFETY: both are strings that end with a zero and live for ever. It fails only for a
        // database that it does not know, or without memory; then glibc's own order stays.
        #[allow(unsafe_code, reason = "there is no safe way")]
        unsafe {
            __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
        }
    }
}
