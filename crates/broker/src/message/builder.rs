//! From a publish, its content header and its body chunks to a [`Message`].

use bytes::Bytes;
use leveret_wire::amqp091::properties::{BasicProperties, Essentials, Properties};
use leveret_wire::amqp091::table::Value;

use super::{HeaderTable, Message};
use crate::broker::{REPLY_TO, REPLY_TO_PREFIX};
use crate::definitions::TIMER_MAX_MS;
use crate::error::{Refusal, RefusalKind};
use crate::ids::Name;

/// Bodies up to this size get their memory at once; larger ones as they arrive, so that a header
/// alone cannot claim it.
const RESERVE_MAX: usize = 32 * 1024;
/// Once as much as that has come, the body gets up to so much memory, and then twice what it has.
const GROWTH_MIN: usize = 1 << 20;

/// Why a content header is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishRefusal {
    /// The property list cannot be decoded: a framing error of the connection.
    Malformed,
    /// A property's value is not acceptable: an error of the channel.
    Refused(Refusal),
}

/// What the content header says of a message, once it is found acceptable.
#[derive(Debug)]
struct Head {
    priority: u8,
    persistent: bool,
    expiration_ms: Option<u64>,
    extra_keys: Vec<Name>,
    /// In place of the properties as they came.
    rewritten: Option<Vec<u8>>,
}

impl Head {
    #[inline]
    fn check(
        properties: &[u8],
        user: Option<&str>,
        reply_token: Option<&str>,
    ) -> Result<Self, PublishRefusal> {
        let parsed = Essentials::parse(properties).map_err(|_| PublishRefusal::Malformed)?;
        let mut head = Self {
            priority: parsed.priority.unwrap_or(0),
            persistent: parsed.delivery_mode == Some(2),
            expiration_ms: None,
            extra_keys: Vec::new(),
            rewritten: None,
        };
        if parsed.user_id.is_some() {
            check_user(&parsed, user)?;
        }
        check_delivery_mode(&parsed)?;
        if parsed.expiration.is_some() {
            head.expiration_ms = expiration(&parsed)?;
        }
        if parsed.headers.is_some() || parsed.reply_to.is_some() {
            head.look_further(&parsed, properties, reply_token)?;
        }
        Ok(head)
    }

    /// Headers and reply address, which few messages have.
    fn look_further(
        &mut self,
        parsed: &Essentials<'_>,
        properties: &[u8],
        reply_token: Option<&str>,
    ) -> Result<(), PublishRefusal> {
        let headers = parsed.headers.map(HeaderTable::new);
        if let Some(headers) = &headers {
            collect_keys(headers, "CC", &mut self.extra_keys)?;
            collect_keys(headers, "BCC", &mut self.extra_keys)?;
        }
        let has_bcc = headers.is_some_and(|headers| headers.get("BCC").is_some());
        let wants_replies = parsed.reply_to.is_some_and(|address| address == REPLY_TO);
        if has_bcc || wants_replies {
            let token = if wants_replies { Some(reply_token) } else { None };
            self.rewritten = Some(rewrite(properties, has_bcc, token)?);
        }
        Ok(())
    }
}

/// A message whose body is still arriving.
#[derive(Debug)]
pub struct MessageBuilder {
    /// All that there is of the message's block.
    block: Vec<u8>,
    head: Head,
    exchange_len: u8,
    routing_key_len: u8,
    properties_len: u32,
    body_size: usize,
}

impl MessageBuilder {
    /// Starts from the publish and its content header. `properties` are the raw flags and list,
    /// `user` is the authenticated user, that a user-id property must equal (RabbitMQ: Validated
    /// User-ID), none if it may be any, `reply_token` completes a `reply-to` of
    /// `amq.rabbitmq.reply-to`.
    #[inline]
    pub fn new(
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        body_size: u64,
        user: Option<&str>,
        reply_token: Option<&str>,
    ) -> Result<Self, PublishRefusal> {
        let head = Head::check(properties, user, reply_token)?;
        let sizes = (body_size, RESERVE_MAX);
        Ok(Self::start(head, exchange, routing_key, properties, sizes))
    }

    /// The message of a publish that is there as a whole, and its further routing keys. All else is
    /// as in [`Self::new`].
    #[inline]
    pub fn whole(
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        body: &[u8],
        user: Option<&str>,
        reply_token: Option<&str>,
    ) -> Result<(Message, Vec<Name>), PublishRefusal> {
        let head = Head::check(properties, user, reply_token)?;
        let sizes = (body.len() as u64, body.len());
        let mut builder = Self::start(head, exchange, routing_key, properties, sizes);
        builder.block.extend_from_slice(body);
        Ok(builder.finish())
    }

    #[inline(always)]
    fn start(
        head: Head,
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        (body_size, at_once): (u64, usize),
    ) -> Self {
        let properties = head.rewritten.as_deref().unwrap_or(properties);
        let body_size = usize::try_from(body_size).unwrap_or(usize::MAX);
        let names_len = exchange.len() + routing_key.len();
        let room = names_len + properties.len() + body_size.min(at_once);
        let mut block = Vec::with_capacity(room);
        block.extend_from_slice(exchange.as_bytes());
        block.extend_from_slice(routing_key.as_bytes());
        block.extend_from_slice(properties);
        Self {
            block,
            exchange_len: exchange.len() as u8,
            routing_key_len: routing_key.len() as u8,
            properties_len: properties.len() as u32,
            body_size,
            head,
        }
    }

    fn body_start(&self) -> usize {
        usize::from(self.exchange_len)
            + usize::from(self.routing_key_len)
            + self.properties_len as usize
    }

    /// The bytes of the body that have not arrived.
    pub fn missing(&self) -> usize {
        self.body_size - (self.block.len() - self.body_start())
    }

    /// The memory that it takes, in bytes.
    pub fn memory(&self) -> usize {
        self.block.capacity()
    }

    /// Takes the next chunk of the body; `Err` gives the number of bytes that are too many.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), usize> {
        let missing = self.missing();
        if chunk.len() > missing {
            return Err(chunk.len() - missing);
        }
        if self.block.capacity() - self.block.len() < chunk.len() {
            let more = self.block.len().max(GROWTH_MIN).max(chunk.len());
            self.block.reserve_exact(missing.min(more));
        }
        self.block.extend_from_slice(chunk);
        Ok(())
    }

    /// The message, once [`Self::missing`] is 0, and further routing keys from the CC and BCC
    /// headers.
    #[inline]
    pub fn finish(self) -> (Message, Vec<Name>) {
        debug_assert_eq!(self.missing(), 0, "the body is complete");
        let message = Message {
            block: Bytes::from(self.block),
            exchange_len: self.exchange_len,
            routing_key_len: self.routing_key_len,
            properties_len: self.properties_len,
            priority: self.head.priority,
            persistent: self.head.persistent,
            expiration_ms: self.head.expiration_ms,
        };
        (message, self.head.extra_keys)
    }
}

/// The properties encoded again, where they may not stay as they came: without `BCC`, or with the
/// token of the consumer of direct replies, if such replies are wanted.
fn rewrite(
    properties: &[u8],
    has_bcc: bool,
    reply_token: Option<Option<&str>>,
) -> Result<Vec<u8>, PublishRefusal> {
    let parsed = Properties::parse(properties).map_err(|_| PublishRefusal::Malformed)?;
    let mut owned = BasicProperties::from(&parsed);
    if let (true, Some(headers)) = (has_bcc, &mut owned.headers) {
        headers.0.retain(|(key, _)| key != "BCC");
    }
    if let Some(token) = reply_token {
        let Some(token) = token else {
            return refuse("fast reply consumer does not exist".to_owned());
        };
        owned.reply_to = Some(format!("{REPLY_TO_PREFIX}{token}").into());
    }
    let mut encoded = Vec::new();
    owned.encode(&mut encoded);
    Ok(encoded)
}

fn check_user(properties: &Essentials<'_>, user: Option<&str>) -> Result<(), PublishRefusal> {
    match (properties.user_id, user) {
        (Some(claimed), Some(user)) if claimed != user => refuse(format!(
            "user_id property set to '{}' but authenticated user was '{user}'",
            String::from_utf8_lossy(claimed.as_bytes())
        )),
        _ => Ok(()),
    }
}

/// 1 is transient, 2 persistent (RabbitMQ refuses others).
#[inline]
fn check_delivery_mode(properties: &Essentials<'_>) -> Result<(), PublishRefusal> {
    match properties.delivery_mode {
        None | Some(1 | 2) => Ok(()),
        Some(mode) => refuse(format!("invalid message: {{delivery_mode_unknown,{mode}}}")),
    }
}

fn refuse<T>(text: String) -> Result<T, PublishRefusal> {
    Err(PublishRefusal::Refused(Refusal::new(RefusalKind::PreconditionFailed, text)))
}

/// The expiration property: a decimal string of milliseconds (RabbitMQ: TTL, "Per-Message TTL").
fn expiration(properties: &Essentials<'_>) -> Result<Option<u64>, PublishRefusal> {
    let Some(property) = properties.expiration else { return Ok(None) };
    let Some(text) = property.as_str() else {
        let text = String::from_utf8_lossy(property.as_bytes());
        return refuse(format!("invalid expiration '{text}': no_integer"));
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let reason = if end == 0 {
        "no_integer".to_owned()
    } else if end < digits.len() {
        format!("{{leftover_string,\"{}\"}}", &digits[end..])
    } else if text.starts_with('-') && digits.bytes().any(|digit| digit != b'0') {
        format!("{{value_negative,-{}}}", digits.trim_start_matches('0'))
    } else {
        match digits.parse::<u64>() {
            Ok(millis) if millis <= TIMER_MAX_MS as u64 => return Ok(Some(millis)),
            _ => format!("{{value_too_large,{}}}", digits.trim_start_matches('0')),
        }
    };
    refuse(format!("invalid expiration '{text}': {reason}"))
}

/// The routing keys in the header `name` (RabbitMQ: Sender-selected Distribution).
fn collect_keys(
    headers: &HeaderTable<'_>,
    name: &str,
    keys: &mut Vec<Name>,
) -> Result<(), PublishRefusal> {
    let Some(value) = headers.get(name) else { return Ok(()) };
    let Value::Array(items) = value else {
        let kind = value.type_name();
        return refuse(format!(
            "invalid message: {{unacceptable_type_in_header,\"{name}\",{kind}}}"
        ));
    };
    for item in items.iter() {
        // As in RabbitMQ, what is no string is no key.
        if let Value::LongStr(bytes) = item {
            keys.push(String::from_utf8_lossy(bytes).into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(properties: &[u8]) -> Result<Message, PublishRefusal> {
        MessageBuilder::new("x", "key", properties, 0, Some("guest"), Some("token"))
            .map(|builder| builder.finish().0)
    }

    fn refusal(properties: &[u8]) -> String {
        match build(properties) {
            Err(PublishRefusal::Refused(refusal)) => refusal.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_survives_its_stored_form() {
        let properties = b"\x11\x00\x02\x0260";
        let builder = MessageBuilder::new("x", "key", properties, 4, Some("guest"), None).unwrap();
        let mut builder = builder;
        builder.push(b"body").unwrap();
        let message = builder.finish().0;
        assert_eq!((message.persistent, message.expiration_ms), (true, Some(60)));
        let stored = [&message.encode_head()[..], message.block()].concat();
        assert_eq!(Message::decode(stored.clone().into()), Some(message));
        let head = Message::HEAD_LEN;
        for cut in 0..head + b"xkey".len() + properties.len() {
            assert_eq!(Message::decode(stored[..cut].to_vec().into()), None, "{cut}");
        }
    }

    #[test]
    fn a_binary_correlation_id_stays_as_it_is() {
        let untouched = b"\x04\x00\x02\xff\x00";
        assert_eq!(build(untouched).unwrap().properties(), untouched);
        let request = b"\x06\x00\x02\xff\x00\x15amq.rabbitmq.reply-to";
        let rewritten = b"\x06\x00\x02\xff\x00\x1bamq.rabbitmq.reply-to.token";
        assert_eq!(build(request).unwrap().properties(), rewritten);
    }

    #[test]
    fn what_must_be_looked_at_may_be_binary_too() {
        let expected = "user_id property set to '\u{fffd}' but authenticated user was 'guest'";
        assert_eq!(refusal(b"\x00\x10\x01\xff"), expected);
        assert_eq!(refusal(b"\x01\x00\x01\xff"), "invalid expiration '\u{fffd}': no_integer");
    }
}
