//! Binding and unbinding.

use super::{Broker, Principal, check_not_default};
use crate::definitions::{Binding, Command, Vhost};
use crate::error::Refusal;
use crate::log::Position;
use crate::message::FieldTable;
use crate::routing::Destination;

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
    /// Adds a binding; one that exists stays as it is.
    pub fn bind(&self, who: &Principal, request: BindRequest<'_>) -> Result<Position, Refusal> {
        request.check_names()?;
        let binding = request.binding();
        let writer = self.write();
        let vhost = self.vhost(who)?;
        let source = vhost.exchange(&binding.source)?;
        let durable = check_destination(&vhost, who, &binding.destination)? && source.spec.durable;
        source.spec.kind.check_binding(&binding)?;
        if vhost.is_bound(&binding) {
            return Ok(self.defined());
        }
        Ok(self.apply(&writer, &Command::Bind(who.vhost.clone(), binding), durable).1)
    }

    /// Removes a binding; one that is missing is fine.
    pub fn unbind(&self, who: &Principal, request: BindRequest<'_>) -> Result<Position, Refusal> {
        request.check_names()?;
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
