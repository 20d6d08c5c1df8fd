//! Changes of users, vhosts and permissions that come while a connection is open, and credentials
//! that run out.
//!
//! Invariant: a connection of a user or to a vhost that is deleted is closed, also if another one
//! of that name has come meanwhile; a consumer whose user may not read its queue any more is
//! cancelled.

use leveret_broker::auth::Permission;
use leveret_broker::broker::AccessChange;
use leveret_broker::definitions::IMPERSONATOR;
use leveret_broker::error::Resource;
use leveret_broker::ids::{ConsumerId, Timestamp};
use leveret_wire::amqp091::ReplyCode;
use leveret_wire::amqp091::method::Method;

use super::connection::{Phase, Session};
use super::failure::Failure;
use super::link::Link;

impl Link {
    /// Looks whom publishes may name as their user, in the newest definitions.
    pub(super) fn look_up_sender(&mut self) {
        let user = self.topology.users.get(&self.who.user);
        let may_name_all = user.is_some_and(|user| user.has_tag(IMPERSONATOR));
        self.sender = (!may_name_all).then(|| self.who.user.clone());
    }

    /// Whether there is no such user any more.
    pub(super) fn is_gone(&self, user: &str) -> bool {
        self.broker().user(user).is_err()
    }
}

impl Session {
    /// A user, a vhost or a permission has changed.
    pub(super) fn on_access_change(&mut self, change: &AccessChange) {
        let who = &self.link.who;
        let gone = match change {
            AccessChange::UserDeleted(user) if who.user == *user => format!("user '{user}'"),
            AccessChange::VhostDeleted(vhost) if who.vhost == *vhost => format!("vhost '{vhost}'"),
            AccessChange::Permissions(user) if who.user == *user => return self.check_consumers(),
            AccessChange::Any => return self.check_consumers(),
            _ => return,
        };
        match self.phase {
            Phase::Running => {
                let text = format!("{gone} is deleted");
                let failure = Failure::new(ReplyCode::ConnectionForced, text);
                self.fail_connection(failure, (0, 0));
            }
            Phase::Handshake(..) if !who.user.is_empty() => self.fall_silent(),
            _ => {}
        }
    }

    /// Cancels the consumers of queues that the user may not read any more.
    fn check_consumers(&mut self) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.link.refresh();
        let link = &self.link;
        let Some(vhost) = link.topology.vhosts.get(&link.who.vhost) else { return };
        let refused = |queue: &str| {
            let queue = Resource::Queue(queue, &link.who.vhost);
            vhost.permit(&link.who, Permission::Read, queue).is_err()
        };
        let of_queues = link.consumers.iter();
        let mut stopped: Vec<ConsumerId> = of_queues
            .filter(|(_, entry)| entry.queue.as_ref().is_some_and(|one| refused(&one.spec.name)))
            .map(|(id, _)| *id)
            .collect();
        stopped.sort_unstable();
        for consumer in stopped {
            self.stop_consumer(consumer);
            self.on_queue_gone(consumer);
        }
    }

    /// A new secret: a password has no time to run out, so that there is nothing to replace.
    pub(super) fn on_update_secret(&mut self) {
        let (user, vhost) = (&self.link.who.user, &self.link.who.vhost);
        match self.link.broker().check_vhost(user, vhost) {
            Ok(_) => self.link.send(0, &Method::ConnectionUpdateSecretOk {}),
            Err(refusal) => self.fail_connection(refusal.into(), (10, 70)),
        }
    }

    /// When the credential runs out.
    pub(super) fn expiry(&self) -> Option<Timestamp> {
        self.link.who.expires_at.filter(|_| matches!(self.phase, Phase::Running))
    }

    #[cfg(test)]
    pub(super) fn expire_at(&mut self, at: Timestamp) {
        self.link.who.expires_at = Some(at);
    }

    /// Closes the connection whose credential has run out.
    pub(super) fn check_expiry(&mut self) {
        if self.expiry().is_some_and(|at| at <= self.link.now) {
            let failure = Failure::new(ReplyCode::ConnectionForced, "credential expired");
            self.fail_connection(failure, (0, 0));
        }
    }
}
