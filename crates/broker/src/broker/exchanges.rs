//! Declaring and deleting exchanges.

use super::{Broker, Principal, check_not_default, check_reserved, strip_line_ends};
use crate::auth::Permission;
use crate::definitions::{Command, Exchange, ExchangeSpec, Vhost, check_arguments, check_flag};
use crate::error::{Refusal, RefusalKind, Resource};
use crate::log::Position;
use crate::message::FieldTable;
use crate::routing::ExchangeKind;

/// An `exchange.declare`.
#[derive(Debug, Clone)]
pub struct ExchangeRequest<'a> {
    /// The exchange.
    pub name: &'a str,
    /// The type's name.
    pub kind: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last outgoing binding.
    pub auto_delete: bool,
    /// Not for clients to publish to.
    pub internal: bool,
    /// Further arguments.
    pub arguments: FieldTable,
}

/// A type as RabbitMQ prints it: in quotes of its own with anything but letters in it.
fn as_atom(kind: &str) -> String {
    if kind.contains('-') { format!("'{kind}'") } else { kind.to_owned() }
}

/// Whoever has an exchange pass messages on reads the one and writes to the other.
fn permit_alternate(vhost: &Vhost, who: &Principal, spec: &ExchangeSpec) -> Result<(), Refusal> {
    let to = spec.arguments.get("alternate-exchange").and_then(|to| to.as_str_bytes());
    let Some(to) = to.and_then(|to| str::from_utf8(to).ok()) else { return Ok(()) };
    vhost.permit(who, Permission::Read, Resource::Exchange(&spec.name, &who.vhost))?;
    vhost.permit(who, Permission::Write, Resource::Exchange(to, &who.vhost))
}

fn check_same(found: &Exchange, wanted: &ExchangeSpec, vhost: &str) -> Result<(), Refusal> {
    let current = &found.spec;
    let resource = Resource::Exchange(&current.name, vhost);
    check_flag("type", resource, as_atom(wanted.kind.name()), as_atom(current.kind.name()))?;
    check_flag("durable", resource, wanted.durable, current.durable)?;
    check_flag("auto_delete", resource, wanted.auto_delete, current.auto_delete)?;
    check_flag("internal", resource, wanted.internal, current.internal)?;
    let compared = ["alternate-exchange", "x-message-deduplication", "x-cache-size", "x-cache-ttl"];
    check_arguments(&compared, resource, &wanted.arguments, &current.arguments)
}

impl Broker {
    /// Checks that an exchange exists (`exchange.declare` with passive).
    pub fn find_exchange(&self, who: &Principal, name: &str) -> Result<(), Refusal> {
        let name = strip_line_ends(name);
        check_not_default(&name)?;
        let vhost = self.vhost(who)?;
        vhost.permit_any(who, Resource::Exchange(&name, &who.vhost))?;
        vhost.exchange(&name).map(drop)
    }

    /// Declares an exchange, or checks that the one of that name is the same.
    pub fn declare_exchange(
        &self,
        who: &Principal,
        request: ExchangeRequest<'_>,
    ) -> Result<Position, Refusal> {
        let name = strip_line_ends(request.name);
        let kind = ExchangeKind::from_name(request.kind).ok_or_else(|| {
            let known = if request.kind.is_empty() { "invalid" } else { "unknown" };
            let text = format!("{known} exchange type '{}'", request.kind);
            Refusal::new(RefusalKind::CommandInvalid, text)
        })?;
        check_not_default(&name)?;
        let spec = ExchangeSpec {
            name: name.into(),
            kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            arguments: request.arguments,
        };
        let vhost = self.vhost(who)?;
        vhost.permit(who, Permission::Configure, Resource::Exchange(&spec.name, &who.vhost))?;
        if let Some(found) = vhost.exchanges.get(&spec.name) {
            return check_same(found, &spec, &who.vhost).map(|()| self.defined());
        }
        check_reserved("exchange", &spec.name)?;
        permit_alternate(&vhost, who, &spec)?;
        spec.check(&who.vhost)?;
        let writer = self.write();
        if let Some(found) = self.vhost(who)?.exchanges.get(&spec.name) {
            return check_same(found, &spec, &who.vhost).map(|()| self.defined());
        }
        let durable = spec.durable;
        let command = self.declare_command(who.vhost.clone(), spec);
        Ok(self.apply(&writer, &command, durable).1)
    }

    /// Deletes an exchange; one that is missing is fine.
    pub fn delete_exchange(
        &self,
        who: &Principal,
        name: &str,
        if_unused: bool,
    ) -> Result<Position, Refusal> {
        check_not_default(name)?;
        let resource = Resource::Exchange(name, &who.vhost);
        if name.starts_with("amq.") {
            let text = format!("deletion of system {resource} not allowed");
            return Err(Refusal::access(text));
        }
        self.vhost(who)?.permit(who, Permission::Configure, resource)?;
        let writer = self.write();
        let vhost = self.vhost(who)?;
        let Some(exchange) = vhost.exchanges.get(name) else { return Ok(self.defined()) };
        if if_unused && exchange.in_use() {
            return Err(Refusal::precondition(format!("{resource} in use")));
        }
        let command = Command::DeleteExchange(who.vhost.clone(), name.into());
        Ok(self.apply(&writer, &command, exchange.spec.durable).1)
    }
}
