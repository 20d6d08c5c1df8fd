//! Taking over a definitions file as RabbitMQ exports it (RabbitMQ: Definitions).
//!
//! Invariant: all or nothing. Every entry is checked against the definitions as the entries before
//! it leave them, on a draft that nobody sees; only a draft without a fault is logged and
//! published. What exists stays as it is, but users, policies and limits are replaced. So the same
//! file can be taken over at each start.

mod entries;
mod json;
#[cfg(test)]
mod tests;

pub use json::table as table_from_json;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Broker;
use crate::definitions::{Command, Topology};
use crate::ids::{Name, Timestamp};
use crate::log::{Entry, Position};

/// How many changes are logged as one group.
const GROUP: usize = 1000;

/// What is wrong with a definitions file. Nothing of it was taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry}: {reason}")]
pub struct ImportError {
    /// Which entry, such as `queues[3] "orders"`.
    pub entry: String,
    /// Why.
    pub reason: String,
}

/// What was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Definitions that were added or replaced.
    pub changed: usize,
    /// Parts of the file that mean nothing to this broker.
    pub ignored: Vec<String>,
    /// When all of it is durable.
    pub position: Position,
}

/// Sections that are taken over, in the order in which they need each other.
const SECTIONS: [&str; 10] = [
    "global_parameters",
    "vhosts",
    "users",
    "permissions",
    "topic_permissions",
    "parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
];
/// Those that say something about the file only.
const SILENT: [&str; 6] = [
    "rabbit_version",
    "rabbitmq_version",
    "product_name",
    "product_version",
    "rabbitmq_definition_format",
    "original_cluster_name",
];

/// The definitions as they will be.
struct Draft<'a> {
    broker: &'a Broker,
    topology: Topology,
    /// With whether it is durable.
    commands: Vec<(Command, bool)>,
    ignored: Vec<String>,
    /// Queues that are new, by vhost and name.
    queues: Vec<(Name, Name)>,
}

impl Draft<'_> {
    fn apply(&mut self, command: Command, durable: bool) {
        self.topology.apply(&command);
        let memories = match durable {
            true => self.broker.give_memories(&mut self.topology, Some(&command)),
            false => Vec::new(),
        };
        self.commands.push((command, durable));
        self.commands.extend(memories.into_iter().map(|memory| (memory, true)));
    }

    /// Takes each entry of a section.
    fn each<T: DeserializeOwned>(
        &mut self,
        file: &Map<String, Value>,
        section: &str,
        mut take: impl FnMut(&mut Self, T) -> Result<(), String>,
    ) -> Result<(), ImportError> {
        let fault = |entry: String, reason: String| ImportError { entry, reason };
        let entries = match file.get(section) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(fault(section.to_owned(), "expected a list".to_owned())),
        };
        for (at, entry) in entries.iter().enumerate() {
            let label = || match entry.get("name").or_else(|| entry.get("source")) {
                Some(Value::String(name)) => format!("{section}[{at}] {name:?}"),
                _ => format!("{section}[{at}]"),
            };
            let read = T::deserialize(entry).map_err(|error| fault(label(), error.to_string()))?;
            take(self, read).map_err(|reason| fault(label(), reason))?;
        }
        Ok(())
    }

    fn take(&mut self, file: &Map<String, Value>) -> Result<(), ImportError> {
        self.each(file, "global_parameters", Self::global_parameter)?;
        self.each(file, "vhosts", Self::vhost)?;
        self.each(file, "users", Self::user)?;
        self.each(file, "permissions", Self::permission)?;
        self.each(file, "topic_permissions", Self::topic_permission)?;
        self.each(file, "parameters", Self::parameter)?;
        self.each(file, "policies", Self::policy)?;
        self.each(file, "exchanges", Self::exchange)?;
        self.each(file, "queues", Self::queue)?;
        self.each(file, "bindings", Self::binding)?;
        for (section, value) in file {
            let known = SECTIONS.contains(&section.as_str()) || SILENT.contains(&section.as_str());
            let count = value.as_array().map_or(1, Vec::len);
            if !known && count > 0 {
                self.ignored.push(section.clone());
            }
        }
        Ok(())
    }
}

impl Broker {
    /// Takes over a definitions file: vhosts, users, policies, operator policies, limits,
    /// parameters, exchanges, queues and bindings.
    pub fn import(&self, file: &[u8], now: Timestamp) -> Result<Imported, ImportError> {
        let file: Map<String, Value> = serde_json::from_slice(file).map_err(|error| {
            ImportError { entry: "the file".to_owned(), reason: format!("no JSON object: {error}") }
        })?;
        let writer = self.write();
        let mut draft = Draft {
            broker: self,
            topology: Topology::clone(&self.topology()),
            commands: Vec::new(),
            ignored: Vec::new(),
            queues: Vec::new(),
        };
        draft.take(&file)?;
        let Draft { topology, commands, ignored, queues, .. } = draft;
        let changed = commands.len();
        let durable = commands.into_iter().filter(|(_, durable)| *durable);
        let entries: Vec<Entry> = durable.map(|(command, _)| Entry::Define(command)).collect();
        // The log first, as for any change.
        for group in entries.chunks(GROUP) {
            self.defined.store(self.log.append(group).0, Ordering::Release);
        }
        self.topology.store(Arc::new(topology));
        let mut position = self.defined();
        for vhost in self.topology().vhosts.values() {
            let (configured, long) = self.configure_queues(&writer, vhost, now);
            position = position.max(configured).max(self.trim(&long, now));
        }
        for (vhost, name) in queues {
            if let Some(queue) =
                self.topology().vhosts.get(&vhost).and_then(|v| v.queues.get(&name))
            {
                let mut batch = queue.lock(self.context(now));
                batch.touch();
                self.finished(queue, batch.finish(), now);
            }
        }
        // Whoever is connected may have got or lost something.
        self.tell_all();
        Ok(Imported { changed, ignored, position })
    }
}
