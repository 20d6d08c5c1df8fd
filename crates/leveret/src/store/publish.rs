//! Publishes salvaged messages to a running broker: each to the queue that it was in, by the
//! default exchange, persistent and confirmed. Nothing is declared.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, anyhow};
use leveret_client::wire::amqp091::properties::{BasicProperties, Properties};
use leveret_client::{Channel, Connection, Error, Incoming, Options, Publish, Uri};
use leveret_server::durable_tools::ReadMessage;

/// How many messages may be on their way.
const WINDOW_MESSAGES: u64 = 500;
/// How many bytes of bodies may be on their way.
const WINDOW_BYTES: usize = 8 << 20;

/// A broker that takes messages.
pub(super) struct Publisher {
    connection: Connection,
    channel: Channel,
    uri: Uri,
    pending: u64,
    pending_bytes: usize,
    /// What has become of them.
    pub(super) counts: Counts,
}

/// What became of messages.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Confirmed, and in a queue.
    pub(super) published: u64,
    /// Returned: there is no such queue.
    pub(super) returned: u64,
    /// The broker said no.
    pub(super) refused: u64,
    /// Of another vhost than the URI's.
    pub(super) elsewhere: u64,
    /// The name of their queue is not known.
    pub(super) nameless: u64,
    /// The queues that do not exist.
    pub(super) missing: BTreeSet<String>,
}

impl Publisher {
    /// Connects.
    pub(super) fn connect(uri: &str) -> anyhow::Result<Self> {
        let uri: Uri = uri.parse()?;
        let name = "leveret store salvage".to_owned();
        let options = Options { name, ..Options::default() };
        let mut connection = Connection::connect_with(&uri, &options)
            .with_context(|| format!("connecting to {}:{}", uri.host, uri.port))?;
        let channel = connection.open_channel()?;
        connection.confirm_select(channel)?;
        let counts = Counts::default();
        Ok(Self { connection, channel, uri, pending: 0, pending_bytes: 0, counts })
    }

    /// Publishes a message to the queue that it was in.
    pub(super) fn publish(&mut self, message: &ReadMessage) -> anyhow::Result<()> {
        let Some((vhost, queue)) = &message.queue else {
            self.counts.nameless += 1;
            return Ok(());
        };
        if *vhost != self.uri.vhost {
            self.counts.elsewhere += 1;
            return Ok(());
        }
        let publish = Publish {
            exchange: "",
            routing_key: queue,
            mandatory: true,
            properties: properties(&message.properties, &self.uri.user),
            body: &message.body,
        };
        self.connection.publish(self.channel, &publish)?;
        self.pending += 1;
        self.pending_bytes += message.body.len();
        if self.pending >= WINDOW_MESSAGES || self.pending_bytes >= WINDOW_BYTES {
            self.settle()?;
        }
        Ok(())
    }

    /// Waits until everything is confirmed.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        let refused = match self.connection.wait_for_confirms(self.channel) {
            Ok(()) => 0,
            Err(Error::NotConfirmed(refused)) => refused,
            Err(error) => return Err(anyhow!(error).context("publishing")),
        };
        let mut returned = 0;
        while let Some(incoming) = self.connection.next(Duration::ZERO)? {
            if let Incoming::Returned(message) = incoming {
                returned += 1;
                self.counts.missing.insert(message.message.routing_key);
            }
        }
        self.counts.returned += returned;
        self.counts.refused += refused;
        self.counts.published += self.pending.saturating_sub(returned + refused);
        (self.pending, self.pending_bytes) = (0, 0);
        Ok(())
    }

    /// Ends the connection.
    pub(super) fn close(self) -> anyhow::Result<Counts> {
        self.connection.close()?;
        Ok(self.counts)
    }
}

/// The properties as they were, but persistent, and without what would make a broker refuse the
/// message or route it elsewhere as well.
fn properties(raw: &[u8], user: &str) -> BasicProperties {
    let parsed = Properties::parse(raw).map(|parsed| BasicProperties::from(&parsed));
    let mut properties = parsed.unwrap_or_default();
    properties.delivery_mode = Some(2);
    properties.user_id.take_if(|claimed| claimed.as_bytes() != user.as_bytes());
    if let Some(headers) = &mut properties.headers {
        headers.0.retain(|(key, _)| key != "CC" && key != "BCC");
    }
    properties
}

#[cfg(test)]
mod tests {
    use leveret_client::wire::amqp091::table::FieldTable;

    use super::*;

    #[test]
    fn only_what_would_do_harm_is_taken_from_the_properties() {
        let mut headers = FieldTable::new();
        headers.insert("CC", "elsewhere");
        headers.insert("kept", "yes");
        let original = BasicProperties {
            headers: Some(headers),
            user_id: Some("someone".into()),
            message_id: Some("id".into()),
            delivery_mode: Some(1),
            ..BasicProperties::default()
        };
        let mut raw = Vec::new();
        original.encode(&mut raw);
        let properties = properties(&raw, "guest");
        let headers = properties.headers.unwrap();
        assert_eq!((headers.len(), headers.get("kept").is_some()), (1, true));
        assert_eq!((properties.user_id, properties.delivery_mode), (None, Some(2)));
        assert_eq!(properties.message_id, original.message_id);
    }
}
