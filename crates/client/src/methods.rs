//! The methods that clients use, each as one call: declaring, publishing, consuming, settling.

use leveret_wire::amqp091::frame::{
    FRAME_END, FRAME_OVERHEAD, write_ack, write_body_frame_header, write_content_header,
    write_nack, write_publish,
};
use leveret_wire::amqp091::method::Method;
use leveret_wire::amqp091::properties::BasicProperties;
use leveret_wire::amqp091::table::{FieldTable, Table};

use super::connection::unexpected;
use super::received::Confirms;
use super::{Channel, Connection, Delivery, Error};

/// How a queue is declared.
#[derive(Debug, Clone, Default)]
pub struct QueueOptions {
    /// Only check that it exists.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Belongs to this connection and goes with it.
    pub exclusive: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// The `x-` arguments.
    pub arguments: FieldTable,
}

/// How an exchange is declared.
#[derive(Debug, Clone, Default)]
pub struct ExchangeOptions {
    /// Only check that it exists.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// The arguments.
    pub arguments: FieldTable,
}

/// How a consumer is made.
#[derive(Debug, Clone, Default)]
pub struct ConsumeOptions {
    /// Empty lets the server choose.
    pub consumer_tag: String,
    /// Deliveries need no acknowledgement.
    pub no_ack: bool,
    /// No other consumer is allowed.
    pub exclusive: bool,
    /// The `x-` arguments.
    pub arguments: FieldTable,
}

/// What a server says of a declared queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name, chosen by the server if none was given.
    pub queue: String,
    /// Messages ready.
    pub message_count: u32,
    /// Consumers.
    pub consumer_count: u32,
}

/// A message to publish.
#[derive(Debug, Clone, Default)]
pub struct Publish<'a> {
    /// Empty for the default exchange.
    pub exchange: &'a str,
    /// For the default exchange the queue's name.
    pub routing_key: &'a str,
    /// Ask for it back if no queue takes it.
    pub mandatory: bool,
    /// Properties.
    pub properties: BasicProperties,
    /// Body.
    pub body: &'a [u8],
}

impl Publish<'_> {
    /// Appends method, header and body frames; a body is cut to `frame_max` (0 is unlimited).
    pub fn encode(&self, channel: Channel, frame_max: u32, out: &mut Vec<u8>) {
        write_publish(out, channel.0, self.exchange, self.routing_key, self.mandatory);
        let mut properties = Vec::new();
        self.properties.encode(&mut properties);
        write_content_header(out, channel.0, self.body.len() as u64, &properties);
        let piece = match frame_max as usize {
            0 => u32::MAX as usize,
            max => max.saturating_sub(FRAME_OVERHEAD).max(1),
        };
        for chunk in self.body.chunks(piece) {
            write_body_frame_header(out, channel.0, chunk.len() as u32);
            out.extend_from_slice(chunk);
            out.push(FRAME_END);
        }
    }
}

impl Connection {
    /// Declares a queue; an empty name lets the server choose one.
    pub fn declare_queue(
        &mut self,
        channel: Channel,
        queue: &str,
        options: &QueueOptions,
    ) -> Result<Declared, Error> {
        let content = options.arguments.to_content();
        let &QueueOptions { passive, durable, exclusive, auto_delete, .. } = options;
        let arguments = Table::parse(&content).unwrap_or_default();
        let no_wait = false;
        let reply = self.call(
            channel,
            &Method::QueueDeclare {
                queue,
                passive,
                durable,
                exclusive,
                auto_delete,
                no_wait,
                arguments,
            },
        )?;
        match reply.method()? {
            Method::QueueDeclareOk { queue, message_count, consumer_count } => {
                Ok(Declared { queue: queue.to_owned(), message_count, consumer_count })
            }
            _ => unexpected("queue.declare-ok", &reply),
        }
    }

    /// Declares an exchange of a type such as `direct`.
    pub fn declare_exchange(
        &mut self,
        channel: Channel,
        exchange: &str,
        kind: &str,
        options: &ExchangeOptions,
    ) -> Result<(), Error> {
        let content = options.arguments.to_content();
        let &ExchangeOptions { passive, durable, auto_delete, .. } = options;
        let declare = Method::ExchangeDeclare {
            exchange,
            r#type: kind,
            passive,
            durable,
            auto_delete,
            internal: false,
            no_wait: false,
            arguments: Table::parse(&content).unwrap_or_default(),
        };
        self.call(channel, &declare).map(drop)
    }

    /// Binds a queue to an exchange.
    pub fn bind_queue(
        &mut self,
        channel: Channel,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Error> {
        let arguments = Table::EMPTY;
        let bind = Method::QueueBind { queue, exchange, routing_key, no_wait: false, arguments };
        self.call(channel, &bind).map(drop)
    }

    /// Deletes a queue; returns how many messages went with it.
    pub fn delete_queue(&mut self, channel: Channel, queue: &str) -> Result<u32, Error> {
        let (if_unused, if_empty, no_wait) = (false, false, false);
        let delete = Method::QueueDelete { queue, if_unused, if_empty, no_wait };
        let reply = self.call(channel, &delete)?;
        match reply.method()? {
            Method::QueueDeleteOk { message_count } => Ok(message_count),
            _ => unexpected("queue.delete-ok", &reply),
        }
    }

    /// Deletes an exchange.
    pub fn delete_exchange(&mut self, channel: Channel, exchange: &str) -> Result<(), Error> {
        let delete = Method::ExchangeDelete { exchange, if_unused: false, no_wait: false };
        self.call(channel, &delete).map(drop)
    }

    /// Limits unacknowledged deliveries of each consumer made afterwards; 0 is no limit.
    pub fn qos(&mut self, channel: Channel, prefetch_count: u16) -> Result<(), Error> {
        let qos = Method::BasicQos { prefetch_size: 0, prefetch_count, global: false };
        self.call(channel, &qos).map(drop)
    }

    /// Starts a consumer; returns its tag.
    pub fn consume(
        &mut self,
        channel: Channel,
        queue: &str,
        options: &ConsumeOptions,
    ) -> Result<String, Error> {
        let content = options.arguments.to_content();
        let consume = Method::BasicConsume {
            queue,
            consumer_tag: &options.consumer_tag,
            no_local: false,
            no_ack: options.no_ack,
            exclusive: options.exclusive,
            no_wait: false,
            arguments: Table::parse(&content).unwrap_or_default(),
        };
        let reply = self.call(channel, &consume)?;
        match reply.method()? {
            Method::BasicConsumeOk { consumer_tag } => Ok(consumer_tag.to_owned()),
            _ => unexpected("basic.consume-ok", &reply),
        }
    }

    /// Ends a consumer.
    pub fn cancel(&mut self, channel: Channel, consumer_tag: &str) -> Result<(), Error> {
        self.call(channel, &Method::BasicCancel { consumer_tag, no_wait: false }).map(drop)
    }

    /// Fetches one message, if there is one.
    pub fn get(
        &mut self,
        channel: Channel,
        queue: &str,
        no_ack: bool,
    ) -> Result<Option<Delivery>, Error> {
        let reply = self.call(channel, &Method::BasicGet { queue, no_ack })?;
        match reply.method()? {
            Method::BasicGetOk { .. } | Method::BasicGetEmpty {} => Ok(reply.message),
            _ => unexpected("basic.get-ok", &reply),
        }
    }

    /// Puts a channel into confirm mode.
    pub fn confirm_select(&mut self, channel: Channel) -> Result<(), Error> {
        self.call(channel, &Method::ConfirmSelect { no_wait: false })?;
        self.received.confirms.entry(channel.0).or_default();
        Ok(())
    }

    /// Appends a message to the out-buffer, which is written when full. Returns the sequence
    /// number that its confirm will carry, or 0 outside confirm mode.
    pub fn publish(&mut self, channel: Channel, message: &Publish<'_>) -> Result<u64, Error> {
        message.encode(channel, self.frame_max, &mut self.out);
        let tag = self.received.confirms.get_mut(&channel.0).map_or(0, Confirms::publish);
        self.flush_if_full()?;
        Ok(tag)
    }

    /// Acknowledges a delivery, or all up to it; sent with the next flush.
    pub fn ack(&mut self, channel: Channel, tag: u64, multiple: bool) -> Result<(), Error> {
        write_ack(&mut self.out, channel.0, tag, multiple);
        self.flush_if_full()
    }

    /// Refuses a delivery, or all up to it; sent with the next flush.
    pub fn nack(
        &mut self,
        channel: Channel,
        tag: u64,
        multiple: bool,
        requeue: bool,
    ) -> Result<(), Error> {
        write_nack(&mut self.out, channel.0, tag, multiple, requeue);
        self.flush_if_full()
    }
}
