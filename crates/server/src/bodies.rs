//! Messages that are half received, of all connections: how much memory their bodies take, and who
//! has to wait, or to go, when that is too much.
//!
//! Invariants: `used` is the sum of what the [`Half`]s hold. While it is at the limit, of the
//! connections that hold more than [`FREE_BYTES`] only the first in line is read; who is read and
//! brings nothing, or is first in line for too long, is closed as soon as another one waits. So
//! who waits gets on in the end, whatever the others do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leveret_broker::ids::Timestamp;

use crate::net::mailbox::{Mailbox, Notice};

/// A connection that holds no more than this is never in anybody's way, in bytes.
pub(crate) const FREE_BYTES: usize = 16 * 1024;
/// How long a connection that is read may bring nothing while others wait, in milliseconds.
const STALL_MS: u64 = 5_000;
/// How long a connection may be the first in line while others wait, in milliseconds.
const FIRST_MS: u64 = 30_000;

/// What a connection is told that has to go.
const REASON: &str = "a message that is half received takes too long while others wait for memory";

#[derive(Debug)]
struct Holder {
    mailbox: Arc<Mailbox>,
    bytes: usize,
    /// When it brought something last.
    progress: Timestamp,
    /// It is not read at present.
    waits: bool,
    /// Since when it is the first while others wait.
    first_since: Option<Timestamp>,
    closed: bool,
}

/// All that is half received.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    used: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    holders: BTreeMap<u64, Holder>,
    last: u64,
}

impl Bodies {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection begins to hold something.
    pub(crate) fn enter(self: &Arc<Self>, mailbox: &Arc<Mailbox>, now: Timestamp) -> Half {
        let mut line = self.line();
        line.last += 1;
        let place = line.last;
        let holder = Holder {
            mailbox: Arc::clone(mailbox),
            bytes: 0,
            progress: now,
            waits: false,
            first_since: None,
            closed: false,
        };
        line.holders.insert(place, holder);
        drop(line);
        Half { bodies: Arc::clone(self), place }
    }

    /// The memory that is taken, in bytes.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Line {
    /// Closes who takes too long.
    fn make_room(&mut self, now: Timestamp) {
        let mut first = true;
        for holder in self.holders.values_mut().filter(|holder| !holder.closed) {
            let is_first = std::mem::take(&mut first);
            if is_first {
                // It is read from now on, and has its time to show that.
                if std::mem::take(&mut holder.waits) {
                    holder.progress = now;
                }
            }
            let since = holder.first_since;
            holder.first_since = is_first.then(|| since.unwrap_or(now));
            let stalls = !holder.waits && now.0.saturating_sub(holder.progress.0) >= STALL_MS;
            let late = holder.first_since.is_some_and(|at| now.0 - at.0.min(now.0) >= FIRST_MS);
            if (stalls || late) && holder.bytes > FREE_BYTES {
                holder.closed = true;
                holder.mailbox.notify(Notice::Close(REASON.to_owned()));
            }
        }
    }
}

/// What one connection holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Half {
    bodies: Arc<Bodies>,
    place: u64,
}

impl Half {
    /// Notes that the connection holds `bytes` by now.
    pub(crate) fn note(&mut self, bytes: usize, now: Timestamp) {
        let mut line = self.bodies.line();
        let Some(holder) = line.holders.get_mut(&self.place) else { return };
        if bytes != holder.bytes {
            holder.progress = now;
            self.bodies.used.fetch_add(bytes, Ordering::AcqRel);
            self.bodies.used.fetch_sub(holder.bytes, Ordering::AcqRel);
            holder.bytes = bytes;
        }
    }

    /// Whether the connection may be read on, where all may hold `limit` bytes.
    pub(crate) fn may_grow(&mut self, limit: usize, now: Timestamp) -> bool {
        let full = self.bodies.used.load(Ordering::Acquire) >= limit;
        let mut line = self.bodies.line();
        let Some(own) = line.holders.get_mut(&self.place) else { return true };
        if !full || own.bytes <= FREE_BYTES {
            (own.waits, own.first_since) = (false, None);
            return true;
        }
        own.waits = true;
        line.make_room(now);
        line.holders.get(&self.place).is_none_or(|own| !own.waits)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if let Some(holder) = self.bodies.line().holders.remove(&self.place) {
            self.bodies.used.fetch_sub(holder.bytes, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100_000;
    const NOW: Timestamp = Timestamp(1_000_000);

    fn enter(bodies: &Arc<Bodies>, bytes: usize) -> (Half, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::new(0));
        let mut half = bodies.enter(&mailbox, NOW);
        half.note(bytes, NOW);
        (half, mailbox)
    }

    fn is_closed(mailbox: &Mailbox) -> bool {
        mailbox.take_notices().iter().any(|notice| matches!(notice, Notice::Close(_)))
    }

    #[test]
    fn below_the_limit_everybody_goes_on() {
        let bodies = Arc::new(Bodies::default());
        let (mut one, _) = enter(&bodies, 50_000);
        let (mut two, _) = enter(&bodies, 49_999);
        assert!(one.may_grow(LIMIT, NOW) && two.may_grow(LIMIT, NOW.after(1_000_000)));
        drop(one);
        assert_eq!(bodies.used(), 49_999);
        drop(two);
        assert_eq!(bodies.used(), 0);
    }

    #[test]
    fn at_the_limit_the_first_and_the_small_go_on() {
        let bodies = Arc::new(Bodies::default());
        let (mut first, _) = enter(&bodies, 60_000);
        let (mut second, _) = enter(&bodies, 60_000);
        let (mut small, _) = enter(&bodies, FREE_BYTES);
        assert!(first.may_grow(LIMIT, NOW) && small.may_grow(LIMIT, NOW));
        assert!(!second.may_grow(LIMIT, NOW));
        drop(first);
        assert!(second.may_grow(LIMIT, NOW));
    }

    #[test]
    fn who_stalls_is_closed_once_another_one_waits() {
        let bodies = Arc::new(Bodies::default());
        let stalled: Vec<_> = (0..10).map(|_| enter(&bodies, 20_000)).collect();
        let (mut good, good_mailbox) = enter(&bodies, 20_000);
        assert!(!good.may_grow(LIMIT, NOW.after(STALL_MS - 1)));
        assert!(stalled.iter().all(|(_, mailbox)| !is_closed(mailbox)));
        let later = NOW.after(STALL_MS);
        assert!(!good.may_grow(LIMIT, later));
        assert!(stalled.iter().all(|(_, mailbox)| is_closed(mailbox)));
        assert!(!is_closed(&good_mailbox), "it waits, and is not to blame");
        drop(stalled);
        assert!(good.may_grow(LIMIT, later));
    }

    #[test]
    fn who_waits_gets_on_though_others_drip() {
        let bodies = Arc::new(Bodies::default());
        let (mut drips, mailbox) = enter(&bodies, 90_000);
        let (mut good, _) = enter(&bodies, 20_000);
        let mut now = NOW;
        let mut held = 90_000;
        while !is_closed(&mailbox) {
            now = now.after(1_000);
            held += 1;
            drips.note(held, now);
            assert!(drips.may_grow(LIMIT, now), "it is the first");
            if now >= NOW.after(FIRST_MS) && good.may_grow(LIMIT, now) {
                break;
            }
            assert!(!good.may_grow(LIMIT, now));
            assert!(now < NOW.after(FIRST_MS + 2_000));
        }
        assert!(is_closed(&mailbox), "to make room");
        drop(drips);
        assert!(good.may_grow(LIMIT, now));
    }
}
