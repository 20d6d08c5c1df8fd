//! Messages that wait in the schedule of an exchange: routing those that are due, and showing and
//! cancelling the others.

use std::sync::{Arc, MutexGuard};

use super::departures::Copies;
use super::{Broker, BrowseRequest, Browsing};
use crate::definitions::{Command, ExchangeSpec};
use crate::error::{Refusal, Resource};
use crate::ids::{Name, QueueId, Seq, Timestamp};
use crate::log::Position;
use crate::message::{Comparison, Condition, Field, FieldValue, Filter, Message};
use crate::queue::{Counts, QueueHandle};
use crate::routing::{ExchangeKind, RoutingInput, route};

/// How much is read at once to find a message by its id.
const FIND_MESSAGES: usize = 256;
const FIND_BYTES: usize = 1 << 20;

/// Which scheduled message is meant.
#[derive(Debug, Clone, Copy)]
pub enum Scheduled<'a> {
    /// That at this place.
    Seq(Seq),
    /// Each with this message-id; the whole schedule is read through.
    MessageId(&'a str),
}

impl Broker {
    /// The command that declares an exchange.
    pub(super) fn declare_command(&self, vhost: Name, spec: ExchangeSpec) -> Command {
        match spec.kind {
            ExchangeKind::Delayed => Command::DeclareDelayed(vhost, spec, QueueId(self.new_id())),
            _ => Command::DeclareExchange(vhost, spec),
        }
    }

    /// Deletes the schedules of exchanges that are gone, with all that waits in them. Should a
    /// crash come before that, the next start does it: while the writer is held, nobody keeps the
    /// definitions without the command that removed the exchange.
    pub(super) fn drop_schedules(
        &self,
        _writer: &MutexGuard<'_, ()>,
        schedules: Vec<Arc<QueueHandle>>,
    ) -> Position {
        let mut position = Position::START;
        for schedule in schedules {
            // Nothing is left in it that a time could matter to.
            let now = Timestamp(0);
            let mut batch = schedule.lock(self.context(now));
            batch.delete();
            let entries = batch.take_entries();
            if !entries.is_empty() {
                position = position.max(self.log.append(&entries));
            }
            batch.note_deleted_at(position);
            self.finished(&schedule, batch.finish(), now);
        }
        position
    }

    /// A message that is due, for each queue that its exchange finds now.
    pub(super) fn due_messages(
        &self,
        schedule: &QueueHandle,
        message: &Message,
        now: Timestamp,
    ) -> Copies {
        let topology = self.topology();
        let (vhost, exchange) = (&schedule.spec.vhost, &schedule.spec.name);
        let Some(vhost) = topology.vhosts.get(vhost) else { return Vec::new() };
        let own = vhost.exchanges.get(exchange).and_then(|exchange| exchange.schedule());
        if own.is_none_or(|own| own.spec.id != schedule.spec.id) {
            return Vec::new();
        }
        let due = message.undelayed();
        let input = RoutingInput {
            routing_key: due.message.routing_key(),
            extra_keys: &due.extra_keys,
            message: Some(&due.message),
            now,
        };
        let routed = route(vhost, exchange, &input);
        self.count_memory(routed.history_bytes);
        routed.queues.into_iter().map(|target| (target, due.message.clone())).collect()
    }

    fn schedule(&self, vhost: &str, exchange: &str) -> Result<Arc<QueueHandle>, Refusal> {
        let topology = self.topology();
        let resource = Resource::Exchange(exchange, vhost);
        let Some(vhost) = topology.vhosts.get(vhost) else {
            return Err(Refusal::not_found(resource));
        };
        let schedule = vhost.exchange(exchange)?.schedule().cloned();
        schedule.ok_or_else(|| {
            Refusal::precondition(format!("{resource} is not of type x-delayed-message"))
        })
    }

    /// How many messages wait for their time (`ready`), and how many are due and wait for room
    /// (`leaving`). Refused if the exchange does not exist, or delays no messages.
    pub fn scheduled_counts(&self, vhost: &str, exchange: &str) -> Result<Counts, Refusal> {
        Ok(self.schedule(vhost, exchange)?.counts())
    }

    /// Shows messages that wait for their time, in the order in which they came;
    /// [`Browsed::expires_at`](super::Browsed::expires_at) is when each is due. Refused as
    /// [`Self::scheduled_counts`].
    pub fn scheduled(
        &self,
        vhost: &str,
        exchange: &str,
        request: &BrowseRequest<'_>,
        now: Timestamp,
    ) -> Result<Browsing, Refusal> {
        Ok(self.browse(&self.schedule(vhost, exchange)?, request, now))
    }

    /// Drops messages that wait for their time; how many there were, and when that is durable.
    /// What is due already is passed over. Refused as [`Self::scheduled_counts`].
    pub fn cancel_scheduled(
        &self,
        vhost: &str,
        exchange: &str,
        which: Scheduled<'_>,
        now: Timestamp,
    ) -> Result<(usize, Position), Refusal> {
        let schedule = self.schedule(vhost, exchange)?;
        let id = match which {
            Scheduled::Seq(seq) => return Ok(self.delete_messages(&schedule, &[seq], now)),
            Scheduled::MessageId(id) => id,
        };
        let filter = Filter(vec![Condition {
            field: Field::Property("message-id".to_owned()),
            comparison: Comparison::Equals(FieldValue::LongStr(id.as_bytes().to_vec())),
        }]);
        let mut request = BrowseRequest {
            from: None,
            max_messages: FIND_MESSAGES,
            max_bytes: FIND_BYTES,
            filter: &filter,
        };
        let (mut cancelled, mut position) = (0, Position::START);
        loop {
            let found = self.browse(&schedule, &request, now);
            let seqs: Vec<Seq> = found.messages.iter().map(|one| one.at.seq).collect();
            let (deleted, at) = self.delete_messages(&schedule, &seqs, now);
            (cancelled, position) = (cancelled + deleted, position.max(at));
            if found.next.is_none() {
                return Ok((cancelled, position));
            }
            request.from = found.next;
        }
    }
}
