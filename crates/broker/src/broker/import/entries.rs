//! The entries of a definitions file, one method each: checked, and made a change of the draft.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::super::access::check_tags;
use super::super::parameters::{check_global, check_metadata, check_parameter, give_type, is_kept};
use super::super::policies::check_queue_limit;
use super::{Draft, json};
use crate::auth::{PasswordHash, Permissions, TopicPermissions};
use crate::definitions::{
    Binding, Command, ExchangeSpec, Flags, Policy, PolicyKind, PolicyRequest, QueueSettings,
    QueueSpec, User, UserLimits, Vhost, VhostLimits, VhostMetadata,
};
use crate::error::{Refusal, Resource};
use crate::ids::{Name, QueueId};
use crate::message::FieldValue;
use crate::routing::{Destination, ExchangeKind};

#[derive(Deserialize)]
pub(super) struct VhostEntry {
    name: String,
    #[serde(flatten)]
    said: VhostWords,
    /// The same, one level down, in files of later versions.
    #[serde(default)]
    metadata: VhostWords,
}

#[derive(Deserialize, Default)]
struct VhostWords {
    description: Option<String>,
    #[serde(default)]
    tags: Value,
    default_queue_type: Option<String>,
    protected_from_deletion: Option<bool>,
}

impl VhostWords {
    /// Says what is given here, and leaves what is not.
    fn say(&self, metadata: &mut VhostMetadata) -> Result<(), String> {
        if let Some(words) = &self.description {
            metadata.description = words.as_str().into();
        }
        if !self.tags.is_null() {
            metadata.tags = tags(&self.tags)?;
        }
        if let Some(kind) = &self.default_queue_type {
            metadata.default_queue_type = (kind != "undefined").then(|| kind.as_str().into());
        }
        if let Some(protected) = self.protected_from_deletion {
            metadata.protected = protected;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct GlobalParameterEntry {
    name: String,
    value: Value,
}

#[derive(Deserialize)]
pub(super) struct UserEntry {
    name: String,
    password_hash: Option<String>,
    hashing_algorithm: Option<String>,
    password: Option<String>,
    #[serde(default)]
    tags: Value,
    #[serde(default)]
    limits: Value,
}

#[derive(Deserialize)]
pub(super) struct PermissionEntry {
    user: String,
    vhost: String,
    configure: String,
    write: String,
    read: String,
}

#[derive(Deserialize)]
pub(super) struct TopicPermissionEntry {
    user: String,
    vhost: String,
    exchange: String,
    write: String,
    read: String,
}

#[derive(Deserialize)]
pub(super) struct ParameterEntry {
    component: String,
    vhost: String,
    name: String,
    value: Value,
}

#[derive(Deserialize)]
pub(super) struct PolicyEntry {
    vhost: String,
    name: String,
    #[serde(flatten)]
    terms: PolicyTerms,
}

#[derive(Deserialize)]
struct PolicyTerms {
    pattern: String,
    #[serde(rename = "apply-to")]
    apply_to: Option<String>,
    definition: Value,
    #[serde(default)]
    priority: i64,
}

#[derive(Deserialize)]
pub(super) struct ExchangeEntry {
    vhost: String,
    name: String,
    r#type: String,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    arguments: Value,
}

#[derive(Deserialize)]
pub(super) struct QueueEntry {
    vhost: String,
    name: String,
    r#type: Option<String>,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    #[serde(default)]
    arguments: Value,
}

#[derive(Deserialize)]
pub(super) struct BindingEntry {
    vhost: String,
    source: String,
    destination: String,
    destination_type: String,
    #[serde(default)]
    routing_key: String,
    #[serde(default)]
    arguments: Value,
}

fn yes() -> bool {
    true
}

fn text(refusal: Refusal) -> String {
    refusal.text
}

/// A list, or one text with commas (RabbitMQ before 3.9).
fn tags(value: &Value) -> Result<Vec<Name>, String> {
    let list: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(all) => all.split(',').collect(),
        Value::Array(all) => {
            let all: Option<_> = all.iter().map(Value::as_str).collect();
            all.ok_or("tags are not texts")?
        }
        _ => return Err("tags are neither a list nor a text".to_owned()),
    };
    check_tags(&list).map_err(text)
}

fn check_name(what: &str, name: &str) -> Result<Name, String> {
    match name.len() {
        0 => Err(format!("{what} is empty")),
        1..=255 => Ok(name.into()),
        _ => Err(format!("{what} is longer than 255 bytes")),
    }
}

/// Numbers of limits by name; one below zero is no limit (RabbitMQ: Virtual Hosts, "Limits").
fn limits(value: &Value, names: [&str; 2]) -> Result<[Option<u64>; 2], String> {
    let mut found = [None; 2];
    let fields = json::object(value)?;
    for (key, value) in &fields {
        let at = names.iter().position(|name| name == key);
        let at = at.ok_or_else(|| format!("unrecognised limit '{key}'"))?;
        let number = value.as_i64();
        let number =
            number.ok_or_else(|| format!("{key} should be integer, actually was {value}"))?;
        found[at] = u64::try_from(number).ok();
    }
    Ok(found)
}

impl Draft<'_> {
    fn vhost_of(&self, name: &str) -> Result<Arc<Vhost>, String> {
        let found = self.topology.vhosts.get(name).cloned();
        found.ok_or_else(|| format!("vhost '{name}' does not exist"))
    }

    pub(super) fn vhost(&mut self, entry: VhostEntry) -> Result<(), String> {
        let name = check_name("the name", &entry.name)?;
        if !self.topology.vhosts.contains_key(&name) {
            self.apply(Command::AddVhost(name.clone()), true);
        }
        let before = self.vhost_of(&name)?.metadata.clone();
        let mut metadata = VhostMetadata::clone(&before);
        entry.metadata.say(&mut metadata)?;
        entry.said.say(&mut metadata)?;
        check_metadata(&metadata).map_err(text)?;
        if *before != metadata {
            self.apply(Command::DescribeVhost(name, metadata), true);
        }
        Ok(())
    }

    pub(super) fn global_parameter(&mut self, entry: GlobalParameterEntry) -> Result<(), String> {
        // Which cluster the file is of is nothing that another one could become.
        if entry.name == "internal_cluster_id" {
            return Ok(());
        }
        let (name, value) = check_global(&entry.name, &entry.value).map_err(text)?;
        if self.topology.global_parameters.get(&name) != Some(&value) {
            self.apply(Command::PutGlobalParameter(name, value), true);
        }
        Ok(())
    }

    /// A parameter that has no effect.
    fn keep(&mut self, entry: &ParameterEntry) -> Result<(), String> {
        let (component, vhost) = (entry.component.as_str(), self.vhost_of(&entry.vhost)?);
        let (name, value) = check_parameter(component, &entry.name, &entry.value).map_err(text)?;
        let key = (Name::from(component), name);
        if vhost.parameters.get(&key) != Some(&value) {
            let command = Command::PutParameter(vhost.name.clone(), key.0, key.1, value);
            self.apply(command, true);
        }
        Ok(())
    }

    pub(super) fn user(&mut self, entry: UserEntry) -> Result<(), String> {
        let name = check_name("the name", &entry.name)?;
        let password = match (&entry.password_hash, &entry.password) {
            (Some(hash), _) => {
                let algorithm = entry.hashing_algorithm.as_deref();
                PasswordHash::import(algorithm, hash).map_err(|error| error.to_string())?
            }
            (None, Some(password)) => self.broker.hash(password.as_bytes()),
            (None, None) => return Err("neither password_hash nor password is given".to_owned()),
        };
        let user = User { name: name.clone(), tags: tags(&entry.tags)?, password };
        let [max_connections, max_channels] =
            limits(&entry.limits, ["max-connections", "max-channels"])?;
        if self.topology.users.get(&name).is_none_or(|found| **found != user) {
            self.apply(Command::PutUser(user), true);
        }
        let wanted = UserLimits { max_connections, max_channels };
        if self.topology.user_limits.get(&name).copied().unwrap_or_default() != wanted {
            self.apply(Command::LimitUser(name, wanted), true);
        }
        Ok(())
    }

    fn user_of(&self, name: &str) -> Result<Name, String> {
        let found = self.topology.users.get(name);
        found.map(|user| user.name.clone()).ok_or_else(|| format!("user '{name}' does not exist"))
    }

    pub(super) fn permission(&mut self, entry: PermissionEntry) -> Result<(), String> {
        let (vhost, user) = (self.vhost_of(&entry.vhost)?, self.user_of(&entry.user)?);
        let wanted = Permissions::new(&entry.configure, &entry.write, &entry.read);
        let wanted = wanted.map_err(|error| error.to_string())?;
        if vhost.permissions.get(&user).is_none_or(|found| **found != wanted) {
            self.apply(Command::SetPermissions(vhost.name.clone(), user, wanted), true);
        }
        Ok(())
    }

    pub(super) fn topic_permission(&mut self, entry: TopicPermissionEntry) -> Result<(), String> {
        let (vhost, user) = (self.vhost_of(&entry.vhost)?, self.user_of(&entry.user)?);
        let exchange = check_name("the exchange", &entry.exchange)?;
        let wanted = TopicPermissions::new(&entry.write, &entry.read);
        let wanted = wanted.map_err(|error| error.to_string())?;
        let of = (user, exchange);
        if vhost.topic_permissions.get(&of).is_none_or(|found| **found != wanted) {
            let vhost = vhost.name.clone();
            self.apply(Command::SetTopicPermissions(vhost, of.0, of.1, wanted), true);
        }
        Ok(())
    }

    pub(super) fn parameter(&mut self, entry: ParameterEntry) -> Result<(), String> {
        match entry.component.as_str() {
            "operator_policy" => {
                let terms = PolicyTerms::deserialize(&entry.value);
                let terms = terms.map_err(|error| error.to_string())?;
                self.put_policy(PolicyKind::Operator, &entry.vhost, &entry.name, &terms)
            }
            "vhost-limits" => {
                let vhost = self.vhost_of(&entry.vhost)?;
                let [max_connections, max_queues] =
                    limits(&entry.value, ["max-connections", "max-queues"])?;
                let wanted = VhostLimits { max_connections, max_queues };
                if vhost.limits != wanted {
                    self.apply(Command::LimitVhost(vhost.name.clone(), wanted), true);
                }
                Ok(())
            }
            component if is_kept(component) => self.keep(&entry),
            other => {
                self.ignored.push(format!("parameter {other} '{}'", entry.name));
                Ok(())
            }
        }
    }

    pub(super) fn policy(&mut self, entry: PolicyEntry) -> Result<(), String> {
        self.put_policy(PolicyKind::Policy, &entry.vhost, &entry.name, &entry.terms)
    }

    fn put_policy(
        &mut self,
        kind: PolicyKind,
        vhost: &str,
        name: &str,
        terms: &PolicyTerms,
    ) -> Result<(), String> {
        let vhost = self.vhost_of(vhost)?;
        let request = PolicyRequest {
            pattern: &terms.pattern,
            apply_to: terms.apply_to.as_deref().unwrap_or("all"),
            definition: json::table(&terms.definition)?,
            priority: terms.priority,
        };
        let policy = Policy::check(kind, name, &request).map_err(text)?;
        if vhost.policies.get(kind, name) != Some(&policy) {
            self.apply(Command::PutPolicy(vhost.name.clone(), kind, policy), true);
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self, entry: ExchangeEntry) -> Result<(), String> {
        let vhost = self.vhost_of(&entry.vhost)?;
        if vhost.exchanges.contains_key(entry.name.as_str()) {
            return Ok(());
        }
        let kind = ExchangeKind::from_name(&entry.r#type);
        let spec = ExchangeSpec {
            name: check_name("the name", &entry.name)?,
            kind: kind.ok_or_else(|| format!("unknown exchange type '{}'", entry.r#type))?,
            durable: entry.durable,
            auto_delete: entry.auto_delete,
            internal: entry.internal,
            arguments: json::table(&entry.arguments)?,
        };
        spec.check(&vhost.name).map_err(text)?;
        self.apply(self.broker.declare_command(vhost.name.clone(), spec), entry.durable);
        Ok(())
    }

    pub(super) fn queue(&mut self, entry: QueueEntry) -> Result<(), String> {
        let vhost = self.vhost_of(&entry.vhost)?;
        if vhost.queues.contains_key(entry.name.as_str()) {
            return Ok(());
        }
        let name = check_name("the name", &entry.name)?;
        let mut arguments = json::table(&entry.arguments)?;
        let says_type = entry.r#type.is_some();
        if let Some(kind) = entry.r#type
            && arguments.get("x-queue-type").is_none()
            && kind != "classic"
        {
            arguments.insert("x-queue-type", FieldValue::from(kind));
        }
        let (durable, auto_delete) = (entry.durable, entry.auto_delete);
        let flags = Flags { durable, exclusive: false, auto_delete };
        if !says_type {
            give_type(&vhost, &mut arguments, flags);
        }
        let resource = Resource::Queue(&name, &vhost.name);
        QueueSettings::check(&arguments, resource, flags).map_err(text)?;
        check_queue_limit(&vhost, &name).map_err(text)?;
        let spec = QueueSpec {
            id: QueueId(self.broker.new_id()),
            vhost: vhost.name.clone(),
            name: name.clone(),
            durable,
            auto_delete,
            owner: None,
            arguments,
        };
        self.queues.push((vhost.name.clone(), name));
        self.apply(Command::DeclareQueue(spec), durable);
        Ok(())
    }

    pub(super) fn binding(&mut self, entry: BindingEntry) -> Result<(), String> {
        let vhost = self.vhost_of(&entry.vhost)?;
        if entry.source.is_empty() {
            return Err("nothing can be bound to the default exchange".to_owned());
        }
        let source = vhost.exchange(&entry.source).map_err(text)?;
        let (destination, leads_to_durable) = match entry.destination_type.as_str() {
            "queue" => {
                let queue = vhost.queue(&entry.destination).map_err(text)?;
                (Destination::Queue(queue.spec.name.clone()), queue.is_durable())
            }
            "exchange" if !entry.destination.is_empty() => {
                let exchange = vhost.exchange(&entry.destination).map_err(text)?;
                (Destination::Exchange(exchange.spec.name.clone()), exchange.spec.durable)
            }
            other => return Err(format!("'{other}' is no type of a destination")),
        };
        if entry.routing_key.len() > 255 {
            return Err("routing_key is longer than 255 bytes".to_owned());
        }
        let (key, arguments) = (entry.routing_key.into(), json::table(&entry.arguments)?);
        let binding = Binding::new(source.spec.name.clone(), destination, key, arguments);
        source.spec.kind.check_binding(&binding, &vhost).map_err(text)?;
        if !vhost.is_bound(&binding) {
            let durable = leads_to_durable && source.spec.durable;
            self.apply(Command::Bind(vhost.name.clone(), binding), durable);
        }
        Ok(())
    }
}
