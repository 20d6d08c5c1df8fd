//! Binding and unbinding.

use super::{Broker, Outgoing, Principal, Route, check_not_default};
use crate::auth::Permission;
use crate::definitions::{Binding, Command, Vhost};
use crate::error::{Refusal, Resource};
use crate::ids::Timestamp;
use crate::log::Position;
use crate::message::FieldTable;
use crate::routing::{Destination, ExchangeKind, Past, RoutingInput, route};

/// A `queue.bind`, `queue.unbind`, `exchange.bind` or `exchange.unbind`.
#[derive(Debug, Clone)]
pub struct BindRequest<'a> {
    /// The exchange that routes.
    pub source: &'a str,
    /// Where to.
    pub destination: Destination,
    /// The binding key.
    pub routing_key: &'a str,
    /// Further arguments.
    pub arguments: FieldTable,
}

impl BindRequest<'_> {
    fn binding(self) -> Binding {
        let key = self.routing_key.into();
        Binding::new(self.source.into(), self.destination, key, self.arguments)
    }

    fn check_names(&self) -> Result<(), Refusal> {
        if let Destination::Exchange(name) = &self.destination {
            check_not_default(name)?;
        }
        check_not_default(self.source)
    }

    /// Whoever binds writes to the destination and reads the source.
    fn permit(&self, vhost: &Vhost, who: &Principal) -> Result<(), Refusal> {
        let to = match &self.destination {
            Destination::Exchange(name) => Resource::Exchange(name, &who.vhost),
            Destination::Queue(name) => Resource::Queue(name, &who.vhost),
        };
        vhost.permit(who, Permission::Write, to)?;
        self.check_names()?;
        vhost.permit(who, Permission::Read, Resource::Exchange(self.source, &who.vhost))?;
        match vhost.exchanges.get(self.source) {
            Some(source) if source.spec.routing_kind() == ExchangeKind::Topic => {
                vhost.permit_topic(who, Permission::Read, self.source, self.routing_key)
            }
            _ => Ok(()),
        }
    }
}

fn check_destination(
    vhost: &Vhost,
    who: &Principal,
    destination: &Destination,
) -> Result<bool, Refusal> {
    match destination {
        Destination::Exchange(name) => Ok(vhost.exchange(name)?.spec.durable),
        Destination::Queue(name) => {
            let queue = vhost.queue(name)?;
            queue.check_access(who.connection)?;
            Ok(queue.spec.durable && queue.spec.owner.is_none())
        }
    }
}

impl Broker {
    /// Adds a binding; one that exists stays as it is. A new one gets the history that its source
    /// keeps, if it is of a type that does.
    pub fn bind(
        &self,
        who: &Principal,
        request: BindRequest<'_>,
        now: Timestamp,
    ) -> Result<Position, Refusal> {
        request.permit(&*self.vhost(who)?, who)?;
        let binding = request.binding();
        let writer = self.write();
        let vhost = self.vhost(who)?;
        let source = vhost.exchange(&binding.source)?;
        let durable = check_destination(&vhost, who, &binding.destination)? && source.spec.durable;
        source.spec.routing_kind().check_binding(&binding, &vhost)?;
        if vhost.is_bound(&binding) {
            return Ok(self.defined());
        }
        let past = source.router.history().map_or_else(Vec::new, |history| history.messages());
        let destination = binding.destination.clone();
        let command = Command::Bind(who.vhost.clone(), binding);
        match destination {
            _ if past.is_empty() => Ok(self.apply(&writer, &command, durable).1),
            Destination::Queue(name) => {
                // Under its lock, so that nothing that the binding brings comes before the past.
                let queue = vhost.queue(&name)?;
                let mut batch = queue.lock(self.context(now));
                let position = self.apply(&writer, &command, durable).1;
                for past in past {
                    batch.publish(past.message);
                }
                Ok(position.max(self.finished(queue, batch.finish(), now)))
            }
            Destination::Exchange(name) => {
                let position = self.apply(&writer, &command, durable).1;
                drop(writer);
                Ok(position.max(self.replay(&*self.vhost(who)?, &name, past, now)))
            }
        }
    }

    /// Publishes a history to an exchange that it is new to.
    fn replay(&self, vhost: &Vhost, exchange: &str, past: Vec<Past>, now: Timestamp) -> Position {
        let mut outgoing = Outgoing::default();
        for Past { message, extra_keys } in past {
            let input = RoutingInput {
                routing_key: message.routing_key(),
                extra_keys: &extra_keys,
                message: Some(&message),
                now,
            };
            let routed = route(vhost, exchange, &input);
            self.count_memory(routed.history_bytes);
            let route = Route { queues: routed.queues, ..Route::default() };
            outgoing.push(message, &route, 0);
        }
        self.flush(&mut outgoing, now).position
    }

    /// Removes a binding; one that is missing is fine.
    pub fn unbind(&self, who: &Principal, request: BindRequest<'_>) -> Result<Position, Refusal> {
        request.permit(&*self.vhost(who)?, who)?;
        let binding = request.binding();
        let writer = self.write();
        let vhost = self.vhost(who)?;
        if !vhost.is_bound(&binding) {
            return Ok(self.defined());
        }
        let durable = check_destination(&vhost, who, &binding.destination)?;
        Ok(self.apply(&writer, &Command::Unbind(who.vhost.clone(), binding), durable).1)
    }
}
