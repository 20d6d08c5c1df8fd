//! Failed logins by address and user: the more, the longer the next try has to wait.
//!
//! Invariants: nobody is slowed down by what others do from other addresses; what is remembered is
//! bounded, and forgotten after a while.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use leveret_broker::ids::Timestamp;

/// Failures that cost nothing but the delay of the answer: a password that was mistyped.
const FREE: u32 = 3;
/// The first back-off, in milliseconds; it doubles.
const FIRST_MS: u64 = 1_000;
/// After this time without a failure all is forgotten, in milliseconds.
const MEMORY_MS: u64 = 600_000;
/// How many pairs of address and user are remembered.
const PAIRS_MAX: usize = 16_384;

#[derive(Debug, Clone, Copy)]
struct Failed {
    count: u32,
    last: Timestamp,
    until: Timestamp,
}

/// What has failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pairs: HashMap<(IpAddr, Box<str>), Failed>,
}

/// Who has an IPv6 address mostly has the network of 64 bits that it is in.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

fn pair(from: IpAddr, user: &str) -> (IpAddr, Box<str>) {
    let end = (0..=user.len().min(255)).rev().find(|end| user.is_char_boundary(*end));
    (network(from), user[..end.unwrap_or(0)].into())
}

impl Failures {
    /// Whether a try is to be refused without a look at it.
    pub(super) fn is_refused(&self, from: IpAddr, user: &str, now: Timestamp) -> bool {
        self.pairs.get(&pair(from, user)).is_some_and(|failed| now < failed.until)
    }

    /// Notes a failure.
    pub(super) fn note(&mut self, from: IpAddr, user: &str, now: Timestamp, most: Duration) {
        if self.pairs.len() >= PAIRS_MAX {
            self.make_room(now);
        }
        let fresh = Failed { count: 0, last: now, until: now };
        let failed = self.pairs.entry(pair(from, user)).or_insert(fresh);
        if failed.last.after(MEMORY_MS) < now {
            *failed = fresh;
        }
        failed.count = failed.count.saturating_add(1);
        failed.last = now;
        if failed.count >= FREE {
            let doubled = FIRST_MS.saturating_mul(1 << (failed.count - FREE).min(32));
            failed.until = now.after(doubled.min(most.as_millis() as u64));
        }
    }

    /// Forgets the failures of who has got in.
    pub(super) fn forgive(&mut self, from: IpAddr, user: &str) {
        self.pairs.remove(&pair(from, user));
    }

    /// Forgets what is old, and if that is not enough, the half that would be free first.
    fn make_room(&mut self, now: Timestamp) {
        self.pairs.retain(|_, failed| failed.last.after(MEMORY_MS) >= now);
        if self.pairs.len() >= PAIRS_MAX {
            let mut ends: Vec<Timestamp> = self.pairs.values().map(|one| one.until).collect();
            let middle = ends.len() / 2;
            let (_, middle, _) = ends.select_nth_unstable(middle);
            let middle = *middle;
            self.pairs.retain(|_, failed| failed.until > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const MOST: Duration = Duration::from_secs(60);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn the_wait_doubles_up_to_the_most_and_success_ends_it() {
        let (mut failures, from) = (Failures::default(), address(1));
        for _ in 0..2 {
            failures.note(from, "shop", NOW, MOST);
            assert!(!failures.is_refused(from, "shop", NOW), "mistyped");
        }
        for wait in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            failures.note(from, "shop", NOW, MOST);
            assert!(failures.is_refused(from, "shop", NOW.after(wait - 1)), "{wait}");
            assert!(!failures.is_refused(from, "shop", NOW.after(wait)), "{wait}");
        }
        assert!(!failures.is_refused(address(2), "shop", NOW), "from elsewhere");
        assert!(!failures.is_refused(from, "other", NOW), "another user");
        failures.forgive(from, "shop");
        assert!(!failures.is_refused(from, "shop", NOW));
    }

    #[test]
    fn an_old_failure_is_forgotten_and_there_is_a_bound() {
        let mut failures = Failures::default();
        for _ in 0..9 {
            failures.note(address(1), "shop", NOW, MOST);
        }
        let later = NOW.after(MEMORY_MS + 1);
        failures.note(address(1), "shop", later, MOST);
        assert!(!failures.is_refused(address(1), "shop", later), "the first of a new count");
        for user in 0..3 * PAIRS_MAX {
            failures.note(address(1), &user.to_string(), later, MOST);
        }
        assert!(failures.pairs.len() <= PAIRS_MAX);
    }

    #[test]
    fn addresses_of_one_network_and_of_both_families_are_one() {
        let mut failures = Failures::default();
        let one: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let same: IpAddr = "2001:db8:0:1:ffff::2".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        for _ in 0..5 {
            failures.note(one, "u", NOW, MOST);
            failures.note(mapped, "u", NOW, MOST);
        }
        assert!(failures.is_refused(same, "u", NOW) && failures.is_refused(address(1), "u", NOW));
        assert!(!failures.is_refused("2001:db8:0:2::1".parse().unwrap(), "u", NOW));
    }
}
