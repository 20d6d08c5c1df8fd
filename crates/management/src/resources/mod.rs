//! The resources, a file each: what is at a path, and what may be done with it.

mod bindings;
mod channels;
mod connections;
mod consumers;
mod definitions;
mod exchanges;
mod health;
mod leveret;
mod limits;
mod messages;
mod misc;
mod nodes;
pub(crate) mod overview;
mod parameters;
mod permissions;
mod policies;
mod queues;
mod topic_permissions;
mod users;
mod vhosts;

pub(crate) use connections::numbers as connection_numbers;
pub(crate) use overview::{message_numbers, totals};
pub(crate) use vhosts::numbers as vhost_numbers;

use std::sync::Arc;

use leveret_broker::definitions::Vhost;
use leveret_broker::error::{Refusal, RefusalKind};

use crate::answer::Answer;
use crate::request::Call;
use crate::router::Route;

/// All of them.
pub(crate) static ROUTES: &[&[Route]] = &[
    overview::ROUTES,
    queues::ROUTES,
    exchanges::ROUTES,
    bindings::ROUTES,
    messages::ROUTES,
    connections::ROUTES,
    channels::ROUTES,
    consumers::ROUTES,
    nodes::ROUTES,
    vhosts::ROUTES,
    users::ROUTES,
    permissions::ROUTES,
    topic_permissions::ROUTES,
    policies::ROUTES,
    parameters::ROUTES,
    limits::ROUTES,
    definitions::ROUTES,
    health::ROUTES,
    misc::ROUTES,
    leveret::ROUTES,
];

const NOT_IN_VHOST: &str = "User not authorised to access virtual host";

impl Call<'_> {
    /// Whether the caller may use a vhost as AMQP clients do.
    fn may_use(&self, vhost: &Vhost) -> bool {
        self.app.broker().check_vhost(&self.principal(&vhost.name), &vhost.name).is_ok()
    }

    /// Whether the caller may look into a vhost.
    pub(crate) fn sees(&self, vhost: &Vhost) -> bool {
        self.caller.is_administrator() || self.may_use(vhost)
    }

    /// The vhosts that the caller may look into.
    pub(crate) fn vhosts(&self) -> Vec<Arc<Vhost>> {
        let topology = self.app.broker().topology().clone();
        topology.vhosts.values().filter(|vhost| self.sees(vhost)).cloned().collect()
    }

    /// The vhost at the first place of the path, or all, where there is no name.
    pub(crate) fn vhosts_of_path(&self) -> Result<Vec<Arc<Vhost>>, Answer> {
        match self.names.first() {
            Some(name) => Ok(vec![self.vhost(name)?]),
            None => Ok(self.vhosts()),
        }
    }

    /// A vhost to look into.
    pub(crate) fn vhost(&self, name: &str) -> Result<Arc<Vhost>, Answer> {
        let found = self.app.broker().topology().vhosts.get(name).cloned();
        match found {
            Some(vhost) if self.sees(&vhost) => Ok(vhost),
            Some(_) => Err(Answer::not_authorised(NOT_IN_VHOST)),
            None => Err(Answer::not_found()),
        }
    }

    /// A vhost in which something is to be changed: what exactly, the broker permits.
    pub(crate) fn vhost_to_use(&self, name: &str) -> Result<Arc<Vhost>, Answer> {
        let found = self.app.broker().topology().vhosts.get(name).cloned();
        match found {
            Some(vhost) if self.may_use(&vhost) => Ok(vhost),
            Some(_) => Err(Answer::not_authorised(NOT_IN_VHOST)),
            None => Err(Answer::no_vhost()),
        }
    }
}

/// 404 for what is missing; other refusals as they are.
pub(crate) fn missing_or(refusal: Refusal) -> Answer {
    match refusal.kind {
        RefusalKind::NotFound => Answer::not_found(),
        _ => Answer::from(refusal),
    }
}
