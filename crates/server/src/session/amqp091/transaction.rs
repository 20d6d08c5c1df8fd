//! The tx class: publishes and acknowledgements that wait for a commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_broker::broker::{Route, Transaction};
use leveret_broker::message::Message;
use leveret_broker::queue::{QueueHandle, Settlement};
use leveret_wire::amqp091::method::Method;

use super::channel::{Channel, Mode};
use super::failure::{Failure, Outcome};
use super::link::Link;
use super::unacked::Unacked;

#[derive(Debug)]
struct Publish {
    message: Message,
    route: Arc<Route>,
    mandatory: bool,
}

/// What a channel has done since its last commit.
#[derive(Debug, Default)]
pub(super) struct OpenTransaction {
    publishes: Vec<Publish>,
    settlements: Vec<(Unacked, Settlement)>,
    /// Of the publishes; counted in the broker's memory.
    pub(super) bytes: usize,
}

impl OpenTransaction {
    pub(super) fn publish(
        &mut self,
        message: Message,
        route: Arc<Route>,
        mandatory: bool,
        max_bytes: usize,
    ) -> Outcome {
        if self.bytes + message.size() > max_bytes {
            let text = format!("transaction is larger than {max_bytes} bytes");
            return Err(Failure::precondition(text));
        }
        self.bytes += message.size();
        self.publishes.push(Publish { message, route, mandatory });
        Ok(())
    }

    pub(super) fn settle(&mut self, unacked: Unacked, how: Settlement) {
        self.settlements.push((unacked, how));
    }

    /// Deliveries whose settlement is not committed.
    pub(super) fn take_unsettled(&mut self) -> Vec<Unacked> {
        std::mem::take(&mut self.settlements).into_iter().map(|(unacked, _)| unacked).collect()
    }
}

fn not_transactional() -> Failure {
    Failure::precondition("channel is not transactional")
}

impl Channel {
    pub(super) fn on_tx_select(&mut self, link: &mut Link) -> Outcome {
        match self.mode {
            Mode::Confirm(_) => {
                let text = "cannot switch from confirm to tx mode";
                return Err(Failure::precondition(text));
            }
            Mode::Plain => {
                self.mode = Mode::Tx(OpenTransaction::default());
                self.stats.transactional.store(true, Ordering::Relaxed);
            }
            Mode::Tx(_) => {}
        }
        link.send(self.number, &Method::TxSelectOk {});
        Ok(())
    }

    pub(super) fn on_tx_commit(&mut self, link: &mut Link) -> Outcome {
        let Mode::Tx(open) = &mut self.mode else { return Err(not_transactional()) };
        let open = std::mem::take(open);
        let mut transaction = Transaction::default();
        for publish in open.publishes {
            let route = self.still_there(link, &publish.route);
            if route.queues.is_empty() && publish.mandatory {
                self.return_message(link, &publish.message);
            }
            self.stats.publish.add(1);
            if let Some(traffic) = &route.traffic {
                link.stats.routed.add(route.queues.len() as u64);
                traffic.count(1, route.queues.len() as u64);
            }
            transaction.publish(&publish.message, &route);
        }
        for (unacked, how) in &open.settlements {
            transaction.settle(&unacked.queue, unacked.seq, *how);
            if let Some(traces) = &mut link.traces {
                traces.settled(&unacked.queue, &[unacked.seq], *how);
            }
        }
        let (position, accepted) = link.broker().commit(transaction, link.now);
        link.note_change(position);
        link.broker().count_memory(-(open.bytes as i64));
        link.shared.check_memory(link.now);
        let counted = open.settlements.iter().filter(|(unacked, _)| unacked.by_consumer).count();
        if counted > 0 && self.limit.release(counted as u32) {
            link.resume(Some(self.number));
        }
        if !accepted {
            // As RabbitMQ: the rest is committed, the client is told.
            return Err(Failure::precondition("partial tx completion"));
        }
        self.answer_durable(link, position, false, &Method::TxCommitOk {});
        Ok(())
    }

    /// The queues of a route that still exist, or exist again under the same name.
    fn still_there(&self, link: &Link, route: &Route) -> Route {
        let vhost = link.topology.vhosts.get(&link.who.vhost);
        let find = |queue: &Arc<QueueHandle>| vhost?.in_place_of(queue).cloned();
        let mut route = route.clone();
        route.queues = route.queues.iter().filter_map(find).collect();
        route.cacheable = false;
        route
    }

    pub(super) fn on_tx_rollback(&mut self, link: &mut Link) -> Outcome {
        let Mode::Tx(open) = &mut self.mode else { return Err(not_transactional()) };
        let mut open = std::mem::take(open);
        link.broker().count_memory(-(open.bytes as i64));
        let unsettled = open.take_unsettled();
        self.stats.settled.add((unsettled.len() as u64).wrapping_neg());
        self.unacked.put_back(unsettled);
        link.send(self.number, &Method::TxRollbackOk {});
        Ok(())
    }
}
