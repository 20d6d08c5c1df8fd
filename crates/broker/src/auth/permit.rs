//! The one function that says whether somebody may do something.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{InvalidPattern, Pattern, TopicPattern};
use crate::broker::Principal;
use crate::definitions::{Topology, Vhost};
use crate::error::{Refusal, RefusalKind, Resource};

/// What somebody wants to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Create, change or delete it.
    Configure,
    /// Put something into it.
    Write,
    /// Take something out of it.
    Read,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

/// What a user may do in a vhost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Permissions {
    /// What may be created, changed and deleted.
    pub configure: Pattern,
    /// Where something may be put.
    pub write: Pattern,
    /// Where something may be taken.
    pub read: Pattern,
}

impl Permissions {
    /// Compiles the patterns.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, InvalidPattern> {
        let (configure, write) = (Pattern::new(configure)?, Pattern::new(write)?);
        Ok(Self { configure, write, read: Pattern::new(read)? })
    }

    /// Everything.
    pub fn all() -> Self {
        let any = || Pattern::from(crate::ids::Name::from(".*"));
        Self { configure: any(), write: any(), read: any() }
    }

    fn pattern(&self, permission: Permission) -> &Pattern {
        match permission {
            Permission::Configure => &self.configure,
            Permission::Write => &self.write,
            Permission::Read => &self.read,
        }
    }
}

/// Which routing keys a user may use with a topic exchange.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopicPermissions {
    /// For publishing.
    pub write: TopicPattern,
    /// For binding.
    pub read: TopicPattern,
}

impl TopicPermissions {
    /// Checks the patterns.
    pub fn new(write: &str, read: &str) -> Result<Self, InvalidPattern> {
        Ok(Self { write: TopicPattern::new(write)?, read: TopicPattern::new(read)? })
    }
}

impl Topology {
    /// Whether `who` may use a vhost at all; refused in the words of `connection.open`.
    pub fn permit_vhost(&self, who: &Principal, vhost: &str) -> Result<(), Refusal> {
        let user = &who.user;
        let granted = |found: &Vhost| match &who.scopes {
            Some(scopes) => scopes.permit_vhost(vhost),
            None => found.permissions.contains_key(user),
        };
        match self.vhosts.get(vhost) {
            Some(found) if granted(found) => Ok(()),
            Some(_) => Err(Refusal::new(
                RefusalKind::NotAllowed,
                format!("access to vhost '{vhost}' refused for user '{user}'"),
            )),
            None => Err(Refusal::new(RefusalKind::NotAllowed, format!("vhost {vhost} not found"))),
        }
    }
}

/// The name by which permissions know a resource: the default exchange has one for this.
fn known_as(resource: Resource<'_>) -> Resource<'_> {
    match resource {
        Resource::Exchange("", vhost) => Resource::Exchange("amq.default", vhost),
        other => other,
    }
}

impl Vhost {
    /// Whether `who` may do that with a queue or an exchange of this vhost.
    pub fn permit(
        &self,
        who: &Principal,
        permission: Permission,
        resource: Resource<'_>,
    ) -> Result<(), Refusal> {
        let resource = known_as(resource);
        let (Resource::Queue(name, _) | Resource::Exchange(name, _)) = resource;
        let granted = match &who.scopes {
            Some(scopes) => scopes.permit(permission, &self.name, name),
            None => self
                .permissions
                .get(&who.user)
                .is_some_and(|granted| granted.pattern(permission).matches(name)),
        };
        if granted {
            return Ok(());
        }
        let user = &who.user;
        let text = format!("{permission} access to {resource} refused for user '{user}'");
        Err(Refusal::access(text))
    }

    /// Whether `who` may do anything with it: enough to learn that it is there.
    pub fn permit_any(&self, who: &Principal, resource: Resource<'_>) -> Result<(), Refusal> {
        self.permit(who, Permission::Read, resource)
            .or_else(|_| self.permit(who, Permission::Write, resource))
            .or_else(|_| self.permit(who, Permission::Configure, resource))
    }

    /// Whether `who` may use a routing key with a topic exchange: to publish with write, to bind
    /// with read. A user without topic permissions for the exchange may use all; a token needs a
    /// scope with a third part.
    pub fn permit_topic(
        &self,
        who: &Principal,
        permission: Permission,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Refusal> {
        let (user, vhost) = (&who.user, &self.name);
        let granted = match &who.scopes {
            Some(scopes) => scopes.permit_topic(permission, (vhost, exchange), routing_key),
            None => self.permit_topic_by_pattern(who, permission, exchange, routing_key),
        };
        if granted {
            return Ok(());
        }
        let text = format!(
            "{permission} access to topic '{routing_key}' in exchange topic '{exchange}' in vhost \
             '{vhost}' refused for user '{user}'"
        );
        Err(Refusal::access(text))
    }

    fn permit_topic_by_pattern(
        &self,
        who: &Principal,
        permission: Permission,
        exchange: &str,
        routing_key: &str,
    ) -> bool {
        if self.topic_permissions.is_empty() {
            return true;
        }
        let of = (who.user.clone(), exchange.into());
        let Some(granted) = self.topic_permissions.get(&of) else { return true };
        let pattern = match permission {
            Permission::Read => &granted.read,
            Permission::Configure | Permission::Write => &granted.write,
        };
        pattern.matches(routing_key, &who.user, &self.name, who.client_id.as_deref())
    }
}
