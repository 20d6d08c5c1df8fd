//! Dead-lettering: what left a queue by rejection, expiry or a limit is published again to the
//! queue's dead-letter exchange (RabbitMQ: Dead Letter Exchanges).

use std::collections::VecDeque;
use std::sync::Arc;

use super::Broker;
use crate::ids::Timestamp;
use crate::log::Position;
use crate::message::{Burial, Message};
use crate::queue::{Death, DeathReason, QueueHandle};
use crate::routing::{RoutingInput, route};

/// How many further deaths may follow from one at once, on average, and how many from few. Queues
/// whose dead letters die at once can multiply them without end; what is beyond is dropped
/// (dead-lettering is at most once).
const FOLLOWING_EACH_MAX: usize = 16;
const FOLLOWING_MAX: usize = 2_048;

impl Broker {
    /// Publishes the deaths of `queue`, and those that follow from them.
    pub(super) fn dead_letter(
        &self,
        queue: &Arc<QueueHandle>,
        deaths: Vec<Death>,
        now: Timestamp,
    ) -> Position {
        let mut position = Position::START;
        let mut left = deaths.len() * FOLLOWING_EACH_MAX + FOLLOWING_MAX;
        let mut work = VecDeque::from([(Arc::clone(queue), deaths)]);
        while let Some((queue, deaths)) = work.pop_front() {
            for death in deaths {
                for (target, message) in self.targets(&queue, &death, now) {
                    let mut batch = target.lock(self.context(now));
                    batch.publish(message);
                    let mut finished = batch.finish();
                    position = position.max(finished.position);
                    let deaths = self.note(&target, &mut finished);
                    if !deaths.is_empty() && deaths.len() <= left {
                        left -= deaths.len();
                        work.push_back((target, deaths));
                    }
                }
            }
        }
        position
    }

    fn targets(
        &self,
        queue: &QueueHandle,
        death: &Death,
        now: Timestamp,
    ) -> Vec<(Arc<QueueHandle>, Message)> {
        let settings = queue.settings();
        let topology = self.topology();
        let (Some(exchange), Some(vhost)) =
            (&settings.dead_letter_exchange, topology.vhosts.get(&queue.spec.vhost))
        else {
            return Vec::new();
        };
        let buried = death.message.bury(&Burial {
            queue: &queue.spec.name,
            reason: death.reason.name(),
            exchange,
            routing_key: settings.dead_letter_routing_key.as_deref(),
            now_secs: now.0 / 1000,
        });
        let input = RoutingInput {
            routing_key: buried.message.routing_key(),
            extra_keys: &buried.extra_keys,
            headers: buried.message.headers(),
        };
        let mut targets = Vec::new();
        for name in route(vhost, exchange, &input).queues {
            let cycle =
                death.reason != DeathReason::Rejected && buried.message.died_in_cycle(&name);
            if let (false, Some(target)) = (cycle, vhost.queues.get(&name)) {
                targets.push((Arc::clone(target), buried.message.clone()));
            }
        }
        targets
    }
}
