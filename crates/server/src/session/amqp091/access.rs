//! Changes of users, vhosts and permissions that come while a connection is open, and credentials
//! that run out.
//!
//! Invariant: a connection of a user or to a vhost that is deleted is closed, also if another one
//! of that name has come meanwhile; a consumer whose user may not read its queue any more is
//! cancelled.

use std::sync::Arc;

use leveret_broker::auth::{Permission, Secret};
use leveret_broker::broker::AccessChange;
use leveret_broker::definitions::IMPERSONATOR;
use leveret_broker::error::Resource;
use leveret_broker::ids::{ConsumerId, Timestamp};
use leveret_wire::amqp091::ReplyCode;
use leveret_wire::amqp091::method::Method;

use super::connection::{Phase, Session};
use super::failure::Failure;
use super::link::Link;
use crate::audit;
use crate::login::{Attempt, Checked, Identity, Refused};
use crate::oauth::{Bearer, Fault};

/// Class and method of `connection.update-secret`.
const UPDATE_SECRET: (u16, u16) = (10, 70);

impl Link {
    /// Looks whom publishes may name as their user, in the newest definitions.
    pub(super) fn look_up_sender(&mut self) {
        let may_name_all = match &self.who.scopes {
            Some(scopes) => scopes.has_tag(IMPERSONATOR),
            None => {
                let user = self.topology.users.get(&self.who.user);
                user.is_some_and(|user| user.has_tag(IMPERSONATOR))
            }
        };
        self.sender = (!may_name_all).then(|| self.who.user.clone());
    }

    /// Takes user, permissions and expiry from a token.
    pub(super) fn become_bearer(&mut self, bearer: &Bearer) {
        self.who.user = bearer.user.clone();
        self.who.scopes = Some(Arc::clone(&bearer.scopes));
        self.who.expires_at = Some(bearer.expires_at);
    }
}

impl Session {
    /// A user, a vhost or a permission has changed.
    pub(super) fn on_access_change(&mut self, change: &AccessChange) {
        let who = &self.link.who;
        let gone = match change {
            // Who came with a token is no user of the definitions.
            AccessChange::UserDeleted(user) if who.user == *user && who.scopes.is_none() => {
                format!("user '{user}'")
            }
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

    /// A new secret. A password has no time to run out, so that there is nothing to replace; a
    /// token is checked, and nothing is read until that is done.
    pub(super) fn on_update_secret(&mut self, secret: &[u8]) {
        if self.link.who.scopes.is_none() {
            return match self.link.broker().check_vhost(&self.link.who, &self.link.who.vhost) {
                Ok(_) => self.link.send(0, &Method::ConnectionUpdateSecretOk {}),
                Err(refusal) => self.fail_connection(refusal.into(), UPDATE_SECRET),
            };
        }
        let shared = Arc::clone(&self.link.shared);
        let Some(options) = shared.options.load().oauth.clone() else {
            return self.on_secret(Err(Refused::Token(Fault::NotConfigured)));
        };
        let attempt = Attempt {
            user: self.link.who.user.to_string(),
            password: Secret::new(secret),
            from: self.link.peer.ip(),
            now: self.link.now,
        };
        match shared.logins.check_token(attempt, &options, &self.link.mailbox) {
            Checked::Now(outcome) => self.on_secret(outcome),
            Checked::Later => self.awaits_secret = true,
        }
    }

    /// The new secret was checked.
    pub(super) fn on_secret(&mut self, outcome: Result<Identity, Refused>) {
        self.awaits_secret = false;
        let (user, from) = (self.link.who.user.clone(), self.link.peer.ip());
        let reason = match outcome {
            Ok(Identity::Bearer(bearer)) if bearer.user == user => return self.renew(&bearer),
            Ok(_) => "the new token is another user's",
            Err(refused) => refused.reason(),
        };
        audit::login_failed(&user, from, "update-secret", reason);
        let text = "New secret was refused by one of the backends";
        self.fail_connection(Failure::new(ReplyCode::NotAllowed, text), UPDATE_SECRET);
    }

    /// Goes on with what another token of the same user says.
    fn renew(&mut self, bearer: &Bearer) {
        self.link.become_bearer(bearer);
        if let Err(refusal) = self.link.broker().check_vhost(&self.link.who, &self.link.who.vhost) {
            return self.fail_connection(refusal.into(), UPDATE_SECRET);
        }
        // Whoever was allowed to publish somewhere may not be any more.
        self.link.routes.forget();
        for channel in self.channels.values_mut() {
            channel.forget_permits();
        }
        self.link.look_up_sender();
        self.link.send(0, &Method::ConnectionUpdateSecretOk {});
        self.check_consumers();
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
