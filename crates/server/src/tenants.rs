//! Users and vhosts as tenants: how many connections and channels each has, and how much of its
//! quota it has left.
//!
//! Invariant: a count is that of the [`Seat`]s there are. A seat is given back when it is dropped,
//! so that no end of a connection leaves one behind.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leveret_broker::definitions::Quota;
use leveret_broker::ids::{Name, Timestamp};

use crate::bucket::Bucket;

/// How many tenants there are before those that are gone are looked for.
const SWEEP_FROM: usize = 64;

/// What was published.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) messages: u64,
    /// Of bodies.
    pub(crate) bytes: u64,
}

/// What a tenant has a number of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    Connections,
    Channels,
}

#[derive(Debug, Default)]
struct Buckets {
    messages: Bucket,
    bytes: Bucket,
}

/// A user or a vhost.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    connections: AtomicU64,
    channels: AtomicU64,
    buckets: Mutex<Buckets>,
}

impl Tenant {
    fn count(&self, counted: Counted) -> &AtomicU64 {
        match counted {
            Counted::Connections => &self.connections,
            Counted::Channels => &self.channels,
        }
    }

    /// Takes a seat, if there are fewer than `most`.
    pub(crate) fn take_seat(self: &Arc<Self>, counted: Counted, most: Option<u64>) -> Option<Seat> {
        let one_more = |count: u64| most.is_none_or(|most| count < most).then_some(count + 1);
        let count = self.count(counted);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Seat { tenant: Arc::clone(self), counted })
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Charges what was published; how long to wait then, in milliseconds.
    pub(crate) fn charge(&self, quota: &Quota, published: Published, now: Timestamp) -> u64 {
        if *quota == Quota::default() {
            return 0;
        }
        let mut buckets = self.buckets();
        let mut wait = 0;
        if let Some(rate) = quota.messages_per_second {
            buckets.messages.charge(rate, published.messages, now);
            wait = buckets.messages.wait_ms(rate, now);
        }
        if let Some(rate) = quota.bytes_per_second {
            buckets.bytes.charge(rate, published.bytes, now);
            wait = wait.max(buckets.bytes.wait_ms(rate, now));
        }
        wait
    }

    fn is_forgettable(&self, now: Timestamp) -> bool {
        let buckets = self.buckets();
        buckets.messages.is_forgettable(now) && buckets.bytes.is_forgettable(now)
    }
}

/// One of what a tenant has a number of.
#[derive(Debug)]
pub(crate) struct Seat {
    tenant: Arc<Tenant>,
    counted: Counted,
}

impl Seat {
    pub(crate) fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tenant.count(self.counted).fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, Default)]
struct Group {
    by_name: HashMap<Name, Arc<Tenant>>,
    /// How many tenants make it worth to look for those that are gone.
    sweep_at: usize,
}

impl Group {
    fn tenant(&mut self, name: &Name, now: Timestamp) -> Arc<Tenant> {
        if let Some(tenant) = self.by_name.get(name) {
            return Arc::clone(tenant);
        }
        if self.by_name.len() >= self.sweep_at.max(SWEEP_FROM) {
            // Who holds none but this one cannot get at it meanwhile.
            self.by_name
                .retain(|_, tenant| Arc::strong_count(tenant) > 1 || !tenant.is_forgettable(now));
            self.sweep_at = self.by_name.len() * 2;
        }
        Arc::clone(self.by_name.entry(Arc::clone(name)).or_default())
    }
}

/// All tenants that have something here, or have had it a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    users: Mutex<Group>,
    vhosts: Mutex<Group>,
}

fn lock(group: &Mutex<Group>) -> MutexGuard<'_, Group> {
    group.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tenants {
    /// The user of that name.
    pub(crate) fn user(&self, name: &Name, now: Timestamp) -> Arc<Tenant> {
        lock(&self.users).tenant(name, now)
    }

    /// The vhost of that name.
    pub(crate) fn vhost(&self, name: &Name, now: Timestamp) -> Arc<Tenant> {
        lock(&self.vhosts).tenant(name, now)
    }
}

#[cfg(test)]
impl Tenant {
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.connections.load(Ordering::Acquire), self.channels.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn seats_are_counted_up_to_the_most() {
        let tenant = Arc::new(Tenant::default());
        assert!(tenant.take_seat(Counted::Channels, Some(0)).is_none());
        let one = tenant.take_seat(Counted::Channels, Some(1));
        assert!(one.is_some() && tenant.take_seat(Counted::Channels, Some(1)).is_none());
        let more: Vec<_> = (0..9).map(|_| tenant.take_seat(Counted::Channels, None)).collect();
        assert_eq!(tenant.counts(), (0, 10));
        drop((one, more));
        assert_eq!(tenant.counts(), (0, 0));
    }

    #[test]
    fn many_at_once_get_no_more_than_there_are() {
        let tenant = Arc::new(Tenant::default());
        let take =
            || (0..500).filter_map(|_| tenant.take_seat(Counted::Connections, Some(600))).collect();
        let seats: Vec<Vec<Seat>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(seats.iter().map(Vec::len).sum::<usize>(), 600);
        assert_eq!(tenant.counts(), (600, 0));
    }

    #[test]
    fn who_is_gone_is_forgotten_unless_something_is_owed() {
        let tenants = Tenants::default();
        let quota = Quota { messages_per_second: Some(1), bytes_per_second: None };
        let here = tenants.user(&"here".into(), NOW);
        let published = Published { messages: 100, bytes: 0 };
        assert_eq!(tenants.user(&"owes".into(), NOW).charge(&quota, published, NOW), 99_000);
        for number in 0..10_000 {
            tenants.user(&format!("user{number}").into(), NOW);
        }
        assert!(lock(&tenants.users).by_name.len() <= SWEEP_FROM + 1);
        assert!(Arc::ptr_eq(&here, &tenants.user(&"here".into(), NOW)));
        let none = Published::default();
        assert_eq!(tenants.user(&"owes".into(), NOW).charge(&quota, none, NOW), 99_000);
    }

    #[test]
    fn the_longer_wait_counts() {
        let tenant = Tenant::default();
        let quota = Quota { messages_per_second: Some(10), bytes_per_second: Some(1_000) };
        let wait = tenant.charge(&quota, Published { messages: 11, bytes: 3_000 }, NOW);
        assert_eq!(wait, 2_000);
        assert_eq!(tenant.charge(&Quota::default(), Published::default(), NOW), 0);
    }
}
