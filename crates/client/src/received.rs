//! What has come from the server and who is to have it: replies for a caller, deliveries,
//! confirms and returns for [`super::Connection::next`], faults for whoever asks first.

use std::collections::{BTreeSet, HashMap, VecDeque};

use leveret_wire::amqp091::frame::{ContentHeader, Event};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::{BasicProperties, Properties};

use super::{Closed, Error};

/// A message that was delivered or fetched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delivery {
    /// Channel number.
    pub channel: u16,
    /// Empty for a fetched message.
    pub consumer_tag: String,
    /// To be acknowledged on the channel.
    pub delivery_tag: u64,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// Exchange it was published to.
    pub exchange: String,
    /// Routing key it was published with.
    pub routing_key: String,
    /// Properties.
    pub properties: BasicProperties,
    /// Body.
    pub body: Vec<u8>,
}

/// A message that could not be routed.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    /// Why, such as 312.
    pub reply_code: u16,
    /// Why, in words.
    pub reply_text: String,
    /// The message; its tags are empty.
    pub message: Delivery,
}

/// What a server sends unasked.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A delivery to a consumer.
    Delivery(Delivery),
    /// A mandatory message that had no queue.
    Returned(Returned),
    /// Messages were confirmed.
    Ack {
        /// Channel number.
        channel: u16,
        /// Sequence number of the publish.
        delivery_tag: u64,
        /// Whether all before it are meant as well.
        multiple: bool,
    },
    /// Messages were refused.
    Nack {
        /// Channel number.
        channel: u16,
        /// Sequence number of the publish.
        delivery_tag: u64,
        /// Whether all before it are meant as well.
        multiple: bool,
    },
    /// The server cancelled a consumer.
    Cancelled {
        /// Channel number.
        channel: u16,
        /// Whose consumer.
        consumer_tag: String,
    },
    /// The server wants no publishes for now.
    Blocked(String),
    /// Publishes are welcome again.
    Unblocked,
}

/// A method that came in reply to a call.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) channel: u16,
    payload: Vec<u8>,
    /// The message of a `basic.get-ok`.
    pub message: Option<Delivery>,
}

impl Reply {
    /// The method.
    pub fn method(&self) -> Result<Method<'_>, Error> {
        Ok(Method::decode(&self.payload)?)
    }
}

/// Who gets the content that is being received.
#[derive(Debug)]
enum Purpose {
    Delivery,
    Get(Vec<u8>),
    Return { reply_code: u16, reply_text: String },
}

#[derive(Debug)]
struct Content {
    purpose: Purpose,
    message: Delivery,
    missing: Option<u64>,
}

/// Confirms of a channel.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    pub(crate) published: u64,
    pub(crate) unsettled: BTreeSet<u64>,
    pub(crate) refused: u64,
}

impl Confirms {
    pub(crate) fn publish(&mut self) -> u64 {
        self.published += 1;
        self.unsettled.insert(self.published);
        self.published
    }

    fn settle(&mut self, tag: u64, multiple: bool, refused: bool) {
        let before = self.unsettled.len();
        if multiple && tag == 0 {
            self.unsettled.clear();
        } else if multiple {
            self.unsettled = self.unsettled.split_off(&tag.saturating_add(1));
        } else {
            self.unsettled.remove(&tag);
        }
        if refused {
            self.refused += (before - self.unsettled.len()) as u64;
        }
    }
}

/// Everything received and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) incoming: VecDeque<Incoming>,
    pub(crate) replies: VecDeque<Reply>,
    pub(crate) fault: Option<Error>,
    pub(crate) confirms: HashMap<u16, Confirms>,
    /// Methods to send back, such as close-ok.
    pub(crate) answers: Vec<u8>,
    contents: HashMap<u16, Content>,
}

impl Received {
    pub(crate) fn take(&mut self, event: Event<'_>) -> Result<(), Error> {
        match event {
            Event::Method { channel, payload } => {
                self.on_method(channel, Method::decode(payload)?, payload);
            }
            Event::Header { channel, payload } => self.on_header(channel, payload)?,
            Event::Body { channel, chunk, .. } => self.on_body(channel, chunk),
            Event::Heartbeat { .. } => {}
        }
        Ok(())
    }

    fn on_method(&mut self, channel: u16, method: Method<'_>, payload: &[u8]) {
        match method {
            Method::BasicDeliver { .. }
            | Method::BasicReturn { .. }
            | Method::BasicGetOk { .. } => {
                self.contents.insert(channel, content(channel, method, payload));
            }
            Method::BasicAck { delivery_tag, multiple } => {
                self.settle(channel, delivery_tag, multiple, false);
                self.incoming.push_back(Incoming::Ack { channel, delivery_tag, multiple });
            }
            Method::BasicNack { delivery_tag, multiple, .. } => {
                self.settle(channel, delivery_tag, multiple, true);
                self.incoming.push_back(Incoming::Nack { channel, delivery_tag, multiple });
            }
            Method::BasicCancel { consumer_tag, .. } => {
                let consumer_tag = consumer_tag.to_owned();
                self.incoming.push_back(Incoming::Cancelled { channel, consumer_tag });
            }
            Method::ConnectionBlocked { reason } => {
                self.incoming.push_back(Incoming::Blocked(reason.to_owned()));
            }
            Method::ConnectionUnblocked {} => self.incoming.push_back(Incoming::Unblocked),
            Method::ChannelClose { .. } | Method::ConnectionClose { .. } => {
                self.on_close(channel, method);
            }
            _ => {
                let payload = payload.to_vec();
                self.replies.push_back(Reply { channel, payload, message: None });
            }
        }
    }

    fn on_close(&mut self, channel: u16, method: Method<'_>) {
        let (Method::ChannelClose { reply_code, reply_text, class_id, method_id }
        | Method::ConnectionClose { reply_code, reply_text, class_id, method_id }) = method
        else {
            return;
        };
        let reply_text = reply_text.to_owned();
        let closed = Closed { reply_code, reply_text, class_id, method_id };
        self.contents.remove(&channel);
        self.confirms.remove(&channel);
        if matches!(method, Method::ChannelClose { .. }) {
            Method::ChannelCloseOk {}.encode_frame(channel, &mut self.answers);
            self.fault.get_or_insert(Error::ChannelClosed { channel, closed });
        } else {
            Method::ConnectionCloseOk {}.encode_frame(0, &mut self.answers);
            self.fault = Some(Error::ConnectionClosed(closed));
        }
    }

    fn settle(&mut self, channel: u16, tag: u64, multiple: bool, refused: bool) {
        if let Some(confirms) = self.confirms.get_mut(&channel) {
            confirms.settle(tag, multiple, refused);
        }
    }

    fn on_header(&mut self, channel: u16, payload: &[u8]) -> Result<(), Error> {
        let header = ContentHeader::decode(payload)?;
        if let Some(content) = self.contents.get_mut(&channel) {
            content.message.properties = (&Properties::parse(header.properties)?).into();
            content.missing = Some(header.body_size);
        }
        self.finish(channel);
        Ok(())
    }

    fn on_body(&mut self, channel: u16, chunk: &[u8]) {
        if let Some(content) = self.contents.get_mut(&channel) {
            content.message.body.extend_from_slice(chunk);
            let missing = content.missing.unwrap_or(0);
            content.missing = Some(missing.saturating_sub(chunk.len() as u64));
        }
        self.finish(channel);
    }

    /// Hands a message over if its body is complete.
    fn finish(&mut self, channel: u16) {
        if self.contents.get(&channel).is_none_or(|content| content.missing != Some(0)) {
            return;
        }
        let Some(Content { purpose, message, .. }) = self.contents.remove(&channel) else { return };
        match purpose {
            Purpose::Delivery => self.incoming.push_back(Incoming::Delivery(message)),
            Purpose::Get(payload) => {
                self.replies.push_back(Reply { channel, payload, message: Some(message) });
            }
            Purpose::Return { reply_code, reply_text } => {
                let returned = Returned { reply_code, reply_text, message };
                self.incoming.push_back(Incoming::Returned(returned));
            }
        }
    }
}

fn content(channel: u16, method: Method<'_>, payload: &[u8]) -> Content {
    let mut message = Delivery { channel, ..Delivery::default() };
    let mut name = |exchange: &str, routing_key: &str| {
        message.exchange = exchange.to_owned();
        message.routing_key = routing_key.to_owned();
    };
    let purpose = match method {
        Method::BasicDeliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key } => {
            name(exchange, routing_key);
            message.consumer_tag = consumer_tag.to_owned();
            (message.delivery_tag, message.redelivered) = (delivery_tag, redelivered);
            Purpose::Delivery
        }
        Method::BasicGetOk { delivery_tag, redelivered, exchange, routing_key, .. } => {
            name(exchange, routing_key);
            (message.delivery_tag, message.redelivered) = (delivery_tag, redelivered);
            Purpose::Get(payload.to_vec())
        }
        Method::BasicReturn { reply_code, reply_text, exchange, routing_key } => {
            name(exchange, routing_key);
            Purpose::Return { reply_code, reply_text: reply_text.to_owned() }
        }
        _ => Purpose::Delivery,
    };
    Content { purpose, message, missing: None }
}
