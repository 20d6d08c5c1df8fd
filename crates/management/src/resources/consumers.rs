//! `/consumers`: who takes messages out of queues.

use std::collections::HashMap;
use std::sync::Arc;

use leveret_broker::broker::table_to_json;
use leveret_broker::ids::QueueId;
use leveret_broker::queue::{Holder, QueueHandle};
use serde_json::{Value, json};

use super::channels;
use super::connections::visible;
use crate::answer::Outcome;
use crate::auth::Level::Management;
use crate::list;
use crate::node::{Connection, Consumer};
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] =
    &[route("GET", "consumers", Management, all), route("GET", "consumers/*", Management, all)];

/// What consumers have out, by queue, as far as it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Holders(HashMap<QueueId, Vec<Holder>>);

impl Holders {
    fn of(&mut self, queue: &QueueHandle, consumer: &Consumer) -> Option<Holder> {
        let all = self.0.entry(queue.spec.id).or_insert_with(|| queue.holders());
        let at = all.binary_search_by_key(&consumer.id, |holder| holder.consumer).ok()?;
        Some(all[at])
    }
}

/// A consumer of a queue; none for one of direct replies.
pub(crate) fn render(
    call: &Call<'_>,
    connection: &Connection,
    channel: u16,
    consumer: &Consumer,
    holders: &mut Holders,
) -> Option<Value> {
    let queue = consumer.queue.as_ref()?;
    let active =
        !queue.settings().single_active_consumer || queue.active_consumers().contains(&consumer.id);
    let holder = holders.of(queue, consumer);
    let timeout_ms = queue.settings().consumer_timeout_ms;
    let timeout_ms = timeout_ms.unwrap_or_else(|| call.app.node.consumer_timeout_ms());
    let mut value = json!({
        "consumer_tag": *consumer.tag, "queue": {
            "name": *queue.spec.name, "vhost": *queue.spec.vhost,
        },
        "ack_required": !consumer.no_ack, "exclusive": consumer.exclusive, "active": active,
        "activity_status": if active { "up" } else { "waiting" },
        "prefetch_count": consumer.prefetch, "arguments": table_to_json(&consumer.arguments),
        "consumer_timeout": timeout_ms,
        "channel_details": channels::details(call, connection, channel),
    });
    if let (Some(holder), Value::Object(fields)) = (holder, &mut value) {
        fields.insert("messages_unacknowledged".to_owned(), json!(holder.unacked));
        if let Some(at) = holder.oldest_at {
            let millis = call.now().0.saturating_sub(at.0);
            fields.insert("oldest_unacked_age_ms".to_owned(), json!(millis));
        }
    }
    Some(value)
}

fn all(call: &Call<'_>) -> Outcome {
    let vhosts = call.vhosts_of_path()?;
    let (mut found, mut holders) = (Vec::new(), Holders::default());
    let connections = visible(call);
    for connection in
        connections.iter().filter(|one| vhosts.iter().any(|vhost| vhost.name == one.vhost))
    {
        for channel in &connection.channels {
            let consumers = channel.consumers.iter();
            found.extend(
                consumers
                    .filter_map(|one| render(call, connection, channel.number, one, &mut holders)),
            );
        }
    }
    list::whole(call, found)
}

/// The consumers of a queue.
pub(crate) fn of_queue(call: &Call<'_>, queue: &Arc<QueueHandle>) -> Vec<(Consumer, Value)> {
    let (mut found, mut holders) = (Vec::new(), Holders::default());
    for connection in call.app.node.connections() {
        for channel in &connection.channels {
            for consumer in &channel.consumers {
                if consumer.queue.as_ref().is_some_and(|one| Arc::ptr_eq(one, queue)) {
                    let number = channel.number;
                    let value = render(call, &connection, number, consumer, &mut holders);
                    found.extend(value.map(|value| (consumer.clone(), value)));
                }
            }
        }
    }
    found
}
