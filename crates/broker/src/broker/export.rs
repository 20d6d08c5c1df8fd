//! The definitions as a file of RabbitMQ (RabbitMQ: Definitions), which [`Broker::import`] reads.
//!
//! Invariant: what is exported and imported is the same again. Queues that do not survive a restart
//! or belong to a connection are left out, as in RabbitMQ; so are bindings to them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Broker;
use crate::definitions::{
    PolicyKind, Topology, UserLimits, Vhost, VhostLimits, VhostMetadata, is_predeclared,
};
use crate::error::Refusal;
use crate::ids::Name;
use crate::message::{FieldTable, FieldValue};
use crate::routing::Destination;

/// The version of RabbitMQ in whose form the file is.
const FORM: &str = "3.13.0";

fn value(field: &FieldValue) -> Value {
    match field {
        FieldValue::Bool(on) => json!(on),
        FieldValue::F32(number) => json!(number),
        FieldValue::F64(number) => json!(number),
        FieldValue::Void => Value::Null,
        FieldValue::Timestamp(seconds) => json!(seconds),
        FieldValue::LongStr(bytes) | FieldValue::Bytes(bytes) => match str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!(STANDARD.encode(bytes)),
        },
        FieldValue::Array(all) => all.iter().map(value).collect(),
        FieldValue::Table(fields) => table(fields),
        other => other.as_integer().map_or(Value::Null, |integer| json!(integer)),
    }
}

/// A table as a JSON object; bytes that are no text in base64.
pub fn table_to_json(fields: &FieldTable) -> Value {
    table(fields)
}

fn table(fields: &FieldTable) -> Value {
    let fields = fields.0.iter().map(|(key, field)| (key.clone(), value(field)));
    Value::Object(fields.collect())
}

/// The limits that say something.
fn limits(named: [(&str, Option<u64>); 2]) -> Value {
    let some = named.into_iter().filter_map(|(name, most)| Some((name.to_owned(), json!(most?))));
    Value::Object(some.collect())
}

fn users(topology: &Topology) -> Vec<Value> {
    let user_limits = |name: &str| topology.user_limits.get(name).copied().unwrap_or_default();
    let user = |user: &std::sync::Arc<crate::definitions::User>| {
        let (algorithm, hash) = user.password.export();
        let UserLimits { max_connections, max_channels } = user_limits(&user.name);
        json!({
            "name": *user.name,
            "password_hash": hash,
            "hashing_algorithm": algorithm,
            "tags": user.tags.iter().map(|tag| json!(**tag)).collect::<Value>(),
            "limits": limits([
                ("max-connections", max_connections),
                ("max-channels", max_channels),
            ]),
        })
    };
    topology.users.values().map(user).collect()
}

/// The value of a parameter, which is kept as text.
pub fn stored(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or(Value::Null)
}

/// Global parameters, as a list.
pub fn globals(topology: &Topology) -> Value {
    let one = |(name, value): (&Name, &Name)| json!({ "name": **name, "value": stored(value) });
    topology.global_parameters.iter().map(one).collect()
}

/// A vhost with what it says of itself.
fn about(vhost: &Vhost) -> Value {
    let mut about = metadata_to_json(&vhost.metadata);
    let mut entry = about.clone();
    entry.insert("name".to_owned(), json!(*vhost.name));
    about.remove("protected_from_deletion");
    entry.insert("metadata".to_owned(), Value::Object(about));
    Value::Object(entry)
}

/// What a vhost says of itself, as RabbitMQ's keys; a default queue type only if there is one.
pub fn metadata_to_json(metadata: &VhostMetadata) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("description".to_owned(), json!(*metadata.description));
    fields.insert("tags".to_owned(), metadata.tags.iter().map(|tag| json!(**tag)).collect());
    fields.insert("protected_from_deletion".to_owned(), json!(metadata.protected));
    if let Some(kind) = &metadata.default_queue_type {
        fields.insert("default_queue_type".to_owned(), json!(**kind));
    }
    fields
}

/// What a file has of vhosts, list by list.
#[derive(Default)]
struct Lists {
    permissions: Vec<Value>,
    topic_permissions: Vec<Value>,
    parameters: Vec<Value>,
    policies: Vec<Value>,
    queues: Vec<Value>,
    exchanges: Vec<Value>,
    bindings: Vec<Value>,
}

impl Lists {
    fn add(&mut self, vhost: &Vhost) {
        self.add_access(vhost);
        self.add_rules(vhost);
        let name = &*vhost.name;
        for exchange in vhost.exchanges.values() {
            let spec = &exchange.spec;
            if !is_predeclared(&spec.name) {
                self.exchanges.push(json!({
                    "name": *spec.name, "vhost": name, "type": spec.kind.name(),
                    "durable": spec.durable, "auto_delete": spec.auto_delete,
                    "internal": spec.internal, "arguments": table(&spec.arguments),
                }));
            }
        }
        for queue in vhost.queues.values().filter(|queue| queue.is_durable()) {
            let spec = &queue.spec;
            let kind = match spec.arguments.get("x-queue-type") {
                Some(FieldValue::LongStr(kind)) => String::from_utf8_lossy(kind).into_owned(),
                _ => "classic".to_owned(),
            };
            self.queues.push(json!({
                "name": *spec.name, "vhost": name, "type": kind, "durable": spec.durable,
                "auto_delete": spec.auto_delete, "arguments": table(&spec.arguments),
            }));
        }
        self.add_bindings(vhost);
    }

    fn add_access(&mut self, vhost: &Vhost) {
        let name = &*vhost.name;
        for (user, granted) in &vhost.permissions {
            self.permissions.push(json!({
                "user": **user, "vhost": name, "configure": granted.configure.as_str(),
                "write": granted.write.as_str(), "read": granted.read.as_str(),
            }));
        }
        for ((user, exchange), granted) in &vhost.topic_permissions {
            self.topic_permissions.push(json!({
                "user": **user, "vhost": name, "exchange": **exchange,
                "write": granted.write.as_str(), "read": granted.read.as_str(),
            }));
        }
    }

    fn add_rules(&mut self, vhost: &Vhost) {
        let name = &*vhost.name;
        for ((component, parameter), value) in &vhost.parameters {
            self.parameters.push(json!({
                "vhost": name, "name": **parameter, "component": **component,
                "value": stored(value),
            }));
        }
        for policy in vhost.policies.all(PolicyKind::Policy) {
            self.policies.push(json!({
                "vhost": name, "name": *policy.name, "pattern": *policy.pattern,
                "apply-to": policy.apply_to.name(), "definition": table(&policy.definition),
                "priority": policy.priority,
            }));
        }
        for policy in vhost.policies.all(PolicyKind::Operator) {
            self.parameters.push(json!({
                "vhost": name, "name": *policy.name, "component": "operator_policy",
                "value": {
                    "pattern": *policy.pattern, "apply-to": policy.apply_to.name(),
                    "definition": table(&policy.definition), "priority": policy.priority,
                },
            }));
        }
        if vhost.limits != VhostLimits::default() {
            let VhostLimits { max_connections, max_queues } = vhost.limits;
            let value = limits([("max-connections", max_connections), ("max-queues", max_queues)]);
            self.parameters.push(json!({
                "vhost": name, "name": "limits", "component": "vhost-limits", "value": value,
            }));
        }
    }

    fn add_bindings(&mut self, vhost: &Vhost) {
        for binding in vhost.durable_bindings() {
            let (destination, kind) = match &binding.destination {
                Destination::Queue(name) => (name, "queue"),
                Destination::Exchange(name) => (name, "exchange"),
            };
            self.bindings.push(json!({
                "source": *binding.source, "vhost": *vhost.name, "destination": **destination,
                "destination_type": kind, "routing_key": *binding.routing_key,
                "arguments": table(&binding.arguments),
            }));
        }
    }
}

impl Broker {
    /// The definitions as a JSON object in RabbitMQ's form: all of them, or those of one vhost
    /// without users and permissions. It has password hashes in it.
    pub fn export(&self, only: Option<&str>) -> Result<Value, Refusal> {
        let topology = self.topology().clone();
        let mut lists = Lists::default();
        let mut file = Map::new();
        file.insert("rabbit_version".to_owned(), json!(FORM));
        file.insert("rabbitmq_version".to_owned(), json!(FORM));
        file.insert("product_name".to_owned(), json!("Leveret"));
        file.insert("product_version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        match only {
            Some(vhost) => lists.add(&*self.administered(vhost)?),
            None => {
                topology.vhosts.values().for_each(|vhost| lists.add(vhost));
                let vhosts = topology.vhosts.values().map(|vhost| about(vhost));
                file.insert("global_parameters".to_owned(), globals(&topology));
                file.insert("users".to_owned(), Value::Array(users(&topology)));
                file.insert("vhosts".to_owned(), vhosts.collect());
                file.insert("permissions".to_owned(), Value::Array(lists.permissions));
                file.insert("topic_permissions".to_owned(), Value::Array(lists.topic_permissions));
            }
        }
        for (name, list) in [
            ("parameters", lists.parameters),
            ("policies", lists.policies),
            ("queues", lists.queues),
            ("exchanges", lists.exchanges),
            ("bindings", lists.bindings),
        ] {
            file.insert(name.to_owned(), Value::Array(list));
        }
        Ok(Value::Object(file))
    }
}
