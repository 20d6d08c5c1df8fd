//! Every method of AMQP 0-9-1 and of RabbitMQ's extensions, declared once in the table below.
//!
//! The table gives ids, name, reserved fields before, fields, reserved fields after; enum, decoder,
//! encoder and lookups derive from it. Field types are Rust's: `bool` is a bit, `&str` a short
//! string (UTF-8), `&[u8]` a long string. Reserved fields are skipped when decoding and written as
//! zero or empty. A payload must end with its last field: RabbitMQ's generated decoder matches the
//! whole binary, so bytes behind it are an error here as well.

use super::codec::{Fault, Field, Reader, Writer};
use super::constants::{FRAME_END, FRAME_METHOD};
pub use super::error::DecodeError;
use super::table::Table;

macro_rules! methods {
    ($lt:lifetime; $(
        $class:literal $id:literal $name:literal
        $variant:ident [$($before:ty)?] { $($field:ident: $kind:ty),* } [$($after:ty),*]
    )*) => {
        /// A method with its fields, borrowed from the payload; names as in the specification.
        #[derive(Debug, Clone, Copy, PartialEq)]
        #[allow(missing_docs, reason = "fields carry the specification's names and meaning")]
        pub enum Method<$lt> {
            $(#[doc = concat!("`", $name, "` (", $class, ".", $id, ").")]
            $variant { $($field: $kind),* },)*
        }

        impl<$lt> Method<$lt> {
            /// Class id of the method.
            pub const fn class_id(&self) -> u16 {
                match self { $(Method::$variant { .. } => $class,)* }
            }

            /// Method id within its class.
            pub const fn method_id(&self) -> u16 {
                match self { $(Method::$variant { .. } => $id,)* }
            }

            /// The method's name, such as `basic.publish`.
            pub const fn name(&self) -> &'static str {
                match self { $(Method::$variant { .. } => $name,)* }
            }

            fn read(ids: (u16, u16), reader: &mut Reader<$lt>) -> Result<Option<Self>, Fault> {
                Ok(Some(match ids {
                    $(($class, $id) => {
                        $(<$before as Field<$lt>>::get(reader)?;)?
                        $(let $field = <$kind as Field<$lt>>::get(reader)?;)*
                        $(<$after as Field<$lt>>::get(reader)?;)*
                        Method::$variant { $($field),* }
                    })*
                    _ => return Ok(None),
                }))
            }

            fn write(&self, writer: &mut Writer<'_>) {
                match self {
                    $(Method::$variant { $($field),* } => {
                        $(<$before>::default().put(writer);)?
                        $($field.put(writer);)*
                        $(<$after>::default().put(writer);)*
                    })*
                }
            }
        }

        /// The name of the method with these ids, if there is one.
        pub const fn method_name(class_id: u16, method_id: u16) -> Option<&'static str> {
            match (class_id, method_id) { $(($class, $id) => Some($name),)* _ => None }
        }

        /// Every method's `(class id, method id, name)`, in the table's order.
        pub const ALL_METHODS: &[(u16, u16, &str)] = &[$(($class, $id, $name),)*];
    };
}

methods! { 'a;
    10 10 "connection.start" ConnectionStart [] { version_major: u8, version_minor: u8,
        server_properties: Table<'a>, mechanisms: &'a [u8], locales: &'a [u8] } []
    10 11 "connection.start-ok" ConnectionStartOk [] { client_properties: Table<'a>,
        mechanism: &'a str, response: &'a [u8], locale: &'a str } []
    10 20 "connection.secure" ConnectionSecure [] { challenge: &'a [u8] } []
    10 21 "connection.secure-ok" ConnectionSecureOk [] { response: &'a [u8] } []
    10 30 "connection.tune" ConnectionTune [] {
        channel_max: u16, frame_max: u32, heartbeat: u16 } []
    10 31 "connection.tune-ok" ConnectionTuneOk [] {
        channel_max: u16, frame_max: u32, heartbeat: u16 } []
    10 40 "connection.open" ConnectionOpen [] { virtual_host: &'a str } [&'a str, bool]
    10 41 "connection.open-ok" ConnectionOpenOk [&'a str] {} []
    10 50 "connection.close" ConnectionClose [] {
        reply_code: u16, reply_text: &'a str, class_id: u16, method_id: u16 } []
    10 51 "connection.close-ok" ConnectionCloseOk [] {} []
    10 60 "connection.blocked" ConnectionBlocked [] { reason: &'a str } []
    10 61 "connection.unblocked" ConnectionUnblocked [] {} []
    10 70 "connection.update-secret" ConnectionUpdateSecret [] {
        new_secret: &'a [u8], reason: &'a str } []
    10 71 "connection.update-secret-ok" ConnectionUpdateSecretOk [] {} []

    20 10 "channel.open" ChannelOpen [&'a str] {} []
    20 11 "channel.open-ok" ChannelOpenOk [&'a [u8]] {} []
    20 20 "channel.flow" ChannelFlow [] { active: bool } []
    20 21 "channel.flow-ok" ChannelFlowOk [] { active: bool } []
    20 40 "channel.close" ChannelClose [] {
        reply_code: u16, reply_text: &'a str, class_id: u16, method_id: u16 } []
    20 41 "channel.close-ok" ChannelCloseOk [] {} []

    30 10 "access.request" AccessRequest [] { realm: &'a str,
        exclusive: bool, passive: bool, active: bool, write: bool, read: bool } []
    30 11 "access.request-ok" AccessRequestOk [] { ticket: u16 } []

    40 10 "exchange.declare" ExchangeDeclare [u16] { exchange: &'a str, r#type: &'a str,
        passive: bool, durable: bool, auto_delete: bool, internal: bool, no_wait: bool,
        arguments: Table<'a> } []
    40 11 "exchange.declare-ok" ExchangeDeclareOk [] {} []
    40 20 "exchange.delete" ExchangeDelete [u16] {
        exchange: &'a str, if_unused: bool, no_wait: bool } []
    40 21 "exchange.delete-ok" ExchangeDeleteOk [] {} []
    40 30 "exchange.bind" ExchangeBind [u16] { destination: &'a str, source: &'a str,
        routing_key: &'a str, no_wait: bool, arguments: Table<'a> } []
    40 31 "exchange.bind-ok" ExchangeBindOk [] {} []
    40 40 "exchange.unbind" ExchangeUnbind [u16] { destination: &'a str, source: &'a str,
        routing_key: &'a str, no_wait: bool, arguments: Table<'a> } []
    40 51 "exchange.unbind-ok" ExchangeUnbindOk [] {} []

    50 10 "queue.declare" QueueDeclare [u16] { queue: &'a str, passive: bool, durable: bool,
        exclusive: bool, auto_delete: bool, no_wait: bool, arguments: Table<'a> } []
    50 11 "queue.declare-ok" QueueDeclareOk [] {
        queue: &'a str, message_count: u32, consumer_count: u32 } []
    50 20 "queue.bind" QueueBind [u16] { queue: &'a str, exchange: &'a str,
        routing_key: &'a str, no_wait: bool, arguments: Table<'a> } []
    50 21 "queue.bind-ok" QueueBindOk [] {} []
    50 30 "queue.purge" QueuePurge [u16] { queue: &'a str, no_wait: bool } []
    50 31 "queue.purge-ok" QueuePurgeOk [] { message_count: u32 } []
    50 40 "queue.delete" QueueDelete [u16] { queue: &'a str,
        if_unused: bool, if_empty: bool, no_wait: bool } []
    50 41 "queue.delete-ok" QueueDeleteOk [] { message_count: u32 } []
    50 50 "queue.unbind" QueueUnbind [u16] { queue: &'a str, exchange: &'a str,
        routing_key: &'a str, arguments: Table<'a> } []
    50 51 "queue.unbind-ok" QueueUnbindOk [] {} []

    60 10 "basic.qos" BasicQos [] { prefetch_size: u32, prefetch_count: u16, global: bool } []
    60 11 "basic.qos-ok" BasicQosOk [] {} []
    60 20 "basic.consume" BasicConsume [u16] { queue: &'a str, consumer_tag: &'a str,
        no_local: bool, no_ack: bool, exclusive: bool, no_wait: bool, arguments: Table<'a> } []
    60 21 "basic.consume-ok" BasicConsumeOk [] { consumer_tag: &'a str } []
    60 30 "basic.cancel" BasicCancel [] { consumer_tag: &'a str, no_wait: bool } []
    60 31 "basic.cancel-ok" BasicCancelOk [] { consumer_tag: &'a str } []
    60 40 "basic.publish" BasicPublish [u16] { exchange: &'a str, routing_key: &'a str,
        mandatory: bool, immediate: bool } []
    60 50 "basic.return" BasicReturn [] { reply_code: u16, reply_text: &'a str,
        exchange: &'a str, routing_key: &'a str } []
    60 60 "basic.deliver" BasicDeliver [] { consumer_tag: &'a str, delivery_tag: u64,
        redelivered: bool, exchange: &'a str, routing_key: &'a str } []
    60 70 "basic.get" BasicGet [u16] { queue: &'a str, no_ack: bool } []
    60 71 "basic.get-ok" BasicGetOk [] { delivery_tag: u64, redelivered: bool,
        exchange: &'a str, routing_key: &'a str, message_count: u32 } []
    60 72 "basic.get-empty" BasicGetEmpty [&'a str] {} []
    60 80 "basic.ack" BasicAck [] { delivery_tag: u64, multiple: bool } []
    60 90 "basic.reject" BasicReject [] { delivery_tag: u64, requeue: bool } []
    60 100 "basic.recover-async" BasicRecoverAsync [] { requeue: bool } []
    60 110 "basic.recover" BasicRecover [] { requeue: bool } []
    60 111 "basic.recover-ok" BasicRecoverOk [] {} []
    60 120 "basic.nack" BasicNack [] { delivery_tag: u64, multiple: bool, requeue: bool } []

    85 10 "confirm.select" ConfirmSelect [] { no_wait: bool } []
    85 11 "confirm.select-ok" ConfirmSelectOk [] {} []

    90 10 "tx.select" TxSelect [] {} []
    90 11 "tx.select-ok" TxSelectOk [] {} []
    90 20 "tx.commit" TxCommit [] {} []
    90 21 "tx.commit-ok" TxCommitOk [] {} []
    90 30 "tx.rollback" TxRollback [] {} []
    90 31 "tx.rollback-ok" TxRollbackOk [] {} []
}

impl<'a> Method<'a> {
    /// Decodes the payload of a method frame; the whole of it must be used up.
    pub fn decode(payload: &'a [u8]) -> Result<Method<'a>, DecodeError> {
        let mut reader = Reader::new(payload);
        let class_id = u16::get(&mut reader).map_err(|_| DecodeError::TooShort)?;
        let method_id = u16::get(&mut reader).map_err(|_| DecodeError::TooShort)?;
        let method = Method::read((class_id, method_id), &mut reader)
            .map_err(|fault| fault.at(class_id, method_id))?
            .ok_or(DecodeError::UnknownMethod { class_id, method_id })?;
        if reader.is_empty() {
            Ok(method)
        } else {
            Err(DecodeError::Malformed { class_id, method_id })
        }
    }

    /// Appends the payload of a method frame: ids and fields. Short strings of more than 255
    /// bytes are cut at a character.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        self.class_id().put(&mut writer);
        self.method_id().put(&mut writer);
        self.write(&mut writer);
    }

    /// Appends a whole method frame.
    pub fn encode_frame(&self, channel: u16, out: &mut Vec<u8>) {
        out.push(FRAME_METHOD);
        out.extend_from_slice(&channel.to_be_bytes());
        super::codec::with_length(out, |out| self.encode(out));
        out.push(FRAME_END);
    }

    /// Whether a content header and body follow the method.
    pub const fn has_content(&self) -> bool {
        matches!(
            self,
            Method::BasicPublish { .. }
                | Method::BasicReturn { .. }
                | Method::BasicDeliver { .. }
                | Method::BasicGetOk { .. }
        )
    }
}
