//! The consistent-hash exchange: each destination has as many buckets as its binding key says, and
//! a message goes to the destination of the bucket that its routing key, a header or a property is
//! hashed to (RabbitMQ: Consistent Hashing Exchange Type).
//!
//! As in RabbitMQ a destination counts once, with its first binding; a new one takes the buckets
//! behind all others, so that keys move to it only; where one goes, the later ones move down.
//! The order of buckets is that of the bindings, which the stored definitions keep.

use imbl::OrdMap;

use super::{Destination, RoutingInput, hash};
use crate::definitions::Binding;
use crate::error::Refusal;
use crate::message::{FieldTable, FieldValue, Message, Value};

/// RabbitMQ's largest weight.
const WEIGHT_MAX: u64 = 10_000;

/// What Erlang's hash makes of `undefined`, `true` and `false`.
const MISSING: u32 = 45_914_356;
const TRUE: u32 = 506_293;
const FALSE: u32 = 7_111_573;

/// What decides about a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum HashOn {
    #[default]
    RoutingKey,
    Header(Box<str>),
    CorrelationId,
    MessageId,
    Timestamp,
}

impl HashOn {
    fn read(arguments: &FieldTable) -> Result<Self, Refusal> {
        let text = |name: &str| match arguments.get(name) {
            None => Ok(None),
            Some(FieldValue::LongStr(text)) => Ok(Some(String::from_utf8_lossy(text))),
            Some(other) => {
                let kind = other.type_name();
                Err(Refusal::precondition(format!("invalid type '{kind}' for arg '{name}'")))
            }
        };
        match (text("hash-header")?, text("hash-property")?) {
            (None, None) => Ok(Self::RoutingKey),
            (Some(header), None) => Ok(Self::Header(header.into())),
            (None, Some(property)) => match &*property {
                "correlation_id" => Ok(Self::CorrelationId),
                "message_id" => Ok(Self::MessageId),
                "timestamp" => Ok(Self::Timestamp),
                other => Err(Refusal::precondition(format!("Unsupported property: {other}"))),
            },
            (Some(_), Some(_)) => {
                Err(Refusal::precondition("hash-header and hash-property are mutually exclusive"))
            }
        }
    }

    fn key(&self, input: &RoutingInput<'_>) -> u64 {
        let found = match self {
            Self::RoutingKey => Some(hash::string(input.routing_key.as_bytes()).into()),
            Self::Header(name) => header_key(input.message, name),
            _ => input.message.and_then(|message| self.property_key(message)),
        };
        found.unwrap_or_else(|| MISSING.into())
    }

    fn property_key(&self, message: &Message) -> Option<u64> {
        let properties = message.parsed()?;
        let hashed = match self {
            Self::CorrelationId => hash::string(properties.correlation_id?.as_bytes()),
            Self::MessageId => hash::string(properties.message_id?.as_bytes()),
            _ => hash::string(properties.timestamp?.to_string().as_bytes()),
        };
        Some(hashed.into())
    }
}

/// A number stands for itself, all else is hashed.
fn header_key(message: Option<&Message>, name: &str) -> Option<u64> {
    let value = message?.headers()?.get(name)?;
    Some(match value {
        Value::Bool(true) => TRUE.into(),
        Value::Bool(false) => FALSE.into(),
        Value::F32(number) => hash::float(number.into()).into(),
        Value::F64(number) => hash::float(number).into(),
        Value::LongStr(bytes) | Value::Bytes(bytes) => hash::string(bytes).into(),
        Value::Array(items) => hash::string(items.as_bytes()).into(),
        Value::Table(table) => hash::string(table.as_bytes()).into(),
        Value::Timestamp(seconds) => seconds,
        other => return other.as_integer().map(|number| number as u64),
    })
}

/// A destination with its bindings, of which the first gives the weight.
#[derive(Debug, Clone)]
struct Share {
    bindings: Vec<Binding>,
}

impl Share {
    fn weight(&self) -> u64 {
        self.bindings.first().map_or(0, weight)
    }
}

/// Checked when it was bound.
fn weight(binding: &Binding) -> u64 {
    binding.routing_key.parse().unwrap_or(1)
}

#[derive(Debug, Clone)]
pub(crate) struct ConsistentHashRouter {
    hash_on: HashOn,
    /// By the first bucket.
    shares: OrdMap<u64, Share>,
    /// The first bucket of each destination.
    first_bucket: OrdMap<Destination, u64>,
    buckets: u64,
}

impl ConsistentHashRouter {
    pub(super) fn new(arguments: &FieldTable) -> Self {
        Self {
            hash_on: HashOn::read(arguments).unwrap_or_default(),
            shares: OrdMap::new(),
            first_bucket: OrdMap::new(),
            buckets: 0,
        }
    }

    /// Whether the routing key alone decides.
    pub(super) fn by_key(&self) -> bool {
        self.hash_on == HashOn::RoutingKey
    }

    pub(super) fn bind(&mut self, binding: &Binding) {
        let known = self.first_bucket.get(&binding.destination);
        if let Some(share) = known.and_then(|first| self.shares.get_mut(first)) {
            share.bindings.push(binding.clone());
        } else {
            self.append(Share { bindings: vec![binding.clone()] });
        }
    }

    fn append(&mut self, share: Share) {
        let Some(first) = share.bindings.first() else { return };
        self.first_bucket.insert(first.destination.clone(), self.buckets);
        let weight = share.weight();
        self.shares.insert(self.buckets, share);
        self.buckets += weight;
    }

    pub(super) fn unbind(&mut self, binding: &Binding) {
        let Some(first) = self.first_bucket.get(&binding.destination).copied() else { return };
        let Some(share) = self.shares.get_mut(&first) else { return };
        let before = share.weight();
        let key = binding.key();
        share.bindings.retain(|other| other.key() != key);
        if !share.bindings.is_empty() && share.weight() == before {
            return;
        }
        let later: Vec<(u64, Share)> =
            self.shares.range(first..).map(|(at, share)| (*at, share.clone())).collect();
        self.first_bucket.remove(&binding.destination);
        self.buckets = first;
        for (at, _) in &later {
            self.shares.remove(at);
        }
        for (_, share) in later {
            self.append(share);
        }
    }

    pub(super) fn route<'a>(
        &'a self,
        input: &RoutingInput<'_>,
        found: &mut dyn FnMut(&'a Destination),
    ) {
        if self.buckets == 0 {
            return;
        }
        let bucket = hash::jump(self.hash_on.key(input), self.buckets);
        if let Some((_, share)) = self.shares.get_prev(&bucket) {
            share.bindings.first().map(|binding| &binding.destination).into_iter().for_each(found);
        }
    }

    /// The bindings in an order in which they give the same buckets again.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.shares.values().flat_map(|share| &share.bindings)
    }
}

/// Refuses arguments that name nothing to hash.
pub(super) fn check(arguments: &FieldTable) -> Result<(), Refusal> {
    HashOn::read(arguments).map(drop)
}

/// Refuses a binding key that is no weight.
pub(super) fn check_binding(binding: &Binding) -> Result<(), Refusal> {
    let key = &*binding.routing_key;
    let digits = key.strip_prefix(['-', '+']).unwrap_or(key);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let shown = crate::error::show_binary(key.as_bytes());
        let text = format!("The binding key must be an integer: {shown}");
        return Err(Refusal::precondition(text));
    }
    // More digits than a number has are a number that is too large.
    let weight = digits.parse().unwrap_or(u64::MAX);
    if weight == 0 || key.starts_with('-') {
        return Err(Refusal::precondition("The binding key must be greater than 0"));
    }
    if weight > WEIGHT_MAX {
        let text = format!("The binding key must not exceed {WEIGHT_MAX}");
        return Err(Refusal::precondition(text));
    }
    Ok(())
}
