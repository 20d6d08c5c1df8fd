//! Time for stamps: monotonic while the generator runs, anchored at the wall clock so that
//! another process on the same machine can read the stamps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 that never go back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    wall_ns: u64,
    started: Instant,
}

impl Clock {
    pub(super) fn new() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { wall_ns: wall.as_nanos() as u64, started: Instant::now() }
    }

    pub(super) fn now(&self) -> u64 {
        self.wall_ns + self.started.elapsed().as_nanos() as u64
    }

    /// Sleeps until a time, if it is still to come.
    pub(super) fn sleep_until(&self, at: u64) {
        let now = self.now();
        if at > now {
            std::thread::sleep(Duration::from_nanos(at - now));
        }
    }
}

/// Lets sleeping threads wake within a microsecond instead of fifty. Threads that are started
/// later inherit it; where it cannot be set, rates are kept less evenly.
pub(super) fn sharpen_sleep() {
    let _ = std::fs::write("/proc/self/timerslack_ns", "1000");
}

/// CPU seconds that this process has used, in user and kernel mode.
pub(super) fn own_cpu_seconds() -> Option<f64> {
    cpu_seconds(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// `utime` and `stime` of a `/proc/<pid>/stat` line, in hundredths of a second on every Linux.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some((user.parse::<u64>().ok()? + system.parse::<u64>().ok()?) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_behind_any_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 1 0 99 1000 1";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(cpu_seconds("nonsense"), None);
    }
}
