//! The one place that reads the time: milliseconds since 1970 that never go back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leveret_broker::ids::Timestamp;

static LATEST: AtomicU64 = AtomicU64::new(0);

/// The present. A system clock that is set back stands still until it has caught up.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let latest = LATEST.load(Ordering::Relaxed);
    if millis > latest {
        LATEST.fetch_max(millis, Ordering::Relaxed);
        return Timestamp(millis);
    }
    Timestamp(latest)
}

/// How long it is until `at`.
pub(crate) fn until(at: Timestamp) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now().0))
}
