//! Looking through a queue without disturbing it.

use std::sync::Arc;

use leveret_broker::broker::{BrowseRequest, Browsed, Browsing};
use leveret_broker::ids::{ConsumerId, Seq, Timestamp};
use leveret_broker::message::{Comparison, Condition, Field, Filter};
use leveret_broker::queue::{Cursor, Out, QueueHandle};
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::node::{Connection, Consumer};
use crate::request::Call;
use crate::resources::messages::{head_to_json, payload_to_json};
use crate::resources::{channels, missing_or};

/// The most messages, and bytes of them, in one answer.
const COUNT_MAX: u64 = 500;
const BYTES_MAX: usize = 16 << 20;
/// How much of a body is shown unless more is asked for.
const TRUNCATE: u64 = 64 << 10;
/// The most conditions of a filter.
const CONDITIONS_MAX: usize = 16;

/// A place in a queue as a text.
pub(super) fn show_cursor(at: Cursor) -> String {
    format!("{}-{}", at.level, at.seq.0)
}

/// The place that a text names.
pub(super) fn read_cursor(text: &str) -> Result<Cursor, Answer> {
    let parts = text.split_once('-').and_then(|(level, seq)| {
        Some(Cursor { level: level.parse().ok()?, seq: Seq(seq.parse().ok()?) })
    });
    parts.ok_or_else(|| Answer::bad(format!("{text:?} is no cursor")))
}

fn field(name: &str) -> Result<Field, Answer> {
    match name {
        "exchange" => Ok(Field::Exchange),
        "routing_key" => Ok(Field::RoutingKey),
        "death.reason" => Ok(Field::DeathReason),
        "death.queue" => Ok(Field::DeathQueue),
        other => {
            if let Some(name) = other.strip_prefix("properties.") {
                return Ok(Field::Property(name.replace('_', "-")));
            }
            let header = other.strip_prefix("headers.");
            let header = header.ok_or_else(|| Answer::bad(format!("{other:?} is no field")))?;
            Ok(Field::Header(header.to_owned()))
        }
    }
}

fn condition(text: &str) -> Result<Condition, Answer> {
    let at = text.find(['=', '~']);
    let (name, comparison) = match at {
        None => (text, Comparison::Exists),
        Some(at) if text[at..].starts_with('=') => {
            (&text[..at], Comparison::Reads(text[at + 1..].to_owned()))
        }
        Some(at) => (&text[..at], Comparison::Contains(text[at + 1..].to_owned())),
    };
    Ok(Condition { field: field(name)?, comparison })
}

/// A filter of conditions that all must hold.
pub(super) fn filter<'a>(conditions: impl Iterator<Item = &'a str>) -> Result<Filter, Answer> {
    let conditions: Vec<Condition> = conditions.map(condition).collect::<Result<_, _>>()?;
    if conditions.len() > CONDITIONS_MAX {
        return Err(Answer::bad(format!("there may be at most {CONDITIONS_MAX} conditions")));
    }
    Ok(Filter(conditions))
}

/// The queue that the path names, if the caller may read it.
pub(super) fn queue(call: &Call<'_>) -> Result<Arc<QueueHandle>, Answer> {
    let vhost = call.vhost_to_use(call.name(0))?;
    vhost.queue(call.name(1)).map_err(missing_or)?;
    let who = call.principal(&vhost.name);
    Ok(call.app.broker().readable_queue(&who, call.name(1))?)
}

/// What a query says of how much is to be shown.
pub(super) struct Look {
    from: Option<Cursor>,
    count: usize,
    as_text: bool,
    truncate: usize,
    filter: Filter,
}

impl Look {
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Answer> {
        let query = &call.query;
        let as_text = match query.get("encoding").unwrap_or("auto") {
            "auto" => true,
            "base64" => false,
            other => return Err(Answer::bad(format!("unknown encoding {other:?}"))),
        };
        Ok(Self {
            from: query.get("from").filter(|at| !at.is_empty()).map(read_cursor).transpose()?,
            count: query.number("count")?.unwrap_or(50).clamp(1, COUNT_MAX) as usize,
            as_text,
            truncate: query.number("truncate")?.unwrap_or(TRUNCATE) as usize,
            filter: filter(query.all("where"))?,
        })
    }

    pub(super) fn request(&self) -> BrowseRequest<'_> {
        BrowseRequest {
            from: self.from,
            max_messages: self.count,
            max_bytes: BYTES_MAX,
            filter: &self.filter,
        }
    }

    /// What was found, with the time of each under a name.
    pub(super) fn answer(&self, found: Browsing, time: &str) -> Outcome {
        let one = |one: Browsed| {
            let mut fields = head_to_json(&one.message);
            fields.insert("cursor".to_owned(), json!(show_cursor(one.at)));
            fields.insert("position".to_owned(), json!(one.at.seq.0));
            fields.insert("redelivered".to_owned(), json!(one.redelivered));
            let at = (one.expires_at < Timestamp::NEVER).then_some(one.expires_at.0);
            fields.insert(time.to_owned(), json!(at));
            payload_to_json(&mut fields, &one.message, self.as_text, self.truncate);
            Value::Object(fields)
        };
        let messages: Value = found.messages.into_iter().map(one).collect();
        let next = found.next.map(show_cursor);
        Ok(Answer::json(&json!({ "messages": messages, "next": next })))
    }
}

pub(super) fn messages(call: &Call<'_>) -> Outcome {
    let (queue, look) = (queue(call)?, Look::read(call)?);
    let found = call.app.broker().browse(&queue, &look.request(), call.now());
    look.answer(found, "expires_at")
}

/// Whose a delivery is.
fn holder(connections: &[Connection], id: ConsumerId) -> Option<(&Connection, u16, &Consumer)> {
    connections.iter().find_map(|connection| {
        connection.channels.iter().find_map(|channel| {
            let consumer = channel.consumers.iter().find(|one| one.id == id)?;
            Some((connection, channel.number, consumer))
        })
    })
}

pub(super) fn unacked(call: &Call<'_>) -> Outcome {
    let queue = queue(call)?;
    let from = Seq(call.query.number("from")?.unwrap_or(0));
    let count = call.query.number("count")?.unwrap_or(50).clamp(1, COUNT_MAX) as usize;
    let mut found = call.app.broker().browse_unacked(&queue, from, count + 1, call.now());
    let next = (found.len() > count).then(|| found[count].seq.0.to_string());
    found.truncate(count);
    let connections = call.app.node.connections();
    let one = |out: Out| {
        let holder = out.consumer.and_then(|id| holder(&connections, id));
        let details = |(connection, number, _): (&Connection, u16, &Consumer)| {
            channels::details(call, connection, number)
        };
        json!({
            "position": out.seq.0, "since": out.since.0, "channel_details": holder.map(details),
            "consumer_tag": holder.map(|(_, _, consumer)| consumer.tag.to_string()),
        })
    };
    let messages: Value = found.into_iter().map(one).collect();
    Ok(Answer::json(&json!({ "messages": messages, "next": next })))
}
