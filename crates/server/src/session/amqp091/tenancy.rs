//! A connection among those of its user and its vhost: the limits that let it and its channels in,
//! and the quotas that let it publish.
//!
//! Invariant: a connection and its channels have seats exactly while they are open. A connection
//! over quota is not read, and looks again at least every [`REST_MAX_MS`], so that a change of the
//! quota counts for it, too.

use leveret_broker::definitions::Quota;
use leveret_broker::ids::Name;
use leveret_wire::amqp091::ReplyCode;

use super::connection::{Phase, Session};
use super::failure::{Failure, Outcome};
use super::link::Link;
use crate::tenants::{Counted, Published, Seat};

/// The longest rest in one piece, in milliseconds.
const REST_MAX_MS: u64 = 1_000;
/// Which part of a second's quota one read may bring.
const READ_SHARE: u64 = 16;
/// Fewer bytes than most publishes take.
const PUBLISH_BYTES: u64 = 64;
/// The least that is read at once.
const READ_MIN: u64 = 4_096;

/// The seats of an open connection.
pub(super) struct Seats {
    user: Seat,
    vhost: Seat,
}

/// Quotas, of which at least one says something.
#[derive(Debug, PartialEq)]
pub(super) struct Quotas {
    user: Quota,
    vhost: Quota,
}

impl Quotas {
    /// The bytes that a read may bring, so that no read goes far beyond a quota.
    fn read_max(&self) -> usize {
        let of = |quota: &Quota| {
            let messages = quota.messages_per_second.map(|rate| rate.saturating_mul(PUBLISH_BYTES));
            [messages, quota.bytes_per_second].into_iter().flatten().min().unwrap_or(u64::MAX)
        };
        let most = (of(&self.user).min(of(&self.vhost)) / READ_SHARE).max(READ_MIN);
        usize::try_from(most).unwrap_or(usize::MAX)
    }
}

impl Link {
    /// Takes the seats of a connection to `vhost`, and its quotas.
    pub(super) fn enter(&mut self, vhost: Name) -> Outcome {
        self.who.vhost = vhost;
        self.refresh();
        let (user, vhost) = (&self.who.user, &self.who.vhost);
        let of_vhost = self.topology.vhosts.get(vhost).and_then(|one| one.limits.max_connections);
        let of_user = self.topology.user_limits.get(user).and_then(|one| one.max_connections);
        let refuse = |text| Failure::new(ReplyCode::NotAllowed, text);
        let tenant = self.shared.tenants.vhost(vhost, self.now);
        let vhost_seat = tenant.take_seat(Counted::Connections, of_vhost).ok_or_else(|| {
            let most = of_vhost.unwrap_or_default();
            refuse(format!(
                "access to vhost '{vhost}' refused for user '{user}': connection limit ({most}) \
                 is reached"
            ))
        })?;
        let tenant = self.shared.tenants.user(user, self.now);
        let user_seat = tenant.take_seat(Counted::Connections, of_user).ok_or_else(|| {
            let most = of_user.unwrap_or_default();
            refuse(format!(
                "connection refused for user '{user}': user connection limit ({most}) is reached"
            ))
        })?;
        self.seats = Some(Seats { user: user_seat, vhost: vhost_seat });
        self.look_up_sender();
        self.look_up_quotas();
        Ok(())
    }

    /// Takes the seat of one more channel.
    pub(super) fn enter_channel(&self) -> Outcome<Option<Seat>> {
        let Some(seats) = &self.seats else { return Ok(None) };
        let limits = self.topology.user_limits.get(&self.who.user);
        let most = limits.and_then(|limits| limits.max_channels);
        match seats.user.tenant().take_seat(Counted::Channels, most) {
            Some(seat) => Ok(Some(seat)),
            None => {
                let (user, most) = (&self.who.user, most.unwrap_or_default());
                let text = format!(
                    "number of channels opened for user '{user}' has reached the maximum allowed \
                     user limit of ({most})"
                );
                Err(Failure::new(ReplyCode::NotAllowed, text))
            }
        }
    }

    /// Gives the connection's seats back.
    pub(super) fn leave(&mut self) {
        self.seats = None;
        self.quotas = None;
    }

    /// Looks at the quotas in the newest definitions.
    pub(super) fn look_up_quotas(&mut self) {
        if self.seats.is_none() {
            return;
        }
        let user = self.topology.user_quotas.get(&self.who.user).copied().unwrap_or_default();
        let vhost = self.topology.vhosts.get(&self.who.vhost);
        let vhost = vhost.map_or_else(Quota::default, |vhost| vhost.quota);
        let quotas = Quotas { user, vhost };
        let some = quotas.user != Quota::default() || quotas.vhost != Quota::default();
        self.quotas = some.then(|| Box::new(quotas));
    }

    /// Charges what was published since the last time, and rests if that is over a quota.
    pub(super) fn charge(&mut self) {
        let published = std::mem::take(&mut self.published);
        if published.messages > 0 {
            self.rest_after(published);
        }
    }

    fn rest_after(&mut self, published: Published) {
        if let (Some(quotas), Some(seats)) = (&self.quotas, &self.seats) {
            let user = seats.user.tenant().charge(&quotas.user, published, self.now);
            let vhost = seats.vhost.tenant().charge(&quotas.vhost, published, self.now);
            let wait = user.max(vhost);
            if wait > 0 {
                let until = self.now.after(wait.min(REST_MAX_MS));
                self.rest_until = self.rest_until.max(Some(until));
            }
        }
    }
}

impl Session {
    /// Has a connection that publishes rest if it, or another one of its user or its vhost, is over
    /// a quota; whether it does.
    pub(super) fn rests_for_quota(&mut self) -> bool {
        let may = self.link.publishes && matches!(self.phase, Phase::Running);
        if self.link.quotas.is_none() || !may {
            return false;
        }
        self.link.rest_after(Published::default());
        self.link.rest_until.is_some()
    }

    /// The most bytes that are to be read at once.
    pub(crate) fn read_max(&self) -> usize {
        self.link.quotas.as_ref().map_or(usize::MAX, |quotas| quotas.read_max())
    }

    /// A rest is over: goes on, unless a quota wants more of it.
    pub(super) fn end_rest(&mut self) {
        self.link.rest_until = None;
        self.link.refresh();
        self.rests_for_quota();
        self.rest_for_halves();
    }
}

impl Published {
    /// Counts a message.
    pub(super) fn add(&mut self, body_bytes: u64) {
        self.messages += 1;
        self.bytes += body_bytes;
    }
}
