//! The one place that reads the time: milliseconds since 1970, by the system's clock at the start
//! and by the monotonic one from then on, so that a clock that is set cuts no connection.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use leveret_broker::ids::Timestamp;

static START: LazyLock<(Duration, Instant)> = LazyLock::new(|| {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), Instant::now())
});

/// The present.
pub(crate) fn now() -> Timestamp {
    let (since_epoch, started) = &*START;
    let now = *since_epoch + started.elapsed();
    Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// Microseconds since some moment of this process, for times that are measured.
pub(crate) fn micros() -> u64 {
    u64::try_from(START.1.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The present in nanoseconds since 1970, for spans.
pub(crate) fn nanos() -> u64 {
    let (since_epoch, started) = &*START;
    u64::try_from((*since_epoch + started.elapsed()).as_nanos()).unwrap_or(u64::MAX)
}

/// How long it is until `at`.
pub(crate) fn until(at: Timestamp) -> Duration {
    Duration::from_millis(at.0.saturating_sub(now().0))
}
