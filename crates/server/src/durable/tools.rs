//! What people want to know of a data directory, in the broker's terms: what the store finds, with
//! the names of queues, and messages as they were published.
//!
//! Invariant: nothing is written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use leveret_broker::definitions::{
    Binding, Command, Policy, PolicyKind, Quota, QuotaOf, User, UserWithoutTags,
};
use leveret_broker::message::{FieldTable, Message};
use leveret_broker::routing::Destination;
use leveret_store::disk::{Disk, RealDisk};
use leveret_store::tools;

pub use leveret_store::tools::{
    DefinitionsInspection, ExtentInspection, Finding, Inspection, LogFileInspection, LogFileUse,
    ManifestInspection, Messages, QueueInspection, Salvaged, SegmentInspection, Severity, Totals,
};

/// A definition that was in force.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// A vhost.
    Vhost {
        /// Its name.
        name: String,
    },
    /// A user; the password cannot be got out.
    User {
        /// The login.
        name: String,
    },
    /// An exchange.
    Exchange {
        /// Its vhost.
        vhost: String,
        /// Its name.
        name: String,
        /// Its type.
        kind: &'static str,
        /// Survives a restart.
        durable: bool,
        /// Goes with its last binding.
        auto_delete: bool,
        /// Takes messages from other exchanges only.
        internal: bool,
        /// The arguments as they came.
        arguments: FieldTable,
    },
    /// A queue.
    Queue {
        /// Its vhost.
        vhost: String,
        /// Its name.
        name: String,
        /// Its number.
        id: u64,
        /// Survives a restart.
        durable: bool,
        /// Goes with its last consumer.
        auto_delete: bool,
        /// The arguments as they came.
        arguments: FieldTable,
    },
    /// A binding.
    Binding {
        /// Its vhost.
        vhost: String,
        /// The exchange that routes.
        source: String,
        /// The queue or exchange that it leads to.
        destination: String,
        /// Whether the destination is a queue.
        to_queue: bool,
        /// The binding key.
        routing_key: String,
        /// The arguments.
        arguments: FieldTable,
    },
    /// A policy.
    Policy {
        /// Its vhost.
        vhost: String,
        /// Its name.
        name: String,
        /// Whether it is an operator policy.
        operator: bool,
        /// The regular expression.
        pattern: String,
        /// RabbitMQ's word for what it is for.
        apply_to: &'static str,
        /// The highest one counts.
        priority: i64,
        /// Keys and values.
        definition: FieldTable,
    },
    /// Limits or a quota.
    Limits {
        /// Whether they are a user's; else a vhost's.
        of_user: bool,
        /// The user's or the vhost's name.
        name: String,
        /// Whether they are on what is published in a second.
        quota: bool,
        /// Those that there are, by name.
        limits: Vec<(&'static str, u64)>,
    },
}

/// The definitions that were in force at the end.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// The definitions; those that others need come first.
    pub all: Vec<Definition>,
    /// The vhost and name of each queue that still is, by its number.
    pub queues: BTreeMap<u64, (String, String)>,
    /// What queues and exchanges that deduplicate remember: the vhost and name of each one's owner,
    /// by the number under which its records are.
    pub memories: BTreeMap<u64, (String, String)>,
    /// What could not be understood.
    pub faults: Vec<String>,
}

impl Definitions {
    /// From a snapshot and the changes behind it.
    fn read(snapshot: Option<&Bytes>, changes: &[Bytes]) -> Self {
        let mut faults = Vec::new();
        let mut commands: Vec<Command> = Vec::new();
        if let Some(bytes) = snapshot {
            match postcard::from_bytes(bytes) {
                Ok(all) => commands = all,
                Err(error) => faults.push(format!("the snapshot of the definitions: {error}")),
            }
        }
        for (number, change) in changes.iter().enumerate() {
            match postcard::from_bytes(change) {
                Ok(command) => commands.push(command),
                Err(error) => faults.push(format!("change {number} of the definitions: {error}")),
            }
        }
        let mut all = InForce::new();
        commands.iter().for_each(|command| apply(&mut all, command));
        let all: Vec<Definition> = all.into_values().collect();
        let queues = all.iter().filter_map(|definition| match definition {
            Definition::Queue { vhost, name, id, .. } => Some((*id, (vhost.clone(), name.clone()))),
            _ => None,
        });
        let memories = commands.iter().filter_map(|command| match command {
            Command::Remember(
                vhost,
                Destination::Queue(name) | Destination::Exchange(name),
                id,
            ) => Some((id.0, (vhost.to_string(), name.to_string()))),
            _ => None,
        });
        Self { queues: queues.collect(), memories: memories.collect(), all, faults }
    }
}

/// Definitions by kind, vhost and name; those that others need come first.
type InForce = BTreeMap<(u8, String, String), Definition>;

fn key(definition: &Definition) -> (u8, String, String) {
    match definition {
        Definition::Vhost { name } => (0, String::new(), name.clone()),
        Definition::User { name } => (1, String::new(), name.clone()),
        Definition::Exchange { vhost, name, .. } => (2, vhost.clone(), name.clone()),
        Definition::Queue { vhost, name, .. } => (3, vhost.clone(), name.clone()),
        Definition::Binding { vhost, .. } => (4, vhost.clone(), format!("{definition:?}")),
        Definition::Policy { vhost, name, operator, .. } => {
            (5 + u8::from(*operator), vhost.clone(), name.clone())
        }
        Definition::Limits { of_user, name, quota, .. } => {
            (7 + u8::from(*of_user) + 2 * u8::from(*quota), String::new(), name.clone())
        }
    }
}

fn apply(all: &mut InForce, command: &Command) {
    let definition = match command {
        Command::AddVhost(name) => Definition::Vhost { name: name.to_string() },
        Command::PutUser(User { name, .. })
        | Command::PutUserWithoutTags(UserWithoutTags { name, .. }) => {
            Definition::User { name: name.to_string() }
        }
        Command::DeleteUser(name) => return delete_user(all, name),
        Command::DeleteVhost(name) => return delete_vhost(all, name),
        Command::DeclareExchange(vhost, spec) | Command::DeclareDelayed(vhost, spec, _) => {
            Definition::Exchange {
                vhost: vhost.to_string(),
                name: spec.name.to_string(),
                kind: spec.kind.name(),
                durable: spec.durable,
                auto_delete: spec.auto_delete,
                internal: spec.internal,
                arguments: spec.arguments.clone(),
            }
        }
        Command::DeclareQueue(spec) => Definition::Queue {
            vhost: spec.vhost.to_string(),
            name: spec.name.to_string(),
            id: spec.id.0,
            durable: spec.durable,
            auto_delete: spec.auto_delete,
            arguments: spec.arguments.clone(),
        },
        Command::Bind(vhost, spec) => binding(vhost, spec),
        Command::Unbind(vhost, spec) => {
            all.remove(&key(&binding(vhost, spec)));
            return;
        }
        Command::DeleteExchange(vhost, name) => return delete_exchange(all, vhost, name),
        Command::DeleteQueue(vhost, name, id) => return delete_queue(all, vhost, name, id.0),
        Command::PutPolicy(vhost, kind, spec) => policy(vhost, *kind, spec),
        Command::DeletePolicy(vhost, kind, name) => {
            let kind = 5 + u8::from(*kind == PolicyKind::Operator);
            all.remove(&(kind, vhost.to_string(), name.to_string()));
            return;
        }
        Command::LimitVhost(..) | Command::LimitUser(..) | Command::SetQuota(..) => limits(command),
        Command::Remember(..)
        | Command::SetPermissions(..)
        | Command::ClearPermissions(..)
        | Command::SetTopicPermissions(..)
        | Command::ClearTopicPermissions(..)
        | Command::DescribeVhost(..)
        | Command::PutParameter(..)
        | Command::DeleteParameter(..)
        | Command::PutGlobalParameter(..)
        | Command::DeleteGlobalParameter(..) => return,
    };
    // As in the broker, what is there already stays as it is, but for what can be replaced.
    match definition {
        Definition::User { .. } | Definition::Policy { .. } | Definition::Limits { .. } => {
            drop(all.insert(key(&definition), definition));
        }
        other => drop(all.entry(key(&other)).or_insert(other)),
    }
}

fn delete_user(all: &mut InForce, name: &str) {
    all.remove(&(1, String::new(), name.to_owned()));
}

fn delete_vhost(all: &mut InForce, name: &str) {
    all.retain(|(_, vhost, _), _| vhost != name);
    all.remove(&(0, String::new(), name.to_owned()));
}

fn policy(vhost: &str, kind: PolicyKind, policy: &Policy) -> Definition {
    Definition::Policy {
        vhost: vhost.to_owned(),
        name: policy.name.to_string(),
        operator: kind == PolicyKind::Operator,
        pattern: policy.pattern.to_string(),
        apply_to: policy.apply_to.name(),
        priority: policy.priority,
        definition: policy.definition.clone(),
    }
}

/// What a command that limits limits.
fn limits(command: &Command) -> Definition {
    let rates = |quota: &Quota| {
        let Quota { messages_per_second, bytes_per_second } = *quota;
        [("messages_per_second", messages_per_second), ("bytes_per_second", bytes_per_second)]
    };
    let (of_user, name, quota, all) = match command {
        Command::LimitVhost(name, of) => {
            let all = [("max-connections", of.max_connections), ("max-queues", of.max_queues)];
            (false, name.to_string(), false, all)
        }
        Command::LimitUser(name, of) => {
            let all = [("max-connections", of.max_connections), ("max-channels", of.max_channels)];
            (true, name.to_string(), false, all)
        }
        Command::SetQuota(QuotaOf::User(name), quota) => {
            (true, name.to_string(), true, rates(quota))
        }
        Command::SetQuota(QuotaOf::Vhost(name), quota) => {
            (false, name.to_string(), true, rates(quota))
        }
        _ => (false, String::new(), false, [("", None), ("", None)]),
    };
    let limits = all.into_iter().filter_map(|(name, most)| most.map(|most| (name, most)));
    Definition::Limits { of_user, name, quota, limits: limits.collect() }
}

fn delete_exchange(all: &mut InForce, vhost: &str, name: &str) {
    all.remove(&(2, vhost.to_owned(), name.to_owned()));
    all.retain(|_, one| match one {
        Definition::Binding { vhost: of, source, destination, to_queue, .. } => {
            of != vhost || source != name && (*to_queue || destination != name)
        }
        _ => true,
    });
}

fn delete_queue(all: &mut InForce, vhost: &str, name: &str, gone: u64) {
    let place = (3, vhost.to_owned(), name.to_owned());
    if !matches!(all.get(&place), Some(Definition::Queue { id, .. }) if *id == gone) {
        return;
    }
    all.remove(&place);
    all.retain(|_, one| match one {
        Definition::Binding { vhost: of, destination, to_queue: true, .. } => {
            of != vhost || destination != name
        }
        _ => true,
    });
}

fn binding(vhost: &str, binding: &Binding) -> Definition {
    let (destination, to_queue) = match &binding.destination {
        Destination::Queue(name) => (name.to_string(), true),
        Destination::Exchange(name) => (name.to_string(), false),
    };
    Definition::Binding {
        vhost: vhost.to_owned(),
        source: binding.source.to_string(),
        destination,
        to_queue,
        routing_key: binding.routing_key.to_string(),
        arguments: binding.arguments.clone(),
    }
}

/// Tells what is in the data directory at `dir`, and what its queues are called.
pub fn inspect(dir: &Path) -> (Inspection, Definitions) {
    let inspection = tools::inspect(&RealDisk::new(dir));
    let said = &inspection.definitions;
    let definitions = Definitions::read(said.snapshot.as_ref(), &said.behind);
    (inspection, definitions)
}

/// Verifies the data directory at `dir`: what is worth to be told of it.
pub fn check(dir: &Path) -> Vec<Finding> {
    tools::check(&RealDisk::new(dir))
}

/// A message that was got out.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadMessage {
    /// The vhost and name of its queue, if the definitions still tell.
    pub queue: Option<(String, String)>,
    /// Its queue's number.
    pub queue_id: u64,
    /// Its place there.
    pub seq: u64,
    /// When it expires, in milliseconds since 1970; none if it does not.
    pub expires_ms: Option<u64>,
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// Its priority.
    pub priority: u8,
    /// The flags and list of its properties, as they came.
    pub properties: Bytes,
    /// Its body.
    pub body: Bytes,
    /// Whether it is known to be live; otherwise it may have been consumed.
    pub certain: bool,
}

/// What there is to be got out of a data directory.
#[derive(Debug)]
pub struct Salvage {
    salvage: tools::Salvage,
    definitions: Definitions,
}

impl Salvage {
    /// Looks at the data directory at `dir`.
    pub fn open(dir: &Path) -> Self {
        Self::on(&RealDisk::new(dir))
    }

    /// Looks at the data directory behind `disk`.
    pub fn on(disk: &dyn Disk) -> Self {
        let salvage = tools::Salvage::open(disk);
        let definitions = Definitions::read(salvage.definitions.as_ref(), &salvage.changes);
        Self { salvage, definitions }
    }

    /// The definitions as far as they can be read.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// What is wrong with the directory.
    pub fn findings(&self) -> &[Finding] {
        &self.salvage.findings
    }

    /// Whether a whole manifest says which messages are live.
    pub fn is_by_manifest(&self) -> bool {
        self.salvage.by_manifest
    }

    /// Hands every message that can be read to `each`, by queue and seq, until that breaks off.
    pub fn messages(&self, each: &mut dyn FnMut(ReadMessage) -> ControlFlow<()>) -> Salvaged {
        let (mut unknown, mut records) = (0, 0);
        let mut salvaged = self.salvage.messages(&mut |message| {
            let tools::SalvagedMessage { queue, seq, expires, data, certain, .. } = message;
            if self.definitions.memories.contains_key(&queue) {
                records += 1;
                return ControlFlow::Continue(());
            }
            let Some(message) = Message::decode(data) else {
                unknown += 1;
                return ControlFlow::Continue(());
            };
            let properties = message.properties();
            each(ReadMessage {
                queue: self.definitions.queues.get(&queue).cloned(),
                queue_id: queue,
                seq,
                expires_ms: (expires != u64::MAX).then_some(expires),
                exchange: message.exchange().to_owned(),
                routing_key: message.routing_key().to_owned(),
                priority: message.priority,
                properties: message.block().slice_ref(properties),
                body: message.body_shared(),
                certain,
            })
        });
        salvaged.messages -= unknown + records;
        salvaged.lost += unknown;
        salvaged
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leveret_broker::ids::Name;
    use leveret_broker::message::MessageBuilder;
    use leveret_store::disk::FaultyDisk;
    use leveret_store::{Options, Store, Target};

    use super::*;

    fn name(text: &str) -> Name {
        text.into()
    }

    fn bind(key: &str) -> Binding {
        let to = Destination::Exchange(name("other"));
        Binding::new(name("events"), to, name(key), FieldTable::new())
    }

    #[test]
    fn messages_and_definitions_come_back_as_they_were() {
        let disk = FaultyDisk::new(1);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = Options { log_file_size: 32 << 10, ..Options::default() };
        let store = Store::open(shared, options).unwrap().store;
        // A message id and delivery mode 2, as a client writes them.
        let properties = b"\x10\x80\x02\x02id";
        let builder = MessageBuilder::new("x", "key", properties, 4, Some("guest"), None);
        let mut builder = builder.unwrap();
        builder.push(b"body").unwrap();
        let message = builder.finish().0;
        let commands = [
            Command::AddVhost(name("/")),
            Command::Bind(name("/"), bind("a")),
            Command::Bind(name("/"), bind("b")),
            Command::Unbind(name("/"), bind("a")),
        ];
        store.append(|group| {
            for command in &commands {
                group.define(&postcard::to_stdvec(command).unwrap());
            }
            let target = Target { queue: 5, seq: 8, expires: u64::MAX, level: 0 };
            group.publish(4, &[target], [&message.encode_head(), message.block()]);
            let other = Target { seq: 9, ..target };
            group.publish(4, &[other], [b"no", b"message"]);
        });
        store.commit().unwrap();
        drop(store);
        let salvage = Salvage::on(&disk);
        let mut found = Vec::new();
        let salvaged = salvage.messages(&mut |message| {
            found.push(message);
            ControlFlow::Continue(())
        });
        assert_eq!((salvaged.messages, salvaged.lost), (1, 1));
        let [found] = &found[..] else { panic!("{found:?}") };
        assert_eq!((found.queue_id, found.seq, found.expires_ms), (5, 8, None));
        assert_eq!((&*found.exchange, &*found.routing_key, found.certain), ("x", "key", true));
        assert_eq!((&found.properties[..], &found.body[..]), (&properties[..], &b"body"[..]));
        let definitions = salvage.definitions();
        assert_eq!(definitions.faults, [""; 0]);
        let [Definition::Vhost { .. }, Definition::Binding { routing_key, .. }] =
            &definitions.all[..]
        else {
            panic!("{definitions:?}")
        };
        assert_eq!(routing_key, "b");
    }

    #[test]
    fn what_is_no_definition_is_told() {
        let definitions = Definitions::read(Some(&Bytes::from_static(b"\xff\xff")), &[]);
        assert_eq!((definitions.all.len(), definitions.faults.len()), (0, 1));
    }
}
