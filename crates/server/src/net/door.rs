//! Who may come in: how fast, how many, how many from one address, and how many of them without
//! having logged in.
//!
//! When all places for connections that have not logged in are taken, the oldest one of the
//! address with the most of them is closed. So somebody who holds places open only loses his own,
//! and who comes from many addresses cannot hold a place longer than it takes to accept
//! `pending_places` further connections, which `rate_max` bounds from below.
//!
//! Invariants: `pending` has at most `pending_places` entries and one for each listener, whose task
//! is about to start; what a ticket has counted is
//! uncounted when it is dropped.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leveret_broker::ids::Timestamp;
use tokio::task::AbortHandle;

use crate::bucket::Bucket;
use crate::listener_options::EntryLimits;

/// How often one kind of refusal is logged at most, in milliseconds.
const LOG_INTERVAL_MS: u64 = 1_000;

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many connections as there may be.
    Full,
    /// As many from this address as there may be.
    Address,
}

#[derive(Debug, Default)]
pub(crate) struct Door {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    open_by_address: HashMap<IpAddr, usize>,
    /// In the order in which they came.
    pending: BTreeMap<u64, Pending>,
    pending_by_address: HashMap<IpAddr, usize>,
    next_id: u64,
    bucket: Bucket,
    crowd: Quiet,
    refused: Quiet,
}

#[derive(Debug)]
struct Pending {
    address: IpAddr,
    /// Ends its task; none for the moment until the task is there.
    task: Option<AbortHandle>,
}

/// Counts what is not worth a line of the log each time.
#[derive(Debug, Default)]
struct Quiet {
    logged_at: Option<Timestamp>,
    count: u64,
}

impl Quiet {
    /// How often it has happened since it was logged last, if it is to be logged now.
    fn count(&mut self, now: Timestamp) -> Option<u64> {
        self.count += 1;
        if self.logged_at.is_some_and(|at| at.after(LOG_INTERVAL_MS) > now) {
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

/// What counts as one address: an IPv4 address, or the network that an IPv6 user is given.
fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

fn decrement(counts: &mut HashMap<IpAddr, usize>, address: IpAddr) {
    if let Some(count) = counts.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

impl State {
    fn remove_pending(&mut self, id: u64) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        decrement(&mut self.pending_by_address, pending.address);
        Some(pending)
    }

    /// Closes the oldest of the address that has the most.
    fn make_room(&mut self, now: Timestamp) {
        let most = self.pending_by_address.values().max().copied();
        let is_crowd = |pending: &Pending| {
            let count = self.pending_by_address.get(&pending.address).copied();
            count == most && pending.task.is_some()
        };
        let oldest = self.pending.iter().find(|(_, pending)| is_crowd(pending)).map(|(id, _)| *id);
        let Some(closed) = oldest.and_then(|id| self.remove_pending(id)) else { return };
        let address = closed.address;
        if let Some(task) = closed.task {
            task.abort();
        }
        if let Some(count) = self.crowd.count(now) {
            tracing::warn!(%address, count, "too many connections that do not log in: closed");
        }
    }

    fn count_address(&mut self, address: IpAddr, limits: &EntryLimits) -> Result<(), Refused> {
        let count = self.open_by_address.entry(address).or_default();
        if limits.per_address_max > 0 && *count >= limits.per_address_max {
            return Err(Refused::Address);
        }
        *count += 1;
        Ok(())
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long accepting has to wait, in milliseconds. Each call that says 0 is for one
    /// connection.
    pub(crate) fn wait_ms(&self, rate_max: u64, now: Timestamp) -> u64 {
        if rate_max == 0 {
            return 0;
        }
        let mut state = self.state();
        let wait = state.bucket.wait_ms(rate_max, now);
        if wait == 0 {
            state.bucket.charge(rate_max, 1, now);
        }
        wait
    }

    /// Lets a connection in. A proxy's own address is not counted.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        is_proxy: bool,
        (connection_max, limits): (usize, &EntryLimits),
        now: Timestamp,
    ) -> Result<Ticket, Refused> {
        let address = place_of(address);
        let mut state = self.state();
        if state.open >= connection_max {
            return Err(Refused::Full);
        }
        if !is_proxy {
            state.count_address(address, limits)?;
        }
        state.open += 1;
        if state.pending.len() >= limits.pending_places() {
            state.make_room(now);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.pending.insert(id, Pending { address, task: None });
        *state.pending_by_address.entry(address).or_default() += 1;
        let counted = (!is_proxy).then_some(address);
        Ok(Ticket { door: Arc::clone(self), id, counted })
    }

    /// Has `task` ended when its place is needed.
    pub(crate) fn watch(&self, id: u64, task: AbortHandle) {
        if let Some(pending) = self.state().pending.get_mut(&id) {
            pending.task = Some(task);
        }
    }

    /// Logs that somebody was not let in, though not each time.
    pub(crate) fn note_refused(&self, refused: Refused, peer: SocketAddr, now: Timestamp) {
        let Some(count) = self.state().refused.count(now) else { return };
        let reason = match refused {
            Refused::Full => "connection_max is reached",
            Refused::Address => "connection_max_per_address is reached",
        };
        tracing::warn!(%peer, reason, count, "connection refused");
    }

    /// Ends all that have not logged in.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        for pending in std::mem::take(&mut state.pending).into_values() {
            if let Some(task) = pending.task {
                task.abort();
            }
        }
        state.pending_by_address.clear();
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.state().open
    }

    /// How many of them have not logged in.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.state().pending.len()
    }
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    door: Arc<Door>,
    id: u64,
    /// The address at which it is counted.
    counted: Option<IpAddr>,
}

impl Ticket {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Counts a connection at the address that its proxy has named.
    pub(crate) fn set_address(
        &mut self,
        address: IpAddr,
        limits: &EntryLimits,
    ) -> Result<(), Refused> {
        let address = place_of(address);
        let mut guard = self.door.state();
        let state = &mut *guard;
        if let Some(before) = self.counted.take() {
            decrement(&mut state.open_by_address, before);
        }
        state.count_address(address, limits)?;
        self.counted = Some(address);
        if let Some(pending) = state.pending.get_mut(&self.id) {
            decrement(&mut state.pending_by_address, pending.address);
            pending.address = address;
            *state.pending_by_address.entry(address).or_default() += 1;
        }
        Ok(())
    }

    /// What the session tells that its client has logged in.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance { door: Arc::clone(&self.door), id: self.id }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.door.state();
        state.open -= 1;
        state.remove_pending(self.id);
        if let Some(address) = self.counted {
            decrement(&mut state.open_by_address, address);
        }
    }
}

/// Where a session says that its client has logged in.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    door: Arc<Door>,
    id: u64,
}

impl Entrance {
    /// The client has logged in: its place is free for others.
    pub(crate) fn passed(&self) {
        self.door.state().remove_pending(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limits() -> EntryLimits {
        EntryLimits { pending_max: 4, ..EntryLimits::default() }
    }

    /// A connection whose task never ends by itself.
    fn come(door: &Arc<Door>, from: &str) -> (Ticket, tokio::task::JoinHandle<()>) {
        let ticket = door.enter(ip(from), false, (100, &limits()), NOW).unwrap();
        let task = tokio::spawn(std::future::pending());
        door.watch(ticket.id(), task.abort_handle());
        (ticket, task)
    }

    async fn is_closed(task: &tokio::task::JoinHandle<()>) -> bool {
        tokio::task::yield_now().await;
        task.is_finished()
    }

    #[tokio::test]
    async fn who_fills_the_places_loses_his_own() {
        let door = Arc::new(Door::default());
        let good = come(&door, "192.0.2.1");
        let mut bad: Vec<_> = (0..3).map(|_| come(&door, "192.0.2.9")).collect();
        for _ in 0..20 {
            bad.push(come(&door, "192.0.2.9"));
            assert_eq!(door.pending(), 4);
        }
        assert!(!is_closed(&good.1).await, "he was the oldest, and alone at his address");
        for (index, (_, task)) in bad.iter().enumerate() {
            assert_eq!(is_closed(task).await, index < 20, "{index}");
        }
        good.0.entrance().passed();
        assert_eq!((door.pending(), door.open()), (3, 24));
        drop((good, bad));
        assert_eq!((door.pending(), door.open()), (0, 0));
        assert!(door.state().open_by_address.is_empty());
        assert!(door.state().pending_by_address.is_empty());
    }

    #[tokio::test]
    async fn among_equals_the_oldest_goes() {
        let door = Arc::new(Door::default());
        let all: Vec<_> = (1..=6).map(|last| come(&door, &format!("192.0.2.{last}"))).collect();
        for (index, (_, task)) in all.iter().enumerate() {
            assert_eq!(is_closed(task).await, index < 2, "{index}");
        }
    }

    #[tokio::test]
    async fn an_ipv6_network_is_one_address() {
        let door = Arc::new(Door::default());
        let good = come(&door, "2001:db8:0:2::1");
        let bad: Vec<_> =
            (1..=9).map(|last| come(&door, &format!("2001:db8:0:1:{last}::1"))).collect();
        assert!(!is_closed(&good.1).await && is_closed(&bad[0].1).await);
    }

    #[test]
    fn an_address_has_as_many_connections_as_it_may() {
        let door = Arc::new(Door::default());
        let limits = EntryLimits { per_address_max: 2, ..EntryLimits::default() };
        let enter = |from, is_proxy, max| door.enter(ip(from), is_proxy, (max, &limits), NOW);
        let one = enter("192.0.2.1", false, 9).unwrap();
        let _two = enter("::ffff:192.0.2.1", false, 9).unwrap();
        assert_eq!(enter("192.0.2.1", false, 9).unwrap_err(), Refused::Address);
        let mut proxied = enter("192.0.2.1", true, 9).unwrap();
        assert_eq!(proxied.set_address(ip("192.0.2.1"), &limits), Err(Refused::Address));
        drop(one);
        assert_eq!(proxied.set_address(ip("192.0.2.1"), &limits), Ok(()));
        assert_eq!(enter("192.0.2.2", false, 2).unwrap_err(), Refused::Full);
        drop(proxied);
        assert!(enter("192.0.2.1", false, 9).is_ok());
    }

    #[test]
    fn accepting_waits_for_its_rate() {
        let door = Door::default();
        assert!((0..100_000).all(|_| door.wait_ms(0, NOW) == 0));
        let at_once = (0..100).filter(|_| door.wait_ms(10, NOW) == 0).count();
        assert_eq!(at_once, 11, "a second's worth, and the one that owes");
        assert_eq!(door.wait_ms(10, NOW), 100);
        assert_eq!(door.wait_ms(10, NOW.after(100)), 0);
    }
}
