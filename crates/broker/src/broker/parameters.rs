//! What is kept as it was said, and changing it: a vhost's description, tags and default queue
//! type, runtime parameters, global parameters and the cluster's name among them.
//!
//! Invariant: a component that RabbitMQ would not know is refused, as RabbitMQ does. Those of its
//! plugins are kept, exported and imported, and have no effect.

use serde_json::Value;

use super::Broker;
use crate::definitions::{CLUSTER_NAME, Command, Flags, QueueSettings, Vhost, VhostMetadata};
use crate::error::{Refusal, RefusalKind, Resource};
use crate::ids::Name;
use crate::log::Position;
use crate::message::{FieldTable, FieldValue};

/// A component's name, whether a value is one of its, and what those are.
type Component = (&'static str, fn(&Value) -> bool, &'static str);

/// Components of RabbitMQ's plugins.
const KEPT: [Component; 3] = [
    ("federation-upstream", Value::is_object, "an object"),
    ("federation-upstream-set", Value::is_array, "a list"),
    ("shovel", Value::is_object, "an object"),
];
/// The longest value, as text.
const VALUE_MAX: usize = 64 << 10;

fn check_word(what: &str, word: &str) -> Result<Name, Refusal> {
    match word.len() {
        1..=255 => Ok(word.into()),
        _ => Err(Refusal::precondition(format!("{what} must have 1 to 255 bytes"))),
    }
}

fn check_value(value: &Value) -> Result<Name, Refusal> {
    let text = value.to_string();
    if text.len() > VALUE_MAX {
        let reason = format!("the value is longer than {VALUE_MAX} bytes");
        return Err(Refusal::precondition(reason));
    }
    Ok(text.into())
}

/// Whether parameters of a component are kept without having an effect.
pub(super) fn is_kept(component: &str) -> bool {
    KEPT.iter().any(|(known, ..)| *known == component)
}

/// Checks a runtime parameter that is only kept: its name and value as they are stored.
pub(super) fn check_parameter(
    component: &str,
    name: &str,
    value: &Value,
) -> Result<(Name, Name), Refusal> {
    let known = KEPT.iter().find(|(known, ..)| *known == component);
    let Some((_, fits, kind)) = known else {
        return Err(Refusal::precondition(format!("component {component} not found")));
    };
    if !fits(value) {
        let reason = format!("the value of a parameter of {component} must be {kind}");
        return Err(Refusal::precondition(reason));
    }
    Ok((check_word("a parameter's name", name)?, check_value(value)?))
}

/// Checks a global parameter: its name and value as they are stored.
pub(super) fn check_global(name: &str, value: &Value) -> Result<(Name, Name), Refusal> {
    if name == CLUSTER_NAME {
        let word = value.as_str().unwrap_or_default();
        check_word("the cluster's name, a string,", word)?;
    }
    Ok((check_word("a parameter's name", name)?, check_value(value)?))
}

pub(super) fn check_metadata(metadata: &VhostMetadata) -> Result<(), Refusal> {
    if metadata.description.len() > VALUE_MAX {
        let reason = format!("the description is longer than {VALUE_MAX} bytes");
        return Err(Refusal::precondition(reason));
    }
    for tag in &metadata.tags {
        check_word("a tag", tag)?;
    }
    let Some(kind) = &metadata.default_queue_type else { return Ok(()) };
    let arguments = FieldTable(vec![("x-queue-type".to_owned(), FieldValue::from(&**kind))]);
    let flags = Flags { durable: true, exclusive: false, auto_delete: false };
    let unsupported = |_| {
        let reason = format!("Unsupported default queue type: {kind}; classic and quorum are");
        Refusal::precondition(reason)
    };
    QueueSettings::check(&arguments, Resource::Queue("any", "any"), flags).map_err(unsupported)
}

/// Gives a queue that is declared without a type the vhost's default one, if it can be of it.
pub(super) fn give_type(vhost: &Vhost, arguments: &mut FieldTable, flags: Flags) {
    let Some(kind) = &vhost.metadata.default_queue_type else { return };
    let Flags { durable, exclusive, auto_delete } = flags;
    let fits = **kind == *"classic" || durable && !exclusive && !auto_delete;
    if fits && arguments.get("x-queue-type").is_none() {
        arguments.insert("x-queue-type", FieldValue::from(&**kind));
    }
}

fn missing(what: &str, name: &str) -> Refusal {
    Refusal::new(RefusalKind::NotFound, format!("no {what} '{name}'"))
}

impl Broker {
    /// Adds a vhost, or changes what one says of itself; whether it is new.
    pub fn put_vhost(
        &self,
        name: &str,
        change: impl FnOnce(&mut VhostMetadata),
    ) -> Result<(bool, Position), Refusal> {
        let name = check_word("a vhost's name", name)?;
        let writer = self.write();
        let found = self.topology().vhosts.get(&name).cloned();
        let before = found.as_ref().map(|vhost| VhostMetadata::clone(&vhost.metadata));
        let mut after = before.clone().unwrap_or_default();
        change(&mut after);
        check_metadata(&after)?;
        let mut position = self.defined();
        if found.is_none() {
            position = self.apply(&writer, &Command::AddVhost(name.clone()), true).1;
        }
        if before.unwrap_or_default() != after {
            position = self.apply(&writer, &Command::DescribeVhost(name, after), true).1;
        }
        Ok((found.is_none(), position))
    }

    /// Adds or replaces a runtime parameter of a component that only keeps them; whether it is new.
    pub fn put_parameter(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
        value: &Value,
    ) -> Result<(bool, Position), Refusal> {
        let (name, value) = check_parameter(component, name, value)?;
        let writer = self.write();
        let vhost = self.administered(vhost)?;
        let key = (Name::from(component), name);
        let is_new = !vhost.parameters.contains_key(&key);
        let command = Command::PutParameter(vhost.name.clone(), key.0, key.1, value);
        Ok((is_new, self.apply(&writer, &command, true).1))
    }

    /// Removes a runtime parameter.
    pub fn delete_parameter(
        &self,
        vhost: &str,
        component: &str,
        name: &str,
    ) -> Result<Position, Refusal> {
        let writer = self.write();
        let vhost = self.administered(vhost)?;
        let key = (Name::from(component), Name::from(name));
        if !vhost.parameters.contains_key(&key) {
            return Err(missing("parameter", name));
        }
        let command = Command::DeleteParameter(vhost.name.clone(), key.0, key.1);
        Ok(self.apply(&writer, &command, true).1)
    }

    /// Adds or replaces a global parameter; whether it is new.
    pub fn put_global_parameter(
        &self,
        name: &str,
        value: &Value,
    ) -> Result<(bool, Position), Refusal> {
        let (name, value) = check_global(name, value)?;
        let writer = self.write();
        let is_new = !self.topology().global_parameters.contains_key(&name);
        let command = Command::PutGlobalParameter(name, value);
        Ok((is_new, self.apply(&writer, &command, true).1))
    }

    /// Removes a global parameter.
    pub fn delete_global_parameter(&self, name: &str) -> Result<Position, Refusal> {
        let writer = self.write();
        if !self.topology().global_parameters.contains_key(name) {
            return Err(missing("global parameter", name));
        }
        Ok(self.apply(&writer, &Command::DeleteGlobalParameter(name.into()), true).1)
    }

    /// The cluster's name, if it was set while the broker ran.
    pub fn cluster_name(&self) -> Option<String> {
        let topology = self.topology();
        let value = topology.global_parameters.get(CLUSTER_NAME)?;
        serde_json::from_str(value).ok()
    }
}
